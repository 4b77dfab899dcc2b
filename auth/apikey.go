package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// Kind says for whom an API key speaks.
type Kind string

const (
	Secret Kind = "secret" // sk_…: the customer's backend
	Public Kind = "public" // pk_…: a browser or app, together with a user token
)

const (
	// MaxNameLength bounds the names of API keys and signing keys, in characters.
	MaxNameLength = 100
	// MaxAPIKeyLength bounds an API key, in bytes; longer ones are refused unread.
	MaxAPIKeyLength = 128
	// MaxKeysListed bounds ListAPIKeys and ListSigningKeys.
	MaxKeysListed = 1000

	keyBytes   = 32 // of randomness
	keyDigits  = 43 // base62 digits that hold keyBytes
	hintLength = 9  // the prefix and a few digits: 36 of 256 bits, so that people can tell keys apart
)

// APIKey describes a key. The key itself is only known to who created it.
type APIKey struct {
	ID        int64
	Kind      Kind
	Name      string
	Hint      string // its first characters
	CreatedAt time.Time
	RevokedAt *time.Time // nil while it works
}

const (
	apiKeyColumns = `id, kind, name, hint, created_at, revoked_at`

	insertAPIKey = `
		INSERT INTO api_keys (environment_id, kind, name, hint, hash, created_at)
		SELECT id, $2, $3, $4, $5, $6 FROM environments WHERE id = $1
		RETURNING ` + apiKeyColumns
	ensureDemoKey = `
		INSERT INTO api_keys (environment_id, kind, name, hint, hash, created_at)
		SELECT id, $2, $3, $4, $5, $6 FROM environments WHERE id = $1
		ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL
			WHERE api_keys.environment_id = $1 AND api_keys.kind = $2
		RETURNING ` + apiKeyColumns
	listAPIKeys = `
		SELECT ` + apiKeyColumns + ` FROM api_keys WHERE environment_id = $1
		ORDER BY id DESC LIMIT $2`
	revokeAPIKey = `
		UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE environment_id = $1 AND id = $2
		RETURNING ` + apiKeyColumns
	authenticateAPIKey = `SELECT environment_id, kind FROM api_keys WHERE hash = $1 AND revoked_at IS NULL`
)

// CreateAPIKey makes a random key and returns it in full, for the only time. name says what it is for.
// Errors: Invalid at "kind" or "name", TooLarge at "name", NotFound for an unknown environment.
func (s *Service) CreateAPIKey(ctx context.Context, env belfry.EnvironmentID, kind Kind, name string) (APIKey, string, error) {
	prefix, err := kind.prefix()
	if err != nil {
		return APIKey{}, "", err
	}
	if err := validateName(name); err != nil {
		return APIKey{}, "", err
	}
	full := prefix + randomDigits()
	key, err := one[APIKey](s.Pool.Query(ctx, insertAPIKey, env, kind, name, hint(full), hashKey(full), s.Now()))
	if errors.Is(err, pgx.ErrNoRows) {
		return APIKey{}, "", noEnvironment()
	}
	if err != nil {
		return APIKey{}, "", fmt.Errorf("create API key: %w", err)
	}
	return key, full, nil
}

// EnsureDemoKey makes a fixed key, which begins with sk_demo_ or pk_demo_, work in an environment; one that was
// revoked works again. Authenticate refuses it unless the service has AllowDemoKeys.
// Errors: Invalid at "key", NotFound for an unknown environment, Conflict when another environment has the key.
func (s *Service) EnsureDemoKey(ctx context.Context, env belfry.EnvironmentID, kind Kind, full string) (APIKey, error) {
	prefix, err := kind.prefix()
	if err != nil {
		return APIKey{}, err
	}
	if !strings.HasPrefix(full, prefix+"demo_") {
		return APIKey{}, belfry.Errorf(belfry.Invalid, "a %s demo key begins with %sdemo_", kind, prefix).At("key")
	}
	if len(full) > MaxAPIKeyLength {
		return APIKey{}, belfry.Beyond("key", MaxAPIKeyLength, "bytes")
	}
	if strings.ContainsFunc(full, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return APIKey{}, belfry.Errorf(belfry.Invalid, "a key is made of visible ASCII characters").At("key")
	}
	if _, err := s.EnvironmentKey(ctx, env); err != nil {
		return APIKey{}, err
	}
	key, err := one[APIKey](s.Pool.Query(ctx, ensureDemoKey, env, kind, "demo", hint(full), hashKey(full), s.Now()))
	if errors.Is(err, pgx.ErrNoRows) {
		return APIKey{}, belfry.Errorf(belfry.Conflict, "another environment has this demo key: choose another").At("key")
	}
	if err != nil {
		return APIKey{}, fmt.Errorf("ensure demo key: %w", err)
	}
	return key, nil
}

// ListAPIKeys returns an environment's keys, revoked ones too, newest first, at most MaxKeysListed.
func (s *Service) ListAPIKeys(ctx context.Context, env belfry.EnvironmentID) ([]APIKey, error) {
	keys, err := all[APIKey](s.Pool.Query(ctx, listAPIKeys, env, MaxKeysListed))
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return keys, nil
}

// RevokeAPIKey ends a key for good, from the next request on. Revoking twice keeps the first time. NotFound for a key
// that this environment does not have.
func (s *Service) RevokeAPIKey(ctx context.Context, env belfry.EnvironmentID, id int64) (APIKey, error) {
	key, err := one[APIKey](s.Pool.Query(ctx, revokeAPIKey, env, id, s.Now()))
	if errors.Is(err, pgx.ErrNoRows) {
		return APIKey{}, belfry.Errorf(belfry.NotFound, "this environment has no such API key").At("id")
	}
	if err != nil {
		return APIKey{}, fmt.Errorf("revoke API key: %w", err)
	}
	return key, nil
}

func (k Kind) prefix() (string, error) {
	switch k {
	case Secret:
		return "sk_", nil
	case Public:
		return "pk_", nil
	}
	return "", belfry.Errorf(belfry.Invalid, "the kind of an API key is secret or public").At("kind")
}

// isDemoKey recognises keys that anybody can read in the documentation. A random key is never one: its digits have
// no underscore.
func isDemoKey(full string) bool {
	return strings.HasPrefix(full, "sk_demo_") || strings.HasPrefix(full, "pk_demo_")
}

// randomDigits returns keyBytes of randomness in base62, which a double click selects whole and URLs leave alone.
func randomDigits() string {
	var b [keyBytes]byte
	rand.Read(b[:]) // never fails: it ends the program rather than return weak bytes
	digits := new(big.Int).SetBytes(b[:]).Text(62)
	return strings.Repeat("0", keyDigits-len(digits)) + digits
}

// hashKey is one round of SHA-256, on purpose. Slow, salted hashes make guessing a person's password expensive; a key
// of 256 random bits cannot be guessed at any speed, and a fast hash without salt is what lets one index lookup find it.
func hashKey(full string) []byte {
	sum := sha256.Sum256([]byte(full))
	return sum[:]
}

func hint(full string) string { return full[:min(len(full), hintLength)] }

func validateName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return belfry.Errorf(belfry.Invalid, "a name is required: say what the key is for").At("name")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return belfry.Errorf(belfry.Invalid, "a name is valid UTF-8 without control characters").At("name")
	case utf8.RuneCountInString(name) > MaxNameLength:
		return belfry.Beyond("name", MaxNameLength, "characters")
	}
	return nil
}
