package model

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// Tags of cursors that are no ids of anything.
const (
	subscriptionTag = "subscription"
	memberTag       = "member"
)

func newRecipientKey(ref belfry.RecipientRef) RecipientKey {
	return RecipientKey{Collection: ref.Collection, ID: ref.ExternalID}
}

// Name is the object that the input names: a tenant is one as well.
func (in *ObjectRefInput) Name() belfry.RecipientRef {
	return belfry.RecipientRef{Collection: in.Collection, ExternalID: in.ID}
}

// Parties is who the input names.
func (in *SubscribeToObjectInput) Parties() ([]recipient.Party, error) {
	if len(in.Recipients) > recipient.MaxSubscribers { // before looking at each
		return nil, belfry.Beyond("input.recipients", recipient.MaxSubscribers, "recipients a call")
	}
	out := make([]recipient.Party, len(in.Recipients))
	for i := range in.Recipients {
		var err error
		if out[i], err = in.Recipients[i].party(fmt.Sprintf("input.recipients[%d]", i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// party is who the input names; field names it for errors.
func (in *SubscriberInput) party(field string) (recipient.Party, error) {
	if in.Object != nil && in.User == nil && in.Identify == nil {
		ref, err := objectNamed(in.Object, field)
		return recipient.Party{Ref: ref}, err
	}
	p, err := (&RecipientInput{User: in.User, Identify: in.Identify}).Party(field)
	if err != nil || in.Object != nil {
		return recipient.Party{}, belfry.Errorf(belfry.Invalid, "give exactly one of user, object and identify").At("%s", field)
	}
	return recipient.Party{Ref: p.Ref, Identify: p.Identify}, nil
}

// objectNamed is the object that an input names beside users.
func objectNamed(in *ObjectRefInput, field string) (belfry.RecipientRef, error) {
	if in.Collection == belfry.Users {
		return belfry.RecipientRef{}, belfry.Errorf(belfry.Invalid, "give users as user").At("%s.object.collection", field)
	}
	return in.Name(), nil
}

// Refs is who the input names.
func (in *UnsubscribeFromObjectInput) Refs() ([]belfry.RecipientRef, error) {
	if len(in.Recipients) > recipient.MaxSubscribers {
		return nil, belfry.Beyond("input.recipients", recipient.MaxSubscribers, "recipients a call")
	}
	out := make([]belfry.RecipientRef, len(in.Recipients))
	for i := range in.Recipients {
		var err error
		if out[i], err = in.Recipients[i].ref(fmt.Sprintf("input.recipients[%d]", i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ref is who the input names; field names it for errors.
func (in *UnsubscriberInput) ref(field string) (belfry.RecipientRef, error) {
	switch {
	case in.User != nil && in.Object == nil:
		return belfry.User(*in.User), nil
	case in.Object != nil && in.User == nil:
		return objectNamed(in.Object, field)
	}
	return belfry.RecipientRef{}, belfry.Errorf(belfry.Invalid, "give exactly one of user and object").At("%s", field)
}

// NewRecipientResults makes the API's form of what became of each of several recipients.
func NewRecipientResults(results []recipient.Result) []RecipientResult {
	out := make([]RecipientResult, len(results))
	for i, r := range results {
		out[i].Recipient = newRecipientKey(r.Ref)
		if e, ok := errors.AsType[*belfry.Error](r.Err); ok {
			out[i].Error = NewItemError(e)
		}
	}
	return out
}

// NewObjectSubscriptionConnection makes the API's form of a page of subscriptions. other is whom they are listed by.
func NewObjectSubscriptionConnection(page []recipient.Subscription, more, behind bool, other func(*recipient.Subscription) belfry.RecipientID) *ObjectSubscriptionConnection {
	out := &ObjectSubscriptionConnection{Edges: make([]ObjectSubscriptionEdge, len(page)), PageInfo: PageInfo{HasNextPage: more, HasPreviousPage: behind}}
	for i := range page {
		s := &page[i]
		out.Edges[i] = ObjectSubscriptionEdge{
			Cursor: globalID(subscriptionTag, strconv.FormatInt(int64(other(s)), 10)),
			Node: ObjectSubscription{Object: newRecipientKey(s.ObjectRef), Subscriber: newRecipientKey(s.SubscriberRef), Properties: s.Properties,
				CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt},
		}
	}
	if len(page) > 0 {
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &out.Edges[0].Cursor, &out.Edges[len(page)-1].Cursor
	}
	return out
}

// ParseSubscriptionCursor reads a subscription's place in a list; false for what is none.
func ParseSubscriptionCursor(cursor string) (belfry.RecipientID, bool) {
	tag, key, ok := ParseID(cursor)
	id, err := strconv.ParseInt(key, 10, 64)
	return belfry.RecipientID(id), ok && tag == subscriptionTag && err == nil
}
