package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/postgres"
)

func TestSavepointUndoesItsPartAndItsHooksAlone(t *testing.T) {
	t.Parallel()
	pool := notes(t)
	refused := errors.New("refused")
	var hooks []string
	err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		part := func(name string, result error) func() error {
			return func() error {
				tx.AfterCommit(func() { hooks = append(hooks, name) })
				if err := write(t.Context(), tx, name); err != nil {
					return err
				}
				return result
			}
		}
		if err := part("before", nil)(); err != nil {
			return err
		}
		if err := tx.Savepoint(t.Context(), part("undone", refused)); !errors.Is(err, refused) {
			t.Errorf("error = %v, want that of the function", err)
		}
		if err := tx.Savepoint(t.Context(), part("kept", nil)); err != nil {
			return err
		}
		// An error of the server would otherwise spoil the whole transaction.
		if err := tx.Savepoint(t.Context(), func() error {
			if err := tx.Savepoint(t.Context(), part("nested", nil)); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `select 1/0`)
			return err
		}); !postgres.IsDataException(err) {
			t.Errorf("error = %v, want a data exception", err)
		}
		return part("after", nil)()
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"before", "kept", "after"}, hooks); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	expectIdle(t, pool, 3)
}

func TestSavepointPanicsOn(t *testing.T) {
	t.Parallel()
	pool := notes(t)
	defer func() {
		if got := recover(); got != "boom" {
			t.Errorf("recovered %v, want the panic of the function", got)
		}
		expectIdle(t, pool, 0)
	}()
	_ = postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		return tx.Savepoint(t.Context(), func() error {
			_ = write(t.Context(), tx, "a")
			panic("boom")
		})
	})
}
