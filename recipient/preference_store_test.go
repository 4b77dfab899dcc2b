package recipient

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

var ann = belfry.User("ann")

// prefer writes a set of ann's; an error ends the test.
func (w *world) prefer(t *testing.T, set, content string, strategy belfry.PreferenceStrategy) *PreferenceSet {
	t.Helper()
	got, err := w.tryPrefer(t, w.production, set, content, strategy)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w *world) tryPrefer(t *testing.T, env belfry.EnvironmentID, set, content string, strategy belfry.PreferenceStrategy) (*PreferenceSet, error) {
	t.Helper()
	news, err := ParsePreferences(decoded(t, content), LevelOf(set), "input")
	if err != nil {
		return nil, err
	}
	return w.SetPreferences(t.Context(), env, ann, set, news, strategy, false, "input")
}

func sameSet(t *testing.T, what string, got *PreferenceSet, want string) {
	t.Helper()
	if diff := cmp.Diff(decoded(t, want), got.Map()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func newWorldWithAnn(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil)); err != nil {
		t.Fatal(err)
	}
	return w
}

// of reads what counts for ann.
func (w *world) of(t *testing.T, env belfry.EnvironmentID, tenant string) PreferenceSets {
	t.Helper()
	sets, err := w.PreferenceSetsOf(t.Context(), env, ann, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

func TestSetsAreWrittenAndRead(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	w.prefer(t, "default", `{"channelTypes":{"email":false,"sms":null},"workflows":{"a":{"conditions":{"all":[{"variable":"data.n","operator":"equal_to","argument":9007199254740993}]}}}}`, belfry.ReplacePreferences)
	sameSet(t, "written", w.of(t, w.production, "").Recipient, `{"channelTypes":{"email":false},"workflows":{"a":{"conditions":{"all":[{"variable":"data.n","operator":"equal_to","argument":9007199254740993}]}}}}`)
	got := w.prefer(t, "default", `{"workflows":null,"channelTypes":{"sms":true}}`, belfry.MergePreferences)
	sameSet(t, "merged", got, `{"channelTypes":{"email":false,"sms":true}}`)
	got = w.prefer(t, "default", `{"channelTypes":{"sms":true}}`, belfry.ReplacePreferences)
	sameSet(t, "replaced", got, `{"channelTypes":{"sms":true}}`)

	w.prefer(t, "acme", `{"channelTypes":{"push":false}}`, belfry.ReplacePreferences)
	sets := w.of(t, w.production, "acme")
	sameSet(t, "of the tenant", sets.RecipientTenant, `{"channelTypes":{"push":false}}`)
	sameSet(t, "default, beside it", sets.Recipient, `{"channelTypes":{"sms":true}}`)
	if other := w.of(t, w.production, "other").RecipientTenant; other != nil {
		t.Errorf("of another tenant: %v", other.Map())
	}
	if elsewhere := w.of(t, w.staging, "acme"); elsewhere != (PreferenceSets{}) {
		t.Errorf("in another environment: %+v", elsewhere)
	}
	for range 2 {
		if _, err := w.DeletePreferences(t.Context(), w.production, ann, "acme"); err != nil {
			t.Fatal(err)
		}
	}
	if sets := w.of(t, w.production, "acme"); sets.RecipientTenant != nil || sets.Recipient == nil {
		t.Errorf("deleted: %+v", sets)
	}
}

func TestDefaultsAreWrittenAndRead(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	write := func(tenant, content string, strategy belfry.PreferenceStrategy) *PreferenceSet {
		t.Helper()
		news, err := ParsePreferences(decoded(t, content), defaultsLevel(tenant), "input")
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.SetDefaults(t.Context(), w.production, tenant, news, strategy, "input")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	write("", `{"categories":{"a":false}}`, belfry.MergePreferences)
	write("acme", `{"categories":{"a":{"strategy":"REPLACE","otherwise":true}}}`, belfry.MergePreferences)
	got := write("acme", `{"categories":{"a":false,"b":true}}`, belfry.MergePreferences)
	sameSet(t, "a strategy stays", got, `{"categories":{"a":{"strategy":"REPLACE","otherwise":false},"b":true}}`)
	got = write("acme", `{"categories":{"b":true}}`, belfry.ReplacePreferences)
	sameSet(t, "until it is replaced", got, `{"categories":{"b":true}}`)

	sets := w.of(t, w.production, "acme")
	sameSet(t, "of the tenant", sets.Tenant, `{"categories":{"b":true}}`)
	sameSet(t, "of the environment", sets.Environment, `{"categories":{"a":false}}`)
	for _, tenant := range []string{"", "acme"} {
		if other, err := w.Defaults(t.Context(), w.staging, tenant); err != nil || other != nil {
			t.Errorf("in another environment: %v, %v", other, err)
		}
		if there, err := w.DeleteDefaults(t.Context(), w.staging, tenant); err != nil || there {
			t.Errorf("deleted from another environment: %v, %v", there, err)
		}
		if there, err := w.DeleteDefaults(t.Context(), w.production, tenant); err != nil || !there {
			t.Errorf("deleted: %v, %v", there, err)
		}
	}
	if sets := w.of(t, w.production, "acme"); sets != (PreferenceSets{}) {
		t.Errorf("deleted: %+v", sets)
	}
}

func TestPreferencesOfWhoIsNotKnown(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	_, err := w.tryPrefer(t, w.staging, "default", `{}`, belfry.ReplacePreferences)
	wantError(t, err, belfry.NotFound, "", 0)
	if _, err := w.SetPreferences(t.Context(), w.staging, ann, "default", &PreferenceSet{}, belfry.ReplacePreferences, true, "input"); err != nil {
		t.Error(err)
	}
	if w.of(t, w.staging, "").Recipient == nil {
		t.Error("she isn't known by it")
	}
	if sets := w.of(t, w.production, "unknown"); sets.Tenant != nil {
		t.Errorf("of a tenant that nobody knows: %+v", sets)
	}
	if _, err := w.DeletePreferences(t.Context(), w.production, belfry.User("nobody"), "default"); belfry.CodeOf(err) != belfry.NotFound {
		t.Error(err)
	}
}

func TestIdentifyMergesPreferences(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	w.prefer(t, "default", `{"channelTypes":{"email":false}}`, belfry.ReplacePreferences)
	first, second := user("ann", nil), user("ann", nil)
	first.Preferences = map[string]map[string]any{"default": decoded(t, `{"channelTypes":{"sms":false}}`), "acme": decoded(t, `{"workflows":{"a":true}}`)}
	second.Preferences = map[string]map[string]any{"acme": decoded(t, `{"workflows":{"a":{"channelTypes":{"sms":false}}}}`)}
	if _, err := w.identify(t.Context(), w.production, first, second, user("bob", nil)); err != nil {
		t.Fatal(err)
	}
	sets := w.of(t, w.production, "acme")
	sameSet(t, "default", sets.Recipient, `{"channelTypes":{"email":false,"sms":false}}`)
	sameSet(t, "acme", sets.RecipientTenant, `{"workflows":{"a":{"otherwise":true,"channelTypes":{"sms":false}}}}`)

	bad := user("ann", nil)
	bad.Preferences = map[string]map[string]any{"acme": {"commercialSubscribed": true}}
	wantError(t, bad.Validate("input"), belfry.Invalid, "input.preferences.acme.commercialSubscribed", 0)
	bad.Preferences = map[string]map[string]any{"a/b": {}}
	wantError(t, bad.Validate("input"), belfry.Invalid, "input.preferences.set", 0)
	bad.Preferences = map[string]map[string]any{}
	for i := range MaxInlinePreferences + 1 {
		bad.Preferences[fmt.Sprint(i)] = nil
	}
	wantError(t, bad.Validate("input"), belfry.TooLarge, "input.preferences", MaxInlinePreferences)
	delete(bad.Preferences, "0")
	if err := bad.Validate("input"); err != nil {
		t.Error(err)
	}
}

// What fits alone may be too much together.
func TestMergedPreferencesHaveLimits(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	half := func(prefix string) string {
		var b strings.Builder
		for i := range MaxPreferenceEntries / 2 {
			fmt.Fprintf(&b, `,"%s%d":true`, prefix, i)
		}
		return `{"channels":{` + b.String()[1:] + `}}`
	}
	w.prefer(t, "default", half("a"), belfry.MergePreferences)
	w.prefer(t, "default", half("b"), belfry.MergePreferences)
	_, err := w.tryPrefer(t, w.production, "default", `{"channels":{"c":true}}`, belfry.MergePreferences)
	wantError(t, err, belfry.TooLarge, "input.channels", MaxPreferenceEntries)
	if n := len(w.of(t, w.production, "").Recipient.section("channels")); n != MaxPreferenceEntries {
		t.Errorf("%d keys: what was refused has changed something", n)
	}
}

func TestSetsAreLimitedInNumber(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	if _, err := w.pool.Exec(t.Context(), `INSERT INTO preference_sets SELECT id, 'tenant ' || n, environment_id, '{}', created_at
		FROM recipients, generate_series(1, $1::int) n`, MaxPreferenceSets-1); err != nil {
		t.Fatal(err)
	}
	w.prefer(t, "default", `{}`, belfry.MergePreferences)
	w.prefer(t, "tenant 1", `{}`, belfry.MergePreferences)
	_, err := w.tryPrefer(t, w.production, "another", `{}`, belfry.MergePreferences)
	wantError(t, err, belfry.TooLarge, "input", MaxPreferenceSets)
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM recipients`); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM preference_sets`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d sets are left of who is gone, %v", left, err)
	}
}

func TestConcurrentMergesAllTakeEffect(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	const callers, rounds = 6, 10
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for r := range rounds {
				if c%2 == 0 {
					identity := user("ann", nil)
					identity.Preferences = map[string]map[string]any{"default": {"workflows": map[string]any{fmt.Sprintf("w%d-%d", c, r): false}}}
					if _, err := w.IdentifyUser(t.Context(), w.production, identity); err != nil {
						t.Error(err)
					}
					continue
				}
				if _, err := w.tryPrefer(t, w.production, "default", fmt.Sprintf(`{"workflows":{"w%d-%d":false}}`, c, r), belfry.MergePreferences); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(w.of(t, w.production, "").Recipient.section("workflows")); n != callers*rounds {
		t.Errorf("%d workflows, want %d", n, callers*rounds)
	}
}

// A connection keeps a plan that it made when the tables were small.
func TestPreferencesAreReadByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for name, parameters := range map[string]int{"selectPreferences": 5, "selectPreferencesOf": 3, "upsertPreferences": 5, "deletePreferences": 3, "selectCrowded": 2,
		"selectDefaults": 2, "upsertDefaults": 4, "deleteDefaults": 2, "lockRecipient": 3} {
		for _, sql := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE " + name + " AS " + statements[name]} {
			if _, err := conn.Conn().PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
		}
		results, err := conn.Conn().PgConn().Exec(t.Context(), "EXPLAIN EXECUTE "+name+"(NULL"+strings.Repeat(", NULL", parameters-1)+")").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for _, row := range results[0].Rows {
			plan.Write(append(row[0], '\n'))
		}
		if strings.Contains(plan.String(), "Seq Scan") || name == "selectPreferences" && (!strings.Contains(plan.String(), "preference_sets_pkey") || !strings.Contains(plan.String(), "preference_defaults_pkey")) {
			t.Errorf("%s doesn't go by keys:\n%s", name, plan.String())
		}
	}
}

// Mutes that have ended say nothing: they are dropped when the set is next written, so that they don't gather.
func TestMutesThatHaveEndedAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorldWithAnn(t)
	w.prefer(t, "default", `{"mutes": {"workflows": {"soon": "2026-05-04T09:00:30Z", "later": "2026-05-05T09:00:00Z"},
		"objects": {"projects/p1": "2026-05-04T09:00:30Z"}, "categories": {"ever": true}}}`, belfry.ReplacePreferences)
	if n := len(w.of(t, w.production, "").Recipient.section(mutesKey)); n != 3 {
		t.Errorf("%d sections, want all three, for none has ended", n)
	}
	for range 30 {
		w.now()
	}
	got := w.prefer(t, "default", `{"categories": {"news": false}}`, belfry.MergePreferences)
	sameSet(t, "once some have ended", got, `{"categories": {"news": false}, "mutes": {"workflows": {"later": "2026-05-05T09:00:00Z"}, "categories": {"ever": true}}}`)
	got = w.prefer(t, "default", `{"mutes": {"workflows": {"past": "2026-05-04T08:00:00Z"}}}`, belfry.ReplacePreferences)
	sameSet(t, "one of the past", got, `{}`)
}
