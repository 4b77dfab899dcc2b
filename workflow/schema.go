package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/belfryhq/belfry"
)

// Limits of a data schema.
const (
	MaxSchemaSize       = 64 << 10 // bytes of JSON
	MaxSchemaViolations = 50       // of one trigger that are reported
)

// compileSchema compiles a JSON Schema that refers to nothing outside of itself.
func compileSchema(raw json.RawMessage) (*jsonschema.Schema, error) {
	if len(raw) > MaxSchemaSize {
		return nil, belfry.Errorf(belfry.TooLarge, "at most %d bytes of JSON are allowed", MaxSchemaSize)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "not a JSON object")
	}
	if err := belfry.ValidateJSON(doc, "dataSchema"); err != nil {
		return nil, err
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, belfry.Errorf(belfry.Invalid, "a JSON Schema is an object")
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // the default one reads files
	c.AssertFormat()
	const here = "https://belfry.invalid/data"
	if err := c.AddResource(here, doc); err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "not a JSON Schema: %s", firstLine(err))
	}
	s, err := c.Compile(here)
	if err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "not a JSON Schema: %s", strings.ReplaceAll(firstLine(err), here, ""))
	}
	return s, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// Violation is a way in which data doesn't meet a schema.
type Violation struct {
	Path    string // JSON pointer into the data: /order/id; empty: the data as a whole
	Message string
}

// Violations returns how data fails to meet the program's schema, ordered by path; none if there is no schema.
func (p *Program) Violations(data map[string]any) []Violation {
	if p.Schema == nil {
		return nil
	}
	err := p.Schema.Validate(data)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		if err != nil {
			return []Violation{{Message: err.Error()}}
		}
		return nil
	}
	var out []Violation
	printer := message.NewPrinter(language.English)
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 && len(out) < MaxSchemaViolations {
			path := ""
			for _, name := range e.InstanceLocation {
				path += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			}
			out = append(out, Violation{path, fmt.Sprint(e.ErrorKind.LocalizedString(printer))})
		}
	}
	walk(invalid)
	slices.SortStableFunc(out, func(a, b Violation) int { return strings.Compare(a.Path, b.Path) })
	return out
}
