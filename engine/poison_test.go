package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// poison gives users a property; the workflow below makes a message of it.
func (w *world) poison(property, value string, users ...int) {
	w.t.Helper()
	for _, u := range users {
		if _, err := w.Recipients.IdentifyUser(w.t.Context(), w.env, recipient.Identity{
			RecipientRef: belfry.User(fmt.Sprint("u", u)), Properties: map[string]any{property: value}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestAFailingTemplateFailsItsRunAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(20)
	w.poison("zero", "yes", 3, 17)
	w.workflow("w", step("a", "", "{% if recipient.zero %}{{ 1 | divided_by: 0 }}{% endif %}x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 20)})
	w.drain()
	runs := w.runs(a.Trigger.ID)
	for user, r := range runs {
		failed := user == "u3" || user == "u17"
		if failed != (r.Status == Failed) || failed != (r.Log[0].Reason == "template_error") {
			t.Errorf("%s: %+v", user, r)
		}
	}
	w.expectExactlyOnce(20, 1)
	expect(t, "errors counted", w.Stats().Errors, 0)
}

// refusals are what PostgreSQL says no to, run by run.
var refusals = map[string]func(ctx context.Context, tx *postgres.Tx, m belfry.Message) error{
	"check violation": func(ctx context.Context, tx *postgres.Tx, _ belfry.Message) error {
		_, err := tx.Exec(ctx, `INSERT INTO sent (body) VALUES ('forbidden')`)
		return err
	},
	"NUL": func(ctx context.Context, tx *postgres.Tx, _ belfry.Message) error {
		_, err := tx.Exec(ctx, `INSERT INTO sent (body) VALUES ($1)`, "\x00")
		return err
	},
	"division by zero, wrapped": func(ctx context.Context, tx *postgres.Tx, _ belfry.Message) error {
		_, err := tx.Exec(ctx, `SELECT 1 / $1::int`, 0)
		return fmt.Errorf("count: %w", err)
	},
}

func TestARunThatTheDatabaseRefusesFailsAlone(t *testing.T) {
	t.Parallel()
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *Config) {
				c.Enqueue = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
					for _, m := range messages {
						if strings.HasSuffix(m.Content.Body.Content, "bad") {
							return refuse(ctx, tx, m)
						}
					}
					return record(ctx, tx, messages)
				}
			})
			w.users(30)
			w.poison("mark", "bad", 7)
			w.workflow("w", step("a", "", "first"), step("b", "", "Hi {{ recipient.mark }}"))
			a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 30)})
			worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
			for i, want := range []struct {
				n       int
				careful bool
			}{{30, true}, {30, false}, {0, false}} { // the second time around it is over, for good
				if n, err := worker.work(t.Context()); n != want.n || err != nil || worker.careful != want.careful {
					t.Errorf("work %d = %d, %v (careful: %v), want %+v", i, n, err, worker.careful, want)
				}
			}
			for user, r := range w.runs(a.Trigger.ID) {
				if user == "u7" {
					if r.Status != Failed || len(r.Log) != 1 || r.Log[0].Reason != "refused" || !strings.Contains(r.Log[0].Detail, "SQLSTATE") {
						t.Errorf("%s: %+v", user, r)
					}
				} else if r.Status != Done {
					t.Errorf("%s: %+v", user, r)
				}
			}
			w.expectExactlyOnce(30, 2) // nothing of the refused run: not even its first message
			s := w.Stats()
			if s.Errors != 0 || s.RunsFailed != 1 || s.RunsDone != 29 {
				t.Errorf("stats = %+v", s)
			}
		})
	}
}

// Any runs may be refused, in any mixture of triggers: the others neither get lost nor doubled, keep their order, and
// what announces them is announced only for what exists.
func TestRefusedRunsHurtNobodyElse(t *testing.T) {
	t.Parallel()
	shared := newWorld(t)
	shared.users(120)
	shared.workflow("w", step("a", "", "{{ recipient.mark }}"), step("b", "", "second"))
	rapid.Check(t, func(t *rapid.T) {
		w := *shared
		w.exec(`TRUNCATE triggers, fan_outs, runs, sent`)
		w.exec(`UPDATE recipients SET properties = '{"mark": "fine"}'`)
		bad := rapid.SliceOfNDistinct(rapid.IntRange(0, 119), 0, 12, rapid.ID).Draw(t, "bad")
		w.poison("mark", "forbidden", bad...)
		type key struct {
			recipient belfry.RecipientID
			trigger   [16]byte
			step      string
		}
		announced := make(map[key]int)
		w.Engine = w.node(func(c *Config) {
			c.BatchSize = rapid.IntRange(1, 90).Draw(t, "batch size")
			c.Enqueue = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
				// A feed does the same: it must not ring for what is undone later.
				tx.AfterCommit(func() {
					for _, m := range messages {
						announced[key{m.Recipient, m.Trigger, m.StepRef}]++
					}
				})
				return record(ctx, tx, messages)
			}
		})
		runs, failed := 0, 0
		for range rapid.IntRange(1, 5).Draw(t, "triggers") {
			first, n := rapid.IntRange(0, 60).Draw(t, "first"), rapid.IntRange(1, 60).Draw(t, "n")
			w.trigger(Request{Workflow: "w", Recipients: refer(first, n)})
			runs += n
			for _, u := range bad {
				if u >= first && u < first+n {
					failed++
				}
			}
		}
		w.drain()
		w.expectExactlyOnce(runs, 2)
		if n := one[int](&w, `SELECT count(*) FROM runs WHERE status = 'failed' AND log -> 0 ->> 'reason' = 'refused'`); n != failed {
			t.Fatalf("refused runs = %d, want %d", n, failed)
		}
		if n := one[int](&w, `SELECT count(*) FROM sent a JOIN sent b USING (recipient_id, trigger_id) WHERE a.step = 'a' AND b.step = 'b' AND a.id > b.id`); n != 0 {
			t.Fatalf("%d runs sent their steps in the wrong order", n)
		}
		for k, n := range announced {
			if n != 1 {
				t.Fatalf("%v was announced %d times", k, n)
			}
		}
		if len(announced) != 2*(runs-failed) {
			t.Fatalf("announced = %d, want %d", len(announced), 2*(runs-failed))
		}
		if shared.t.Failed() {
			t.Fatal("see above")
		}
	})
}

// Enqueue must see recipients in ascending order over all of its calls in a transaction, or two nodes that are careful
// at once deadlock.
func TestCarefulWritingKeepsTheOrderOfLocks(t *testing.T) {
	t.Parallel()
	var committed []belfry.RecipientID
	w := newWorld(t, func(c *Config) {
		c.Enqueue = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
			tx.AfterCommit(func() {
				for _, m := range messages {
					committed = append(committed, m.Recipient)
				}
			})
			return record(ctx, tx, messages)
		}
	})
	w.users(40)
	w.poison("mark", "forbidden", 5, 20)
	w.workflow("w", step("a", "", "{{ recipient.mark }}x{% if recipient.mark %}{% endif %}"), step("b", "recipient.mark != nil", "{{ recipient.mark }}"))
	people := refer(0, 40)
	slices.Reverse(people)
	w.trigger(Request{Workflow: "w", Recipients: people})
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 40)})
	worker := &worker{engine: w.Engine, rows: 2, bulkRows: 2, careful: true}
	if n, err := worker.work(t.Context()); n != 80 || err != nil {
		t.Fatal(n, err)
	}
	if len(committed) != 2*38 || !slices.IsSorted(committed) {
		t.Errorf("order of %d recipients: %v", len(committed), committed)
	}
}

// Only what a run wrote can be that run's fault.
func TestOtherDataExceptionsAreErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	// Claiming fails by a value: 22012.
	columns := one[string](w, `SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'triggers' AND column_name <> 'version_id'`)
	w.exec(`ALTER TABLE triggers RENAME TO real_triggers`)
	w.exec(`CREATE VIEW triggers AS SELECT version_id / 0 AS version_id, ` + columns + ` FROM real_triggers`)
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	if n, err := worker.work(t.Context()); n != 0 || !postgres.IsDataException(err) || worker.careful {
		t.Errorf("work = %d, %v (careful: %v), want an error", n, err, worker.careful)
	}
	w.exec(`DROP VIEW triggers`)
	w.exec(`ALTER TABLE real_triggers RENAME TO triggers`)
	w.drain()
	w.expectExactlyOnce(1, 1)
}

// A run that is there already is the one that counts: a second one neither takes its place nor blocks the queue.
func TestARunThatExistsAlreadyIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(5)
	w.workflow("w", step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 5)})
	w.exec(`UPDATE triggers SET recipient_ids = recipient_ids || recipient_ids[2:2]`) // a duplicate, by whatever magic
	w.drain()
	w.expectExactlyOnce(5, 1)
	expect(t, "bodies", len(w.bodies(a.Trigger.ID)), 5)
}

// The database takes nothing that the run has to say, not even why it failed: it still ends, and once.
func TestARunThatCannotBeWrittenFailsAllTheSame(t *testing.T) {
	t.Parallel()
	const wordy = `ALTER TABLE runs ADD CHECK (recipient_id <> %d OR length(log::text) < 100 OR status = 'waiting')`
	for name, steps := range map[string][]workflow.Step{
		"new":            {step("a", "", "{{ recipient.mark }}")},
		"behind a delay": {{Ref: "wait", Delay: &workflow.Delay{Window: within(10)}}, step("a", "", "{{ recipient.mark }}")},
		"behind a wait": {{Ref: "wait", WaitForEvent: &workflow.WaitForEvent{Event: workflow.WaitEvent{Type: workflow.CustomEvent, Name: "paid"},
			Timeout: within(10).For, OnTimeout: workflow.Continue}}, step("a", "", "{{ recipient.mark }}")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(3)
			w.poison("mark", "forbidden", 1)
			w.workflow("w", steps...)
			a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3)})
			if name != "new" {
				w.drain()
			}
			bad := one[int](w, `SELECT id FROM recipients WHERE external_id = 'u1'`)
			w.exec(fmt.Sprintf(wordy, bad))
			w.clock.add(10 * time.Second)
			w.drain()
			runs := w.runs(a.Trigger.ID)
			if r := runs["u1"]; r.Status != Failed || r.Log[len(r.Log)-1].Reason != "refused" {
				t.Errorf("u1: %+v", r)
			}
			expect(t, "others", [2]Status{runs["u0"].Status, runs["u2"].Status}, [2]Status{Done, Done})
			expect(t, "waits", one[int](w, `SELECT count(*) FROM waits`), 0)
			w.expectExactlyOnce(3, 1)
		})
	}
}

// A release that is stricter than the one that stored a version, or a workflow that is gone, fails runs of that version
// alone, and doesn't hold up the queue.
func TestUnusableVersionsFailTheirRunsAlone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"no longer compiles": `UPDATE workflow_versions SET definition = jsonb_set(definition, '{steps,0,inApp,body}', '"{{ unclosed"') WHERE id = $1`,
		"of another shape":   `UPDATE workflow_versions SET definition = '{"steps": 7}' WHERE id = $1`,
		"not an object":      `UPDATE workflow_versions SET definition = '[]' WHERE id = $1`,
		"deleted":            `DELETE FROM workflows WHERE id = (SELECT workflow_id FROM workflow_versions WHERE id = $1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(3)
			bad := w.workflow("bad", step("a", "", "x"))
			w.workflow("good", step("a", "", "x"))
			first := w.trigger(Request{Workflow: "bad", Recipients: refer(0, 3)})
			second := w.trigger(Request{Workflow: "good", Recipients: refer(0, 3)})
			w.exec(spoil, bad.ID)
			w.Engine = w.node() // one that hasn't compiled it yet
			w.drain()
			for user, r := range w.runs(first.Trigger.ID) {
				if r.Status != Failed || r.Log[0].Reason != "workflow_unusable" || r.Log[0].Detail == "" {
					t.Errorf("%s: %+v", user, r)
				}
			}
			expect(t, "bodies", len(w.bodies(second.Trigger.ID)), 3)
			w.expectExactlyOnce(6, 1)
			expect(t, "errors counted", w.Stats().Errors, 0)
		})
	}
}

func TestUnreadableDataFailsItsRunsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2)})
	w.exec(`UPDATE triggers SET data = '[1]'`)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2)})
	w.drain()
	expect(t, "log", w.runs(a.Trigger.ID)["u1"].Log[0].Reason, "data_unreadable")
	w.expectExactlyOnce(4, 1)
}

// The environment may be deleted while triggers wait: what is left of it is nobody's, and holds nobody up.
func TestDeletedEnvironmentsDoNotBlockTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", step("a", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), Tenant: "acme"})
	w.exec(`DELETE FROM environments WHERE id = $1`, w.env)
	w.env = w.environment("another")
	w.users(2)
	w.workflow("w", step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2)})
	w.drain()
	expect(t, "runs of the other", len(w.runs(a.Trigger.ID)), 2)
	expect(t, "runs", one[int](w, `SELECT count(*) FROM runs`), 2)
}
