package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestCreateSchedulesKeepsTheGoodOnes(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	strict := &workflow.Definition{Name: "strict", DataSchema: []byte(`{"required": ["x"]}`), Steps: []workflow.Step{step("a", "", "x")}}
	if _, problems, err := w.Upsert(t.Context(), w.env, "strict", strict); err != nil || problems != nil {
		t.Fatal(problems, err)
	}
	rules := []calendar.Rule{daily(9, 0)}
	soon := epoch.Add(time.Hour)
	u0 := Party{Ref: belfry.User("u0")}
	identify := func(id string, properties map[string]any) Party {
		return Party{Identify: &recipient.Identity{RecipientRef: belfry.User(id), Properties: properties}}
	}
	huge := map[string]any{"a": strings.Repeat("x", recipient.MaxPropertiesSize)}
	many := make([]calendar.Rule, MaxScheduleRules+1)
	for i := range many {
		many[i] = daily(9, 0)
	}
	type failure struct {
		code  belfry.Code
		field string
		limit int
	}
	cases := []struct {
		in   ScheduleInput
		want failure
	}{
		{ScheduleInput{Workflow: "w", Recipient: u0, StartsAt: soon}, failure{}},
		{ScheduleInput{Recipient: u0, StartsAt: soon}, failure{belfry.Invalid, "workflow", 0}},
		{ScheduleInput{Workflow: "v", Recipient: u0, StartsAt: soon}, failure{belfry.NotFound, "workflow", 0}},
		{ScheduleInput{Workflow: "strict", Recipient: u0, StartsAt: soon}, failure{belfry.Invalid, "data", 0}},
		{ScheduleInput{Workflow: "strict", Recipient: Party{Ref: belfry.User("u0"), Data: map[string]any{"x": 1}}, StartsAt: soon}, failure{}},
		{ScheduleInput{Workflow: "w", Recipient: Party{Ref: belfry.User("who")}, StartsAt: soon, Tenant: "never"}, failure{belfry.NotFound, "recipient", 0}},
		{ScheduleInput{Workflow: "w", Recipient: Party{Ref: belfry.User("a/b")}, StartsAt: soon}, failure{belfry.Invalid, "recipient.user", 0}},
		{ScheduleInput{Workflow: "w", Recipient: identify("new", map[string]any{"name": "New"}), StartsAt: soon, Tenant: "acme"}, failure{}},
		{ScheduleInput{Workflow: "w", Recipient: identify("bad", map[string]any{"name": 1}), StartsAt: soon}, failure{belfry.Invalid, "recipient.identify.name", 0}},
		{ScheduleInput{Workflow: "w", Recipient: identify("huge", huge), StartsAt: soon}, failure{belfry.TooLarge, "recipient.identify.properties", recipient.MaxPropertiesSize}},
		{ScheduleInput{Workflow: "w", Recipient: u0, StartsAt: soon, Actor: &Party{Ref: belfry.User("who")}}, failure{belfry.NotFound, "actor", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, StartsAt: soon, Tenant: "a/b"}, failure{belfry.Invalid, "tenant", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0}, failure{belfry.Invalid, "startsAt", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, StartsAt: epoch}, failure{belfry.Invalid, "startsAt", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: rules, StartsAt: at("1969-12-31T00:00Z")}, failure{belfry.Invalid, "startsAt", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: rules, StartsAt: at("2020-01-01T00:00Z")}, failure{}},
		{ScheduleInput{Workflow: "w", Recipient: u0, StartsAt: soon, EndsAt: epoch}, failure{belfry.Invalid, "endsAt", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: rules, EndsAt: epoch.Add(time.Minute)}, failure{belfry.Invalid, "endsAt", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: []calendar.Rule{daily(9, 0), daily(9, 1)}}, failure{belfry.Invalid, "rules[1].minutes", 0}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: many}, failure{belfry.TooLarge, "rules", MaxScheduleRules}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: many[1:]}, failure{}},
		{ScheduleInput{Workflow: "w", Recipient: u0, Rules: []calendar.Rule{{Frequency: calendar.Daily, Interval: 7, Days: calendar.Weekdays{time.Monday}}}},
			failure{belfry.Invalid, "rules", 0}}, // epoch is a Tuesday
		{ScheduleInput{Workflow: "w", Recipient: u0, StartsAt: soon, Data: map[string]any{"x": "\x00"}}, failure{belfry.Invalid, "data.x", 0}},
	}
	inputs := make([]ScheduleInput, len(cases))
	wanted := 0
	for i, c := range cases {
		if inputs[i] = c.in; c.want.code == "" {
			wanted++
		}
	}
	results, err := w.CreateSchedules(t.Context(), w.env, inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		got := results[i]
		if c.want.code == "" {
			if got.Err != nil || got.Schedule == nil {
				t.Errorf("%d: %v", i, got.Err)
			} else if diff := cmp.Diff(w.read(got.Schedule.ID).NextAt, got.Schedule.NextAt); diff != "" {
				t.Errorf("%d: %s", i, diff)
			}
			continue
		}
		if got.Schedule != nil {
			t.Errorf("%d: there is a schedule", i)
		}
		if got.Err == nil {
			t.Errorf("%d: no error, want %+v", i, c.want)
			continue
		}
		expectError(t, got.Err, c.want.code, fmt.Sprintf("input.schedules[%d].%s", i, c.want.field), c.want.limit)
	}
	expect(t, "stored", one[int](w, `SELECT count(*) FROM schedules`), wanted)
	expect(t, "who was made known", one[string](w, `SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM recipients WHERE external_id !~ '^u\d'`), "acme new")
}

func TestScheduleLimits(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	inputs := make([]ScheduleInput, MaxSchedules+1)
	for i := range inputs {
		inputs[i] = ScheduleInput{Workflow: "w", Recipient: Party{Ref: belfry.User("u0")}, StartsAt: epoch.Add(time.Hour)}
	}
	_, err := w.CreateSchedules(t.Context(), w.env, inputs)
	expectError(t, err, belfry.TooLarge, "input.schedules", MaxSchedules)
	_, err = w.CreateSchedules(t.Context(), w.env, nil)
	expectError(t, err, belfry.Invalid, "input.schedules", 0)
	results, err := w.CreateSchedules(t.Context(), w.env, inputs[1:])
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uuid.UUID, MaxScheduleIDs+1)
	for i := range ids {
		ids[i] = results[i].Schedule.ID
	}
	yes := true
	_, err = w.UpdateSchedules(t.Context(), w.env, ids, SchedulePatch{Paused: &yes})
	expectError(t, err, belfry.TooLarge, "input.ids", MaxScheduleIDs)
	if _, err := w.UpdateSchedules(t.Context(), w.env, ids[1:], SchedulePatch{Paused: &yes}); err != nil {
		t.Error(err)
	}
	expect(t, "paused", one[int](w, `SELECT count(*) FROM schedules WHERE paused`), MaxScheduleIDs)
	_, _, err = w.DeleteSchedules(t.Context(), w.env, ids)
	expectError(t, err, belfry.TooLarge, "input.ids", MaxScheduleIDs)
	stranger := uuid.New()
	deleted, missing, err := w.DeleteSchedules(t.Context(), w.env, append([]uuid.UUID{stranger}, ids[2:]...))
	if err != nil || deleted != MaxScheduleIDs-1 {
		t.Errorf("deleted = %d, %v", deleted, err)
	}
	expect(t, "not found", missing, []uuid.UUID{stranger})
	expect(t, "left", one[int](w, `SELECT count(*) FROM schedules`), MaxSchedules-deleted)

	results, err = w.UpdateSchedules(t.Context(), w.env, []uuid.UUID{ids[0], stranger, ids[0]}, SchedulePatch{Data: map[string]any{"x": 1}})
	if err != nil || results[0].Err != nil || results[2].Err != nil {
		t.Error(err, results)
	}
	expectError(t, results[1].Err, belfry.NotFound, "input.ids[1]", 0)
	_, err = w.UpdateSchedules(t.Context(), w.env, ids[:1], SchedulePatch{Rules: &[]calendar.Rule{{}}})
	expectError(t, err, belfry.Invalid, "input.rules[0].frequency", 0)
	w.clock.add(2 * time.Hour)
	expect(t, "triggers, many in one transaction", w.due(), MaxSchedules-MaxScheduleIDs) // the others are paused or deleted, but ids[0]
}

func TestSchedulePages(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.workflow("v", step("a", "", "x"))
	for i := range 12 {
		w.clock.add(time.Millisecond)
		w.schedule(ScheduleInput{Workflow: []string{"w", "v"}[i%2], Recipient: Party{Ref: belfry.User([]string{"u0", "u1", "u2"}[i%3])}, StartsAt: epoch.Add(time.Hour + time.Duration(i))})
	}
	u1 := one[belfry.RecipientID](w, `SELECT id FROM recipients WHERE external_id = 'u1'`)
	for _, c := range []struct {
		filter ScheduleFilter
		want   int
	}{{ScheduleFilter{}, 12}, {ScheduleFilter{Workflow: "v"}, 6}, {ScheduleFilter{Recipient: u1}, 4}, {ScheduleFilter{Workflow: "v", Recipient: u1}, 2}, {ScheduleFilter{Workflow: "x"}, 0}} {
		var after *uuid.UUID
		seen := []Schedule{}
		for {
			page, err := w.Schedules(t.Context(), w.env, c.filter, after, 5)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Schedules {
				s := &page.Schedules[i]
				if len(seen) > 0 && s.ID.String() >= seen[len(seen)-1].ID.String() || c.filter.Workflow != "" && s.Workflow != c.filter.Workflow ||
					c.filter.Recipient != 0 && s.Recipient != c.filter.Recipient {
					t.Errorf("%+v: %+v has no place here", c.filter, s)
				}
				seen = append(seen, *s)
			}
			if !page.More {
				break
			}
			after = &seen[len(seen)-1].ID
		}
		expect(t, "schedules", len(seen), c.want)
	}
	_, err := w.Schedules(t.Context(), w.env, ScheduleFilter{}, nil, MaxSchedulePage+1)
	expectError(t, err, belfry.TooLarge, "first", MaxSchedulePage)
	other := w.environment("other")
	if page, err := w.Schedules(t.Context(), other, ScheduleFilter{}, nil, 5); err != nil || len(page.Schedules) != 0 {
		t.Error("another environment sees them", err)
	}
	_, err = w.ScheduleByID(t.Context(), other, one[uuid.UUID](w, `SELECT id FROM schedules LIMIT 1`))
	expectError(t, err, belfry.NotFound, "", 0)
}
