package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// inline identifies a user on the spot.
func inline(id string, properties map[string]any) Party {
	return Party{Identify: &recipient.Identity{RecipientRef: belfry.User(id), Properties: properties}}
}

// rows counts what a trigger may write.
func (w *world) rows() map[string]int {
	out := make(map[string]int)
	for _, table := range []string{"triggers", "fan_outs", "runs", "recipients", "idempotency_keys"} {
		out[table] = one[int](w, `SELECT count(*) FROM `+table)
	}
	return out
}

func TestTriggerAccepts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	v := w.workflow("w", step("a", "", "x"))
	data := map[string]any{"order": json.Number("1234567890123456789"), "html": "<&>"}
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), Data: data})
	if a.Trigger.VersionID != v.ID || a.Trigger.Recipients != 2 || !a.Trigger.AcceptedAt.Equal(epoch) || a.Rejected != nil || a.Replayed {
		t.Errorf("accepted = %+v", a)
	}
	stored, err := w.TriggerByID(t.Context(), w.env, a.Trigger.ID)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "stored trigger", *stored, a.Trigger)
	expect(t, "triggers counted", w.Stats().Triggers, 1)
}

func TestTriggerRejectsPerRecipient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", step("a", "", "Hi {{ recipient.name }}"))
	a := w.trigger(Request{Workflow: "w", Recipients: []Party{
		{Ref: belfry.User("u0")},
		{Ref: belfry.User("nobody")},
		{Ref: belfry.User("a/b")},
		inline("new", map[string]any{"name": "New"}),
		inline("bad", map[string]any{"timezone": "Mars/Olympus"}),
		{Ref: belfry.User("u0")}, // again
		{Ref: belfry.User("")},
		inline("u1", map[string]any{"name": "Renamed"}),
		{Ref: belfry.User("new")}, // by id what is identified in the same request
	}})
	type rejected struct {
		Index int
		Code  belfry.Code
	}
	var got []rejected
	for _, r := range a.Rejected {
		got = append(got, rejected{r.Index, r.Code})
		if r.Message == "" {
			t.Errorf("recipient %d: no message", r.Index)
		}
	}
	expect(t, "rejected", got, []rejected{{1, belfry.NotFound}, {2, belfry.Invalid}, {4, belfry.Invalid}, {6, belfry.Invalid}})
	expect(t, "recipients", a.Trigger.Recipients, 3)
	w.drain()
	expect(t, "bodies", w.bodies(a.Trigger.ID), map[string][]string{"u0": {"Hi User 0"}, "new": {"Hi New"}, "u1": {"Hi Renamed"}})
	if n := one[int](w, `SELECT count(*) FROM recipients WHERE external_id IN ('nobody', 'bad')`); n != 0 {
		t.Error("rejected recipients were made known")
	}
}

func TestTriggerWithEverybodyRejectedIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workflow("w", step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), IdempotencyKey: "k"})
	if a.Trigger.Recipients != 0 || len(a.Rejected) != 2 {
		t.Errorf("accepted = %+v", a)
	}
	again := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), IdempotencyKey: "k"})
	if !again.Replayed {
		t.Error("not replayed")
	}
	again.Replayed = false
	expect(t, "replay", again, a)
	w.drain()
	expect(t, "rows", w.rows(), map[string]int{"triggers": 1, "fan_outs": 0, "runs": 0, "recipients": 0, "idempotency_keys": 1})
}

func TestTriggerMakesTheTenantKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "{{ tenant.id }}/{{ tenant.collection }}"))
	var ids []string
	for range 2 { // the second time it is known
		a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Tenant: "acme"})
		ids = append(ids, a.Trigger.ID.String())
		w.drain()
		expect(t, "bodies", w.bodies(a.Trigger.ID), map[string][]string{"u0": {"acme/$tenants"}})
	}
	if n := one[int](w, `SELECT count(*) FROM recipients WHERE collection = '$tenants'`); n != 1 {
		t.Errorf("tenants = %d, want 1 (%v)", n, ids)
	}
}

func TestTriggerErrorsStoreNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	deep := any("x")
	for range belfry.MaxJSONDepth {
		deep = []any{deep}
	}
	fill := func(n int) map[string]any { return map[string]any{"k": strings.Repeat("x", n-len(`{"k":""}`))} }
	one := refer(0, 1)
	newcomer := []Party{inline("newcomer", nil), {Ref: belfry.User("u0")}}
	for name, c := range map[string]struct {
		request Request
		code    belfry.Code
		field   string
		limit   int
	}{
		"no workflow":         {Request{Recipients: newcomer}, belfry.Invalid, "input.workflow", 0},
		"unknown workflow":    {Request{Workflow: "nope", Recipients: newcomer}, belfry.NotFound, "input.workflow", 0},
		"no recipients":       {Request{Workflow: "w"}, belfry.Invalid, "input.recipients", 0},
		"too many recipients": {Request{Workflow: "w", Recipients: refer(0, MaxRecipients+1)}, belfry.TooLarge, "input.recipients", MaxRecipients},
		"unknown actor":       {Request{Workflow: "w", Recipients: newcomer, Actor: &Party{Ref: belfry.User("ghost")}}, belfry.NotFound, "input.actor.user", 0},
		"invalid actor":       {Request{Workflow: "w", Recipients: newcomer, Actor: &Party{Ref: belfry.User("a#b")}}, belfry.Invalid, "input.actor.user", 0},
		"invalid tenant":      {Request{Workflow: "w", Recipients: newcomer, Tenant: "a/b"}, belfry.Invalid, "input.tenant", 0},
		"too much data":       {Request{Workflow: "w", Recipients: newcomer, Data: fill(MaxDataSize + 1)}, belfry.TooLarge, "input.data", MaxDataSize},
		"NUL in data":         {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"a": []any{"\x00"}}}, belfry.Invalid, "input.data.a[0]", 0},
		"NUL in a key":        {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"\x00": 1}}, belfry.Invalid, "input.data", 0},
		"NUL the back way":    {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"a": []string{"\x00"}}}, belfry.Invalid, "input.data", 0},
		"deep data":           {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"k": deep}}, belfry.TooLarge, "input.data.k" + strings.Repeat("[0]", belfry.MaxJSONDepth-1), belfry.MaxJSONDepth},
		"huge number":         {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"n": json.Number("1e400")}}, belfry.Invalid, "input.data.n", 0},
		"tiny number":         {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"n": json.Number("1e-30000")}}, belfry.Invalid, "input.data", 0},
		"no number":           {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"n": json.Number("one")}}, belfry.Invalid, "input.data.n", 0},
		"not JSON":            {Request{Workflow: "w", Recipients: newcomer, Data: map[string]any{"f": func() {}}}, belfry.Invalid, "input.data", 0},
		"long key":            {Request{Workflow: "w", Recipients: one, IdempotencyKey: strings.Repeat("ü", MaxIdempotencyKeyLength+1)}, belfry.TooLarge, "input.idempotencyKey", MaxIdempotencyKeyLength},
		"NUL in the key":      {Request{Workflow: "w", Recipients: one, IdempotencyKey: "\x00"}, belfry.Invalid, "input.idempotencyKey", 0},
		"too many properties": {Request{Workflow: "w", Recipients: []Party{inline("newcomer", nil), inline("big", map[string]any{"x": strings.Repeat("x", recipient.MaxPropertiesSize)})}, IdempotencyKey: "k"},
			belfry.TooLarge, "input.recipients[1].identify.properties", recipient.MaxPropertiesSize},
	} {
		t.Run(name, func(t *testing.T) { // in turn: they count the same rows
			before := w.rows()
			a, err := w.Trigger(t.Context(), w.env, &c.request)
			if a != nil {
				t.Errorf("accepted %+v", a)
			}
			expectError(t, err, c.code, c.field, c.limit)
			expect(t, "rows", w.rows(), before)
		})
	}
	expect(t, "triggers counted", w.Stats().Triggers, 0)
}

func TestTriggerAtItsLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(MaxRecipients)
	w.workflow("w", step("a", "", "x"))
	deep := any("x")
	for range belfry.MaxJSONDepth - 1 {
		deep = []any{deep}
	}
	for name, r := range map[string]Request{
		"recipients": {Workflow: "w", Recipients: refer(0, MaxRecipients)},
		// "<" is one byte, however it is encoded
		"data":  {Workflow: "w", Recipients: refer(0, 1), Data: map[string]any{"k": strings.Repeat("<", MaxDataSize-len(`{"k":""}`))}},
		"depth": {Workflow: "w", Recipients: refer(0, 1), Data: map[string]any{"k": deep}},
		"key":   {Workflow: "w", Recipients: refer(0, 1), IdempotencyKey: strings.Repeat("ü", MaxIdempotencyKeyLength)},
	} {
		a := w.trigger(r)
		expect(t, name+": recipients", a.Trigger.Recipients, len(r.Recipients))
	}
	w.drain()
	w.expectExactlyOnce(MaxRecipients+3, 1)
}

func TestTriggerLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("w", step("a", "", "x"))
	r := Request{Workflow: "w", Recipients: refer(0, 3)}
	var wg sync.WaitGroup
	for range 4 { // shared: the race detector looks on
		wg.Go(func() {
			if _, err := w.Trigger(t.Context(), w.env, &r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	expect(t, "the request afterwards", r, Request{Workflow: "w", Recipients: refer(0, 3)})
}

// Triggers and identifications of the same people, each in an order of its own, must not deadlock.
func TestTriggersAndIdentificationsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workflow("w", step("a", "", "x"))
	const rounds, people = 6, 16
	strides := []int{1, 3, 5, 7, 11, 13} // coprime to people: each makes an order of all
	var wg sync.WaitGroup
	for c, stride := range strides {
		wg.Go(func() {
			for round := range rounds {
				r := Request{Workflow: "w", Tenant: fmt.Sprint("t", (c+round)%3), Actor: &Party{}}
				*r.Actor = inline(fmt.Sprint("p", (c*5+round)%people), map[string]any{"c": c})
				for i := range people {
					at := (i*stride + round) % people
					r.Recipients = append(r.Recipients, inline(fmt.Sprint("p", at), map[string]any{"round": round}))
				}
				if _, err := w.Trigger(t.Context(), w.env, &r); err != nil {
					t.Errorf("trigger: %v", err)
				}
				if _, err := w.Recipients.IdentifyUser(t.Context(), w.env, recipient.Identity{RecipientRef: belfry.User(fmt.Sprint("p", round)), Properties: map[string]any{"x": c}}); err != nil {
					t.Errorf("identify: %v", err)
				}
			}
		})
	}
	wg.Wait()
	w.drain()
	w.expectExactlyOnce(len(strides)*rounds*people, 1)
}
