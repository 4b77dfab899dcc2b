package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/workflow"
)

// everyStep has each kind of step, with everything that can be said about it.
const everyStep = `[
{"ref": "mail", "name": "Mail", "description": "Tells by mail", "condition": "recipient.plan == \"pro\"",
 "sendWindows": [{"day": "monday", "type": "send", "from": "09:00", "until": "17:00"}, {"day": "tuesday", "type": "send"}, {"day": "wednesday", "type": "send"},
  {"day": "thursday", "type": "send"}, {"day": "friday", "type": "send"}, {"day": "saturday", "type": "do_not_send"}, {"day": "sunday", "type": "do_not_send"}],
 "email": {"channel": "email", "subject": "{{ data.title }} <b>", "body": "**{{ data.text }}**", "format": "MARKDOWN"}},
{"ref": "inbox", "conditions": {"all": [{"variable": "data.n", "operator": "greater_than", "argument": 9007199254740993}]},
 "inApp": {"channel": "in-app", "body": "{{ data.text }}", "format": "TEXT", "actionUrl": "/x", "buttons": [{"label": "Go", "action": "https://example.com"}],
 "data": {"id": 9007199254740993, "deep": [{"a": "{{ data.n }}"}]}, "resourceKey": "invoice:{{ data.n }}", "priority": "URGENT", "severity": "WARNING",
 "expiresAfter": {"unit": "days", "value": 3}, "replaces": true}},
{"ref": "text", "sms": {"channel": "sms", "body": "{{ data.text }}"}},
{"ref": "push", "push": {"channel": "push", "title": "T", "body": "B", "actionUrl": "/x", "data": {"a": 1}}},
{"ref": "chat", "chat": {"channel": "chat", "body": "B", "data": {"a": 1}}},
{"ref": "hook", "webhook": {"channel": "webhook", "method": "PUT", "url": "https://example.com/{{ data.n }}", "headers": [{"name": "X-A", "value": "b"}], "body": "{}"}},
{"ref": "wait-for", "delay": {"for": {"unit": "minutes", "value": 15}}},
{"ref": "wait-until", "delay": {"until": "data.due_at", "offset": {"unit": "days", "value": 1}, "direction": "BEFORE", "onInvalid": "HALT"}},
{"ref": "wait-rule", "delay": {"rule": {"frequency": "weekly", "interval": 2, "days": ["mon", "fri"], "hours": 9, "minutes": 30}}},
{"ref": "gather", "batch": {"for": {"unit": "hours", "value": 1}, "type": "SLIDING", "extensionLimit": {"unit": "days", "value": 1}, "key": "data.thread", "order": "LAST",
 "maxItems": 100, "renderLimit": 5, "leadingFlush": true, "versionMode": "PINNED"}},
{"ref": "calm", "throttle": {"for": {"unit": "days", "value": 1}, "limit": 3, "key": "data.thread"}},
{"ref": "fork", "branch": {"branches": [{"name": "a", "condition": "data.n == 1", "steps": [{"ref": "in-a", "delay": {"for": {"unit": "seconds", "value": 1}}}]},
 {"conditions": {"any": [{"variable": "data.n", "operator": "exists"}]}, "terminates": true}],
 "default": {"name": "else", "steps": [{"ref": "in-default", "sms": {"channel": "sms", "body": "x"}}]}}},
{"ref": "dice", "randomCohort": {"key": "data.n", "cohorts": [{"name": "a", "percentage": 33.3, "terminates": true},
 {"percentage": 66.7, "steps": [{"ref": "in-cohort", "sms": {"channel": "sms", "body": "x"}}]}]}},
{"ref": "ask", "fetch": {"method": "POST", "url": "https://example.com", "headers": [{"name": "X-A", "value": "b"}], "query": [{"name": "q", "value": "1"}], "body": "{}", "responsePath": "profile.details"}},
{"ref": "hear", "waitForEvent": {"event": {"type": "MESSAGE", "name": "read", "step": "inbox"}, "condition": "event.name == \"read\"",
 "timeout": {"unit": "hours", "value": 2}, "onMatch": "HALT", "onTimeout": "CONTINUE"}},
{"ref": "start", "triggerWorkflow": {"workflow": "other", "recipients": "{{ recipient.id }}", "actor": "a", "tenant": "t", "data": "{}", "cancellationKey": "k"}},
{"ref": "set", "updateData": {"data": {"a": "{{ data.n }}"}}},
{"ref": "set-json", "updateData": {"json": "{}"}},
{"ref": "user", "updateUser": {"id": "x", "properties": {"a": 1}}},
{"ref": "object", "updateObject": {"collection": "projects", "id": "x", "json": "{}"}},
{"ref": "tenant", "updateTenant": {"id": "x", "properties": {"a": 1}}}
]`

// The definition is the input, and can be given again.
func TestEveryStepCanBeStoredAndGivenAgain(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	var definition []workflow.Step
	decoder := json.NewDecoder(strings.NewReader(everyStep))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&definition); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	got := c.call(upsertWorkflow, vars{"input": vars{"key": "all", "name": "all", "steps": parse(t, everyStep)}})
	var raw struct {
		UpsertWorkflow struct {
			Workflow struct{ Steps json.RawMessage }
			Problems []any
		}
	}
	if err := json.Unmarshal(got.Data, &raw); err != nil || len(got.Errors) > 0 || len(raw.UpsertWorkflow.Problems) > 0 {
		t.Fatalf("%v %+v %s", err, got.Errors, got.Data)
	}
	steps := raw.UpsertWorkflow.Workflow.Steps
	if diff := cmp.Diff(parse(t, string(want)), parse(t, string(steps))); diff != "" {
		t.Errorf("what was stored differs (-given +stored):\n%s", diff)
	}
	if again := c.store("all", string(steps)); again.UpsertWorkflow.Workflow.Number != 1 {
		t.Error("what was stored, given again, is another version")
	}
	for kind := range reflect.TypeFor[workflow.Step]().Fields() {
		if name, _, _ := strings.Cut(kind.Tag.Get("json"), ","); kind.Type.Kind() == reflect.Pointer && !strings.Contains(everyStep, `"`+name+`": {`) {
			t.Errorf("everyStep has no %s", name)
		}
	}
}

// fieldsOf lists the JSON names of a struct, those of embedded ones included.
func fieldsOf(t reflect.Type, out map[string]reflect.Type) map[string]reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out[name] = f.Type
		} else if f.Anonymous {
			fieldsOf(f.Type, out)
		}
	}
	return out
}

func isStruct(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// Input becomes a definition by way of JSON: a name that is spelled differently would be lost in silence.
func TestInputIsSpelledLikeTheDefinition(t *testing.T) {
	t.Parallel()
	seen := map[[2]reflect.Type]bool{}
	var compare func(path string, input, definition reflect.Type, except ...string)
	compare = func(path string, input, definition reflect.Type, except ...string) {
		if seen[[2]reflect.Type{input, definition}] {
			return
		}
		seen[[2]reflect.Type{input, definition}] = true
		ours, theirs := fieldsOf(input, map[string]reflect.Type{}), fieldsOf(definition, map[string]reflect.Type{})
		for _, name := range except {
			delete(ours, name)
			delete(theirs, name)
		}
		for name, kind := range theirs {
			mine, ok := ours[name]
			if !ok {
				t.Errorf("%s.%s is missing in the input", path, name)
				continue
			}
			delete(ours, name)
			if !isStruct(kind) || !isStruct(mine) {
				continue
			}
			var except []string
			switch name {
			case "updateUser", "updateTenant":
				except = []string{"collection"}
			case "default":
				except = []string{"condition", "conditions"}
			}
			compare(path+"."+name, mine, kind, except...)
		}
		for name := range ours {
			t.Errorf("%s.%s is unknown to the definition", path, name)
		}
	}
	compare("input", reflect.TypeFor[model.UpsertWorkflowInput](), reflect.TypeFor[workflow.Definition](), "key")
	if len(seen) < 25 {
		t.Errorf("only %d types were compared", len(seen))
	}
}

func TestDurationsAndRulesAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const query = `mutation { upsertWorkflow(input: {key: "k", name: "n", steps: [{ref: "a", delay: {%s}}]}) { workflow { steps } problems { message } } }`
	for given, want := range map[string]string{
		`for: "PT15M"`:                           `{"for":{"unit":"minutes","value":15}}`,
		`for: "1h30m"`:                           `{"for":{"unit":"minutes","value":90}}`,
		`for: {unit: "days", value: 2}`:          `{"for":{"unit":"days","value":2}}`,
		`for: {unit: days, value: 2}`:            `{"for":{"unit":"days","value":2}}`,
		`rule: {frequency: weekly, days: mon}`:   `{"rule":{"days":["mon"],"frequency":"weekly"}}`,
		`rule: {frequency: daily, minutes: 5}`:   `{"rule":{"frequency":"daily","minutes":5}}`,
		`rule: {frequency: hourly, interval: 2}`: `{"rule":{"frequency":"hourly","interval":2}}`,
	} {
		got := ask[upserted](c, fmt.Sprintf(query, given), nil).UpsertWorkflow
		if b, _ := json.Marshal(got.Workflow.Steps[0]["delay"]); string(b) != want {
			t.Errorf("%s is stored as %s, want %s", given, b, want)
		}
	}
	for given, field := range map[string]string{
		`for: "soon"`:                           "for",
		`for: 5`:                                "for",
		`for: {unit: "years", value: 1}`:        "for",
		`offset: ""`:                            "offset",
		`rule: {frequency: daily, interval: 0}`: "rule.interval",
		`rule: {frequency: daily, days: [mon, mon]}`: "rule.days[1]",
	} {
		c.refused(fmt.Sprintf(query, given), nil, "INVALID", "input.steps[0].delay."+field)
	}
}

// A megabyte of steps within each other, or beside each other, is refused like any other mistake, and soon.
func TestHugeWorkflowsAreRefused(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const open, end = `{"ref":"a","branch":{"branches":[],"default":{"steps":[`, `]}}}`
	// What JSON decoders take: ten thousand levels, four to a step.
	deepest := 9900 / 4
	nested := func(levels int) string {
		return strings.Repeat(open, levels) + `{"ref":"z","sms":{"body":"x"}}` + strings.Repeat(end, levels)
	}
	const head = `{"query":"mutation($i:UpsertWorkflowInput!){validateWorkflow(input:$i){problems{path message}}}","variables":{"i":{"key":"k","name":"n","steps":[`
	fill := func(part string) string {
		n := (MaxBodySize - len(head) - 4) / (len(part) + 1)
		return strings.TrimSuffix(strings.Repeat(part+",", n), ",")
	}
	inline := "{ref:\"a\",branch:{branches:[],default:{steps:["
	for name, body := range map[string]string{
		"deep":                head + nested(deepest) + `]}}}`,
		"deep and wide":       head + fill(nested(deepest)) + `]}}}`,
		"as deep as it gets":  head + nested((MaxBodySize-len(head)-100)/(len(open)+len(end))) + `]}}}`,
		"wide":                head + fill(`{"ref":"a","branch":{"branches":[]}}`) + `]}}}`,
		"wide and a bit deep": head + fill(nested(workflow.MaxBranchDepth+1)) + `]}}}`,
		"inline": `{"query":` + quote(`mutation{validateWorkflow(input:{key:"k",name:"n",steps:[`+strings.Repeat(inline, 300)+
			strings.Repeat("]}}}", 300)+`]}){problems{path message}}}`) + `}`,
		"inline, as deep as it gets": `{"query":` + quote(`mutation{validateWorkflow(input:{key:"k",name:"n",steps:[`+strings.Repeat(inline, 15000)) + `}`,
	} {
		if len(body) > MaxBodySize {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
		began := time.Now()
		got := c.post([]byte(body))
		if took := time.Since(began); took > time.Minute { // half a second, unless the machine is busy with other tests
			t.Errorf("%s took %v", name, took)
		}
		if code := got.code(); code != "" && code != "INVALID" && code != "TOO_LARGE" || code == "" && !bytes.Contains(got.Data, []byte("message")) {
			t.Errorf("%s is answered with %.300s %+v", name, got.Data, got.Errors)
		}
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// What the engine notes must be a word of the schema.
func TestWhatRunsSayIsInTheSchema(t *testing.T) {
	t.Parallel()
	for name, value := range constantsOf(t, "../engine/log.go", "../engine/trigger.go", "../engine/lane.go", "../engine/step_delay.go") {
		upper := strings.ToUpper(value)
		var valid bool
		switch {
		case strings.HasPrefix(name, "Outcome"):
			valid = model.StepOutcome(upper).IsValid()
		case strings.HasPrefix(name, "Source"):
			valid = model.TriggerSource(upper).IsValid()
		case strings.HasPrefix(name, "wait"):
			valid = model.RunWait(upper).IsValid()
		case name == "Waiting" || name == "Done" || name == "Failed" || name == "Cancelled":
			valid = model.RunStatus(upper).IsValid()
		case name == "High" || name == "Normal" || name == "Low":
			valid = model.TriggerPriority(value).IsValid()
		default:
			t.Errorf("which enum is %s = %q of?", name, value)
			continue
		}
		if !valid {
			t.Errorf("%s = %q is in no enum of the schema", name, value)
		}
	}
}
