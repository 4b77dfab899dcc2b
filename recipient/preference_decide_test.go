package recipient

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

// example is a decision as the manual writes it.
type example struct {
	Recipient, RecipientTenant, Tenant, Environment map[string]any

	Message struct {
		Workflow                       string
		Categories                     []string
		Channel                        string
		ChannelType                    belfry.ChannelType
		Commercial, Override, Critical bool
		Objects                        []string
		Data                           map[string]any
		Now                            time.Time
		Timezone                       string
	}
	Sent      bool
	NotBefore *time.Time
	Because   []string // rule, level and node; nil: not checked
	Detail    string   // part of that of the last reason
}

// decide decides an example. What it leaves out: an e-mail by the channel mail of the workflow order, on a Monday at noon.
func (e *example) decide(t *testing.T) Decision {
	t.Helper()
	parse := func(content map[string]any, level belfry.PreferenceLevel) *PreferenceSet {
		if content == nil {
			return nil
		}
		set, err := ParsePreferences(content, level, string(level))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	m := e.Message
	q := PreferenceQuestion{Workflow: m.Workflow, Categories: m.Categories, Commercial: m.Commercial, Override: m.Override, Critical: m.Critical,
		Channel: m.Channel, ChannelType: m.ChannelType, Now: m.Now, Scope: func() map[string]any { return map[string]any{"data": m.Data} }}
	if q.Workflow == "" {
		q.Workflow = "order"
	}
	if q.Channel == "" && q.ChannelType == "" {
		q.Channel, q.ChannelType = "mail", belfry.Email
	}
	if q.Now.IsZero() {
		q.Now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	}
	if m.Timezone != "" {
		zone, err := time.LoadLocation(m.Timezone)
		if err != nil {
			t.Fatal(err)
		}
		q.Zone = zone
	}
	for _, name := range m.Objects {
		collection, id, _ := strings.Cut(name, "/")
		q.Objects = append(q.Objects, belfry.RecipientRef{Collection: collection, ExternalID: id})
	}
	return Decide(PreferenceSets{parse(e.Recipient, belfry.RecipientLevel), parse(e.RecipientTenant, belfry.RecipientTenantLevel),
		parse(e.Tenant, belfry.TenantLevel), parse(e.Environment, belfry.EnvironmentLevel)}, q)
}

// check reads an example and sees that it is so.
func checkExample(t *testing.T, text string) {
	t.Helper()
	var e example
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	got := e.decide(t)
	if got.Allowed != e.Sent {
		t.Errorf("allowed is %v, because %+v:\n%s", got.Allowed, got.Because, text)
	}
	if want := e.NotBefore; want != nil && !got.NotBefore.Equal(*want) || want == nil && !got.NotBefore.IsZero() {
		t.Errorf("not before %s:\n%s", got.NotBefore, text)
	}
	because := []string{}
	for _, r := range got.Because {
		line := strings.TrimSpace(string(r.Rule) + " " + string(r.Level) + " " + r.Node)
		if !r.Allows {
			line += " denies"
		}
		because = append(because, strings.Join(strings.Fields(line), " "))
	}
	if e.Because != nil {
		if diff := cmp.Diff(e.Because, because); diff != "" {
			t.Errorf("because (-want +got):\n%s%s", diff, text)
		}
	}
	if e.Detail != "" && (len(got.Because) == 0 || !strings.Contains(got.Because[len(got.Because)-1].Detail, e.Detail)) {
		t.Errorf("the last reason doesn't say %q: %+v", e.Detail, got.Because)
	}
}

var manualExample = regexp.MustCompile("(?s)```json\n(.*?)```")

// Every example of the manual is as the manual says.
func TestExamplesOfTheManual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/preferences.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := manualExample.FindAllStringSubmatch(string(text), -1)
	decided := 0
	for _, block := range blocks {
		if strings.Contains(block[1], `"sent":`) {
			decided++
			checkExample(t, block[1])
			continue
		}
		content, err := decode([]byte(block[1]))
		if err == nil {
			_, err = ParsePreferences(content, belfry.RecipientLevel, "set")
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	if decided < 15 {
		t.Errorf("only %d examples were found", decided)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, text string }{
		// Levels.
		{"nobody said anything", `{"sent": true, "because": []}`},
		{"empty sets say nothing", `{"recipient": {}, "recipientTenant": {}, "tenant": {}, "environment": {}, "sent": true, "because": []}`},
		{"no tenant: the recipient before the environment", `{"recipient": {"workflows": {"order": true}}, "environment": {"workflows": {"order": false}}, "sent": true,
			"because": ["WORKFLOW RECIPIENT workflows.order"]}`},
		{"the environment says what the recipient doesn't", `{"recipient": {"workflows": {"other": true}}, "environment": {"workflows": {"order": false}}, "sent": false,
			"because": ["WORKFLOW ENVIRONMENT workflows.order denies"]}`},
		{"tenant: the recipient's set for it before its default", `{"recipientTenant": {"workflows": {"order": true}}, "tenant": {"workflows": {"order": false}}, "sent": true}`},
		{"tenant: its default before the environment's", `{"tenant": {"workflows": {"order": true}}, "environment": {"workflows": {"order": false}}, "sent": true}`},
		{"tenant: the environment's counts if it says nothing", `{"tenant": {"workflows": {"other": true}}, "environment": {"workflows": {"order": false}}, "sent": false}`},
		{"tenant: the recipient's default set is not asked", `{"recipient": {"workflows": {"order": false}}, "tenant": {}, "sent": true, "because": []}`},
		{"nor if only the recipient has a set for it", `{"recipient": {"workflows": {"order": false}}, "recipientTenant": {}, "sent": true}`},
		{"a tenant about which nobody said anything is as none", `{"recipient": {"workflows": {"order": false}}, "environment": {"workflows": {"order": true}}, "sent": false}`},

		// All that applies must be true.
		{"the channel type is false", `{"recipient": {"channelTypes": {"email": false}, "workflows": {"order": true}}, "sent": false,
			"because": ["CHANNEL RECIPIENT channelTypes.email denies", "WORKFLOW RECIPIENT workflows.order"]}`},
		{"another channel type is false", `{"recipient": {"channelTypes": {"sms": false}}, "sent": true}`},
		{"the workflow is false", `{"recipient": {"channelTypes": {"email": true}, "workflows": {"order": false}}, "sent": false}`},
		{"one of several categories is false", `{"recipient": {"categories": {"a": true, "b": false, "c": true}}, "message": {"categories": ["a", "b", "c"]}, "sent": false,
			"because": ["CATEGORY RECIPIENT categories.a", "CATEGORY RECIPIENT categories.b denies", "CATEGORY RECIPIENT categories.c"]}`},
		{"a false category denies even if all else is true", `{"recipient": {"channelTypes": {"email": true}, "channels": {"mail": true}, "workflows": {"order": true}, "categories": {"a": false}}, "message": {"categories": ["a"]}, "sent": false}`},
		{"a category of another workflow", `{"recipient": {"categories": {"a": false}}, "message": {"categories": ["b"]}, "sent": true}`},
		{"nested in a workflow: the channel type", `{"recipient": {"workflows": {"order": {"channelTypes": {"email": false}}}}, "sent": false}`},
		{"nested in a category: the channel type", `{"recipient": {"categories": {"a": {"channelTypes": {"email": false}}}}, "message": {"categories": ["a"]}, "sent": false}`},
		{"a nested true doesn't help against a false above", `{"recipient": {"channelTypes": {"email": false}, "workflows": {"order": {"channelTypes": {"email": true}}}}, "sent": false}`},
		{"nor a true category against a false workflow", `{"recipient": {"workflows": {"order": false}, "categories": {"a": true}}, "message": {"categories": ["a"]}, "sent": false}`},

		// Channels and their types.
		{"true channel, false type", `{"recipient": {"channels": {"mail": true}, "channelTypes": {"email": false}}, "sent": true, "because": ["CHANNEL RECIPIENT channels.mail"]}`},
		{"false channel, true type", `{"recipient": {"channels": {"mail": false}, "channelTypes": {"email": true}}, "sent": false}`},
		{"the same within a workflow", `{"recipient": {"workflows": {"order": {"channels": {"mail": true}, "channelTypes": {"email": false}}}}, "sent": true}`},
		{"a true channel at the top doesn't help against a nested type", `{"recipient": {"channels": {"mail": true}, "workflows": {"order": {"channelTypes": {"email": false}}}}, "sent": false}`},
		{"a nested true channel doesn't help against a type at the top", `{"recipient": {"channelTypes": {"email": false}, "workflows": {"order": {"channels": {"mail": true}}}}, "sent": false}`},
		{"a higher level's type beats a lower level's channel", `{"recipient": {"channelTypes": {"email": false}}, "environment": {"channels": {"mail": true}}, "sent": false}`},
		{"and so within an entry", `{"recipient": {"workflows": {"order": {"channelTypes": {"email": false}}}}, "environment": {"workflows": {"order": {"channels": {"mail": true}}}}, "sent": false}`},

		// Mixed entries.
		{"a plain value is all there is to say", `{"recipient": {"workflows": {"order": true}}, "environment": {"workflows": {"order": {"channelTypes": {"email": false}, "condition": "false"}}}, "sent": true}`},
		{"below, it holds for what isn't named above", `{"recipient": {"workflows": {"order": {"channelTypes": {"sms": true}}}}, "environment": {"workflows": {"order": false}}, "sent": false}`},
		{"and not for what is", `{"recipient": {"workflows": {"order": {"channelTypes": {"email": true}}}}, "environment": {"workflows": {"order": false}}, "sent": true,
			"because": ["WORKFLOW RECIPIENT workflows.order.channelTypes.email"]}`},
		{"objects complete each other", `{"recipient": {"workflows": {"order": {"channelTypes": {"sms": true}}}}, "environment": {"workflows": {"order": {"channelTypes": {"email": false, "sms": false}}}}, "sent": false}`},
		{"a condition below counts beside a channel above", `{"recipient": {"workflows": {"order": {"channelTypes": {"email": true}}}}, "environment": {"workflows": {"order": {"condition": "false"}}}, "sent": false}`},
		{"a condition above replaces the one below", `{"recipient": {"workflows": {"order": {"condition": "true"}}}, "environment": {"workflows": {"order": {"condition": "false"}}}, "sent": true}`},
		{"otherwise", `{"recipient": {"workflows": {"order": {"channelTypes": {"sms": true}, "otherwise": false}}}, "sent": false, "because": ["WORKFLOW RECIPIENT workflows.order.otherwise denies"]}`},

		// Nodes of a tenant that replace.
		{"a tenant's entry outranks the recipient's", `{"recipientTenant": {"workflows": {"order": false}}, "tenant": {"workflows": {"order": {"strategy": "REPLACE", "otherwise": true}}}, "sent": true}`},
		{"only that one", `{"recipientTenant": {"workflows": {"order": false}}, "tenant": {"workflows": {"other": {"strategy": "REPLACE", "otherwise": true}}}, "sent": false}`},
		{"taken back", `{"recipientTenant": {"workflows": {"order": false}}, "tenant": {"workflows": {"order": {"strategy": "MERGE", "otherwise": true}}}, "sent": false}`},
		{"a category", `{"recipientTenant": {"categories": {"a": true}}, "tenant": {"categories": {"a": {"strategy": "REPLACE", "channelTypes": {"email": false}}}}, "message": {"categories": ["a"]}, "sent": false}`},
		{"the channel types", `{"recipientTenant": {"channelTypes": {"email": true}}, "tenant": {"channelTypes": {"strategy": "REPLACE", "email": false}}, "sent": false}`},
		{"the recipient's channel types are not asked at all", `{"recipientTenant": {"channelTypes": {"email": false}}, "tenant": {"channelTypes": {"strategy": "REPLACE", "sms": true}}, "sent": true}`},
		{"the recipient's channels still are", `{"recipientTenant": {"channels": {"mail": false}}, "tenant": {"channelTypes": {"strategy": "REPLACE", "sms": true}}, "sent": false}`},
		{"and beat the tenant's types", `{"recipientTenant": {"channels": {"mail": true}}, "tenant": {"channelTypes": {"strategy": "REPLACE", "email": false}}, "sent": true}`},
		{"but not both", `{"recipientTenant": {"channels": {"mail": true}}, "tenant": {"channels": {"strategy": "REPLACE"}, "channelTypes": {"strategy": "REPLACE", "email": false}}, "sent": false}`},
		{"the channels", `{"recipientTenant": {"channels": {"mail": false}}, "tenant": {"channels": {"strategy": "REPLACE", "mail": true}}, "sent": true}`},

		// Conditions.
		{"true", `{"recipient": {"workflows": {"order": {"condition": "data.total > 100"}}}, "message": {"data": {"total": 101}}, "sent": true}`},
		{"false", `{"recipient": {"workflows": {"order": {"condition": "data.total > 100"}}}, "message": {"data": {"total": 100}}, "sent": false}`},
		{"all must be true", `{"recipient": {"workflows": {"order": {"conditions": {"all": [{"variable": "data.a", "operator": "equal_to", "argument": 1}, {"variable": "data.b", "operator": "equal_to", "argument": 1}]}}}}, "message": {"data": {"a": 1}}, "sent": false}`},
		{"a list is all of it", `{"recipient": {"workflows": {"order": {"conditions": [{"variable": "data.a", "operator": "equal_to", "argument": 1}]}}}, "message": {"data": {"a": 1}}, "sent": true}`},
		{"at a channel type", `{"recipient": {"channelTypes": {"email": {"condition": "data.urgent == true"}}}, "message": {"data": {"urgent": false}}, "sent": false, "because": ["CHANNEL RECIPIENT channelTypes.email denies"]}`},
		{"at a nested channel", `{"recipient": {"categories": {"a": {"channels": {"mail": {"condition": "data.urgent == true"}}}}}, "message": {"categories": ["a"], "data": {"urgent": false}}, "sent": false}`},
		{"one that can't be evaluated is false", `{"recipient": {"workflows": {"order": {"condition": "data.total > 100"}}}, "sent": false, "detail": "default with ??"}`},

		// Advertising, and workflows that override.
		{"advertising to who has unsubscribed", `{"recipient": {"commercialSubscribed": false}, "message": {"commercial": true}, "sent": false, "because": ["COMMERCIAL RECIPIENT commercialSubscribed denies"]}`},
		{"what is no advertising isn't affected", `{"recipient": {"commercialSubscribed": false}, "sent": true, "because": []}`},
		{"it is asked of the default set, with a tenant too", `{"recipient": {"commercialSubscribed": false}, "recipientTenant": {"workflows": {"order": true}}, "tenant": {"commercialSubscribed": true}, "message": {"commercial": true}, "sent": false}`},
		{"and outranks defaults", `{"recipient": {"commercialSubscribed": true}, "environment": {"commercialSubscribed": false}, "message": {"commercial": true}, "sent": true}`},
		{"opt-in by default", `{"environment": {"commercialSubscribed": false}, "message": {"commercial": true}, "sent": false}`},
		{"advertising is subject to all else, too", `{"recipient": {"commercialSubscribed": true, "channelTypes": {"email": false}}, "message": {"commercial": true}, "sent": false}`},
		{"with a condition", `{"recipient": {"commercialSubscribed": {"condition": "data.rebate >= 50"}}, "message": {"commercial": true, "data": {"rebate": 10}}, "sent": false}`},
		{"a workflow that overrides", `{"recipient": {"channelTypes": {"email": false}, "workflows": {"order": false}, "mutes": {"workflows": {"order": true}}}, "message": {"override": true}, "sent": true, "because": ["OVERRIDE"]}`},
		{"advertising can't override", `{"recipient": {"commercialSubscribed": false}, "message": {"commercial": true, "override": true}, "sent": false}`},
		{"unless it is welcome", `{"recipient": {"commercialSubscribed": true, "channelTypes": {"email": false}}, "message": {"commercial": true, "override": true}, "sent": true, "because": ["COMMERCIAL RECIPIENT commercialSubscribed", "OVERRIDE"]}`},

		// Mutes.
		{"a workflow, for good", `{"recipient": {"mutes": {"workflows": {"order": true}}}, "sent": false, "because": ["MUTE RECIPIENT mutes.workflows.order denies"]}`},
		{"until a time", `{"recipient": {"mutes": {"workflows": {"order": "2026-05-04T12:00:01Z"}}}, "sent": false}`},
		{"until then and no longer", `{"recipient": {"mutes": {"workflows": {"order": "2026-05-04T14:00:00+02:00"}}}, "sent": true}`},
		{"a category", `{"recipient": {"mutes": {"categories": {"a": true}}}, "message": {"categories": ["b", "a"]}, "sent": false}`},
		{"an object", `{"recipient": {"mutes": {"objects": {"projects/p1": true}}}, "message": {"objects": ["projects/p2", "projects/p1"]}, "sent": false}`},
		{"another object", `{"recipient": {"mutes": {"objects": {"projects/p1": true}}}, "message": {"objects": ["projects/p2"]}, "sent": true}`},
		{"in the default set it holds for all tenants", `{"recipient": {"mutes": {"workflows": {"order": true}}}, "recipientTenant": {}, "sent": false}`},
		{"in the tenant's only there", `{"recipientTenant": {"mutes": {"workflows": {"order": true}}}, "sent": false}`},
		{"a tenant's override doesn't unmute", `{"recipientTenant": {"mutes": {"workflows": {"order": true}}}, "tenant": {"workflows": {"order": {"strategy": "REPLACE", "otherwise": true}}}, "sent": false}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			checkExample(t, row.text)
		})
	}
}

func TestQuietHours(t *testing.T) {
	t.Parallel()
	nights := `{"recipient": {"quietHours": {"hours": [{"from": "22:00", "until": "07:00"}]}}, `
	for _, row := range []struct{ name, text string }{
		{"by day", nights + `"sent": true, "because": []}`},
		{"before midnight", nights + `"message": {"now": "2026-05-04T23:00:00Z"}, "sent": true, "notBefore": "2026-05-05T07:00:00Z", "because": ["QUIET_HOURS RECIPIENT quietHours"]}`},
		{"after midnight", nights + `"message": {"now": "2026-05-05T03:00:00Z"}, "sent": true, "notBefore": "2026-05-05T07:00:00Z"}`},
		{"the first moment is quiet", nights + `"message": {"now": "2026-05-04T22:00:00Z"}, "sent": true, "notBefore": "2026-05-05T07:00:00Z"}`},
		{"the last is not", nights + `"message": {"now": "2026-05-04T07:00:00Z"}, "sent": true}`},
		{"by the recipient's clock", nights + `"message": {"now": "2026-05-04T21:00:00Z", "timezone": "Europe/Berlin"}, "sent": true, "notBefore": "2026-05-05T05:00:00Z"}`},
		{"by a zone of their own", `{"recipient": {"quietHours": {"zone": "America/New_York", "hours": [{"from": "22:00", "until": "07:00"}]}},
			"message": {"now": "2026-05-05T03:00:00Z", "timezone": "Europe/Berlin"}, "sent": true, "notBefore": "2026-05-05T11:00:00Z"}`},
		{"in-app messages don't wait", nights + `"message": {"now": "2026-05-04T23:00:00Z", "channelType": "in_app", "channel": "in-app"}, "sent": true}`},
		{"nor do those of critical workflows", nights + `"message": {"now": "2026-05-04T23:00:00Z", "critical": true}, "sent": true}`},
		{"nor of those that override preferences", nights + `"message": {"now": "2026-05-04T23:00:00Z", "override": true}, "sent": true}`},
		{"critical is nothing else", `{"recipient": {"workflows": {"order": false}}, "message": {"critical": true}, "sent": false}`},
		{"what is denied doesn't wait", `{"recipient": {"workflows": {"order": false}, "quietHours": {"hours": [{"from": "00:00", "until": "23:00"}]}}, "sent": false}`},
		{"a night belongs to the day on which it begins", `{"recipient": {"quietHours": {"hours": [{"days": ["monday"], "from": "22:00", "until": "07:00"}]}}, "message": {"now": "2026-05-05T06:00:00Z"}, "sent": true, "notBefore": "2026-05-05T07:00:00Z"}`},
		{"and no other", `{"recipient": {"quietHours": {"hours": [{"days": ["monday"], "from": "22:00", "until": "07:00"}]}}, "message": {"now": "2026-05-05T23:00:00Z"}, "sent": true}`},
		{"whole days", `{"recipient": {"quietHours": {"hours": [{"days": ["saturday", "sunday"], "from": "00:00", "until": "24:00"}]}}, "message": {"now": "2026-05-09T10:00:00Z"}, "sent": true, "notBefore": "2026-05-11T00:00:00Z"}`},
		{"entries that touch are one", `{"recipient": {"quietHours": {"hours": [{"from": "11:00", "until": "13:00"}, {"from": "13:00", "until": "14:30"}]}}, "sent": true, "notBefore": "2026-05-04T14:30:00Z"}`},
		{"the clock goes forward: seven is an hour sooner", nights + `"message": {"now": "2026-03-28T22:00:00Z", "timezone": "Europe/Berlin"}, "sent": true, "notBefore": "2026-03-29T05:00:00Z"}`},
		{"the clock goes back: three comes twice, and is loud the first time", `{"recipient": {"quietHours": {"hours": [{"from": "22:00", "until": "02:30"}]}},
			"message": {"now": "2026-10-24T23:00:00Z", "timezone": "Europe/Berlin"}, "sent": true, "notBefore": "2026-10-25T00:30:00Z"}`},
		{"the tenant's set before the default one", `{"recipient": {"quietHours": {"hours": [{"from": "11:00", "until": "13:00"}]}}, "recipientTenant": {"quietHours": {"hours": []}}, "sent": true}`},
		{"the default one counts with a tenant, too", `{"recipient": {"quietHours": {"hours": [{"from": "11:00", "until": "13:00"}]}}, "recipientTenant": {}, "sent": true, "notBefore": "2026-05-04T13:00:00Z"}`},
		{"and before the environment's", `{"recipient": {"quietHours": {"hours": [{"from": "11:00", "until": "13:00"}]}}, "environment": {"quietHours": {"hours": [{"from": "11:00", "until": "15:00"}]}}, "sent": true, "notBefore": "2026-05-04T13:00:00Z"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			checkExample(t, row.text)
		})
	}
}

// A log must stay small, however much there is to say.
func TestAnExplanationIsBounded(t *testing.T) {
	t.Parallel()
	long := map[string]any{"text": strings.Repeat("x", 10_000)}
	e := example{Recipient: map[string]any{"categories": map[string]any{}}}
	e.Message.Data = long
	for i := range 20 {
		name := strings.Repeat("c", i+1)
		e.Message.Categories = append(e.Message.Categories, name)
		e.Recipient["categories"].(map[string]any)[name] = map[string]any{"condition": `data.text == "` + strings.Repeat("y", 1000) + `"`}
	}
	got := e.decide(t)
	b, err := json.Marshal(got.Because)
	if err != nil || len(b) > 20<<10 || len(got.Because) != 20 {
		t.Errorf("%d reasons of %d bytes, %v", len(got.Because), len(b), err)
	}
	if len(got.Because[0].Conditions) == 0 {
		t.Error("it doesn't say what the condition saw")
	}
}
