package recipient

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

// opened opens Ana's link for a purpose, in the name of a tenant unless it is empty.
func (w *world) opened(t *testing.T, ana belfry.RecipientID, tenant string) *OpenedLink {
	t.Helper()
	l, err := w.OpenLink(t.Context(), w.link(t, w.production, Link{Recipient: ana, Purpose: ToPreferences}, tenant))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) store(t *testing.T, set string, content map[string]any) {
	t.Helper()
	parsed, err := ParsePreferences(content, LevelOf(set), "set")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.SetPreferences(t.Context(), w.production, belfry.User("ana"), set, parsed, belfry.ReplacePreferences, false, "set"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) wantSets(t *testing.T, tenant string, own, ofTenant map[string]any) {
	t.Helper()
	sets, err := w.PreferenceSetsOf(t.Context(), w.production, belfry.User("ana"), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]map[string]any{own, ofTenant}, []map[string]any{sets.Recipient.Map(), sets.RecipientTenant.Map()}); diff != "" {
		t.Errorf("default and tenant's set (-want +got):\n%s", diff)
	}
}

type content = map[string]any

func TestChoicesAreMerged(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	w.store(t, belfry.DefaultPreferences, content{"channelTypes": content{"sms": false}, "categories": content{"news": false}, "mutes": content{"categories": content{"digest": true}}})
	wishes := []PreferenceWish{
		{Rule: belfry.CommercialRule},
		{Rule: belfry.ChannelRule, ChannelType: belfry.Push},
		{Rule: belfry.ChannelRule, Key: "newsletter-mail"},
		{Rule: belfry.CategoryRule, Key: "news", ChannelType: belfry.Email, On: true},
		{Rule: belfry.WorkflowRule, Key: "comment"},
	}
	want := content{"channelTypes": content{"sms": false, "push": false}, "channels": content{"newsletter-mail": false}, "commercialSubscribed": false,
		"categories": content{"news": content{"otherwise": false, "channelTypes": content{"email": true}}}, "workflows": content{"comment": false},
		"mutes": content{"categories": content{"digest": true}}}
	for range 2 { // again changes nothing
		if err := w.Choose(t.Context(), w.opened(t, ana, ""), wishes); err != nil {
			t.Fatal(err)
		}
		w.wantSets(t, "", want, content{})
	}
}

// Advertising is about the person. Everything else is about the tenant's messages, and leaving one thing there brings nothing
// back that was off: as soon as there is a set for the tenant, the default one isn't asked any more.
func TestTheFirstChoiceForATenantBringsNothingBack(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	own := content{"channelTypes": content{"sms": false}, "workflows": content{"order": content{"condition": "data.total > 1"}}, "mutes": content{"workflows": content{"x": true}},
		"quietHours": content{"hours": []any{content{"from": "22:00", "until": "07:00"}}}}
	w.store(t, belfry.DefaultPreferences, own)
	if err := w.Choose(t.Context(), w.opened(t, ana, "acme"), []PreferenceWish{{Rule: belfry.CategoryRule, Key: "news"}, {Rule: belfry.CommercialRule}}); err != nil {
		t.Fatal(err)
	}
	own["commercialSubscribed"] = false
	w.wantSets(t, "acme", own, content{"channelTypes": content{"sms": false}, "workflows": content{"order": content{"condition": "data.total > 1"}}, "categories": content{"news": false}})

	// From then on they go separate ways.
	w.store(t, belfry.DefaultPreferences, content{})
	if err := w.Choose(t.Context(), w.opened(t, ana, "acme"), []PreferenceWish{{Rule: belfry.CategoryRule, Key: "news", On: true}}); err != nil {
		t.Fatal(err)
	}
	w.wantSets(t, "acme", content{}, content{"channelTypes": content{"sms": false}, "workflows": content{"order": content{"condition": "data.total > 1"}}, "categories": content{"news": true}})
}

// A tenant with a default of its own asks no default set, so nothing is copied.
func TestAChoiceForATenantWithADefault(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	w.store(t, belfry.DefaultPreferences, content{"channelTypes": content{"sms": false}})
	defaults, err := ParsePreferences(content{"categories": content{"news": false}}, belfry.TenantLevel, "set")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.SetDefaults(t.Context(), w.production, "acme", defaults, belfry.MergePreferences, "set"); err != nil {
		t.Fatal(err)
	}
	if err := w.Choose(t.Context(), w.opened(t, ana, "acme"), []PreferenceWish{{Rule: belfry.CategoryRule, Key: "news", ChannelType: belfry.Email, On: true}}); err != nil {
		t.Fatal(err)
	}
	w.wantSets(t, "acme", content{"channelTypes": content{"sms": false}}, content{"categories": content{"news": content{"channelTypes": content{"email": true}}}})
}

func TestChoicesAtTheSameTimeAllCount(t *testing.T) {
	t.Parallel()
	w, ana, _ := linked(t)
	l := w.opened(t, ana, "acme")
	want := content{}
	var wg sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		want[key] = false
		wg.Go(func() {
			if err := w.Choose(t.Context(), l, []PreferenceWish{{Rule: belfry.CategoryRule, Key: key}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.wantSets(t, "acme", content{}, content{"categories": want})
}

func TestRowsSayWhyTheyCanNotBeChanged(t *testing.T) {
	t.Parallel()
	set := func(level belfry.PreferenceLevel, said content) *PreferenceSet {
		parsed, err := ParsePreferences(said, level, "set")
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	sets := PreferenceSets{
		RecipientTenant: set(belfry.RecipientTenantLevel, content{"categories": content{"b": content{"condition": "data.x"}}}),
		Tenant:          set(belfry.TenantLevel, content{"categories": content{"c": content{"strategy": "REPLACE", "otherwise": true}}}),
	}
	workflows := []PreferenceWorkflow{
		{Key: "w", Name: "W", Categories: []string{"c", "b", "a"}, ChannelTypes: []belfry.ChannelType{belfry.Email}},
		{Key: "forced", Categories: []string{"d"}, Override: true, ChannelTypes: []belfry.ChannelType{belfry.SMS}},
		{Key: "ads", Categories: []string{"a"}, Commercial: true, ChannelTypes: []belfry.ChannelType{belfry.Push}},
	}
	var got []string
	for _, r := range sets.Rows(nil, workflows) {
		s := r.Label
		for _, c := range r.Toggles {
			if c.Used {
				s += " " + string(c.Type)
			}
		}
		for _, is := range []struct {
			name string
			is   bool
		}{{"on", r.On}, {"conditional", r.Conditional}, {"outranked", r.Outranked}} {
			if is.is {
				s += " " + is.name
			}
		}
		got = append(got, s)
	}
	want := []string{"All messages email push on", "a email push on", "b email on conditional", "c email on outranked", "Offers and news on"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
