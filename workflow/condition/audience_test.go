package condition

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// Both forms ask the scope's Membership for the recipient as it is now.
func TestAudienceMembership(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	is := Membership(func(recipient map[string]any, audience string, at time.Time) bool {
		return at.Equal(now) && (audience == "everybody" || audience == "1001" || audience == "pros" && recipient["plan"] == "pro")
	})
	scope := func(plan string) Scope {
		return Scope{"recipient": map[string]any{"id": "ana", "plan": plan}, AudiencesKey: is}
	}
	for source, want := range map[string]struct {
		pro, free, alone bool // alone: a scope without a Membership
		audiences        []string
	}{
		`is_audience_member(recipient.id, "everybody")`:                                                 {true, true, false, []string{"everybody"}},
		`is_audience_member(recipient.id, "pros")`:                                                      {true, false, false, []string{"pros"}},
		`is_not_audience_member(recipient.id, "pros")`:                                                  {false, true, true, []string{"pros"}},
		`is_audience_member(recipient.id, "nobody") or is_audience_member(recipient.id, "pros")`:        {true, false, false, []string{"nobody", "pros"}},
		`recipient.id == "ana" and not is_audience_member(recipient.id, "pros")`:                        {false, true, true, []string{"pros"}},
		`{"all": [{"variable": "recipient.id", "operator": "is_audience_member", "argument": "1001"}]}`: {true, true, false, []string{"1001"}},
	} {
		c, err := Compile(source)
		if source[0] == '{' {
			var g Group
			if err := json.Unmarshal([]byte(source), &g); err != nil {
				t.Fatal(err)
			}
			c, err = CompileGroup(g)
		}
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := c.Audiences(); !slices.Equal(got, want.audiences) {
			t.Errorf("%s asks for %q", source, got)
		}
		for name, x := range map[string]struct {
			scope Scope
			want  bool
		}{"pro": {scope("pro"), want.pro}, "free": {scope("free"), want.free}, "alone": {Scope{"recipient": map[string]any{"id": "ana"}}, want.alone}} {
			if got, err := c.Eval(x.scope, now); got != x.want || err != nil {
				t.Errorf("%s for %s: %v, %v", source, name, got, err)
			}
		}
	}
}
