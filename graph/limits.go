package graph

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/graph/generated"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// Limits of a request. They are part of the API's contract: beyond them is TOO_LARGE, or INVALID for a document that
// can't be parsed within them.
const (
	MaxBodySize     = 1 << 20  // bytes of an HTTP request
	MaxDocumentSize = 64 << 10 // bytes of a document: a WebSocket's messages have no more, the rest of a body is for variables
	MaxTokens       = 5000     // in a document
	MaxNesting      = 100      // levels of lists and objects within each other, in the variables
	MaxDepth        = 15       // of nested fields; introspection is not counted
	MaxFields       = 1000     // in a document, fragments expanded: aliases count each
	MaxAliasSize    = 128      // bytes of an alias, which each place where its fragment is spread repeats in the answer
	MaxRootFields   = 20       // of one operation
	MaxComplexity   = 10_000   // fields in the answer at most, pages at their full size
	MaxTriggers     = 100      // requests in one triggerWorkflows
)

// usualSteps is how many entries the log of a run is taken to have.
const usualSteps = 10

// usualPreferences is what reading somebody's preferences costs beyond a field: a query each.
const usualPreferences = 20

// How much channel data somebody is taken to have, on how many channels, and with how many devices or connections on each. A
// recipient may have more, but not more than recipient.MaxChannelDataSize of it.
const (
	usualChannels    = 10
	usualConnections = 10
)

// feedCounting is what counting a feed, or marking a part of it, costs beyond its fields: it may look at every item.
const feedCounting = 500

// usualPins is how many pinned items a feed is taken to have. It may have more, but not more than feed.MaxPins.
const usualPins = 10

// usualRowCount is how many rows a preference center is taken to have if nobody says which.
const usualRowCount = 20

// complexity says how many fields a field may bring into the answer: that of a page is multiplied by its size.
func complexity() generated.ComplexityRoot {
	var c generated.ComplexityRoot
	times := func(n, child int) int { return 1 + max(1, n)*max(1, child) }
	c.Feed.Items = func(child, first int, _ *string, _ *model.FeedFilter) int { return times(first, child) }
	c.Feed.Counts = func(child int, views []model.FeedViewInput) int { return feedCounting + times(len(views), child) }
	c.Mutation.MarkItems = func(child int, input model.MarkItemsInput) int {
		if input.Filter != nil || input.UpTo != nil {
			return feedCounting + times(1, child)
		}
		return times(1, child)
	}
	c.Feed.Pinned = func(child int) int { return times(usualPins, child) }
	c.Query.Workflows = func(child, first int, _ *string) int { return times(first, child) }
	c.Query.Runs = func(child, first int, _ *string, _ *model.RunFilter) int { return times(first, child) }
	c.Trigger.Runs = func(child, first int, _ *string, _ *model.TriggerRunFilter) int { return times(first, child) }
	c.Run.Steps = func(child int) int { return times(usualSteps, child) }
	c.TestRun.Steps = func(child int) int { return times(usualSteps, child) }
	c.Mutation.TestWorkflow = func(child int, input model.TestWorkflowInput) int { return times(1+len(input.Triggers), child) }
	c.User.Preferences = func(child int, _ string, _ bool) int { return usualPreferences + child }
	channels := func(child int) int { return times(usualChannels, child) } // dear enough for the query that each takes
	c.User.ChannelData, c.Object.ChannelData, c.Tenant.ChannelData = channels, channels, channels
	connections := func(child int) int { return times(usualConnections, child) }
	c.PushData.Devices, c.SlackData.Connections, c.MsTeamsData.Connections, c.DiscordData.Connections = connections, connections, connections, connections
	c.Query.PreferenceCenter = func(child int, _, _ *string, rows []model.PreferenceRowInput) int {
		return times(max(usualRowCount, len(rows)), child)
	}
	c.Query.Schedules = func(child, first int, _ *string, _ *model.ScheduleFilter) int { return times(first, child) }
	c.Query.Subscribers = func(child int, _, _ string, first int, _ *string) int { return times(first, child) }
	c.Query.Subscriptions = func(child int, _, _ string, first int, _ *string) int { return times(first, child) }
	c.Query.Audiences = func(child, first int, _ *string) int { return times(first, child) }
	c.Audience.Members = func(child, first int, _ *string) int { return times(first, child) }
	c.Mutation.SubscribeToObject = func(child int, input model.SubscribeToObjectInput) int { return times(len(input.Recipients), child) }
	c.Mutation.UnsubscribeFromObject = func(child int, input model.UnsubscribeFromObjectInput) int {
		return times(len(input.Recipients), child)
	}
	c.Mutation.AddAudienceMembers = func(child int, input model.AddAudienceMembersInput) int { return times(len(input.Users), child) }
	c.Mutation.RemoveAudienceMembers = func(child int, input model.RemoveAudienceMembersInput) int { return times(len(input.Users), child) }
	c.Query.Partials = func(child int) int { return times(engine.MaxPartials, child) }
	c.Query.Variables = func(child int) int { return times(engine.MaxVariables, child) }
	c.Mutation.TriggerWorkflows = func(child int, input model.TriggerWorkflowsInput) int { return times(len(input.Triggers), child) }
	c.Mutation.CreateSchedules = func(child int, input model.CreateSchedulesInput) int { return times(len(input.Schedules), child) }
	c.Mutation.UpdateSchedules = func(child int, input model.UpdateSchedulesInput) int { return times(len(input.Ids), child) }
	c.Query.Users = func(child, first int, _ *string, _ *recipient.Filter) int { return times(first, child) }
	c.Query.Tenants = func(child, first int, _ *string, _ *recipient.Filter) int { return times(first, child) }
	c.Query.Objects = func(child int, _ string, first int, _ *string, _ *recipient.Filter) int { return times(first, child) }
	c.Mutation.UpsertObjects = func(child int, input model.UpsertObjectsInput) int { return times(len(input.Objects), child) }
	return c
}

// documentLimits refuses documents that are too deep or too wide, before they are executed, and introspection where it
// is off. It has to come before everything else that walks documents: fragments that spread each other twice double
// the work with each line. Likewise variables: inputs that hold inputs of their own kind cost the square of their depth.
type documentLimits struct{ introspection bool }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
	graphql.OperationContextMutator
} = documentLimits{}

// ExtensionName implements graphql.HandlerExtension.
func (documentLimits) ExtensionName() string { return "DocumentLimits" }

// Validate implements graphql.HandlerExtension.
func (documentLimits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters implements graphql.OperationParameterMutator.
func (documentLimits) MutateOperationParameters(_ context.Context, request *graphql.RawParams) *gqlerror.Error {
	if len(request.Query) > MaxDocumentSize {
		return tooLarge("a document", MaxDocumentSize, "bytes: pass values as variables")
	}
	if deeper(request.Variables, MaxNesting) {
		return tooLarge("variables", MaxNesting, "levels of lists and objects")
	}
	return nil
}

// deeper reports whether JSON has more levels of lists and objects than a limit.
func deeper(v any, limit int) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if limit == 0 || deeper(e, limit-1) {
				return true
			}
		}
		return limit == 0
	case []any:
		for _, e := range v {
			if limit == 0 || deeper(e, limit-1) {
				return true
			}
		}
		return limit == 0
	}
	return false
}

// MutateOperationContext implements graphql.OperationContextMutator.
func (l documentLimits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if op.Operation == nil {
		return nil
	}
	m := meter{introspection: l.introspection}
	return m.walk(op.Operation.SelectionSet, 1, false)
}

// meter counts what an operation selects, with fragments expanded.
type meter struct {
	introspection bool // is allowed
	fields, roots int
}

// walk counts a selection; the document has been validated, so fragments exist and don't recurse. Within introspection
// the depth doesn't grow: tools ask for deep types of types.
func (m *meter) walk(set ast.SelectionSet, depth int, introspecting bool) (err *gqlerror.Error) {
	if depth > MaxDepth {
		return tooLarge("a document", MaxDepth, "levels of nested fields")
	}
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			err = m.field(s, depth, introspecting)
		case *ast.InlineFragment:
			err = m.fragment(s.Directives, s.SelectionSet, depth, introspecting)
		case *ast.FragmentSpread:
			err = m.fragment(s.Directives, s.Definition.SelectionSet, depth, introspecting)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fragment refuses @defer, which every schema has whether its server can keep the promise or not: the code that executes
// operations waits for what is deferred without looking at the context, so whoever goes away leaves it waiting for good.
func (m *meter) fragment(directives ast.DirectiveList, set ast.SelectionSet, depth int, introspecting bool) *gqlerror.Error {
	if directives.ForName("defer") != nil {
		return &gqlerror.Error{
			Message:    "@defer is not supported: ask for these fields in a query of their own",
			Extensions: map[string]any{"code": string(belfry.Invalid)},
		}
	}
	return m.walk(set, depth, introspecting)
}

func (m *meter) field(f *ast.Field, depth int, introspecting bool) *gqlerror.Error {
	if m.fields++; m.fields > MaxFields {
		return tooLarge("a document", MaxFields, "fields")
	}
	if len(f.Alias) > MaxAliasSize {
		return tooLarge("an alias", MaxAliasSize, "bytes")
	}
	if depth == 1 {
		if m.roots++; m.roots > MaxRootFields {
			return tooLarge("an operation", MaxRootFields, "fields at its root")
		}
		if f.Name == "__schema" || f.Name == "__type" {
			if !m.introspection {
				return &gqlerror.Error{Message: "introspection is off on this server", Extensions: map[string]any{"code": string(belfry.Invalid)}}
			}
			introspecting = true
		}
	}
	if len(f.SelectionSet) == 0 {
		return nil
	}
	if !introspecting || depth == 1 {
		depth++
	}
	return m.walk(f.SelectionSet, depth, introspecting)
}

func tooLarge(what string, limit int, unit string) *gqlerror.Error {
	return &gqlerror.Error{
		Message:    fmt.Sprintf("%s may have at most %d %s", what, limit, unit),
		Extensions: map[string]any{"code": string(belfry.TooLarge), "limit": limit},
	}
}

// printable is a panic's value and where it happened.
func printable(p any) string { return fmt.Sprintf("%v\n%s", p, debug.Stack()) }
