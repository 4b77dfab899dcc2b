package recipient

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestMergingUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	both := []Identity{
		user("ann", map[string]any{"name": "Ann", "address": map[string]any{"city": "Bern"}, "tags": []any{"a"}}),
		user("ann@work", map[string]any{"name": "A.", "email": "ann@example.com", "address": map[string]any{"city": "Rome", "zip": "00100"}, "tags": []any{"b"}}),
	}
	ids, err := w.identify(t.Context(), w.production, both...)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ into, from, field string }{
		{"nobody", "ann", "input.into"}, {"ann", "nobody", "input.from"}, {"ann", "ann", "input.from"}, {"ann", "a/b", "input.from"},
	} {
		if _, err := w.MergeUsers(t.Context(), w.production, row.into, row.from); err == nil || !isAt(err, row.field) {
			t.Errorf("merge %s into %s: %v, want an error at %s", row.from, row.into, err, row.field)
		}
	}
	got, err := w.MergeUsers(t.Context(), w.production, "ann", "ann@work")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "Ann", "email": "ann@example.com", "address": map[string]any{"city": "Bern", "zip": "00100"}, "tags": []any{"a"}}
	if diff := cmp.Diff(want, got.Properties); diff != "" || got.ID != ids[belfry.User("ann")] {
		t.Errorf("merged %d (-want +got):\n%s", got.ID, diff)
	}
	if id, err := w.UserID(t.Context(), w.production, "ann@work"); id != 0 || err != nil {
		t.Errorf("the other is still %d, %v", id, err)
	}
}

func isAt(err error, field string) bool {
	e, ok := errors.AsType[*belfry.Error](err)
	return ok && e.Field == field
}

// Who is merged stays subscribed, and a member, as the one who stays; what that one has itself counts.
func TestMergedUsersStaySubscribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("ann@work", nil), Identity{RecipientRef: project("p")}, Identity{RecipientRef: project("q")}); err != nil {
		t.Fatal(err)
	}
	w.subscribe(t, "p", map[string]any{"role": "owner"}, "ann")
	w.subscribe(t, "p", map[string]any{"role": "reader"}, "ann@work")
	w.subscribe(t, "q", map[string]any{"role": "reader"}, "ann@work")
	w.audience(t, Audience{Key: "vips"})
	for _, tenant := range []string{"", "acme"} {
		if _, err := w.AddMembers(t.Context(), w.production, "vips", named("ann@work"), tenant); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.MergeUsers(t.Context(), w.production, "ann", "ann@work"); err != nil {
		t.Fatal(err)
	}
	for object, role := range map[string]string{"p": "owner", "q": "reader"} {
		found := w.readAll(t, w.open(t, project(object)), 0, 10, nil)
		if len(found) != 1 || found[0].Properties["role"] != role || w.names(t, found)["ann"] != 1 {
			t.Errorf("subscribed to %s: %+v", object, found)
		}
	}
	if n := w.count(t, `SELECT count(*) FROM audience_members WHERE recipient_id = $1`, w.id(t, belfry.User("ann"))); n != 2 {
		t.Errorf("member %d times, want 2", n)
	}
}

// Together they may have no more than one may.
func TestMergedUsersHaveTheLimitsOfOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("ann@work", nil)); err != nil {
		t.Fatal(err)
	}
	fill := func(who string, channels, sets int) {
		t.Helper()
		id := w.id(t, belfry.User(who))
		if _, err := w.pool.Exec(t.Context(), `INSERT INTO channel_data (recipient_id, channel, environment_id, channel_type, destinations, data, updated_at)
			SELECT $1, $3 || i, $2, 'push', 1, '{}', 'epoch' FROM generate_series(1, $4::int) i`, id, w.production, who, channels); err != nil {
			t.Fatal(err)
		}
		if _, err := w.pool.Exec(t.Context(), `INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at)
			SELECT $1, $3 || i, $2, '{}', 'epoch' FROM generate_series(1, $4::int) i`, id, w.production, who, sets); err != nil {
			t.Fatal(err)
		}
	}
	fill("ann", MaxChannels, MaxPreferenceSets)
	fill("ann@work", 1, 0)
	_, err := w.MergeUsers(t.Context(), w.production, "ann", "ann@work")
	wantError(t, err, belfry.TooLarge, "input.from", MaxChannels)
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM channel_data WHERE recipient_id = $1`, w.id(t, belfry.User("ann@work"))); err != nil {
		t.Fatal(err)
	}
	fill("ann@work", 0, 1)
	_, err = w.MergeUsers(t.Context(), w.production, "ann", "ann@work")
	wantError(t, err, belfry.TooLarge, "input.from", MaxPreferenceSets)
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM preference_sets WHERE recipient_id = $1`, w.id(t, belfry.User("ann@work"))); err != nil {
		t.Fatal(err)
	}
	if _, err = w.MergeUsers(t.Context(), w.production, "ann", "ann@work"); err != nil {
		t.Error(err)
	}
}

// What others keep is given to the one who stays, in parts, before the rest is forgotten; nobody else waits for it.
func TestMergedUsersHandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, err := w.identify(t.Context(), w.production, user("ann", nil), user("ann@work", nil), user("bob", nil))
	if err != nil {
		t.Fatal(err)
	}
	ann, work, bob := ids[belfry.User("ann")], ids[belfry.User("ann@work")], ids[belfry.User("bob")]
	names := map[belfry.RecipientID]string{ann: "ann", work: "ann@work", bob: "bob"}
	var did []string
	left, wait := 2, true
	w.HandOver = []HandOver{func(_ context.Context, _ *postgres.Tx, m belfry.Merge) (time.Time, error) {
		did = append(did, fmt.Sprint(names[m.From], " gives ", names[m.Into], " = ", m.User, ", ", left))
		if age := w.now().Sub(m.Since); m.Environment != w.production || age < belfry.MergedHistory || age > belfry.MergedHistory+time.Minute {
			t.Errorf("asked for %+v", m)
		}
		if left--; left >= 0 {
			return w.now(), nil
		}
		if wait {
			wait = false
			return w.now().Add(time.Minute), nil
		}
		return time.Time{}, nil
	}}
	w.Forget = []Forget{func(_ context.Context, _ *postgres.Tx, _ belfry.EnvironmentID, ids []belfry.RecipientID) (bool, error) {
		for _, id := range ids {
			did = append(did, names[id]+" is forgotten")
		}
		return false, nil
	}}
	if _, err := w.MergeUsers(t.Context(), w.production, "ann", "ann@work"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("bob")}, ""); err != nil {
		t.Fatal(err)
	}
	w.forgotten(t)
	want := []string{"ann@work gives ann = ann, 2", "bob is forgotten", "ann@work gives ann = ann, 1", "ann@work gives ann = ann, 0"}
	if diff := cmp.Diff(want, did); diff != "" {
		t.Errorf("until it waits (-want +got):\n%s", diff)
	}
	passes := func(after time.Duration) []string {
		t.Helper()
		did = nil
		later := New(w.pool, func() time.Time { return w.now().Add(after) })
		later.HandOver, later.Forget = w.HandOver, w.Forget
		for more := true; more; {
			if more, err = later.forgetSome(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return did
	}
	if diff := cmp.Diff([]string{"ann@work gives ann = ann, -1"}, passes(2*time.Minute)); diff != "" {
		t.Errorf("when it has waited (-want +got):\n%s", diff)
	}
	left = 1 // written by somebody who still saw ann@work
	if diff := cmp.Diff([]string{"bob is forgotten", "ann@work gives ann = ann, 1", "ann@work gives ann = ann, 0", "ann@work is forgotten"}, passes(time.Hour)); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
	if n := w.count(t, `SELECT count(*) FROM forgotten`); n != 0 {
		t.Errorf("%d are still to be forgotten", n)
	}
}

// Whoever takes over may be merged into another one, or deleted, before all is given.
func TestMergesFollowEachOther(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		then func(w *world) error
		want []string
	}{
		"merged": {func(w *world) error {
			_, err := w.MergeUsers(context.Background(), w.production, "c", "b")
			return err
		}, []string{"1 gives c", "2 gives c"}},
		"deleted": {func(w *world) error {
			_, err := w.Delete(context.Background(), w.production, []belfry.RecipientRef{belfry.User("b")}, "")
			return err
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, id := range []string{"a", "b", "c"} { // 1, 2, 3
				if _, err := w.identify(t.Context(), w.production, user(id, nil)); err != nil {
					t.Fatal(err)
				}
			}
			var did []string
			w.HandOver = []HandOver{func(_ context.Context, _ *postgres.Tx, m belfry.Merge) (time.Time, error) {
				did = append(did, fmt.Sprint(m.From, " gives ", m.User))
				return time.Time{}, nil
			}}
			if _, err := w.MergeUsers(t.Context(), w.production, "b", "a"); err != nil {
				t.Fatal(err)
			}
			if err := row.then(w); err != nil {
				t.Fatal(err)
			}
			w.forgotten(t)
			if diff := cmp.Diff(row.want, did); diff != "" {
				t.Errorf("given (-want +got):\n%s", diff)
			}
		})
	}
}

// A tenant takes along what people preferred in its name. What they say to a later one of the same id stays.
func TestDeletedTenantsTakePreferencesAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"}
	sets := func(id string) Identity {
		i := user(id, nil)
		muted := map[string]any{"categories": map[string]any{"news": false}}
		i.Preferences = map[string]map[string]any{"default": muted, "acme": muted, "other": muted}
		return i
	}
	for _, env := range []belfry.EnvironmentID{w.production, w.staging} {
		tenants := []Identity{{RecipientRef: acme}, {RecipientRef: belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "default"}}, {RecipientRef: belfry.RecipientRef{Collection: "teams", ExternalID: "other"}}}
		if _, err := w.identify(t.Context(), env, append(tenants, sets("ann"), sets("bob"))...); err != nil {
			t.Fatal(err)
		}
	}
	refs := []belfry.RecipientRef{acme, {Collection: belfry.Tenants, ExternalID: "default"}, {Collection: "teams", ExternalID: "other"}}
	if _, err := w.Delete(t.Context(), w.production, refs, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.identify(t.Context(), w.production, sets("bob")); err != nil { // to a new acme
		t.Fatal(err)
	}
	w.forgotten(t)
	rows, err := w.pool.Query(t.Context(), `SELECT CASE WHEN p.environment_id = $1 THEN 'production' ELSE 'staging' END || ' ' || external_id || ' ' || set
		FROM preference_sets p JOIN recipients r ON r.id = recipient_id ORDER BY 1`, w.production)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"production ann default", "production ann other", "production bob acme", "production bob default", "production bob other",
		"staging ann acme", "staging ann default", "staging ann other", "staging bob acme", "staging bob default", "staging bob other"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
}
