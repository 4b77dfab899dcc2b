package encoder_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/encoder"
	"github.com/belfryhq/belfry/graph/generated"
	"github.com/belfryhq/belfry/graph/model"
)

// Whatever is selected of whatever event: the bytes and the errors are gqlgen's.
func TestAgreesWithGqlgen(t *testing.T) {
	t.Parallel()
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	s := newServer()
	invalid, encoded, executed := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		s.events.event = randomEvent(rt)
		s.items.actors = rapid.SliceOfN(rapid.Custom(randomUser), 0, 2).Draw(rt, "actors")
		s.items.tenant = optionalTexts.Draw(rt, "tenant")
		s.items.err = nil
		if rapid.IntRange(1, 10).Draw(rt, "fails") == 1 {
			s.items.err = errors.New("the database has gone")
		}
		made := selections{t: rt, schema: schema}
		params := graphql.RawParams{}
		params.Query, params.Variables = made.query()
		if _, _, errs := s.answer(params); errs != nil { // two fields under one name, mostly
			invalid++
			return
		}
		if s.agrees(rt, params) {
			encoded++
		} else {
			executed++
		}
	})
	t.Logf("%d encoded, %d left to gqlgen, %d not valid", encoded, executed, invalid)
	if encoded < 2*executed || encoded < invalid/2 {
		t.Errorf("%d encoded, %d left to gqlgen, %d not valid: this tests too little", encoded, executed, invalid)
	}
}

// anItem has something in each field.
func anItem() model.FeedItem {
	at := time.Date(2026, 5, 4, 9, 0, 0, 1000, time.UTC)
	return model.FeedItem{Item: &feed.Item{
		ID: belfry.MessageID{Recipient: 1, Channel: "in-app", Seq: 7}, Epoch: 3, TotalActivities: 2, Workflow: "welcome", StepRef: "inbox", Categories: []string{"news"},
		Content: belfry.Content{Body: belfry.Body{Format: belfry.MarkdownBody, Content: "*Hi*", Rendered: "<p><em>Hi</em></p>"}, ActionURL: "/",
			Data: map[string]any{"n": 1}, Buttons: []belfry.Button{{Label: "Go", Action: "/go"}}},
		CreatedAt: at, State: feed.State{SeenAt: &at, ReadAt: &at, InteractedAt: &at, ArchivedAt: &at},
	}}
}

func upsertedItem(change func(*feed.Item)) model.FeedEvent {
	item := anItem()
	change(item.Item)
	return model.FeedItemUpserted{Position: "1", Item: item}
}

func TestWhatFailsIsLeftToGqlgen(t *testing.T) {
	t.Parallel()
	gone := errors.New("the database has gone")
	same := func(*feed.Item) {}
	for name, tt := range map[string]struct {
		query   string
		event   model.FeedEvent
		err     error
		encoded bool
	}{
		"nothing fails":                  {`{ position ... on FeedItemUpserted { item { data actors { id properties } tenant } } }`, upsertedItem(same), nil, true},
		"actors":                         {`{ position ... on FeedItemUpserted { item { actors { id } } } }`, upsertedItem(same), gone, false},
		"tenant":                         {`{ position ... on FeedItemUpserted { item { tenant } } }`, upsertedItem(same), gone, false},
		"who isn't asked for":            {`{ position ... on FeedItemUpserted { item { id tenant @skip(if: true) } } }`, upsertedItem(same), gone, true},
		"data":                           {`{ ... on FeedItemUpserted { item { data } } }`, upsertedItem(func(i *feed.Item) { i.Content.Data["n"] = math.NaN() }), nil, false},
		"an item that is missing":        {`{ ... on FeedItemUpserted { item { stepRef } } }`, model.FeedItemUpserted{}, nil, false},
		"a mark of a later release":      {`{ ... on FeedItemsPatched { as } }`, model.FeedItemsPatched{As: "FOLDED"}, nil, false},
		"a field of a resolver":          {`{ position ... on FeedItemUpserted { item { actors { channelData { channel } } } } }`, upsertedItem(same), nil, false},
		"of another event":               {`{ position ... on FeedItemUpserted { item { actors { channelData { channel } } } } }`, model.FeedSynced{Position: "1"}, nil, true},
		"nothing of this event":          {`{ ... on FeedReset { reason } }`, model.FeedSynced{}, nil, true},
		"one name for unrelated fields":  {`{ ... on FeedItemUpserted { item { blocks { ... on MarkdownBlock { x: name } ... on TextBlock { x: content } } } } }`, upsertedItem(same), nil, true},
		"interfaces of another branch":   {`{ ... on FeedItemUpserted { item { ... on Node { id } ... on Node { ... on FeedItem { id channel } } } } }`, upsertedItem(same), nil, true},
		"a fragment that is used twice":  {`{ ...e ...e ... on FeedEvent { ...e @skip(if: true) } } } fragment e on FeedEvent { position badge { total } `, model.FeedReset{}, nil, true},
		"fields merged from two places":  {`{ badge { total } ... on FeedSynced { badge { unread total } } badge { t: total } }`, model.FeedSynced{}, nil, true},
		"a set of which nothing is left": {`{ badge { total @include(if: false) } }`, model.FeedSynced{}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer()
			s.events.event, s.items.err = tt.event, tt.err
			name := "Ana"
			s.items.actors, s.items.tenant = []model.User{{ID: "u", Name: &name, Properties: map[string]any{}}}, &name
			if got := s.agrees(t, graphql.RawParams{Query: `subscription { feedEvents ` + tt.query + `}`}); got != tt.encoded {
				t.Errorf("encoded: %v, want %v", got, tt.encoded)
			}
		})
	}
}

func TestBadges(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		`subscription { badge { badge { total unseen unread } position } }`,
		`subscription ($all: Boolean = false) { badge { ...b } } fragment b on BadgeEvent { __typename at: position badge { n: unseen total @include(if: $all) } }`,
		`subscription { badge { position @skip(if: true) } }`,
	} {
		s := newServer()
		s.events.badge = model.BadgeEvent{Badge: belfry.Badge{Total: 3, Unseen: 2, Unread: 1}, Position: "1-\"2"}
		data, failures, invalid := s.answer(graphql.RawParams{Query: query})
		if invalid != nil {
			t.Fatal(invalid)
		}
		if !s.encoded || `{"badge":`+string(s.badge)+`}` != data || failures != nil {
			t.Errorf("%s: encoded: %v\nwant %s\ngot  %s", query, s.encoded, data, s.badge)
		}
	}
}

// schemaOnly is a server that is asked for nothing.
var schemaOnly = sync.OnceValue(newServer)

// compiled compiles a subscription.
func compiled(t *testing.T, c *encoder.Compiler, query string, variables map[string]any) *encoder.Selection {
	t.Helper()
	op, errs := schemaOnly().executor.CreateOperationContext(graphql.StartOperationTrace(t.Context()), &graphql.RawParams{Query: query, Variables: variables})
	if errs != nil {
		t.Fatal(errs)
	}
	return c.Compile(op, graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Subscription"})[0].Selections)
}

// What one document selects may depend on variables.
func TestVariablesHaveTheirSay(t *testing.T) {
	t.Parallel()
	c := encoder.NewCompiler()
	for query, depends := range map[string]bool{
		`subscription ($all: Boolean!) { feedEvents { position badge { total @include(if: $all) unread } } }`:                        true,
		`subscription ($all: Boolean!) { feedEvents { ...e } } fragment e on FeedEvent { position badge @skip(if: $all) { total } }`: true,
		`subscription ($since: String) { feedEvents(since: $since) { position } }`:                                                   false,
	} {
		op, errs := schemaOnly().executor.CreateOperationContext(graphql.StartOperationTrace(t.Context()),
			&graphql.RawParams{Query: query, Variables: map[string]any{"all": true, "since": "0-0"}})
		if errs != nil {
			t.Fatal(errs)
		}
		compile := func(all bool) *encoder.Selection {
			again := graphql.OperationContext{RawQuery: op.RawQuery, Doc: op.Doc, Operation: op.Operation, Variables: map[string]any{"all": all}}
			return c.Compile(&again, graphql.CollectFields(&again, op.Operation.SelectionSet, []string{"Subscription"})[0].Selections)
		}
		if first, other := compile(true), compile(false); (first != other) != depends || compile(true) != first {
			t.Errorf("%s: depends on its variables: %v, want %v", query, first != other, depends)
		}
	}
}

// Those who select the same share what is encoded, however they say it.
func TestTheSameSelectionIsCompiledOnce(t *testing.T) {
	t.Parallel()
	c := encoder.NewCompiler()
	one := compiled(t, c, `subscription { feedEvents { position badge { unread } } }`, nil)
	for query, same := range map[string]bool{
		`subscription Other($since: String) { feedEvents(since: $since) { ...e } } fragment e on FeedEvent { position badge { unread } }`: true,
		`subscription ($all: Boolean = false) { feedEvents { position badge { total @include(if: $all) unread } } }`:                      true,
		`subscription ($all: Boolean = true) { feedEvents { position badge { total @include(if: $all) unread } } }`:                       false,
		`subscription { feedEvents { position badge { unread: unseen } } }`:                                                               false,
		`subscription { feedEvents { badge { unread } position } }`:                                                                       false,
		`subscription { feedEvents { position badge { unread } ... on FeedSynced { __typename } } }`:                                      false,
		`subscription { feedEvents { position badge { unread } ... on FeedItemUpserted { item { actors { id } } } } }`:                    false,
	} {
		if other := compiled(t, c, query, nil); (other == one) != same {
			t.Errorf("the same as %s: %v, want %v", query, other == one, same)
		}
	}
}

func TestWhoAsksMattersIfActorsAreShown(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		`subscription { feedEvents { position ... on FeedItemUpserted { item { tenant } } } }`:                          false,
		`subscription { feedEvents { ... on FeedItemUpserted { item { actors { id } } } } }`:                            true,
		`subscription { feedEvents { ... on FeedItemUpserted { item { id ... @skip(if: true) { actors { id } } } } } }`: false,
	} {
		if got := compiled(t, encoder.NewCompiler(), query, nil).Personal(); got != want {
			t.Errorf("Personal() = %v of %s", got, query)
		}
	}
}

// Strangers choose what is kept, so there is a limit.
func TestSelectionsAreForgotten(t *testing.T) {
	t.Parallel()
	c := encoder.NewCompiler()
	query := func(n int) string { return fmt.Sprintf(`subscription { feedEvents { p%d: position } }`, n) }
	first := compiled(t, c, query(0), nil)
	for i := range encoder.MaxSelections - 1 {
		compiled(t, c, query(i+1), nil)
	}
	if compiled(t, c, query(0), nil) != first {
		t.Fatal("forgotten within the limit")
	}
	for i := range encoder.MaxSelections {
		compiled(t, c, query(encoder.MaxSelections+i), nil)
	}
	if compiled(t, c, query(0), nil) == first {
		t.Error("not forgotten beyond the limit")
	}
}

// Nor is there much of each. What everything has is kept all the same: clients do ask for that.
func TestLargeSelectionsAreNotKept(t *testing.T) {
	t.Parallel()
	kept := func(query string) bool {
		c := encoder.NewCompiler()
		first := compiled(t, c, query, nil)
		return compiled(t, c, query, nil) == first
	}
	alone := func(aliases, size int) string { // signed as alias:position, for one type of event
		var b strings.Builder
		for i := range aliases {
			fmt.Fprintf(&b, "%0*d: position ", size, i)
		}
		return strings.ReplaceAll("subscription { feedEvents { ... on FeedSynced { "+b.String()+"} } }", " 0", " a")
	}
	const others = len("{}{}{}{}{}{}") // the types of event
	const each = len("1234567890123456789:position,")
	n, rest := (encoder.MaxSignature-others)/each, (encoder.MaxSignature-others)%each
	within := alone(n-1, 19) // and one of what remains
	last := func(size int) string {
		return strings.Replace(within, "FeedSynced { ", "FeedSynced { "+strings.Repeat("z", size)+": position ", 1)
	}
	if !kept(last(19 + rest)) {
		t.Errorf("a signature of %d bytes isn't kept", encoder.MaxSignature)
	}
	if kept(last(19 + rest + 1)) {
		t.Errorf("a signature of %d bytes is kept", encoder.MaxSignature+1)
	}
	if !kept(everything) {
		t.Error("the selection of everything isn't kept")
	}
}

const everything = `subscription { feedEvents { __typename position badge { __typename total unseen unread }
	... on FeedItemUpserted { asOf item { __typename id channel position actionUrl data totalActivities tenant workflow stepRef categories resourceKey
		priority severity expiresAt createdAt seenAt readAt interactedAt archivedAt pinnedAt snoozedUntil
		blocks { __typename ... on TextBlock { name content rendered } ... on MarkdownBlock { name content rendered } ... on ButtonSetBlock { name buttons { label action } } }
		actors { __typename id externalId name email phoneNumber avatar locale timezone properties createdAt updatedAt } } }
	... on FeedItemsPatched { ids as at } ... on FeedItemsRemoved { ids removedUpTo: upTo why: reason } ... on FeedMarkedAll { as upTo at } ... on FeedReset { reason } } }`
