package recipient

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

type sets = map[string]map[string]any

// preferring identifies somebody with sets.
func (w *world) preferring(t *testing.T, id string, of sets) {
	t.Helper()
	who := user(id, nil)
	who.Preferences = of
	if _, err := w.identify(t.Context(), w.production, who); err != nil {
		t.Fatal(err)
	}
}

// What the one who stays says stands, and what only the other one says isn't lost.
func TestMergedUsersKeepWhatEitherWants(t *testing.T) {
	t.Parallel()
	digest := func(on bool) map[string]any { return map[string]any{"categories": map[string]any{"digest": on}} }
	news := map[string]any{"categories": map[string]any{"news": false}}
	for name, row := range map[string]struct {
		into, from sets
		tenant     bool // the tenant acme has a default
		want       sets
	}{
		"an opt-out of the other": {
			into: sets{"default": digest(true)}, from: sets{"default": {"commercialSubscribed": false}},
			want: sets{"default": {"commercialSubscribed": false, "categories": map[string]any{"digest": true}}},
		},
		"both say something": {
			into: sets{"default": digest(false), "acme": digest(true)}, from: sets{"default": digest(true), "acme": digest(false)},
			want: sets{"default": digest(false), "acme": digest(true)},
		},
		"a set for a tenant for which the default counted": {
			into: sets{"default": {"commercialSubscribed": true, "categories": map[string]any{"digest": false}}}, from: sets{"acme": news},
			want: sets{"default": {"commercialSubscribed": true, "categories": map[string]any{"digest": false}},
				"acme": {"categories": map[string]any{"digest": false, "news": false}}},
		},
		"a tenant whose default counted": {
			into: sets{"default": digest(true)}, from: sets{"acme": digest(false)}, tenant: true,
			want: sets{"default": digest(true), "acme": digest(false)},
		},
		"the other one's default counted for the tenant": {
			into: sets{"acme": news}, from: sets{"default": digest(false)},
			want: sets{"default": digest(false), "acme": {"categories": map[string]any{"digest": false, "news": false}}},
		},
		"nothing": {into: sets{"default": digest(true), "acme": digest(false)}, want: sets{"default": digest(true), "acme": digest(false)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if _, err := w.identify(t.Context(), w.production, Identity{RecipientRef: tenant("acme")}); err != nil {
				t.Fatal(err)
			}
			if row.tenant {
				if _, err := w.SetDefaults(t.Context(), w.production, "acme", &PreferenceSet{content: map[string]any{"channelTypes": map[string]any{"sms": false}}}, belfry.ReplacePreferences, "input"); err != nil {
					t.Fatal(err)
				}
			}
			w.preferring(t, "ann", row.into)
			w.preferring(t, "ann@work", row.from)
			if _, err := w.MergeUsers(t.Context(), w.production, "ann", "ann@work"); err != nil {
				t.Fatal(err)
			}
			found, err := w.PreferenceSetsOf(t.Context(), w.production, belfry.User("ann"), "acme")
			if err != nil {
				t.Fatal(err)
			}
			got := sets{}
			for name, set := range map[string]*PreferenceSet{"default": found.Recipient, "acme": found.RecipientTenant} {
				if set != nil {
					got[name] = set.Map()
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("sets (-want +got):\n%s", diff)
			}
		})
	}
}

// More sets than are in memory at once are merged, each of them.
func TestManySetsAreMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.preferring(t, "ann", nil)
	w.preferring(t, "ann@work", nil)
	const n = 2*mergeTogether + 1
	if _, err := w.pool.Exec(t.Context(), `INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at)
		SELECT $1, 't' || i, $2, '{"categories":{"news":false}}', 'epoch' FROM generate_series(1, $3::int) i`, w.id(t, belfry.User("ann@work")), w.production, n); err != nil {
		t.Fatal(err)
	}
	if _, err := w.MergeUsers(t.Context(), w.production, "ann", "ann@work"); err != nil {
		t.Fatal(err)
	}
	if got := w.count(t, `SELECT count(*) FROM preference_sets WHERE recipient_id = $1 AND preferences ->> 'categories' LIKE '%news%'`, w.id(t, belfry.User("ann"))); got != n {
		t.Errorf("%d sets, want %d", got, n)
	}
}

// A set of both has the limits of one.
func TestMergedSetsHaveTheLimitsOfOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	categories := func(prefix string, n, length int) sets {
		names := map[string]any{}
		for i := range n {
			names[fmt.Sprintf("%s%03d", prefix, i)+strings.Repeat("x", length)] = false
		}
		return sets{"default": {"categories": names}}
	}
	for who, of := range map[string]sets{
		"full": categories("a", MaxPreferenceEntries, 0), "same": categories("a", MaxPreferenceEntries, 0), "one": categories("b", 1, 0),
		"large": categories("c", 100, 200), "larger": categories("d", 100, 200),
	} {
		w.preferring(t, who, of)
	}
	_, err := w.MergeUsers(t.Context(), w.production, "full", "one")
	wantError(t, err, belfry.TooLarge, "input.from", MaxPreferenceEntries)
	_, err = w.MergeUsers(t.Context(), w.production, "large", "larger")
	wantError(t, err, belfry.TooLarge, "input.from", MaxPreferencesSize)
	if _, err := w.MergeUsers(t.Context(), w.production, "full", "same"); err != nil {
		t.Error(err)
	}
}
