package auth_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

func TestCreateAPIKey(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")

	// No underscore among the digits: a random key can never look like a demo key.
	shapes := map[auth.Kind]*regexp.Regexp{
		auth.Secret: regexp.MustCompile(`^sk_[0-9A-Za-z]{43}$`),
		auth.Public: regexp.MustCompile(`^pk_[0-9A-Za-z]{43}$`),
	}
	seen := map[string]bool{}
	for kind, shape := range shapes {
		for range 20 {
			key, full, err := s.CreateAPIKey(ctx, env, kind, "backend")
			if err != nil {
				t.Fatal(err)
			}
			if !shape.MatchString(full) || seen[full] {
				t.Errorf("key %q is misshapen or not unique", full)
			}
			seen[full] = true
			want := auth.APIKey{ID: key.ID, Kind: kind, Name: "backend", Hint: full[:9], CreatedAt: now}
			if diff := cmp.Diff(want, key); diff != "" {
				t.Error(diff)
			}
		}
	}

	var leaked int
	for full := range seen {
		err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM api_keys WHERE api_keys::text LIKE '%' || $1 || '%'`, full[9:]).Scan(&leaked)
		if err != nil || leaked != 0 {
			t.Fatalf("the key is stored in clear: %d rows, %v", leaked, err)
		}
	}
}

func TestCreateAPIKeyRefuses(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")

	_, _, err := s.CreateAPIKey(ctx, env, "root", "backend")
	wantError(t, err, belfry.Invalid, "kind", "secret or public")
	_, _, err = s.CreateAPIKey(ctx, env+1, auth.Secret, "backend")
	wantError(t, err, belfry.NotFound, "", "no such environment")
	for name, message := range map[string]string{
		"":      "say what the key is for",
		" ":     "say what the key is for",
		"a\x00": "control characters",
		"a\xff": "UTF-8",
	} {
		_, _, err = s.CreateAPIKey(ctx, env, auth.Secret, name)
		wantError(t, err, belfry.Invalid, "name", message)
	}
	if _, _, err := s.CreateAPIKey(ctx, env, auth.Secret, strings.Repeat("é", auth.MaxNameLength)); err != nil {
		t.Errorf("a name at the limit: %v", err)
	}
	_, _, err = s.CreateAPIKey(ctx, env, auth.Secret, strings.Repeat("é", auth.MaxNameLength+1))
	if e := wantError(t, err, belfry.TooLarge, "name", "100 characters"); e.Limit != auth.MaxNameLength {
		t.Errorf("limit %d", e.Limit)
	}
}

func TestAPIKeysStayInTheirEnvironment(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b := newEnvironment(t, s, "a"), newEnvironment(t, s, "b")
	first, _ := newAPIKey(t, s, a, auth.Secret)
	second, full := newAPIKey(t, s, a, auth.Public)

	list, err := s.ListAPIKeys(ctx, a)
	if diff := cmp.Diff([]auth.APIKey{second, first}, list); err != nil || diff != "" {
		t.Errorf("newest first: %v %s", err, diff)
	}
	if list, err := s.ListAPIKeys(ctx, b); err != nil || len(list) != 0 {
		t.Errorf("b lists %v, %v", list, err)
	}
	_, err = s.RevokeAPIKey(ctx, b, second.ID)
	wantError(t, err, belfry.NotFound, "id", "no such API key")
	_, _, err = s.Authenticate(ctx, bearer(full))
	wantError(t, err, belfry.Unauthenticated, "userToken", "needs a user token") // the key itself still works
}

func TestRevokeAPIKeyTwiceKeepsTheFirstTime(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	key, full := newAPIKey(t, s, newEnvironment(t, s, "production"), auth.Secret)
	if _, _, err := s.Authenticate(ctx, bearer(full)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{now.Add(time.Hour), now.Add(2 * time.Hour)} {
		s.Now = func() time.Time { return at }
		revoked, err := s.RevokeAPIKey(ctx, 1, key.ID)
		if err != nil {
			t.Fatal(err)
		}
		if revoked.RevokedAt == nil || !revoked.RevokedAt.Equal(now.Add(time.Hour)) {
			t.Errorf("revoked at %v", revoked.RevokedAt)
		}
		_, _, err = s.Authenticate(ctx, bearer(full))
		wantError(t, err, belfry.Unauthenticated, "authorization", "unknown or revoked")
	}
}

func TestDemoKeys(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b := newEnvironment(t, s, "a"), newEnvironment(t, s, "b")
	key, err := s.EnsureDemoKey(ctx, a, auth.Secret, "sk_demo_belfry")
	if err != nil {
		t.Fatal(err)
	}

	_, _, err = s.Authenticate(ctx, bearer("sk_demo_belfry"))
	wantError(t, err, belfry.Unauthenticated, "authorization", "`belfry dev` only")

	s.AllowDemoKeys = true
	viewer, _, err := s.Authenticate(ctx, bearer("sk_demo_belfry"))
	if err != nil || viewer != (belfry.Viewer{Environment: a}) {
		t.Errorf("got %v, %v", viewer, err)
	}

	if _, err := s.RevokeAPIKey(ctx, a, key.ID); err != nil {
		t.Fatal(err)
	}
	again, err := s.EnsureDemoKey(ctx, a, auth.Secret, "sk_demo_belfry") // the next start of `belfry dev`
	if diff := cmp.Diff(key, again); err != nil || diff != "" {
		t.Errorf("ensured again: %v %s", err, diff)
	}

	_, err = s.EnsureDemoKey(ctx, b, auth.Secret, "sk_demo_belfry")
	wantError(t, err, belfry.Conflict, "key", "another environment")
	_, err = s.EnsureDemoKey(ctx, 99, auth.Secret, "sk_demo_other")
	wantError(t, err, belfry.NotFound, "", "no such environment")
	_, err = s.EnsureDemoKey(ctx, a, auth.Public, "sk_demo_belfry")
	wantError(t, err, belfry.Invalid, "key", "pk_demo_")
	_, err = s.EnsureDemoKey(ctx, a, auth.Secret, "sk_live")
	wantError(t, err, belfry.Invalid, "key", "sk_demo_")
	_, err = s.EnsureDemoKey(ctx, a, auth.Secret, "sk_demo_é")
	wantError(t, err, belfry.Invalid, "key", "ASCII")
	limit := "sk_demo_" + strings.Repeat("x", auth.MaxAPIKeyLength-len("sk_demo_"))
	if _, err = s.EnsureDemoKey(ctx, a, auth.Secret, limit); err != nil {
		t.Errorf("a key at the limit: %v", err)
	}
	if _, _, err := s.Authenticate(ctx, bearer(limit)); err != nil {
		t.Errorf("a key at the limit: %v", err)
	}
	_, err = s.EnsureDemoKey(ctx, a, auth.Secret, limit+"x")
	wantError(t, err, belfry.TooLarge, "key", "128 bytes")
}
