package recipient

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func (w *world) audience(t *testing.T, a Audience) *Audience {
	t.Helper()
	out, err := w.UpsertAudience(t.Context(), w.production, a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) openAudience(t *testing.T, env belfry.EnvironmentID, key string) Source {
	t.Helper()
	var sources map[string]Source
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) (err error) {
		sources, err = w.OpenAudiences(t.Context(), tx, env, []string{key, "none"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources[key]
}

func TestAudiences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vips := w.audience(t, Audience{Key: "vips", Name: "Very important"})
	pros := w.audience(t, Audience{Key: "pros", Condition: `recipient.plan == "pro"`})
	w.audience(t, Audience{Key: "many", Conditions: json.RawMessage(`{"all": [{"variable": "recipient.seats", "operator": "greater_than", "argument": 10}]}`)})
	if vips.Dynamic() || !pros.Dynamic() {
		t.Errorf("dynamic: %v, %v", vips.Dynamic(), pros.Dynamic())
	}
	if again := w.audience(t, Audience{Key: "vips", Name: "Very"}); again.ID != vips.ID || again.Name != "Very" {
		t.Errorf("stored again: %+v", again)
	}
	list, _, err := w.Audiences(t.Context(), w.production, "many", 10)
	if err != nil || len(list) != 2 || list[0].Condition != `recipient.plan == "pro"` || list[1].Key != "vips" {
		t.Errorf("audiences: %+v, %v", list, err)
	}
	if _, err := w.Audience(t.Context(), w.staging, "vips"); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("another environment reads it: %v", err)
	}
	if err := w.DeleteAudience(t.Context(), w.staging, "vips"); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("another environment deletes it: %v", err)
	}
	_, err = w.UpsertAudience(t.Context(), w.production, Audience{Key: "vips", Condition: "true"})
	wantError(t, err, belfry.Conflict, "input.key", 0)
	_, err = w.UpsertAudience(t.Context(), w.production, Audience{Key: "pros"})
	wantError(t, err, belfry.Conflict, "input.key", 0)
	if err := w.DeleteAudience(t.Context(), w.production, "vips"); err != nil {
		t.Error(err)
	}
	if _, err := w.Audience(t.Context(), w.production, "vips"); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("deleted, but read: %v", err)
	}
}

func TestAudiencesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		audience Audience
		field    string
		limit    int
	}{
		"no key":           {Audience{}, "input.key", 0},
		"long name":        {Audience{Key: "a", Name: strings.Repeat("ä", MaxAudienceName+1)}, "input.name", MaxAudienceName},
		"both":             {Audience{Key: "a", Condition: "true", Conditions: json.RawMessage(`{"all":[]}`)}, "input.conditions", 0},
		"no expression":    {Audience{Key: "a", Condition: "recipient.plan =="}, "input.condition", 0},
		"another root":     {Audience{Key: "a", Condition: "data.n == 1"}, "input.condition", 0},
		"another audience": {Audience{Key: "a", Condition: `is_audience_member(recipient.id, "b")`}, "input.condition", 0},
		"an empty group":   {Audience{Key: "a", Conditions: json.RawMessage(`{"all":[]}`)}, "input.conditions", 0},
		"not JSON":         {Audience{Key: "a", Conditions: json.RawMessage(`{`)}, "input.conditions", 0},
	} {
		_, err := w.UpsertAudience(t.Context(), w.production, c.audience)
		code := belfry.Invalid
		if c.limit > 0 {
			code = belfry.TooLarge
		}
		t.Log(name)
		wantError(t, err, code, c.field, c.limit)
	}
	w.audience(t, Audience{Key: "a", Name: strings.Repeat("ä", MaxAudienceName)})
	w.audience(t, Audience{Key: "dynamic", Condition: "true"})
	_, err := w.AddMembers(t.Context(), w.production, "dynamic", named("ann"), "")
	wantError(t, err, belfry.Invalid, "input.audience", 0)
	_, err = w.AddMembers(t.Context(), w.production, "none", named("ann"), "")
	wantError(t, err, belfry.NotFound, "input.audience", 0)
	_, err = w.AddMembers(t.Context(), w.production, "a", named("projects:1"), "")
	wantError(t, err, belfry.Invalid, "input.users[0]", 0)
	_, err = w.AddMembers(t.Context(), w.production, "a", make([]Party, MaxAudienceMembers+1), "")
	wantError(t, err, belfry.TooLarge, "input.users", MaxAudienceMembers)
	_, err = w.RemoveMembers(t.Context(), w.production, "a", nil, "")
	wantError(t, err, belfry.Invalid, "input.users", 0)
}

// A membership is one in a tenant, or one without.
func TestMembersOfAStaticAudience(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("bob", nil)); err != nil {
		t.Fatal(err)
	}
	a := w.audience(t, Audience{Key: "vips"})
	results, err := w.AddMembers(t.Context(), w.production, "vips", named("ann", "nobody", "bob"), "")
	if diff := cmp.Diff([]belfry.Code{"", belfry.NotFound, ""}, codes(results)); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for range 2 {
		if _, err := w.AddMembers(t.Context(), w.production, "vips", named("ann"), "acme"); err != nil {
			t.Error(err)
		}
	}
	acme := w.id(t, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"})
	for tenant, want := range map[belfry.RecipientID][]string{0: {"ann", "bob"}, acme: {"ann"}} {
		found := w.readAll(t, w.openAudience(t, w.production, "vips"), tenant, 1, nil)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(w.names(t, found)))); diff != "" {
			t.Errorf("of tenant %d (-want +got):\n%s", tenant, diff)
		}
	}
	first, more, err := w.Members(t.Context(), a.ID, nil, 2)
	if err != nil || len(first) != 2 || !more {
		t.Fatalf("%v, %v", first, err)
	}
	if rest, more, err := w.Members(t.Context(), a.ID, &first[1], 2); err != nil || len(rest) != 1 || more || rest[0].Tenant != acme || rest[0].TenantID != "acme" || rest[0].UserID != "ann" {
		t.Errorf("%v, %v", rest, err)
	}
	removed, err := w.RemoveMembers(t.Context(), w.production, "vips", []belfry.RecipientRef{belfry.User("bob"), belfry.User("bob"), belfry.User("nobody")}, "acme")
	if diff := cmp.Diff([]belfry.Code{belfry.NotFound, belfry.NotFound, belfry.NotFound}, codes(removed)); diff != "" || err != nil {
		t.Errorf("bob isn't in acme: %v %s", err, diff)
	}
	if removed, err = w.RemoveMembers(t.Context(), w.production, "vips", []belfry.RecipientRef{belfry.User("ann")}, "acme"); err != nil || removed[0].Err != nil {
		t.Errorf("%v, %v", removed, err)
	}
	if left, _, err := w.Members(t.Context(), a.ID, nil, 10); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
	if source := w.openAudience(t, w.staging, "vips"); source.Audience != 0 {
		t.Errorf("another environment opens %+v", source)
	}
}

// With a tenant go the memberships in its name, and no others.
func TestMembershipsEndWithTheirTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil)); err != nil {
		t.Fatal(err)
	}
	a := w.audience(t, Audience{Key: "vips"})
	for _, tenant := range []string{"", "acme", "globex"} {
		if _, err := w.AddMembers(t.Context(), w.production, "vips", named("ann"), tenant); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{{Collection: belfry.Tenants, ExternalID: "acme"}}, ""); err != nil {
		t.Fatal(err)
	}
	left, _, err := w.Members(t.Context(), a.ID, nil, 10)
	if err != nil || len(left) != 2 || left[0].TenantID != "" || left[1].TenantID != "globex" {
		t.Errorf("left: %+v, %v", left, err)
	}
}

// Users of an audience with a condition are found by looking at all of them, in chunks, in their environment alone.
func TestMembersOfADynamicAudience(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var identities []Identity
	for i := range 10 {
		identities = append(identities, user(fmt.Sprint("u", i), map[string]any{"plan": []string{"free", "pro"}[i%2], "n": i}))
	}
	identities = append(identities, Identity{RecipientRef: project("1"), Properties: map[string]any{"plan": "pro"}})
	if _, err := w.identify(t.Context(), w.production, identities...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.identify(t.Context(), w.staging, user("u99", map[string]any{"plan": "pro"})); err != nil {
		t.Fatal(err)
	}
	w.audience(t, Audience{Key: "pros", Condition: `recipient.plan == "pro" and recipient.n < 8`})
	for _, limit := range []int{1, 3, 500} {
		source := w.openAudience(t, w.production, "pros")
		found := w.readAll(t, source, 0, limit, func(chunk int) {
			if chunk == 0 {
				if _, err := w.identify(t.Context(), w.production, user(fmt.Sprint("v", limit), map[string]any{"plan": "pro", "n": 0})); err != nil {
					t.Fatal(err)
				}
			}
		})
		names := w.names(t, found)
		delete(names, "v1")
		delete(names, "v3")
		if diff := cmp.Diff(map[string]int{"u1": 1, "u3": 1, "u5": 1, "u7": 1}, names); diff != "" {
			t.Errorf("in chunks of %d (-want +got):\n%s", limit, diff)
		}
		if limit == 1 && len(found) != 4 {
			t.Errorf("who was identified meanwhile is in it: %v", found)
		}
	}
	source := w.openAudience(t, w.production, "pros")
	if err := w.DeleteAudience(t.Context(), w.production, "pros"); err != nil {
		t.Fatal(err)
	}
	if found := w.readAll(t, source, 0, 500, nil); len(found) != 0 {
		t.Errorf("an audience that was deleted has %v", found)
	}
}

// Memberships are read for all that is asked, and decided as in conditions: tenants are compared.
func TestMemberships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", map[string]any{"plan": "pro"}), user("bob", nil)); err != nil {
		t.Fatal(err)
	}
	w.audience(t, Audience{Key: "pros", Condition: `recipient.plan == "pro"`})
	w.audience(t, Audience{Key: "vips"})
	if _, err := w.AddMembers(t.Context(), w.production, "vips", named("bob"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddMembers(t.Context(), w.production, "vips", named("ann"), "acme"); err != nil {
		t.Fatal(err)
	}
	acme := w.id(t, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"})
	people, err := w.Load(t.Context(), w.production, []belfry.RecipientID{w.id(t, belfry.User("ann")), w.id(t, belfry.User("bob"))})
	if err != nil {
		t.Fatal(err)
	}
	var m *Memberships
	err = postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) (err error) {
		m, err = w.LoadMemberships(t.Context(), tx, []belfry.EnvironmentID{w.production}, []string{"pros", "vips", "none"}, slices.Collect(maps.Keys(people)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env    belfry.EnvironmentID
		key    string
		user   string
		tenant belfry.RecipientID
		want   bool
	}{
		{w.production, "pros", "ann", 0, true}, {w.production, "pros", "ann", acme, true}, {w.production, "pros", "bob", 0, false},
		{w.production, "vips", "ann", acme, true}, {w.production, "vips", "ann", 0, false}, {w.production, "vips", "bob", 0, true},
		{w.production, "vips", "bob", acme, false}, {w.production, "none", "ann", 0, false}, {w.staging, "pros", "ann", 0, false},
	} {
		if got := m.Has(c.env, c.key, w.id(t, belfry.User(c.user)), people[w.id(t, belfry.User(c.user))].Scope(), c.tenant, w.now()); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
