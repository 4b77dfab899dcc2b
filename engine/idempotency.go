package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// idempotencyTTL is for how long a key replays its first answer.
const idempotencyTTL = 24 * time.Hour

// claimKey takes the request's idempotency key for this transaction. If the key was used before for the same request,
// the first answer is returned instead; for another request that is a conflict. A request with the same key that is
// just being accepted elsewhere is waited for.
func (e *Engine) claimKey(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, r *Request) (*Accepted, error) {
	hash, err := r.hash()
	if err != nil {
		return nil, err
	}
	now := e.now()
	var claimed bool
	err = tx.QueryRow(ctx, claimKey, env, r.IdempotencyKey, hash, now.Add(idempotencyTTL), now).Scan(&claimed)
	if !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	var firstHash, result []byte
	if err := tx.QueryRow(ctx, selectKey, env, r.IdempotencyKey).Scan(&firstHash, &result); err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	if !bytes.Equal(hash, firstHash) {
		return nil, belfry.Errorf(belfry.Conflict, "this key was used for another input within the last 24 hours: use a new key for a new request").At("input.idempotencyKey")
	}
	first := &Accepted{Replayed: true}
	if err := json.Unmarshal(result, first); err != nil {
		return nil, fmt.Errorf("decode the first answer: %w", err)
	}
	first.Trigger.Data = r.Data // equal, or the hash would differ
	return first, nil
}

// hash is a digest of the request without its key. JSON with sorted keys makes equal requests equal bytes.
func (r *Request) hash() ([]byte, error) {
	keyless := *r
	keyless.IdempotencyKey = ""
	b, err := encode(keyless)
	if err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "not representable as JSON").At("input")
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// storeResult writes the first answer, in the transaction that did the work.
func storeResult(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, key string, a *Accepted) error {
	_, err := tx.Exec(ctx, updateKey, env, key, a)
	return err
}
