package condition

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// refs are steps in every state a message can be in.
var refs = map[string]any{
	"skipped":     map[string]any{"delivery_status": "skipped", "status_known": true},
	"undelivered": map[string]any{"delivery_status": "undelivered"},
	"bounced":     map[string]any{"delivery_status": "bounced"},
	"attempted":   map[string]any{"delivery_status": "delivery_attempted"},
	"queued":      map[string]any{"delivery_status": "queued"},
	"not_sent":    map[string]any{"delivery_status": "not_sent"},
	"sent":        map[string]any{"delivery_status": "sent", "engagement_status": []any{}},
	"delivered":   map[string]any{"delivery_status": "delivered"},
	// A receipt can arrive before the provider's report.
	"sent_read": map[string]any{"delivery_status": "sent", "engagement_status": []any{"read"}},
	"seen":      map[string]any{"delivery_status": "delivered", "engagement_status": []any{"seen"}},
	"read":      map[string]any{"delivery_status": "delivered", "engagement_status": []any{"seen", "read"}},
	"clicked":   map[string]any{"delivery_status": "delivered", "engagement_status": []any{"seen", "read", "interacted", "link_clicked"}},
	"archived":  map[string]any{"delivery_status": "delivered", "engagement_status": []any{"seen", "archived"}},
	"old":       map[string]any{"delivery_status": "delivered", "engagement_status": []any{"seen"}, "status_known": false},
	"old_skip":  map[string]any{"delivery_status": "skipped", "status_known": false},
}

func TestMessageStatus(t *testing.T) {
	t.Parallel()
	reached := "sent delivered sent_read seen read clicked archived"
	short := "undelivered bounced attempted queued not_sent"
	all := []string{"missing"}
	for ref := range refs {
		all = append(all, ref)
	}
	for _, row := range []struct{ field, operator, token, holds string }{
		{"delivery_status", "equal_to", "skipped", "skipped"},
		{"delivery_status", "not_equal_to", "skipped", "missing " + short + " " + reached},
		{"delivery_status", "equal_to", "undelivered", "undelivered"},
		{"delivery_status", "not_equal_to", "bounced", "missing skipped undelivered attempted queued not_sent " + reached},
		{"delivery_status", "equal_to", "bounced", "bounced"},
		{"delivery_status", "greater_than_or_equal_to", "sent", reached},
		{"delivery_status", "less_than", "sent", "missing skipped " + short},
		{"delivery_status", "greater_than_or_equal_to", "delivered", "delivered sent_read seen read clicked archived"},
		{"delivery_status", "less_than", "delivered", "missing skipped sent " + short},
		{"engagement_status", "contains", "seen", "seen read clicked archived"},
		{"engagement_status", "contains", "seen_not_read", "seen archived"},
		{"engagement_status", "not_contains", "seen", "missing skipped sent delivered sent_read " + short},
		{"engagement_status", "contains", "read", "sent_read read clicked"},
		{"engagement_status", "contains", "read_not_link_clicked", "sent_read read"},
		{"engagement_status", "not_contains", "read", "missing skipped sent delivered seen archived " + short},
		{"engagement_status", "contains", "interacted", "clicked"},
		{"engagement_status", "not_contains", "interacted", "missing skipped sent delivered sent_read seen read archived " + short},
		{"engagement_status", "contains", "link_clicked", "clicked"},
		{"engagement_status", "not_contains", "link_clicked", "missing skipped sent delivered sent_read seen read archived " + short},
		{"engagement_status", "contains", "archived", "archived"},
		{"engagement_status", "not_contains", "archived", "missing skipped sent delivered sent_read seen read clicked " + short},
	} {
		holds := strings.Fields(row.holds)
		for _, ref := range all {
			want := false
			for _, name := range holds {
				want = want || name == ref
			}
			variable := "refs." + ref + "." + row.field
			got, err := decide(t, Scope{"refs": refs}, variable, row.operator, `"$message.`+row.token+`"`)
			if err != nil || got != want {
				t.Errorf("%s %s %s: got %v, %v; want %v", variable, row.operator, row.token, got, err, want)
			}
			// The other form has a function for it.
			source := functionOf(row.operator) + "(" + variable + `, "$message.` + row.token + `")`
			c, err := Compile(source)
			if err != nil {
				t.Fatalf("%s: %v", source, err)
			}
			if got, err := c.Eval(Scope{"refs": refs}, noon); err != nil || got != want {
				t.Errorf("%s: got %v, %v; want %v", source, got, err, want)
			}
		}
	}
}

func TestStatusRanks(t *testing.T) {
	t.Parallel()
	order := []string{"skipped", "undelivered", "bounced", "delivery_attempted", "queued", "not_sent", "sent", "delivered", "seen", "read", "interacted", "archived"}
	for i := range order {
		if StatusRank(order[i]) != i {
			t.Errorf("%s ranks %d, want %d", order[i], StatusRank(order[i]), i)
		}
	}
	if StatusRank("link_clicked") != StatusRank("interacted") {
		t.Error("a click is an interaction")
	}
}

func TestStatusTokensGoWithTheirOperators(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ variable, operator, argument, path, message string }{
		{"refs.a.delivery_status", "equal_to", `"sent"`, "argument", `greater_than_or_equal_to or less_than with "$message.sent"`},
		{"refs.a.delivery_status", "equal_to", `"data.x"`, "argument", "status tokens only"},
		{"refs.a.delivery_status", "equal_to", `5`, "argument", "status tokens only"},
		{"refs.a.delivery_status", "exists", ``, "argument", "status tokens only"},
		{"refs.a.engagement_status", "contains", `["seen"]`, "argument", `"$message.seen_not_read"`},
		{"refs.a.engagement_status", "empty", ``, "argument", "status tokens only"},
		{"refs.a.delivery_status", "equal_to", `"$message.sent"`, "operator", "greater_than_or_equal_to or less_than"},
		{"refs.a.delivery_status", "greater_than", `"$message.sent"`, "operator", "greater_than_or_equal_to or less_than"},
		{"refs.a.delivery_status", "less_than", `"$message.skipped"`, "operator", "equal_to or not_equal_to"},
		{"refs.a.engagement_status", "equal_to", `"$message.seen"`, "operator", "contains or not_contains"},
		{"refs.a.engagement_status", "contains", `"$message.sent"`, "variable", "refs.a.delivery_status"},
		{"refs.a.delivery_status", "contains", `"$message.read"`, "variable", "refs.a.engagement_status"},
		{"refs.a.delivery_status", "equal_to", `"$message.lost"`, "argument", `"$message.skipped"`},
		{"data.status", "equal_to", `"$message.sent"`, "argument", "refs.<ref>.delivery_status"},
		{"refs.a.matched", "equal_to", `"$message.sent"`, "argument", "refs.<ref>.delivery_status"},
		{"data.status", "exists", `"$message.sent"`, "argument", "refs.<ref>.delivery_status"},
	} {
		_, err := decide(t, nil, row.variable, row.operator, row.argument)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Path != "all[0]."+row.path || !strings.Contains(e.Message, row.message) {
			t.Errorf("%s %s %s: got %v; want all[0].%s: … %s …", row.variable, row.operator, row.argument, err, row.path, row.message)
		}
	}
	// Text that merely looks like a token is quoted twice.
	argument, _ := json.Marshal(`"$message.sent"`)
	got, err := decide(t, Scope{"data": map[string]any{"x": "$message.sent"}}, "data.x", "equal_to", string(argument))
	if err != nil || !got {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWaitingStepsAreOrdinaryPaths(t *testing.T) {
	t.Parallel()
	s := Scope{"refs": map[string]any{"wait": map[string]any{"matched": true, "signal_variables": map[string]any{"order": "o1"}}}}
	for source, want := range map[string]bool{
		`refs.wait.matched and refs.wait.signal_variables.order == "o1"`: true,
		`equal_to(refs.wait.matched, true)`:                              true,
		`refs.never.matched`:                                             false,
	} {
		c, err := Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Eval(s, noon); err != nil || got != want {
			t.Errorf("%s: got %v, %v", source, got, err)
		}
	}
}
