package model

import (
	"strings"

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
