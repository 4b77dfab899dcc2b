package model

import (
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
)

// NewPreferenceSet makes the API's form of a set.
func NewPreferenceSet(id string, set *recipient.PreferenceSet) *PreferenceSet {
	content := set.Map()
	section := func(name string) map[string]any {
		if m, ok := content[name].(map[string]any); ok {
			return m
		}
		return map[string]any{}
	}
	out := &PreferenceSet{ID: id, ChannelTypes: section("channelTypes"), Channels: section("channels"), Workflows: section("workflows"),
		Categories: section("categories"), Mutes: section("mutes"), CommercialSubscribed: content["commercialSubscribed"]}
	if _, ok := content["quietHours"]; ok {
		out.QuietHours = section("quietHours")
	}
	return out
}

// Content is the preferences that the input gives, nulls included.
func (in *PreferencesInput) Content() map[string]any {
	content := map[string]any{}
	set := func(name string, v any, given bool) {
		if m, isMap := v.(map[string]any); isMap && m == nil {
			v = nil
		}
		if given {
			content[name] = v
		}
	}
	channelTypes, ok := in.ChannelTypes.ValueOK()
	set("channelTypes", channelTypes, ok)
	channels, ok := in.Channels.ValueOK()
	set("channels", channels, ok)
	workflows, ok := in.Workflows.ValueOK()
	set("workflows", workflows, ok)
	categories, ok := in.Categories.ValueOK()
	set("categories", categories, ok)
	commercial, ok := in.CommercialSubscribed.ValueOK()
	set("commercialSubscribed", commercial, ok)
	mutes, ok := in.Mutes.ValueOK()
	set("mutes", mutes, ok)
	quiet, ok := in.QuietHours.ValueOK()
	set("quietHours", quiet, ok)
	return content
}

// contents is preferences by their set, and the place of one whose set is given already; 0: there is none.
func contents(in []PreferenceSetInput) (out map[string]map[string]any, repeated int) {
	if len(in) == 0 {
		return nil, 0
	}
	out = make(map[string]map[string]any, len(in))
	for i := range in {
		if _, given := out[in[i].Set]; given {
			return nil, i
		}
		out[in[i].Set] = in[i].Preferences.Content()
	}
	return out, 0
}

// NewDecision makes the API's form of a decision. What conditions saw is for backends: it may be the environment's variables.
func NewDecision(d recipient.Decision, backend bool) (*Decision, error) {
	because, err := newReasons(d.Because)
	for i := range because {
		if !backend {
			because[i].Conditions, because[i].Detail = []map[string]any{}, nil
		}
	}
	out := &Decision{Allowed: d.Allowed, Because: because}
	if !d.NotBefore.IsZero() {
		out.NotBefore = &d.NotBefore
	}
	return out, err
}

func newReasons(reasons []recipient.PreferenceReason) ([]DecisionReason, error) {
	out := make([]DecisionReason, len(reasons))
	for i, r := range reasons {
		out[i] = DecisionReason{Rule: r.Rule, Node: optional(r.Node), Allows: r.Allows, Detail: optional(r.Detail), Until: r.Until, Conditions: []map[string]any{}}
		if r.Level != "" {
			out[i].Level = &r.Level
		}
		for _, c := range r.Conditions {
			var object map[string]any
			if err := convert(c, &object); err != nil {
				return nil, err
			}
			out[i].Conditions = append(out[i].Conditions, object)
		}
	}
	return out, nil
}

// Request is what the input asks, but for whom, and what is to be tried instead.
func (in *ExplainPreferenceInput) Request() (*engine.PreferenceRequest, error) {
	out := &engine.PreferenceRequest{Workflow: in.Workflow, Tenant: given(in.Tenant), Channel: in.Channel,
		ChannelType: belfry.ChannelType(strings.ToLower(string(in.ChannelType))), Data: in.Data, At: instant(in.At)}
	if in.Tenant != nil {
		if err := belfry.ValidateExternalID(*in.Tenant, "input.tenant"); err != nil {
			return nil, err
		}
	}
	if in.Actor != nil {
		out.Actor = belfry.User(*in.Actor)
		if err := belfry.ValidateExternalID(*in.Actor, "input.actor"); err != nil {
			return nil, err
		}
	}
	if len(in.Objects) > maxExplainedObjects {
		return nil, belfry.Beyond("input.objects", maxExplainedObjects, "objects")
	}
	for i := range in.Objects {
		ref, err := in.Objects[i].Ref("input.objects")
		if err != nil {
			return nil, err
		}
		out.Objects = append(out.Objects, ref)
	}
	return out, nil
}

// maxExplainedObjects is how many objects a message may be said to be about.
const maxExplainedObjects = 20
