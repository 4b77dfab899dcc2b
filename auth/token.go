package auth

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/belfryhq/belfry"
)

const (
	// MaxUserTokenLength bounds a user token, in bytes; longer ones are refused unread.
	MaxUserTokenLength = 8 << 10
	// Leeway is how far apart the clocks of the customer's backend and ours may be.
	Leeway = 30 * time.Second
)

// verifyUserToken returns whom a token speaks for, and from when on it will be refused. The token must be signed by a
// live key of the environment. Errors are Unauthenticated, or Internal when the keys cannot be looked up.
func (s *Service) verifyUserToken(ctx context.Context, env belfry.EnvironmentID, text string) (user string, until time.Time, err error) {
	if len(text) > MaxUserTokenLength {
		return "", time.Time{}, &belfry.Error{Code: belfry.Unauthenticated, Field: "userToken", Limit: MaxUserTokenLength,
			Message: fmt.Sprintf("a user token has at most %d bytes", MaxUserTokenLength)}
	}
	var lookup error // kept apart, as the parser would make a failing database look like a bad token
	keyFunc := func(token *jwt.Token) (any, error) {
		keys, err := s.verificationKeys(ctx, env, token)
		lookup = err
		return keys, err
	}
	var claims jwt.RegisteredClaims
	// The parser reports claims only after the signature held, so strangers learn nothing about a token's contents.
	_, err = jwt.NewParser(
		// The first of two nets against HS256 keyed with a public key, "none" and relatives; verificationKeys, which
		// only returns keys of the token's algorithm, is the second.
		jwt.WithValidMethods([]string{string(RS256), string(EdDSA)}),
		jwt.WithExpirationRequired(), // by default a token without exp lives for ever
		jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(s.Now),
	).ParseWithClaims(text, &claims, keyFunc)
	if lookup != nil {
		return "", time.Time{}, lookup
	}
	if err != nil {
		return "", time.Time{}, badToken(reason(err))
	}
	if err := belfry.ValidateExternalID(claims.Subject, "sub"); err != nil {
		return "", time.Time{}, badToken("the sub claim must be the id of a user: " + err.Error())
	}
	if claims.ExpiresAt.Year() > 9999 {
		return "", time.Time{}, badToken("the exp claim counts seconds since 1970; this one looks like milliseconds")
	}
	return claims.Subject, claims.ExpiresAt.Add(Leeway), nil
}

// verificationKeys returns the live keys of an environment that can have signed a token: those of its algorithm, and
// of its kid if it has one. None is fine: the parser refuses the token then.
func (s *Service) verificationKeys(ctx context.Context, env belfry.EnvironmentID, token *jwt.Token) (set jwt.VerificationKeySet, err error) {
	// RFC 7515 wants tokens refused whose extensions are critical and not understood. We understand none.
	if _, critical := token.Header["crit"]; critical {
		return set, nil
	}
	kid, hasKID := token.Header["kid"]
	type liveKey struct {
		KID       string
		Algorithm string
		DER       []byte
	}
	// Choosing by kid happens here, not in SQL: there are at most ten, and the kid is a stranger's value of any type.
	keys, err := all[liveKey](s.Pool.Query(ctx, liveSigningKeys, env, MaxSigningKeys))
	if err != nil {
		return set, fmt.Errorf("look up signing keys: %w", err)
	}
	for _, key := range keys {
		if key.Algorithm != token.Method.Alg() || hasKID && kid != any(key.KID) {
			continue
		}
		public, err := x509.ParsePKIXPublicKey(key.DER)
		if err != nil {
			return set, fmt.Errorf("read stored signing key %q: %w", key.KID, err)
		}
		set.Keys = append(set.Keys, public)
	}
	return set, nil
}

// reason says why the parser refused a token, in words that name a remedy.
func reason(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "it is not a well-formed JWT (three dotted parts; sub is a string, exp a number of seconds)"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "it has no exp claim: issue it with one"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "it has expired: get a new one from your backend"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "it is not valid yet: check its nbf and iat, and the clock of the machine that issued it"
	}
	return "no live signing key of this environment verifies it: sign with RS256 or EdDSA, and send the kid or none"
}

func badToken(message string) *belfry.Error {
	return belfry.Errorf(belfry.Unauthenticated, "the user token is refused: %s", message).At("userToken")
}

// SignUserToken issues a user token the way a customer's backend would, for development and tests. privatePEM is the
// PKCS #8 that CreateSigningKey returned; an empty kid leaves the header out; ttl is counted from now, in whole seconds.
func SignUserToken(privatePEM []byte, kid, user string, ttl time.Duration, now time.Time) (string, error) {
	if err := belfry.ValidateExternalID(user, "user"); err != nil {
		return "", err
	}
	if ttl < time.Second {
		return "", belfry.Errorf(belfry.Invalid, "a token lives for a second or more").At("ttl")
	}
	block, _ := pem.Decode(privatePEM)
	if block == nil || block.Type != "PRIVATE KEY" {
		return "", badPrivateKey("this is not a PRIVATE KEY in PEM: convert it with openssl pkcs8 -topk8 -nocrypt")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", badPrivateKey("the PRIVATE KEY block cannot be read: convert it with openssl pkcs8 -topk8 -nocrypt")
	}
	signer, ok := private.(crypto.Signer)
	if !ok || validatePublicKey(signer.Public()) != nil {
		return "", badPrivateKey("user tokens are signed with RSA of 2048 to 8192 bits or with Ed25519: use such a key")
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(string(algorithmOf(signer.Public()))), jwt.RegisteredClaims{
		Subject:   user,
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	})
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(private)
	if err != nil {
		return "", fmt.Errorf("sign user token: %w", err)
	}
	return text, nil
}

func badPrivateKey(message string) *belfry.Error {
	return belfry.Errorf(belfry.Invalid, "%s", message).At("privateKey")
}
