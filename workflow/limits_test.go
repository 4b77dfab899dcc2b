package workflow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry/workflow"
)

// program compiles a definition that has to be right.
func program(t *testing.T, source string) *workflow.Program {
	t.Helper()
	p, problems := workflow.Compile(parse(t, source), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

func TestDurationsAtTheirLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit  time.Duration
		source string // of a step; %d are seconds
		path   string
	}{
		"throttle":       {workflow.MaxThrottleWindow, `{"ref": "a", "throttle": {"for": {"unit": "seconds", "value": %d}}}`, "steps[0].throttle.for"},
		"wait for event": {workflow.MaxWait, `{"ref": "a", "waitForEvent": {"event": {"type": "CUSTOM", "name": "x"}, "timeout": {"unit": "seconds", "value": %d}}}`, "steps[0].waitForEvent.timeout"},
	} {
		program(t, steps(fmt.Sprintf(c.source, int(c.limit.Seconds()))))
		_, problems := workflow.Compile(parse(t, steps(fmt.Sprintf(c.source, int(c.limit.Seconds())+1))), nil)
		if days := fmt.Sprint(int(c.limit.Hours() / 24)); len(problems) != 1 || problems[0].Path != c.path || !strings.Contains(problems[0].Message, days) {
			t.Errorf("%s: a second more: %+v, want one at %s that says %s", name, problems, c.path, days)
		}
	}
}

func TestAThrottleWindowFromDataAtItsLimit(t *testing.T) {
	t.Parallel()
	span := program(t, steps(`{"ref": "a", "throttle": {"until": "data.until"}}`)).Ops[0].Throttle.Span
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for more, ok := range map[time.Duration]bool{0: true, time.Second: false} {
		scope := map[string]any{"data": map[string]any{"until": now.Add(workflow.MaxThrottleWindow + more).Format(time.RFC3339)}}
		if end, err := span.End(scope, now, time.UTC); (err == nil) != ok {
			t.Errorf("%v more: %v, %v", more, end, err)
		}
	}
}

func TestKeysAtTheirLimit(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"a path": "data.key", "a template": "{{ data.key }}"} {
		key := program(t, steps(fmt.Sprintf(`{"ref": "a", "throttle": {"for": {"unit": "hours", "value": 1}, "key": %q}}`, source))).Ops[0].Throttle.Key
		for n, ok := range map[int]bool{workflow.MaxKeySize: true, workflow.MaxKeySize + 1: false} {
			scope := map[string]any{"data": map[string]any{"key": strings.Repeat("x", n-len(`""`))}}
			got, err := key.Of(t.Context(), scope)
			if ok && (err != nil || len(got) != n) || !ok && (err == nil || !strings.Contains(err.Error(), fmt.Sprint(workflow.MaxKeySize))) {
				t.Errorf("%s of %d bytes: %d bytes, %v", name, n, len(got), err)
			}
		}
	}
}

func TestURLsAtTheirLimit(t *testing.T) {
	t.Parallel()
	request := program(t, steps(`{"ref": "a", "fetch": {"url": "{{ data.url }}"}}`)).Ops[0].Fetch.Request
	for n, ok := range map[int]bool{workflow.MaxURLSize: true, workflow.MaxURLSize + 1: false} {
		const host = "https://example.com/"
		got, err := request.Render(t.Context(), map[string]any{"data": map[string]any{"url": host + strings.Repeat("x", n-len(host))}})
		if ok && (err != nil || len(got.URL) != n) || !ok && (err == nil || !strings.Contains(err.Error(), fmt.Sprint(workflow.MaxURLSize))) {
			t.Errorf("a URL of %d bytes: %v", n, err)
		}
	}
}

func TestViolationsAtTheirLimit(t *testing.T) {
	t.Parallel()
	p := program(t, fmt.Sprintf(`{"name": "W", "dataSchema": {"additionalProperties": {"type": "string"}}, "steps": [%s]}`, inApp("a", "", "")))
	for n, want := range map[int]int{workflow.MaxSchemaViolations: workflow.MaxSchemaViolations, workflow.MaxSchemaViolations + 1: workflow.MaxSchemaViolations} {
		data := map[string]any{}
		for i := range n {
			data[fmt.Sprint("k", i)] = 1.0
		}
		if got := p.Violations(data); len(got) != want {
			t.Errorf("%d mistakes: %d are reported, want %d", n, len(got), want)
		}
	}
}
