package graph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/recipient"
)

const (
	upsertAudience = `mutation ($input: UpsertAudienceInput!) { upsertAudience(input: $input) { audience { key name dynamic condition conditions } } }`
	addMembers     = `mutation ($input: AddAudienceMembersInput!) { addAudienceMembers(input: $input) { results { recipient { id } error { code field } } } }`
	removeMembers  = `mutation ($input: RemoveAudienceMembersInput!) { removeAudienceMembers(input: $input) { results { recipient { id } error { code field } } } }`
	readAudience   = `query ($key: String!) { audience(key: $key) { name members { edges { node { user tenant } } pageInfo { hasNextPage } } } }`
)

func TestAudiencesAreTriggered(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.store("note", tell)
	ask[any](c, `mutation { a: identifyUser(input: {id: "ana", properties: {plan: "pro"}}) { user { id } } b: identifyUser(input: {id: "ben"}) { user { id } } }`, nil)
	for _, x := range []struct{ input, want vars }{
		{vars{"key": "vips", "name": "Very"}, vars{"key": "vips", "name": "Very", "dynamic": false, "condition": nil, "conditions": nil}},
		{vars{"key": "pros", "condition": `recipient.plan == "pro"`}, vars{"key": "pros", "name": "", "dynamic": true, "condition": `recipient.plan == "pro"`, "conditions": nil}},
		{vars{"key": "ana", "conditions": parse(t, `{"all": [{"variable": "recipient.id", "operator": "equal_to", "argument": "ana"}]}`)},
			vars{"key": "ana", "name": "", "dynamic": true, "condition": nil, "conditions": parse(t, `{"all": [{"variable": "recipient.id", "operator": "equal_to", "argument": "ana"}]}`)}},
	} {
		got := c.call(upsertAudience, vars{"input": x.input})
		if diff := cmp.Diff(vars{"upsertAudience": vars{"audience": x.want}}, parse(t, string(got.Data))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", got.Errors, diff)
		}
	}
	got := c.call(addMembers, vars{"input": vars{"audience": "vips", "users": []vars{{"user": "ben"}, {"user": "nobody"}}}})
	if string(got.Data) != `{"addAudienceMembers":{"results":[{"recipient":{"id":"ben"},"error":null},{"recipient":{"id":"nobody"},"error":{"code":"NOT_FOUND","field":"input.users[1]"}}]}}` {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
	ask[any](c, addMembers, vars{"input": vars{"audience": "vips", "users": []vars{{"user": "ana"}}, "tenant": "acme"}})
	if got = c.call(readAudience, vars{"key": "vips"}); string(got.Data) != `{"audience":{"name":"Very","members":{"edges":[{"node":{"user":"ben","tenant":null}},{"node":{"user":"ana","tenant":"acme"}}],"pageInfo":{"hasNextPage":false}}}}` {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
	id := c.trigger(vars{"workflow": "note", "data": vars{"text": "all"}, "recipients": []vars{{"audience": "vips"}, {"audience": "pros"}, {"audience": "ana"}}})
	eventually(t, "both are told", func() bool {
		return strings.Contains(string(c.call(`query ($id: ID!) { trigger(id: $id) { progress { recipients done expanding } } }`, vars{"id": id}).Data), `"recipients":2,"done":2,"expanding":false`)
	})
	if got = c.call(removeMembers, vars{"input": vars{"audience": "vips", "users": []string{"ana", "ben"}}}); !strings.Contains(string(got.Data), `"ana"},"error":{"code":"NOT_FOUND","field":"input.users[0]"}`) || !strings.Contains(string(got.Data), `"ben"},"error":null`) {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
	got = c.call(`mutation { deleteAudience(input: {key: "pros"}) { key } }`, nil)
	if list := c.call(`{ audiences { edges { node { key } } } audience(key: "pros") { key } }`, nil); string(list.Data) != `{"audiences":{"edges":[{"node":{"key":"ana"}},{"node":{"key":"vips"}}]},"audience":null}` {
		t.Errorf("after deleting (%s): %s %+v", got.Data, list.Data, list.Errors)
	}
}

func TestAudiencesThatAreRefused(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.store("note", tell)
	c.identify("ana")
	for field, input := range map[string]vars{
		"input.key": {"key": "No"}, "input.name": {"key": "a", "name": "\x00"}, "input.condition": {"key": "a", "condition": "data.n"},
		"input.conditions": {"key": "a", "conditions": vars{"all": []any{}}},
	} {
		c.refused(upsertAudience, vars{"input": input}, "INVALID", field)
	}
	c.refused(addMembers, vars{"input": vars{"audience": "none", "users": users("ana")}}, "NOT_FOUND", "input.audience")
	c.refused(removeMembers, vars{"input": vars{"audience": "none", "users": make([]string, recipient.MaxAudienceMembers+1)}}, "TOO_LARGE", "input.users")
	c.refused(`mutation { deleteAudience(input: {key: "none"}) { key } }`, nil, "NOT_FOUND", "input.key")
	got := ask[struct {
		TriggerWorkflow struct {
			Rejected []struct {
				Index int
				Code  string
			}
		}
	}](c, triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": []vars{{"user": "ana"}, {"audience": "none"}}}})
	if r := got.TriggerWorkflow.Rejected; len(r) != 1 || r[0].Index != 1 || r[0].Code != "NOT_FOUND" {
		t.Errorf("rejected: %+v", r)
	}
	c.refused(triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": []vars{{"user": "ana", "audience": "a"}}}}, "INVALID", "input.recipients[0]")
	c.refused(triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": []vars{{"audience": "A"}}}}, "INVALID", "input.recipients[0].audience")
	c.refused(`mutation ($s: [ScheduleInput!]!) { createSchedules(input: {schedules: $s}) { results { error { code } } } }`,
		vars{"s": []vars{{"workflow": "note", "recipient": vars{"audience": "a"}, "startsAt": "2050-01-01T00:00:00Z"}}}, "INVALID", "input.schedules[0].recipient.audience")
}
