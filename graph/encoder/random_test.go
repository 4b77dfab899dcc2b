package encoder_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
)

// selections makes random selections over a schema.
type selections struct {
	t         *rapid.T
	schema    *ast.Schema
	fragments []string // their definitions
	on        []string // what type each is of
}

// variables are those that conditions may use.
var variables = []string{"$yes", "$no", "$either"}

func (s *selections) chance(percent int) bool {
	return rapid.IntRange(1, 100).Draw(s.t, "chance") <= percent
}

func (s *selections) condition() string {
	if !s.chance(15) {
		return ""
	}
	return fmt.Sprintf(" @%s(if: %s)", rapid.SampledFrom([]string{"include", "skip"}).Draw(s.t, "directive"),
		rapid.SampledFrom(append([]string{"true", "false"}, variables...)).Draw(s.t, "if"))
}

// set is a selection of a type, in braces. It is never empty, but conditions may leave nothing of it.
func (s *selections) set(def *ast.Definition, depth int) string {
	var b strings.Builder
	b.WriteString("{ ")
	for range rapid.IntRange(1, 6).Draw(s.t, "members") {
		switch {
		case depth > 0 && s.chance(20):
			on := s.related(def)
			condition := " ... on " + on.Name
			if on == def && s.chance(30) {
				condition = " ..."
			}
			b.WriteString(condition + s.condition() + " " + s.set(on, depth-1))
		case depth > 0 && s.chance(12):
			b.WriteString(" ..." + s.fragment(def, depth-1) + s.condition() + " ")
		default:
			b.WriteString(s.field(def, depth))
		}
	}
	b.WriteString("} ")
	return b.String()
}

// related is the type, or another that an object of it may be of.
func (s *selections) related(def *ast.Definition) *ast.Definition {
	out := []*ast.Definition{def}
	out = append(out, s.schema.GetPossibleTypes(def)...)
	for _, object := range s.schema.GetPossibleTypes(def) {
		out = append(out, s.schema.GetImplements(object)...)
	}
	return rapid.SampledFrom(out).Draw(s.t, "on")
}

// fragment is the name of one that fits: of before, or a new one.
func (s *selections) fragment(def *ast.Definition, depth int) string {
	on := s.related(def)
	var fitting []int
	for i := range s.fragments {
		if s.on[i] == on.Name && s.fragments[i] != "" {
			fitting = append(fitting, i)
		}
	}
	if len(fitting) > 0 && s.chance(50) {
		return fmt.Sprint("f", rapid.SampledFrom(fitting).Draw(s.t, "fragment"))
	}
	n := len(s.fragments)
	s.fragments, s.on = append(s.fragments, ""), append(s.on, on.Name)
	s.fragments[n] = fmt.Sprintf("fragment f%d on %s %s", n, on.Name, s.set(on, depth))
	return fmt.Sprint("f", n)
}

func (s *selections) field(def *ast.Definition, depth int) string {
	var fields []*ast.FieldDefinition
	for _, f := range def.Fields {
		composite := s.schema.Types[f.Type.Name()].IsCompositeType()
		needed := slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool { return a.Type.NonNull && a.DefaultValue == nil })
		if !strings.HasPrefix(f.Name, "__") && !needed && (depth > 0 || !composite) {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 || s.chance(15) {
		return rapid.SampledFrom([]string{"__typename", "kind: __typename"}).Draw(s.t, "typename") + s.condition() + " "
	}
	f := rapid.SampledFrom(fields).Draw(s.t, "field")
	if depth > 1 && (f.Name == "item" || f.Name == "blocks") && s.chance(50) {
		f = rapid.SampledFrom(fields).Draw(s.t, "another") // more of the others
	}
	if (f.Name == "preferences" || f.Name == "channelData" || f.Name == "managePreferencesUrl" || f.Name == "unsubscribeUrl") && s.chance(80) {
		f = def.Fields.ForName("id") // nothing of it could be encoded
	}
	out := ""
	switch {
	case (f.Name == "reason" || f.Name == "upTo") && s.chance(97): // of another type in another event
		out = def.Name + "_" + f.Name + ": "
	case s.chance(3) && f.Type.String() == "String!" && (f.Name == "position") == (def.Name == "FeedItemUpserted"):
		out = "x: " // of another field in another type, which is allowed
	case s.chance(20):
		out = rapid.SampledFrom([]string{f.Name + "_: ", "the_" + f.Name + ": "}).Draw(s.t, "alias")
	}
	out += f.Name + s.condition() + " "
	if of := s.schema.Types[f.Type.Name()]; of.IsCompositeType() {
		out += s.set(of, depth-1)
	}
	return out
}

// query is a subscription with its fragments, and the values of its variables.
func (s *selections) query() (query string, values map[string]any) {
	set := s.set(s.schema.Types["FeedEvent"], 5)
	body := "{ " + rapid.SampledFrom([]string{"feedEvents", "events: feedEvents"}).Draw(s.t, "root") + " " + set + "} " + strings.Join(s.fragments, "\n")
	var declared []string
	values = map[string]any{}
	for _, v := range variables {
		if !strings.Contains(body, v+")") {
			continue
		}
		switch v {
		case "$yes":
			declared = append(declared, v+": Boolean! = true")
		case "$no":
			declared = append(declared, v+": Boolean!")
			values["no"] = false
		case "$either":
			declared = append(declared, v+": Boolean!")
			values["either"] = rapid.Bool().Draw(s.t, "either")
		}
	}
	if len(declared) > 0 {
		body = "(" + strings.Join(declared, ", ") + ") " + body
	}
	return "subscription " + body, values
}

var (
	texts = rapid.OneOf(rapid.Just(""), rapid.StringN(0, 20, 60), rapid.SampledFrom([]string{
		`"quoted" \ back`, "line\nand\ttab\r", "\x00\x01\x1f\x7f", "<b>&amp;</b>", "\u2028\u2029", "héllo 🎉", "\xff\xfe", `</script>`,
	}))
	optionalTexts = rapid.Ptr(texts, true)
	times         = rapid.Custom(func(t *rapid.T) time.Time {
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		return rapid.SampledFrom([]time.Time{at.UTC(), at.In(time.FixedZone("", 7200)), {}}).Draw(t, "at")
	})
	optionalTimes = rapid.Ptr(times, true)
	badges        = rapid.Custom(func(t *rapid.T) belfry.Badge {
		n := rapid.IntRange(-1, math.MaxInt32)
		return belfry.Badge{Total: n.Draw(t, "total"), Unseen: n.Draw(t, "unseen"), Unread: n.Draw(t, "unread")}
	})
	positions = rapid.Custom(func(t *rapid.T) belfry.Position {
		return belfry.Position{Epoch: rapid.Int64Range(0, math.MaxInt64).Draw(t, "epoch"), Version: rapid.Int64Range(0, 1e9).Draw(t, "version")}
	})
	marks = rapid.SampledFrom([]belfry.Mark{belfry.Seen, belfry.Unseen, belfry.Read, belfry.Unread, belfry.Interacted, belfry.Archived, belfry.Unarchived, belfry.Pinned, belfry.Unpinned, "unheard of"})
)

// objects are JSON objects, and a few that can't be encoded.
func objects(depth int) *rapid.Generator[map[string]any] {
	leaves := []*rapid.Generator[any]{rapid.Just[any](nil), texts.AsAny(), rapid.Bool().AsAny(), rapid.Int().AsAny(), rapid.Float64Range(-1e30, 1e30).AsAny()}
	if depth > 0 {
		leaves = append(leaves, objects(depth-1).AsAny(), rapid.SliceOfN(texts, 0, 3).AsAny())
	} else {
		leaves = append(leaves, rapid.SampledFrom([]any{1.0, 2, "three", math.NaN()}))
	}
	return rapid.OneOf(rapid.Just[map[string]any](nil), rapid.MapOfN(texts, rapid.OneOf(leaves...), 0, 4))
}

func randomItem(t *rapid.T) model.FeedItem {
	return model.FeedItem{Item: &feed.Item{
		ID:    belfry.MessageID{Recipient: belfry.RecipientID(rapid.Int64Range(1, 1e9).Draw(t, "recipient")), Channel: texts.Draw(t, "channel"), Seq: rapid.Int64Range(1, 1e9).Draw(t, "seq")},
		Epoch: rapid.Int64Range(0, 1e12).Draw(t, "epoch"), TotalActivities: rapid.IntRange(0, 100).Draw(t, "activities"),
		Workflow: texts.Draw(t, "workflow"), StepRef: texts.Draw(t, "step"), Categories: rapid.SliceOfN(texts, 0, 3).Draw(t, "categories"),
		Content: belfry.Content{
			Body: belfry.Body{Format: rapid.SampledFrom([]belfry.BodyFormat{belfry.TextBody, belfry.MarkdownBody}).Draw(t, "format"),
				Content: texts.Draw(t, "content"), Rendered: texts.Draw(t, "rendered")},
			Item: rapid.Ptr(rapid.Custom(func(t *rapid.T) belfry.ItemOptions {
				return belfry.ItemOptions{ResourceKey: texts.Draw(t, "resource"), ExpiresAfter: rapid.Int64Range(0, 1e6).Draw(t, "expires"),
					Priority: rapid.SampledFrom([]belfry.Priority{"", belfry.LowPriority, belfry.UrgentPriority, "odd"}).Draw(t, "priority"),
					Severity: rapid.SampledFrom([]belfry.Severity{"", belfry.ErrorSeverity, "odd"}).Draw(t, "severity")}
			}), true).Draw(t, "options"),
			ActionURL: texts.Draw(t, "action"), Data: objects(2).Draw(t, "data"),
			Buttons: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) belfry.Button {
				return belfry.Button{Label: texts.Draw(t, "label"), Action: texts.Draw(t, "to")}
			}), 0, 3).Draw(t, "buttons"),
		},
		CreatedAt: times.Draw(t, "created"),
		State: feed.State{SeenAt: optionalTimes.Draw(t, "seen"), ReadAt: optionalTimes.Draw(t, "read"),
			InteractedAt: optionalTimes.Draw(t, "interacted"), ArchivedAt: optionalTimes.Draw(t, "archived"), SnoozedUntil: optionalTimes.Draw(t, "snoozed")},
		PinnedAt: optionalTimes.Draw(t, "pinned"),
	}}
}

func randomEvent(t *rapid.T) model.FeedEvent {
	e := feed.Event{Position: positions.Draw(t, "position"), Badge: badges.Draw(t, "badge"), Mark: marks.Draw(t, "mark"), At: times.Draw(t, "at"),
		Recipient: 7, Seqs: rapid.SliceOfN(rapid.Int64Range(1, 1e9), 0, 4).Draw(t, "seqs"), UpTo: rapid.Int64Range(0, 1e9).Draw(t, "up to"),
		Reason: rapid.SampledFrom([]feed.ResetReason{feed.TooOld, feed.UnknownPosition}).Draw(t, "reason")}
	e.Kind = rapid.SampledFrom([]feed.EventKind{feed.Upserted, feed.Upserted, feed.Upserted, feed.Patched, feed.Removed, feed.MarkedAll, feed.MarkedWhere, feed.Synced, feed.Reset}).Draw(t, "kind")
	switch e.Kind {
	case feed.Upserted:
		e.Item, e.AsOf = randomItem(t).Item, rapid.Int64Range(0, 1e9).Draw(t, "as of")
	case feed.Removed:
		e.Removal = rapid.SampledFrom([]feed.Removal{feed.Retracted, feed.Expired, feed.Retention, feed.Snoozed}).Draw(t, "removal")
	case feed.MarkedWhere:
		e.Filter = &feed.Filter{Workflows: []string{"w"}, Data: map[string]any{"n": 1.0}}
	}
	return model.NewFeedEvent(feed.Ref{Environment: 1, User: "ana", Channel: "in-app"}, e)
}

func randomUser(t *rapid.T) model.User {
	properties := objects(1).Draw(t, "properties")
	return model.User{ID: texts.Draw(t, "id"), ExternalID: texts.Draw(t, "external"), Name: optionalTexts.Draw(t, "name"), Email: optionalTexts.Draw(t, "email"),
		PhoneNumber: optionalTexts.Draw(t, "phone"), Avatar: optionalTexts.Draw(t, "avatar"), Locale: optionalTexts.Draw(t, "locale"),
		Timezone: optionalTexts.Draw(t, "zone"), Properties: properties, CreatedAt: times.Draw(t, "created"), UpdatedAt: times.Draw(t, "updated")}
}
