package feed

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/belfryhq/belfry"
)

// Scope is the part of a Filter that never changes for an item, with tenants by their internal ids. It is stored with
// watermarks as JSON: only ever add fields. Lists are sorted, so that equal scopes look alike; an empty list that isn't nil
// means that no item matches, and is never stored.
type Scope struct {
	Workflows  []string             `json:"w,omitempty"`
	Categories []string             `json:"c,omitempty"`
	Tenants    []belfry.RecipientID `json:"t,omitempty"` // 0 is no tenant
	Severities []belfry.Severity    `json:"v,omitempty"`
	Priorities []belfry.Priority    `json:"p,omitempty"`
	Data       map[string]any       `json:"d,omitempty"`
	From       *time.Time           `json:"f,omitempty"` // created at this instant or later
	Before     *time.Time           `json:"b,omitempty"` // created earlier than this
}

// Attributes is what scopes look at. It never changes for an item but for Data, which Update may change: whoever does so
// writes first what watermarks said until then.
type Attributes struct {
	Workflow   string
	Categories []string
	Tenant     belfry.RecipientID // 0 if none
	CreatedAt  time.Time
	Priority   belfry.Priority // never empty
	Severity   belfry.Severity // empty: nobody said
	Data       map[string]any  // as json.Unmarshal gives it
}

// Matches reports whether an item is meant. A nil Scope means every item.
func (s *Scope) Matches(a *Attributes) bool {
	switch {
	case s == nil:
		return true
	case s.Workflows != nil && !slices.Contains(s.Workflows, a.Workflow),
		s.Tenants != nil && !slices.Contains(s.Tenants, a.Tenant),
		s.Severities != nil && !slices.Contains(s.Severities, a.Severity),
		s.Priorities != nil && !slices.Contains(s.Priorities, a.Priority),
		s.From != nil && a.CreatedAt.Before(*s.From),
		s.Before != nil && !a.CreatedAt.Before(*s.Before),
		s.Categories != nil && !slices.ContainsFunc(a.Categories, func(c string) bool { return slices.Contains(s.Categories, c) }):
		return false
	}
	for k, want := range s.Data {
		if got, ok := a.Data[k]; !ok || !same(got, want) {
			return false
		}
	}
	return true
}

// same compares a value of an item's data with one of a scope, which is no object or list.
func same(got, want any) bool {
	switch got := scalar(got).(type) {
	case map[string]any, []any: // they don't compare
		return false
	default:
		return got == want
	}
}

// equal reports whether two scopes look alike. Those that don't may still mean the same.
func (s *Scope) equal(o *Scope) bool {
	if s == nil || o == nil {
		return s == o
	}
	return slices.Equal(s.Workflows, o.Workflows) && slices.Equal(s.Categories, o.Categories) && slices.Equal(s.Tenants, o.Tenants) &&
		slices.Equal(s.Severities, o.Severities) && slices.Equal(s.Priorities, o.Priorities) &&
		maps.Equal(s.Data, o.Data) && sameTime(s.From, o.From) && sameTime(s.Before, o.Before)
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// grouped reports whether a scope depends on nothing but what items of one group have in common.
func (s *Scope) grouped() bool {
	return s == nil || s.Data == nil && s.From == nil && s.Before == nil
}

// needsData reports whether a scope looks into items.
func (s *Scope) needsData() bool { return s != nil && s.Data != nil }

// selection is a Filter whose tenants have been looked up. The zero selection is every item that isn't snoozed, archived or not.
type selection struct {
	scope *Scope // nil: whatever the item is
	Condition
	nothing bool // no item can match
	pinned  PinnedScope
	snoozed SnoozedScope
}

// everything is the selection that leaves nothing out.
var everything = selection{snoozed: SnoozedInclude}

// wants reports whether an item, in its true state, is selected.
func (sel *selection) wants(i *Item) bool {
	a := i.attributes()
	return sel.pinned.covers(i.PinnedAt != nil) && sel.matches(&a, i.State)
}

// matches reports whether an item in a state is selected.
func (sel *selection) matches(a *Attributes, s State) bool {
	return !sel.nothing && sel.snoozed.covers(s) && sel.Condition.matches(s) && sel.scope.Matches(a)
}

// choose validates a filter and looks its tenants up. field names it for errors.
func (s *Service) choose(ctx context.Context, env belfry.EnvironmentID, f *Filter, field string) (selection, error) {
	all, err := s.chooseEach(ctx, env, []*Filter{f}, func(int) string { return field })
	if err != nil {
		return selection{}, err
	}
	return all[0], nil
}

// chooseEach does so for several filters, and looks the tenants of all of them up together.
func (s *Service) chooseEach(ctx context.Context, env belfry.EnvironmentID, filters []*Filter, field func(int) string) ([]selection, error) {
	var names []string
	for i, f := range filters {
		if err := f.validate(field(i)); err != nil {
			return nil, err
		}
		names = append(names, f.Tenant.Tenants...)
	}
	var ids map[string]belfry.RecipientID
	if len(names) > 0 {
		slices.Sort(names)
		var err error
		if ids, err = s.TenantIDs(ctx, env, slices.Compact(names)); err != nil {
			return nil, err
		}
	}
	out := make([]selection, len(filters))
	for i, f := range filters {
		out[i] = f.selection(ids)
	}
	return out, nil
}

// selection is the filter with its tenants by internal id; those that are missing from ids are unknown.
func (f *Filter) selection(ids map[string]belfry.RecipientID) selection {
	sc := Scope{Workflows: sorted(f.Workflows), Categories: sorted(f.Categories), Severities: sorted(f.Severities), Priorities: sorted(f.Priorities), From: utc(f.CreatedAfter), Before: utc(f.CreatedBefore)}
	switch {
	case f.Tenant.Scope == TenantExact && len(f.Tenant.Tenants) == 0:
		sc.Tenants = []belfry.RecipientID{0}
	case len(f.Tenant.Tenants) > 0:
		sc.Tenants = []belfry.RecipientID{}
		for _, name := range f.Tenant.Tenants {
			if id := ids[name]; id != 0 {
				sc.Tenants = append(sc.Tenants, id)
			}
		}
		sc.Tenants = sorted(sc.Tenants)
	}
	for k, v := range f.Data {
		if sc.Data == nil {
			sc.Data = make(map[string]any, len(f.Data))
		}
		sc.Data[k] = scalar(v)
	}
	sel := selection{scope: &sc, Condition: f.condition(), pinned: f.Pinned, snoozed: f.Snoozed}
	sel.nothing = sc.Workflows != nil && len(sc.Workflows) == 0 || sc.Categories != nil && len(sc.Categories) == 0 ||
		sc.Severities != nil && len(sc.Severities) == 0 || sc.Priorities != nil && len(sc.Priorities) == 0 ||
		sc.Tenants != nil && len(sc.Tenants) == 0 || sc.From != nil && sc.Before != nil && !sc.From.Before(*sc.Before)
	if sc.equal(&Scope{}) && !sel.nothing {
		sel.scope = nil
	}
	return sel
}

// sorted is a list in order, without doubles. It keeps nil apart from empty.
func sorted[T ~string | ~int64](list []T) []T {
	if list == nil {
		return nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// utc is an instant as PostgreSQL keeps it.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC().Truncate(time.Microsecond)
	return &at
}
