package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// now is the time on every clock in these tests.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newService(t *testing.T) *auth.Service { return serviceOn(pgtest.New(t)) }

func serviceOn(pool *pgxpool.Pool) *auth.Service {
	return &auth.Service{Pool: pool, Now: func() time.Time { return now }}
}

func newEnvironment(t *testing.T, s *auth.Service, key string) belfry.EnvironmentID {
	t.Helper()
	environment, err := s.CreateEnvironment(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return environment.ID
}

func newAPIKey(t *testing.T, s *auth.Service, env belfry.EnvironmentID, kind auth.Kind) (auth.APIKey, string) {
	t.Helper()
	key, full, err := s.CreateAPIKey(t.Context(), env, kind, "test")
	if err != nil {
		t.Fatal(err)
	}
	return key, full
}

// pair is a signing key with its private half.
type pair struct {
	auth.SigningKey
	private []byte
}

func newPair(t *testing.T, s *auth.Service, env belfry.EnvironmentID, algorithm auth.Algorithm) pair {
	t.Helper()
	key, private, err := s.CreateSigningKey(t.Context(), env, algorithm, "test")
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, private}
}

// token is one that is valid for an hour.
func (p pair) token(t *testing.T, user string) string {
	t.Helper()
	token, err := auth.SignUserToken(p.private, p.KID, user, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// rsaKey takes a while to generate, so tests share it.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func bearer(full string) auth.Credentials { return auth.Credentials{Authorization: "Bearer " + full} }

// wantError checks an error's code, its field, and that the message has what its reader needs.
func wantError(t *testing.T, err error, code belfry.Code, field, message string) *belfry.Error {
	t.Helper()
	var e *belfry.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *belfry.Error", err)
	}
	if e.Code != code || e.Field != field || !strings.Contains(e.Message, message) {
		t.Fatalf("got %s at %q: %s\nwant %s at %q: …%s…", e.Code, e.Field, e.Message, code, field, message)
	}
	return e
}
