package engine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow/condition"
)

// What is stored of a log is its JSON, whoever else has the same reasons.
func TestLogsAreStoredAsTheirJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	one := recipient.PreferenceReasons{{Rule: belfry.ChannelRule, Level: belfry.RecipientLevel, Node: `channels."<mail>"`, Allows: true}}
	two := recipient.PreferenceReasons{{Rule: belfry.ChannelRule, Level: belfry.TenantLevel, Node: "channels.mail"}, {Rule: belfry.MuteRule, Until: &at}}
	full := LogEntry{Step: "a", Outcome: OutcomeSent, Reason: "r", Detail: "}", At: &at, Until: &at, Message: "m", Conditions: []condition.Evaluated{{Source: "s"}}, Preferences: one}
	c := &logEncoder{}
	for range 2 {
		for _, log := range [][]LogEntry{nil, {}, {{}}, {full}, {{Outcome: OutcomeSkipped, Preferences: two}, full, {Step: "b"}}} {
			want, err := json.Marshal(log)
			if err != nil {
				t.Fatal(err)
			}
			if log == nil {
				want = []byte("[]") // null would become an entry
			}
			got, err := c.encode(log)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
	if len(c.reasons) != 2 {
		t.Errorf("%d lists of reasons were encoded, want 2", len(c.reasons))
	}
	if got, err := c.encode([]LogEntry{{Detail: "a\x00b"}}); err != nil || got != `[{"outcome":"","detail":"a\ufffdb"}]` {
		t.Errorf("%s, %v", got, err)
	}
}
