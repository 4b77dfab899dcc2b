package model

import "github.com/belfryhq/belfry/feed"

// FeedOperation is an operation on many feeds as the API shows it.
type FeedOperation struct {
	*feed.Operation
}

// ID is for asking how far it has got.
func (o *FeedOperation) ID() string { return globalID(FeedOpTag, o.Operation.ID.String()) }

// Kind is what is done.
func (o *FeedOperation) Kind() FeedOperationKind {
	if o.Retracts() {
		return FeedOperationKindRetract
	}
	return FeedOperationKindResolve
}
