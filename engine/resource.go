package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow/template"
)

// Limits of what an environment's workflows share.
const (
	MaxPartials      = 200
	MaxVariables     = 200
	MaxVariableValue = 16 << 10 // bytes of JSON
)

// Partials are the pieces of Liquid that the environment's templates may render, by key.
func (e *Engine) Partials(ctx context.Context, env belfry.EnvironmentID) (template.Partials, error) {
	return collectPartials(e.Pool.Query(ctx, selectPartials, env))
}

func collectPartials(rows pgx.Rows, err error) (template.Partials, error) {
	if err != nil {
		return nil, fmt.Errorf("read partials: %w", err)
	}
	out := template.Partials{}
	var key, source string
	_, err = pgx.ForEachRow(rows, []any{&key, &source}, func() error {
		out[key] = source
		return nil
	})
	return out, err
}

// SetPartial stores a piece of Liquid. Workflows take it up when they are stored the next time; "" removes it.
func (e *Engine) SetPartial(ctx context.Context, env belfry.EnvironmentID, key, source string) error {
	if err := belfry.ValidateKey(key, "input.key"); err != nil {
		return err
	}
	if source == "" {
		_, err := e.Pool.Exec(ctx, deletePartial, env, key)
		return err
	}
	err := e.changeShared(ctx, env, func(tx *postgres.Tx) error {
		partials, err := collectPartials(tx.Query(ctx, selectPartials, env))
		if err != nil {
			return err
		}
		partials[key] = source
		if len(partials) > MaxPartials {
			return belfry.Beyond("input.key", MaxPartials, "partials")
		}
		if _, err := template.CompileWith("{% render '"+key+"' %}", template.Text, partials); err != nil {
			return belfry.Errorf(belfry.Invalid, "%s", err.Error()).At("input.source")
		}
		_, err = tx.Exec(ctx, upsertPartial, env, key, source, e.now())
		return err
	})
	return unstorable(err, "input.source")
}

// changeShared changes what an environment's workflows share, one after the other: what is counted stays true until it is
// changed.
func (e *Engine) changeShared(ctx context.Context, env belfry.EnvironmentID, change func(*postgres.Tx) error) error {
	return postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, lockEnvironment, env); err != nil {
			return err
		}
		return change(tx)
	})
}

// used is those of the partials that a definition may render, by itself or through others: they become part of its
// version. A name that only looks like a partial's does no harm.
func used(partials template.Partials, definition string) template.Partials {
	out := template.Partials{}
	todo := []string{definition}
	for len(todo) > 0 {
		text := todo[0]
		todo = todo[1:]
		for key, source := range partials {
			if _, known := out[key]; !known && strings.Contains(text, key) {
				out[key] = source
				todo = append(todo, source)
			}
		}
	}
	return out
}

// Variables are vars, as conditions and templates of the environment see them.
func (e *Engine) Variables(ctx context.Context, env belfry.EnvironmentID) (map[string]any, error) {
	var out map[string]any
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		all, err := readVariables(ctx, tx, []belfry.EnvironmentID{env})
		out = maps.Clone(all[env])
		return err
	})
	if out == nil {
		out = map[string]any{}
	}
	return out, err
}

// SetVariable stores a JSON value; null removes it.
func (e *Engine) SetVariable(ctx context.Context, env belfry.EnvironmentID, name string, value any) error {
	if err := belfry.ValidateKey(name, "input.name"); err != nil {
		return err
	}
	if value != nil && slices.Contains(systemVariables, name) {
		return belfry.Errorf(belfry.Invalid, "vars.%s is set by the system: choose another name", name).At("input.name")
	}
	if value == nil {
		_, err := e.Pool.Exec(ctx, deleteVariable, env, name)
		return err
	}
	if err := belfry.ValidateJSON(value, "input.value"); err != nil {
		return err
	}
	b, err := encode(value)
	if err != nil {
		return belfry.Errorf(belfry.Invalid, "not representable as JSON").At("input.value")
	}
	if len(b) > MaxVariableValue {
		return belfry.Beyond("input.value", MaxVariableValue, "bytes of JSON")
	}
	err = e.changeShared(ctx, env, func(tx *postgres.Tx) error {
		others := 0
		if err := tx.QueryRow(ctx, countOtherVariables, env, name).Scan(&others); err != nil {
			return err
		}
		if others >= MaxVariables {
			return belfry.Beyond("input.name", MaxVariables, "variables")
		}
		_, err := tx.Exec(ctx, upsertVariable, env, name, json.RawMessage(b), e.now())
		return err
	})
	return unstorable(err, "input.value")
}

func readVariables(ctx context.Context, tx *postgres.Tx, envs []belfry.EnvironmentID) (map[belfry.EnvironmentID]map[string]any, error) {
	rows, err := tx.Query(ctx, selectVariables, envs)
	if err != nil {
		return nil, fmt.Errorf("read variables: %w", err)
	}
	out := map[belfry.EnvironmentID]map[string]any{}
	var env belfry.EnvironmentID
	var name string
	var value []byte
	_, err = pgx.ForEachRow(rows, []any{&env, &name, &value}, func() error {
		if out[env] == nil {
			out[env] = map[string]any{}
		}
		var v any
		if err := decode(value, &v); err != nil {
			return err
		}
		out[env][name] = v
		return nil
	})
	return out, err
}
