package engine

import (
	"fmt"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// shared is what an environment's workflows share, of one kind.
type shared struct {
	table, field string
	limit        int
	set          func(w *world, name string) error
}

var sharedKinds = map[string]shared{
	"variables": {"variables", "input.name", MaxVariables, func(w *world, name string) error { return w.SetVariable(w.t.Context(), w.env, name, 1) }},
	"partials":  {"partials", "input.key", MaxPartials, func(w *world, name string) error { return w.SetPartial(w.t.Context(), w.env, name, "Hi") }},
}

// fill sets as many as are wanted.
func (w *world) fill(kind shared, n int) {
	w.t.Helper()
	columns := map[string]string{"variables": "name, value", "partials": "key, source"}[kind.table]
	value := map[string]string{"variables": `'1'::jsonb`, "partials": `'Hi'`}[kind.table]
	w.exec(`INSERT INTO `+kind.table+` (environment_id, `+columns+`, updated_at) SELECT $1, 'k' || i, `+value+`, $2 FROM generate_series(1, $3) i`, w.env, epoch, n)
}

func TestSharedResourcesAtTheirLimits(t *testing.T) {
	t.Parallel()
	for name, kind := range sharedKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fill(kind, kind.limit-1)
			if err := kind.set(w, "last"); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			expectError(t, kind.set(w, "another"), belfry.TooLarge, kind.field, kind.limit)
			if err := kind.set(w, "k1"); err != nil {
				t.Errorf("one that is there already: %v", err)
			}
			w.env = w.environment("another") // has its own
			if err := kind.set(w, "first"); err != nil {
				t.Errorf("another environment: %v", err)
			}
		})
	}
}

// Two that are set at once don't both take the last place.
func TestSharedResourcesAreCountedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for name, kind := range sharedKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fill(kind, kind.limit-1)
			results := make(chan error, 2)
			if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
				_, err := tx.Exec(t.Context(), `LOCK TABLE `+kind.table+` IN SHARE MODE`) // nobody writes, everybody reads
				for i := range 2 {
					go func() { results <- kind.set(w, fmt.Sprint("new", i)) }()
				}
				w.eventuallyZero(`SELECT 2 - count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			refused := 0
			for range 2 {
				if err := receive(t, results); err != nil {
					refused++
					expectError(t, err, belfry.TooLarge, kind.field, kind.limit)
				}
			}
			expect(t, "refused", refused, 1)
			expect(t, "there", one[int](w, `SELECT count(*) FROM `+kind.table+` WHERE environment_id = $1`, w.env), kind.limit)
		})
	}
}
