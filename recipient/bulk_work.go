package recipient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// BulkKind is what is done with each item.
type BulkKind string

const (
	IdentifyUsers      BulkKind = "identify_users"
	DeleteUsers        BulkKind = "delete_users"
	UpsertObjects      BulkKind = "upsert_objects"
	DeleteObjects      BulkKind = "delete_objects"
	SetPreferenceSets  BulkKind = "set_preferences"
	SubscribeObjects   BulkKind = "subscribe"
	UnsubscribeObjects BulkKind = "unsubscribe"
)

// BulkItem is what an operation does with one recipient, in the shape in which it is stored.
type BulkItem struct {
	// Who it is about.
	Collection string `json:"collection"`
	ID         string `json:"id"`
	// What is said about them, as in an Identity. Preferences are merged; in SetPreferenceSets they replace the sets.
	Properties  map[string]any            `json:"properties,omitempty"`
	Unset       []string                  `json:"unset,omitempty"`
	Preferences map[string]map[string]any `json:"preferences,omitempty"`
	Repeated    int                       `json:"-"` // what is repeated is refused at once
	// What they subscribe to, or don't any more, as in Subscribe.
	Object       *belfry.RecipientRef `json:"object,omitempty"`
	Identify     bool                 `json:"identify,omitempty"` // the subscriber, with what is said above
	Subscription map[string]any       `json:"subscription,omitzero"`
}

// BulkIdentity is an item that says something about a recipient.
func BulkIdentity(i *Identity) BulkItem {
	item := BulkRef(i.RecipientRef)
	item.Properties, item.Unset, item.Preferences, item.Repeated = i.Properties, i.Unset, i.Preferences, i.Repeated
	return item
}

// BulkRef is an item that names a recipient.
func BulkRef(ref belfry.RecipientRef) BulkItem {
	return BulkItem{Collection: ref.Collection, ID: ref.ExternalID}
}

func (i *BulkItem) ref() belfry.RecipientRef {
	return belfry.RecipientRef{Collection: i.Collection, ExternalID: i.ID}
}

func (i *BulkItem) identity() *Identity {
	return &Identity{RecipientRef: i.ref(), Properties: i.Properties, Unset: i.Unset, Preferences: i.Preferences, Repeated: i.Repeated}
}

func (i *BulkItem) party() Party {
	if i.Identify {
		return Party{Identify: i.identity()}
	}
	return Party{Ref: i.ref()}
}

// bulkWork is how items of a kind are checked, and done.
type bulkWork struct {
	list  string // what errors call the items
	check func(i *BulkItem, field string) error
	do    bulkDo
}

// bulkDo does items together. Those of refused (one for each item, or nil) are left out. A *belfry.Error as err is that of
// any of them, and everything is rolled back.
type bulkDo func(s *Service, ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, items []BulkItem, fields []string) (refused []error, err error)

// objectDo does something to several parties and an object.
type objectDo func(s *Service, ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, object belfry.RecipientRef, who []Party, properties map[string]any, fields []string) ([]Result, error)

var bulkWorks = map[BulkKind]bulkWork{
	IdentifyUsers: {"input.users", checkIdentity, (*Service).bulkIdentify},
	DeleteUsers: {"input.ids", func(i *BulkItem, field string) error {
		err := validateRef(i.ref(), field)
		if refused, ok := errors.AsType[*belfry.Error](err); ok { // its items are ids
			return refused.At("%s", strings.TrimSuffix(refused.Field, ".id"))
		}
		return err
	}, (*Service).bulkDelete},
	UpsertObjects: {"input.objects", func(i *BulkItem, field string) error {
		if strings.HasPrefix(i.Collection, "$") {
			return invalid(field+".collection", "collections that begin with '$' have no objects: store tenants with upsertTenant")
		}
		return checkIdentity(i, field)
	}, (*Service).bulkIdentify},
	DeleteObjects:      {"input.objects", func(i *BulkItem, field string) error { return ValidateObject(i.ref(), field) }, (*Service).bulkDelete},
	SetPreferenceSets:  {"input.sets", checkPreferences, (*Service).bulkPreferences},
	SubscribeObjects:   {"input.subscriptions", checkSubscription, eachObject((*Service).subscribe)},
	UnsubscribeObjects: {"input.subscriptions", checkSubscription, eachObject((*Service).unsubscribe)},
}

func checkIdentity(i *BulkItem, field string) error { return i.identity().Validate(field) }

func (s *Service) bulkIdentify(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, items []BulkItem, fields []string) ([]error, error) {
	identities := make([]Identity, len(items))
	for n := range items {
		identities[n] = *items[n].identity()
	}
	_, err := s.Identify(ctx, tx, env, identities, fields)
	return nil, err
}

// bulkDelete passes over those that nobody knows.
func (s *Service) bulkDelete(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, items []BulkItem, _ []string) ([]error, error) {
	known, err := lockKnown(ctx, tx, env, refsOf(items))
	if err != nil {
		return nil, err
	}
	return nil, s.delete(ctx, tx, env, known)
}

// refsOf is who items are about, each once, in the order in which rows are locked.
func refsOf(items []BulkItem) []belfry.RecipientRef {
	refs := make([]belfry.RecipientRef, len(items))
	for n := range items {
		refs[n] = items[n].ref()
	}
	slices.SortFunc(refs, compareRefs)
	return slices.Compact(refs)
}

func checkPreferences(i *BulkItem, field string) error {
	if i.Collection != belfry.Users {
		if err := ValidateObject(i.ref(), field+".object"); err != nil {
			return err
		}
	} else if err := belfry.ValidateExternalID(i.ID, field+".user"); err != nil {
		return err
	}
	for set, content := range i.Preferences { // one
		if err := belfry.ValidateExternalID(set, field+".set"); err != nil {
			return err
		}
		if _, err := ParsePreferences(content, LevelOf(set), field+".preferences"); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) bulkPreferences(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, items []BulkItem, fields []string) ([]error, error) {
	known, err := lockToChange(ctx, tx, env, refsOf(items))
	if err != nil {
		return nil, err
	}
	refused := make([]error, len(items))
	var writes []preferenceWrite
	for n := range items {
		who := known[items[n].ref()]
		if who == nil {
			refused[n] = notIdentified(items[n].ID).At("%s", fields[n])
			continue
		}
		for set, content := range items[n].Preferences {
			writes = append(writes, preferenceWrite{setKey{who.id, set}, &PreferenceSet{content: content}, belfry.ReplacePreferences, fields[n] + ".preferences"})
		}
	}
	_, err = s.writePreferences(ctx, tx, env, writes)
	return refused, err
}

func checkSubscription(i *BulkItem, field string) error {
	if err := ValidateObject(*i.Object, field+".object"); err != nil {
		return err
	}
	if _, err := subscriptionProperties(i.Subscription, field); err != nil {
		return err
	}
	p := i.party()
	return p.validate(field + ".recipient")
}

// eachObject does what is done with one object at a time: items that follow each other and differ in nothing but the
// subscriber go together.
func eachObject(do objectDo) bulkDo {
	return func(s *Service, ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, items []BulkItem, fields []string) (refused []error, err error) {
		for len(items) > 0 {
			first, who, names := &items[0], []Party{}, []string{}
			for len(items) > 0 && *items[0].Object == *first.Object && reflect.DeepEqual(items[0].Subscription, first.Subscription) {
				who, names = append(who, items[0].party()), append(names, fields[0]+".recipient")
				items, fields = items[1:], fields[1:]
			}
			results, err := do(s, ctx, tx, env, *first.Object, who, first.Subscription, names)
			if err != nil {
				return nil, err
			}
			for _, r := range results {
				refused = append(refused, r.Err)
			}
		}
		return refused, nil
	}
}

// bulkChunk does items together that come behind those that are done: all, or only as many as it takes to find one that is
// refused.
func (s *Service) bulkChunk(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, b *Bulk, items []BulkItem) (done int, failures []BulkFailure, err error) {
	work, ok := bulkWorks[b.Kind]
	if !ok {
		return 0, nil, fmt.Errorf("kind %q is not known to this release", b.Kind)
	}
	before := map[int]bool{} // refused when they were accepted
	for _, f := range b.Failures {
		before[f.Index] = true
	}
	for n := len(items); ; n /= 2 {
		var todo []BulkItem
		var at []int
		var fields []string
		for i := range items[:n] {
			if index := b.Done + i; !before[index] {
				todo, at, fields = append(todo, items[i]), append(at, index), append(fields, fmt.Sprintf("%s[%d]", work.list, index))
			}
		}
		var refused []error
		err := tx.Savepoint(ctx, func() (err error) {
			refused, err = work.do(s, ctx, tx, env, todo, fields)
			return err
		})
		if _, refusal := errors.AsType[*belfry.Error](err); refusal && len(todo) > 1 {
			continue
		} else if refusal {
			refused = []error{err}
		} else if err != nil {
			return 0, nil, err
		}
		for i, err := range refused {
			if e, ok := errors.AsType[*belfry.Error](err); ok {
				failures = append(failures, BulkFailure{at[i], e})
			}
		}
		return n, failures, nil
	}
}

// decodeItems reads stored items. Numbers stay as they are, or large ones would change.
func decodeItems(stored []byte) (items []BulkItem, err error) {
	decoder := json.NewDecoder(strings.NewReader(string(stored)))
	decoder.UseNumber()
	err = decoder.Decode(&items)
	for i := range items {
		if items[i].Collection == "" { // an operation of users that a former release accepted
			items[i].Collection = belfry.Users
		}
	}
	return items, err
}
