package recipient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func project(id string) belfry.RecipientRef {
	return belfry.RecipientRef{Collection: "projects", ExternalID: id}
}

func named(ids ...string) []Party {
	out := make([]Party, len(ids))
	for i, id := range ids {
		out[i].Ref = belfry.User(id)
		if name, ok := strings.CutPrefix(id, "projects:"); ok {
			out[i].Ref = project(name)
		}
	}
	return out
}

// subscribe subscribes those who are known, and fails if anybody is left out.
func (w *world) subscribe(t *testing.T, to string, properties map[string]any, who ...string) {
	t.Helper()
	results, err := w.Subscribe(t.Context(), w.production, project(to), named(who...), properties)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) id(t *testing.T, ref belfry.RecipientRef) belfry.RecipientID {
	t.Helper()
	id, err := w.ID(t.Context(), w.production, ref)
	if err != nil || id == 0 {
		t.Fatalf("%v is %d, %v", ref, id, err)
	}
	return id
}

func codes(results []Result) (out []belfry.Code) {
	for _, r := range results {
		code := belfry.Code("")
		if r.Err != nil {
			code = belfry.CodeOf(r.Err)
		}
		out = append(out, code)
	}
	return out
}

// Each recipient of a call has a result of their own; the object becomes known by being subscribed to.
func TestSubscribingSaysWhatBecameOfEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("bob", nil)); err != nil {
		t.Fatal(err)
	}
	cleo := user("cleo", map[string]any{"name": "Cleo"})
	bad := user("dora", map[string]any{"name": 1})
	who := append(named("ann", "nobody", "a/b", "ann"), Party{Identify: &cleo}, Party{Identify: &bad}, Party{Ref: belfry.RecipientRef{Collection: "$secrets", ExternalID: "x"}})
	results, err := w.Subscribe(t.Context(), w.production, project("1"), who, map[string]any{"role": "owner"})
	if diff := cmp.Diff([]belfry.Code{"", belfry.NotFound, belfry.Invalid, "", "", belfry.Invalid, belfry.Invalid}, codes(results)); diff != "" || err != nil {
		t.Fatalf("%v, results (-want +got):\n%s", err, diff)
	}
	list, _, err := w.Subscribers(t.Context(), w.production, w.id(t, project("1")), 0, 10)
	if err != nil || len(list) != 2 || list[0].SubscriberRef != belfry.User("ann") || list[1].SubscriberRef != cleo.RecipientRef || list[0].Properties["role"] != "owner" {
		t.Fatalf("subscribers: %+v, %v", list, err)
	}
	if list, _, err = w.SubscribedTo(t.Context(), w.production, w.id(t, belfry.User("ann")), 0, 10); err != nil || len(list) != 1 || list[0].ObjectRef != project("1") {
		t.Errorf("ann is subscribed to %+v, %v", list, err)
	}
	if list, _, err = w.Subscribers(t.Context(), w.staging, w.id(t, project("1")), 0, 10); err != nil || len(list) != 0 {
		t.Errorf("another environment reads %+v, %v", list, err)
	}
}

// Subscribing again replaces the properties that are given, and keeps them if none are.
func TestSubscribingAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ given, want map[string]any }{
		{nil, map[string]any{}},
		{map[string]any{"a": 1.0, "b": 1.0}, map[string]any{"a": 1.0, "b": 1.0}},
		{nil, map[string]any{"a": 1.0, "b": 1.0}},
		{map[string]any{"a": 2.0}, map[string]any{"a": 2.0}},
		{map[string]any{}, map[string]any{}},
	} {
		w.subscribe(t, "1", c.given, "ann")
		list, _, err := w.Subscribers(t.Context(), w.production, w.id(t, project("1")), 0, 10)
		if err != nil || len(list) != 1 || !cmp.Equal(list[0].Properties, c.want) {
			t.Errorf("given %v: %+v, %v; want %v", c.given, list, err, c.want)
		}
	}
}

func TestUnsubscribing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("bob", nil), user("cleo", nil)); err != nil {
		t.Fatal(err)
	}
	w.subscribe(t, "1", nil, "ann", "bob")
	refs := []belfry.RecipientRef{belfry.User("ann"), belfry.User("cleo"), belfry.User("nobody"), belfry.User("")}
	elsewhere, err := w.Unsubscribe(t.Context(), w.staging, project("1"), refs[:1])
	if diff := cmp.Diff([]belfry.Code{belfry.NotFound}, codes(elsewhere)); diff != "" || err != nil {
		t.Errorf("from another environment: %v %s", err, diff)
	}
	results, err := w.Unsubscribe(t.Context(), w.production, project("1"), refs)
	if diff := cmp.Diff([]belfry.Code{"", belfry.NotFound, belfry.NotFound, belfry.Invalid}, codes(results)); diff != "" || err != nil {
		t.Errorf("%v, results (-want +got):\n%s", err, diff)
	}
	if list, _, err := w.Subscribers(t.Context(), w.production, w.id(t, project("1")), 0, 10); err != nil || len(list) != 1 || list[0].SubscriberRef != belfry.User("bob") {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// Whoever is deleted is subscribed to nothing, and nobody is to what is deleted.
func TestDeletingARecipientEndsSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("bob", nil)); err != nil {
		t.Fatal(err)
	}
	w.subscribe(t, "1", nil, "ann", "bob")
	w.subscribe(t, "2", nil, "ann", "bob")
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM recipients WHERE id = ANY ($1)`, []belfry.RecipientID{w.id(t, belfry.User("ann")), w.id(t, project("2"))}); err != nil {
		t.Fatal(err)
	}
	list, _, err := w.SubscribedTo(t.Context(), w.production, w.id(t, belfry.User("bob")), 0, 10)
	if err != nil || len(list) != 1 || list[0].ObjectRef != project("1") {
		t.Errorf("bob is subscribed to %+v, %v", list, err)
	}
	if list, _, err = w.Subscribers(t.Context(), w.production, w.id(t, project("1")), 0, 10); err != nil || len(list) != 1 {
		t.Errorf("subscribers: %+v, %v", list, err)
	}
}

func TestSubscriptionLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := make([]Party, MaxSubscribers+1)
	for i := range all {
		identity := user(fmt.Sprint("u", i), nil)
		all[i].Identify = &identity
	}
	sized := func(n int) map[string]any {
		return map[string]any{"x": strings.Repeat("x", n-len(`{"x":""}`))}
	}
	if _, err := w.Subscribe(t.Context(), w.production, project("1"), all[:MaxSubscribers], sized(MaxSubscriptionPropertiesSize)); err != nil {
		t.Error(err)
	}
	_, err := w.Subscribe(t.Context(), w.production, project("1"), all, nil)
	wantError(t, err, belfry.TooLarge, "input.recipients", MaxSubscribers)
	_, err = w.Subscribe(t.Context(), w.production, project("1"), nil, nil)
	wantError(t, err, belfry.Invalid, "input.recipients", 0)
	_, err = w.Subscribe(t.Context(), w.production, project("1"), all[:1], sized(MaxSubscriptionPropertiesSize+1))
	wantError(t, err, belfry.TooLarge, "input.properties", MaxSubscriptionPropertiesSize)
	_, err = w.Subscribe(t.Context(), w.production, project("1"), all[:1], map[string]any{"object": 1})
	wantError(t, err, belfry.Invalid, "input.properties.object", 0)
	_, err = w.Subscribe(t.Context(), w.production, belfry.User("ann"), all[:1], nil)
	wantError(t, err, belfry.Invalid, "input.object.collection", 0)
	_, err = w.Subscribe(t.Context(), w.production, belfry.RecipientRef{Collection: "projects", ExternalID: "a/b"}, all[:1], nil)
	wantError(t, err, belfry.Invalid, "input.object.id", 0)
	refs := make([]belfry.RecipientRef, MaxSubscribers+1)
	_, err = w.Unsubscribe(t.Context(), w.production, project("1"), refs)
	wantError(t, err, belfry.TooLarge, "input.recipients", MaxSubscribers)
}

// readAll reads a source to its end, in chunks.
func (w *world) readAll(t *testing.T, source Source, tenant belfry.RecipientID, limit int, between func(chunk int)) []Found {
	t.Helper()
	var all []Found
	var from Cursor
	for i := 0; ; i++ {
		if i == 1000 {
			t.Fatal("it does not come to an end")
		}
		var chunks []Chunk
		err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) (err error) {
			chunks, err = w.Read(t.Context(), tx, []Stretch{{Source: source, Environment: w.production, Tenant: tenant, From: from, Limit: limit}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(chunks[0].Found) > limit {
			t.Errorf("a chunk of %d, beyond %d", len(chunks[0].Found), limit)
		}
		all, from = append(all, chunks[0].Found...), chunks[0].Next
		if chunks[0].Over {
			return all
		}
		if between != nil {
			between(i)
		}
	}
}

func (w *world) open(t *testing.T, ref belfry.RecipientRef) Source {
	t.Helper()
	var sources []Source
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) (err error) {
		sources, err = w.OpenObjects(t.Context(), tx, w.production, []belfry.RecipientID{w.id(t, ref)})
		return err
	})
	if err != nil || len(sources) != 1 {
		t.Fatalf("opened %v, %v", sources, err)
	}
	return sources[0]
}

// names says who was found how often.
func (w *world) names(t *testing.T, found []Found) map[string]int {
	t.Helper()
	ids := make([]belfry.RecipientID, len(found))
	for i, f := range found {
		ids[i] = f.Recipient
	}
	people, err := w.Load(t.Context(), w.production, ids)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, id := range ids {
		out[people[id].ExternalID]++
	}
	return out
}

// Subscribers of an object, and of objects among them, but no deeper; whatever the size of chunks, and in circles, too.
func TestSubscribersAreReadInChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var identities []Identity
	for i := range 7 {
		identities = append(identities, user(fmt.Sprint("u", i), nil))
	}
	if _, err := w.identify(t.Context(), w.production, identities...); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"child", "empty", "other", "grandchild"} {
		w.subscribe(t, id, nil, "u0")
	}
	if _, err := w.Unsubscribe(t.Context(), w.production, project("empty"), []belfry.RecipientRef{belfry.User("u0")}); err != nil {
		t.Fatal(err)
	}
	w.subscribe(t, "parent", map[string]any{"how": "direct"}, "u1", "u2", "projects:child", "projects:empty", "projects:other", "projects:parent")
	w.subscribe(t, "child", nil, "u1", "u3", "projects:grandchild", "projects:parent")
	w.subscribe(t, "other", nil, "u3", "u4")
	w.subscribe(t, "grandchild", nil, "u5", "u6")
	want := map[string]int{"u0": 2, "u1": 3, "u2": 2, "u3": 2, "u4": 1, "child": 2, "empty": 2, "other": 2, "grandchild": 1, "parent": 3}
	source := w.open(t, project("parent"))
	if !source.Nested || source.AtMost <= SmallSource {
		t.Errorf("opened %+v", source)
	}
	for _, limit := range []int{1, 2, 3, 5, 100} {
		if diff := cmp.Diff(want, w.names(t, w.readAll(t, source, 0, limit, nil))); diff != "" {
			t.Errorf("in chunks of %d (-want +got):\n%s", limit, diff)
		}
	}
	source = w.open(t, project("other"))
	if source.Nested || source.AtMost != 3 {
		t.Errorf("opened %+v", source)
	}
}

// Many objects that nobody is subscribed to don't end a fan-out early.
func TestObjectsWithoutSubscribersArePassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil)); err != nil {
		t.Fatal(err)
	}
	var last string
	for range 3 {
		var parties []Party
		for range MaxSubscribers {
			last = fmt.Sprintf("o%d", len(last)*1000+len(parties))
			parties = append(parties, Party{Identify: &Identity{RecipientRef: project(last)}})
		}
		last += "x"
		if _, err := w.Subscribe(t.Context(), w.production, project("parent"), parties, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.subscribe(t, "last", nil, "ann")
	w.subscribe(t, "parent", nil, "projects:last")
	for _, limit := range []int{1, 7, 500} {
		if got := w.names(t, w.readAll(t, w.open(t, project("parent")), 0, limit, nil)); got["ann"] != 1 {
			t.Errorf("in chunks of %d: %v", limit, got)
		}
	}
}

// However many subscribers the next objects have, only as many are read as asked for.
func TestOnlySoManySubscribersAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var people []string
	for i := range 6 {
		people = append(people, fmt.Sprint("u", i))
		if _, err := w.identify(t.Context(), w.production, user(people[i], nil)); err != nil {
			t.Fatal(err)
		}
	}
	var children []belfry.RecipientID
	for i := range 5 {
		child := fmt.Sprint("c", i)
		if _, err := w.identify(t.Context(), w.production, Identity{RecipientRef: project(child)}); err != nil {
			t.Fatal(err)
		}
		if children = append(children, w.id(t, project(child))); i > 0 {
			w.subscribe(t, child, nil, people...)
		}
	}
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		found, err := subscribersOfChildren(t.Context(), tx, children, 0, 1_000_000, 8)
		if len(found) != 8 || found[7].Object != children[2] {
			t.Errorf("found %+v", found)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Who subscribes when a source has been opened isn't in it; who unsubscribes before their turn isn't, either.
func TestSubscribersComeAndGoWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var identities []Identity
	for i := range 6 {
		identities = append(identities, user(fmt.Sprint("u", i), nil))
	}
	if _, err := w.identify(t.Context(), w.production, identities...); err != nil {
		t.Fatal(err)
	}
	w.subscribe(t, "1", nil, "u0", "u1", "u2", "u3", "u4")
	source := w.open(t, project("1"))
	found := w.readAll(t, source, 0, 2, func(chunk int) {
		if chunk != 0 {
			return
		}
		w.subscribe(t, "1", map[string]any{"late": true}, "u5", "u3") // u3 keeps their place
		refs := []belfry.RecipientRef{belfry.User("u0"), belfry.User("u2"), belfry.User("u4")}
		if _, err := w.Unsubscribe(t.Context(), w.production, project("1"), refs); err != nil {
			t.Fatal(err)
		}
		w.subscribe(t, "1", nil, "u4") // who comes back is new
	})
	if diff := cmp.Diff([]string{"u0", "u1", "u3"}, slices.Sorted(maps.Keys(w.names(t, found)))); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if found[2].Properties["late"] != true {
		t.Errorf("u3 has the properties %v", found[2].Properties)
	}
}

// Two calls that name the same recipients in another order both succeed.
func TestSubscribingAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var parties, reversed []Party
	for i := range 50 {
		identity := user(fmt.Sprint("u", i), nil)
		parties = append(parties, Party{Identify: &identity})
	}
	reversed = append(reversed, parties...)
	slices.Reverse(reversed)
	errs := make(chan error)
	for i := range 8 {
		go func() {
			list := parties
			if i%2 == 0 {
				list = reversed
			}
			_, err := w.Subscribe(context.WithoutCancel(t.Context()), w.production, project(fmt.Sprint(i%3)), list, nil)
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
