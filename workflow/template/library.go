package template

import (
	"sync"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/values"
)

// scopeName is the one name that rewritten expressions know. The library looks up everything as an entry of it, which
// brings it back here: scope["name"] is a variable of the template. Authors can't write the name: theirs are rewritten.
const scopeName = "scope"

// What scope[n] is for a number, which no variable is called.
const (
	dynamicIndex = "0" // scope itself, to look up a name that is only known when rendering
	blankIndex   = "1"
	emptyIndex   = "2"
)

// libraryConfig is what the library evaluates with. It is only read after it is built.
var libraryConfig = sync.OnceValue(func() expressions.Config {
	config := expressions.NewConfig()
	for name, f := range filterTable() {
		config.AddFilter(name, f.guarded(name))
	}
	return config
})

// The library asks values what they are and hold; it leaves ours alone when they implement its interface. That is how
// expressions within filters mean the same as those without, which are evaluated here.
var (
	_ values.Value = (*state)(nil)
	_ values.Value = value{}
)

func (s *state) Interface() any             { return s }
func (s *state) Int() int                   { return 0 }
func (s *state) Equal(values.Value) bool    { return false }
func (s *state) Less(values.Value) bool     { return false }
func (s *state) Contains(values.Value) bool { return false }
func (s *state) Test() bool                 { return true }

// PropertyValue is not used: names are looked up as scope["name"].
func (s *state) PropertyValue(values.Value) values.Value { return value{nil, s} }

// IndexValue is a variable, or one of the special values.
func (s *state) IndexValue(index values.Value) values.Value {
	switch key := index.Interface().(type) {
	case string:
		return value{s.lookup(key), s}
	case int:
		switch key {
		case 0:
			return dynamicScope{s}
		case 1:
			return value{blankValue{}, s}
		case 2:
			return value{emptyValue{}, s}
		}
	}
	return value{nil, s}
}

// dynamicScope finds variables whose name an expression made, and nothing else.
type dynamicScope struct{ *state }

func (d dynamicScope) IndexValue(index values.Value) values.Value {
	if name, ok := plain(index.Interface()).(string); ok {
		return value{d.lookup(name), d.state}
	}
	return value{nil, d.state}
}

// value is a value of a template as the library sees it. It compares and converts nothing: conditions are ours.
type value struct {
	held any
	s    *state
}

func (v value) Interface() any             { return v.held }
func (v value) Int() int                   { return integer(v.held) }
func (v value) Equal(values.Value) bool    { return false }
func (v value) Less(values.Value) bool     { return false }
func (v value) Contains(values.Value) bool { return false }
func (v value) Test() bool                 { return truthy(v.held) }

func (v value) IndexValue(index values.Value) values.Value {
	return value{item(v.held, plain(index.Interface())), v.s}
}

func (v value) PropertyValue(name values.Value) values.Value {
	key, _ := name.Interface().(string)
	return value{v.s.property(v.held, key), v.s}
}
