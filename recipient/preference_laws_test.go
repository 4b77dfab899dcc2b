package recipient

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

// What sets and messages are drawn from: little, so that they have much to do with each other.
var (
	someTypes      = []string{"email", "sms"}
	someChannels   = []string{"mail", "texts"}
	someWorkflows  = []string{"order", "comment"}
	someCategories = []string{"a", "b"}
)

type drawn struct {
	*rapid.T
	level    belfry.PreferenceLevel
	channels bool // are among what is drawn
	nulls    bool
}

func (d drawn) one(of []string) string { return rapid.SampledFrom(of).Draw(d.T, "one") }

func (d drawn) chance() bool { return rapid.Bool().Draw(d.T, "chance") }

func (d drawn) setting() any {
	choices := []any{true, false, map[string]any{"condition": "true"}, map[string]any{"condition": "data.n > 1"}}
	if d.nulls {
		choices = append(choices, nil)
	}
	return rapid.SampledFrom(choices).Draw(d.T, "setting")
}

func (d drawn) settings(of []string) map[string]any {
	m := map[string]any{}
	for _, key := range of {
		if d.chance() {
			m[key] = d.setting()
		}
	}
	return m
}

func (d drawn) entry() any {
	switch rapid.IntRange(0, 4).Draw(d.T, "entry") {
	case 0:
		return true
	case 1:
		return false
	case 2:
		if d.nulls {
			return nil
		}
	}
	m := map[string]any{"channelTypes": d.settings(someTypes)}
	if d.channels {
		m["channels"] = d.settings(someChannels)
	}
	if d.chance() {
		m["otherwise"] = d.chance()
	}
	if d.chance() {
		m["condition"] = d.one([]string{"true", "false", "data.n > 1"})
	}
	if d.level == belfry.TenantLevel && d.chance() {
		m["strategy"] = d.one([]string{"REPLACE", "MERGE"})
	}
	return m
}

func (d drawn) entries(of []string) map[string]any {
	m := map[string]any{}
	for _, key := range of {
		if d.chance() {
			m[key] = d.entry()
		}
	}
	return m
}

// set draws a set; nil is none.
func (d drawn) set() *PreferenceSet {
	if rapid.IntRange(0, 3).Draw(d.T, "none") == 0 {
		return nil
	}
	m := map[string]any{"channelTypes": d.settings(someTypes), "workflows": d.entries(someWorkflows), "categories": d.entries(someCategories)}
	if d.channels {
		m["channels"] = d.settings(someChannels)
	}
	if d.level != belfry.RecipientTenantLevel && d.chance() {
		m["commercialSubscribed"] = d.setting()
	}
	if d.level == belfry.TenantLevel && d.chance() {
		m["channelTypes"].(map[string]any)["strategy"] = "REPLACE"
	}
	if channels, ok := m["channels"].(map[string]any); ok && d.level == belfry.TenantLevel && d.chance() {
		channels["strategy"] = "REPLACE"
	}
	if (d.level == belfry.RecipientLevel || d.level == belfry.RecipientTenantLevel) && d.chance() {
		m["mutes"] = map[string]any{"workflows": map[string]any{d.one(someWorkflows): d.one([]string{"2026-05-04T11:00:00Z", "2026-05-04T13:00:00Z"})}}
	}
	set, err := ParsePreferences(m, d.level, "set")
	if err != nil {
		d.Fatal(err)
	}
	return set
}

func (d drawn) sets() PreferenceSets {
	at := func(l belfry.PreferenceLevel) *PreferenceSet { d.level = l; return d.set() }
	return PreferenceSets{at(belfry.RecipientLevel), at(belfry.RecipientTenantLevel), at(belfry.TenantLevel), at(belfry.EnvironmentLevel)}
}

func (d drawn) question() PreferenceQuestion {
	i := rapid.IntRange(0, 1).Draw(d.T, "channel")
	n := rapid.IntRange(0, 3).Draw(d.T, "n")
	return PreferenceQuestion{Workflow: d.one(someWorkflows), Categories: someCategories[:rapid.IntRange(0, 2).Draw(d.T, "categories")], Commercial: d.chance(),
		Override: rapid.IntRange(0, 9).Draw(d.T, "override") == 0, Channel: someChannels[i], ChannelType: belfry.ChannelType(someTypes[i]),
		Now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), Scope: func() map[string]any { return map[string]any{"data": map[string]any{"n": n}} }}
}

// denial draws a change that says no to something.
func (d drawn) denial() map[string]any {
	no := any(false)
	if d.chance() {
		no = map[string]any{"condition": "false"}
	}
	section, name := "workflows", d.one(someWorkflows)
	if d.chance() {
		section, name = "categories", d.one(someCategories)
	}
	settings := map[string]any{"channelTypes": map[string]any{d.one(someTypes): no}}
	if d.chance() {
		settings = map[string]any{"channels": map[string]any{d.one(someChannels): no}}
	}
	switch rapid.IntRange(0, 4).Draw(d.T, "denial") {
	case 0:
		return settings
	case 1:
		return map[string]any{section: map[string]any{name: no}}
	case 2:
		return map[string]any{section: map[string]any{name: settings}}
	case 3:
		if d.level == belfry.RecipientLevel || d.level == belfry.RecipientTenantLevel {
			return map[string]any{"mutes": map[string]any{section: map[string]any{name: true}}}
		}
	}
	if d.level == belfry.RecipientTenantLevel {
		return settings
	}
	return map[string]any{"commercialSubscribed": no}
}

func TestAddingADenialNeverAllows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{T: t, channels: true}
		sets, q := d.sets(), d.question()
		before := Decide(sets, q)
		at := rapid.SampledFrom([]**PreferenceSet{&sets.Recipient, &sets.RecipientTenant, &sets.Tenant, &sets.Environment}).Draw(t, "at")
		for l, set := range map[belfry.PreferenceLevel]**PreferenceSet{belfry.RecipientLevel: &sets.Recipient, belfry.RecipientTenantLevel: &sets.RecipientTenant,
			belfry.TenantLevel: &sets.Tenant, belfry.EnvironmentLevel: &sets.Environment} {
			if set == at {
				d.level = l
			}
		}
		if *at == nil {
			t.Skip("there is no such set")
		}
		no, err := ParsePreferences(d.denial(), d.level, "no")
		if err != nil {
			t.Fatal(err)
		}
		*at = (*at).Merge(no)
		if after := Decide(sets, q); after.Allowed && !before.Allowed {
			t.Fatalf("%v lets it out that was denied because %+v; now %+v", no.Map(), before.Because, after.Because)
		}
	})
}

func TestWhatTheMessageIsNotAboutChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{T: t, channels: true, level: belfry.RecipientLevel}
		sets, q := d.sets(), d.question()
		before := Decide(sets, q)
		others, err := ParsePreferences(map[string]any{
			"workflows": map[string]any{"unknown": d.entry()}, "categories": map[string]any{"__proto__": d.entry(), "constructor": false},
			"channels": map[string]any{"unknown": d.setting()}, "channelTypes": map[string]any{"push": d.setting()},
			"mutes":      map[string]any{"objects": map[string]any{"projects/p1": true}},
			"quietHours": map[string]any{"hours": []any{map[string]any{"from": "00:00", "until": "23:00"}}},
		}, belfry.RecipientLevel, "others")
		if err != nil {
			t.Fatal(err)
		}
		if sets.Recipient == nil {
			sets.Recipient = &PreferenceSet{}
		}
		sets.Recipient = sets.Recipient.Merge(others)
		after := Decide(sets, q)
		after.Because = slices.DeleteFunc(after.Because, func(r PreferenceReason) bool { return r.Rule == belfry.QuietHoursRule })
		if after.Allowed != before.Allowed || len(after.Because) != len(before.Because) {
			t.Fatalf("was %+v, is %+v", before, after)
		}
	})
}

func TestLawsOfMerging(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{T: t, channels: true, level: belfry.TenantLevel, nulls: true}
		a, b := d.set(), d.set()
		once := a.Merge(b)
		if diff := cmp.Diff(once.Map(), once.Merge(b).Map()); diff != "" {
			t.Fatalf("merged again it changes: %s", diff)
		}
		d.nulls = false
		a, b = (&PreferenceSet{}).Merge(d.set()), (&PreferenceSet{}).Merge(d.set())
		c := (&PreferenceSet{}).Merge(d.set())
		if diff := cmp.Diff(a.Merge(b).Merge(c).Map(), a.Merge(b.Merge(c)).Map()); diff != "" {
			t.Fatalf("%v, %v, %v: not associative: %s", a.Map(), b.Map(), c.Map(), diff)
		}
		if diff := cmp.Diff(a.Map(), a.Merge(a).Map()); diff != "" {
			t.Fatalf("with itself it changes: %s", diff)
		}
		before := maps.Clone(a.Map())
		a.Merge(b)
		if diff := cmp.Diff(before, a.Map()); diff != "" {
			t.Fatalf("it was written to: %s", diff)
		}
	})
}

// A read that is resolved decides as the levels do, but where it can't: it doesn't know of which type a channel is.
func TestResolvedSetsDecideTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{T: t, channels: true}
		sets, q := d.sets(), d.question()
		if typeHidesChannel(sets, &q) {
			t.Skip("a higher level's type beats a lower level's channel")
		}
		want, got := Decide(sets, q), Decide(PreferenceSets{Recipient: sets.Resolve()}, q)
		if got.Allowed != want.Allowed {
			t.Fatalf("the levels say %+v, resolved %v says %+v", want, sets.Resolve().Map(), got)
		}
	})
}

// typeHidesChannel reports whether a level names the message's type somewhere that a lower one names its channel.
func typeHidesChannel(sets PreferenceSets, q *PreferenceQuestion) bool {
	places := []func(*PreferenceSet) map[string]any{(*PreferenceSet).Map, func(s *PreferenceSet) map[string]any { return entryOf(s.section("workflows")[q.Workflow]) }}
	for _, name := range q.Categories {
		places = append(places, func(s *PreferenceSet) map[string]any { return entryOf(s.section("categories")[name]) })
	}
	for _, place := range places {
		hidden := false
		for _, l := range sets.chain() {
			if l.level == belfry.RecipientTenantLevel {
				l.set = l.set.without(sets.Tenant)
			}
			node := place(l.set)
			channels, _ := node["channels"].(map[string]any)
			types, _ := node["channelTypes"].(map[string]any)
			if _, named := channels[q.Channel]; named {
				if hidden {
					return true
				}
				break // it is above any type
			}
			if _, named := types[string(q.ChannelType)]; named {
				hidden = true
			}
		}
	}
	return false
}
