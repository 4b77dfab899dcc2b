package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/realtime/realtimetest"
)

const (
	busUsers = 5
	busPause = 15 * time.Millisecond // between two requests of one of the clients
	busSoon  = 15 * time.Second      // less than the 30 seconds between two sweeps
)

// weather is a fleet, what carries its bells, and how that fails: once each time that strike is called.
type weather struct {
	*fleet
	redis   *realtimetest.Redis
	proxies []*realtimetest.Proxy // between each node and Redis
	cluster *realtimetest.Cluster
	strike  func(w *weather, r *rand.Rand)
	soon    time.Duration // within which all are told once all is well
}

// TestBadWeather is the claim of the bus: whatever happens to Redis, to a node or to the network between the two, while
// backends trigger and people mark. In the end each device of each user, on whichever node, was told of each version of
// its feed once, in order, and all have the badge that the database has; and soon: only a node that dies between a commit
// and its publication leaves others something to find with the next sweep. How long it lasts, BELFRY_TEST_BUS_FOR says.
func TestBadWeather(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		nodes  int
		soon   time.Duration
		strike func(w *weather, r *rand.Rand)
	}{
		"redis is killed and comes back": {2, busSoon, func(w *weather, r *rand.Rand) {
			w.redis.Stop()
			lasts(r, 1500*time.Millisecond)
			w.redis.Restart()
		}},
		"redis restarts at once": {3, busSoon, func(w *weather, _ *rand.Rand) { w.redis.Restart() }},
		"redis stands still": {2, busSoon, func(w *weather, r *rand.Rand) {
			w.redis.Freeze()
			lasts(r, 5*time.Second) // more than it takes to be given up, or less
			w.redis.Thaw()
		}},
		"a node is killed": {3, patience, func(w *weather, r *rand.Rand) {
			place := r.IntN(len(w.nodes))
			w.current(place).kill()
			lasts(r, time.Second)
			w.start(place)
		}},
		"a node is cut off from redis": {3, busSoon, func(w *weather, r *rand.Rand) {
			p := w.proxies[r.IntN(len(w.proxies))]
			p.Partition()
			lasts(r, 6*time.Second)
			p.Heal()
		}},
		"everything at once": {3, patience, func(w *weather, r *rand.Rand) {
			cut, killed := r.IntN(len(w.nodes)), r.IntN(len(w.nodes))
			w.proxies[cut].Partition()
			w.current(killed).kill()
			w.redis.Restart()
			lasts(r, 2*time.Second)
			w.proxies[cut].Heal()
			w.start(killed)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &weather{redis: realtimetest.StartRedis(t), strike: tt.strike, soon: tt.soon}
			var each []settings
			for range tt.nodes {
				p := realtimetest.StartProxy(t, w.redis)
				w.proxies = append(w.proxies, p)
				each = append(each, settings{"BELFRY_REDIS_URL": p.URL})
			}
			w.fleet = newFleet(t, each...)
			w.endure()
		})
	}
}

// TestBadWeatherOfACluster is TestBadWeather on a Redis Cluster: slots move, and masters die.
func TestBadWeatherOfACluster(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		replica bool
		strike  func(w *weather, r *rand.Rand)
	}{
		"slots move": {false, func(w *weather, r *rand.Rand) {
			for _, channel := range w.channels(3) {
				from := w.cluster.Owner(channel)
				if to := w.cluster.Masters[r.IntN(3)]; to != from {
					w.cluster.Move(w.cluster.Slot(channel), from, to)
				}
			}
			lasts(r, time.Second)
		}},
		"a master restarts": {false, func(w *weather, r *rand.Rand) {
			master := w.cluster.Masters[r.IntN(3)]
			master.Stop()
			lasts(r, 2*time.Second)
			master.Restart()
			w.cluster.AwaitSound(w.cluster.Masters...)
		}},
		"a replica takes over": {true, func(w *weather, r *rand.Rand) {
			w.redis.Stop() // the second time it is dead already
			lasts(r, time.Second)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &weather{cluster: realtimetest.StartCluster(t, 3), strike: tt.strike, soon: busSoon}
			s := settings{"BELFRY_REDIS_URL": w.cluster.URL}
			w.fleet = newFleet(t, s, s)
			if tt.replica {
				w.redis = w.cluster.Masters[0]
				w.cluster.AddReplica(w.redis)
			}
			w.endure()
		})
	}
}

// lasts waits for up to some time: how long something goes on must not always be the same.
func lasts(r *rand.Rand, most time.Duration) { time.Sleep(time.Duration(r.Int64N(int64(most)))) }

func (w *weather) user(i int) string { return fmt.Sprint("user-", i) }

// channels returns channels in the slots of up to n of those that nodes listen to.
func (w *weather) channels(n int) (channels []string) {
	w.t.Helper()
	for _, master := range w.cluster.Masters {
		reply, err := master.Do("PUBSUB SHARDCHANNELS belfry:{*")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, line := range reply {
			if channel, _, ok := strings.Cut(line, "}"); ok && len(channels) < n {
				channels = append(channels, channel+"}")
			}
		}
	}
	if len(channels) == 0 {
		w.t.Error("nobody listens to anything")
	}
	return channels
}

// endure has bad weather over load and devices, and looks at what came of it.
func (w *weather) endure() {
	w.t.Helper()
	storeWorkflow(w.t, w.backend, simpleWorkflow("load"))
	for i := range busUsers {
		identify(w.t, w.backend, w.user(i))
	}
	devices, send := w.devices()
	defer send()
	ctx, cancel := context.WithCancel(w.t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	load.Go(func() { w.triggers(ctx) })
	load.Go(func() { w.marks(ctx) })

	r, strikes := w.random(0), 0
	for began := time.Now(); strikes == 0 || time.Since(began) < durationFrom(w.t, "BELFRY_TEST_BUS_FOR", 3*time.Second); strikes++ {
		lasts(r, time.Second)
		w.strike(w, r)
	}
	// The last time, the load ends in the midst of it: no later publication gives away that others were lost.
	end := time.AfterFunc(time.Duration(r.Int64N(int64(time.Second))), cancel)
	defer end.Stop()
	w.strike(w, r)
	<-ctx.Done()
	load.Wait()
	began := time.Now()
	events := w.check(devices)
	w.t.Logf("struck %d times and once more; %d events; all devices were up to date %v after the last request", strikes, events, time.Since(began).Round(time.Millisecond))
	if events < 10*busUsers*len(w.nodes) {
		w.t.Errorf("only %d events: that was no load", events)
	}
}

// devices starts a device of each user on each node, and returns when all of them follow.
func (w *weather) devices() (all []*device, end func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var running sync.WaitGroup
	for i := range busUsers {
		for place := range w.nodes {
			d := newDevice(w.fleet, w.user(i), place)
			all = append(all, d)
			running.Go(func() { d.run(ctx) })
		}
	}
	end = func() {
		cancel()
		running.Wait()
	}
	for _, d := range all {
		select {
		case <-d.synced:
		case <-time.After(patience):
			end()
			w.t.Fatal("a device isn't served")
		}
	}
	return all, end
}

// triggers is a backend.
func (w *weather) triggers(ctx context.Context) {
	r := w.random(1)
	for n := 0; ctx.Err() == nil; n++ {
		var to []string
		for _, i := range r.Perm(busUsers)[:1+r.IntN(busUsers)] {
			to = append(to, w.user(i))
		}
		key := fmt.Sprint("request-", n)
		input := vars{"workflow": "load", "recipients": users(to...), "data": vars{"text": key}, "idempotencyKey": key}
		if err := w.untilAnswered(r, triggerWorkflow, input, func(a answer) error { return decode(a, new(any)) }); err != nil {
			w.t.Errorf("%s: %v", key, err)
			return
		}
		time.Sleep(busPause)
	}
}

// marks is people who read and change their minds.
func (w *weather) marks(ctx context.Context) {
	r := w.random(2)
	for ctx.Err() == nil {
		input := vars{"feed": vars{"user": w.user(r.IntN(busUsers))}, "all": true,
			"as": []string{"SEEN", "READ", "UNREAD", "UNSEEN", "ARCHIVED", "UNARCHIVED"}[r.IntN(6)]}
		if err := w.untilAnswered(r, markItems, input, func(a answer) error { return decode(a, new(any)) }); err != nil {
			w.t.Errorf("mark: %v", err)
			return
		}
		time.Sleep(busPause)
	}
}

// check waits until all devices are where the database is, and says how many events they had.
func (w *weather) check(devices []*device) (events int) {
	w.t.Helper()
	eventually(w.t, "everything that was accepted is done", func() bool {
		var left int
		err := w.pool.QueryRow(w.t.Context(), `SELECT (SELECT count(*) FROM fan_outs) + (SELECT count(*) FROM runs WHERE status = 'waiting')`).Scan(&left)
		return err == nil && left == 0
	})
	pages := make(map[string]page)
	for i := range busUsers {
		items, last := readAll(w.t, w.env.user(w.t, w.current(i), w.user(i)), nil)
		pages[w.user(i)] = last
		var counted badge
		for _, it := range items {
			counted.Total++
			if it.SeenAt == nil {
				counted.Unseen++
			}
			if it.ReadAt == nil {
				counted.Unread++
			}
		}
		if counted != last.Items.Badge {
			w.t.Errorf("%s has the badge %+v, but counting says %+v", w.user(i), last.Items.Badge, counted)
		}
	}
	deadline := time.Now().Add(w.soon)
	for _, d := range devices {
		want := pages[d.user].Items
		for !d.at(want.Position, want.Badge) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		d.mu.Lock()
		if d.wrong != nil || d.position.String() != want.Position || d.badge != want.Badge {
			w.t.Errorf("the device of %s on node %d, after %d connections, is at %v with %+v, want %s with %+v (%v)",
				d.user, d.place, d.connects, d.position, d.badge, want.Position, want.Badge, d.wrong)
		}
		events += d.events
		d.mu.Unlock()
	}
	return events
}
