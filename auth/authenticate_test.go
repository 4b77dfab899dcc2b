package auth_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestSecretKeyIsTheBackend(t *testing.T) {
	t.Parallel()
	s := newService(t)
	env := newEnvironment(t, s, "production")
	_, full := newAPIKey(t, s, env, auth.Secret)
	for _, authorization := range []string{"Bearer " + full, "bearer  " + full + " "} {
		viewer, until, err := s.Authenticate(t.Context(), auth.Credentials{Authorization: authorization})
		if err != nil || viewer != (belfry.Viewer{Environment: env}) || !until.IsZero() || !viewer.IsBackend() {
			t.Errorf("got %+v until %v, %v", viewer, until, err)
		}
	}
}

func TestPublicKeyAndTokenAreAUser(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")
	_, public := newAPIKey(t, s, env, auth.Public)
	pairs := []pair{newPair(t, s, env, auth.RS256), newPair(t, s, env, auth.EdDSA), newPair(t, s, env, auth.EdDSA)}

	for _, p := range pairs {
		for _, kid := range []string{p.KID, ""} { // without a kid, every key is tried
			token, err := auth.SignUserToken(p.private, kid, "ada@example.com", time.Hour, now)
			if err != nil {
				t.Fatal(err)
			}
			c := bearer(public)
			c.UserToken = token
			viewer, until, err := s.Authenticate(ctx, c)
			if err != nil || viewer != (belfry.Viewer{Environment: env, User: "ada@example.com"}) {
				t.Errorf("%s, kid %q: got %+v, %v", p.Algorithm, kid, viewer, err)
			}
			if want := now.Add(time.Hour + auth.Leeway); !until.Equal(want) {
				t.Errorf("until %v, want %v", until, want)
			}

			// until is the first moment of refusal.
			late := serviceOn(s.Pool)
			late.Now = func() time.Time { return until.Add(-time.Nanosecond) }
			if _, _, err := late.Authenticate(ctx, c); err != nil {
				t.Errorf("just before: %v", err)
			}
			late.Now = func() time.Time { return until }
			_, _, err = late.Authenticate(ctx, c)
			wantError(t, err, belfry.Unauthenticated, "userToken", "expired")
		}
	}
}

func TestAuthenticateRefusesKeys(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")
	_, secret := newAPIKey(t, s, env, auth.Secret)
	_, public := newAPIKey(t, s, env, auth.Public)
	revoked, revokedFull := newAPIKey(t, s, env, auth.Secret)
	if _, err := s.RevokeAPIKey(ctx, env, revoked.ID); err != nil {
		t.Fatal(err)
	}
	token := newPair(t, s, env, auth.EdDSA).token(t, "ada")
	ofLength := func(n int) string { return "sk_" + string(make([]byte, n-3)) }

	const at = "authorization"
	tests := []struct {
		name                 string
		authorization, token string
		code                 belfry.Code
		field, message       string
	}{
		{"nothing", "", "", belfry.Unauthenticated, at, "an API key is required"},
		{"a token alone", "", token, belfry.Unauthenticated, at, "an API key is required"},
		{"no scheme", secret, "", belfry.Unauthenticated, at, "as Bearer sk_"},
		{"another scheme", "Basic " + secret, "", belfry.Unauthenticated, at, "as Bearer sk_"},
		{"no key", "Bearer ", "", belfry.Unauthenticated, at, "as Bearer sk_"},
		{"not a key", "Bearer hunter2", "", belfry.Unauthenticated, at, "begins with sk_ or pk_"},
		{"the token in the key's place", "Bearer " + token, "", belfry.Unauthenticated, at, "X-Belfry-User-Token"},
		{"unknown", "Bearer sk_unknown", "", belfry.Unauthenticated, at, "unknown or revoked"},
		{"unknown, with a token", "Bearer sk_unknown", token, belfry.Unauthenticated, at, "unknown or revoked"},
		{"revoked", "Bearer " + revokedFull, "", belfry.Unauthenticated, at, "unknown or revoked"},
		{"a prefix", "Bearer " + secret[:len(secret)-1], "", belfry.Unauthenticated, at, "unknown or revoked"},
		{"more than the key", "Bearer " + secret + " x", "", belfry.Unauthenticated, at, "unknown or revoked"},
		{"the other prefix", "Bearer pk" + secret[2:], token, belfry.Unauthenticated, at, "unknown or revoked"},
		{"demo key", "Bearer sk_demo_1", "", belfry.Unauthenticated, at, "`belfry dev` only"},
		{"public demo key", "Bearer pk_demo_1", token, belfry.Unauthenticated, at, "`belfry dev` only"},
		{"longest", "Bearer " + ofLength(auth.MaxAPIKeyLength), "", belfry.Unauthenticated, at, "unknown or revoked"},
		{"too long", "Bearer " + ofLength(auth.MaxAPIKeyLength+1), "", belfry.Unauthenticated, at, "not an API key"},
		{"public without a token", "Bearer " + public, "", belfry.Unauthenticated, "userToken", "issued by your backend"},
		{"secret with a token", "Bearer " + secret, token, belfry.Invalid, "userToken", "leave the token out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			viewer, until, err := s.Authenticate(ctx, auth.Credentials{Authorization: test.authorization, UserToken: test.token})
			wantError(t, err, test.code, test.field, test.message)
			if viewer != (belfry.Viewer{}) || !until.IsZero() {
				t.Errorf("refused, but got %+v until %v", viewer, until)
			}
		})
	}
}

func TestAuthenticateTellsAFailingDatabaseFromABadCaller(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")
	_, public := newAPIKey(t, s, env, auth.Public)
	c := bearer(public)
	c.UserToken = newPair(t, s, env, auth.EdDSA).token(t, "ada")

	for _, breakage := range []string{`ALTER TABLE signing_keys RENAME TO gone1`, `ALTER TABLE api_keys RENAME TO gone2`} {
		if _, err := s.Pool.Exec(ctx, breakage); err != nil {
			t.Fatal(err)
		}
		viewer, _, err := s.Authenticate(ctx, c)
		if err == nil || belfry.CodeOf(err) != belfry.Internal || viewer != (belfry.Viewer{}) {
			t.Errorf("got %+v, %v", viewer, err)
		}
	}
}

// queryCounter counts the statements that a pool sends.
type queryCounter struct{ atomic.Int32 }

func (c *queryCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.Add(1)
	return ctx
}
func (c *queryCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestAuthenticateCostsOneQueryAndTwoForUsers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var queries queryCounter
	config := pgtest.New(t).Config()
	config.ConnConfig.Tracer = &queries
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pgtest.Close(t, pool) })
	s := serviceOn(pool)
	env := newEnvironment(t, s, "production")
	_, secret := newAPIKey(t, s, env, auth.Secret)
	_, public := newAPIKey(t, s, env, auth.Public)
	user := bearer(public)
	user.UserToken = newPair(t, s, env, auth.EdDSA).token(t, "ada")
	garbage := bearer(public)
	garbage.UserToken = "not.a.token"

	for name, test := range map[string]struct {
		c    auth.Credentials
		want int32
	}{
		"secret key": {bearer(secret), 1},
		"user":       {user, 2},
		"garbage":    {garbage, 1},
		"no key":     {auth.Credentials{}, 0},
		"demo key":   {bearer("sk_demo_1"), 0},
	} {
		queries.Store(0)
		_, _, _ = s.Authenticate(ctx, test.c)
		if got := queries.Load(); got != test.want {
			t.Errorf("%s: %d queries, want %d", name, got, test.want)
		}
	}
}
