package encoder

import (
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// object says how the fields of an object type are encoded.
type object[T any] struct {
	names  []string // its own, and those of interfaces and unions that it belongs to
	fields map[string]field[T]
}

// field makes the encoding of a field from what is selected of it. Nil: it can't be encoded.
type field[T any] func(c *compiler, selected ast.SelectionSet) value[T]

// value appends what a field of v, or v itself, is in JSON. After an error b is of no use.
type value[T any] func(b []byte, v *T) ([]byte, error)

// member is a field of an encoded object.
type member[T any] struct {
	head  string // what comes before the value: a brace or a comma, and the key
	value value[T]
}

// compiler compiles one selection.
type compiler struct {
	op        *graphql.OperationContext // of its own: what is collected here once needn't be kept with the operation
	signature strings.Builder           // the same for selections that come to the same
	personal  bool                      // it depends on who asks
}

// compile makes the encoding of an object; nil if there is something that can't be encoded.
func compile[T any](c *compiler, o *object[T], selected ast.SelectionSet) value[T] {
	c.signature.WriteByte('{')
	defer c.signature.WriteByte('}')
	var members []member[T]
	var seen []string
	for _, f := range graphql.CollectFields(c.op, selected, o.names) {
		if slices.Contains(seen, f.Alias) {
			return nil // gqlgen executes both, and answers the first
		}
		seen = append(seen, f.Alias)
		c.signature.WriteString(f.Alias + ":" + f.Name)
		head := `,"` + f.Alias + `":`
		if len(members) == 0 {
			head = `{` + head[1:]
		}
		if f.Name == "__typename" {
			members = append(members, member[T]{head, literal[T](`"` + o.names[0] + `"`)})
			continue
		}
		of := o.fields[f.Name]
		if of == nil {
			return nil
		}
		v := of(c, f.Selections)
		if v == nil {
			return nil
		}
		members = append(members, member[T]{head, v})
		c.signature.WriteByte(',')
	}
	if len(members) == 0 {
		return literal[T](`{}`) // everything was skipped, or meant for other types
	}
	return func(b []byte, v *T) (_ []byte, err error) {
		for i := range members {
			b = append(b, members[i].head...)
			if b, err = members[i].value(b, v); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	}
}

func literal[T any](json string) value[T] {
	return func(b []byte, _ *T) ([]byte, error) { return append(b, json...), nil }
}

// pure is a field without a selection whose encoding can't fail.
func pure[T any](appendTo func(b []byte, v *T) []byte) field[T] {
	return func(*compiler, ast.SelectionSet) value[T] {
		return func(b []byte, v *T) ([]byte, error) { return appendTo(b, v), nil }
	}
}

// leaf is a field without a selection.
func leaf[T any](v value[T]) field[T] {
	return func(*compiler, ast.SelectionSet) value[T] { return v }
}

// one is a field that is an object.
func one[T, U any](o *object[U], get func(*T) *U) field[T] {
	return func(c *compiler, selected ast.SelectionSet) value[T] {
		of := compile(c, o, selected)
		if of == nil {
			return nil
		}
		return func(b []byte, v *T) ([]byte, error) { return of(b, get(v)) }
	}
}

// list appends a list.
func list[T any](b []byte, items []T, of value[T]) (_ []byte, err error) {
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = of(b, &items[i]); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}
