package engine

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
	"github.com/belfryhq/belfry/workflow/condition"
)

const manual = "../docs/workflow-language.md"

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// Every example in the manual is a workflow, a step or a group of conditions that compiles.
func TestExamplesInTheManualCompile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	blocks := jsonBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 20 {
		t.Fatalf("only %d examples were found", len(blocks))
	}
	for _, block := range blocks {
		example, err := decodeObject([]byte(block[1]))
		if err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
			continue
		}
		if example["all"] != nil || example["any"] != nil {
			example = map[string]any{"ref": "a", "inApp": map[string]any{"body": "x"}, "conditions": example}
		}
		if example["ref"] != nil {
			example = map[string]any{"name": "example", "steps": []any{example}}
		}
		b, err := json.Marshal(asStored(t, "", example))
		if err != nil {
			t.Fatal(err)
		}
		d, err := decodeDefinition(b)
		if err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
			continue
		}
		if _, problems := workflow.Compile(d, nil); len(problems) > 0 {
			t.Errorf("%+v in:\n%s", problems, block[1])
		}
	}
}

// asStored does what the API does on the way in: it reads durations, and fills in what has a default there.
func asStored(t *testing.T, field string, v any) any {
	switch v := v.(type) {
	case string:
		if slices.Contains(durationFields, field) {
			d, err := calendar.ParseDuration(v)
			if err != nil {
				t.Errorf("%s: %v", field, err)
			}
			return d
		}
	case []any:
		for i := range v {
			v[i] = asStored(t, "", v[i])
		}
	case map[string]any:
		for name := range v {
			if name != "data" && name != "properties" {
				v[name] = asStored(t, name, v[name])
			}
			if fields, ok := v[name].(map[string]any); ok {
				for k, missing := range channels[name] {
					if fields[k] == nil {
						fields[k] = missing
					}
				}
			}
		}
	}
	return v
}

// The manual has an example for every kind of step, and names every field and operator of the language.
func TestTheManualIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for _, block := range jsonBlock.FindAllStringSubmatch(string(text), -1) {
		examples.WriteString(block[1])
	}
	kinds := 0
	for field := range reflect.TypeFor[workflow.Step]().Fields() {
		if field.Type.Kind() != reflect.Pointer {
			continue
		}
		kinds++
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !strings.Contains(examples.String(), `"`+name+`": {`) {
			t.Errorf("no example has a step of kind %s", name)
		}
		for _, inner := range reflect.VisibleFields(field.Type.Elem()) {
			name, _, _ := strings.Cut(inner.Tag.Get("json"), ",")
			if name != "" && !regexp.MustCompile("[`\"]"+name+"[`\":]").Match(text) {
				t.Errorf("the field %s of %s isn't mentioned", name, field.Name)
			}
		}
	}
	if kinds < 18 {
		t.Errorf("only %d kinds of steps were found", kinds)
	}
	for _, operator := range condition.Operators() {
		if !strings.Contains(string(text), "`"+operator+"`") {
			t.Errorf("the operator %s isn't mentioned", operator)
		}
	}
}
