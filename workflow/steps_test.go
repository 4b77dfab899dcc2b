package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/template"
)

// kind is a step of a kind: its JSON.
func kind(ref, kind, fields string) string {
	return fmt.Sprintf(`{"ref": %q, %q: %s}`, ref, kind, fields)
}

// minutes is a duration.
const minutes = `{"unit": "minutes", "value": 5}`

// everyKind has a valid step of each kind.
var everyKind = map[string]string{
	"inApp":           `{"channel": "in-app", "format": "TEXT", "body": "x"}`,
	"email":           `{"channel": "mail", "subject": "Hi {{ recipient.name }}", "format": "MARKDOWN", "body": "**x**"}`,
	"sms":             `{"channel": "sms", "body": "x"}`,
	"push":            `{"channel": "push", "title": "T", "body": "x", "data": {"k": "{{ data.v }}"}}`,
	"chat":            `{"channel": "slack", "body": "x"}`,
	"webhook":         `{"channel": "hook", "url": "https://example.com/{{ data.id }}", "headers": [{"name": "X-A", "value": "1"}], "body": "{{ data | json }}"}`,
	"delay":           `{"for": ` + minutes + `}`,
	"batch":           `{"for": ` + minutes + `, "key": "order.id"}`,
	"throttle":        `{"for": ` + minutes + `, "limit": 3, "key": "{{ data.a }}-{{ actor.id }}"}`,
	"branch":          `{"branches": [{"condition": "data.x == 1", "steps": [{"ref": "inner", "delay": {"for": ` + minutes + `}}]}], "default": {}}`,
	"randomCohort":    `{"cohorts": [{"percentage": 33.3}, {"percentage": 66.7, "terminates": true}]}`,
	"fetch":           `{"url": "https://example.com", "query": [{"name": "q", "value": "{{ data.q }}"}], "responsePath": "profile.more"}`,
	"waitForEvent":    `{"event": {"type": "CUSTOM", "name": "paid"}, "conditions": {"all": [{"variable": "event.data.total", "operator": "greater_than", "argument": 5}]}}`,
	"triggerWorkflow": `{"workflow": "other", "data": "{{ data | json }}"}`,
	"updateData":      `{"data": {"n": "{{ data.n | plus: 1 }}"}}`,
	"updateUser":      `{"json": "{\"plan\": {{ data.plan | json }}}"}`,
	"updateObject":    `{"collection": "orders", "id": "{{ data.id }}", "properties": {"state": "sent"}}`,
	"updateTenant":    `{"properties": {"plan": "pro"}}`,
}

func TestEveryKindCompiles(t *testing.T) {
	t.Parallel()
	var list []string
	for name, fields := range everyKind {
		list = append(list, kind(strings.ToLower(name), name, fields))
	}
	d := parse(t, steps(list...))
	p, problems := workflow.Compile(d, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i, op := range p.Ops { // jumps lead forward, so a program ends
		if (op.Kind == workflow.OpJump || op.Kind == workflow.OpTest || op.Kind == workflow.OpBranch && op.Condition != nil) && (op.To <= i || op.To > len(p.Ops)) {
			t.Errorf("operation %d of kind %d jumps to %d of %d", i, op.Kind, op.To, len(p.Ops))
		}
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(parse(t, string(b)))
	if err != nil || string(again) != string(b) {
		t.Errorf("after a round trip through JSON: %v\n%s", err, cmp.Diff(string(b), string(again)))
	}
}

func TestStepsSayWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		s := kind("leaf", "delay", `{"for": `+minutes+`}`)
		for i := range depth {
			s = kind(fmt.Sprint("b", i), "branch", `{"branches": [{"condition": "true", "steps": [`+s+`]}], "default": {}}`)
		}
		return s
	}
	for name, c := range map[string]struct {
		step string
		want []string // paths below steps[0]
	}{
		"two kinds":            {`{"ref": "a", "delay": {"for": ` + minutes + `}, "throttle": {"for": ` + minutes + `}}`, []string{""}},
		"no window":            {kind("a", "delay", `{}`), []string{".delay"}},
		"two windows":          {kind("a", "delay", `{"for": `+minutes+`, "until": "data.x"}`), []string{".delay"}},
		"unit":                 {kind("a", "delay", `{"for": {"unit": "fortnights", "value": 1}}`), []string{".delay.for.unit"}},
		"no time":              {kind("a", "delay", `{"for": {"unit": "days", "value": 0}}`), []string{".delay.for.value"}},
		"longer than a year":   {kind("a", "delay", `{"for": {"unit": "days", "value": 366}}`), []string{".delay.for"}},
		"path":                 {kind("a", "delay", `{"until": "data..x"}`), []string{".delay.until"}},
		"offset alone":         {kind("a", "delay", `{"for": `+minutes+`, "offset": `+minutes+`}`), []string{".delay.offset"}},
		"direction":            {kind("a", "delay", `{"until": "x", "offset": `+minutes+`, "direction": "LEFT"}`), []string{".delay.direction"}},
		"what if invalid":      {kind("a", "delay", `{"until": "x", "onInvalid": "PANIC"}`), []string{".delay.onInvalid"}},
		"rule":                 {kind("a", "delay", `{"rule": {"frequency": "weekly", "days": ["mon"], "hours": 25}}`), []string{".delay.rule.hours"}},
		"sliding, no limit":    {kind("a", "batch", `{"for": `+minutes+`, "type": "SLIDING"}`), []string{".batch.extensionLimit"}},
		"fixed with a limit":   {kind("a", "batch", `{"for": `+minutes+`, "extensionLimit": `+minutes+`}`), []string{".batch.extensionLimit"}},
		"a batch of one":       {kind("a", "batch", `{"for": `+minutes+`, "maxItems": 1}`), []string{".batch.maxItems"}},
		"too many rendered":    {kind("a", "batch", `{"for": `+minutes+`, "renderLimit": 101}`), []string{".batch.renderLimit"}},
		"batch with condition": {`{"ref": "a", "condition": "true", "batch": {"for": ` + minutes + `}}`, []string{".batch"}},
		"batch's words":        {kind("a", "batch", `{"for": `+minutes+`, "type": "x", "order": "y", "versionMode": "z"}`), []string{".batch.type", ".batch.order", ".batch.versionMode"}},
		"key":                  {kind("a", "batch", `{"for": `+minutes+`, "key": "{{ data.x"}`), []string{".batch.key"}},
		"throttle's limit":     {kind("a", "throttle", `{"for": `+minutes+`, "limit": -1}`), []string{".throttle.limit"}},
		"throttle's window":    {kind("a", "throttle", `{"for": {"unit": "days", "value": 32}}`), []string{".throttle.for"}},
		"branch alone":         {kind("a", "branch", `{"branches": [], "default": {}}`), []string{".branch.branches"}},
		"branch always true":   {kind("a", "branch", `{"branches": [{"steps": []}], "default": {}}`), []string{".branch.branches[0]"}},
		"default's condition":  {kind("a", "branch", `{"branches": [{"condition": "true"}], "default": {"condition": "true"}}`), []string{".branch.default"}},
		"branch's condition":   {`{"ref": "a", "condition": "true", "branch": {"branches": [{"condition": "true"}], "default": {}}}`, []string{".branch"}},
		"inner step":           {kind("a", "branch", `{"branches": [{"condition": "data.x >", "steps": [{"ref": "b"}]}], "default": {"steps": [{"ref": "b", "delay": {}}]}}`), []string{".branch.branches[0].condition", ".branch.branches[0].steps[0]", ".branch.default.steps[0].ref", ".branch.default.steps[0].delay"}},
		"too deep":             {nested(workflow.MaxBranchDepth + 1), []string{strings.Repeat(".branch.branches[0].steps[0]", workflow.MaxBranchDepth) + ".branch"}},
		"one cohort":           {kind("a", "randomCohort", `{"cohorts": [{"percentage": 100}]}`), []string{".randomCohort.cohorts"}},
		"sum":                  {kind("a", "randomCohort", `{"cohorts": [{"percentage": 50}, {"percentage": 49.9}]}`), []string{".randomCohort.cohorts"}},
		"two decimals":         {kind("a", "randomCohort", `{"cohorts": [{"percentage": 50.25}, {"percentage": 49.75}]}`), []string{".randomCohort.cohorts[0].percentage", ".randomCohort.cohorts[1].percentage", ".randomCohort.cohorts"}},
		"method":               {kind("a", "fetch", `{"method": "TRACE", "url": "https://example.com"}`), []string{".fetch.method"}},
		"no URL":               {kind("a", "fetch", `{"url": " "}`), []string{".fetch.url", ".fetch.url"}},
		"file":                 {kind("a", "fetch", `{"url": "file:///etc/passwd"}`), []string{".fetch.url"}},
		"header's name":        {kind("a", "fetch", `{"url": "https://example.com", "headers": [{"name": "a:b", "value": ""}, {"name": "", "value": ""}]}`), []string{".fetch.headers[0].name", ".fetch.headers[1].name"}},
		"response path":        {kind("a", "fetch", `{"url": "https://example.com", "responsePath": "recipient.x"}`), []string{".fetch.responsePath"}},
		"event's type":         {kind("a", "waitForEvent", `{"event": {"type": "MOON", "name": "full"}}`), []string{".waitForEvent.event.type"}},
		"event's name":         {kind("a", "waitForEvent", `{"event": {"type": "WORKFLOW", "name": "failed", "workflow": "w"}}`), []string{".waitForEvent.event.name"}},
		"which message":        {kind("a", "waitForEvent", `{"event": {"type": "MESSAGE", "name": "seen"}}`), []string{".waitForEvent"}},
		"unknown step":         {kind("a", "waitForEvent", `{"event": {"type": "MESSAGE", "name": "seen", "step": "nope"}}`), []string{".waitForEvent.event.step"}},
		"step of a delay":      {kind("a", "waitForEvent", `{"event": {"type": "RECIPIENT", "name": "updated", "step": "a"}}`), []string{".waitForEvent.event.step", ".waitForEvent.event.step"}},
		"a month's wait":       {kind("a", "waitForEvent", `{"event": {"type": "CUSTOM", "name": "x"}, "timeout": {"unit": "days", "value": 31}}`), []string{".waitForEvent.timeout"}},
		"event elsewhere":      {`{"ref": "a", "condition": "event.x == 1", "delay": {"for": ` + minutes + `}}`, []string{".condition"}},
		"no workflow":          {kind("a", "triggerWorkflow", `{}`), []string{".triggerWorkflow.workflow"}},
		"data twice":           {kind("a", "updateData", `{"data": {"a": 1}, "json": "{}"}`), []string{".updateData"}},
		"no data":              {kind("a", "updateData", `{}`), []string{".updateData"}},
		"which object":         {kind("a", "updateObject", `{"properties": {}}`), []string{".updateObject"}},
		"collection of a user": {kind("a", "updateUser", `{"collection": "x", "properties": {}}`), []string{".updateUser.collection"}},
		"windows of a delay":   {`{"ref": "a", "sendWindows": [], "delay": {"for": ` + minutes + `}}`, nil},
		"six days":             {`{"ref": "a", "sendWindows": [{"day": "monday", "type": "send"}], "sms": {"channel": "sms", "body": "x"}}`, slices.Repeat([]string{".sendWindows"}, 6)},
		"no subject":           {kind("a", "email", `{"channel": "mail", "format": "TEXT", "body": "x"}`), []string{".email.subject"}},
		"email's channel":      {kind("a", "email", `{"channel": "E Mail", "subject": "s", "format": "HTML", "body": ""}`), []string{".email.channel", ".email.body", ".email.format"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := workflow.Compile(parse(t, steps(c.step)), nil)
			var got []string
			for _, p := range problems {
				got = append(got, strings.TrimPrefix(p.Path, "steps[0]"))
				if len(p.Message) < 10 || strings.Contains(p.Message, "\n") {
					t.Errorf("%s: message %q", p.Path, p.Message)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s%+v", diff, problems)
			}
		})
	}
}

func TestPartialsAreRendered(t *testing.T) {
	t.Parallel()
	d := parse(t, steps(kind("a", "sms", `{"channel": "sms", "body": "{% render 'greeting', name: recipient.name %}!"}`)))
	p, problems := workflow.Compile(d, template.Partials{"greeting": "Hi {{ name }}"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	out, err := p.Ops[0].Message.Render(t.Context(), map[string]any{"recipient": map[string]any{"name": "Ana"}})
	if err != nil || out.Content.Body.Content != "Hi Ana!" {
		t.Errorf("body = %q, %v", out.Content.Body.Content, err)
	}
	if _, problems := workflow.Compile(d, nil); len(problems) != 1 || !strings.Contains(problems[0].Message, "greeting") {
		t.Errorf("without the partial: %v", problems)
	}
}

// A body is shared between the runs of a trigger exactly if nothing in it is of one of them; what else there is, by itself.
func TestSharedMessagesMentionNobody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"plain": true, "{{ data.x }} {{ actor.name }} {{ tenant.id }} {{ vars.y }} {{ timestamp }}": true,
		"{{ recipient.name }}": false, "{% if total_activities > 1 %}x{% endif %}": false, "{% for a in activities %}x{% endfor %}": false, "{{ refs.a.seen }}": false,
		"{{ vars.branding.logo_url }}": true, "{{ vars.manage_preferences_url }}": false, "{{ vars.commercial_unsubscribe_url }}": false, "{{ vars | json }}": false,
	} {
		p, problems := workflow.Compile(parse(t, steps(fmt.Sprintf(`{"ref": "a", "sms": {"channel": "sms", "body": %q}}`, body))), nil)
		if len(problems) > 0 || p.Ops[0].Message.SharedBody != want || !p.Ops[0].Message.SharedRest {
			t.Errorf("%s: shared %v, want %v; %v", body, !want, want, problems)
		}
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	with := func(schema string) string {
		return `{"name": "W", "dataSchema": ` + schema + `, "steps": [` + inApp("a", "", "") + `]}`
	}
	p, problems := workflow.Compile(parse(t, with(`{"type": "object", "required": ["order"], "properties": {"order": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}, "n/m": {"minimum": 3}}}}}`)), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for data, want := range map[string][]string{
		`{}`: {""}, `{"order": 5}`: {"/order"}, `{"order": {"id": "x", "n/m": 2}}`: {"/order/id", "/order/n~1m"},
		`{"order": {"id": "4e5a4a8e-5a0f-4a0e-9a51-0f1b2c3d4e5f", "n/m": 3}}`: nil,
	} {
		var object map[string]any
		decoder := json.NewDecoder(strings.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range p.Violations(object) {
			got = append(got, v.Path)
			if v.Message == "" {
				t.Errorf("%s: no message at %s", data, v.Path)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", data, diff)
		}
	}
	for name, schema := range map[string]string{
		"not an object": `5`, "no such type": `{"type": "thing"}`, "reads a file": `{"$ref": "file:///etc/passwd"}`, "asks the network": `{"$ref": "https://example.com/schema.json"}`,
		"look-around": `{"pattern": "(?=x)"}`, "too large": `{"description": "` + strings.Repeat("x", workflow.MaxSchemaSize) + `"}`,
	} {
		if _, problems := workflow.Compile(parse(t, with(schema)), nil); len(problems) != 1 || problems[0].Path != "dataSchema" {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestCohortsSplitByChanceAndForGood(t *testing.T) {
	t.Parallel()
	p, problems := workflow.Compile(parse(t, steps(kind("ab", "randomCohort", `{"cohorts": [{"name": "none", "percentage": 0}, {"name": "a", "percentage": 30}, {"name": "b", "percentage": 70}]}`))), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	count := map[string]int{}
	for i := range 10_000 {
		name, to := p.Ops[0].Cohort.Choose(fmt.Sprint("user-", i))
		again, _ := p.Ops[0].Cohort.Choose(fmt.Sprint("user-", i))
		if name != again || to <= 0 || to >= len(p.Ops) {
			t.Fatalf("user-%d: %s, then %s; to %d", i, name, again, to)
		}
		count[name]++
	}
	if count["none"] != 0 || count["a"] < 2700 || count["a"] > 3300 {
		t.Errorf("cohorts: %v", count)
	}
}

func TestWindowsEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		delay, data string
		want        time.Duration // from now; negative: an error
	}{
		"fixed":              {`{"for": {"unit": "days", "value": 1}}`, `{}`, 24 * time.Hour},
		"a month":            {`{"for": {"unit": "months", "value": 1}}`, `{}`, 31*24*time.Hour - time.Hour}, // the clocks go forward meanwhile
		"timestamp":          {`{"until": "at"}`, `{"at": "2026-03-28T13:30:00Z"}`, 90 * time.Minute},
		"duration":           {`{"until": "data.wait"}`, `{"wait": {"unit": "hours", "value": 2}}`, 2 * time.Hour},
		"before":             {`{"until": "at", "offset": {"unit": "hours", "value": 1}, "direction": "BEFORE"}`, `{"at": "2026-03-28T16:00:00Z"}`, 3 * time.Hour},
		"after what is past": {`{"until": "at", "offset": {"unit": "hours", "value": 3}}`, `{"at": "2026-03-28T11:00:00Z"}`, 2 * time.Hour},
		"rule over the gap":  {`{"rule": {"frequency": "daily", "hours": 2, "minutes": 30}}`, `{}`, 13 * time.Hour}, // 02:30 isn't there: 03:00 summer time
		"missing":            {`{"until": "at"}`, `{}`, -1},
		"past":               {`{"until": "at"}`, `{"at": "2026-03-28T11:59:59Z"}`, -1},
		"before, past":       {`{"until": "at", "offset": {"unit": "hours", "value": 9}, "direction": "BEFORE"}`, `{"at": "2026-03-28T16:00:00Z"}`, -1},
		"years":              {`{"until": "at"}`, `{"at": "2028-01-01T00:00:00Z"}`, -1},
		"nonsense":           {`{"until": "at"}`, `{"at": [1]}`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, problems := workflow.Compile(parse(t, steps(kind("d", "delay", c.delay))), nil)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var data map[string]any
			if err := json.Unmarshal([]byte(c.data), &data); err != nil {
				t.Fatal(err)
			}
			end, err := p.Ops[0].Span.End(map[string]any{"data": data}, now, berlin)
			if (err != nil) != (c.want < 0) || err == nil && end.Sub(now) != c.want {
				t.Errorf("ends %s from now, %v; want %s", end.Sub(now), err, c.want)
			}
		})
	}
}
