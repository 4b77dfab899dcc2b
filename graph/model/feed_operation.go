package model

import (
	"github.com/google/uuid"

	"github.com/belfryhq/belfry/feed"
)

// FeedOperation is an operation on many feeds as the API shows it.
type FeedOperation struct {
	*feed.Operation
}

// ID is for asking how far it has got.
func (o *FeedOperation) ID() string { return globalID(FeedOpTag, o.Operation.ID.String()) }

// ResourceKey is what the items are about; nil if a trigger says which.
func (o *FeedOperation) ResourceKey() *string { return optional(o.Operation.ResourceKey) }

// TriggerID is the trigger whose runs made the items; nil if a resource says which.
func (o *FeedOperation) TriggerID() *string {
	if o.Trigger == uuid.Nil {
		return nil
	}
	id := globalID(TriggerTag, o.Trigger.String())
	return &id
}

// Kind is what is done.
func (o *FeedOperation) Kind() FeedOperationKind {
	if o.Retracts() {
		return FeedOperationKindRetract
	}
	return FeedOperationKindResolve
}
