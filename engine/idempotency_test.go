package engine

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
)

func TestIdempotencyReplaysTheFirstAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", step("a", "", "x"))
	request := func() Request {
		return Request{Workflow: "w", IdempotencyKey: "k", Tenant: "acme", Recipients: append(refer(0, 2), Party{Ref: belfry.User("ghost")}),
			Data: map[string]any{"b": json.Number("12345678901234567890"), "a": []any{"<", nil, true}}}
	}
	first := w.trigger(request())
	w.clock.add(time.Hour)
	w.users(3)
	w.exec(`INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at) VALUES ($1, '$users', 'ghost', $2, $2)`, w.env, epoch)
	w.workflow("w", step("a", "", "newer")) // the answer stays the same all the same
	replay := w.trigger(request())
	if !replay.Replayed || first.Replayed {
		t.Errorf("replayed: %v, %v, want false, true", first.Replayed, replay.Replayed)
	}
	replay.Replayed = false
	expect(t, "replay", replay, first)
	expect(t, "triggers counted", w.Stats().Triggers, 1)
	if n := one[int](w, `SELECT count(*) FROM triggers`); n != 1 {
		t.Errorf("triggers = %d, want 1", n)
	}
	if one[bool](w, `SELECT result ? 'Data' OR result -> 'Trigger' ? 'Data' FROM idempotency_keys`) {
		t.Error("the key keeps a second copy of the data")
	}
}

func TestIdempotencyKeyOfAnotherRequestIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", step("a", "", "x"))
	w.workflow("v", step("a", "", "x"))
	base := Request{Workflow: "w", IdempotencyKey: "k", Recipients: refer(0, 1)}
	w.trigger(base)
	for name, change := range map[string]func(*Request){
		"workflow":   func(r *Request) { r.Workflow = "v" },
		"recipients": func(r *Request) { r.Recipients = refer(1, 1) },
		"data":       func(r *Request) { r.Data = map[string]any{"a": 1} },
		"tenant":     func(r *Request) { r.Tenant = "t" },
		"actor":      func(r *Request) { r.Actor = &Party{Ref: belfry.User("u1")} },
		"identity":   func(r *Request) { r.Recipients = []Party{inline("u0", nil)} },
	} {
		other := base
		change(&other)
		_, err := w.Trigger(t.Context(), w.env, &other)
		if belfry.CodeOf(err) != belfry.Conflict {
			t.Errorf("other %s: %v, want a conflict", name, err)
		}
	}
	same := base
	same.Data = map[string]any{} // none
	if a := w.trigger(same); !a.Replayed {
		t.Error("no data and empty data are told apart")
	}
}

func TestIdempotencyKeysExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	r := Request{Workflow: "w", IdempotencyKey: "k", Recipients: refer(0, 1)}
	first := w.trigger(r)
	w.clock.add(idempotencyTTL - time.Microsecond)
	if a := w.trigger(r); !a.Replayed {
		t.Error("expired too early")
	}
	w.clock.add(time.Microsecond)
	second := w.trigger(r)
	if second.Replayed || second.Trigger.ID == first.Trigger.ID {
		t.Error("did not expire")
	}
	if a := w.trigger(r); !a.Replayed || a.Trigger.ID != second.Trigger.ID {
		t.Error("the key was not taken anew")
	}
}

func TestExpiredKeysAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO idempotency_keys (environment_id, key, request_hash, expires_at)
		SELECT $1, 'k' || i, '', $2::timestamptz + i * interval '1 ms' FROM generate_series(1, $3::int) i`, w.env, epoch, prunedAtOnce+5)
	w.clock.add((prunedAtOnce + 3) * time.Millisecond) // two statements' worth
	if err := w.pruneOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, "keys left", one[int](w, `SELECT count(*) FROM idempotency_keys`), 2)
}

func TestFailedRequestsLeaveTheirKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	r := Request{Workflow: "w", IdempotencyKey: "k", Recipients: refer(0, 1)}
	_, err := w.Trigger(t.Context(), w.env, &r)
	expectError(t, err, belfry.NotFound, "input.workflow", 0)
	w.workflow("w", step("a", "", "x"))
	if a := w.trigger(r); a.Replayed {
		t.Error("an error was remembered")
	}
}

func TestIdempotencyKeysBelongToTheirEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workflow("w", step("a", "", "x"))
	r := Request{Workflow: "w", IdempotencyKey: "k", Recipients: []Party{inline("u", nil)}}
	first := w.trigger(r)
	w.env = w.environment("staging")
	w.workflow("w", step("a", "", "x"))
	if a := w.trigger(r); a.Replayed || a.Trigger.ID == first.Trigger.ID {
		t.Error("another environment's answer was replayed")
	}
}

func TestConcurrentRequestsWithOneKeyAreAcceptedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workflow("w", step("a", "", "x"))
	const callers = 20
	answers := make([]*Accepted, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			a, err := w.Trigger(t.Context(), w.env, &Request{Workflow: "w", IdempotencyKey: "k", Recipients: []Party{inline("a", nil), inline("b", nil)}})
			if err != nil {
				t.Error(err)
				return
			}
			answers[i] = a
		})
	}
	wg.Wait()
	replays := 0
	for _, a := range answers {
		if a == nil {
			t.FailNow()
		}
		if a.Replayed {
			replays++
		}
		if a.Trigger.ID != answers[0].Trigger.ID {
			t.Error("two different triggers were answered")
		}
	}
	expect(t, "replays", replays, callers-1)
	expect(t, "triggers", one[int](w, `SELECT count(*) FROM triggers`), 1)
}
