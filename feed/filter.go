package feed

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
)

// Filter selects items: for a page, a count, a mark, or a subscription. Everything that is given must hold. The zero
// Filter selects all that aren't archived. It travels as JSON, within events.
type Filter struct {
	Status     Status        `json:"status,omitempty"`
	Archived   ArchivedScope `json:"archived,omitempty"`
	Workflows  []string      `json:"workflows,omitempty"`  // any of these; at most MaxFilterValues
	Categories []string      `json:"categories,omitempty"` // at least one of these; at most MaxFilterValues
	Tenant     TenantFilter  `json:"tenant,omitzero"`
	// Data is what the item's data must hold: at most MaxFilterData keys, with text, numbers, booleans or null. Numbers
	// are compared as JSON in browsers knows them, with 64 bits.
	Data          map[string]any    `json:"data,omitempty"`
	CreatedAfter  *time.Time        `json:"createdAfter,omitempty"`  // this instant or later
	CreatedBefore *time.Time        `json:"createdBefore,omitempty"` // earlier than this
	Severities    []belfry.Severity `json:"severities,omitempty"`    // any of these; at most MaxFilterValues
	Priorities    []belfry.Priority `json:"priorities,omitempty"`    // any of these; at most MaxFilterValues
	// Pinned and Snoozed are for pages only: counts, marks and subscriptions refuse them.
	Pinned  PinnedScope  `json:"pinned,omitempty"`
	Snoozed SnoozedScope `json:"snoozed,omitempty"`
}

// Limits of a Filter.
const (
	MaxFilterValues = 20  // in each list
	MaxFilterData   = 10  // keys of data
	MaxFilterText   = 256 // characters of each text
)

// Status selects items by level. Spelled as in GraphQL; empty is ALL.
type Status string

const (
	StatusAll    Status = "ALL"
	StatusUnseen Status = "UNSEEN"
	StatusSeen   Status = "SEEN"
	StatusUnread Status = "UNREAD"
	StatusRead   Status = "READ"
)

// ArchivedScope says whether archived items are meant. Spelled as in GraphQL; empty is EXCLUDE.
type ArchivedScope string

const (
	ArchivedExclude ArchivedScope = "EXCLUDE"
	ArchivedInclude ArchivedScope = "INCLUDE"
	ArchivedOnly    ArchivedScope = "ONLY"
)

// TenantFilter selects items by the tenant in whose name they came, by external ids. One that isn't known has no items.
type TenantFilter struct {
	Scope   TenantScope `json:"scope,omitempty"`
	Tenants []string    `json:"tenants,omitempty"` // with ANY_OF 1 to MaxFilterValues; with EXACT one, or none for items without a tenant
}

// TenantScope says how the tenants of a TenantFilter are meant. Spelled as in GraphQL; empty is ALL.
type TenantScope string

const (
	TenantAll   TenantScope = "ALL"
	TenantExact TenantScope = "EXACT"
	TenantAnyOf TenantScope = "ANY_OF"
)

// everyItem is the Filter that leaves nothing out.
var everyItem = Filter{Archived: ArchivedInclude, Snoozed: SnoozedInclude}

// onlyOfPages refuses what no counter, watermark or event knows.
func (f *Filter) onlyOfPages(field string) error {
	if f.Pinned != "" && f.Pinned != PinnedAny {
		return belfry.Errorf(belfry.Invalid, "only pages can be asked for pinned items").At("%s.pinned", field)
	}
	if f.Snoozed.any() {
		return belfry.Errorf(belfry.Invalid, "only pages can be asked for snoozed items").At("%s.snoozed", field)
	}
	return nil
}

// Condition is the part of a Filter that depends on what was done to an item. The zero Condition always holds.
type Condition struct {
	Status   Status        `json:"l,omitempty"` // empty: whatever the level
	Archived ArchivedScope `json:"a,omitempty"` // empty: archived or not
}

// condition is the filter's, in the one form in which equal conditions are the same.
func (f *Filter) condition() Condition {
	c := Condition{Status: f.Status, Archived: f.Archived}
	if c.Status == StatusAll {
		c.Status = ""
	}
	switch c.Archived {
	case "":
		c.Archived = ArchivedExclude
	case ArchivedInclude:
		c.Archived = ""
	}
	return c
}

// matches reports whether an item in a state is meant.
func (c Condition) matches(s State) bool {
	switch c.Archived {
	case ArchivedOnly:
		if !s.Archived {
			return false
		}
	case ArchivedExclude:
		if s.Archived {
			return false
		}
	}
	switch c.Status {
	case StatusUnseen:
		return s.Level == Unseen
	case StatusSeen:
		return s.Level >= Seen
	case StatusUnread:
		return s.Level < Read
	case StatusRead:
		return s.Level == Read
	}
	return true
}

// validate checks sizes, and that PostgreSQL can read the texts. field names the filter for errors.
func (f *Filter) validate(field string) error {
	if err := validateTexts(f.Workflows, field+".workflows", "workflows"); err != nil {
		return err
	}
	if err := validateTexts(f.Categories, field+".categories", "categories"); err != nil {
		return err
	}
	if len(f.Severities) > MaxFilterValues {
		return belfry.Beyond(field+".severities", MaxFilterValues, "severities")
	}
	if len(f.Priorities) > MaxFilterValues {
		return belfry.Beyond(field+".priorities", MaxFilterValues, "priorities")
	}
	if err := f.Tenant.validate(field + ".tenant"); err != nil {
		return err
	}
	if len(f.Data) > MaxFilterData {
		return belfry.Beyond(field+".data", MaxFilterData, "keys")
	}
	for k, v := range f.Data {
		if err := validateText(k, field+".data"); err != nil {
			return err
		}
		if err := validateScalar(v, field+".data."+k); err != nil {
			return err
		}
	}
	return nil
}

func (t *TenantFilter) validate(field string) error {
	n := len(t.Tenants)
	switch {
	case (t.Scope == "" || t.Scope == TenantAll) && n > 0:
		return belfry.Errorf(belfry.Invalid, "with ALL leave the tenants out; with EXACT or ANY_OF name them").At("%s.tenants", field)
	case t.Scope == TenantExact && n > 1:
		return belfry.Errorf(belfry.Invalid, "EXACT means one tenant; for several use ANY_OF").At("%s.tenants", field)
	case t.Scope == TenantAnyOf && n == 0:
		return belfry.Errorf(belfry.Invalid, "name 1 to %d tenants; for items without a tenant use EXACT", MaxFilterValues).At("%s.tenants", field)
	}
	return validateTexts(t.Tenants, field+".tenants", "tenants")
}

func validateTexts(texts []string, field, unit string) error {
	if len(texts) > MaxFilterValues {
		return belfry.Beyond(field, MaxFilterValues, unit)
	}
	for i, text := range texts {
		if err := validateText(text, fmt.Sprintf("%s[%d]", field, i)); err != nil {
			return err
		}
	}
	return nil
}

func validateText(text, field string) error {
	if utf8.RuneCountInString(text) > MaxFilterText {
		return belfry.Beyond(field, MaxFilterText, "characters")
	}
	return belfry.ValidateText(text, field)
}

func validateScalar(v any, field string) error {
	switch v := v.(type) {
	case string:
		return validateText(v, field)
	case map[string]any, []any:
		return belfry.Errorf(belfry.Invalid, "only text, numbers, booleans and null can be compared").At("%s", field)
	}
	return belfry.ValidateJSON(v, field)
}

// scalar is a value as json.Unmarshal gives it, so that values compare.
func scalar(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64() // validated
		return f
	case int:
		return float64(v)
	case int64:
		return float64(v)
	}
	return v
}
