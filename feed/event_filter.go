package feed

import (
	"context"

	"github.com/belfryhq/belfry"
)

const (
	// tellAfter is after how many items in a row that a subscription leaves out it tells its position, so that whoever comes
	// back with it isn't too far behind.
	tellAfter = 100
	// knownTenants bounds of how many tenants a subscription remembers whether their items are wanted.
	knownTenants = 1000
)

// eventFilter is which items a subscription tells. It is for one goroutine.
type eventFilter struct {
	service *Service
	env     belfry.EnvironmentID
	scope   selection // but for named tenants
	names   []string  // of tenants; nil if none are named
	// wanted is which tenants have one of the names. A tenant may come to be after the subscription, under one of the names, so
	// they are looked up when an item of one comes that isn't known. Whose name a tenant has never changes.
	wanted  map[belfry.RecipientID]bool
	leftOut int // items in a row
}

// newEventFilter checks a filter, and takes of it what never changes for an item.
func (s *Service) newEventFilter(env belfry.EnvironmentID, f Filter) (*eventFilter, error) {
	f.Status, f.Archived = "", ArchivedInclude
	if err := f.validate("filter"); err != nil {
		return nil, err
	}
	if err := f.onlyOfPages("filter"); err != nil {
		return nil, err
	}
	out := &eventFilter{service: s, env: env, names: f.Tenant.Tenants, wanted: make(map[belfry.RecipientID]bool)}
	if len(out.names) > 0 {
		f.Tenant = TenantFilter{}
	}
	out.scope = f.selection(nil)
	return out, nil
}

// wants reports whether an event is to be told.
func (f *eventFilter) wants(ctx context.Context, e *Event) (bool, error) {
	if e.Item == nil {
		f.leftOut = 0
		return true, nil
	}
	a := e.Item.attributes()
	wanted := f.scope.matches(&a, e.Item.State)
	if wanted && len(f.names) > 0 {
		var err error
		if wanted, err = f.wantsTenant(ctx, a.Tenant); err != nil {
			return false, err
		}
	}
	if f.leftOut++; wanted {
		f.leftOut = 0
	}
	return wanted, nil
}

// leaves reports whether an event that isn't wanted is about an item that may have been: it has been changed. Of what filters look
// at only data changes.
func (f *eventFilter) leaves(e *Event) bool {
	return e.Kind == Upserted && e.Position.Version != e.Item.ID.Seq && f.scope.scope.needsData()
}

// filtered is what is told of it then.
func filtered(e *Event) Event {
	id := e.Item.ID
	return Event{Kind: Removed, Removal: Filtered, Position: e.Position, Badge: e.Badge, Recipient: id.Recipient, Seqs: []int64{id.Seq}, At: e.At}
}

// wantsTenant reports whether a tenant has one of the names.
func (f *eventFilter) wantsTenant(ctx context.Context, tenant belfry.RecipientID) (bool, error) {
	if tenant == 0 {
		return false, nil
	}
	wanted, known := f.wanted[tenant]
	if known {
		return wanted, nil
	}
	ids, err := f.service.TenantIDs(ctx, f.env, f.names)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		wanted = wanted || id == tenant
	}
	if len(f.wanted) >= knownTenants {
		clear(f.wanted)
	}
	f.wanted[tenant] = wanted
	return wanted, nil
}
