package recipient

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
)

// bulk does an operation, and returns it with its failures by index: code and field.
func (w *world) bulk(t *testing.T, kind BulkKind, items []BulkItem) (*Bulk, map[int]string) {
	t.Helper()
	started, err := w.StartBulk(t.Context(), w.production, kind, items)
	if err != nil {
		t.Fatal(err)
	}
	w.worked(t)
	b, err := w.BulkByID(t.Context(), w.production, started.ID)
	if err != nil || b.Done != len(items) || b.FinishedAt == nil {
		t.Fatalf("%+v, %v", b, err)
	}
	failed := map[int]string{}
	for _, f := range b.Failures {
		failed[f.Index] = string(f.Error.Code) + " " + f.Error.Field
	}
	return b, failed
}

func preferences(id, set string, content map[string]any) BulkItem {
	item := BulkRef(belfry.User(id))
	item.Preferences = map[string]map[string]any{set: content}
	return item
}

func TestBulkPreferencesReplaceSets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team := belfry.RecipientRef{Collection: "teams", ExternalID: "red"}
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("bob", nil), Identity{RecipientRef: team}); err != nil {
		t.Fatal(err)
	}
	muted := func(name string) map[string]any {
		return map[string]any{"categories": map[string]any{name: false}}
	}
	w.bulk(t, SetPreferenceSets, []BulkItem{preferences("ann", "default", muted("old")), preferences("ann", "acme", muted("old"))})
	ofTeam := preferences("", "default", muted("news"))
	ofTeam.Collection, ofTeam.ID = "teams", "red"
	items := []BulkItem{
		preferences("ann", "default", muted("news")),
		preferences("nobody", "default", muted("news")),
		preferences("bob", "default", map[string]any{"categories": 5}),
		preferences("bob", "acme", muted("first")),
		preferences("bob", "acme", muted("second")),
		preferences("a/b", "default", muted("news")),
		ofTeam,
		preferences("bob", "", muted("news")),
		preferences("bob", "acme", map[string]any{"commercialSubscribed": false}),
	}
	_, failed := w.bulk(t, SetPreferenceSets, items)
	want := map[int]string{1: "NOT_FOUND input.sets[1]", 2: "INVALID input.sets[2].preferences.categories", 5: "INVALID input.sets[5].user",
		7: "INVALID input.sets[7].set", 8: "INVALID input.sets[8].preferences.commercialSubscribed"}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	for _, row := range []struct {
		who    belfry.RecipientRef
		tenant string
		want   map[string]any
	}{
		{belfry.User("ann"), "", muted("news")}, // the old one is replaced
		{belfry.User("ann"), "acme", muted("old")},
		{belfry.User("bob"), "acme", muted("second")},
		{team, "", muted("news")},
	} {
		sets, err := w.PreferenceSetsOf(t.Context(), w.production, row.who, row.tenant)
		if err != nil {
			t.Fatal(err)
		}
		got := sets.Recipient
		if row.tenant != "" {
			got = sets.RecipientTenant
		}
		if diff := cmp.Diff(row.want, got.Map()); diff != "" {
			t.Errorf("%s in %q (-want +got):\n%s", row.who.ExternalID, row.tenant, diff)
		}
	}
}

func TestBulkSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	red, blue := belfry.RecipientRef{Collection: "teams", ExternalID: "red"}, belfry.RecipientRef{Collection: "teams", ExternalID: "blue"}
	var users []Identity
	for i := range bulkChunk + 10 {
		users = append(users, user(fmt.Sprintf("u%03d", i), nil))
	}
	if _, err := w.identify(t.Context(), w.production, users...); err != nil {
		t.Fatal(err)
	}
	about := func(object belfry.RecipientRef, id string, properties map[string]any) BulkItem {
		item := BulkRef(belfry.User(id))
		item.Object, item.Subscription = &object, properties
		return item
	}
	admin := map[string]any{"role": "admin"}
	var items []BulkItem
	for _, u := range users {
		items = append(items, about(red, u.ExternalID, admin))
	}
	items = append(items,
		about(blue, "u000", nil), about(red, "u001", map[string]any{}), about(red, "nobody", admin),
		about(belfry.RecipientRef{Collection: "$users", ExternalID: "x"}, "u000", nil), about(red, "u000", map[string]any{"object": 1}))
	fresh := BulkIdentity(&Identity{RecipientRef: belfry.User("fresh"), Properties: map[string]any{"name": "Fresh"}})
	fresh.Object, fresh.Identify = &blue, true
	items = append(items, fresh)
	_, failed := w.bulk(t, SubscribeObjects, items)
	n := len(users)
	at := func(i int, rest string) string { return fmt.Sprintf("input.subscriptions[%d]%s", i, rest) }
	want := map[int]string{n + 2: "NOT_FOUND " + at(n+2, ".recipient"), n + 3: "INVALID " + at(n+3, ".object.collection"), n + 4: "INVALID " + at(n+4, ".properties.object")}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	subscribed := func(object belfry.RecipientRef) map[string]map[string]any {
		id, err := w.ID(t.Context(), w.production, object)
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := w.Subscribers(t.Context(), w.production, id, 0, MaxSubscriptionPage)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]map[string]any{}
		for _, s := range page {
			out[s.SubscriberRef.ExternalID] = s.Properties
		}
		return out
	}
	got := subscribed(red)
	if len(got) != n || got["u000"]["role"] != "admin" || len(got["u001"]) != 0 {
		t.Errorf("red has %d subscribers, want %d: u000 %v, u001 %v", len(got), n, got["u000"], got["u001"])
	}
	if diff := cmp.Diff(map[string]map[string]any{"u000": {}, "fresh": {}}, subscribed(blue)); diff != "" {
		t.Errorf("blue (-want +got):\n%s", diff)
	}
	_, failed = w.bulk(t, UnsubscribeObjects, []BulkItem{about(red, "u000", nil), about(red, "fresh", nil), about(blue, "u000", nil), about(red, "u000", nil)})
	want = map[int]string{1: "NOT_FOUND " + at(1, ".recipient"), 3: "NOT_FOUND " + at(3, ".recipient")} // not any more
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("failures of unsubscribing (-want +got):\n%s", diff)
	}
	if a, b := len(subscribed(red)), len(subscribed(blue)); a != n-1 || b != 1 {
		t.Errorf("red has %d and blue %d subscribers", a, b)
	}
}

func TestBulkObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	object := func(collection, id string) Identity {
		return Identity{RecipientRef: belfry.RecipientRef{Collection: collection, ExternalID: id}, Properties: map[string]any{"n": 1.0}}
	}
	items := identityItems([]Identity{object("teams", "a"), object("projects", "a"), object("$other", "a"), object("teams", "b")})
	_, failed := w.bulk(t, UpsertObjects, items)
	if diff := cmp.Diff(map[int]string{2: "INVALID input.objects[2].collection"}, failed); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	_, failed = w.bulk(t, DeleteObjects, append(items[:3:3], BulkRef(belfry.RecipientRef{Collection: "teams", ExternalID: "nothing"})))
	if diff := cmp.Diff(map[int]string{2: "INVALID input.objects[2].collection"}, failed); diff != "" {
		t.Errorf("failures of deleting (-want +got):\n%s", diff)
	}
	if n := w.count(t, `SELECT count(*) FROM recipients`); n != 1 {
		t.Errorf("%d objects are left, want 1", n)
	}
}

// Whatever is refused when its turn comes is found without trying each item for itself.
func TestRefusedItemsAreFoundByHalving(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full := strings.Repeat("x", MaxPropertiesSize-len(`{"a":""}`))
	if _, err := w.IdentifyUser(t.Context(), w.production, user("u49", map[string]any{"a": full})); err != nil {
		t.Fatal(err)
	}
	var identities []Identity
	for i := range bulkChunk {
		identities = append(identities, user(fmt.Sprint("u", i), map[string]any{"n": 1.0}))
	}
	b, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(identities))
	if err != nil {
		t.Fatal(err)
	}
	if n := w.worked(t); n > 8 {
		t.Errorf("it took %d transactions", n)
	}
	if got, err := w.BulkByID(t.Context(), w.production, b.ID); err != nil || len(got.Failures) != 1 || got.Failures[0].Index != 49 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestABulkOperationIsWatchedUntilItEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var identities []Identity
	for i := range 2*bulkChunk + 1 {
		identities = append(identities, user(fmt.Sprint("u", i), nil))
	}
	b, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(identities))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WatchBulk(t.Context(), w.staging, b.ID); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("staging watches it: %v", err)
	}
	if _, err := w.WatchBulk(t.Context(), w.production, uuid.New()); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("one that there is not is watched: %v", err)
	}
	states, err := w.WatchBulk(t.Context(), w.production, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	var done []int
	for state := range states {
		done = append(done, state.Done)
		if more, err := w.bulkSome(t.Context()); err != nil || !more && state.FinishedAt == nil {
			t.Fatal(more, err)
		}
	}
	if diff := cmp.Diff([]int{0, bulkChunk, 2 * bulkChunk, 2*bulkChunk + 1}, done); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
