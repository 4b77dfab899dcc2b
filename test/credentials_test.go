package test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// credential is one that must not work.
type credential struct {
	name string
	caller
	code string // UNAUTHENTICATED if empty
}

// badCredentials is everything that somebody might try who has read the public key in a page's source.
func badCredentials(t *testing.T, v *victim) []credential {
	t.Helper()
	db := v.pool.Config().ConnString()
	revoked, id := newKey(t, db, "ours", "secret")
	run(t, db, "keys", "revoke", "--environment", "ours", id)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(v.ours.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Hour).Unix()
	ana := jwt.MapClaims{"sub": "ana", "exp": soon}
	token := func(method jwt.SigningMethod, key any) string { return signed(t, method, key, v.ours.kid, ana) }
	good := v.ours.token(t, "ana")
	parts := strings.Split(good, ".")

	withKey := map[string]string{
		"an unknown secret key": "sk_" + strings.Repeat("A", 43),
		"an unknown public key": "pk_" + strings.Repeat("A", 43),
		"a revoked key":         revoked,
		"a demo key":            "sk_demo_belfry",
		"a token as a key":      good,
		"a secret key cut off":  v.ours.secret[:len(v.ours.secret)-1],
		"a public key alone":    v.ours.public,
	}
	withToken := map[string]string{
		"an expired token":                   v.ours.sign(t, jwt.MapClaims{"sub": "ana", "exp": time.Now().Add(-time.Minute).Unix()}),
		"a token without exp":                v.ours.sign(t, jwt.MapClaims{"sub": "ana"}),
		"a token without sub":                v.ours.sign(t, jwt.MapClaims{"exp": soon}),
		"a token of tomorrow":                v.ours.sign(t, jwt.MapClaims{"sub": "ana", "exp": soon + 90000, "nbf": soon + 80000}),
		"a token of another environment":     v.theirs.token(t, "ana"),
		"another environment's, with our id": signed(t, jwt.SigningMethodEdDSA, v.theirs.private, v.ours.kid, ana),
		"HS256 with the public key":          token(jwt.SigningMethodHS256, []byte(v.ours.private.Public().(ed25519.PublicKey))),
		"HS256 with the public key's DER":    token(jwt.SigningMethodHS256, der),
		"HS256 with the public key's PEM":    token(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"no algorithm":                       token(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"an RSA key of one's own":            token(jwt.SigningMethodRS256, other),
		"PS256":                              token(jwt.SigningMethodPS256, other),
		"a token without its signature":      parts[0] + "." + parts[1] + ".",
		"a token for somebody else":          parts[0] + "." + strings.Split(v.ours.token(t, "eve"), ".")[1] + "." + parts[2],
		"no token at all":                    "nonsense",
	}
	out := []credential{{name: "nothing", caller: caller{v.node.address, "", ""}}}
	for name, key := range withKey {
		out = append(out, credential{name: name, caller: caller{v.node.address, key, ""}})
	}
	for name, token := range withToken {
		out = append(out, credential{name: name, caller: caller{v.node.address, v.ours.public, token}})
	}
	return append(out,
		credential{name: "a token alone", caller: caller{v.node.address, "", good}},
		credential{name: "another environment's public key with our token", caller: caller{v.node.address, v.theirs.public, good}},
		credential{name: "a secret key with a token", caller: caller{v.node.address, v.ours.secret, good}, code: "INVALID"},
	)
}

// refusedOverHTTP tries to do what the attempt says.
func (v *victim) refusedOverHTTP(t *testing.T, a attempt, c credential) {
	t.Helper()
	var variables vars
	if a.variables != nil {
		variables = a.variables(v)
	}
	want := c.code
	if want == "" {
		want = "UNAUTHENTICATED"
	}
	if strings.HasPrefix(a.field, "Subscription.") && c.name == "nothing" {
		want = "INVALID" // refused before anybody looks at who is calling: this isn't the place for subscriptions
	}
	got := c.call(t, a.query, variables)
	expect(t, c.name, got, want)
	if c.name != "nothing" && got.status != 401 {
		t.Errorf("%s got status %d, want 401", c.name, got.status)
	}
}

// refusedAtConnect tries to open a WebSocket.
func (c credential) refusedAtConnect(t *testing.T, n *node) {
	t.Helper()
	payload := c.payload()
	if c.key == "" {
		delete(payload, "authorization")
	}
	s, response, err := open(t.Context(), n.address, nil, payload)
	if err != nil {
		t.Fatalf("%s: %v (%v)", c.name, err, response)
	}
	defer s.conn.Close()
	if code, reason := s.closeCode(t); code != 4403 || reason == "" {
		t.Errorf("%s: closed with %d %q, want 4403 and a reason", c.name, code, reason)
	}
}

func TestSocketClosesWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	env := newEnvironment(t, db, "production")
	// Clocks may differ by 30 seconds: this token works for a few more.
	device := caller{n.address, env.public, env.sign(t, jwt.MapClaims{"sub": "ana", "exp": time.Now().Add(-25 * time.Second).Unix()})}
	// Programs can send their credentials with the upgrade request, as browsers can't.
	header := http.Header{"Authorization": {"Bearer " + device.key}, "X-Belfry-User-Token": {device.token}}
	byHeader, response, err := open(t.Context(), n.address, header, nil)
	if err != nil {
		t.Fatalf("%v (%v)", err, response)
	}
	defer byHeader.conn.Close()
	sockets := map[string]*socket{"in connection_init": device.connect(t), "in the headers": byHeader}
	for _, s := range sockets {
		s.follow(t, "").expect(t, "FeedSynced")
	}
	for how, s := range sockets {
		if code, reason := s.closeCode(t); code != 4403 || !strings.Contains(reason, "expired") {
			t.Errorf("with credentials %s: closed with %d %q, want 4403 and that the token has expired", how, code, reason)
		}
	}
}

// A key that was revoked stops working at once, on a node that knew it.
func TestRevocationWorksAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	env := newEnvironment(t, db, "production")
	identify(t, env.backend(n), "ana")
	ana := env.user(t, n, "ana")
	ask[any](t, ana, `{ me { id } }`, nil)
	signingKey := find(t, run(t, db, "signing-keys", "list", "--environment", "production"), `(?m)^(\d+) `)
	run(t, db, "signing-keys", "revoke", "--environment", "production", signingKey)
	if got := ana.call(t, `{ me { id } }`, nil); got.code() != "UNAUTHENTICATED" {
		t.Errorf("after its signing key was revoked, a token got %s", got.raw)
	}
	listed := run(t, db, "keys", "list", "--environment", "production")
	if strings.Contains(listed, env.secret) {
		t.Errorf("the list shows a whole key:\n%s", listed)
	}
	run(t, db, "keys", "revoke", "--environment", "production", find(t, listed, `(?m)^(\d+) +secret`))
	if got := env.backend(n).call(t, `{ user(id: "ana") { id } }`, nil); got.code() != "UNAUTHENTICATED" {
		t.Errorf("a revoked key got %s", got.raw)
	}
}
