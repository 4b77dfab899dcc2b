package recipient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/watch"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow/condition"
)

// Service is the recipients of all environments. It is safe for concurrent use.
type Service struct {
	pool *pgxpool.Pool
	now  func() time.Time

	ids        *lru.Cache[address, belfry.RecipientID]
	remembered *lru.Cache[address, remembered] // apart: a trigger for many would push out those that open devices use
	epochs     epochs
	evicted    time.Time                                // when ids of deleted recipients were last dropped from it; Run's
	conditions *lru.Cache[string, *condition.Condition] // of audiences, by how they are stored
	wake       chan struct{}
	bulks      watch.Bells[uuid.UUID]

	// Observe, if it isn't nil, is told whose properties have been set, in the transaction in which they are.
	Observe func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) error
	// Forget is how other packages delete what they keep about recipients that are deleted.
	Forget []Forget
	// HandOver is how other packages give what they keep about a user who was merged into another one to that one.
	HandOver []HandOver
	// PublicURL is where people reach this server, such as https://notify.example.com, without a slash at its end. Empty: links
	// can't be made.
	PublicURL string
	// Log is told what Run could not do. Default: nobody.
	Log *slog.Logger
}

// address is a recipient by the customer's name for it.
type address struct {
	env belfry.EnvironmentID
	belfry.RecipientRef
}

// own is the address with texts of its own: those that come with a request may be parts of all of its text, which would stay as well.
func (a address) own() address {
	if a.ExternalID = strings.Clone(a.ExternalID); a.Collection == belfry.Users {
		a.Collection = belfry.Users
	} else {
		a.Collection = strings.Clone(a.Collection)
	}
	return a
}

// cachedIDs is how many internal ids either cache has: of usual lengths, about 15 MB.
const cachedIDs = 50_000

// New makes a Service.
func New(pool *pgxpool.Pool, now func() time.Time) *Service {
	ids, err := lru.New[address, belfry.RecipientID](cachedIDs)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	known, err := lru.New[address, remembered](cachedIDs)
	if err != nil {
		panic(err)
	}
	conditions, err := lru.New[string, *condition.Condition](cachedConditions)
	if err != nil {
		panic(err)
	}
	return &Service{pool: pool, now: func() time.Time { return now().UTC().Truncate(time.Microsecond) }, ids: ids, remembered: known, conditions: conditions,
		wake: make(chan struct{}, 1), Log: slog.New(slog.DiscardHandler)}
}

// UserID finds a user's internal id by external id; 0 if the user is not known.
func (s *Service) UserID(ctx context.Context, env belfry.EnvironmentID, externalID string) (belfry.RecipientID, error) {
	return s.ID(ctx, env, belfry.User(externalID))
}

// ID finds a recipient's internal id; 0 if the recipient is not known. Ids never change, so they are remembered: until the
// recipient is deleted here, or has been elsewhere and Run has looked, which it does each watchInterval.
func (s *Service) ID(ctx context.Context, env belfry.EnvironmentID, ref belfry.RecipientRef) (belfry.RecipientID, error) {
	a := address{env, ref}
	if id, ok := s.ids.Get(a); ok {
		return id, nil
	}
	var id belfry.RecipientID
	err := s.pool.QueryRow(ctx, selectID, env, a.Collection, a.ExternalID).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		s.ids.Add(a.own(), id)
	}
	return id, err
}

// TenantIDs finds tenants' internal ids by external ids, with one query for those that aren't remembered; those that are not
// known are left out.
func (s *Service) TenantIDs(ctx context.Context, env belfry.EnvironmentID, externalIDs []string) (map[string]belfry.RecipientID, error) {
	out := make(map[string]belfry.RecipientID, len(externalIDs))
	var rest []belfry.RecipientRef
	for _, external := range externalIDs {
		ref := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: external}
		if id, ok := s.ids.Get(address{env, ref}); ok {
			out[external] = id
		} else {
			rest = append(rest, ref)
		}
	}
	found, err := find(ctx, s.pool, selectIDs, env, rest)
	for ref, id := range found {
		s.ids.Add(address{env, ref}.own(), id)
		out[ref.ExternalID] = id
	}
	return out, err
}

// Find returns the ids of those recipients that are known, in the caller's transaction.
func (s *Service) Find(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, refs []belfry.RecipientRef) (map[belfry.RecipientRef]belfry.RecipientID, error) {
	return find(ctx, tx, selectIDs, env, refs)
}

func find(ctx context.Context, q querier, sql string, env belfry.EnvironmentID, refs []belfry.RecipientRef) (map[belfry.RecipientRef]belfry.RecipientID, error) {
	out := make(map[belfry.RecipientRef]belfry.RecipientID, len(refs))
	if len(refs) == 0 {
		return out, nil
	}
	collections, externals := columnsOf(refs)
	rows, err := q.Query(ctx, sql, env, collections, externals)
	if err != nil {
		return nil, err
	}
	var ref belfry.RecipientRef
	var id belfry.RecipientID
	_, err = pgx.ForEachRow(rows, []any{&id, &ref.Collection, &ref.ExternalID}, func() error {
		out[ref] = id
		return nil
	})
	return out, err
}

// Identify makes recipients known and merges what is said about them, in the caller's transaction. An identity given
// twice is merged in order. The identities have been validated. fields names each input for errors.
func (s *Service) Identify(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, identities []Identity, fields []string) (map[belfry.RecipientRef]belfry.RecipientID, error) {
	if len(identities) == 0 {
		return nil, nil
	}
	refs := make([]belfry.RecipientRef, 0, len(identities))
	for _, i := range identities {
		refs = append(refs, i.RecipientRef)
	}
	slices.SortFunc(refs, compareRefs)
	refs = slices.Compact(refs)
	rows, err := s.lock(ctx, tx, env, refs)
	if err != nil {
		return nil, err
	}
	for i, identity := range identities {
		row := rows[identity.RecipientRef]
		row.properties = identity.apply(row.properties)
		if row.merged, err = encode(row.properties, fields[i]); err != nil {
			return nil, err
		}
	}
	ids, properties := make([]int64, 0, len(refs)), make([]string, 0, len(refs))
	out := make(map[belfry.RecipientRef]belfry.RecipientID, len(refs))
	for _, ref := range refs {
		row := rows[ref]
		out[ref] = row.id
		ids, properties = append(ids, int64(row.id)), append(properties, string(row.merged))
	}
	if _, err := tx.Exec(ctx, updateProperties, env, ids, properties, s.now()); err != nil {
		return nil, err
	}
	if err := s.mergeInline(ctx, tx, env, identities, out, fields); err != nil {
		return nil, err
	}
	if s.Observe == nil {
		return out, nil
	}
	return out, s.Observe(ctx, tx, env, slices.Collect(maps.Values(out)))
}

// locked is a recipient whose row this transaction holds.
type locked struct {
	id         belfry.RecipientID
	properties map[string]any
	merged     json.RawMessage
}

// lock creates those recipients that are missing and locks all, in the order of refs. One that is deleted between the two
// is created again.
func (s *Service) lock(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, refs []belfry.RecipientRef) (map[belfry.RecipientRef]*locked, error) {
	collections, externals := columnsOf(refs)
	for range maxDeletions {
		if _, err := tx.Exec(ctx, insertMissing, env, collections, externals, s.now()); err != nil {
			return nil, err
		}
		out, err := lockToChange(ctx, tx, env, refs)
		if err != nil || len(out) == len(refs) {
			return out, err
		}
	}
	return nil, fmt.Errorf("recipients were deleted %d times while they were identified", maxDeletions)
}

// maxDeletions is how often somebody may be deleted under the hands of one identification.
const maxDeletions = 5

// lockToChange locks those recipients that are known, in the order of refs, for everybody but those who refer to them.
func lockToChange(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, refs []belfry.RecipientRef) (map[belfry.RecipientRef]*locked, error) {
	return readLocked(ctx, tx, lockProperties, env, refs)
}

// lockKnown locks those recipients that are known, in the order of refs, so that they can be deleted: such
// a transaction may be the victim of a deadlock with those that refer to them, and is to be done again.
func lockKnown(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, refs []belfry.RecipientRef) (map[belfry.RecipientRef]*locked, error) {
	return readLocked(ctx, tx, lockRows, env, refs)
}

func readLocked(ctx context.Context, tx pgx.Tx, sql string, env belfry.EnvironmentID, refs []belfry.RecipientRef) (map[belfry.RecipientRef]*locked, error) {
	collections, externals := columnsOf(refs)
	rows, err := tx.Query(ctx, sql, env, collections, externals)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[belfry.RecipientRef]*locked, len(refs))
	for rows.Next() {
		var ref belfry.RecipientRef
		var properties []byte
		l := &locked{}
		if err := rows.Scan(&l.id, &ref.Collection, &ref.ExternalID, &properties); err != nil {
			return nil, err
		}
		if l.properties, err = decode(properties); err != nil {
			return nil, err
		}
		out[ref] = l
	}
	return out, rows.Err()
}

func compareRefs(a, b belfry.RecipientRef) int {
	return cmp.Or(cmp.Compare(a.Collection, b.Collection), cmp.Compare(a.ExternalID, b.ExternalID))
}

// columnsOf is refs as arguments of a query.
func columnsOf(refs []belfry.RecipientRef) (collections, externals []string) {
	collections, externals = make([]string, len(refs)), make([]string, len(refs))
	for i, r := range refs {
		collections[i], externals[i] = r.Collection, r.ExternalID
	}
	return collections, externals
}

// IdentifyUser makes one user known, or merges what is said about it.
func (s *Service) IdentifyUser(ctx context.Context, env belfry.EnvironmentID, identity Identity) (*Known, error) {
	identity.Collection = belfry.Users
	return s.Upsert(ctx, env, identity)
}

// Upsert makes one recipient known, of whichever collection, or merges what is said about it.
func (s *Service) Upsert(ctx context.Context, env belfry.EnvironmentID, identity Identity) (*Known, error) {
	if err := identity.Validate("input"); err != nil {
		return nil, err
	}
	var found *Known
	err := postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		_, err := s.Identify(ctx, tx, env, []Identity{identity}, []string{"input"})
		if err != nil {
			return err
		}
		found, err = readKnown(ctx, tx, selectKnown, env, identity.Collection, identity.ExternalID)
		return err
	})
	return found, err
}

// Upserted is what became of one identity of several.
type Upserted struct {
	Known *Known
	Err   *belfry.Error // why it was refused; nil if it was not
}

// UpsertEach makes recipients known, or merges what is said about them: each is done, or refused, for itself. fields names
// each input for errors. An error of the call is nobody's fault, and leaves some of it done.
func (s *Service) UpsertEach(ctx context.Context, env belfry.EnvironmentID, identities []Identity, fields []string) ([]Upserted, error) {
	out := make([]Upserted, len(identities))
	for i := range identities {
		err := identities[i].Validate(fields[i])
		if err == nil {
			err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
				if _, err := s.Identify(ctx, tx, env, identities[i:i+1], fields[i:i+1]); err != nil {
					return err
				}
				out[i].Known, err = readKnown(ctx, tx, selectKnown, env, identities[i].Collection, identities[i].ExternalID)
				return err
			})
		}
		if refused, ok := errors.AsType[*belfry.Error](err); ok {
			out[i] = Upserted{Err: refused}
		} else if err != nil {
			return nil, err
		}
	}
	return out, nil
}
