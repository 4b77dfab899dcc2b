package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// marker is in everything that is Ana's. Nobody else may ever read it.
const marker = "marker-7f3c91"

// victim is Ana, in the environment "ours"; Mallory is her colleague, and "theirs" is somebody else's environment.
type victim struct {
	node         *node
	pool         *pgxpool.Pool
	ours, theirs *environment

	trigger                       vars // the request that was made
	userID, versionID, triggerID  string
	runID, scheduleID             string
	objectID, tenantID, messageID string
	bulkID, feedOpID              string
	itemIDs                       []string // newest first
	firstPosition                 string   // when the first of two items had come
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	pool := pgtest.New(t)
	db := pool.Config().ConnString()
	v := &victim{node: serve(t, db), pool: pool, ours: newEnvironment(t, db, "ours"), theirs: newEnvironment(t, db, "theirs")}
	us := v.ours.backend(v.node)
	v.userID = ask[struct{ User struct{ ID string } }](t, us, identifyUser, vars{"input": vars{
		"id": "ana", "name": marker, "properties": vars{"secret": marker}}}).User.ID
	definition := simpleWorkflow("private")
	definition["name"] = marker
	v.versionID = ask[struct{ Workflow struct{ ID string } }](t, us, upsertWorkflow, vars{"input": definition}).Workflow.ID
	identify(t, us, "mallory")

	for i := range 2 {
		v.trigger = vars{"workflow": "private", "recipients": users("ana"), "data": vars{"text": marker},
			"idempotencyKey": fmt.Sprint("request-", i), "cancellationKey": "order-1"}
		v.triggerID = ask[accepted](t, us, triggerWorkflow, vars{"input": v.trigger}).Trigger.ID
		eventually(t, "Ana's item", func() bool {
			items, page := readAll(t, v.ours.user(t, v.node, "ana"), nil)
			v.itemIDs = nil
			for _, it := range items {
				v.itemIDs = append(v.itemIDs, it.ID)
			}
			if len(items) == 1 {
				v.firstPosition = page.Items.Position
			}
			return len(items) == i+1
		})
	}
	v.more(t, us)
	// Theirs has users of the same names, so that only the environment tells them apart.
	identify(t, v.theirs.backend(v.node), "someone", "mallory")
	return v
}

// more makes what else there is to be had of Ana's.
func (v *victim) more(t *testing.T, us caller) {
	t.Helper()
	v.objectID = ask[struct{ Object struct{ ID string } }](t, us, `mutation ($m: String!) { upsertObject(input: {collection: "projects", id: "p1", name: $m}) { object { id } } }`, vars{"m": marker}).Object.ID
	v.tenantID = ask[struct{ Tenant struct{ ID string } }](t, us, `mutation ($m: String!, $url: String!) {
		upsertTenant(input: {id: "acme", name: $m, branding: {logoUrl: $url}}) { tenant { id } } }`, vars{"m": marker, "url": "https://example.com/" + marker}).Tenant.ID
	ask[any](t, us, `mutation ($m: String!) { setChannelData(input: {recipient: {user: "ana"}, channel: "ios", push: {tokens: [$m]}}) { channelData { channel } } }`, vars{"m": marker})
	identify(t, us, "zoe")
	v.bulkID = ask[struct{ Operation struct{ ID string } }](t, us, `mutation ($id: String!) { bulkIdentifyUsers(input: {users: [{id: $id}]}) { operation { id } } }`, vars{"id": "/" + marker}).Operation.ID
	eventually(t, "the bulk operation is done", func() bool {
		return ask[struct{ FinishedAt *string }](t, us, `query ($id: ID!) { bulkOperation(id: $id) { finishedAt } }`, vars{"id": v.bulkID}).FinishedAt != nil
	})
	v.feedOpID = ask[struct{ Operation struct{ ID string } }](t, us, `mutation ($m: String!) { resolveResource(input: {resourceKey: $m}) { operation { id } } }`, vars{"m": marker}).Operation.ID
	ask[any](t, us, `mutation ($m: String!) { setPartial(input: {key: "footer", source: $m}) { partial { key } } }`, vars{"m": marker})
	ask[any](t, us, `mutation ($m: JSONValue!) { setVariable(input: {name: "secret", value: $m}) { variable { name } } }`, vars{"m": marker})
	ask[any](t, us, `mutation ($p: JSON) { subscribeToObject(input: {object: {collection: "teams", id: "p"}, recipients: [{user: "ana"}], properties: $p}) { results { error { code } } } }`,
		vars{"p": vars{"secret": marker}})
	ask[any](t, us, `mutation ($m: String!) { upsertAudience(input: {key: "vips", name: $m}) { audience { key } } }`, vars{"m": marker})
	ask[any](t, us, `mutation { addAudienceMembers(input: {audience: "vips", users: [{user: "ana"}]}) { results { error { code } } } }`, nil)
	v.scheduleID = ask[struct {
		Results []struct{ Schedule struct{ ID string } }
	}](t, us, `mutation ($schedules: [ScheduleInput!]!) { createSchedules(input: {schedules: $schedules}) { results { schedule { id } } } }`, vars{
		"schedules": []vars{{"workflow": "private", "recipient": vars{"user": "ana"}, "data": vars{"text": marker}, "startsAt": "2050-01-01T00:00:00Z"}}}).Results[0].Schedule.ID
	v.runID = ask[struct {
		Edges []struct{ Node struct{ ID string } }
	}](t, us, `{ runs(first: 1) { edges { node { id } } } }`, nil).Edges[0].Node.ID
}

// everything is all rows of the victim's environment.
func (v *victim) everything(t *testing.T) map[string]string {
	t.Helper()
	rows, err := v.pool.Query(t.Context(), `SELECT table_name FROM information_schema.columns
		WHERE table_schema = 'public' AND column_name = 'environment_id' ORDER BY 1`)
	tables, err := collectStrings(rows, err)
	if err != nil || len(tables) < 10 {
		t.Fatalf("tables = %q, %v", tables, err)
	}
	out := make(map[string]string)
	for _, table := range tables {
		rows, err := v.pool.Query(t.Context(), fmt.Sprintf(`SELECT r::text FROM %s r
			WHERE environment_id = (SELECT id FROM environments WHERE key = 'ours') ORDER BY 1`, table))
		content, err := collectStrings(rows, err)
		if err != nil {
			t.Fatal(err)
		}
		out[table] = strings.Join(content, "\n")
	}
	return out
}

func collectStrings(rows pgx.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// call does what the attempt says: over HTTP, or over a WebSocket for a subscription.
func (v *victim) call(t *testing.T, a attempt, c caller) answer {
	t.Helper()
	var variables vars
	if a.variables != nil {
		variables = a.variables(v)
	}
	if !strings.HasPrefix(a.field, "Subscription.") {
		return c.call(t, a.query, variables)
	}
	f, err := c.connect(t).subscribe(t, a.query, variables).next(patience)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{raw: string(f.Payload)}
	if f.Type == "error" {
		err = json.Unmarshal(f.Payload, &got.Errors)
	} else {
		err = json.Unmarshal(f.Payload, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEveryFieldRefuses(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	fields := rootFields(t)
	covered := make(map[string]bool)
	for _, a := range slices.Concat(peopleAttempts, attempts, bulkAttempts) {
		covered[a.field] = true
	}
	if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(covered))); diff != "" {
		t.Errorf("every field of the schema needs an attempt in refusal_cases_test.go, and no other (-schema +attempts):\n%s", diff)
	}
	credentials := badCredentials(t, v)
	before := v.everything(t)
	for _, a := range slices.Concat(peopleAttempts, attempts, bulkAttempts) {
		unchanged := func(t *testing.T, who string) {
			t.Helper()
			if diff := cmp.Diff(before, v.everything(t)); diff != "" {
				t.Fatalf("%s changed what is Ana's:\n%s", who, diff)
			}
		}
		t.Run(a.field, func(t *testing.T) {
			for _, c := range credentials {
				if strings.HasPrefix(a.field, "Subscription.") {
					c.refusedAtConnect(t, v.node)
				}
				v.refusedOverHTTP(t, a, c)
			}
			unchanged(t, "somebody without credentials")
			got := v.call(t, a, v.ours.user(t, v.node, "mallory"))
			expect(t, "a colleague", got, v.expand(a.byColleague))
			unchanged(t, "a colleague")
			got = v.call(t, a, v.theirs.backend(v.node))
			expect(t, "a stranger", got, v.expand(a.byStranger))
			unchanged(t, "a stranger")
		})
	}
	for name, secret := range map[string]string{"secret key": v.ours.secret, "public key": v.ours.public, "data": marker} {
		if strings.Contains(v.node.log.String(), secret) {
			t.Errorf("the log has the %s", name)
		}
	}
}

func (v *victim) expand(want string) string {
	ids, err := json.Marshal(v.itemIDs)
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(want, "$items", string(ids))
}

// expect compares an answer with an error code, or with data.
func expect(t *testing.T, who string, got answer, want string) {
	t.Helper()
	if strings.Contains(got.raw, marker) {
		t.Errorf("%s reads what is Ana's: %s", who, got.raw)
	}
	if !strings.HasPrefix(want, "{") {
		if got.code() != want || !got.empty() {
			t.Errorf("%s got %s, want the code %s and no data", who, got.raw, want)
		}
		return
	}
	var have, wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got.Data, &have); err != nil || len(got.Errors) > 0 {
		t.Errorf("%s got %s, want the data %s", who, got.raw, want)
		return
	}
	if diff := cmp.Diff(wanted, have); diff != "" {
		t.Errorf("%s got other data (-want +got):\n%s", who, diff)
	}
}

// rootFields is every field of the schema that can be called, sorted.
func rootFields(t *testing.T) []string {
	t.Helper()
	schema := readSchema(t)
	var out []string
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, f := range root.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				out = append(out, root.Name+"."+f.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func readSchema(t *testing.T) *ast.Schema {
	t.Helper()
	files, err := filepath.Glob("../graph/schema/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	var sources []*ast.Source
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, &ast.Source{Name: file, Input: string(text)})
	}
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// What a stranger listens to stays silent when something happens to the victim of the same name.
func TestSubscriptionsOfTwoEnvironmentsDontMeet(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	stranger := v.theirs.user(t, v.node, "ana").connect(t).follow(t, "")
	stranger.expect(t, "FeedSynced")
	owner := v.ours.user(t, v.node, "ana").connect(t).follow(t, "")
	owner.expect(t, "FeedSynced")

	notify(t, v.ours.backend(v.node), "private", "ana", marker)
	owner.expect(t, "FeedItemUpserted")

	them := v.theirs.backend(v.node)
	identify(t, them, "ana")
	storeWorkflow(t, them, simpleWorkflow("private"))
	notify(t, them, "private", "ana", "theirs")
	e := stranger.expect(t, "FeedItemUpserted")
	if e.Item.text() != "theirs" || e.Badge.Total != 1 {
		t.Errorf("the first thing that the stranger hears is %+v", e)
	}
	if e, err := owner.event(100 * time.Millisecond); err == nil {
		t.Errorf("the owner hears %+v", e)
	}
}
