package preference

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// field is the name of a row's checkboxes, and was that of what they were.
func field(rule, key string) string {
	return fieldOf(recipient.PreferenceTopic{Rule: map[string]belfry.PreferenceRule{"channel": belfry.ChannelRule, "category": belfry.CategoryRule,
		"workflow": belfry.WorkflowRule, "commercial": belfry.CommercialRule}[rule], Key: key})
}

func was(rule, key string) string { return wasPrefix + field(rule, key) }

func none(context.Context, belfry.EnvironmentID) ([]recipient.PreferenceWorkflow, error) {
	return nil, nil
}

// crowded has as many categories as a page has rows, with the longest names, and sends by everything.
func crowded(context.Context, belfry.EnvironmentID) (out []recipient.PreferenceWorkflow, err error) {
	for i := range recipient.MaxPreferenceRows {
		out = append(out, recipient.PreferenceWorkflow{Categories: []string{fmt.Sprintf("%s%04d", strings.Repeat("é", 250), i)}, Commercial: true, ChannelTypes: belfry.ChannelTypes})
	}
	return out, nil
}

func TestThePageShowsWhatHolds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	set, err := recipient.ParsePreferences(map[string]any{"channelTypes": map[string]any{"sms": false},
		"categories": map[string]any{"orders": map[string]any{"channelTypes": map[string]any{"email": map[string]any{"condition": "data.x"}}}}}, belfry.RecipientLevel, "set")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.people.SetPreferences(t.Context(), s.env, belfry.User("ana"), belfry.DefaultPreferences, set, belfry.MergePreferences, false, "set"); err != nil {
		t.Fatal(err)
	}
	w := s.get(s.path(recipient.ToPreferences, "", ""))
	s.shows(w, http.StatusOK,
		"<legend>All messages</legend>", `name="`+field("channel", "")+`" value="email" checked`, `name="`+field("channel", "")+`" value="sms">`, `name="`+was("channel", "")+`" value="email"`,
		"<legend>deals</legend>", "<legend>orders</legend>", "<b>Sometimes</b><span>Email <small>(a rule decides for each message)</small>",
		`name="`+field("category", "orders")+`" value="sms" checked`, "<legend>Offers and news</legend>", `name="`+field("commercial", "")+`" value="on" checked`)
	for _, not := range []string{`value="webhook"`, `value="push"`, `name="` + field("category", "orders") + `" value="email"`} {
		if strings.Contains(w.Body.String(), not) {
			t.Errorf("the page has %s", not)
		}
	}
}

// Advertising can be left even where nobody sends any yet: somebody may, tomorrow.
func TestAdvertisingIsAlwaysThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.handler.(*handler).Workflows = none
	s.shows(s.get(s.path(recipient.ToPreferences, "", "")), http.StatusOK, "<legend>Offers and news</legend>")
	s.post(s.path(recipient.ToPreferences, "", ""), url.Values{was("commercial", ""): {"on"}})
	s.wants(map[string]any{"commercialSubscribed": false})
}

// What the form changes is what its reader changed: what was chosen elsewhere since the page was opened stays.
func TestSavingChangesWhatWasChanged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := s.path(recipient.ToPreferences, "", "")
	s.post(s.path(recipient.LeaveCategory, "deals", ""), oneClick) // meanwhile
	w := s.post(path, url.Values{
		was("channel", ""): {"email,sms"}, field("channel", ""): {"email", "sms"}, // as it was
		was("category", "deals"): {"email"}, field("category", "deals"): {"email"}, // as it was when the page was opened
		was("category", "orders"): {"email,sms"}, field("category", "orders"): {"sms"}, // e-mail off
		was("commercial", ""): {"on"}, // off
	})
	if s.shows(w, http.StatusSeeOther); w.Header().Get("Location") != "?saved=1" {
		t.Errorf("Location: %q", w.Header().Get("Location"))
	}
	s.wants(map[string]any{"commercialSubscribed": false, "categories": map[string]any{"deals": false, "orders": map[string]any{"channelTypes": map[string]any{"email": false}}}})
	s.shows(s.get(path+"?saved=1"), http.StatusOK, `role="status"`, "Saved.", `name="`+was("category", "orders")+`" value="sms"`)
}

func TestFieldsThatMeanNothingAreIgnored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := s.path(recipient.ToPreferences, "", "")
	for _, form := range []url.Values{
		{},
		{field("category", "orders"): {"email"}}, // doesn't say what was shown
		{was("category", "nobody"): {"email"}, was("category", ""): {"email"}, was("workflow", "order"): {"email"}, "was:__proto__": {"email"}},
		{was("category", "orders"): {"email,sms"}, field("category", "orders"): {"email", "sms", "push", "webhook", "\x00", "toString"}},
		{was("category", "orders"): {"email\x00,sms,email"}, field("category", "orders"): {"email\x00", "sms", "email"}},
		{was("category", "orders\x00"): {"email"}, "\x00": {"\xff"}},
	} {
		s.shows(s.post(path, form), http.StatusSeeOther)
		s.wants(map[string]any{})
	}
}

func TestFormsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := s.path(recipient.ToPreferences, "", "")
	fields := func(n int) string {
		var b strings.Builder
		b.WriteString(was("commercial", "") + "=on")
		for i := 1; i < n; i++ {
			fmt.Fprintf(&b, "&f=%d", i)
		}
		return b.String()
	}
	encoded := "application/x-www-form-urlencoded"
	s.shows(s.do(http.MethodPost, path, encoded, strings.NewReader(fields(maxFields+1))), http.StatusRequestEntityTooLarge, "At most 2000 fields")
	s.shows(s.do(http.MethodPost, path, encoded, strings.NewReader(strings.Repeat("a", maxChoicesBody+1))), http.StatusRequestEntityTooLarge)
	s.wants(map[string]any{})
	s.shows(s.do(http.MethodPost, path, encoded, strings.NewReader(fields(maxFields))), http.StatusSeeOther)
	s.wants(map[string]any{"commercialSubscribed": false})
}

// A page with as many rows as there can be fits into the limits of its form.
func TestTheLargestPageCanBeSaved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.handler.(*handler).Workflows = crowded
	path := s.path(recipient.ToPreferences, "", "")
	body := s.get(path).Body.String()
	form := url.Values{}
	for _, field := range strings.Split(body, "<input")[1:] {
		attribute := func(name string) string {
			_, rest, _ := strings.Cut(field, name+`="`)
			value, _, _ := strings.Cut(rest, `"`)
			return value
		}
		form.Add(attribute("name"), attribute("value"))
	}
	if rows := strings.Count(body, "<fieldset"); rows != recipient.MaxPreferenceRows {
		t.Errorf("%d rows, want %d", rows, recipient.MaxPreferenceRows)
	}
	form[field("category", strings.Repeat("é", 250)+"0001")] = nil
	s.shows(s.post(path, form), http.StatusSeeOther)
	sets, err := s.people.PreferenceSetsOf(t.Context(), s.env, belfry.User("ana"), "")
	if err != nil || len(sets.Recipient.Map()) != 1 {
		t.Errorf("%v, %v", sets.Recipient.Map(), err)
	}
}
