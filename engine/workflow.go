package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// Version is one immutable version of a workflow.
type Version struct {
	ID          int64
	Environment belfry.EnvironmentID
	Key         string
	Number      int // 1, 2, 3, … within the workflow
	Definition  workflow.Definition
	CreatedAt   time.Time
}

// version is a Version with its program.
type version struct {
	Version
	program *workflow.Program
}

// Upsert stores a new version of a workflow and makes it the current one; the same definition again stores nothing.
// Problems mean that nothing was stored.
func (e *Engine) Upsert(ctx context.Context, env belfry.EnvironmentID, key string, d *workflow.Definition) (*Version, []workflow.Problem, error) {
	if err := belfry.ValidateKey(key, "input.key"); err != nil {
		return nil, nil, err
	}
	if _, problems := workflow.Compile(d); len(problems) > 0 {
		return nil, problems, nil
	}
	definition, err := encode(d)
	if err != nil {
		return nil, nil, fmt.Errorf("encode definition: %w", err)
	}
	var stored *Version
	err = postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, insertWorkflow, env, key, e.now()); err != nil {
			return err
		}
		var workflowID, current int64
		if err := tx.QueryRow(ctx, lockWorkflow, env, key).Scan(&workflowID, &current); err != nil {
			return err
		}
		number := 1
		if current != 0 {
			var old int
			var same bool
			if err := tx.QueryRow(ctx, sameDefinition, current, definition).Scan(&old, &same); err != nil {
				return unstorable(err, "input")
			}
			if same {
				stored, err = readVersion(ctx, tx, selectVersionByID, current)
				return err
			}
			number = old + 1
		}
		if err := tx.QueryRow(ctx, insertVersion, env, workflowID, number, definition, e.now()).Scan(&current); err != nil {
			return unstorable(err, "input")
		}
		if _, err := tx.Exec(ctx, updateCurrentVersion, workflowID, current); err != nil {
			return err
		}
		stored, err = readVersion(ctx, tx, selectVersionByID, current)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return stored, nil, nil
}

// Workflow reads the current version of a workflow, or the one with a number if that isn't 0.
func (e *Engine) Workflow(ctx context.Context, env belfry.EnvironmentID, key string, number int) (*Version, error) {
	if number != 0 {
		return readVersion(ctx, e.Pool, selectVersionByNumber, env, key, number)
	}
	return readVersion(ctx, e.Pool, selectCurrentVersion, env, key)
}

// WorkflowVersion reads a version by id; NotFound if it is not in the environment.
func (e *Engine) WorkflowVersion(ctx context.Context, env belfry.EnvironmentID, id int64) (*Version, error) {
	if v, ok := e.programs.Get(id); ok && v.Environment == env {
		return &v.Version, nil
	}
	v, err := readVersion(ctx, e.Pool, selectVersionByID, id)
	if err == nil && v.Environment != env {
		return nil, errNoWorkflow
	}
	return v, err
}

// errUnusable says that runs of a version can never be done, so there is no point in trying again.
var errUnusable = errors.New("the workflow cannot be run")

// version returns a version with its program, compiled once. An errUnusable is for good.
func (e *Engine) version(ctx context.Context, q querier, id int64) (*version, error) {
	if v, ok := e.programs.Get(id); ok {
		return v, nil
	}
	stored, err := readVersion(ctx, q, selectVersionByID, id)
	if errors.Is(err, errNoWorkflow) {
		return nil, fmt.Errorf("%w: it was deleted after the trigger was accepted", errUnusable)
	}
	if err != nil {
		return nil, err
	}
	program, problems := workflow.Compile(&stored.Definition)
	if len(problems) > 0 { // it did compile when it was stored: a release became stricter
		return nil, fmt.Errorf("%w: version %d of %q no longer compiles, store it anew: %s: %s",
			errUnusable, stored.Number, stored.Key, problems[0].Path, problems[0].Message)
	}
	v := &version{*stored, program}
	e.programs.Add(id, v)
	return v, nil
}

var errNoWorkflow = belfry.Errorf(belfry.NotFound, "no such workflow: store it with upsertWorkflow first")

// querier is what reads: the pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readVersion(ctx context.Context, q querier, sql string, args ...any) (*Version, error) {
	var v Version
	var definition []byte
	err := q.QueryRow(ctx, sql, args...).Scan(&v.ID, &v.Environment, &v.Key, &v.Number, &definition, &v.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoWorkflow
	}
	if err != nil {
		return nil, err
	}
	if err := decode(definition, &v.Definition); err != nil {
		return nil, fmt.Errorf("%w: version %d of %q: %w", errUnusable, v.Number, v.Key, err)
	}
	return &v, nil
}
