package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

// forge signs any header and claims with any method and key.
func forge(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p pair) key(t *testing.T) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(p.private)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// claims are good ones, with one of them changed; nil removes it.
func claims(name string, value any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "ada", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func TestAuthenticateRefusesTokens(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b := newEnvironment(t, s, "a"), newEnvironment(t, s, "b")
	_, public := newAPIKey(t, s, a, auth.Public)
	rs, ed, revoked := newPair(t, s, a, auth.RS256), newPair(t, s, a, auth.EdDSA), newPair(t, s, a, auth.EdDSA)
	if _, err := s.RevokeSigningKey(ctx, a, revoked.ID); err != nil {
		t.Fatal(err)
	}
	foreign := newPair(t, s, b, auth.EdDSA)
	rsPEM := publicPEM(t, rs.key(t).Public())

	signed := func(header map[string]any, c jwt.MapClaims) string {
		return forge(t, jwt.SigningMethodEdDSA, ed.key(t), header, c)
	}
	with := func(name string, value any) string { return signed(nil, claims(name, value)) }
	kid := func(id any) map[string]any { return map[string]any{"kid": id} }
	good := claims("", nil)
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	genuine := ed.token(t, "ada")
	segment := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(genuine, ".")

	const signature, form, early = "no live signing key", "not a well-formed JWT", "not valid yet"
	tests := []struct{ name, token, message string }{
		// Shape.
		{"not a token", "hunter2", form},
		{"two parts", "a.b", form},
		{"four parts", genuine + ".x", form},
		{"with a scheme", "Bearer " + genuine, form},
		{"claims are null", parts[0] + "." + segment([]byte("null")) + "." + parts[2], signature},
		{"claims are a list", parts[0] + "." + segment([]byte("[]")) + "." + parts[2], form},
		{"no alg", segment([]byte("{}")) + "." + parts[1] + "." + parts[2], signature},

		// Signature.
		{"changed claims", parts[0] + "." + segment([]byte(`{"sub":"eve","exp":9999999999}`)) + "." + parts[2], signature},
		{"no signature", parts[0] + "." + parts[1] + ".", signature},
		{"alg none", forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good), signature},
		{"HS256 with the public PEM as its secret", forge(t, jwt.SigningMethodHS256, rsPEM, kid(rs.KID), good), signature},
		{"HS256 with the public DER as its secret", forge(t, jwt.SigningMethodHS256, rs.PublicKey, kid(rs.KID), good), signature},
		{"HS256 with the Ed25519 key as its secret", forge(t, jwt.SigningMethodHS256, []byte(ed.PublicKey[12:]), kid(ed.KID), good), signature},
		{"RS512", forge(t, jwt.SigningMethodRS512, rs.key(t), kid(rs.KID), good), signature},
		{"PS256", forge(t, jwt.SigningMethodPS256, rs.key(t), kid(rs.KID), good), signature},
		{"RS256 under the kid of an EdDSA key", forge(t, jwt.SigningMethodRS256, rs.key(t), kid(ed.KID), good), signature},
		{"EdDSA under the kid of an RSA key", signed(kid(rs.KID), good), signature},
		{"header says RS256, signed with EdDSA", signed(map[string]any{"alg": "RS256"}, good), signature},
		{"unknown kid", signed(kid("other"), good), signature},
		{"kid with a NUL", signed(kid("\x00"), good), signature},
		{"kid is a number", signed(kid(1), good), signature},
		{"kid is a list", signed(kid([]string{ed.KID}), good), signature},
		{"kid is null", signed(kid(nil), good), signature},
		{"unknown key", forge(t, jwt.SigningMethodRS256, rsaKey(), nil, good), signature},
		{"another environment's key", foreign.token(t, "ada"), signature},
		{"another environment's key, no kid", forge(t, jwt.SigningMethodEdDSA, foreign.key(t), nil, good), signature},
		{"another environment's key under our kid", forge(t, jwt.SigningMethodEdDSA, foreign.key(t), kid(ed.KID), good), signature},
		{"revoked key", revoked.token(t, "ada"), signature},
		{"revoked key, no kid", forge(t, jwt.SigningMethodEdDSA, revoked.key(t), nil, good), signature},
		{"critical extension", signed(map[string]any{"crit": []string{"b64"}, "b64": false}, good), signature},
		{"bad signature before bad claims", forge(t, jwt.SigningMethodEdDSA, foreign.key(t), nil, claims("exp", in(-time.Hour))), signature},

		// Claims.
		{"no exp", with("exp", nil), "no exp claim"},
		{"exp is not a number", with("exp", "tomorrow"), form},
		{"expired", with("exp", in(-time.Hour)), "has expired"},
		{"expired, past the leeway", with("exp", in(-auth.Leeway)), "has expired"},
		{"exp in milliseconds", with("exp", now.Add(time.Hour).UnixMilli()), "looks like milliseconds"},
		{"exp beyond all numbers", with("exp", 1e300), "has expired"},
		{"nbf past the leeway", with("nbf", in(auth.Leeway+time.Second)), early},
		{"iat past the leeway", with("iat", in(auth.Leeway+time.Second)), early},
		{"no sub", with("sub", nil), "sub claim"},
		{"empty sub", with("sub", ""), "sub claim"},
		{"sub is a number", with("sub", 123), form},
		{"sub with a slash", with("sub", "a/b"), "sub claim"},
		{"sub with a NUL", with("sub", "a\x00b"), "sub claim"},
		{"long sub", with("sub", strings.Repeat("x", belfry.MaxExternalIDLength+1)), "256 characters"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := bearer(public)
			c.UserToken = test.token
			viewer, until, err := s.Authenticate(ctx, c)
			e := wantError(t, err, belfry.Unauthenticated, "userToken", test.message)
			if viewer != (belfry.Viewer{}) || !until.IsZero() {
				t.Errorf("refused, but got %+v until %v", viewer, until)
			}
			if strings.Contains(e.Message, public) || strings.Contains(e.Message, ed.KID) || strings.Contains(e.Message, "eve") {
				t.Errorf("the message tells too much: %s", e.Message)
			}
		})
	}

	for name, token := range map[string]string{
		"good":               signed(kid(ed.KID), good),
		"exp in the leeway":  with("exp", in(-auth.Leeway+time.Second)),
		"nbf in the leeway":  with("nbf", in(auth.Leeway)),
		"iat in the leeway":  with("iat", in(auth.Leeway)),
		"no iat":             with("iat", nil),
		"fractional exp":     with("exp", float64(in(time.Hour))+0.5),
		"longest sub":        with("sub", strings.Repeat("x", belfry.MaxExternalIDLength)),
		"claims of your own": with("role", map[string]any{"admin": true}),
	} {
		c := bearer(public)
		c.UserToken = token
		if _, _, err := s.Authenticate(ctx, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUserTokenSize(t *testing.T) {
	t.Parallel()
	s := newService(t)
	env := newEnvironment(t, s, "production")
	_, full := newAPIKey(t, s, env, auth.Public)
	ed := newPair(t, s, env, auth.EdDSA)

	c := bearer(full)
	c.UserToken = tokenOfLength(t, ed, auth.MaxUserTokenLength)
	if _, _, err := s.Authenticate(t.Context(), c); err != nil {
		t.Errorf("a token at the limit: %v", err)
	}
	c.UserToken = tokenOfLength(t, ed, auth.MaxUserTokenLength+1)
	_, _, err := s.Authenticate(t.Context(), c)
	if e := wantError(t, err, belfry.Unauthenticated, "userToken", "8192 bytes"); e.Limit != auth.MaxUserTokenLength {
		t.Errorf("limit %d", e.Limit)
	}
}

// tokenOfLength pads header and claims until a valid token has n bytes; base64 skips some lengths, hence the search.
func tokenOfLength(t *testing.T, p pair, n int) string {
	t.Helper()
	for head := range 4 {
		for pad := (n - 500) * 3 / 4; pad < n; pad++ {
			token := forge(t, jwt.SigningMethodEdDSA, p.key(t),
				map[string]any{"pad": strings.Repeat("x", head)}, claims("pad", strings.Repeat("x", pad)))
			if len(token) == n {
				return token
			}
			if len(token) > n {
				break
			}
		}
	}
	t.Fatalf("no token has %d bytes", n)
	return ""
}

func TestSignUserTokenRefuses(t *testing.T) {
	t.Parallel()
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	good := pkcs8(rsaKey())
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())})
	garbage := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("garbage")})

	for _, test := range []struct {
		name           string
		private        []byte
		user           string
		ttl            time.Duration
		field, message string
	}{
		{"no user", good, "", time.Hour, "user", "an id is required"},
		{"no time", good, "ada", 0, "ttl", "a second or more"},
		{"below a second", good, "ada", time.Second - 1, "ttl", "a second or more"},
		{"not PEM", []byte("secret"), "ada", time.Hour, "privateKey", "openssl pkcs8"},
		{"PKCS #1", pkcs1, "ada", time.Hour, "privateKey", "openssl pkcs8"},
		{"garbage inside", garbage, "ada", time.Hour, "privateKey", "cannot be read"},
		{"ECDSA", pkcs8(elliptical), "ada", time.Hour, "privateKey", "Ed25519"},
	} {
		_, err := auth.SignUserToken(test.private, "", test.user, test.ttl, now)
		wantError(t, err, belfry.Invalid, test.field, test.message)
	}
	if _, err := auth.SignUserToken(good, "", "ada", time.Second, now); err != nil {
		t.Error(err)
	}
}
