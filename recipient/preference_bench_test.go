package recipient

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry"
)

// What a run pays: reading two stored sets and the defaults' share, and one decision.
func BenchmarkDecide(b *testing.B) {
	stored := []byte(`{"channelTypes": {"email": true, "sms": false}, "workflows": {"order": {"channelTypes": {"email": true}}, "comment": false, "invite": true},
		"categories": {"news": false, "billing": {"channelTypes": {"in_app": true, "email": false}}}, "quietHours": {"hours": [{"from": "22:00", "until": "07:00"}]}}`)
	q := PreferenceQuestion{Workflow: "order", Categories: []string{"billing"}, Channel: "in-app", ChannelType: belfry.InApp, Now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decode(stored); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodePreferences(stored); err != nil {
				b.Fatal(err)
			}
		}
	})
	set, err := decodePreferences(stored)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decide", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !Decide(PreferenceSets{Recipient: set, Environment: set}, q).Allowed {
				b.Fatal("denied")
			}
		}
	})
}
