package realtime_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

// Every goroutine of every hub and bus must be gone at the end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryBus(t *testing.T) {
	t.Parallel()
	realtimetest.RunBus(t, func(*testing.T) (a, b realtime.Bus) {
		bus := realtime.NewMemoryBus()
		return bus, bus.Peer()
	})
}

func TestRedisBus(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	realtimetest.RunBus(t, func(t *testing.T) (a, b realtime.Bus) {
		cfg := realtime.RedisConfig{URL: redis.URL, Prefix: t.Name()}
		return newRedisBus(t, cfg), newRedisBus(t, cfg)
	})
}

func TestRedisClusterBus(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	realtimetest.RunBus(t, func(t *testing.T) (a, b realtime.Bus) {
		cfg := realtime.RedisConfig{URL: cluster.URL, Prefix: t.Name()}
		return newRedisBus(t, cfg), newRedisBus(t, cfg)
	})
}

func newRedisBus(t *testing.T, cfg realtime.RedisConfig) *realtime.RedisBus {
	t.Helper()
	bus, err := realtime.NewRedisBus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return bus
}
