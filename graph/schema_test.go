package graph

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
)

// constantsOf is the string constants of source files, by name.
func constantsOf(t *testing.T, files ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST || !group.Lparen.IsValid() {
				continue
			}
			for _, s := range group.Specs {
				spec, ok := s.(*ast.ValueSpec)
				if !ok || len(spec.Values) != 1 {
					continue
				}
				if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					value, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					out[spec.Names[0].Name] = value
				}
			}
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %d constants: %v", len(out), out)
	}
	return out
}

func readSchema(t *testing.T) *gql.Schema {
	t.Helper()
	files, err := filepath.Glob("schema/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	var sources []*gql.Source
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, &gql.Source{Name: file, Input: string(text)})
	}
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// Types, fields, inputs and values say what they are. Fields of an interface say it once.
func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	for _, d := range schema.Types {
		if d.BuiltIn {
			continue
		}
		if d.Description == "" {
			t.Errorf("%s is not described", d.Name)
		}
		for _, f := range d.Fields {
			inherited := slices.ContainsFunc(d.Interfaces, func(i string) bool { return schema.Types[i].Fields.ForName(f.Name) != nil })
			if f.Description == "" && !inherited && f.Name[:2] != "__" {
				t.Errorf("%s.%s is not described", d.Name, f.Name)
			}
		}
		for _, v := range d.EnumValues {
			if v.Description == "" {
				t.Errorf("%s.%s is not described", d.Name, v.Name)
			}
		}
	}
}

// Every mutation takes one input and has a payload of its own.
func TestMutationsHaveOneInputAndOnePayload(t *testing.T) {
	t.Parallel()
	payloads := map[string]string{}
	for _, f := range readSchema(t).Mutation.Fields {
		if len(f.Arguments) != 1 || f.Arguments[0].Name != "input" || !f.Arguments[0].Type.NonNull {
			t.Errorf("%s doesn't take one input", f.Name)
		}
		if other := payloads[f.Type.Name()]; other != "" || !f.Type.NonNull {
			t.Errorf("%s has no payload of its own: %s (%s)", f.Name, f.Type, other)
		}
		payloads[f.Type.Name()] = f.Name
	}
}
