package realtime_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

// A user who may do no more than docs/operations.md says is enough.
func TestDocumentedAccessListIsEnough(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "With an access list")
	section, _, _ = strings.Cut(section, "\n\n")
	single, sharded, _ := strings.Cut(section, "on a cluster")
	rules := func(text string) string {
		return " " + strings.Join(regexp.MustCompile(`[+&][a-z|:*]+`).FindAllString(text, -1), " ")
	}
	cluster := realtimetest.StartCluster(t, 3)
	for name, tt := range map[string]struct {
		servers []*realtimetest.Redis
		rules   string
	}{
		"server":  {[]*realtimetest.Redis{realtimetest.StartRedisTCP(t)}, rules(single)},
		"cluster": {cluster.Masters, rules(single) + rules(sharded)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range tt.servers {
				if reply, err := s.Do("ACL SETUSER ana on >s3cret resetchannels -@all" + tt.rules); err != nil || reply[0] != "+OK" {
					t.Fatalf("%s: %q, %v", tt.rules, reply, err)
				}
			}
			url := strings.Replace(tt.servers[0].URL, "redis://", "redis://ana:s3cret@", 1)
			bus := newRedisBus(t, realtime.RedisConfig{URL: url, ProbeAfter: realtimetest.Patience / 10})
			hub := realtimetest.StartHub(t, bus)
			var subs []*realtime.Subscription
			for _, topic := range []string{"a", "b", "c", "d", "e", "f"} {
				sub := realtimetest.Subscribe(t, hub, topic)
				subs = append(subs, sub)
				realtimetest.Publish(t, hub, publications(topic, 1, 1)...)
				realtimetest.Receive(t, sub, 1)
			}
			subs[0].Close()
			eventually(t, "probes are allowed, too", func() bool {
				for _, s := range tt.servers {
					channels, err := s.Do("PUBSUB CHANNELS *:probe:*")
					sharded, err2 := s.Do("PUBSUB SHARDCHANNELS *:probe:*")
					if err != nil || err2 != nil || len(channels)+len(sharded) != 4 {
						return false
					}
				}
				return true
			})
			for _, s := range tt.servers {
				if log, err := s.Do("ACL LOG"); err != nil || len(log) != 1 {
					t.Errorf("refused: %q (%v)", log, err)
				}
			}
			if s := bus.Stats(); s.Reconnects != 0 {
				t.Errorf("Stats() = %+v", s)
			}
		})
	}
}
