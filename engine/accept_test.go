package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/recipient"
)

// acceptances counts the triggers that were tried with remembered ids, and those for which everybody was looked up.
type acceptances struct{ remembered, lookedUp atomic.Int32 }

func (a *acceptances) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	switch data.SQL {
	case insertRemembered:
		a.remembered.Add(1)
	case insertLookedUp:
		a.lookedUp.Add(1)
	}
	return ctx
}

func (a *acceptances) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// traced is a node whose statements somebody looks at.
func (w *world) traced(tracer pgx.QueryTracer, configure ...func(*Config)) *Engine {
	w.t.Helper()
	config := w.pool.Config()
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { pgtest.Close(w.t, pool) })
	return w.node(append(configure, func(c *Config) { c.Pool = pool })...)
}

// newAccepting is a world with the workflow "w" and so many users, whose node is looked at.
func newAccepting(t *testing.T, users int) (*world, *acceptances) {
	t.Helper()
	w := newWorld(t)
	w.users(users)
	w.workflow("w", step("a", "", "x"))
	statements := &acceptances{}
	w.Engine = w.traced(statements)
	return w, statements
}

// Who was named before isn't looked up again, until somebody leaves the environment.
func TestIDsOfRecipientsAreRemembered(t *testing.T) {
	t.Parallel()
	w, statements := newAccepting(t, 3)
	w.exec(`INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at) VALUES ($1, '$tenants', 'acme', $2, $2)`, w.env, epoch)
	other := w.environment("other")
	for i, c := range []struct {
		before               func()
		request              Request
		remembered, lookedUp int32
		recipients           string
	}{
		{nil, Request{Recipients: refer(0, 2)}, 0, 0, "{1,2}"}, // the version isn't known yet
		{nil, Request{Recipients: refer(0, 2)}, 0, 1, "{1,2}"},
		{nil, Request{Recipients: refer(0, 2)}, 1, 0, "{1,2}"},
		{nil, Request{Recipients: []Party{refer(1, 1)[0], refer(0, 1)[0], refer(1, 1)[0]}}, 1, 0, "{2,1}"},
		{nil, Request{Recipients: refer(0, 3)}, 0, 1, "{1,2,3}"}, // one is new
		{nil, Request{Recipients: refer(0, 1), Actor: &refer(2, 1)[0], Tenant: "acme"}, 0, 1, "{1}"},
		{nil, Request{Recipients: refer(0, 1), Actor: &refer(2, 1)[0], Tenant: "acme"}, 1, 0, "{1}"},
		{nil, Request{Recipients: refer(0, 1), Actor: &refer(2, 1)[0]}, 1, 0, "{1}"},
		{func() { w.users(4) }, Request{Recipients: refer(0, 3)}, 1, 0, "{1,2,3}"},
		{func() { w.exec(`DELETE FROM recipients WHERE external_id = 'u3'`) }, Request{Recipients: refer(0, 3)}, 1, 1, "{1,2,3}"},
		{nil, Request{Recipients: refer(0, 3)}, 1, 0, "{1,2,3}"},
		{nil, Request{Recipients: refer(2, 1), Actor: &refer(1, 1)[0], Tenant: "acme"}, 0, 1, "{3}"}, // the tenant was found in the epoch before
		{func() { w.exec(`UPDATE workflows SET active = false`) }, Request{Recipients: refer(0, 1)}, 1, 1, ""},
		{func() { w.exec(`UPDATE workflows SET active = true`) }, Request{Recipients: refer(0, 1)}, 1, 0, "{1}"},
	} {
		if c.before != nil {
			c.before()
		}
		statements.remembered.Store(0)
		statements.lookedUp.Store(0)
		c.request.Workflow = "w"
		got := ""
		a, err := w.Trigger(t.Context(), w.env, &c.request)
		if err == nil {
			got = one[string](w, `SELECT recipient_ids::text FROM triggers WHERE id = $1 AND actor_id IS NOT DISTINCT FROM
				(SELECT id FROM recipients WHERE external_id = nullif($2, '')) AND tenant_id IS NOT DISTINCT FROM
				(SELECT id FROM recipients WHERE external_id = nullif($3, ''))`, a.Trigger.ID, actorOf(&c.request), c.request.Tenant)
		}
		expect(t, fmt.Sprintf("%d: recipients", i), got, c.recipients)
		expect(t, fmt.Sprintf("%d: with remembered ids", i), statements.remembered.Load(), c.remembered)
		expect(t, fmt.Sprintf("%d: looked up", i), statements.lookedUp.Load(), c.lookedUp)
	}
	if _, err := w.Trigger(t.Context(), other, &Request{Workflow: "w", Recipients: refer(0, 1)}); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("another environment: %v", err)
	}
}

func actorOf(r *Request) string {
	if r.Actor == nil {
		return ""
	}
	return r.Actor.Ref.ExternalID
}

// A server that was started anew may have lost what was committed last: nothing that was found before is relied on.
func TestIDsAreLookedUpOnAnotherServer(t *testing.T) {
	t.Parallel()
	w, statements := newAccepting(t, 2)
	request := Request{Workflow: "w", Recipients: refer(0, 1)}
	w.trigger(request)
	w.Recipients.Remember(w.env, recipient.Epoch{Server: epoch}, []belfry.RecipientRef{belfry.User("u0")}, []belfry.RecipientID{2})
	a := w.trigger(request)
	expect(t, "recipients", one[string](w, `SELECT recipient_ids::text FROM triggers WHERE id = $1`, a.Trigger.ID), "{1}")
	expect(t, "with remembered ids", statements.remembered.Load(), 1)
	expect(t, "looked up", statements.lookedUp.Load(), 1)
}

// Until a deletion is committed triggers are for whoever had the id, as if they had come before it. From then on they are not.
func TestDeletionsCountFromTheirCommit(t *testing.T) {
	t.Parallel()
	w, statements := newAccepting(t, 1)
	request := Request{Workflow: "w", Recipients: refer(0, 1)}
	for range 2 {
		w.trigger(request)
	}
	statements.lookedUp.Store(0)
	deletion, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deletion.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := deletion.Exec(t.Context(), `DELETE FROM recipients`); err != nil {
		t.Fatal(err)
	}
	before := w.trigger(request)
	expect(t, "recipients before the commit", before.Trigger.Recipients, 1)
	expect(t, "looked up", statements.lookedUp.Load(), 0)
	if err := deletion.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := w.trigger(request)
	expect(t, "recipients behind it", after.Trigger.Recipients, 0)
	expect(t, "rejected", len(after.Rejected), 1)
}

// Whatever two nodes remember, and whoever of those they know is deleted, merged and identified anew: a trigger is for those who have the
// ids as it is accepted.
func TestTriggersAreForThoseWhoHaveTheIDsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workflow("w", step("a", "", "x"))
	statements := &acceptances{}
	nodes := []*Engine{w.traced(statements), w.traced(statements)}
	names := []string{"ann", "ben", "cal"}
	rapid.Check(t, func(r *rapid.T) {
		current := map[string]belfry.RecipientID{}
		for _, name := range names { // of the check before
			_, err := nodes[0].Recipients.Delete(t.Context(), w.env, []belfry.RecipientRef{belfry.User(name)}, "")
			if err != nil {
				r.Fatal(err)
			}
		}
		any := rapid.SampledFrom(names)
		node := func(r *rapid.T) *Engine { return nodes[rapid.IntRange(0, 1).Draw(r, "node")] }
		identify := func(r *rapid.T) {
			name := any.Draw(r, "who")
			if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
				ids, err := node(r).Recipients.Identify(t.Context(), tx, w.env, []recipient.Identity{{RecipientRef: belfry.User(name)}}, []string{""})
				current[name] = ids[belfry.User(name)]
				return err
			}); err != nil {
				r.Fatal(err)
			}
		}
		trigger := func(r *rapid.T) {
			who := rapid.SliceOfNDistinct(any, 1, 3, rapid.ID).Draw(r, "who")
			request := Request{Workflow: "w"}
			var want []belfry.RecipientID
			for _, name := range who {
				request.Recipients = append(request.Recipients, Party{Ref: belfry.User(name)})
				if id := current[name]; id != 0 {
					want = append(want, id)
				}
			}
			a, err := node(r).Trigger(t.Context(), w.env, &request)
			if err != nil {
				r.Fatal(err)
			}
			if got := one[[]belfry.RecipientID](w, `SELECT recipient_ids FROM triggers WHERE id = $1`, a.Trigger.ID); !slices.Equal(got, want) {
				r.Fatalf("%v: for %v, want %v", who, got, want)
			}
			if len(a.Rejected) != len(who)-len(want) {
				r.Fatalf("%v: rejected %v", who, a.Rejected)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"identify": identify, "identify more": identify,
			"trigger": trigger, "trigger more": trigger, "trigger often": trigger,
			"delete": func(r *rapid.T) {
				name := any.Draw(r, "who")
				if _, err := node(r).Recipients.Delete(t.Context(), w.env, []belfry.RecipientRef{belfry.User(name)}, ""); err != nil {
					r.Fatal(err)
				}
				delete(current, name)
			},
			"merge": func(r *rapid.T) {
				into, from := any.Draw(r, "into"), any.Draw(r, "from")
				if into == from || current[into] == 0 || current[from] == 0 {
					r.Skip("not two users")
				}
				if _, err := node(r).Recipients.MergeUsers(t.Context(), w.env, into, from); err != nil {
					r.Fatal(err)
				}
				delete(current, from)
			},
		})
	})
	if statements.remembered.Load() == 0 || statements.lookedUp.Load() == 0 {
		t.Error("one of the two ways was never taken")
	}
}
