package auth_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

func TestEnvironments(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()

	production, err := s.CreateEnvironment(ctx, "production")
	if err != nil {
		t.Fatal(err)
	}
	if production.Key != "production" || !production.CreatedAt.Equal(now) || production.ID == 0 {
		t.Errorf("created %+v", production)
	}
	staging, err := s.CreateEnvironment(ctx, "staging")
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.ListEnvironments(ctx)
	if diff := cmp.Diff([]auth.Environment{production, staging}, list); err != nil || diff != "" {
		t.Errorf("list: %v %s", err, diff)
	}
	found, err := s.EnvironmentByKey(ctx, "staging")
	if diff := cmp.Diff(staging, found); err != nil || diff != "" {
		t.Errorf("by key: %v %s", err, diff)
	}

	_, err = s.CreateEnvironment(ctx, "production")
	wantError(t, err, belfry.Conflict, "key", "exists already")
	_, err = s.CreateEnvironment(ctx, "Prod uction")
	wantError(t, err, belfry.Invalid, "key", "a-z")
	_, err = s.CreateEnvironment(ctx, strings.Repeat("a", belfry.MaxKeyLength+1))
	wantError(t, err, belfry.TooLarge, "key", "255")
	_, err = s.EnvironmentByKey(ctx, "development")
	wantError(t, err, belfry.NotFound, "key", "create it")
	_, err = s.EnvironmentByKey(ctx, "nul\x00byte")
	wantError(t, err, belfry.NotFound, "key", "create it")
}

func TestEnvironmentKeyIsRememberedButAbsenceIsNot(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()

	_, err := s.EnvironmentKey(ctx, 1)
	wantError(t, err, belfry.NotFound, "", "create it")
	env := newEnvironment(t, s, "production")
	if env != 1 {
		t.Fatalf("the first environment is %d", env)
	}
	for range 2 {
		if key, err := s.EnvironmentKey(ctx, env); err != nil || key != "production" {
			t.Errorf("got %q, %v", key, err)
		}
		s.Pool.Close() // the second answer comes from memory
	}
}
