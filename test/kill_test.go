package test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	leastKills  = 5
	killClients = 4
	killUsers   = 60
)

// TestKilledNodesLoseNothing is the claim of the house: two nodes are killed at random moments, again and again, under
// load from clients that retry until they get an answer. In the end each accepted recipient of each acknowledged trigger
// has exactly one run, and one item or a place in one batch; what was cancelled in time is nowhere; all counts are exact,
// and a device that always came back has heard of every item once.
func TestKilledNodesLoseNothing(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	ctx, cancel := context.WithCancel(t.Context())
	var load, followers sync.WaitGroup
	stop := func() {
		cancel()
		load.Wait()
	}
	defer stop()
	for i := range killClients {
		load.Go(func() { k.triggers(ctx, i) })
	}
	load.Go(func() { k.marks(ctx) })
	load.Go(func() { k.gathers(ctx) })
	followed, done := newFollower(k.env.user(t, k.current(0), k.user(0))), make(chan struct{})
	followers.Go(func() { followed.run(k, done) })
	defer func() {
		close(done)
		followers.Wait()
	}()

	kills := k.rage(durationFrom(t, "BELFRY_TEST_KILL_FOR", 8*time.Second))
	stop()
	eventuallyNone(t, "runs and batches that are to be done", func() (left int, err error) {
		err = k.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM fan_outs) + (SELECT count(*) FROM runs WHERE status = 'waiting')
			+ (SELECT count(*) FROM batches WHERE close_at IS NOT NULL)`).Scan(&left)
		return left, err
	})
	k.checkRuns()
	k.checkBatches()
	k.checkFeeds()
	k.checkFollower(followed)
	t.Logf("%d kills, %d triggers, %d answered again by their key", kills, len(k.acknowledged), k.replayed.Load())
	if len(k.acknowledged) < 20 {
		t.Errorf("only %d triggers: that was no load", len(k.acknowledged))
	}
}

// killing is two nodes that get killed.
type killing struct {
	*fleet

	mu           sync.Mutex
	acknowledged map[string]int       // how many recipients, by data.text, which is the idempotency key too
	cancelled    map[string]time.Time // when the answer came, by data.text
	replayed     atomic.Int64
}

func newKilling(t *testing.T) *killing {
	t.Helper()
	k := &killing{fleet: newFleet(t, settings{}, settings{}), acknowledged: make(map[string]int), cancelled: make(map[string]time.Time)}
	var all []vars
	for i := range killUsers {
		all = append(all, vars{"identify": vars{"id": k.user(i)}})
	}
	storeWorkflow(t, k.backend, simpleWorkflow("load"))
	storeWorkflow(t, k.backend, gathering)
	ask[accepted](t, k.backend, triggerWorkflow, vars{"input": vars{"workflow": "load", "recipients": all, "data": vars{"text": "first"}}})
	k.acknowledged["first"] = killUsers
	return k
}

func (k *killing) user(i int) string { return fmt.Sprint("user-", i) }

// rage kills nodes and starts new ones in their places.
func (k *killing) rage(atLeast time.Duration) (kills int) {
	k.t.Helper()
	r := k.random(0)
	for began := time.Now(); kills < leastKills || time.Since(began) < atLeast; kills++ {
		time.Sleep(time.Duration(r.IntN(800)) * time.Millisecond) // a random moment is what this is about
		place := r.IntN(2)
		k.current(place).kill()
		if r.IntN(3) == 0 { // both at once, sometimes
			k.current(1 - place).kill()
			k.start(1 - place)
			kills++
		}
		k.start(place)
	}
	return kills
}

// triggers is a customer's backend.
func (k *killing) triggers(ctx context.Context, client int) {
	r := k.random(uint64(client) + 1)
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("request-%d-%d", client, n)
		recipients := make([]vars, 1+r.IntN(50))
		for i, user := range r.Perm(killUsers)[:len(recipients)] {
			recipients[i] = vars{"user": k.user(user)}
			if r.IntN(4) == 0 {
				recipients[i] = vars{"identify": vars{"id": k.user(user), "name": key}}
			}
		}
		input := vars{"workflow": "load", "recipients": recipients, "data": vars{"text": key}, "idempotencyKey": key}
		if err := k.untilAnswered(r, triggerWorkflow, input, func(a answer) error { return k.acknowledge(key, len(recipients), a) }); err != nil {
			k.t.Errorf("%s: %v", key, err)
			return
		}
	}
}

func (k *killing) acknowledge(key string, recipients int, a answer) error {
	var data struct{ TriggerWorkflow accepted }
	if err := decode(a, &data); err != nil {
		return err
	}
	got := data.TriggerWorkflow
	if got.Trigger.RecipientCount != recipients {
		return fmt.Errorf("%d recipients were accepted of %d: %s", got.Trigger.RecipientCount, recipients, a.raw)
	}
	if got.Replayed {
		k.replayed.Add(1)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acknowledged[key] = recipients
	return nil
}

// marks is people who read, archive and change their minds.
func (k *killing) marks(ctx context.Context) {
	r := k.random(100)
	for ctx.Err() == nil {
		input := vars{"feed": vars{"user": k.user(r.IntN(killUsers))}, "all": true,
			"as": []string{"SEEN", "READ", "UNREAD", "UNSEEN", "ARCHIVED", "UNARCHIVED"}[r.IntN(6)]}
		if err := k.untilAnswered(r, markItems, input, func(a answer) error { return decode(a, new(any)) }); err != nil {
			k.t.Errorf("mark: %v", err)
			return
		}
	}
}
