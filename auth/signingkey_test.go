package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

func TestSigningKeysStayInTheirEnvironment(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b := newEnvironment(t, s, "a"), newEnvironment(t, s, "b")
	first, second := newPair(t, s, a, auth.EdDSA), newPair(t, s, a, auth.RS256)
	if first.Algorithm != auth.EdDSA || second.Algorithm != auth.RS256 || !first.CreatedAt.Equal(now) {
		t.Errorf("created %+v and %+v", first.SigningKey, second.SigningKey)
	}

	list, err := s.ListSigningKeys(ctx, a)
	if diff := cmp.Diff([]auth.SigningKey{second.SigningKey, first.SigningKey}, list); err != nil || diff != "" {
		t.Errorf("newest first: %v %s", err, diff)
	}
	if list, err := s.ListSigningKeys(ctx, b); err != nil || len(list) != 0 {
		t.Errorf("b lists %v, %v", list, err)
	}
	_, err = s.RevokeSigningKey(ctx, b, first.ID)
	wantError(t, err, belfry.NotFound, "id", "no such signing key")

	for _, at := range []time.Time{now.Add(time.Hour), now.Add(2 * time.Hour)} {
		s.Now = func() time.Time { return at }
		revoked, err := s.RevokeSigningKey(ctx, a, first.ID)
		if err != nil || revoked.RevokedAt == nil || !revoked.RevokedAt.Equal(now.Add(time.Hour)) {
			t.Errorf("revoked at %v, %v", revoked.RevokedAt, err)
		}
	}
}

func TestCreateSigningKeyRefuses(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")
	_, _, err := s.CreateSigningKey(ctx, env, "HS256", "web")
	wantError(t, err, belfry.Invalid, "algorithm", "RS256 or EdDSA")
	_, _, err = s.CreateSigningKey(ctx, env, auth.EdDSA, "")
	wantError(t, err, belfry.Invalid, "name", "required")
	_, _, err = s.CreateSigningKey(ctx, env+1, auth.EdDSA, "web")
	wantError(t, err, belfry.NotFound, "", "no such environment")
}

func TestSigningKeysThatWorkAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")
	var last pair
	for range auth.MaxSigningKeys {
		last = newPair(t, s, env, auth.EdDSA)
	}
	_, _, err := s.CreateSigningKey(ctx, env, auth.EdDSA, "one more")
	if e := wantError(t, err, belfry.Conflict, "", "revoke one first"); e.Limit != auth.MaxSigningKeys {
		t.Errorf("limit %d", e.Limit)
	}
	if _, err := s.RevokeSigningKey(ctx, env, last.ID); err != nil {
		t.Fatal(err)
	}
	newPair(t, s, env, auth.EdDSA)
}

func TestImportSigningKey(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	env := newEnvironment(t, s, "production")

	key, err := s.ImportSigningKey(ctx, env, "web", publicPEM(t, rsaKey().Public()))
	if err != nil || key.Algorithm != auth.RS256 || key.Name != "web" {
		t.Fatalf("imported %+v, %v", key, err)
	}
	_, err = s.ImportSigningKey(ctx, env, "again", publicPEM(t, rsaKey().Public()))
	wantError(t, err, belfry.Conflict, "publicKey", "has this key already")

	// Revoked is for good.
	if _, err := s.RevokeSigningKey(ctx, env, key.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.ImportSigningKey(ctx, env, "again", publicPEM(t, rsaKey().Public()))
	wantError(t, err, belfry.Conflict, "publicKey", "revoked it")
	if _, err = s.ImportSigningKey(ctx, newEnvironment(t, s, "b"), "web", publicPEM(t, rsaKey().Public())); err != nil {
		t.Errorf("another environment may have the same key: %v", err)
	}
}

// The examples of RFC 7638 §3.1 and RFC 8037 A.3.
func TestKIDIsTheThumbprintOfTheRFCs(t *testing.T) {
	t.Parallel()
	s := newService(t)
	env := newEnvironment(t, s, "production")
	decode := func(text string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	modulus := decode("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB" +
		"ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0z" +
		"gdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-k" +
		"EgU8awapJzKnqDKgw")
	for want, key := range map[string]any{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": ed25519.PublicKey(decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
	} {
		imported, err := s.ImportSigningKey(t.Context(), env, "RFC", publicPEM(t, key))
		if err != nil || imported.KID != want {
			t.Errorf("got %q, %v; want %q", imported.KID, err, want)
		}
	}
}

func TestImportSigningKeyRefuses(t *testing.T) {
	t.Parallel()
	s := newService(t)
	env := newEnvironment(t, s, "production")

	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	ofBits := func(n uint) []byte { // the right length is all that an import looks at
		modulus := new(big.Int).SetBit(big.NewInt(1), int(n-1), 1)
		return publicPEM(t, &rsa.PublicKey{N: modulus, E: 65537})
	}
	good := publicPEM(t, rsaKey().Public())

	tests := []struct {
		name    string
		pem     []byte
		code    belfry.Code
		message string
		limit   int
	}{
		{"empty", nil, belfry.Invalid, "BEGIN PUBLIC KEY", 0},
		{"not PEM", []byte("ssh-ed25519 AAAA"), belfry.Invalid, "BEGIN PUBLIC KEY", 0},
		{"a private key", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), belfry.Invalid, "must stay with you", 0},
		{"PKCS #1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), belfry.Invalid, "no PUBLIC KEY block", 0},
		{"garbage inside", block("PUBLIC KEY", []byte("garbage")), belfry.Invalid, "cannot be read", 0},
		{"two keys", append(bytes.Clone(good), good...), belfry.Invalid, "one key at a time", 0},
		{"ECDSA", publicPEM(t, elliptical.Public()), belfry.Invalid, "RSA (RS256) or Ed25519 (EdDSA)", 0},
		{"short RSA", ofBits(auth.MinRSABits - 1), belfry.Invalid, "2048 bits", auth.MinRSABits},
		{"long RSA", ofBits(auth.MaxRSABits + 1), belfry.TooLarge, "8192 bits", auth.MaxRSABits},
		{"even exponent", publicPEM(t, &rsa.PublicKey{N: rsaKey().N, E: 65536}), belfry.Invalid, "odd", 0},
		{"exponent 1", publicPEM(t, &rsa.PublicKey{N: rsaKey().N, E: 1}), belfry.Invalid, "3 or more", 0},
		{"long text", append(bytes.Repeat([]byte("\n"), auth.MaxPEMLength+1-len(good)), good...), belfry.TooLarge, "16384 bytes", auth.MaxPEMLength},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.ImportSigningKey(t.Context(), env, "web", test.pem)
			if e := wantError(t, err, test.code, "publicKey", test.message); e.Limit != test.limit {
				t.Errorf("limit %d, want %d", e.Limit, test.limit)
			}
		})
	}
	for name, text := range map[string][]byte{
		"shortest RSA": ofBits(auth.MinRSABits),
		"longest RSA":  ofBits(auth.MaxRSABits),
		"longest text": append(bytes.Repeat([]byte("\n"), auth.MaxPEMLength-len(good)), good...),
	} {
		if _, err := s.ImportSigningKey(t.Context(), env, name, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
