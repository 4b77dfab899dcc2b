package recipient

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
)

func TestReasonsAreStoredInFewWords(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 5, 5, 7, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		reasons PreferenceReasons
		stored  string
		old     string // form that rows of before have
	}{
		"plain": {
			PreferenceReasons{{Rule: belfry.ChannelRule, Level: belfry.RecipientTenantLevel, Node: "channelTypes.in_app", Allows: true}, {Rule: belfry.CategoryRule, Level: belfry.EnvironmentLevel, Node: "categories.big news"}},
			`["+P channelTypes.in_app","-E categories.big news"]`,
			`[{"rule": "CHANNEL", "level": "RECIPIENT_TENANT", "node": "channelTypes.in_app", "allows": true}, {"rule": "CATEGORY", "level": "ENVIRONMENT", "node": "categories.big news"}]`},
		"of the workflow": {
			PreferenceReasons{{Rule: belfry.OverrideRule, Allows: true}},
			`["+ OVERRIDE "]`, `[{"rule": "OVERRIDE", "allows": true}]`},
		"of a rule that the node doesn't tell": {
			PreferenceReasons{{Rule: belfry.CommercialRule, Level: belfry.TenantLevel, Node: "commercialSubscribed"}, {Rule: belfry.MuteRule, Level: belfry.RecipientLevel, Node: "workflows.w"}},
			`["-T COMMERCIAL commercialSubscribed","-R MUTE workflows.w"]`,
			`[{"rule": "COMMERCIAL", "level": "TENANT", "node": "commercialSubscribed"}, {"rule": "MUTE", "level": "RECIPIENT", "node": "workflows.w"}]`},
		"with more to it": {
			PreferenceReasons{{Rule: belfry.MuteRule, Level: belfry.RecipientLevel, Node: "mutes.workflows.w", Until: &until},
				{Rule: belfry.WorkflowRule, Level: belfry.TenantLevel, Node: "workflows.w", Detail: "no", Conditions: []condition.Evaluated{{Source: "a"}}}},
			`[{"rule":"MUTE","level":"RECIPIENT","node":"mutes.workflows.w","until":"2026-05-05T07:00:00Z"},{"rule":"WORKFLOW","level":"TENANT","node":"workflows.w","detail":"no","conditions":[{"source":"a","holds":false,"evaluated":false}]}]`,
			""},
	} {
		b, err := json.Marshal(c.reasons)
		if err != nil || string(b) != c.stored {
			t.Errorf("%s: stored %s, %v, want %s", name, b, err, c.stored)
		}
		for _, text := range []string{c.stored, c.old} {
			var read PreferenceReasons
			if text == "" {
				continue
			}
			if err := json.Unmarshal([]byte(text), &read); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(c.reasons, read); diff != "" {
				t.Errorf("%s, of %s (-want +got):\n%s", name, text, diff)
			}
		}
	}
	for _, bad := range []string{`["R channels.x"]`, `["+R"]`, `["+R x"]`, `["+X channels.x"]`, `[""]`, `[1]`, `{}`} {
		if err := json.Unmarshal([]byte(bad), new(PreferenceReasons)); err == nil {
			t.Errorf("%s is read as reasons", bad)
		}
	}
}

// Whatever was decided is read as it was stored.
func TestStoredReasonsAreTheReasons(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{T: t, channels: true}
		want := Decide(d.sets(), d.question()).Because
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got PreferenceReasons
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(got) // numbers that a condition saw are float64 now
		if err != nil || string(again) != string(b) {
			t.Fatalf("stored %s, read and stored again %s, %v", b, again, err)
		}
	})
}

// A standing decision is the same at any time, about anything, and for anybody with the same sets.
func TestAStandingDecisionStands(t *testing.T) {
	t.Parallel()
	stands := 0
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{T: t, channels: true}
		sets, q := d.sets(), d.question()
		if set := sets.Environment; set != nil && d.chance() {
			hours, err := ParsePreferences(map[string]any{"quietHours": map[string]any{"hours": []any{map[string]any{"from": "13:00", "until": "14:00"}}}}, belfry.EnvironmentLevel, "set")
			if err != nil {
				t.Fatal(err)
			}
			sets.Environment = set.Merge(hours)
		}
		first := Decide(sets, q)
		if !first.Standing {
			return
		}
		stands++
		q.Now = q.Now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "hours")) * time.Hour)
		q.Zone = time.FixedZone("", rapid.IntRange(-5, 5).Draw(t, "zone")*3600)
		q.Objects = []belfry.RecipientRef{{Collection: "projects", ExternalID: "p1"}}
		n := rapid.IntRange(0, 3).Draw(t, "n")
		q.Scope = func() map[string]any { return map[string]any{"data": map[string]any{"n": n}} }
		if diff := cmp.Diff(first, Decide(sets, q)); diff != "" {
			t.Fatalf("it became another one (-before +after):\n%s", diff)
		}
	})
	if stands == 0 {
		t.Error("no decision stands")
	}
}
