package graph

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/engine"
)

const createSchedules = `mutation ($schedules: [ScheduleInput!]!) { createSchedules(input: {schedules: $schedules}) { results {
	schedule { id workflow recipient { externalId } actor { externalId } tenant data rules startsAt endsAt paused nextAt lastAt } error { code message field limit } } } }`

const updateSchedules = `mutation ($input: UpdateSchedulesInput!) { updateSchedules(input: $input) { results { schedule { id paused nextAt endsAt rules } error { code field } } } }`

const deleteSchedules = `mutation ($ids: [ID!]!) { deleteSchedules(input: {ids: $ids}) { deleted notFound } }`

type scheduled struct {
	Results []struct {
		Schedule *struct {
			ID, Workflow     string
			Recipient, Actor *struct{ ExternalID string }
			Tenant           *string
			Data             vars
			Rules            []vars
			StartsAt         time.Time
			EndsAt           *time.Time
			Paused           bool
			NextAt, LastAt   *time.Time
		}
		Error *struct {
			Code, Message, Field string
			Limit                int
		}
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.environment(t, "ours"), w.environment(t, "theirs")
	c.identify("ana", "ben")
	c.store("note", tell)
	starts := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	created := ask[struct{ CreateSchedules scheduled }](c, createSchedules, vars{"schedules": []vars{
		{"workflow": "note", "recipient": vars{"user": "ana", "data": vars{"more": 1}}, "rules": []vars{{"frequency": "weekly", "days": []string{"mon", "fri"}, "hours": 9}},
			"data": vars{"text": "x"}, "actor": vars{"user": "ben"}, "tenant": "acme"},
		{"workflow": "unknown", "recipient": vars{"user": "ana"}, "startsAt": starts},
		{"workflow": "note", "recipient": vars{"identify": vars{"id": "eve"}}, "startsAt": starts, "endsAt": starts.Add(time.Hour)},
		{"workflow": "note", "recipient": vars{"user": "ana"}, "startsAt": starts, "data": vars{"text": "\x00"}},
		{"workflow": "note", "recipient": vars{"user": "ana"}, "rules": []vars{{"frequency": "hourly", "hours": 9}}},
	}}).CreateSchedules.Results
	var failures []string
	for _, r := range created {
		if (r.Schedule == nil) == (r.Error == nil) {
			t.Fatalf("%+v", r)
		}
		if r.Error != nil {
			failures = append(failures, r.Error.Code+" "+r.Error.Field)
		}
	}
	if diff := cmp.Diff([]string{"NOT_FOUND input.schedules[1].workflow", "INVALID input.schedules[3].data.text", "INVALID input.schedules[4].rules[0].hours"}, failures); diff != "" {
		t.Fatalf("refused (-want +got):\n%s", diff)
	}
	s := created[0].Schedule
	if s.Workflow != "note" || s.Recipient.ExternalID != "ana" || s.Actor.ExternalID != "ben" || *s.Tenant != "acme" || s.Paused || s.NextAt == nil || s.LastAt != nil ||
		cmp.Diff(vars{"text": "x", "more": 1.0}, s.Data) != "" || cmp.Diff([]vars{{"frequency": "weekly", "days": []any{"mon", "fri"}, "hours": 9.0}}, s.Rules) != "" {
		t.Errorf("created: %+v", s)
	}
	once := created[2].Schedule
	if !once.StartsAt.Equal(starts) || !once.NextAt.Equal(starts) || once.EndsAt == nil || once.Actor != nil || once.Tenant != nil || once.Rules == nil || len(once.Rules) != 0 {
		t.Errorf("once: %+v", once)
	}

	const read = `query ($id: ID!) { schedule(id: $id) { id } node(id: $id) { ... on Schedule { workflow } } }`
	if got := c.call(read, vars{"id": s.ID}); string(got.Data) != `{"schedule":{"id":"`+s.ID+`"},"node":{"workflow":"note"}}` {
		t.Errorf("by id: %s %+v", got.Data, got.Errors)
	}
	if got := stranger.call(read, vars{"id": s.ID}); string(got.Data) != `{"schedule":null,"node":null}` {
		t.Errorf("a stranger reads %s", got.Data)
	}

	updated := ask[struct{ UpdateSchedules scheduled }](c, updateSchedules, vars{"input": vars{"ids": []string{once.ID, "x", s.ID}, "paused": true, "endsAt": nil}}).UpdateSchedules.Results
	if r := updated[0].Schedule; r.ID != once.ID || !r.Paused || r.NextAt != nil || r.EndsAt != nil {
		t.Errorf("paused: %+v", r)
	}
	if e := updated[1].Error; e == nil || e.Code != "NOT_FOUND" || e.Field != "input.ids[1]" || updated[2].Schedule.ID != s.ID {
		t.Errorf("an id that is none: %+v", updated[1:])
	}
	updated = ask[struct{ UpdateSchedules scheduled }](c, updateSchedules, vars{"input": vars{"ids": []string{s.ID}, "paused": false, "rules": vars{"frequency": "daily"}}}).UpdateSchedules.Results
	if r := updated[0].Schedule; r.Paused || r.NextAt == nil || len(r.Rules) != 1 || r.Rules[0]["frequency"] != "daily" {
		t.Errorf("resumed: %+v", r)
	}

	if got := stranger.call(deleteSchedules, vars{"ids": []string{s.ID}}); string(got.Data) != `{"deleteSchedules":{"deleted":0,"notFound":["`+s.ID+`"]}}` {
		t.Errorf("a stranger deletes %s", got.Data)
	}
	if got := c.call(deleteSchedules, vars{"ids": []string{"x", s.ID}}); string(got.Data) != `{"deleteSchedules":{"deleted":1,"notFound":["x"]}}` {
		t.Errorf("deleted: %s %+v", got.Data, got.Errors)
	}
}

func TestSchedulesOfACallAreLimited(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	ids := strings.Split(strings.Repeat("x,", engine.MaxScheduleIDs)+"x", ",")
	ask[any](c, deleteSchedules, vars{"ids": ids[1:]})
	c.refused(deleteSchedules, vars{"ids": ids}, "TOO_LARGE", "input.ids")
	c.refused(updateSchedules, vars{"input": vars{"ids": ids, "paused": true}}, "TOO_LARGE", "input.ids")
	many := make([]vars, engine.MaxSchedules+1)
	for i := range many {
		many[i] = vars{"workflow": "unknown", "recipient": vars{"user": "ana"}}
	}
	const count = `mutation ($schedules: [ScheduleInput!]!) { createSchedules(input: {schedules: $schedules}) { results { error { code } } } }`
	ask[any](c, count, vars{"schedules": many[1:]})
	c.refused(count, vars{"schedules": many}, "TOO_LARGE", "input.schedules")
}

func TestSchedulesArePagedAndFiltered(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana", "ben")
	c.store("a", tell)
	c.store("b", tell)
	for _, workflow := range []string{"a", "b"} {
		for _, user := range []string{"ana", "ben"} {
			ask[any](c, createSchedules, vars{"schedules": []vars{{"workflow": workflow, "recipient": vars{"user": user}, "rules": []vars{{"frequency": "daily"}}}}})
		}
	}
	type page struct {
		Schedules struct {
			Edges []struct {
				Node struct {
					Workflow  string
					Recipient struct{ ExternalID string }
				}
			}
			PageInfo struct {
				HasNextPage bool
				EndCursor   *string
			}
		}
	}
	const query = `query ($first: Int!, $after: String, $filter: ScheduleFilter) { schedules(first: $first, after: $after, filter: $filter) {
		edges { node { workflow recipient { externalId } } } pageInfo { hasNextPage endCursor } } }`
	for _, x := range []struct {
		filter vars
		want   []string
	}{
		{nil, []string{"b ben", "b ana", "a ben", "a ana"}},
		{vars{"workflow": "a"}, []string{"a ben", "a ana"}},
		{vars{"user": "ana"}, []string{"b ana", "a ana"}},
		{vars{"user": "ana", "workflow": "a"}, []string{"a ana"}},
		{vars{"user": "nobody"}, nil},
	} {
		var got []string
		var after *string
		for more := true; more; {
			p := ask[page](c, query, vars{"first": 3, "after": after, "filter": x.filter}).Schedules
			for _, e := range p.Edges {
				got = append(got, e.Node.Workflow+" "+e.Node.Recipient.ExternalID)
			}
			after, more = p.PageInfo.EndCursor, p.PageInfo.HasNextPage
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", x.filter, diff)
		}
	}
	c.refused(query, vars{"first": 101}, "TOO_LARGE", "first")
	c.refused(query, vars{"first": 1, "after": "x"}, "INVALID", "after")
}
