package test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// run takes a command to its end, as an operator would, and returns what it printed.
func run(t *testing.T, databaseURL string, args ...string) string {
	t.Helper()
	p := start(t, settings{"BELFRY_DATABASE_URL": databaseURL}, args)
	if code := p.wait(); code != 0 {
		t.Fatalf("belfry %s ended with code %d:\n%s", strings.Join(args, " "), code, p.log)
	}
	return p.out.String()
}

// environment is one that an operator made, with what was handed to its developers.
type environment struct {
	key            string
	secret, public string // API keys
	kid            string
	private        ed25519.PrivateKey
}

// newEnvironment makes an environment with keys.
func newEnvironment(t *testing.T, databaseURL, key string) *environment {
	t.Helper()
	run(t, databaseURL, "environments", "create", key)
	e := &environment{key: key}
	e.secret, _ = newKey(t, databaseURL, key, "secret")
	e.public, _ = newKey(t, databaseURL, key, "public")
	printed := run(t, databaseURL, "signing-keys", "create", "--environment", key, "--name", "backend")
	block, rest := pem.Decode([]byte(printed))
	if block == nil {
		t.Fatalf("signing-keys create printed no PEM:\n%s", printed)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	e.private = private.(ed25519.PrivateKey)
	e.kid = find(t, string(rest), `kid ([^,]+),`)
	return e
}

// newKey makes an API key, and returns it with its id.
func newKey(t *testing.T, databaseURL, environment, kind string) (key, id string) {
	t.Helper()
	printed := run(t, databaseURL, "keys", "create", kind, "--environment", environment, "--name", "test")
	return find(t, printed, `^([sp]k_\w+)\n`), find(t, printed, `key (\d+) \(`)
}

// find returns what the first group of a pattern matches.
func find(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in:\n%s", pattern, text)
	}
	return match[1]
}

// token is what the customer's backend gives to a user who is signed in.
func (e *environment) token(t testing.TB, user string) string {
	t.Helper()
	return e.sign(t, jwt.MapClaims{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
}

func (e *environment) sign(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	return signed(t, jwt.SigningMethodEdDSA, e.private, e.kid, claims)
}

func signed(t testing.TB, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, maps.Clone(claims))
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// backend calls as the customer's backend.
func (e *environment) backend(n *node) caller { return caller{n.address, e.secret, ""} }

// user calls as a user's device.
func (e *environment) user(t testing.TB, n *node, id string) caller {
	t.Helper()
	return caller{n.address, e.public, e.token(t, id)}
}
