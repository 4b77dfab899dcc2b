package model

import (
	"fmt"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// BulkOperation is a bulk operation as the API shows it.
type BulkOperation struct {
	*recipient.Bulk
}

// IsNode marks the operation as fetchable by id.
func (BulkOperation) IsNode() {}

// ID is the operation's global id.
func (b *BulkOperation) ID() string { return globalID(BulkTag, b.Bulk.ID.String()) }

// Kind is what is done with each item.
func (b *BulkOperation) Kind() BulkOperationKind {
	return BulkOperationKind(strings.ToUpper(string(b.Bulk.Kind)))
}

// Failures are the items that were refused.
func (b *BulkOperation) Failures() []BulkFailure {
	out := make([]BulkFailure, len(b.Bulk.Failures))
	for i, f := range b.Bulk.Failures {
		out[i] = BulkFailure{Index: f.Index, Error: *NewItemError(f.Error)}
	}
	return out
}

// bulkItems makes the items of an operation out of inputs; list is what errors call them.
func bulkItems[T any](inputs []T, list string, item func(in *T, field string) (recipient.BulkItem, error)) ([]recipient.BulkItem, error) {
	if len(inputs) > recipient.MaxBulk { // before looking at each
		return nil, belfry.Beyond(list, recipient.MaxBulk, "items of one operation")
	}
	out := make([]recipient.BulkItem, len(inputs))
	for i := range inputs {
		var err error
		if out[i], err = item(&inputs[i], fmt.Sprintf("%s[%d]", list, i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Items is what the operation does. A wrong one is refused when the operation is accepted, not here.
func (in *BulkIdentifyUsersInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Users, "input.users", func(u *IdentifyUserInput, _ string) (recipient.BulkItem, error) {
		return recipient.BulkIdentity(u.Identity()), nil
	})
}

// Items is what the operation does.
func (in *BulkDeleteUsersInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Ids, "input.ids", func(id *string, _ string) (recipient.BulkItem, error) {
		return recipient.BulkRef(belfry.User(*id)), nil
	})
}

// Items is what the operation does.
func (in *BulkUpsertObjectsInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Objects, "input.objects", func(o *UpsertObjectInput, field string) (recipient.BulkItem, error) {
		identity, _ := o.Identity(field) // of many, one is refused alone
		return recipient.BulkIdentity(identity), nil
	})
}

// Items is what the operation does.
func (in *BulkDeleteObjectsInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Objects, "input.objects", func(o *ObjectRefInput, _ string) (recipient.BulkItem, error) {
		return recipient.BulkRef(o.Name()), nil
	})
}

// Items is what the operation does.
func (in *BulkSetPreferencesInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Sets, "input.sets", func(p *BulkPreferencesInput, field string) (recipient.BulkItem, error) {
		ref, err := (&UnsubscriberInput{User: p.User, Object: p.Object}).ref(field)
		item := recipient.BulkRef(ref)
		item.Preferences = map[string]map[string]any{p.Set: p.Preferences.Content()}
		return item, err
	})
}

// Items is what the operation does.
func (in *BulkSubscribeInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Subscriptions, "input.subscriptions", func(s *BulkSubscriptionInput, field string) (recipient.BulkItem, error) {
		party, err := s.Recipient.party(field + ".recipient")
		item := recipient.BulkRef(party.Ref)
		if party.Identify != nil {
			item = recipient.BulkIdentity(party.Identify)
			item.Identify = true
		}
		object := s.Object.Name()
		item.Object, item.Subscription = &object, s.Properties
		return item, err
	})
}

// Items is what the operation does.
func (in *BulkUnsubscribeInput) Items() ([]recipient.BulkItem, error) {
	return bulkItems(in.Subscriptions, "input.subscriptions", func(s *BulkUnsubscriptionInput, field string) (recipient.BulkItem, error) {
		ref, err := s.Recipient.ref(field + ".recipient")
		item, object := recipient.BulkRef(ref), s.Object.Name()
		item.Object = &object
		return item, err
	})
}
