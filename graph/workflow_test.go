package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAWorkflowKeepsWhatIsSaidAboutIt(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const fields = `key number active name description categories tags condition conditions frequency dataSchema settings { commercial overridePreferences }`
	input := vars{"key": "full", "name": "Full", "description": "All of it", "categories": []string{"news"}, "tags": []string{"a", "b"},
		"conditions": parse(t, `{"all": [{"variable": "data.n", "operator": "exists"}]}`), "frequency": "ONCE_PER_RECIPIENT",
		"dataSchema": parse(t, `{"type": "object"}`), "settings": vars{"commercial": true}, "steps": parse(t, tell)}
	ask[any](c, upsertWorkflow, vars{"input": input})
	got := c.call(`{ workflow(key: "full") { `+fields+` } }`, nil)
	want := `{"workflow": {"key": "full", "number": 1, "active": true, "name": "Full", "description": "All of it", "categories": ["news"], "tags": ["a", "b"], "condition": null,
		"conditions": {"all": [{"variable": "data.n", "operator": "exists"}]}, "frequency": "ONCE_PER_RECIPIENT", "dataSchema": {"type": "object"},
		"settings": {"commercial": true, "overridePreferences": false}}}`
	if diff := cmp.Diff(parse(t, want), parse(t, string(got.Data))); diff != "" {
		t.Errorf("%+v (-want +got):\n%s", got.Errors, diff)
	}
	c.store("bare", tell)
	got = c.call(`{ workflow(key: "bare") { `+fields+` } }`, nil)
	want = `{"workflow": {"key": "bare", "number": 1, "active": true, "name": "bare", "description": null, "categories": [], "tags": [], "condition": null, "conditions": null,
		"frequency": "EVERY_TRIGGER", "dataSchema": null, "settings": {"commercial": false, "overridePreferences": false}}}`
	if diff := cmp.Diff(parse(t, want), parse(t, string(got.Data))); diff != "" {
		t.Errorf("%+v (-want +got):\n%s", got.Errors, diff)
	}
}

func TestValidateWorkflowStoresNothing(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const validate = `mutation ($input: UpsertWorkflowInput!) { validateWorkflow(input: $input) { problems { step path line column message } } }`
	input := vars{"key": "new", "name": "", "condition": "data.n ==", "steps": parse(t, `[{"ref": "a", "inApp": {"body": "{{ x"}}, {"ref": "b"},
		{"ref": "f", "branch": {"branches": [{"condition": "true", "steps": [{"ref": "a", "sms": {"body": "x"}}]}]}}]`)}
	type problems []struct {
		Step          *string
		Path, Message string
		Line          *int
	}
	var got, stored []string
	for _, p := range ask[struct{ ValidateWorkflow struct{ Problems problems } }](c, validate, vars{"input": input}).ValidateWorkflow.Problems {
		got = append(got, p.Path)
	}
	for _, p := range ask[struct{ UpsertWorkflow struct{ Problems problems } }](c, upsertWorkflow, vars{"input": input}).UpsertWorkflow.Problems {
		stored = append(stored, p.Path)
	}
	want := []string{"name", "condition", "steps[0].inApp.body", "steps[1]", "steps[2].branch.branches[0].steps[0].ref"}
	if cmp.Diff(want, got) != "" || cmp.Diff(want, stored) != "" {
		t.Errorf("validated, the problems are at %q, stored at %q, want %q", got, stored, want)
	}
	input = vars{"key": "new", "name": "New", "steps": parse(t, tell)}
	if got := c.call(validate, vars{"input": input}); string(got.Data) != `{"validateWorkflow":{"problems":[]}}` {
		t.Errorf("a good one: %s %+v", got.Data, got.Errors)
	}
	if got := c.call(`{ workflow(key: "new") { key } }`, nil); string(got.Data) != `{"workflow":null}` {
		t.Errorf("there is %s", got.Data)
	}
	input["key"] = "N E W"
	for _, mutation := range []string{validate, upsertWorkflow} {
		c.refused(mutation, vars{"input": input}, "INVALID", "input.key")
	}
}

func TestAWorkflowCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("note", tell)
	id := c.trigger(vars{"workflow": "note", "recipients": users("ana")})
	c.settled(id) // so that the engine remembers the version
	const set = `mutation ($active: Boolean!) { setWorkflowActive(input: {key: "note", active: $active}) { workflow { key active } } }`
	for _, active := range []bool{false, false, true} {
		ask[any](c, set, vars{"active": active})
		got := c.call(`query ($id: ID!) { trigger(id: $id) { workflow { active } } workflow(key: "note") { active } runs { edges { node { workflow { active } } } } }`, vars{"id": id})
		if n := strings.Count(string(got.Data), map[bool]string{true: "true", false: "false"}[active]); n != 3 {
			t.Errorf("active is %v: %s %+v", active, got.Data, got.Errors)
		}
		if !active {
			c.refused(triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": users("ana")}}, "WORKFLOW_INACTIVE", "input.workflow")
		}
	}
	c.trigger(vars{"workflow": "note", "recipients": users("ana")})
	c.refused(`mutation { setWorkflowActive(input: {key: "unknown", active: true}) { workflow { key } } }`, nil, "NOT_FOUND", "")
}

func TestWorkflowsArePaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.environment(t, "ours"), w.environment(t, "theirs")
	for _, key := range []string{"c", "a", "b"} {
		c.store(key, tell)
	}
	other.store("secret", tell)
	c.store("b", `[{"ref": "wait", "delay": {"for": "P1D"}}]`)
	type page struct {
		Workflows struct {
			Edges []struct {
				Cursor string
				Node   struct {
					Key    string
					Number int
				}
			}
			PageInfo struct {
				HasNextPage bool
				EndCursor   *string
			}
		}
	}
	const query = `query ($first: Int!, $after: String) { workflows(first: $first, after: $after) { edges { cursor node { key number } } pageInfo { hasNextPage endCursor } } }`
	var got []string
	var after *string
	for range 3 {
		p := ask[page](c, query, vars{"first": 2, "after": after}).Workflows
		for _, e := range p.Edges {
			got = append(got, fmt.Sprint(e.Node.Key, e.Node.Number))
		}
		if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
			break
		}
	}
	if diff := cmp.Diff([]string{"a1", "b2", "c1"}, got); diff != "" {
		t.Errorf("workflows (-want +got):\n%s", diff)
	}
	c.refused(`{ workflows(first: 101) { pageInfo { hasNextPage } } }`, nil, "TOO_LARGE", "first")
	c.refused(`{ workflows(after: "A B") { pageInfo { hasNextPage } } }`, nil, "INVALID", "after")
}
