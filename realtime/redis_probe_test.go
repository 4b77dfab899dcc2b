package realtime_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

// A connection whose pings are answered, but which brings no publications any more.
func TestDeafConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	proxy := realtimetest.StartProxy(t, redis)
	var log syncBuffer
	bus := newRedisBus(t, realtime.RedisConfig{
		URL: proxy.URL, ProbeAfter: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	hub := realtimetest.StartHub(t, bus)
	sub := realtimetest.Subscribe(t, hub, "news")
	realtimetest.Publish(t, hub, publications("news", 1, 1)...)
	realtimetest.Receive(t, sub, 1)

	if n := proxy.Deafen(); n != 2 {
		t.Errorf("the bus has %d connections, want one to publish and one to listen", n)
	}
	realtimetest.Publish(t, hub, publications("news", 1, 1)...) // which is lost
	realtimetest.AwaitGap(t, sub)
	if s := bus.Stats(); s.FailedProbes == 0 || s.Reconnects == 0 || s.Connections != 1 {
		t.Errorf("Stats() = %+v", s)
	}
	realtimetest.Publish(t, hub, publications("news", 1, 1)...)
	realtimetest.Receive(t, sub, 1)
	if !strings.Contains(log.String(), "a probe did not come back") {
		t.Errorf("the log says %s", log.String())
	}
}

// Probes of a healthy, silent connection come back: nothing is restarted, and nobody hears of them.
func TestProbesOfASilentBus(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	cluster := realtimetest.StartCluster(t, 3)
	for name, url := range map[string]string{"server": redis.URL, "cluster": cluster.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log syncBuffer
			cfg := realtime.RedisConfig{URL: url, ProbeAfter: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			probing := newRedisBus(t, cfg)
			hub := realtimetest.StartHub(t, probing)
			sub := realtimetest.Subscribe(t, hub, "news")
			servers, published := []*realtimetest.Redis{redis}, "cmdstat_publish:calls="
			if name == "cluster" {
				servers, published = cluster.Masters, "cmdstat_spublish:calls="
			}
			eventually(t, "each server has been probed three times", func() bool {
				for _, s := range servers {
					stats, err := s.Do("INFO commandstats")
					_, calls, _ := strings.Cut(strings.Join(stats, "\n"), published)
					if err != nil || calls == "" || calls[0] < '3' {
						return false
					}
				}
				return true
			})
			if s := probing.Stats(); s.FailedProbes != 0 || s.Reconnects != 0 || s.Connections != len(servers) {
				t.Errorf("Stats() = %+v\n%s", s, log.String())
			}
			if pubs, gap := sub.Take(); len(pubs) > 0 || gap {
				t.Errorf("a subscriber got %d publications and gap %t", len(pubs), gap)
			}
		})
	}
}
