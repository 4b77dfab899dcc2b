package test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
)

// walks says with which arguments the fields of Query are walked: once for each. A new field without an entry fails
// TestNoFieldShowsWhatIsSomebodyElses. Mutations and subscriptions have their attempts in refusal_cases_test.go.
var walks = map[string]func(*victim) []string{
	"node": func(v *victim) (out []string) {
		for _, id := range []string{v.userID, v.objectID, v.tenantID, v.versionID, v.triggerID, v.runID, v.scheduleID, v.itemIDs[0], v.messageID, v.bulkID} {
			out = append(out, fmt.Sprintf(`(id: %q)`, id))
		}
		return out
	},
	"feedRetention":      plain(""),
	"feedOperation":      func(v *victim) []string { return []string{fmt.Sprintf(`(id: %q)`, v.feedOpID)} },
	"bulkOperation":      func(v *victim) []string { return []string{fmt.Sprintf(`(id: %q)`, v.bulkID)} },
	"me":                 plain(""),
	"user":               plain(`(id: "ana")`),
	"users":              plain(`(first: 5)`, `(first: 5, filter: {idPrefix: "ana"})`, `(first: 5, filter: {email: "marker-7f3c91@example.com"})`),
	"profileFields":      plain(""),
	"object":             plain(`(collection: "projects", id: "p1")`),
	"objects":            plain(`(collection: "projects", first: 5)`),
	"tenant":             plain(`(id: "acme")`),
	"tenants":            plain(`(first: 5)`, `(first: 5, filter: {name: "marker"})`),
	"workflow":           plain(`(key: "private")`, `(key: "private", number: 1)`),
	"workflows":          plain(""),
	"feed":               plain("", `(ref: {user: "ana"})`, `(ref: {user: "mallory"})`),
	"trigger":            func(v *victim) []string { return []string{fmt.Sprintf(`(id: %q)`, v.triggerID)} },
	"run":                func(v *victim) []string { return []string{fmt.Sprintf(`(id: %q)`, v.runID)} },
	"runs":               plain(`(first: 10)`, `(first: 10, filter: {user: "ana"})`, `(first: 10, filter: {workflow: "private"})`),
	"schedule":           func(v *victim) []string { return []string{fmt.Sprintf(`(id: %q)`, v.scheduleID)} },
	"schedules":          plain(`(first: 5)`, `(first: 5, filter: {user: "ana"})`),
	"partials":           plain(""),
	"variables":          plain(""),
	"audience":           plain(`(key: "vip")`),
	"audiences":          plain(""),
	"subscribers":        plain(`(collection: "projects", id: "p1")`),
	"subscriptions":      plain(`(collection: "$users", id: "ana")`),
	"defaultPreferences": plain("", `(tenant: "acme")`),
	"preferenceCenter":   plain(`(user: "ana")`),
	"explainPreference":  plain(`(input: {user: "ana", workflow: "private", channel: "in-app", channelType: IN_APP})`),
	"convertCondition":   plain(`(input: {expression: "data.a == 1"})`),
	"previewTemplate": plain(`(input: {template: "{{ recipient.name }}{{ recipient.secret }}", recipient: "ana"})`,
		`(input: {template: "{{ vars.secret }}{% render 'footer' %}"})`),
}

func plain(arguments ...string) func(*victim) []string {
	return func(*victim) []string { return arguments }
}

// inner are the arguments of fields further down that can't do without.
var inner = map[string]string{"Feed.counts": `(views: [{name: "all"}, {name: "theirs", filter: {tenant: {scope: EXACT, tenants: ["acme"]}}}])`}

// showNothing are the fields that say nothing of anybody, so that their owner doesn't find the marker either.
var showNothing = []string{"bulkOperation", "convertCondition", "explainPreference", "feedRetention", "preferenceCenter", "profileFields"}

// Every field of every type that can be reached from Query is asked for, along every way that leads there, by a stranger and
// by a colleague. Neither may find anything that is Ana's, nor what is private of Pat, who caused an item of Mallory's.
func TestNoFieldShowsWhatIsSomebodyElses(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.addActor(t)
	schema := readSchema(t)
	w := &walk{schema: schema, selected: map[string]bool{}}
	callers := map[string]caller{"owner": v.ours.backend(v.node), "owner Ana": v.ours.user(t, v.node, "ana"),
		"Mallory": v.ours.user(t, v.node, "mallory"), "a stranger": v.theirs.backend(v.node), "nobody": {address: v.node.address}}
	entries := slices.Sorted(maps.Keys(walks))
	fields := []string{}
	for _, f := range schema.Query.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			fields = append(fields, f.Name)
		}
	}
	slices.Sort(fields)
	if diff := cmp.Diff(fields, entries); diff != "" {
		t.Fatalf("every field of Query needs an entry in walks, and no other (-schema +walks):\n%s", diff)
	}
	asked := 0
	for _, name := range fields {
		f := schema.Query.Fields.ForName(name)
		shown := slices.Contains(showNothing, name)
		for _, arguments := range walks[name](v) {
			refused := map[string]bool{} // whoever may not call the field at all may not, whatever they select
			for _, selection := range w.selections(f, nil) {
				query := "{ " + name + arguments + selection + " }"
				asked++
				for who, c := range callers {
					if refused[who] {
						continue
					}
					got := c.call(t, query, nil)
					refused[who] = (got.code() == "FORBIDDEN" || got.code() == "UNAUTHENTICATED") && got.empty()
					found := strings.Contains(got.raw, marker)
					switch {
					case got.code() == "TOO_LARGE": // and so it would tell nothing
						t.Errorf("%s is too complex to be asked: %s", query, got.raw)
					case got.code() == "INTERNAL" || got.code() == "INVALID" && !strings.Contains(got.raw, "say whose feed"):
						t.Errorf("%s asked %s and got %s", who, query, got.raw)
					case who == "nobody" && !refused[who]:
						t.Errorf("nobody asked %s and got %s", query, got.raw)
					case strings.HasPrefix(who, "owner"):
						shown = shown || found
					case found:
						t.Errorf("%s asked %s and got %s", who, query, got.raw)
					}
				}
			}
		}
		if !shown {
			t.Errorf("not even its owner finds the marker in %s: then that nobody else does proves nothing", name)
		}
	}
	if unselected := w.unselected(); len(unselected) > 0 {
		t.Errorf("never asked for: %v", unselected)
	}
	if t.Logf("%d questions", asked); asked < 200 {
		t.Errorf("only %d questions", asked)
	}
}

// addActor makes Pat, whose name Mallory may know, cause an item of hers; and a message of Ana's by mail.
func (v *victim) addActor(t *testing.T) {
	t.Helper()
	us := v.ours.backend(v.node)
	ask[any](t, us, identifyUser, vars{"input": vars{"id": "pat", "name": "Pat", "email": marker + "@example.com", "locale": "de",
		"properties": vars{"secret": marker}}})
	ask[any](t, us, `mutation ($m: String!) { setChannelData(input: {recipient: {user: "pat"}, channel: "ios", push: {tokens: [$m]}}) { channelData { channel } } }`, vars{"m": marker})
	ask[any](t, us, identifyUser, vars{"input": vars{"id": "ana", "email": marker + "@example.com"}})
	ask[any](t, us, `mutation ($m: String!, $about: JSON!, $c: JSON!) {
		upsertAudience(input: {key: "vip", name: $m}) { audience { key } }
		addAudienceMembers(input: {audience: "vip", users: [{user: "ana"}]}) { results { __typename } }
		subscribeToObject(input: {object: {collection: "projects", id: "p1"}, recipients: [{user: "ana"}], properties: $about}) { results { __typename } }
		setDefaultPreferences(input: {preferences: {categories: $c}}) { preferences { id } }
		setPreferences(input: {user: "ana", preferences: {categories: $c}}) { preferences { id } } }`, vars{"m": marker, "about": vars{"secret": marker}, "c": vars{marker: true}})
	storeWorkflow(t, us, vars{"key": "shared", "name": "shared", "steps": []vars{{"ref": "inbox", "inApp": vars{"body": "{{ actor.name }}"}}}})
	storeWorkflow(t, us, vars{"key": "mail", "name": "mail", "steps": []vars{{"ref": "mail", "email": vars{"channel": "mail", "subject": marker, "body": marker}}}})
	ask[any](t, us, triggerWorkflow, vars{"input": vars{"workflow": "shared", "recipients": users("mallory"), "actor": vars{"user": "pat"}}})
	ask[any](t, us, triggerWorkflow, vars{"input": vars{"workflow": "mail", "recipients": users("ana")}})
	eventually(t, "Mallory's item", func() bool {
		items, _ := readAll(t, v.ours.user(t, v.node, "mallory"), nil)
		return len(items) == 1
	})
	eventually(t, "Ana's mail", func() bool {
		runs := ask[struct {
			Edges []struct {
				Node struct{ Steps []struct{ Message *string } }
			}
		}](t, us, `{ runs(filter: {workflow: "mail"}) { edges { node { steps { message } } } } }`, nil)
		for _, e := range runs.Edges {
			for _, s := range e.Node.Steps {
				if s.Message != nil {
					v.messageID = *s.Message
				}
			}
		}
		return v.messageID != ""
	})
}

// walk makes selections of all that can be reached.
type walk struct {
	schema   *ast.Schema
	selected map[string]bool // Type.field
}

// selections are those of a field's type: one for what it has of its own, and one for each way further on. A type that the
// way leads through already is not entered again.
func (w *walk) selections(f *ast.FieldDefinition, through []string) []string {
	d := w.schema.Types[f.Type.Name()]
	if d.IsLeafType() {
		return []string{""}
	}
	var out []string
	for _, d := range w.schema.GetPossibleTypes(d) {
		if slices.Contains(through, d.Name) {
			continue
		}
		leaves := "__typename"
		for _, field := range d.Fields {
			arguments := inner[d.Name+"."+field.Name]
			if arguments == "" && slices.ContainsFunc(field.Arguments, func(a *ast.ArgumentDefinition) bool { return a.Type.NonNull && a.DefaultValue == nil }) {
				continue // unselected tells
			}
			w.selected[d.Name+"."+field.Name] = true
			if w.schema.Types[field.Type.Name()].IsLeafType() {
				leaves += " " + field.Name
				continue
			}
			if field.Arguments.ForName("first") != nil {
				arguments = "(first: 10)" // by default it is more, and too much of what lies behind
			}
			for _, further := range w.selections(field, append(slices.Clone(through), d.Name)) {
				out = append(out, fmt.Sprintf(" { ... on %s { %s%s%s } }", d.Name, field.Name, arguments, further))
			}
		}
		out = append(out, fmt.Sprintf(" { ... on %s { %s } }", d.Name, leaves))
	}
	return out
}

// unselected is what can be reached from Query, but was in no selection.
func (w *walk) unselected() (out []string) {
	reached := map[string]bool{}
	var visit func(*ast.Definition)
	visit = func(d *ast.Definition) {
		for _, d := range w.schema.GetPossibleTypes(d) {
			if reached[d.Name] || d.IsLeafType() {
				continue
			}
			reached[d.Name] = true
			for _, f := range d.Fields {
				if !w.selected[d.Name+"."+f.Name] {
					out = append(out, d.Name+"."+f.Name)
				}
				visit(w.schema.Types[f.Type.Name()])
			}
		}
	}
	for _, f := range w.schema.Query.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			visit(w.schema.Types[f.Type.Name()])
		}
	}
	slices.Sort(out)
	return out
}
