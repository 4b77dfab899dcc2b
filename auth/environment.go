package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Service keeps environments and their keys. Pool and Now are required. Use it by pointer: it holds a cache.
type Service struct {
	Pool *pgxpool.Pool
	Now  func() time.Time
	// AllowDemoKeys lets Authenticate accept keys that are printed in the documentation. Only `belfry dev` sets it.
	AllowDemoKeys bool

	environmentKeys sync.Map // belfry.EnvironmentID -> string; an id never changes its key, so nothing goes stale
}

// Environment is an isolation boundary such as production or staging.
type Environment struct {
	ID        belfry.EnvironmentID
	Key       string // chosen by people, unique, never changes
	CreatedAt time.Time
}

const (
	insertEnvironment = `INSERT INTO environments (key, created_at) VALUES ($1, $2) RETURNING id, key, created_at`
	listEnvironments  = `SELECT id, key, created_at FROM environments ORDER BY id`
	environmentByKey  = `SELECT id, key, created_at FROM environments WHERE key = $1`
	environmentByID   = `SELECT id, key, created_at FROM environments WHERE id = $1`
)

// CreateEnvironment makes an environment. Errors: Invalid or TooLarge at "key", Conflict when the key is taken.
func (s *Service) CreateEnvironment(ctx context.Context, key string) (Environment, error) {
	if err := belfry.ValidateKey(key, "key"); err != nil {
		return Environment{}, err
	}
	environment, err := one[Environment](s.Pool.Query(ctx, insertEnvironment, key, s.Now()))
	if postgres.IsUniqueViolation(err, "environments_key_key") {
		return Environment{}, belfry.Errorf(belfry.Conflict, "an environment %q exists already: choose another key", key).At("key")
	}
	if err != nil {
		return Environment{}, fmt.Errorf("create environment: %w", err)
	}
	return environment, nil
}

// ListEnvironments returns every environment, oldest first.
func (s *Service) ListEnvironments(ctx context.Context) ([]Environment, error) {
	environments, err := all[Environment](s.Pool.Query(ctx, listEnvironments))
	if err != nil {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	return environments, nil
}

// EnvironmentByKey finds an environment by the key that people chose for it, or returns NotFound.
func (s *Service) EnvironmentByKey(ctx context.Context, key string) (Environment, error) {
	// Anything that could not have been created is not found; asking Postgres would fail on a NUL byte.
	if belfry.ValidateKey(key, "key") != nil {
		return Environment{}, noEnvironment().At("key")
	}
	environment, err := one[Environment](s.Pool.Query(ctx, environmentByKey, key))
	if errors.Is(err, pgx.ErrNoRows) {
		return Environment{}, noEnvironment().At("key")
	}
	if err != nil {
		return Environment{}, fmt.Errorf("find environment: %w", err)
	}
	return environment, nil
}

// EnvironmentKey returns the key of an environment, or NotFound. Answers are kept in memory.
func (s *Service) EnvironmentKey(ctx context.Context, id belfry.EnvironmentID) (string, error) {
	if key, ok := s.environmentKeys.Load(id); ok {
		return key.(string), nil
	}
	environment, err := one[Environment](s.Pool.Query(ctx, environmentByID, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return "", noEnvironment()
	}
	if err != nil {
		return "", fmt.Errorf("find environment: %w", err)
	}
	s.environmentKeys.Store(id, environment.Key) // only what exists is kept, so strangers cannot make it grow
	return environment.Key, nil
}

func noEnvironment() *belfry.Error {
	return belfry.Errorf(belfry.NotFound, "there is no such environment: create it first")
}

// one scans the single row of a query by column position; pgx.ErrNoRows if there is none.
func one[T any](rows pgx.Rows, err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[T])
}

// all scans every row of a query by column position.
func all[T any](rows pgx.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
