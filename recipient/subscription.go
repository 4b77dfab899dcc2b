package recipient

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Limits of subscriptions.
const (
	MaxSubscribers                = 100     // recipients that one call subscribes or unsubscribes
	MaxSubscriptionPropertiesSize = 8 << 10 // bytes of JSON: a fan-out carries those of each subscriber
	MaxSubscriptionPage           = 100
)

// Subscription says that a recipient is told what an object is told.
type Subscription struct {
	Object               belfry.RecipientID
	ObjectRef            belfry.RecipientRef
	Subscriber           belfry.RecipientID
	SubscriberRef        belfry.RecipientRef
	Properties           map[string]any
	CreatedAt, UpdatedAt time.Time
}

// Party names somebody by id alone, who has to be known, or identifies them on the spot.
type Party struct {
	Ref      belfry.RecipientRef // ignored if Identify says who it is
	Identify *Identity
}

func (p *Party) ref() belfry.RecipientRef {
	if p.Identify != nil {
		return p.Identify.RecipientRef
	}
	return p.Ref
}

// validate checks what can be checked without the database.
func (p *Party) validate(field string) error {
	if p.Identify != nil {
		return p.Identify.Validate(field + ".identify")
	}
	if p.Ref.Collection != belfry.Users {
		return ValidateObject(p.Ref, field+".object")
	}
	return belfry.ValidateExternalID(p.Ref.ExternalID, field+".user")
}

// ValidateObject checks the name of an object. Tenants are objects, users are not.
func ValidateObject(ref belfry.RecipientRef, field string) error {
	if ref.Collection != belfry.Tenants {
		if len(ref.Collection) > 0 && ref.Collection[0] == '$' {
			return belfry.Errorf(belfry.Invalid, "the collection of an object doesn't begin with '$', but for %s", belfry.Tenants).At("%s.collection", field)
		}
		if err := belfry.ValidateExternalID(ref.Collection, field+".collection"); err != nil {
			return err
		}
	}
	return belfry.ValidateExternalID(ref.ExternalID, field+".id")
}

// Result is what became of one of several recipients.
type Result struct {
	Ref belfry.RecipientRef
	Err error // a *belfry.Error: why it was left out; nil: it wasn't
}

// Subscribe subscribes up to MaxSubscribers recipients to an object, which becomes known if it isn't. Recipients that are
// subscribed already get the properties, unless these are nil: then they keep theirs. There is one result for each
// recipient, in order; an error means that nothing was changed.
func (s *Service) Subscribe(ctx context.Context, env belfry.EnvironmentID, object belfry.RecipientRef, who []Party, properties map[string]any) ([]Result, error) {
	if err := ValidateObject(object, "input.object"); err != nil {
		return nil, err
	}
	if err := atOnce(len(who)); err != nil {
		return nil, err
	}
	if _, err := subscriptionProperties(properties, "input"); err != nil {
		return nil, err
	}
	var results []Result
	err := again(func() error {
		return postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) (err error) {
			results, err = s.subscribe(ctx, tx, env, object, who, properties, fieldsOf("input.recipients", len(who)))
			return err
		})
	})
	return results, err
}

// subscribe subscribes recipients to an object, with properties that have been checked. fields names each for errors.
func (s *Service) subscribe(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, object belfry.RecipientRef, who []Party, properties map[string]any, fields []string) ([]Result, error) {
	stored, err := subscriptionProperties(properties, "input")
	if err != nil {
		return nil, err
	}
	results, ids, err := s.parties(ctx, tx, env, who, fields, Identity{RecipientRef: object})
	if err != nil {
		return nil, err
	}
	subscribers, nested := subscribersOf(results, ids)
	_, err = tx.Exec(ctx, upsertSubscriptions, env, ids[object], subscribers, nested, stored, s.now())
	return results, err
}

// Unsubscribe ends subscriptions to an object. Nobody is made known by it; who isn't subscribed has a result with NOT_FOUND.
func (s *Service) Unsubscribe(ctx context.Context, env belfry.EnvironmentID, object belfry.RecipientRef, who []belfry.RecipientRef) ([]Result, error) {
	if err := ValidateObject(object, "input.object"); err != nil {
		return nil, err
	}
	if err := atOnce(len(who)); err != nil {
		return nil, err
	}
	parties := make([]Party, len(who))
	for i, ref := range who {
		parties[i].Ref = ref
	}
	var results []Result
	err := again(func() error {
		return postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) (err error) {
			results, err = s.unsubscribe(ctx, tx, env, object, parties, nil, fieldsOf("input.recipients", len(who)))
			return err
		})
	})
	return results, err
}

// unsubscribe ends subscriptions to an object. fields names each subscriber for errors.
func (s *Service) unsubscribe(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, object belfry.RecipientRef, who []Party, _ map[string]any, fields []string) ([]Result, error) {
	results := make([]Result, len(who))
	refs := []belfry.RecipientRef{object}
	for i := range who {
		if results[i] = (Result{Ref: who[i].ref(), Err: who[i].validate(fields[i])}); results[i].Err == nil {
			refs = append(refs, results[i].Ref)
		}
	}
	ids, err := s.Find(ctx, tx, env, refs)
	if err != nil {
		return nil, err
	}
	subscribers, _ := subscribersOf(results, ids)
	rows, err := tx.Query(ctx, deleteSubscriptions, env, ids[object], subscribers)
	if err != nil {
		return nil, err
	}
	gone, err := pgx.CollectRows(rows, pgx.RowTo[belfry.RecipientID])
	for i := range results {
		r := &results[i]
		if id := ids[r.Ref]; r.Err == nil && (id == 0 || !slices.Contains(gone, id)) {
			r.Err = belfry.Errorf(belfry.NotFound, "%q isn't subscribed", r.Ref.ExternalID).At("%s", fields[i])
		}
	}
	return results, err
}

// fieldsOf names the items of a list for errors.
func fieldsOf(list string, n int) []string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf("%s[%d]", list, i)
	}
	return fields
}

// atOnce checks how many recipients a call names.
func atOnce(n int) error {
	if n == 0 {
		return belfry.Errorf(belfry.Invalid, "name 1 to %d recipients", MaxSubscribers).At("input.recipients")
	}
	if n > MaxSubscribers {
		return belfry.Beyond("input.recipients", MaxSubscribers, "recipients a call")
	}
	return nil
}

// again does a transaction once more that another one was in the way of: foreign keys lock recipients in the order of rows.
func again(do func() error) error {
	for attempt := 1; ; attempt++ {
		if err := do(); !postgres.IsDeadlock(err) || attempt == attempts {
			return err
		}
	}
}

const attempts = 5

// parties finds or identifies everybody, and those who are made known besides. ids has whoever is known then; fields names
// each for errors.
func (s *Service) parties(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, who []Party, fields []string, besides ...Identity) ([]Result, map[belfry.RecipientRef]belfry.RecipientID, error) {
	results := make([]Result, len(who))
	identities, names := slices.Clone(besides), make([]string, len(besides), len(besides)+len(who))
	var refs []belfry.RecipientRef
	for i := range who {
		p, field := &who[i], fields[i]
		results[i] = Result{Ref: p.ref(), Err: p.validate(field)}
		switch {
		case results[i].Err != nil:
		case p.Identify != nil:
			identities, names = append(identities, *p.Identify), append(names, field+".identify")
		default:
			refs = append(refs, p.Ref)
		}
	}
	ids, err := find(ctx, tx, lockIDs, env, refs)
	if err != nil {
		return nil, nil, err
	}
	identified, err := s.Identify(ctx, tx, env, identities, names)
	if err != nil {
		return nil, nil, err
	}
	for ref, id := range identified {
		ids[ref] = id
	}
	for i := range results {
		if r := &results[i]; r.Err == nil && ids[r.Ref] == 0 {
			r.Err = belfry.Errorf(belfry.NotFound, "nobody has the id %q: identify them first, or on the spot", r.Ref.ExternalID).At("%s", fields[i])
		}
	}
	return results, ids, nil
}

// subscribersOf lists those who were found, each once, in the order in which rows are locked.
func subscribersOf(results []Result, ids map[belfry.RecipientRef]belfry.RecipientID) (subscribers []belfry.RecipientID, nested []bool) {
	type subscriber struct {
		id     belfry.RecipientID
		nested bool
	}
	var list []subscriber
	for _, r := range results {
		if id := ids[r.Ref]; r.Err == nil && id != 0 {
			list = append(list, subscriber{id, r.Ref.Collection != belfry.Users})
		}
	}
	slices.SortFunc(list, func(a, b subscriber) int { return cmp.Compare(a.id, b.id) })
	for _, x := range slices.Compact(list) {
		subscribers, nested = append(subscribers, x.id), append(nested, x.nested)
	}
	return subscribers, nested
}

// subscriptionProperties checks properties, and encodes them to be stored: nil if there are none. field names the input.
func subscriptionProperties(properties map[string]any, field string) (*string, error) {
	if properties == nil {
		return nil, nil
	}
	at := field + ".properties"
	if err := belfry.ValidateJSON(properties, at); err != nil {
		return nil, err
	}
	if _, ok := properties["object"]; ok {
		return nil, belfry.Errorf(belfry.Invalid, `"object" is a reserved name: it is always the object that is subscribed to`).At("%s.object", at)
	}
	b, err := encode(properties, field)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxSubscriptionPropertiesSize {
		return nil, belfry.Beyond(at, MaxSubscriptionPropertiesSize, "bytes of JSON")
	}
	stored := string(b)
	return &stored, nil
}

// Subscribers reads up to limit subscriptions to an object, in the order of subscribers' ids, behind one of them (0: from
// the beginning).
func (s *Service) Subscribers(ctx context.Context, env belfry.EnvironmentID, object, after belfry.RecipientID, limit int) (page []Subscription, more bool, err error) {
	return s.subscriptions(ctx, selectSubscribers, env, object, after, limit)
}

// SubscribedTo reads up to limit subscriptions of a recipient, in the order of objects' ids, behind one of them.
func (s *Service) SubscribedTo(ctx context.Context, env belfry.EnvironmentID, subscriber, after belfry.RecipientID, limit int) (page []Subscription, more bool, err error) {
	return s.subscriptions(ctx, selectSubscribedTo, env, subscriber, after, limit)
}

func (s *Service) subscriptions(ctx context.Context, sql string, env belfry.EnvironmentID, of, after belfry.RecipientID, limit int) ([]Subscription, bool, error) {
	return page(ctx, s, MaxSubscriptionPage, limit, func(row pgx.CollectableRow) (Subscription, error) {
		var x Subscription
		err := row.Scan(&x.Object, &x.ObjectRef.Collection, &x.ObjectRef.ExternalID, &x.Subscriber, &x.SubscriberRef.Collection,
			&x.SubscriberRef.ExternalID, &x.Properties, &x.CreatedAt, &x.UpdatedAt)
		return x, err
	}, sql, env, of, after)
}

// page reads up to limit rows, and says whether there are more. The statement's last argument is how many it reads.
func page[T any](ctx context.Context, s *Service, most, limit int, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, bool, error) {
	if limit < 1 || limit > most {
		return nil, false, belfry.Beyond("first", most, "on a page, and at least 1")
	}
	rows, err := s.pool.Query(ctx, sql, append(args, limit+1)...)
	if err != nil {
		return nil, false, err
	}
	list, err := pgx.CollectRows(rows, scan)
	if more := len(list) > limit; more {
		return list[:limit], true, err
	}
	return list, false, err
}

const upsertSubscriptions = `INSERT INTO subscriptions AS s (object_id, recipient_id, environment_id, nested, properties, created_at, updated_at)
SELECT $2, q.id, $1, q.nested, coalesce($5::jsonb, '{}'), $6, $6
  FROM unnest($3::bigint[], $4::boolean[]) WITH ORDINALITY AS q (id, nested, i) ORDER BY q.i
    ON CONFLICT (object_id, recipient_id) DO UPDATE SET properties = excluded.properties, updated_at = excluded.updated_at
 WHERE $5::jsonb IS NOT NULL AND s.properties <> excluded.properties`

const deleteSubscriptions = `DELETE FROM subscriptions WHERE environment_id = $1 AND object_id = $2 AND recipient_id = ANY ($3) RETURNING recipient_id`

const subscriptionColumns = `o.id, o.collection, o.external_id, r.id, r.collection, r.external_id, s.properties, s.created_at, s.updated_at`

const selectSubscribers = `SELECT ` + subscriptionColumns + `
  FROM (SELECT * FROM subscriptions WHERE environment_id = $1 AND object_id = $2 AND recipient_id > $3 ORDER BY recipient_id LIMIT $4) s
  JOIN recipients o ON o.id = s.object_id JOIN recipients r ON r.id = s.recipient_id
 ORDER BY s.recipient_id`

const selectSubscribedTo = `SELECT ` + subscriptionColumns + `
  FROM (SELECT * FROM subscriptions WHERE environment_id = $1 AND recipient_id = $2 AND object_id > $3 ORDER BY object_id LIMIT $4) s
  JOIN recipients o ON o.id = s.object_id JOIN recipients r ON r.id = s.recipient_id
 ORDER BY s.object_id`
