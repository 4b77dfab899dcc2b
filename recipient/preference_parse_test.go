package recipient

import (
	"fmt"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
)

// many makes an object with n keys.
func many(n int, value any) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprint("k", i)] = value
	}
	return m
}

func TestParsePreferences(t *testing.T) {
	t.Parallel()
	type set = map[string]any
	conditional := set{"condition": "true"}
	deep := any("x")
	for range belfry.MaxJSONDepth {
		deep = []any{deep}
	}
	span := set{"from": "22:00", "until": "07:00"}
	hours := func(spans ...any) set { return set{"quietHours": set{"hours": spans}} }
	spans := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = span
		}
		return out
	}
	for _, row := range []struct {
		name  string
		level belfry.PreferenceLevel // default: RECIPIENT
		set   set
		code  belfry.Code // empty: fine
		field string
		limit int
	}{
		{name: "nothing", set: set{}},
		{name: "nulls", set: set{"workflows": nil, "categories": set{"a": nil, "b": set{"channelTypes": nil, "condition": nil}}, "channels": set{"x": nil}, "mutes": set{"objects": nil, "workflows": set{"w": nil}}}},
		{name: "names of prototypes", set: set{"categories": set{"__proto__": false, "constructor": true}}},
		{name: "a key that means nothing", set: set{"channel_types": set{}}, code: belfry.Invalid, field: "set.channel_types"},
		{name: "a strategy of the whole set", level: belfry.TenantLevel, set: set{"strategy": "REPLACE"}, code: belfry.Invalid, field: "set.strategy"},
		{name: "no object", set: set{"workflows": true}, code: belfry.Invalid, field: "set.workflows"},
		{name: "an unknown channel type", set: set{"channelTypes": set{"telegram": true}}, code: belfry.Invalid, field: "set.channelTypes.telegram"},
		{name: "no key of a channel", set: set{"channels": set{"A b": true}}, code: belfry.Invalid, field: "set.channels.A b"},
		{name: "no key of a workflow", set: set{"workflows": set{"A b": true}}, code: belfry.Invalid, field: "set.workflows.A b"},
		{name: "a category", set: set{"categories": set{"Größe: 1/2 #": true}}},
		{name: "a long category", set: set{"categories": set{strings.Repeat("é", MaxPreferenceName): true}}},
		{name: "too long a category", set: set{"categories": set{strings.Repeat("e", MaxPreferenceName+1): true}}, code: belfry.TooLarge, field: "set.categories." + strings.Repeat("e", MaxPreferenceName+1), limit: MaxPreferenceName},
		{name: "no category", set: set{"categories": set{" ": true}}, code: belfry.Invalid, field: "set.categories. "},
		{name: "neither true nor false", set: set{"channelTypes": set{"email": "yes"}}, code: belfry.Invalid, field: "set.channelTypes.email"},
		{name: "an entry of another type", set: set{"workflows": set{"w": 1.0}}, code: belfry.Invalid, field: "set.workflows.w"},
		{name: "an entry with what means nothing", set: set{"workflows": set{"w": set{"email": false}}}, code: belfry.Invalid, field: "set.workflows.w.email"},
		{name: "nested", set: set{"workflows": set{"w": set{"channelTypes": set{"fax": false}}}}, code: belfry.Invalid, field: "set.workflows.w.channelTypes.fax"},
		{name: "otherwise", set: set{"workflows": set{"w": set{"otherwise": conditional}}}, code: belfry.Invalid, field: "set.workflows.w.otherwise"},
		{name: "a setting without a condition", set: set{"channelTypes": set{"email": set{}}}, code: belfry.Invalid, field: "set.channelTypes.email"},
		{name: "both forms", set: set{"workflows": set{"w": set{"condition": "true", "conditions": []any{}}}}, code: belfry.Invalid, field: "set.workflows.w.condition"},
		{name: "no expression", set: set{"workflows": set{"w": set{"condition": "data. >"}}}, code: belfry.Invalid, field: "set.workflows.w.condition"},
		{name: "an expression is text", set: set{"workflows": set{"w": set{"condition": 1.0}}}, code: belfry.Invalid, field: "set.workflows.w.condition"},
		{name: "no group", set: set{"workflows": set{"w": set{"conditions": set{"all": []any{set{"variable": "data.x", "operator": "like"}}}}}}, code: belfry.Invalid, field: "set.workflows.w.conditions.all[0].operator"},
		{name: "refs", set: set{"workflows": set{"w": set{"condition": "refs.inbox.seen"}}}, code: belfry.Invalid, field: "set.workflows.w.condition"},
		{name: "a strategy of a recipient", set: set{"workflows": set{"w": set{"strategy": "REPLACE"}}}, code: belfry.Invalid, field: "set.workflows.w.strategy"},
		{name: "a strategy of an environment", level: belfry.EnvironmentLevel, set: set{"channelTypes": set{"strategy": "REPLACE"}}, code: belfry.Invalid, field: "set.channelTypes.strategy"},
		{name: "strategies", level: belfry.TenantLevel, set: set{"channelTypes": set{"strategy": "REPLACE"}, "channels": set{"strategy": "MERGE"}, "categories": set{"a": set{"strategy": "REPLACE"}}}},
		{name: "a channel of that name", set: set{"channels": set{"strategy": true}}},
		{name: "another strategy", level: belfry.TenantLevel, set: set{"channels": set{"strategy": "replace"}}, code: belfry.Invalid, field: "set.channels.strategy"},
		{name: "a nested strategy", level: belfry.TenantLevel, set: set{"workflows": set{"w": set{"channels": set{"strategy": "REPLACE"}}}}, code: belfry.Invalid, field: "set.workflows.w.channels.strategy"},
		{name: "advertising for a tenant", level: belfry.RecipientTenantLevel, set: set{"commercialSubscribed": true}, code: belfry.Invalid, field: "set.commercialSubscribed"},
		{name: "mutes in a default", level: belfry.TenantLevel, set: set{"mutes": set{}}, code: belfry.Invalid, field: "set.mutes"},
		{name: "mutes", set: set{"mutes": set{"objects": set{"projects/p1": true}, "workflows": set{"w": "2026-05-04T12:00:00+02:00"}}}},
		{name: "false mutes nothing", set: set{"mutes": set{"workflows": set{"w": false}}}, code: belfry.Invalid, field: "set.mutes.workflows.w"},
		{name: "no time", set: set{"mutes": set{"workflows": set{"w": "tomorrow"}}}, code: belfry.Invalid, field: "set.mutes.workflows.w"},
		{name: "no object", set: set{"mutes": set{"objects": set{"p1": true}}}, code: belfry.Invalid, field: "set.mutes.objects.p1"},
		{name: "an id with a slash", set: set{"mutes": set{"objects": set{"a/b/c": true}}}, code: belfry.Invalid, field: "set.mutes.objects.a/b/c"},
		{name: "channels can't be muted", set: set{"mutes": set{"channels": set{}}}, code: belfry.Invalid, field: "set.mutes.channels"},
		{name: "no quiet hours", set: hours()},
		{name: "most quiet hours", set: hours(spans(MaxQuietSpans)...)},
		{name: "too many quiet hours", set: hours(spans(MaxQuietSpans + 1)...), code: belfry.TooLarge, field: "set.quietHours.hours", limit: MaxQuietSpans},
		{name: "hours are missing", set: set{"quietHours": set{"zone": "UTC"}}, code: belfry.Invalid, field: "set.quietHours.hours"},
		{name: "a zone on Mars", set: set{"quietHours": set{"zone": "Mars/Olympus", "hours": []any{}}}, code: belfry.Invalid, field: "set.quietHours.zone"},
		{name: "from when", set: hours(set{"until": "07:00"}), code: belfry.Invalid, field: "set.quietHours.hours[0].from"},
		{name: "until when", set: hours(set{"from": "22:00", "until": "7:00"}), code: belfry.Invalid, field: "set.quietHours.hours[0].until"},
		{name: "no time at all", set: hours(set{"from": "22:00", "until": "22:00"}), code: belfry.Invalid, field: "set.quietHours.hours[0].until"},
		{name: "a day that isn't", set: hours(set{"from": "22:00", "until": "07:00", "days": []any{"monday", "mon"}}), code: belfry.Invalid, field: "set.quietHours.hours[0].days[1]"},
		{name: "always quiet", set: hours(set{"from": "00:00", "until": "12:00"}, set{"from": "12:00", "until": "24:00"}), code: belfry.Invalid, field: "set.quietHours.hours"},
		{name: "most keys", set: set{"channels": many(MaxPreferenceEntries, true)}},
		{name: "too many keys", set: set{"channels": many(MaxPreferenceEntries+1, true)}, code: belfry.TooLarge, field: "set.channels", limit: MaxPreferenceEntries},
		{name: "most conditions", set: set{"channels": many(MaxPreferenceConditions, conditional)}},
		{name: "too many conditions", set: set{"channels": many(MaxPreferenceConditions, conditional), "workflows": set{"w": conditional}}, code: belfry.TooLarge, field: "set.workflows.w", limit: MaxPreferenceConditions},
		{name: "NUL", set: set{"categories": set{"a\x00": true}}, code: belfry.Invalid, field: "set.categories"},
		{name: "no UTF-8", set: set{"categories": set{"a\xff": true}}, code: belfry.Invalid, field: "set.categories"},
		{name: "deep", set: set{"categories": deep}, code: belfry.TooLarge, field: "set.categories" + strings.Repeat("[0]", belfry.MaxJSONDepth-1), limit: belfry.MaxJSONDepth},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			level := row.level
			if level == "" {
				level = belfry.RecipientLevel
			}
			_, err := ParsePreferences(row.set, level, "set")
			if row.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, row.code, row.field, row.limit)
		})
	}
}

func TestPreferencesHaveASize(t *testing.T) {
	t.Parallel()
	overhead := len(`{"workflows":{"w":{"condition":"\"\" == \"\""}}}`)
	for extra, want := range map[int]belfry.Code{0: belfry.Invalid, 1: belfry.TooLarge} { // the former only as no expression is that long
		set := map[string]any{"workflows": map[string]any{"w": map[string]any{"condition": `"` + strings.Repeat("x", MaxPreferencesSize-overhead+extra) + `" == ""`}}}
		if _, err := ParsePreferences(set, belfry.RecipientLevel, "set"); belfry.CodeOf(err) != want {
			t.Errorf("%d bytes more: %v", extra, err)
		}
	}
}

func TestMergePreferences(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, known, news, want string }{
		{"what isn't mentioned stays", `{"channelTypes":{"email":false}}`, `{"channelTypes":{"sms":false}}`, `{"channelTypes":{"email":false,"sms":false}}`},
		{"null removes", `{"channelTypes":{"email":false},"workflows":{"a":true,"b":true}}`, `{"channelTypes":null,"workflows":{"a":null}}`, `{"workflows":{"b":true}}`},
		{"what becomes empty goes", `{"workflows":{"a":{"channelTypes":{"email":true}}}}`, `{"workflows":{"a":{"channelTypes":{"email":null}}}}`, `{}`},
		{"an object laid over false", `{"workflows":{"a":false}}`, `{"workflows":{"a":{"channelTypes":{"email":true}}}}`, `{"workflows":{"a":{"otherwise":false,"channelTypes":{"email":true}}}}`},
		{"false laid over an object", `{"workflows":{"a":{"channelTypes":{"email":true},"condition":"true"}}}`, `{"workflows":{"a":false}}`, `{"workflows":{"a":false}}`},
		{"conditions are replaced by either form", `{"workflows":{"a":{"condition":"true","channelTypes":{"email":true}}}}`, `{"workflows":{"a":{"conditions":{"all":[{"variable":"data.x","operator":"exists"}]}}}}`,
			`{"workflows":{"a":{"conditions":{"all":[{"variable":"data.x","operator":"exists"}]},"channelTypes":{"email":true}}}}`},
		{"settings are replaced", `{"channels":{"a":{"condition":"true"}}}`, `{"channels":{"a":{"conditions":{"all":[{"variable":"data.x","operator":"exists"}]}}}}`, `{"channels":{"a":{"conditions":{"all":[{"variable":"data.x","operator":"exists"}]}}}}`},
		{"quiet hours are replaced", `{"quietHours":{"zone":"UTC","hours":[]}}`, `{"quietHours":{"hours":[]}}`, `{"quietHours":{"hours":[]}}`},
		{"mutes are merged", `{"mutes":{"workflows":{"a":true},"objects":{"p/1":true}}}`, `{"mutes":{"workflows":{"b":true,"a":null},"objects":{"p/1":null}}}`, `{"mutes":{"workflows":{"b":true}}}`},
		{"a strategy stays", `{"categories":{"a":{"strategy":"REPLACE","otherwise":true}}}`, `{"categories":{"a":false}}`, `{"categories":{"a":{"strategy":"REPLACE","otherwise":false}}}`},
		{"until another one is given", `{"categories":{"a":{"strategy":"REPLACE","otherwise":true}}}`, `{"categories":{"a":{"strategy":"MERGE"}}}`, `{"categories":{"a":{"strategy":"MERGE","otherwise":true}}}`},
		{"advertising", `{"commercialSubscribed":true}`, `{"commercialSubscribed":false}`, `{"commercialSubscribed":false}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			parse := func(text string) *PreferenceSet {
				s, err := ParsePreferences(decoded(t, text), belfry.TenantLevel, "set")
				if err != nil && !strings.Contains(text, "mutes") {
					t.Fatal(err)
				}
				if s == nil {
					s = &PreferenceSet{content: decoded(t, text)}
				}
				return s
			}
			got, err := parse(row.known).Merge(parse(row.news)).encode("set")
			want, _ := parse(row.want).encode("set")
			if err != nil || got != want {
				t.Errorf("got %s, want %s, %v", got, want, err)
			}
		})
	}
}
