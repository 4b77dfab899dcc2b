package feed

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// header is a row of feeds.
type header struct {
	key
	epoch      int64
	version    int64
	lastSeq    int64
	cells      Cells
	watermarks Watermarks
	told       []told // what marks did to items, of which ObserveEach isn't told yet: writing the row does it
	groupedTo  int64  // feed_groups counts the items up to this seq; 0: there is nothing to be found; see group.go
	pins       Pins
}

// key is the primary key of a feed, and the environment that owns it.
type key struct {
	env       belfry.EnvironmentID
	recipient belfry.RecipientID
	channel   string
}

func (h *header) position() belfry.Position {
	return belfry.Position{Epoch: h.epoch, Version: h.version}
}

const headerColumns = `epoch, version, last_seq, unseen, seen, read, archived_unseen, archived_seen, archived_read, watermarks, grouped_to, pins`

const selectHeader = `SELECT ` + headerColumns + `
  FROM feeds WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3`

// lockHeader comes first in every transaction that changes items, as a statement of its own: the statements after it
// then see what the holder before us committed.
const lockHeader = selectHeader + ` FOR UPDATE`

// querier is what reads rows: the pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readHeader reads a feed's row with selectHeader or lockHeader. A feed without a row is empty, at position zero.
func readHeader(ctx context.Context, q querier, sql string, k key) (*header, error) {
	h := &header{key: k}
	c := &h.cells
	err := q.QueryRow(ctx, sql, k.recipient, k.channel, k.env).Scan(&h.epoch, &h.version, &h.lastSeq,
		&c.Active[Unseen], &c.Active[Seen], &c.Active[Read],
		&c.Archived[Unseen], &c.Archived[Seen], &c.Archived[Read], &h.watermarks, &h.groupedTo, &h.pins)
	if errors.Is(err, pgx.ErrNoRows) {
		return h, nil
	}
	return h, err
}

const updateHeader = `UPDATE feeds
   SET version = $4, unseen = $5, seen = $6, read = $7, archived_unseen = $8, archived_seen = $9, archived_read = $10, watermarks = $11,
       last_seq = $12, grouped_to = $13, pins = $14
 WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3`

// writeHeader writes a feed's row, and tells what is to be told of its items.
func (s *Service) writeHeader(ctx context.Context, tx *postgres.Tx, h *header) error {
	if err := s.observeTold(ctx, tx, h); err != nil {
		return err
	}
	c := &h.cells
	_, err := tx.Exec(ctx, updateHeader, h.recipient, h.channel, h.env, h.version,
		c.Active[Unseen], c.Active[Seen], c.Active[Read],
		c.Archived[Unseen], c.Archived[Seen], c.Archived[Read], h.watermarks, h.lastSeq, h.groupedTo, append(Pins{}, h.pins...)) // not null
	return err
}

const stateColumns = `seq, state_version, state, archived, seen_at, read_at, interacted_at, archived_at, snoozed_until`

// aboutColumns are what an item shows besides its state and content.
const aboutColumns = `coalesce(actor_id, 0), actor_ids, coalesce(total_activities, 1), coalesce(tenant_id, 0), workflow, step_ref, categories, created_at`

// selectThese reads items by their keys, newest first.
const selectThese = `SELECT i.* FROM (SELECT DISTINCT seq FROM unnest($4::bigint[]) AS t (seq)) t
 CROSS JOIN LATERAL (SELECT ` + stateColumns + `, ` + aboutColumns + `, content FROM feed_items
   WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = t.seq OFFSET 0) i
 ORDER BY i.seq DESC`

const attributeColumns = `workflow, categories, coalesce(tenant_id, 0), created_at, coalesce(priority, 'NORMAL'), coalesce(severity, '')`

// selectItems reads a stretch of a feed, newest first. It doesn't leave out what the filter doesn't want, for then
// LIMIT wouldn't bound how many rows a rare workflow has it look at; it leaves out their content.
const selectItems = `SELECT ` + stateColumns + `, ` + aboutColumns + `,
       CASE WHEN ($6::text[] IS NULL OR workflow = ANY ($6)) AND ($7::text[] IS NULL OR categories && $7)
             AND ($9::bigint[] IS NULL OR coalesce(tenant_id, 0) = ANY ($9))
             AND ($10::timestamptz IS NULL OR created_at >= $10) AND ($11::timestamptz IS NULL OR created_at < $11) THEN content END
  FROM feed_items
 WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq < $4 AND seq > $5
 ORDER BY seq DESC LIMIT $8`

// selectMarkable reads what marking some items needs.
const selectMarkable = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $5 THEN content->'data' END, step_ref
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = ANY ($4) ORDER BY seq`

// selectStates reads the stored states of a stretch of a feed, oldest first, and what scopes look at.
const selectStates = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $7 THEN content->'data' END
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq > $4 AND seq <= $5
 ORDER BY seq LIMIT $6`

// updateStates looks items up by their keys, whatever the planner thinks of the feed's size: it might read all of it for each.
const updateStates = `UPDATE feed_items AS i
   SET state_version = s.state_version, state = s.state, archived = s.archived,
       seen_at = s.seen_at, read_at = s.read_at, interacted_at = s.interacted_at, archived_at = s.archived_at
  FROM unnest($4::bigint[], $5::bigint[], $6::smallint[], $7::boolean[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
    AS s (seq, state_version, state, archived, seen_at, read_at, interacted_at, archived_at)
 CROSS JOIN LATERAL (SELECT ctid AS place FROM feed_items
   WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = s.seq OFFSET 0) k
 WHERE i.ctid = k.place`

// stored is what the columns of one item hold that marks and counts look at.
type stored struct {
	seq int64
	State
	Attributes
}

// fields is where the state columns go.
func (s *stored) fields() []any {
	return []any{&s.seq, &s.Version, &s.Level, &s.Archived, &s.SeenAt, &s.ReadAt, &s.InteractedAt, &s.ArchivedAt, &s.SnoozedUntil}
}

// allFields is where they and the attributes go, and the data, if that was asked for.
func (s *stored) allFields() []any {
	s.Data = nil
	return append(s.fields(), &s.Workflow, &s.Categories, &s.Tenant, &s.CreatedAt, &s.Priority, &s.Severity, &s.Data)
}

func writeStates(ctx context.Context, tx pgx.Tx, k key, items []stored) error {
	n := len(items)
	seqs, versions, levels, archived := make([]int64, n), make([]int64, n), make([]int16, n), make([]bool, n)
	times := [4][]*time.Time{make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n)}
	for i, it := range items {
		seqs[i], versions[i], levels[i], archived[i] = it.seq, it.Version, int16(it.Level), it.Archived
		times[0][i], times[1][i], times[2][i], times[3][i] = it.SeenAt, it.ReadAt, it.InteractedAt, it.ArchivedAt
	}
	_, err := tx.Exec(ctx, updateStates, k.recipient, k.channel, k.env,
		seqs, versions, levels, archived, times[0], times[1], times[2], times[3])
	return err
}

// looked is how far readItems looked.
type looked struct {
	rows int
	last int64 // sequence number of the oldest of them
}

// readItems looks at up to limit items of a feed between two sequence numbers, both excluded, newest first, and
// returns those that match, in their true state.
func readItems(ctx context.Context, tx pgx.Tx, h *header, before, after int64, sel *selection, limit int) (items []*Item, at looked, err error) {
	var sc Scope
	if sel.scope != nil {
		sc = *sel.scope
	}
	rows, err := tx.Query(ctx, selectItems, h.recipient, h.channel, h.env, before, after, sc.Workflows, sc.Categories, limit, sc.Tenants, sc.From, sc.Before)
	if err != nil {
		return nil, at, err
	}
	defer rows.Close()
	for rows.Next() {
		i, wanted, err := h.scanItem(rows)
		if err != nil {
			return nil, at, err
		}
		at = looked{at.rows + 1, i.ID.Seq}
		if wanted && sel.wants(i) {
			items = append(items, i)
		}
	}
	return items, at, rows.Err()
}

// scanItem reads a row of selectItems or selectThese. wanted is false if its content was left out.
func (h *header) scanItem(rows pgx.Rows) (i *Item, wanted bool, err error) {
	var st stored
	var content *belfry.Content
	i = &Item{Epoch: h.epoch}
	if err := rows.Scan(append(st.fields(), &i.Actor, &i.Actors, &i.TotalActivities, &i.Tenant,
		&i.Workflow, &i.StepRef, &i.Categories, &i.CreatedAt, &content)...); err != nil {
		return nil, false, err
	}
	i.ID = belfry.MessageID{Recipient: h.recipient, Channel: h.channel, Seq: st.seq}
	i.PinnedAt = h.pins.at(st.seq)
	if content == nil {
		return i, false, nil
	}
	i.Content = *content
	a := i.attributes()
	i.State = h.watermarks.Effective(st.seq, &a, st.State)
	return i, true, nil
}

// readThese reads items by their sequence numbers, newest first, those that are snoozed too.
func readThese(ctx context.Context, tx pgx.Tx, h *header, seqs []int64) ([]*Item, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, selectThese, h.recipient, h.channel, h.env, seqs)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []*Item
	for rows.Next() {
		i, _, err := h.scanItem(rows)
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	return items, rows.Err()
}

const insertChange = `INSERT INTO feed_changes (recipient_id, channel, version, environment_id, at, mark, seqs, up_to, filter)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

const selectChanges = `SELECT version, at, mark, seqs, coalesce(up_to, 0), filter
  FROM feed_changes WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND version > $4 AND version <= $5
 ORDER BY version`

const deleteChanges = `DELETE FROM feed_changes WHERE ctid = ANY (ARRAY(SELECT ctid FROM feed_changes WHERE at < $1 LIMIT $2))`

const selectVersions = `SELECT t.n, f.epoch, f.version
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) WITH ORDINALITY AS t (recipient_id, channel, environment_id, n)
  JOIN feeds f USING (recipient_id, channel, environment_id)`

// bumpFeeds locks feeds and makes room in them: one element a feed, in the order of their keys so that two transactions
// lock them in the same order. Unfolded in the list of a SELECT, arrays aren't copied to the side first, as they are behind FROM.
const bumpFeeds = `INSERT INTO feeds AS f (recipient_id, channel, environment_id, epoch, version, last_seq, unseen)
SELECT recipient_id, channel, environment_id, $5, n, n, n
  FROM (SELECT unnest($1::bigint[]) AS recipient_id, unnest($2::text[]) AS channel, unnest($3::bigint[]) AS environment_id, unnest($4::int[]) AS n) t
    ON CONFLICT (recipient_id, channel) DO UPDATE
   SET version = f.version + excluded.version, last_seq = f.version + excluded.version, unseen = f.unseen + excluded.unseen
 WHERE f.environment_id = excluded.environment_id
RETURNING environment_id, recipient_id, channel, epoch, version, unseen, seen, read`

// insertItems fills that room: $1, $2, $4 and $17 have one element an item, $5 to $12 one an origin, $13 to $16 one a step. Mostly there is one
// step: its categories are taken apart once.
// The contents come last: pgx's buffer grows with each argument, and would move them.
const insertItems = `INSERT INTO feed_items (` + itemFields + `)
SELECT ` + itemValues + `
  FROM (SELECT *, ($10::int[])[o] AS s
          FROM (SELECT unnest($1::bigint[]) AS recipient_id, unnest($2::bigint[]) AS seq, unnest($17::json[]) AS content, unnest($4::int[]) AS o) i) i`

// insertItemsWithOptions does it for items some of which have options: $18 to $21 have one element an item, too.
const insertItemsWithOptions = `INSERT INTO feed_items (` + itemFields + `, resource_key, priority, severity, expires_at)
SELECT ` + itemValues + `, resource_key, priority, severity, expires_at
  FROM (SELECT *, ($10::int[])[o] AS s
          FROM unnest($1::bigint[], $2::bigint[], $17::json[], $4::int[], $18::text[], $19::text[], $20::text[], $21::timestamptz[])
            AS i (recipient_id, seq, content, o, resource_key, priority, severity, expires_at)) i`

const (
	itemFields = `recipient_id, channel, seq, state_version, environment_id, version_id, actor_id, tenant_id,
  trigger_id, actor_ids, total_activities, created_at, workflow, step_ref, categories, content`

	itemValues = `recipient_id, ($13::text[])[s], seq, seq, ($5::bigint[])[o], ($6::bigint[])[o], nullif(($7::bigint[])[o], 0), nullif(($8::bigint[])[o], 0),
       ($9::uuid[])[o], nullif(($11::text[])[o], '')::bigint[], nullif(($12::int[])[o], 0),
       $3, ($14::text[])[s], ($15::text[])[s],
       CASE s WHEN 1 THEN (SELECT string_to_array(($16::text[])[1], E'\x1f')) ELSE string_to_array(($16::text[])[s], E'\x1f') END, content`
)

// selectStatuses looks up items by their keys, whatever the planner thinks of the tables' sizes.
const selectStatuses = `SELECT t.recipient_id, t.channel, ` + stateColumns + `, ` + attributeColumns + `,
       CASE WHEN jsonb_path_exists(f.watermarks, '$[*].s.d') THEN i.content->'data' END, f.watermarks
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS t (recipient_id, channel, seq)
 CROSS JOIN LATERAL (SELECT state_version, state, archived, seen_at, read_at, interacted_at, archived_at, snoozed_until,
                            workflow, categories, tenant_id, created_at, priority, severity, content FROM feed_items
   WHERE recipient_id = t.recipient_id AND channel = t.channel AND seq = t.seq AND environment_id = $4 OFFSET 0) i
 CROSS JOIN LATERAL (SELECT watermarks FROM feeds
   WHERE recipient_id = t.recipient_id AND channel = t.channel AND environment_id = $4 OFFSET 0) f`

// statements is every statement of this package by name, for the test that prepares them on the migrated schema.
var statements = map[string]string{
	"takeWalk": takeWalk, "selectFeedsAfter": selectFeedsAfter, "moveWalk": moveWalk, "anyRetention": anyRetention,
	"upsertRetention": upsertRetention, "deleteRetention": deleteRetention, "selectRetention": selectRetention, "selectExcessive": selectExcessive,
	"trimItems": trimItems, "trimTimers": trimTimers, "snoozeItems": snoozeItems, "deleteReturns": deleteReturns, "selectReturns": selectReturns, "updateContent": updateContent, "selectContent": selectContent,
	"selectOfTrigger": selectOfTrigger, "selectOfResource": selectOfResource, "selectThese": selectThese, "deleteItems": deleteItems, "deleteTimersOf": deleteTimersOf,
	"insertTimers": insertTimers, "selectDue": selectDue, "selectOldestDue": selectOldestDue, "takeDue": takeDue, "postponeTimers": postponeTimers, "forgetTimers": forgetTimers, "moveTimers": moveTimers, "wakeItems": wakeItems,
	"insertOperation": insertOperation, "deleteOldOperations": deleteOldOperations, "selectOperation": selectOperation, "claimThis": claimThis,
	"claimDue": claimDue, "moveOperation": moveOperation, "postponeOperation": postponeOperation, "selectFeedsOfResource": selectFeedsOfResource,
	"selectAnyItem": selectAnyItem, "selectOldest": selectOldest, "insertEmpty": insertEmpty, "moveItems": moveItems, "deleteOlder": deleteOlder,
	"forgetItems": forgetItems, "forgetGroups": forgetGroups, "forgetChanges": forgetChanges, "forgetFeeds": forgetFeeds,
	"selectHeader": selectHeader, "lockHeader": lockHeader, "updateHeader": updateHeader, "selectItems": selectItems,
	"selectMarkable": selectMarkable, "selectStates": selectStates, "selectStretch": selectStretch, "selectBefore": selectBefore,
	"insertExpansion": insertExpansion, "selectExpansions": selectExpansions, "takeExpansion": takeExpansion, "postponeExpansion": postponeExpansion, "deleteExpansion": deleteExpansion, "forgetExpansions": forgetExpansions, "updateStates": updateStates,
	"insertChange": insertChange, "selectChanges": selectChanges, "deleteChanges": deleteChanges,
	"selectVersions": selectVersions, "bumpFeeds": bumpFeeds, "insertItems": insertItems, "insertItemsWithOptions": insertItemsWithOptions,
	"selectStatuses": selectStatuses,
	"selectGroups":   selectGroups, "upsertGroups": upsertGroups, "selectChunkEnd": selectChunkEnd, "selectTally": selectTally,
}
