package feed

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func TestFilterLimits(t *testing.T) {
	t.Parallel()
	values := make([]string, MaxFilterValues+1)
	keys := make(map[string]any)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	for i := range MaxFilterData {
		keys[fmt.Sprint(i)] = i
	}
	more := map[string]any{"one": "more"}
	for k, v := range keys {
		more[k] = v
	}
	long := strings.Repeat("ü", MaxFilterText)
	for name, row := range map[string]struct {
		filter Filter
		code   belfry.Code // empty: accepted
		field  string
		limit  int
	}{
		"lists as long as may be": {filter: Filter{Workflows: values[1:], Categories: values[1:], Tenant: TenantFilter{TenantAnyOf, values[1:]}}},
		"too many workflows":      {Filter{Workflows: values}, belfry.TooLarge, "f.workflows", MaxFilterValues},
		"too many categories":     {Filter{Categories: values}, belfry.TooLarge, "f.categories", MaxFilterValues},
		"too many tenants":        {Filter{Tenant: TenantFilter{TenantAnyOf, values}}, belfry.TooLarge, "f.tenant.tenants", MaxFilterValues},
		"texts as long as may be": {filter: Filter{Workflows: []string{long}, Categories: []string{long}, Tenant: TenantFilter{TenantExact, []string{long}}, Data: map[string]any{long: long}}},
		"a long workflow":         {Filter{Workflows: []string{"a", long + "x"}}, belfry.TooLarge, "f.workflows[1]", MaxFilterText},
		"a long category":         {Filter{Categories: []string{long + "x"}}, belfry.TooLarge, "f.categories[0]", MaxFilterText},
		"a long tenant":           {Filter{Tenant: TenantFilter{TenantExact, []string{long + "x"}}}, belfry.TooLarge, "f.tenant.tenants[0]", MaxFilterText},
		"a long key":              {Filter{Data: map[string]any{long + "x": 1}}, belfry.TooLarge, "f.data", MaxFilterText},
		"a long text":             {Filter{Data: map[string]any{"k": long + "x"}}, belfry.TooLarge, "f.data.k", MaxFilterText},
		"as much data as may be":  {filter: Filter{Data: keys}},
		"too much data":           {Filter{Data: more}, belfry.TooLarge, "f.data", MaxFilterData},
		"an object in data":       {Filter{Data: map[string]any{"k": map[string]any{}}}, belfry.Invalid, "f.data.k", 0},
		"a list in data":          {Filter{Data: map[string]any{"k": []any{1}}}, belfry.Invalid, "f.data.k", 0},
		"a number beyond numbers": {Filter{Data: map[string]any{"k": json.Number("1e999")}}, belfry.Invalid, "f.data.k", 0},
		"a NUL in data":           {Filter{Data: map[string]any{"k": "\x00"}}, belfry.Invalid, "f.data.k", 0},
		"a NUL in a key":          {Filter{Data: map[string]any{"\x00": 1}}, belfry.Invalid, "f.data", 0},
		"a NUL in a workflow":     {Filter{Workflows: []string{"a", "\x00"}}, belfry.Invalid, "f.workflows[1]", 0},
		"bytes in a category":     {Filter{Categories: []string{"\xff"}}, belfry.Invalid, "f.categories[0]", 0},
		"all, but of tenants":     {Filter{Tenant: TenantFilter{TenantAll, values[:1]}}, belfry.Invalid, "f.tenant.tenants", 0},
		"tenants, but not how":    {Filter{Tenant: TenantFilter{"", values[:1]}}, belfry.Invalid, "f.tenant.tenants", 0},
		"exactly two":             {Filter{Tenant: TenantFilter{TenantExact, values[:2]}}, belfry.Invalid, "f.tenant.tenants", 0},
		"any of none":             {Filter{Tenant: TenantFilter{TenantAnyOf, nil}}, belfry.Invalid, "f.tenant.tenants", 0},
	} {
		err := row.filter.validate("f")
		if row.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var refused *belfry.Error
		if !asError(err, &refused) || refused.Code != row.code || refused.Field != row.field || refused.Limit != row.limit {
			t.Errorf("%s: %#v; want %s at %s, limit %d", name, err, row.code, row.field, row.limit)
		}
	}
}

func TestScopesMatch(t *testing.T) {
	t.Parallel()
	at, second := instant(0), instant(0).Add(time.Second)
	item := Attributes{Workflow: "order", Categories: []string{"a", "b"}, Tenant: 7, CreatedAt: at,
		Data: map[string]any{"text": "x", "n": 1.0, "yes": true, "none": nil, "list": []any{"x"}, "object": map[string]any{}}}
	plain := Attributes{Workflow: "order", CreatedAt: at}
	for name, row := range map[string]struct {
		filter         Filter
		item, withNone bool // whether the item is meant, and one without categories, tenant and data
	}{
		"everything":                     {Filter{}, true, true},
		"its workflow":                   {Filter{Workflows: []string{"x", "order"}}, true, true},
		"another workflow":               {Filter{Workflows: []string{"orders"}}, false, false},
		"no workflow":                    {Filter{Workflows: []string{}}, false, false},
		"one of its categories":          {Filter{Categories: []string{"b", "c"}}, true, false},
		"another category":               {Filter{Categories: []string{"c"}}, false, false},
		"no category":                    {Filter{Categories: []string{}}, false, false},
		"its tenant":                     {Filter{Tenant: TenantFilter{TenantExact, []string{"seven"}}}, true, false},
		"another tenant":                 {Filter{Tenant: TenantFilter{TenantExact, []string{"eight"}}}, false, false},
		"a tenant that isn't known":      {Filter{Tenant: TenantFilter{TenantExact, []string{"nobody"}}}, false, false},
		"no tenant":                      {Filter{Tenant: TenantFilter{Scope: TenantExact}}, false, true},
		"any tenant of some":             {Filter{Tenant: TenantFilter{TenantAnyOf, []string{"nobody", "seven", "eight"}}}, true, false},
		"all tenants":                    {Filter{Tenant: TenantFilter{Scope: TenantAll}}, true, true},
		"what it holds":                  {Filter{Data: map[string]any{"text": "x", "n": 1, "yes": true, "none": nil}}, true, false},
		"the number, as JSON":            {Filter{Data: map[string]any{"n": json.Number("1.0")}}, true, false},
		"another number":                 {Filter{Data: map[string]any{"n": 2}}, false, false},
		"the number as text":             {Filter{Data: map[string]any{"n": "1"}}, false, false},
		"true as text":                   {Filter{Data: map[string]any{"yes": "true"}}, false, false},
		"null, where there is something": {Filter{Data: map[string]any{"text": nil}}, false, false},
		"null, where there is nothing":   {Filter{Data: map[string]any{"else": nil}}, false, false},
		"text, where there is a list":    {Filter{Data: map[string]any{"list": "x"}}, false, false},
		"text, where there is an object": {Filter{Data: map[string]any{"object": "x"}}, false, false},
		"no data in particular":          {Filter{Data: map[string]any{}}, true, true},
		"since its time":                 {Filter{CreatedAfter: &at}, true, true},
		"before its time":                {Filter{CreatedBefore: &at}, false, false},
		"its second":                     {Filter{CreatedAfter: &at, CreatedBefore: &second}, true, true},
		"since the second after":         {Filter{CreatedAfter: &second}, false, false},
		"no time at all":                 {Filter{CreatedAfter: &at, CreatedBefore: &at}, false, false},
	} {
		sel := row.filter.selection(map[string]belfry.RecipientID{"seven": 7, "eight": 8})
		if got := sel.matches(&item, State{}); got != row.item {
			t.Errorf("%s: means the item: %v", name, got)
		}
		if got := sel.matches(&plain, State{}); got != row.withNone {
			t.Errorf("%s: means the plain item: %v", name, got)
		}
		if sel.nothing && (row.item || row.withNone) || sel.scope == nil && !(row.item && row.withNone) {
			t.Errorf("%s: %+v", name, sel)
		}
	}
}

// Filters that say the same in another order replace each other's marks.
func TestEqualFiltersHaveEqualScopes(t *testing.T) {
	t.Parallel()
	ids := map[string]belfry.RecipientID{"a": 1, "b": 2}
	here := time.Date(2026, 5, 4, 11, 0, 0, 999, time.FixedZone("", 7200))
	one := Filter{Workflows: []string{"x", "y", "x"}, Tenant: TenantFilter{TenantAnyOf, []string{"b", "a", "unknown"}}, Data: map[string]any{"n": 1}, CreatedAfter: &here}
	utc := instant(0)
	two := Filter{Workflows: []string{"y", "x"}, Tenant: TenantFilter{TenantAnyOf, []string{"a", "b"}}, Data: map[string]any{"n": json.Number("1")}, CreatedAfter: &utc}
	if a, b := one.selection(ids), two.selection(ids); !a.scope.equal(b.scope) {
		t.Errorf("%+v and %+v differ", a.scope, b.scope)
	}
	stored, err := json.Marshal(one.selection(ids).scope)
	if err != nil {
		t.Fatal(err)
	}
	var read Scope
	if err := json.Unmarshal(stored, &read); err != nil || !read.equal(two.selection(ids).scope) {
		t.Errorf("stored as %s, %v", stored, err)
	}
	if diff := cmp.Diff([]string{"x", "y", "x"}, one.Workflows); diff != "" {
		t.Errorf("the caller's filter has changed: %s", diff)
	}
	for _, other := range []Filter{{Workflows: []string{"x"}}, {Tenant: TenantFilter{TenantExact, nil}}, {Data: map[string]any{"n": 2}}, {CreatedAfter: nil, CreatedBefore: &utc}, {}} {
		if sel := other.selection(ids); sel.scope.equal(one.selection(ids).scope) {
			t.Errorf("%+v is taken for %+v", other, one)
		}
	}
}
