package recipient

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

// checkDigests sees that recipients' rows say of all sets, and of no others, what is in them. Every test ends with it.
func checkDigests(t *testing.T, pool *pgxpool.Pool) {
	rows, err := pool.Query(context.Background(), `SELECT r.id, coalesce(r.set_digests, ''), coalesce(p.set, ''), coalesce(p.preferences::text, '')
		FROM recipients r LEFT JOIN preference_sets p ON p.recipient_id = r.id`)
	if err != nil {
		return // the test has closed the pool
	}
	type row struct {
		ID               belfry.RecipientID
		Digests          []byte
		Set, Preferences string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Errorf("check digests: %v", err)
	}
	sets := map[belfry.RecipientID]int{}
	for _, r := range all {
		if r.Set == "" {
			continue
		}
		sets[r.ID]++
		if got, ok := setDigests(r.Digests).find(digestName(r.Set)); !ok || got != digestContent([]byte(r.Preferences)) {
			t.Errorf("the row of recipient %d doesn't say that %q is %s", r.ID, r.Set, r.Preferences)
		}
	}
	for _, r := range all {
		if len(r.Digests) != sets[r.ID]*setDigestSize {
			t.Errorf("the row of recipient %d has %d bytes of digests for %d sets", r.ID, len(r.Digests), sets[r.ID])
		}
	}
}

// What is loaded by digests is what is stored, whatever happened to it, and whatever this process knew before.
func TestDigestsLoadWhatIsStored(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	ids, err := w.identify(t.Context(), w.production, user("ann", nil), user("ben", nil), Identity{RecipientRef: belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	who, acme := []belfry.RecipientID{ids[belfry.User("ann")], ids[belfry.User("ben")]}, ids[belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"}]
	long := strings.Repeat("x", 3000) // beyond what is kept
	var owners []PreferenceOwner
	for _, id := range who {
		for _, tenant := range []struct {
			id   belfry.RecipientID
			name string
		}{{}, {acme, "acme"}, {-1, "unknown"}} {
			owners = append(owners, PreferenceOwner{w.production, id, tenant.id, tenant.name})
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		for range rapid.IntRange(1, 5).Draw(r, "changes") {
			id, set := rapid.SampledFrom(who).Draw(r, "who"), rapid.SampledFrom([]string{"default", "acme", "unknown", "other"}).Draw(r, "set")
			content := fmt.Sprintf(`{"categories": {%q: %v}}`, rapid.SampledFrom([]string{"a", "b", long}).Draw(r, "category"), rapid.Bool().Draw(r, "on"))
			sql := rapid.SampledFrom([]string{
				`INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at) VALUES ($1, $2, $3, $4, 'epoch')
					ON CONFLICT (recipient_id, set) DO UPDATE SET preferences = excluded.preferences`,
				`DELETE FROM preference_sets WHERE recipient_id = $1 AND set = $2 AND environment_id = $3 AND $4::json IS NOT NULL`,
				`UPDATE preference_sets SET preferences = $4 WHERE recipient_id >= $1 AND set >= $2 AND environment_id = $3`,
			}).Draw(r, "sql")
			if _, err := w.pool.Exec(t.Context(), sql, id, set, w.production, content); err != nil {
				r.Fatal(err)
			}
		}
		_, digests, err := LoadWithDigests(t.Context(), w.pool, []belfry.EnvironmentID{w.production}, who)
		if err != nil {
			r.Fatal(err)
		}
		got, err := LoadPreferences(t.Context(), w.pool, owners, digests)
		if err != nil {
			r.Fatal(err)
		}
		want, err := LoadPreferences(t.Context(), w.pool, owners, nil)
		if err != nil {
			r.Fatal(err)
		}
		for i := range want {
			if diff := cmp.Diff(want[i].said(), got[i].said()); diff != "" {
				r.Fatalf("of %+v (-stored +loaded):\n%s", owners[i], diff)
			}
		}
	})
}

// said is what is in each set; nil where there is none.
func (s PreferenceSets) said() (all [4]map[string]any) {
	for i, set := range []*PreferenceSet{s.Recipient, s.RecipientTenant, s.Tenant, s.Environment} {
		if set != nil {
			all[i] = set.Map()
		}
	}
	return all
}

// A set that is known isn't read: the text below the digest is another one here, and nobody sees it.
func TestKnownSetsAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	w.prefer(t, "default", `{"categories": {"known": false}}`, belfry.ReplacePreferences)
	sameSet(t, "read once", w.of(t, w.production, "").Recipient, `{"categories": {"known": false}}`)
	id := w.id(t, ann)
	_, digests, err := LoadWithDigests(t.Context(), w.pool, []belfry.EnvironmentID{w.production}, []belfry.RecipientID{id})
	if err != nil {
		t.Fatal(err)
	}
	w.prefer(t, "default", `{"categories": {"known": true}}`, belfry.ReplacePreferences)
	owner := PreferenceOwner{Environment: w.production, Recipient: id}
	sets, err := LoadPreferences(t.Context(), w.pool, []PreferenceOwner{owner}, digests)
	if err != nil {
		t.Fatal(err)
	}
	sameSet(t, "by the digest", sets[0].Recipient, `{"categories": {"known": false}}`)
	sameSet(t, "that is stored", w.of(t, w.production, "").Recipient, `{"categories": {"known": true}}`)
}

// Two who write sets of one recipient at the same time, without the lock that this package takes, leave the digests of both.
func TestDigestsOfConcurrentWritesAreThere(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	insert := `INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at) VALUES ($1, $2, $3, '{}', 'epoch')`
	first, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := w.id(t, ann)
	if _, err := first.Exec(t.Context(), insert, id, "a", w.production); err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		_, err := w.pool.Exec(context.WithoutCancel(t.Context()), insert, id, "b", w.production)
		second <- err
	}()
	w.untilSomebodyWaits(t)
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if n := w.count(t, `SELECT length(set_digests) FROM recipients WHERE id = $1`, id); n != 2*setDigestSize {
		t.Errorf("%d bytes of digests, want those of both", n)
	}
}
