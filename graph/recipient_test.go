package graph

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/graph/model"
)

func TestProfilesInFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	got := ask[any](c, `mutation ($input: IdentifyUserInput!) { identifyUser(input: $input) { user {
		externalId name email phoneNumber avatar locale timezone createdAt properties } } }`, vars{"input": vars{
		"id": "ελένη", "name": "Eleni", "email": "eleni@example.com", "phoneNumber": "+302101234567", "avatar": "https://example.com/e.png",
		"locale": "el-GR", "timezone": "Europe/Athens", "createdAt": "2020-01-02T03:04:05+02:00", "properties": vars{"plan": "pro", "a": vars{"b": 1, "c": 2}}}})
	want := parse(t, `{"identifyUser": {"user": {"externalId": "ελένη", "name": "Eleni", "email": "eleni@example.com", "phoneNumber": "+302101234567",
		"avatar": "https://example.com/e.png", "locale": "el-GR", "timezone": "Europe/Athens", "createdAt": "2020-01-02T01:04:05.000000Z",
		"properties": {"plan": "pro", "a": {"b": 1, "c": 2}}}}}`)
	expectJSON(t, want, got)
	got = ask[any](c, `mutation { identifyUser(input: {id: "ελένη", createdAt: null, unset: ["plan", "a.b"]}) { user { name properties } } }`, nil)
	expectJSON(t, parse(t, `{"identifyUser": {"user": {"name": "Eleni", "properties": {"a": {"c": 2}}}}}`), got)
	c.refused(`mutation { identifyUser(input: {id: "x", phoneNumber: "0800"}) { user { id } } }`, nil, "INVALID", "input.phone_number")
	c.refused(`mutation { identifyUser(input: {id: "a/b"}) { user { id } } }`, nil, "INVALID", "input.id")
	// A lone surrogate can't be stored: what arrives is the replacement character, as JSON readers agree.
	ask[any](c, `mutation ($p: JSON!) { identifyUser(input: {id: "x", properties: $p}) { user { id } } }`, vars{"p": vars{"__proto__": vars{"x": "\ufffd"}}})
}

// expectJSON compares decoded JSON, whatever kinds of numbers it was decoded to.
func expectJSON(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestObjectsAndTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana", "bob")
	type one struct{ ID string }
	object := ask[struct{ UpsertObject struct{ Object one } }](c, `mutation { upsertObject(input: {collection: "projects", id: "p1", name: "One",
		properties: {a: 1}}) { object { id } } }`, nil).UpsertObject.Object.ID
	got := ask[any](c, `mutation { upsertObjects(input: {objects: [{collection: "projects", id: "p2"}, {collection: "$users", id: "ana"}, {collection: "projects", id: "a/b"}]}) {
		results { object { externalId collection name } error { code field } } } }`, nil)
	expectJSON(t, parse(t, `{"upsertObjects": {"results": [{"object": {"externalId": "p2", "collection": "projects", "name": null}, "error": null},
		{"object": null, "error": {"code": "INVALID", "field": "input.objects[1].collection"}}, {"object": null, "error": {"code": "INVALID", "field": "input.objects[2].id"}}]}}`), got)
	tenant := ask[struct{ UpsertTenant struct{ Tenant one } }](c, `mutation { upsertTenant(input: {id: "acme", name: "Acme",
		branding: {logoUrl: "https://example.com/l.png", primaryColor: "#1a73e8"}, properties: {plan: "pro", settings: {other: true}}}) { tenant { id } } }`, nil).UpsertTenant.Tenant.ID
	branding := `branding { logoUrl iconUrl darkLogoUrl darkIconUrl primaryColor primaryColorContrast darkPrimaryColor darkPrimaryColorContrast }`
	got = ask[any](c, `{ tenant(id: "acme") { name properties `+branding+` } }`, nil)
	expectJSON(t, parse(t, `{"tenant": {"name": "Acme", "properties": {"plan": "pro", "settings": {"other": true, "branding": {"logo_url": "https://example.com/l.png", "primary_color": "#1a73e8"}}},
		"branding": {"logoUrl": "https://example.com/l.png", "iconUrl": null, "darkLogoUrl": "https://example.com/l.png", "darkIconUrl": null,
		"primaryColor": "#1a73e8", "primaryColorContrast": "#FFFFFF", "darkPrimaryColor": "#FFFFFF", "darkPrimaryColorContrast": "#000000"}}}`), got)
	got = ask[any](c, `mutation { upsertTenant(input: {id: "acme", branding: {primaryColor: null}}) { tenant { branding { logoUrl primaryColor } } } }`, nil)
	expectJSON(t, parse(t, `{"upsertTenant": {"tenant": {"branding": {"logoUrl": "https://example.com/l.png", "primaryColor": "#000000"}}}}`), got)
	for field, value := range map[string]string{"primaryColor": "red", "logoUrl": "javascript:alert(1)"} {
		key := map[string]string{"primaryColor": "primary_color", "logoUrl": "logo_url"}[field]
		c.refused(fmt.Sprintf(`mutation { upsertTenant(input: {id: "acme", branding: {%s: %q}}) { tenant { id } } }`, field, value), nil, "INVALID", "input.properties.settings.branding."+key)
	}

	got = ask[any](c, `query ($object: ID!, $tenant: ID!) { object: node(id: $object) { ... on Object { externalId name } }
		tenant: node(id: $tenant) { ... on Tenant { externalId } ... on Recipient { name } }
		named: object(collection: "projects", id: "p1") { properties } missing: object(collection: "projects", id: "p9") { id }
		objects(collection: "projects", first: 1) { edges { node { externalId } } pageInfo { hasNextPage endCursor } }
		tenants(filter: {name: "acm"}) { edges { node { externalId } } } users(filter: {idPrefix: "a"}) { edges { node { externalId } } } }`,
		vars{"object": object, "tenant": tenant})
	expectJSON(t, parse(t, `{"object": {"externalId": "p1", "name": "One"}, "tenant": {"externalId": "acme", "name": "Acme"},
		"named": {"properties": {"a": 1}}, "missing": null, "objects": {"edges": [{"node": {"externalId": "p1"}}], "pageInfo": {"hasNextPage": true, "endCursor": "cDE"}},
		"tenants": {"edges": [{"node": {"externalId": "acme"}}]}, "users": {"edges": [{"node": {"externalId": "ana"}}]}}`), got)
	got = ask[any](c, `{ objects(collection: "projects", after: "cDE") { edges { node { externalId } } pageInfo { hasNextPage hasPreviousPage } } }`, nil)
	expectJSON(t, parse(t, `{"objects": {"edges": [{"node": {"externalId": "p2"}}], "pageInfo": {"hasNextPage": false, "hasPreviousPage": true}}}`), got)
	c.refused(`{ objects(collection: "$users") { edges { cursor } } }`, nil, "INVALID", ".collection")
	c.refused(`{ users(after: "?") { edges { cursor } } }`, nil, "INVALID", "after")
	c.refused(`{ users(first: 101) { edges { cursor } } }`, nil, "TOO_LARGE", "first")

	got = ask[any](c, `mutation { a: deleteObject(input: {collection: "projects", id: "p1"}) { deleted } b: deleteObject(input: {collection: "projects", id: "p1"}) { deleted }
		c: deleteTenant(input: {id: "acme"}) { deleted } d: deleteUser(input: {id: "acme"}) { deleted } }`, nil)
	expectJSON(t, parse(t, `{"a": {"deleted": true}, "b": {"deleted": false}, "c": {"deleted": true}, "d": {"deleted": false}}`), got)
	ids := strings.Repeat(`{collection: "projects", id: "x"}`, MaxUpserts)
	ask[any](c, `mutation { upsertObjects(input: {objects: [`+ids+`]}) { results { error { code } } } }`, nil)
	c.refused(`mutation { upsertObjects(input: {objects: [`+ids+`{collection: "projects", id: "x"}]}) { results { error { code } } } }`, nil, "TOO_LARGE", "input.objects")
}

// Whatever knows a recipient by its internal id has forgotten it: a new table can't be left out.
func TestNothingIsLeftOfADeletedUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana", "bob")
	c.store("hello", `[{"ref": "a", "inApp": {"body": "secret-of-ana", "expiresAfter": {"unit": "days", "value": 1}}}, {"ref": "m", "email": {"channel": "mail", "subject": "s", "body": "secret-of-ana"}},
		{"ref": "t", "throttle": {"limit": 5, "for": {"unit": "days", "value": 1}}},
		{"ref": "d", "batch": {"for": {"unit": "days", "value": 1}}}, {"ref": "b", "inApp": {"body": "late"}}]`)
	ask[any](c, `mutation { identifyUser(input: {id: "ana", email: "ana@example.com"}) { user { id } } }`, nil)
	for _, who := range []string{"ana", "bob"} {
		ask[any](c, `mutation ($u: String!) { setChannelData(input: {recipient: {user: $u}, channel: "push", push: {tokens: ["t"]}}) { channelData { channel } } }`, vars{"u": who})
		ask[any](c, `mutation ($u: String!) { createSchedules(input: {schedules: [{workflow: "hello", recipient: {user: $u}, startsAt: "2050-01-01T00:00:00Z"}]}) { results { error { code } } } }`, vars{"u": who})
	}
	trigger := c.trigger(vars{"workflow": "hello", "recipients": users("ana", "bob")})
	c.settled(trigger)
	ana, err := w.Recipients.UserID(t.Context(), c.env, "ana")
	if err != nil || ana == 0 {
		t.Fatal(ana, err)
	}
	bob, _ := w.Recipients.UserID(t.Context(), c.env, "bob")
	eventually(t, "everything is there", func() bool {
		left := w.rowsOf(t, ana)
		return left["feed_items"] > 0 && left["feed_timers"] > 0 && left["messages"] > 0 && left["attempts"] > 0 && left["batches"] > 0 && left["throttles"] > 0 && left["channel_data"] > 0 && left["schedules"] > 0 && left["runs"] > 0
	})
	before := w.rowsOf(t, bob)
	ask[any](c, `mutation { deleteUser(input: {id: "ana"}) { deleted } }`, nil)
	eventually(t, "Ana is forgotten", func() bool {
		var settled bool
		_ = w.pool.QueryRow(t.Context(), `SELECT settled FROM forgotten WHERE recipient_id = $1`, ana).Scan(&settled)
		return settled
	})
	if diff := cmp.Diff(map[string]int{"forgotten": 1, "runs": 1}, w.rowsOf(t, ana)); diff != "" {
		t.Errorf("left of Ana (-want +got):\n%s", diff)
	}
	var status, log string
	if err := w.pool.QueryRow(t.Context(), `SELECT status, log::text || coalesce(state::text, '') FROM runs WHERE recipient_id = $1`, ana).Scan(&status, &log); err != nil ||
		status != "cancelled" || log != `[{"outcome": "cancelled", "reason": "recipient_deleted"}]` {
		t.Errorf("her run says %s %s, %v", status, log, err)
	}
	if diff := cmp.Diff(before, w.rowsOf(t, bob)); diff != "" {
		t.Errorf("left of Bob (-want +got):\n%s", diff)
	}
	got := ask[any](c, `query ($id: ID!) { trigger(id: $id) { progress { recipients pending waiting cancelled } runs { edges { node { recipient { externalId } } } } } }`, vars{"id": trigger})
	expectJSON(t, parse(t, `{"trigger": {"progress": {"recipients": 2, "pending": 0, "waiting": 1, "cancelled": 1},
		"runs": {"edges": [{"node": {"recipient": null}}, {"node": {"recipient": {"externalId": "bob"}}}]}}}`), got)
	c.identify("ana")
	got = ask[any](c, `{ feed(ref: {user: "ana"}) { badge { total } items { edges { cursor } } } user(id: "ana") { email channelData { channel } } }`, nil)
	expectJSON(t, parse(t, `{"feed": {"badge": {"total": 0}, "items": {"edges": []}}, "user": {"email": null, "channelData": []}}`), got)
}

// rowsOf counts the rows of a recipient in all tables that have any.
func (w *world) rowsOf(t *testing.T, id belfry.RecipientID) map[string]int {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), `SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'recipient_id'`)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table)
	}
	out := map[string]int{}
	for _, table := range tables {
		var n int
		if err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table+` WHERE recipient_id = $1`, id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			out[table] = n
		}
	}
	if len(tables) < 10 {
		t.Fatalf("only %v", tables)
	}
	return out
}

func TestMergeUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	set := `mutation ($u: String!, $c: String!, $t: String!) { setChannelData(input: {recipient: {user: $u}, channel: $c, push: {tokens: [$t]}}) { channelData { channel } } }`
	for _, row := range [][3]string{{"ana", "ios", "a1"}, {"ana2", "ios", "b1"}, {"ana2", "android", "b2"}} {
		ask[any](c, set, vars{"u": row[0], "c": row[1], "t": row[2]}) // which makes them known
	}
	ask[any](c, `mutation { identifyUser(input: {id: "ana2", email: "ana@example.com"}) { user { id } } }`, nil)
	got := ask[any](c, `mutation { mergeUsers(input: {into: "ana", from: "ana2"}) { user { externalId email channelData { channel push { devices { token } } } } } }`, nil)
	expectJSON(t, parse(t, `{"mergeUsers": {"user": {"externalId": "ana", "email": "ana@example.com", "channelData": [
		{"channel": "android", "push": {"devices": [{"token": "b2"}]}}, {"channel": "ios", "push": {"devices": [{"token": "a1"}]}}]}}}`), got)
	c.refused(`mutation { mergeUsers(input: {into: "ana", from: "ana2"}) { user { id } } }`, nil, "NOT_FOUND", "input.from")
}

// With a user token, people see and change their own, and of others what everybody may know.
func TestWhatPeopleMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	ask[any](c, `mutation { ana: identifyUser(input: {id: "ana", name: "Ana", avatar: "https://example.com/a.png", email: "ana@example.com", properties: {plan: "pro"}}) { user { id } }
		bob: identifyUser(input: {id: "bob"}) { user { id } } }`, nil)
	ana := auth.WithViewer(t.Context(), belfry.Viewer{Environment: c.env, User: "ana"})
	bob := auth.WithViewer(t.Context(), belfry.Viewer{Environment: c.env, User: "bob"})
	known, err := w.Recipients.UserByExternalID(t.Context(), c.env, "ana")
	if err != nil {
		t.Fatal(err)
	}
	stranger, own := seen(bob, known), seen(ana, known)
	if stranger.Email != nil || len(stranger.Properties) != 0 || *stranger.Name != "Ana" || *stranger.Avatar == "" || *own.Email != "ana@example.com" {
		t.Errorf("Bob sees %+v, Ana herself %+v", stranger, own)
	}
	mutation := w.Resolver.Mutation()
	push := model.SetChannelDataInput{Channel: "ios", Push: &model.PushDataInput{Tokens: []string{"t"}}}
	if _, err := mutation.SetChannelData(ana, push); err != nil {
		t.Error(err)
	}
	name := "ana"
	push.Recipient = &model.RecipientRefInput{User: &name}
	if _, err := mutation.SetChannelData(ana, push); err != nil {
		t.Error(err)
	}
	expectCode(t, "Bob sets Ana's channel data", belfry.Forbidden, second(mutation.SetChannelData(bob, push)))
	expectCode(t, "Bob unsets Ana's channel data", belfry.Forbidden, second(mutation.UnsetChannelData(bob, model.UnsetChannelDataInput{Recipient: push.Recipient, Channel: "ios"})))
	expectCode(t, "Ana sets a tenant's", belfry.Forbidden, second(mutation.SetChannelData(ana, model.SetChannelDataInput{Recipient: &model.RecipientRefInput{Tenant: &name}, Channel: "ios", Push: push.Push})))
	unknown := auth.WithViewer(t.Context(), belfry.Viewer{Environment: c.env, User: "unknown"})
	expectCode(t, "somebody who was never identified", belfry.NotFound, second(mutation.SetChannelData(unknown, model.SetChannelDataInput{Channel: "ios", Push: push.Push})))
	for who, want := range map[context.Context]int{ana: 1, bob: 0, auth.WithViewer(t.Context(), belfry.Viewer{Environment: c.env}): 1} {
		if got, err := w.User().ChannelData(who, model.NewUser(known)); err != nil || len(got) != want {
			t.Errorf("%+v reads %v, %v; want %d", auth.ViewerFrom(who), got, err, want)
		}
	}
	change := func(id string) *model.IdentifyUserInput { return &model.IdentifyUserInput{ID: id, Properties: nil} }
	if _, err := mutation.IdentifyUser(ana, *change("ana")); err != nil {
		t.Error(err)
	}
	expectCode(t, "Ana identifies Bob", belfry.Forbidden, second(mutation.IdentifyUser(ana, *change("bob"))))
	plan := change("ana")
	plan.Properties = map[string]any{"plan": "gold"}
	expectCode(t, "Ana changes her plan", belfry.Forbidden, second(mutation.IdentifyUser(ana, *plan)))

	got := ask[any](c, `mutation { setProfileFields(input: {fields: [EMAIL, NAME, NAME]}) { fields } }`, nil)
	expectJSON(t, parse(t, `{"setProfileFields": {"fields": ["EMAIL", "NAME"]}}`), got)
	got = ask[any](c, `{ profileFields }`, nil)
	expectJSON(t, parse(t, `{"profileFields": ["EMAIL", "NAME"]}`), got)
}

func second[T any](_ T, err error) error { return err }

func expectCode(t *testing.T, what string, want belfry.Code, err error) {
	t.Helper()
	if err == nil || belfry.CodeOf(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}
