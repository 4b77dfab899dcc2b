package auth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MaxSigningKeys is how many keys of an environment may work at the same time. A token without a kid is tried with
// all of them, so this bounds what a forged one can cost.
const MaxSigningKeys = 10

// SigningKey describes a key that verifies user tokens. The private half is only known to the customer.
type SigningKey struct {
	ID        int64
	KID       string // belongs in the "kid" header of tokens: the RFC 7638 thumbprint of the public key
	Algorithm Algorithm
	Name      string
	PublicKey []byte // PKIX, DER
	CreatedAt time.Time
	RevokedAt *time.Time // nil while it works
}

const (
	signingKeyColumns = `id, kid, algorithm, name, public_key, created_at, revoked_at`

	// NO KEY: plain FOR UPDATE would wait for every insert that refers to the environment.
	lockEnvironment      = `SELECT id FROM environments WHERE id = $1 FOR NO KEY UPDATE`
	countLiveSigningKeys = `SELECT count(*) FROM signing_keys WHERE environment_id = $1 AND revoked_at IS NULL`
	insertSigningKey     = `
		INSERT INTO signing_keys (environment_id, kid, algorithm, name, public_key, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		RETURNING ` + signingKeyColumns
	listSigningKeys = `
		SELECT ` + signingKeyColumns + ` FROM signing_keys WHERE environment_id = $1
		ORDER BY id DESC LIMIT $2`
	revokeSigningKey = `
		UPDATE signing_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE environment_id = $1 AND id = $2
		RETURNING ` + signingKeyColumns
	liveSigningKeys = `
		SELECT kid, algorithm, public_key FROM signing_keys WHERE environment_id = $1 AND revoked_at IS NULL
		ORDER BY id DESC LIMIT $2`
)

// CreateSigningKey generates a pair and returns the private half, PKCS #8 in PEM, for the only time.
// Errors: Invalid at "algorithm" or "name", TooLarge at "name", NotFound for an unknown environment, Conflict when
// MaxSigningKeys work already.
func (s *Service) CreateSigningKey(ctx context.Context, env belfry.EnvironmentID, algorithm Algorithm, name string) (SigningKey, []byte, error) {
	if err := validateName(name); err != nil {
		return SigningKey{}, nil, err
	}
	pair, err := generatePair(algorithm)
	if err != nil {
		return SigningKey{}, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return SigningKey{}, nil, fmt.Errorf("encode private key: %w", err)
	}
	key, err := s.addSigningKey(ctx, env, name, pair.Public())
	if err != nil {
		return SigningKey{}, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ImportSigningKey registers the public half of a pair that the customer generated: PKIX in PEM, RSA of MinRSABits to
// MaxRSABits or Ed25519. Tokens may carry the returned KID, and must not carry another.
// Errors: as CreateSigningKey, Invalid or TooLarge at "publicKey", and Conflict when the key was ever registered here.
func (s *Service) ImportSigningKey(ctx context.Context, env belfry.EnvironmentID, name string, publicPEM []byte) (SigningKey, error) {
	if err := validateName(name); err != nil {
		return SigningKey{}, err
	}
	public, err := parsePublicPEM(publicPEM)
	if err != nil {
		return SigningKey{}, err
	}
	return s.addSigningKey(ctx, env, name, public)
}

// ListSigningKeys returns an environment's keys, revoked ones too, newest first, at most MaxKeysListed.
func (s *Service) ListSigningKeys(ctx context.Context, env belfry.EnvironmentID) ([]SigningKey, error) {
	keys, err := all[SigningKey](s.Pool.Query(ctx, listSigningKeys, env, MaxKeysListed))
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	return keys, nil
}

// RevokeSigningKey ends a key for good: tokens signed with it are refused from the next request on. Revoking twice
// keeps the first time. NotFound for a key that this environment does not have.
func (s *Service) RevokeSigningKey(ctx context.Context, env belfry.EnvironmentID, id int64) (SigningKey, error) {
	key, err := one[SigningKey](s.Pool.Query(ctx, revokeSigningKey, env, id, s.Now()))
	if errors.Is(err, pgx.ErrNoRows) {
		return SigningKey{}, belfry.Errorf(belfry.NotFound, "this environment has no such signing key").At("id")
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("revoke signing key: %w", err)
	}
	return key, nil
}

func (s *Service) addSigningKey(ctx context.Context, env belfry.EnvironmentID, name string, public crypto.PublicKey) (key SigningKey, err error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return SigningKey{}, fmt.Errorf("encode public key: %w", err)
	}
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		// The lock makes counting and inserting one step for everybody who adds keys to this environment.
		var live int
		if err := tx.QueryRow(ctx, lockEnvironment, env).Scan(new(int64)); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, countLiveSigningKeys, env).Scan(&live); err != nil {
			return err
		}
		if live >= MaxSigningKeys {
			err := belfry.Errorf(belfry.Conflict, "at most %d signing keys work at the same time: revoke one first", MaxSigningKeys)
			err.Limit = MaxSigningKeys
			return err
		}
		var err error
		key, err = one[SigningKey](tx.Query(ctx, insertSigningKey,
			env, thumbprint(public), algorithmOf(public), name, der, s.Now()))
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return SigningKey{}, noEnvironment()
	}
	if postgres.IsUniqueViolation(err, "signing_keys_environment_id_kid_key") {
		return SigningKey{}, belfry.Errorf(belfry.Conflict,
			"this environment has this key already, or had it and revoked it: generate a new pair").At("publicKey")
	}
	if err != nil && belfry.CodeOf(err) == belfry.Internal {
		err = fmt.Errorf("add signing key: %w", err)
	}
	return key, err
}

func generatePair(algorithm Algorithm) (crypto.Signer, error) {
	switch algorithm {
	case RS256:
		return rsa.GenerateKey(rand.Reader, MinRSABits)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, belfry.Errorf(belfry.Invalid, "user tokens are signed with RS256 or EdDSA: choose one").At("algorithm")
}
