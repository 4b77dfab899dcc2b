package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
)

// as is a user's browser: a public key and a token.
func (w *world) as(c *caller, user string) *caller {
	c.t.Helper()
	_, public, err := w.auth.CreateAPIKey(c.t.Context(), c.env, auth.Public, "browser")
	if err != nil {
		c.t.Fatal(err)
	}
	key, private, err := w.auth.CreateSigningKey(c.t.Context(), c.env, auth.EdDSA, "test")
	if err != nil {
		c.t.Fatal(err)
	}
	signer, err := jwt.ParseEdPrivateKeyFromPEM(private)
	if err != nil {
		c.t.Fatal(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	token.Header["kid"] = key.KID
	signed, err := token.SignedString(signer)
	if err != nil {
		c.t.Fatal(err)
	}
	target, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	browser := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, ""
		r.Out.Header.Set(auth.UserTokenHeader, signed)
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }})
	c.t.Cleanup(browser.Close)
	return &caller{t: c.t, url: browser.URL, key: public, env: c.env}
}

const (
	setPreferences = `mutation ($input: SetPreferencesInput!) { setPreferences(input: $input) { preferences {
		id channelTypes channels workflows categories commercialSubscribed mutes quietHours } } }`
	setDefaults       = `mutation ($input: SetDefaultPreferencesInput!) { setDefaultPreferences(input: $input) { preferences { id categories workflows channelTypes } } }`
	explainPreference = `query ($input: ExplainPreferenceInput!) { explainPreference(input: $input) {
		allowed notBefore because { rule level node allows until conditions } } }`
	center = `query ($user: String, $tenant: String, $rows: [PreferenceRowInput!]) { preferenceCenter(user: $user, tenant: $tenant, rows: $rows) {
		set rows { kind key label on readOnly channelTypes { type on readOnly } } } }`
)

// same compares an answer's data with JSON.
func (c *caller) same(what string, got *answer, want string) {
	c.t.Helper()
	if len(got.Errors) > 0 {
		c.t.Fatalf("%s: %+v", what, got.Errors)
	}
	var a, b any
	if err := json.Unmarshal(got.Data, &a); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		c.t.Fatal(err)
	}
	if diff := cmp.Diff(b, a); diff != "" {
		c.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPreferencesAreWrittenAndRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	empty := `"channels": {}, "workflows": {}, "mutes": {}, "commercialSubscribed": null`
	c.same("replaced", c.call(setPreferences, vars{"input": vars{"user": "ana", "preferences": vars{
		"channelTypes": vars{"email": false}, "quietHours": vars{"hours": []any{}}, "categories": vars{"news": vars{"condition": "data.n > 1"}}}}}),
		`{"setPreferences": {"preferences": {"id": "default", "channelTypes": {"email": false}, "categories": {"news": {"condition": "data.n > 1"}}, "quietHours": {"hours": []}, `+empty+`}}}`)
	c.same("merged", c.call(setPreferences, vars{"input": vars{"user": "ana", "strategy": "MERGE", "preferences": vars{"categories": nil, "quietHours": nil, "channelTypes": vars{"sms": true}}}}),
		`{"setPreferences": {"preferences": {"id": "default", "channelTypes": {"email": false, "sms": true}, "categories": {}, "quietHours": null, `+empty+`}}}`)
	c.same("identified", c.call(`mutation { identifyUser(input: {id: "ana", preferences: [{set: "acme", preferences: {workflows: {w: false}}}, {set: "default", preferences: {commercialSubscribed: false}}]}) {
		user { default: preferences { channelTypes commercialSubscribed } acme: preferences(set: "acme") { id workflows } } } }`, nil),
		`{"identifyUser": {"user": {"default": {"channelTypes": {"email": false, "sms": true}, "commercialSubscribed": false}, "acme": {"id": "acme", "workflows": {"w": false}}}}}`)

	c.same("environment", c.call(setDefaults, vars{"input": vars{"preferences": vars{"categories": vars{"a": false}}}}),
		`{"setDefaultPreferences": {"preferences": {"id": "", "categories": {"a": false}, "workflows": {}, "channelTypes": {}}}}`)
	c.same("tenant", c.call(setDefaults, vars{"input": vars{"tenant": "acme", "preferences": vars{"workflows": vars{"w": vars{"strategy": "REPLACE", "otherwise": true}}}}}),
		`{"setDefaultPreferences": {"preferences": {"id": "acme", "categories": {}, "workflows": {"w": {"strategy": "REPLACE", "otherwise": true}}, "channelTypes": {}}}}`)
	c.same("resolved", c.call(`{ user(id: "ana") { preferences(set: "acme", resolved: true) { workflows categories channelTypes commercialSubscribed } }
		defaultPreferences { categories } none: defaultPreferences(tenant: "other") { id } }`, nil),
		`{"user": {"preferences": {"workflows": {"w": {"strategy": "REPLACE", "otherwise": true}}, "categories": {"a": false}, "channelTypes": {}, "commercialSubscribed": false}},
		  "defaultPreferences": {"categories": {"a": false}}, "none": null}`)
	c.same("deleted", c.call(`mutation { a: deletePreferences(input: {user: "ana", set: "acme"}) { deleted } b: deletePreferences(input: {user: "ana", set: "acme"}) { deleted }
		c: deleteDefaultPreferences(input: {tenant: "acme"}) { deleted } d: deleteDefaultPreferences(input: {}) { deleted } }`, nil),
		`{"a": {"deleted": true}, "b": {"deleted": false}, "c": {"deleted": true}, "d": {"deleted": true}}`)
	c.same("back to nothing", c.call(`{ user(id: "ana") { preferences(set: "acme", resolved: true) { workflows categories channelTypes } } }`, nil),
		`{"user": {"preferences": {"workflows": {}, "categories": {}, "channelTypes": {"email": false, "sms": true}}}}`)
}

func TestBadPreferencesAreRefusedWithTheirPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	set := func(preferences vars, more ...vars) vars {
		input := vars{"user": "ana", "preferences": preferences}
		for _, m := range more {
			for k, v := range m {
				input[k] = v
			}
		}
		return vars{"input": input}
	}
	c.refused(setPreferences, set(vars{"workflows": vars{"w": 1}}), "INVALID", "input.preferences.workflows.w")
	c.refused(setPreferences, set(vars{"categories": vars{"w": vars{"condition": "data."}}}), "INVALID", "input.preferences.categories.w.condition")
	c.refused(setPreferences, set(vars{"workflows": vars{"w": vars{"strategy": "REPLACE"}}}), "INVALID", "input.preferences.workflows.w.strategy")
	c.refused(setPreferences, set(vars{"commercialSubscribed": false}, vars{"set": "acme"}), "INVALID", "input.preferences.commercialSubscribed")
	c.refused(setPreferences, set(vars{}, vars{"set": "a/b"}), "INVALID", "input.preferences.set")
	c.refused(setPreferences, set(vars{}, vars{"user": nil}), "INVALID", "input")
	c.refused(setPreferences, set(vars{}, vars{"user": nil, "object": vars{"collection": "$users", "id": "ana"}}), "INVALID", "input.object.collection")
	c.refused(setPreferences, set(vars{}, vars{"user": "nobody"}), "NOT_FOUND", "")
	c.refused(setDefaults, vars{"input": vars{"preferences": vars{"mutes": vars{"workflows": vars{"w": true}}}}}, "INVALID", "input.preferences.mutes")
	c.refused(explainPreference, vars{"input": vars{"user": "ana", "workflow": "none", "channel": "in-app", "channelType": "IN_APP"}}, "NOT_FOUND", "")
	rows := make([]vars, recipient.MaxPreferenceRows+1)
	for i := range rows {
		rows[i] = vars{"kind": "COMMERCIAL"}
	}
	if got := c.call(`query ($rows: [PreferenceRowInput!]) { preferenceCenter(user: "ana", rows: $rows) { set } }`, vars{"rows": rows[1:]}); got.code() != "" {
		t.Errorf("%+v", got.Errors)
	}
	c.refused(`query ($rows: [PreferenceRowInput!]) { preferenceCenter(user: "ana", rows: $rows) { set } }`, vars{"rows": rows}, "TOO_LARGE", "rows")
	c.refused(center, vars{"user": "ana", "rows": []vars{{"kind": "CATEGORY"}}}, "INVALID", "rows[0].key")
	c.refused(center, vars{"user": "ana", "rows": []vars{{"kind": "WORKFLOW", "key": "a\x00"}}}, "INVALID", "rows[0].key")
}

// Users have to do with their own preferences, and nobody else's; environments with their own users.
func TestPreferencesAreNobodyElses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, elsewhere := w.environment(t, "production"), w.environment(t, "staging")
	c.identify("ana", "bob")
	c.store("w", tell)
	ana := w.as(c, "ana")
	ask[any](c, setPreferences, vars{"input": vars{"user": "bob", "preferences": vars{"channelTypes": vars{"email": false}}}})

	ana.same("her own", ana.call(setPreferences, vars{"input": vars{"strategy": "MERGE", "preferences": vars{"channelTypes": vars{"sms": false}, "mutes": vars{"workflows": vars{"w": true}}}}}),
		`{"setPreferences": {"preferences": {"id": "default", "channelTypes": {"sms": false}, "channels": {}, "workflows": {}, "categories": {}, "commercialSubscribed": null,
		  "mutes": {"workflows": {"w": true}}, "quietHours": null}}}`)
	ana.same("read", ana.call(`{ me { preferences { channelTypes } } }`, nil), `{"me": {"preferences": {"channelTypes": {"sms": false}}}}`)
	own := vars{"preferences": vars{}}
	explain := vars{"workflow": "w", "channel": "in-app", "channelType": "IN_APP"}
	with := func(m vars, k string, v any) vars {
		out := vars{k: v}
		for key, value := range m {
			out[key] = value
		}
		return vars{"input": out}
	}
	for what, do := range map[string]func() *answer{
		"write": func() *answer { return ana.call(setPreferences, with(own, "user", "bob")) },
		"write an object's": func() *answer {
			return ana.call(setPreferences, with(own, "object", vars{"collection": "projects", "id": "p1"}))
		},
		"delete": func() *answer {
			return ana.call(`mutation { deletePreferences(input: {user: "bob"}) { deleted } }`, nil)
		},
		"explain":                   func() *answer { return ana.call(explainPreference, with(explain, "user", "bob")) },
		"explain, by another actor": func() *answer { return ana.call(explainPreference, with(explain, "actor", "bob")) },
		"choose":                    func() *answer { return ana.call(center, vars{"user": "bob"}) },
		"defaults":                  func() *answer { return ana.call(`{ defaultPreferences { id } }`, nil) },
		"tenant's defaults":         func() *answer { return ana.call(`{ defaultPreferences(tenant: "acme") { id } }`, nil) },
		"write defaults":            func() *answer { return ana.call(setDefaults, vars{"input": vars{"preferences": vars{}}}) },
		"delete defaults":           func() *answer { return ana.call(`mutation { deleteDefaultPreferences(input: {}) { deleted } }`, nil) },
		"write conditions": func() *answer {
			return ana.call(setPreferences, with(vars{}, "preferences", vars{"workflows": vars{"w": vars{"condition": "vars.secret == 1"}}}))
		},
		"try conditions": func() *answer {
			return ana.call(explainPreference, with(explain, "instead", vars{"workflows": vars{"w": vars{"condition": "vars.secret == 1"}}}))
		},
	} {
		if got := do(); got.code() != "FORBIDDEN" {
			t.Errorf("%s: %s %+v", what, got.Data, got.Errors)
		}
	}
	c.same("bob's stayed", c.call(`{ user(id: "bob") { preferences { channelTypes } } }`, nil), `{"user": {"preferences": {"channelTypes": {"email": false}}}}`)

	elsewhere.refused(setPreferences, with(own, "user", "bob"), "NOT_FOUND", "")
	elsewhere.refused(`mutation { deletePreferences(input: {user: "bob"}) { deleted } }`, nil, "NOT_FOUND", "")
	elsewhere.identify("bob")
	elsewhere.same("another bob", elsewhere.call(`{ user(id: "bob") { preferences { channelTypes } } }`, nil), `{"user": {"preferences": {"channelTypes": {}}}}`)
	c.key = ""
	for _, query := range []string{`{ defaultPreferences { id } }`, `{ preferenceCenter { set } }`, `mutation { setPreferences(input: {preferences: {}}) { preferences { id } } }`} {
		if got := c.call(query, nil); got.code() != "UNAUTHENTICATED" {
			t.Errorf("%s: %+v", query, got)
		}
	}
}

// Somebody whom only a token names may choose before anything else is known.
func TestUsersChooseBeforeTheyAreIdentified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	eve := w.as(c, "eve")
	ask[any](eve, setPreferences, vars{"input": vars{"preferences": vars{"commercialSubscribed": false}}})
	c.same("known", c.call(`{ user(id: "eve") { preferences { commercialSubscribed } } }`, nil), `{"user": {"preferences": {"commercialSubscribed": false}}}`)
}

func TestExplainPreference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	ask[upserted](c, upsertWorkflow, vars{"input": vars{"key": "w", "name": "W", "categories": []string{"news"}, "settings": vars{"critical": false}, "steps": parse(t, tell)}})
	ask[any](c, setPreferences, vars{"input": vars{"user": "ana", "preferences": vars{"categories": vars{"news": vars{"condition": "data.n > vars.limit"}},
		"quietHours": vars{"hours": []vars{{"from": "22:00", "until": "07:00"}}}}}})
	if err := w.Engine.SetVariable(t.Context(), c.env, "limit", 1); err != nil {
		t.Fatal(err)
	}
	input := func(n int, more vars) vars {
		out := vars{"user": "ana", "workflow": "w", "channel": "mail", "channelType": "EMAIL", "data": vars{"n": n}, "at": "2026-05-04T23:00:00Z"}
		for k, v := range more {
			out[k] = v
		}
		return vars{"input": out}
	}
	c.same("denied", c.call(explainPreference, input(1, nil)), `{"explainPreference": {"allowed": false, "notBefore": null, "because": [
		{"rule": "CATEGORY", "level": "RECIPIENT", "node": "categories.news", "allows": false, "until": null, "conditions": [
			{"source": "data.n > vars.limit", "values": {"data.n": 1, "vars.limit": 1}, "holds": false, "evaluated": true}]}]}}`)
	c.same("allowed, by morning", c.call(explainPreference, input(2, nil)), `{"explainPreference": {"allowed": true, "notBefore": "2026-05-05T07:00:00.000000Z", "because": [
		{"rule": "CATEGORY", "level": "RECIPIENT", "node": "categories.news", "allows": true, "until": null, "conditions": []},
		{"rule": "QUIET_HOURS", "level": "RECIPIENT", "node": "quietHours", "allows": true, "until": "2026-05-05T07:00:00.000000Z", "conditions": []}]}}`)
	c.same("nobody said anything", c.call(explainPreference, input(1, vars{"user": "nobody"})), `{"explainPreference": {"allowed": true, "notBefore": null, "because": []}}`)
	c.same("what if", c.call(explainPreference, input(1, vars{"instead": vars{"mutes": vars{"objects": vars{"projects/p1": true}}}, "objects": []vars{{"collection": "projects", "id": "p1"}}})),
		`{"explainPreference": {"allowed": false, "notBefore": null, "because": [{"rule": "MUTE", "level": "RECIPIENT", "node": "mutes.objects.projects/p1", "allows": false, "until": null, "conditions": []}]}}`)
	ana := w.as(c, "ana")
	ana.same("asked by herself: no values", ana.call(explainPreference, input(1, nil)), `{"explainPreference": {"allowed": false, "notBefore": null, "because": [
		{"rule": "CATEGORY", "level": "RECIPIENT", "node": "categories.news", "allows": false, "until": null, "conditions": []}]}}`)
}

func TestPreferenceCenter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	ask[upserted](c, upsertWorkflow, vars{"input": vars{"key": "w", "name": "Orders", "categories": []string{"news"}, "settings": vars{"commercial": true}, "steps": parse(t, tell)}})
	ask[any](c, setPreferences, vars{"input": vars{"user": "ana", "set": "acme", "preferences": vars{
		"channelTypes": vars{"sms": false}, "workflows": vars{"w": vars{"channelTypes": vars{"email": true}, "otherwise": false}}, "channels": vars{"mail": vars{"condition": "data.n > 1"}}}}})
	ask[any](c, setDefaults, vars{"input": vars{"tenant": "acme", "preferences": vars{"categories": vars{"news": vars{"strategy": "REPLACE", "otherwise": false}}}}})
	toggles := func(on string, readOnly string) string {
		out := ""
		for _, name := range []string{"IN_APP", "EMAIL", "SMS", "PUSH", "CHAT", "WEBHOOK"} {
			is := on
			switch {
			case on == "but SMS" && name == "SMS", on == "only EMAIL" && name != "EMAIL":
				is = "false"
			case on != "true" && on != "false":
				is = "true"
			}
			out += `, {"type": "` + name + `", "on": ` + is + `, "readOnly": ` + readOnly + `}`
		}
		return "[" + out[2:] + "]"
	}
	ana := w.as(c, "ana")
	ana.same("rows", ana.call(center, vars{"tenant": "acme", "rows": []vars{{"kind": "CHANNEL_TYPES"}, {"kind": "WORKFLOW", "key": "w"}, {"kind": "CATEGORY", "key": "news", "label": "News"},
		{"kind": "CHANNEL", "key": "mail"}, {"kind": "COMMERCIAL"}}}),
		`{"preferenceCenter": {"set": "acme", "rows": [
		{"kind": "CHANNEL_TYPES", "key": null, "label": "All messages", "on": true, "readOnly": false, "channelTypes": `+toggles("but SMS", "false")+`},
		{"kind": "WORKFLOW", "key": "w", "label": "Orders", "on": true, "readOnly": false, "channelTypes": `+toggles("only EMAIL", "false")+`},
		{"kind": "CATEGORY", "key": "news", "label": "News", "on": false, "readOnly": true, "channelTypes": `+toggles("false", "true")+`},
		{"kind": "CHANNEL", "key": "mail", "label": "mail", "on": true, "readOnly": true, "channelTypes": []},
		{"kind": "COMMERCIAL", "key": null, "label": "Offers and news", "on": true, "readOnly": false, "channelTypes": []}]}}`)
	c.same("usual rows", c.call(`{ preferenceCenter(user: "ana") { set rows { kind key on } } }`, nil), `{"preferenceCenter": {"set": "default", "rows": [
		{"kind": "CHANNEL_TYPES", "key": null, "on": true}, {"kind": "CATEGORY", "key": "news", "on": true}, {"kind": "COMMERCIAL", "key": null, "on": true}]}}`)
}

// A row shows the name of its workflow, however many others come before it.
func TestPreferenceCentersNameEveryWorkflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	for i := range engine.MaxWorkflowPage {
		c.store(fmt.Sprintf("a%03d", i), tell)
	}
	ask[upserted](c, upsertWorkflow, vars{"input": vars{"key": "z", "name": "The last one", "steps": parse(t, tell)}})
	const labels = `query ($rows: [PreferenceRowInput!]) { preferenceCenter(user: "ana", rows: $rows) { rows { label } } }`
	c.same("named", c.call(labels, vars{"rows": []vars{{"kind": "WORKFLOW", "key": "z"}, {"kind": "WORKFLOW", "key": "none"}, {"kind": "CATEGORY", "key": "z"}}}),
		`{"preferenceCenter": {"rows": [{"label": "The last one"}, {"label": "none"}, {"label": "z"}]}}`)
}

// A run tells why, in the same words.
func TestRunsTellWhichPreferencesHadASay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	c.store("w", tell)
	ask[any](c, setPreferences, vars{"input": vars{"user": "ana", "preferences": vars{"workflows": vars{"w": false}}}})
	got := c.call(`mutation { testWorkflow(input: {workflow: "w", recipient: {user: "ana"}}) { run { steps { outcome reason preferences { rule level node allows } } messages { step } } } }`, nil)
	c.same("skipped", got, `{"testWorkflow": {"run": {"steps": [{"outcome": "SKIPPED", "reason": "preference", "preferences": [
		{"rule": "WORKFLOW", "level": "RECIPIENT", "node": "workflows.w", "allows": false}]}], "messages": []}}}`)
}

// Who acts is shown to who reads, and what they prefer isn't.
func TestPreferencesOfActorsAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana", "bob")
	c.store("w", tell)
	c.settled(c.trigger(vars{"workflow": "w", "recipients": users("ana"), "actor": vars{"user": "bob"}, "data": vars{"text": "hi"}}))
	ana := w.as(c, "ana")
	query := `{ feed(ref: {channel: "in-app"}) { items(first: 1) { edges { node { actors { externalId %s } } } } } }`
	ana.same("who acts", ana.call(strings.Replace(query, "%s", "", 1), nil), `{"feed": {"items": {"edges": [{"node": {"actors": [{"externalId": "bob"}]}}]}}}`)
	if got := ana.call(strings.Replace(query, "%s", "preferences { id }", 1), nil); got.code() != "FORBIDDEN" {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
}

// Preferences that come with a trigger count for it, and stay.
func TestTriggersBringPreferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.store("w", tell)
	recipients := []vars{{"identify": vars{"id": "ana", "preferences": []vars{{"set": "default", "preferences": vars{"workflows": vars{"w": false}}}}}}, {"identify": vars{"id": "bob"}}}
	for range 2 {
		c.settled(c.trigger(vars{"workflow": "w", "recipients": recipients, "data": vars{"text": "hi"}}))
		recipients = []vars{{"user": "ana"}}
	}
	got := c.runsOf(vars{"user": "ana"}, 10, nil)
	if len(got.Edges) != 2 {
		t.Fatalf("%d runs", len(got.Edges))
	}
	for _, e := range got.Edges {
		if s := e.Node.Steps; len(s) != 1 || s[0].Reason == nil || *s[0].Reason != "preference" {
			t.Errorf("%+v", s)
		}
	}
	recipients[0] = vars{"identify": vars{"id": "ana", "preferences": []vars{{"set": "default", "preferences": vars{"workflows": vars{"w": 1}}}}}}
	answer := c.call(triggerWorkflow, vars{"input": vars{"workflow": "w", "recipients": append(recipients, vars{"user": "bob"})}})
	if !strings.Contains(string(answer.Data), "input.recipients[0].identify.preferences.default.workflows.w") {
		t.Errorf("%s %+v", answer.Data, answer.Errors)
	}
}

// A set that is named twice is refused: which of the two counts would be anybody's guess.
func TestIdentifyingNamesEachPreferenceSetOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	off := func(set, workflow string) vars {
		return vars{"set": set, "preferences": vars{"workflows": vars{workflow: false}}}
	}
	ana := vars{"id": "ana", "preferences": []vars{off("acme", "a"), off("default", "a"), off("acme", "b")}}
	c.refused(`mutation ($input: IdentifyUserInput!) { identifyUser(input: $input) { user { id } } }`, vars{"input": ana}, "INVALID", "input.preferences[2].set")
	c.store("w", tell)
	answer := c.call(triggerWorkflow, vars{"input": vars{"workflow": "w", "recipients": []vars{{"identify": ana}, {"identify": vars{"id": "bob"}}}}})
	if !strings.Contains(string(answer.Data), "input.recipients[0].identify.preferences[2].set") {
		t.Errorf("%s %+v", answer.Data, answer.Errors)
	}
}

// What conditions ask is for backends: of the tenants that a user may ask for, not all are the user's.
func TestUsersDoNotSeeConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	secret := vars{"condition": `vars.secret == "s3cret"`}
	group := vars{"conditions": vars{"all": []vars{{"variable": "vars.secret", "operator": "equal_to", "argument": "s3cret"}}}}
	all := vars{"channelTypes": vars{"email": secret, "sms": false}, "channels": vars{"mail": group}, "commercialSubscribed": secret,
		"workflows":  vars{"w": vars{"condition": secret["condition"], "otherwise": true, "channelTypes": vars{"sms": group, "email": true}}, "condition": false},
		"categories": vars{"conditions": vars{"conditions": group["conditions"], "channels": vars{"condition": true}}}}
	const hidden = `{"channelTypes": {"email": {"conditional": true}, "sms": false}, "channels": {"mail": {"conditional": true}}, "commercialSubscribed": {"conditional": true},
		"workflows": {"w": {"conditional": true, "otherwise": true, "channelTypes": {"sms": {"conditional": true}, "email": true}}, "condition": false},
		"categories": {"conditions": {"conditional": true, "channels": {"condition": true}}}}`
	ask[any](c, setDefaults, vars{"input": vars{"tenant": "rival", "preferences": all}})
	ask[any](c, setPreferences, vars{"input": vars{"user": "ana", "preferences": all}})
	ana := w.as(c, "ana")
	const read = `{ channelTypes channels workflows categories commercialSubscribed }`
	ana.same("what holds for a tenant", ana.call(`{ me { preferences(set: "rival", resolved: true) `+read+` } }`, nil), `{"me": {"preferences": `+hidden+`}}`)
	ana.same("her own", ana.call(`{ me { preferences `+read+` } }`, nil), `{"me": {"preferences": `+hidden+`}}`)
	ana.same("what she changed", ana.call(`mutation { setPreferences(input: {strategy: MERGE, preferences: {channelTypes: {sms: false}}}) { preferences `+read+` } }`, nil),
		`{"setPreferences": {"preferences": `+hidden+`}}`)
	ana.refused(setPreferences, vars{"input": vars{"strategy": "MERGE", "preferences": vars{"workflows": vars{"w": vars{"conditional": true, "otherwise": true}}}}}, "INVALID", "input.preferences.workflows.w.conditional")
	ana.refused(setPreferences, vars{"input": vars{"strategy": "MERGE", "preferences": vars{"channels": vars{"mail": vars{"conditional": true}}}}}, "INVALID", "input.preferences.channels.mail")

	c.store("w", tell)
	for what, answer := range map[string]*answer{
		"resolved": ana.call(`{ me { preferences(resolved: true) `+read+` } }`, nil),
		"explained": ana.call(`query ($input: ExplainPreferenceInput!) { explainPreference(input: $input) { allowed because { rule level node detail conditions } } }`,
			vars{"input": vars{"tenant": "rival", "workflow": "w", "channel": "mail", "channelType": "EMAIL"}}),
		"to choose from": ana.call(center, vars{"tenant": "rival"}),
	} {
		if text := string(answer.Data); len(answer.Errors) > 0 || strings.Contains(text, "secret") || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %s %+v", what, text, answer.Errors)
		}
	}
	stored := c.call(`{ user(id: "ana") { preferences(set: "rival", resolved: true) `+read+` } defaultPreferences(tenant: "rival") `+read+` }`, nil)
	if n := strings.Count(string(stored.Data), "s3cret"); n != 12 {
		t.Errorf("backends see %d conditions: %s %+v", n, stored.Data, stored.Errors)
	}
}
