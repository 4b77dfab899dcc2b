package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// Backends get links for whomever they write to, users get their own, and nobody else gets any.
func TestLinksToPreferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Recipients.PublicURL = "https://notify.example.com"
	c, elsewhere := w.environment(t, "production"), w.environment(t, "staging")
	c.identify("ana", "bob")
	ask[any](c, `mutation { upsertTenant(input: {id: "acme"}) { tenant { id } } }`, nil)
	type links struct{ A, B, C, D *string }
	const all = `{ a: managePreferencesUrl b: managePreferencesUrl(tenant: "acme") c: unsubscribeUrl d: unsubscribeUrl(tenant: "acme", category: "news") }`
	read := func(from *caller, query, root string) links {
		t.Helper()
		var got map[string]links
		answer := from.call(query, nil)
		if err := json.Unmarshal(answer.Data, &got); err != nil || answer.code() != "" {
			t.Fatalf("%s: %v %+v", query, err, answer)
		}
		return got[root]
	}
	backend, own := read(c, `{ user(id: "ana") `+all+` }`, "user"), read(w.as(c, "ana"), `{ me `+all+` }`, "me")
	for i, want := range []recipient.Link{{Purpose: recipient.ToPreferences}, {Purpose: recipient.ToPreferences}, {Purpose: recipient.LeaveCommercial}, {Purpose: recipient.LeaveCategory, Key: "news"}} {
		url := []*string{backend.A, backend.B, backend.C, backend.D}[i]
		if again := []*string{own.A, own.B, own.C, own.D}[i]; *again != *url {
			t.Errorf("the backend gets %s, Ana %s", *url, *again)
		}
		l, err := w.Recipients.OpenLink(t.Context(), (*url)[strings.LastIndex(*url, "/")+1:])
		if err != nil || l.Who.ExternalID != "ana" || l.Purpose != want.Purpose || l.Key != want.Key || (l.For != nil) != (i%2 == 1) || l.Environment != c.env {
			t.Errorf("%s opens %+v, %v", *url, l, err)
		}
	}
	for query, want := range map[string][2]string{
		`{ user(id: "ana") { managePreferencesUrl(tenant: "nobody") } }`:                                                 {"NOT_FOUND", "tenant"},
		`{ user(id: "ana") { managePreferencesUrl(tenant: "a/b") } }`:                                                    {"INVALID", "tenant"},
		`{ user(id: "ana") { unsubscribeUrl(category: "a", workflow: "b") } }`:                                           {"INVALID", "workflow"},
		`{ user(id: "ana") { unsubscribeUrl(category: "") } }`:                                                           {"INVALID", "category"},
		`{ user(id: "ana") { unsubscribeUrl(workflow: "a\u0000b") } }`:                                                   {"INVALID", "workflow"},
		`{ user(id: "ana") { unsubscribeUrl(workflow: "` + strings.Repeat("a", recipient.MaxPreferenceName+1) + `") } }`: {"TOO_LARGE", "workflow"},
	} {
		c.refused(query, nil, want[0], want[1])
	}
	elsewhere.identify("ana")
	if other := read(elsewhere, `{ user(id: "ana") `+all[:strings.Index(all, "b:")]+`} }`, "user"); *other.A == *backend.A {
		t.Error("two environments share a link")
	}
	w.Recipients.PublicURL = ""
	c.refused(`{ user(id: "ana") { managePreferencesUrl } }`, nil, string(belfry.NotConfigured), "")
}

// Who caused an item can be seen by name; their links can't.
func TestLinksOfOthersAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Recipients.PublicURL = "https://notify.example.com"
	c := w.environment(t, "production")
	c.identify("ana", "bob")
	c.store("w", tell)
	c.settled(c.trigger(vars{"workflow": "w", "recipients": users("ana"), "actor": vars{"user": "bob"}}))
	got := w.as(c, "ana").call(`{ feed { items(first: 1) { edges { node { actors { name managePreferencesUrl unsubscribeUrl } } } } } }`, nil)
	if !strings.Contains(string(got.Data), `"name":"bob"`) {
		t.Errorf("nobody to ask about: %s", got.Data)
	}
	if got.code() != "FORBIDDEN" || strings.Contains(string(got.Data), "http") {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
}
