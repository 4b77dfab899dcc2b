package feed

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// forgetChunk is how many rows one call of Forget deletes at most.
const forgetChunk = 5000

// Forget deletes the feeds of recipients who are deleted: a part of them, and reports whether there may be more. The feeds
// themselves go last, so what a crash leaves is found again. Whoever is subscribed stays so, and hears nothing more.
func (s *Service) Forget(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (more bool, err error) {
	if more, err = tx.FirstEffect(ctx, []string{forgetItems, forgetChanges, forgetGroups, forgetTimers, forgetExpansions, forgetFeeds}, env, ids, forgetChunk); err != nil {
		err = fmt.Errorf("forget feeds: %w", err)
	}
	return more, err
}

const (
	forgetItems = `DELETE FROM feed_items WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feed_items WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`

	forgetChanges = `DELETE FROM feed_changes WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feed_changes WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`

	forgetGroups = `DELETE FROM feed_groups WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feed_groups WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`

	forgetTimers = `DELETE FROM feed_timers WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feed_timers WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`

	forgetExpansions = `DELETE FROM feed_expansions WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feed_expansions WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3))`

	forgetFeeds = `DELETE FROM feeds WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feeds WHERE recipient_id = ANY ($2) AND environment_id = $1 ORDER BY recipient_id, channel LIMIT $3 FOR UPDATE))`
)
