package graph

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/graph/model"
)

const runFields = `id status waitingFor dueAt startedAt finishedAt hasErrors recipient { externalId } workflow { key active } trigger { id }
	steps { ref outcome reason detail at until message conditions }`

type runData struct {
	ID         string
	Status     string
	WaitingFor *string
	DueAt      *time.Time
	StartedAt  time.Time
	FinishedAt *time.Time
	HasErrors  bool
	Recipient  *struct{ ExternalID string }
	Workflow   struct {
		Key    string
		Active bool
	}
	Trigger struct{ ID string }
	Steps   []struct {
		Ref, Reason, Detail *string
		Outcome             string
		At                  time.Time
		Until               *time.Time
		Message             *string
		Conditions          []vars
	}
}

type runPageData struct {
	Edges []struct {
		Cursor string
		Node   runData
	}
	PageInfo struct {
		HasNextPage            bool
		StartCursor, EndCursor *string
	}
}

// runsOf reads a page of runs.
func (c *caller) runsOf(filter vars, first int, after *string) runPageData {
	c.t.Helper()
	return ask[struct{ Runs runPageData }](c, `query ($first: Int!, $after: String, $filter: RunFilter) { runs(first: $first, after: $after, filter: $filter) {
		edges { cursor node { `+runFields+` } } pageInfo { hasNextPage startCursor endCursor } } }`, vars{"first": first, "after": after, "filter": filter}).Runs
}

// names says which runs a page has: workflow and user.
func (p *runPageData) names() (out []string) {
	for _, e := range p.Edges {
		out = append(out, e.Node.Workflow.Key+" "+e.Node.Recipient.ExternalID)
	}
	return out
}

func TestARunTellsWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.environment(t, "ours"), w.environment(t, "theirs")
	c.identify("ana")
	c.store("story", `[{"ref": "no", "sms": {"body": "x"}}, {"ref": "if", "condition": "data.n == 1", "inApp": {"body": "x"}}, {"ref": "inbox", "inApp": {"body": "x"}},
		{"ref": "wait", "delay": {"for": "P1D"}}]`)
	trigger := c.trigger(vars{"workflow": "story", "recipients": users("ana")})
	c.settled(trigger)
	r := c.runsOf(nil, 10, nil).Edges[0].Node
	if r.Status != "WAITING" || *r.WaitingFor != "DELAY" || r.DueAt.Sub(r.StartedAt).Round(time.Minute) != 24*time.Hour || r.FinishedAt != nil || r.HasErrors ||
		r.Recipient.ExternalID != "ana" || r.Workflow.Key != "story" || !r.Workflow.Active || r.Trigger.ID != trigger {
		t.Errorf("the run is %+v", r)
	}
	var got []string
	for _, s := range r.Steps {
		line := fmt.Sprint(*s.Ref, " ", s.Outcome)
		if s.Reason != nil {
			line += " " + *s.Reason
		}
		got = append(got, line)
		if s.At.Sub(r.StartedAt).Abs() > time.Second {
			t.Errorf("%s was at %v, and the run began at %v", line, s.At, r.StartedAt)
		}
	}
	if diff := cmp.Diff([]string{"no SKIPPED missing_recipient_data", "if SKIPPED condition", "inbox SENT", "wait WAITING"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := r.Steps[1]; len(s.Conditions) != 1 || s.Conditions[0]["source"] != "data.n == 1" {
		t.Errorf("why it is false: %v", s.Conditions)
	}
	if s := r.Steps[2]; !strings.Contains(string(c.call(`query ($id: ID!) { node(id: $id) { ... on FeedItem { stepRef } } }`, vars{"id": *s.Message}).Data), `"inbox"`) {
		t.Errorf("the message %s isn't found", *s.Message)
	}
	for _, query := range []string{`query ($id: ID!) { run(id: $id) { ` + runFields + ` } }`, `query ($id: ID!) { run: node(id: $id) { ... on Run { ` + runFields + ` } } }`} {
		if diff := cmp.Diff(r, ask[struct{ Run runData }](c, query, vars{"id": r.ID}).Run); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if got := stranger.call(query, vars{"id": r.ID}); string(got.Data) != `{"run":null}` {
			t.Errorf("a stranger reads %s", got.Data)
		}
	}
	if got := stranger.runsOf(nil, 10, nil); len(got.Edges) != 0 || got.PageInfo.EndCursor != nil {
		t.Errorf("a stranger has %+v", got)
	}
	for _, id := range []string{"", "x", trigger, r.ID + "a", "cnVuOjE6", "cnVuOjA6MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAw"} {
		if got := c.call(`query ($id: ID!) { run(id: $id) { id } schedule(id: $id) { id } }`, vars{"id": id}); string(got.Data) != `{"run":null,"schedule":null}` {
			t.Errorf("the id %q names %s %+v", id, got.Data, got.Errors)
		}
	}
}

func TestRunsArePagedAndFiltered(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana", "ben", "eve")
	c.store("done", tell)
	c.store("wait", `[{"ref": "wait", "delay": {"for": "P1D"}}]`)
	c.store("fail", `[{"ref": "fail", "updateData": {"json": "[]"}}]`)
	early := time.Now()
	first := c.trigger(vars{"workflow": "done", "recipients": users("ana", "ben", "eve")})
	c.settled(first)
	between := time.Now()
	c.settled(c.trigger(vars{"workflow": "wait", "recipients": users("ana", "ben"), "tenant": "acme"}))
	last := c.trigger(vars{"workflow": "fail", "recipients": users("ana")})
	c.settled(last)

	all := []string{"fail ana", "wait ana", "wait ben", "done ana", "done ben", "done eve"}
	for name, x := range map[string]struct {
		filter vars
		want   []string
	}{
		"all":                  {nil, all},
		"of a workflow":        {vars{"workflow": "wait"}, all[1:3]},
		"of an unknown one":    {vars{"workflow": "unknown"}, nil},
		"for a user":           {vars{"user": "ben"}, []string{"wait ben", "done ben"}},
		"for nobody":           {vars{"user": "nobody"}, nil},
		"of a tenant":          {vars{"tenant": "acme"}, all[1:3]},
		"of no tenant":         {vars{"tenant": "unknown"}, nil},
		"in a state":           {vars{"statuses": []string{"WAITING"}}, all[1:3]},
		"in one of two":        {vars{"statuses": []string{"WAITING", "FAILED"}}, all[:3]},
		"with errors":          {vars{"hasErrors": true}, all[:1]},
		"without":              {vars{"hasErrors": false}, all[1:]},
		"from":                 {vars{"acceptedFrom": between}, all[:3]},
		"before":               {vars{"acceptedBefore": between}, all[3:]},
		"between":              {vars{"acceptedFrom": early, "acceptedBefore": between}, all[3:]},
		"everything must hold": {vars{"user": "ana", "workflow": "done", "statuses": []string{"DONE"}}, []string{"done ana"}},
	} {
		for size := 1; size <= 7; size += 3 {
			var got []string
			var after *string
			for range 10 {
				page := c.runsOf(x.filter, size, after)
				got = append(got, page.names()...)
				if n := len(page.Edges); n > 0 && *page.PageInfo.StartCursor != page.Edges[0].Cursor {
					t.Errorf("%s: a page begins elsewhere than with its first edge", name)
				}
				if after = page.PageInfo.EndCursor; !page.PageInfo.HasNextPage {
					break
				}
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("%s, %d a page (-want +got):\n%s", name, size, diff)
			}
		}
	}
	type ofTrigger struct{ Trigger struct{ Runs runPageData } }
	const query = `query ($id: ID!, $filter: TriggerRunFilter) { trigger(id: $id) { runs(first: 10, filter: $filter) {
		edges { node { id status recipient { externalId } workflow { key } trigger { id } } } pageInfo { hasNextPage } } } }`
	for user, want := range map[any][]string{nil: all[3:], "ben": {"done ben"}, "nobody": nil} {
		page := ask[ofTrigger](c, query, vars{"id": first, "filter": vars{"user": user, "statuses": []string{"DONE"}}}).Trigger.Runs
		if diff := cmp.Diff(want, page.names()); diff != "" || page.PageInfo.HasNextPage {
			t.Errorf("of the first trigger, for %v (-want +got):\n%s", user, diff)
		}
	}
	for size, code := range map[int]string{0: "TOO_LARGE", engine.MaxRunPage: "", engine.MaxRunPage + 1: "TOO_LARGE"} {
		if got := c.call(`query ($n: Int!) { runs(first: $n) { pageInfo { hasNextPage } } }`, vars{"n": size}); got.code() != code {
			t.Errorf("%d runs a page: %s %+v", size, got.Data, got.Errors)
		}
	}
	c.refused(`{ runs(after: "x") { pageInfo { hasNextPage } } }`, nil, "INVALID", "after")
	c.refused(`{ runs(filter: {tenant: "a/b"}) { pageInfo { hasNextPage } } }`, nil, "INVALID", "filter.tenant")
	c.refused(`{ runs(filter: {user: "a/b"}) { pageInfo { hasNextPage } } }`, nil, "INVALID", "filter.user")
}

// A page asks the database for the people of all its runs together.
func TestAPageLoadsWhatItRefersToTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	c.identify("ana", "ben", "eve", "sam")
	c.store("note", tell)
	for range 3 {
		c.settled(c.trigger(vars{"workflow": "note", "recipients": users("ana", "ben", "eve"), "actor": vars{"user": "sam"}}))
	}
	page, err := w.Engine.Runs(t.Context(), c.env, engine.RunFilter{}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	shared := w.runPage(t.Context(), c.env, page.Runs)
	if len(page.Runs) != 9 || len(shared.Triggers) != 3 || len(shared.Versions) != 1 {
		t.Errorf("%d runs have %d triggers and %d versions", len(page.Runs), len(shared.Triggers), len(shared.Versions))
	}
	users, err := shared.People()
	if err != nil || len(users) != 3 {
		t.Errorf("%d users, %v", len(users), err)
	}
}

// next waits for what a subscription tells; nil at its end.
func next(t *testing.T, events <-chan *model.Run) *model.Run {
	t.Helper()
	select {
	case r := <-events:
		return r
	case <-time.After(patience):
		t.Fatal("nothing was told")
		return nil
	}
}

func TestRunEventsTellARunToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.environment(t, "ours"), w.environment(t, "theirs")
	c.identify("ana")
	c.store("hear", `[{"ref": "w", "waitForEvent": {"event": {"type": "CUSTOM", "name": "paid"}}}, {"ref": "inbox", "inApp": {"body": "x"}}]`)
	c.settled(c.trigger(vars{"workflow": "hear", "recipients": users("ana")}))
	id := c.runsOf(nil, 1, nil).Edges[0].Node.ID
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	as := func(c *caller) context.Context { return auth.WithViewer(ctx, belfry.Viewer{Environment: c.env}) }
	events, err := w.Subscription().RunEvents(as(c), id)
	if err != nil {
		t.Fatal(err)
	}
	if r := next(t, events); r.ID() != id || r.Status() != model.RunStatusWaiting {
		t.Errorf("first, the run is %+v", r)
	}
	ask[any](c, `mutation { sendEvent(input: {user: "ana", event: "paid"}) { event } }`, nil)
	r := next(t, events)
	steps, err := r.Steps()
	if err != nil || r.Status() != model.RunStatusDone || steps[len(steps)-1].Outcome != model.StepOutcomeSent {
		t.Errorf("then it is %+v (%v)", r, err)
	}
	if r := next(t, events); r != nil {
		t.Errorf("after its end it is %+v", r)
	}
	for _, id := range []string{id + "x", "", c.trigger(vars{"workflow": "hear", "recipients": users("ana")})} {
		if _, err := w.Subscription().RunEvents(as(c), id); belfry.CodeOf(err) != belfry.NotFound {
			t.Errorf("the id %q: %v", id, err)
		}
	}
	if _, err := w.Subscription().RunEvents(as(stranger), id); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("a stranger: %v", err)
	}
	user := auth.WithViewer(ctx, belfry.Viewer{Environment: c.env, User: "ana"})
	if _, err := w.Subscription().RunEvents(user, id); belfry.CodeOf(err) != belfry.Forbidden {
		t.Errorf("a user: %v", err)
	}
}
