package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/template"
)

// Version is one immutable version of a workflow.
type Version struct {
	ID          int64
	Environment belfry.EnvironmentID
	Workflow    int64 // id
	Key         string
	Active      bool // whether it may be triggered; as it was when this was read
	Number      int  // 1, 2, 3, … within the workflow
	Definition  workflow.Definition
	Partials    template.Partials // those that its templates render, as they were when it was stored
	CreatedAt   time.Time
}

// version is a Version with its program; without one if it can never be run.
type version struct {
	Version
	program  *workflow.Program
	unusable error
}

// Upsert stores a new version of a workflow and makes it the current one; the same definition again stores nothing.
// Problems mean that nothing was stored.
func (e *Engine) Upsert(ctx context.Context, env belfry.EnvironmentID, key string, d *workflow.Definition) (*Version, []workflow.Problem, error) {
	if err := belfry.ValidateKey(key, "input.key"); err != nil {
		return nil, nil, err
	}
	partials, err := e.Partials(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	if _, problems := workflow.Compile(d, partials); len(problems) > 0 {
		return nil, problems, nil
	}
	definition, err := encode(d)
	if err != nil {
		return nil, nil, fmt.Errorf("encode definition: %w", err)
	}
	partials = used(partials, string(definition))
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
			if err := tx.QueryRow(ctx, sameDefinition, current, definition, partials).Scan(&old, &same); err != nil {
				return unstorable(err, "input")
			}
			if same {
				stored, err = readVersion(ctx, tx, selectVersionByID, current)
				return err
			}
			number = old + 1
		}
		if err := tx.QueryRow(ctx, insertVersion, env, workflowID, number, definition, partials, e.now()).Scan(&current); err != nil {
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

// MaxWorkflowPage is how many workflows a page may have.
const MaxWorkflowPage = 100

// Workflows reads a page of an environment's workflows, by key: the current version of each. after is the key to go on
// behind; empty: from the first. more says that there are others behind the page.
func (e *Engine) Workflows(ctx context.Context, env belfry.EnvironmentID, after string, limit int) (page []Version, more bool, err error) {
	if limit < 1 || limit > MaxWorkflowPage {
		return nil, false, belfry.Beyond("first", MaxWorkflowPage, "workflows on a page")
	}
	rows, err := e.Pool.Query(ctx, selectCurrentVersions, env, after, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("read workflows: %w", err)
	}
	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Version, error) {
		v, err := scanVersion(row)
		if err != nil {
			return Version{}, err
		}
		return *v, nil
	})
	if err == nil && len(page) > limit {
		page, more = page[:limit], true
	}
	return page, more, err
}

// WorkflowNames reads the names of workflows, as of their current versions, by key. Those that there are not are missing.
func (e *Engine) WorkflowNames(ctx context.Context, env belfry.EnvironmentID, keys []string) (map[string]string, error) {
	names := make(map[string]string, len(keys))
	if len(keys) == 0 {
		return names, nil
	}
	rows, err := e.Pool.Query(ctx, selectWorkflowNames, env, keys)
	if err != nil {
		return nil, fmt.Errorf("read workflows: %w", err)
	}
	var key, name string
	_, err = pgx.ForEachRow(rows, []any{&key, &name}, func() error {
		names[key] = name
		return nil
	})
	return names, err
}

// PreferenceWorkflows is what preference centers know of an environment's workflows: of the first MaxWorkflowPage.
func (e *Engine) PreferenceWorkflows(ctx context.Context, env belfry.EnvironmentID) ([]recipient.PreferenceWorkflow, error) {
	page, _, err := e.Workflows(ctx, env, "", MaxWorkflowPage)
	out := make([]recipient.PreferenceWorkflow, len(page))
	for i := range page {
		d := &page[i].Definition
		out[i] = recipient.PreferenceWorkflow{Key: page[i].Key, Name: d.Name, Categories: d.Categories, Commercial: d.Settings.Commercial,
			Override: d.Settings.OverridePreferences, ChannelTypes: d.ChannelTypes()}
	}
	return out, err
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

// version returns a version with its program, compiled once.
func (e *Engine) version(ctx context.Context, q querier, id int64) (*version, error) {
	if v, ok := e.programs.Get(id); ok {
		return v, nil
	}
	v := &version{Version: Version{ID: id}}
	stored, err := readVersion(ctx, q, selectVersionByID, id)
	switch {
	case errors.Is(err, errNoWorkflow):
		v.unusable = errors.New("the workflow was deleted after the trigger was accepted")
		return v, nil // it isn't kept: there may be many
	case errors.Is(err, errUnreadable):
		v.unusable = err
		return v, nil
	case err != nil:
		return nil, err
	}
	v.Version = *stored
	var problems []workflow.Problem
	if v.program, problems = workflow.Compile(&stored.Definition, stored.Partials); len(problems) > 0 { // a release became stricter
		v.unusable = fmt.Errorf("version %d of %q no longer compiles, store it anew: %s: %s", stored.Number, stored.Key, problems[0].Path, problems[0].Message)
	}
	e.programs.Add(id, v)
	return v, nil
}

// errUnreadable says that a version can't be decoded.
var errUnreadable = errors.New("the stored workflow cannot be read")

// SetActive switches a workflow on or off: off, triggers are refused, and runs end that would go on.
func (e *Engine) SetActive(ctx context.Context, env belfry.EnvironmentID, key string, active bool) (*Version, error) {
	var id int64
	err := e.Pool.QueryRow(ctx, updateActive, env, key, active).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoWorkflow
	}
	if err != nil {
		return nil, err
	}
	return readVersion(ctx, e.Pool, selectVersionByID, id)
}

var errNoWorkflow = belfry.Errorf(belfry.NotFound, "no such workflow: store it with upsertWorkflow first")

// querier is what reads: the pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readVersion(ctx context.Context, q querier, sql string, args ...any) (*Version, error) {
	return scanVersion(q.QueryRow(ctx, sql, args...))
}

func scanVersion(row pgx.Row) (*Version, error) {
	var v Version
	var definition []byte
	err := row.Scan(&v.ID, &v.Environment, &v.Workflow, &v.Key, &v.Active, &v.Number, &definition, &v.Partials, &v.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoWorkflow
	}
	if err != nil {
		return nil, err
	}
	if err := decode(definition, &v.Definition); err != nil {
		return nil, fmt.Errorf("%w: version %d of %q: %w", errUnreadable, v.Number, v.Key, err)
	}
	return &v, nil
}
