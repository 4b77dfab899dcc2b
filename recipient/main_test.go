package recipient

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, statements)
}

// world is a Service on a database of its own with two environments.
type world struct {
	*Service
	pool       *pgxpool.Pool
	production belfry.EnvironmentID
	staging    belfry.EnvironmentID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{pool: pgtest.New(t)}
	t.Cleanup(func() { checkDigests(t, w.pool) })
	var mu sync.Mutex
	clock := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	w.Service = New(w.pool, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(time.Second)
		return clock
	})
	for key, id := range map[string]*belfry.EnvironmentID{"production": &w.production, "staging": &w.staging} {
		err := w.pool.QueryRow(t.Context(), `INSERT INTO environments (key, created_at) VALUES ($1, $2) RETURNING id`, key, clock).Scan(id)
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// identify identifies several at once.
func (w *world) identify(ctx context.Context, env belfry.EnvironmentID, identities ...Identity) (ids map[belfry.RecipientRef]belfry.RecipientID, err error) {
	err = postgres.InTx(ctx, w.pool, func(tx *postgres.Tx) error {
		ids, err = w.Identify(ctx, tx, env, identities, make([]string, len(identities)))
		return err
	})
	return ids, err
}

func user(id string, properties map[string]any) Identity {
	return Identity{RecipientRef: belfry.User(id), Properties: properties}
}

// wantError checks code, field and limit of an error; limit 0 is none.
func wantError(t *testing.T, err error, code belfry.Code, field string, limit int) {
	t.Helper()
	var got *belfry.Error
	if !errors.As(err, &got) || got.Code != code || got.Field != field || got.Limit != limit {
		t.Errorf("err = %#v, want %s at %q with limit %d", err, code, field, limit)
	}
}
