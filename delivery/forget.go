package delivery

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// forgetChunk is how many rows one call of Forget deletes at most.
const forgetChunk = 5000

// Forget deletes the messages of recipients who are deleted, those that wait before those that were sent: a part of them,
// and reports whether there may be more. What is being sent at that moment is sent.
func (s *Service) Forget(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (more bool, err error) {
	if more, err = tx.FirstEffect(ctx, []string{forgetDeliveries, forgetAttempts, forgetMessages}, env, ids, forgetChunk); err != nil {
		err = fmt.Errorf("forget messages: %w", err)
	}
	return more, err
}

// A row that was updated meanwhile has moved away from its ctid. It is found by the next call.
const (
	forgetDeliveries = `DELETE FROM deliveries WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM deliveries WHERE recipient_id = ANY ($2) AND environment_id = $1 ORDER BY recipient_id, message_id LIMIT $3 FOR UPDATE))`

	forgetAttempts = `DELETE FROM attempts WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM attempts WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`

	forgetMessages = `DELETE FROM messages WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM messages WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`
)
