package test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

func decode(a answer, data any) error {
	if len(a.Errors) > 0 {
		return fmt.Errorf("answered %s", a.raw)
	}
	return json.Unmarshal(a.Data, data)
}

// none fails the test if a query has an answer: each tells of something that must not be.
func (k *killing) none(what, query string, args ...any) {
	k.t.Helper()
	rows, err := k.pool.Query(k.t.Context(), `SELECT r::text FROM (`+query+`) r LIMIT 5`, args...)
	found, err := collectStrings(rows, err)
	if err != nil || len(found) > 0 {
		k.t.Errorf("%s: %q %v", what, found, err)
	}
}

// checkRuns: what was acknowledged exists, once, and nothing else does.
func (k *killing) checkRuns() {
	k.t.Helper()
	var keys []string
	var counts []int
	for key, count := range k.acknowledged {
		keys, counts = append(keys, key), append(counts, count)
	}
	k.none("triggers that were not acknowledged, or not stored, or stored twice, or that differ", `
		SELECT a.key, a.count, t.* FROM unnest($1::text[], $2::int[]) a (key, count)
		FULL JOIN (SELECT data->>'text' AS key, count(*) AS stored, min(recipients) AS recipients FROM triggers GROUP BY 1) t USING (key)
		WHERE a.key IS NULL OR t.key IS NULL OR stored <> 1 OR a.count <> t.recipients`, keys, counts)
	k.none("triggers without a run for each recipient, done unless it could be cancelled", `
		SELECT t.id, t.recipients, count(r) FROM triggers t LEFT JOIN runs r ON r.trigger_id = t.id
		GROUP BY t.id HAVING count(r) <> t.recipients OR bool_or(r.status <> 'done' AND (r.status <> 'cancelled' OR t.cancellation_key IS NULL))`)
	k.none("runs without exactly one item; of those that join a batch, with several", `
		SELECT r.trigger_id, r.recipient_id, count(i) FROM runs r JOIN triggers t ON t.id = r.trigger_id JOIN workflows w ON w.id = t.workflow_id
		LEFT JOIN feed_items i ON i.trigger_id = r.trigger_id AND i.recipient_id = r.recipient_id
		GROUP BY 1, 2, w.key HAVING count(i) > 1 OR count(i) = 0 AND w.key = 'load'`)
	k.none("items without a run", `
		SELECT i.recipient_id, i.seq FROM feed_items i
		WHERE NOT EXISTS (SELECT FROM runs r WHERE r.trigger_id = i.trigger_id AND r.recipient_id = i.recipient_id)`)
	k.none("items that weren't reported as sent exactly once, and reports of no item", `
		SELECT coalesce(i.recipient_id, e.recipient_id), coalesce(i.seq, e.seq), e.times FROM feed_items i
		FULL JOIN (SELECT recipient_id, seq, count(*) AS times
			FROM events, unnest(recipient_ids, seqs) AS u (recipient_id, seq) WHERE kind = 'message.sent' GROUP BY 1, 2) e
		ON e.recipient_id = i.recipient_id AND e.seq = i.seq
		WHERE i IS NULL OR e IS NULL OR e.times <> 1`)
}

// checkFeeds: versions have no gaps, and badges are what counting says.
func (k *killing) checkFeeds() {
	k.t.Helper()
	k.none("feeds whose versions have gaps", `
		SELECT f.recipient_id, f.version, count(v), min(v), max(v) FROM feeds f
		LEFT JOIN (SELECT recipient_id, seq AS v FROM feed_items UNION ALL SELECT recipient_id, version FROM feed_changes) h
		USING (recipient_id)
		GROUP BY 1, 2 HAVING count(v) <> f.version OR count(DISTINCT v) <> f.version OR min(v) <> 1 OR max(v) <> f.version`)
	for i := range killUsers {
		c := k.env.user(k.t, k.current(i%2), k.user(i))
		items, page := readAll(k.t, c, nil)
		var want badge
		for _, it := range items {
			want.Total++
			if it.SeenAt == nil {
				want.Unseen++
			}
			if it.ReadAt == nil {
				want.Unread++
			}
		}
		if page.Items.Badge != want {
			k.t.Errorf("%s has the badge %+v, but counting says %+v", k.user(i), page.Items.Badge, want)
		}
	}
}

// follower is a device that always comes back, to either node, with the position of the last event it handled.
type follower struct {
	device caller

	mu       sync.Mutex
	position string
	badge    badge
	items    []string // ids, in the order of arrival
	err      error
}

func newFollower(device caller) *follower { return &follower{device: device} }

func (f *follower) run(k *killing, done <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(k.t.Context()))
	defer cancel()
	go func() {
		<-done
		cancel()
	}()
	for turn := 0; ctx.Err() == nil; turn++ {
		f.device.address = k.current(turn % 2).address
		f.once(ctx)
		time.Sleep(10 * time.Millisecond) // between two connections of a device whose node was killed
	}
}

// once follows until the socket breaks.
func (f *follower) once(ctx context.Context) {
	s, _, err := open(ctx, f.device.address, nil, f.device.payload())
	if err != nil {
		return // dead: the other node, or this one later
	}
	defer s.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	select {
	case <-s.acked:
	case <-s.closed:
		return
	}
	variables := vars{}
	if f.position != "" {
		variables["since"] = f.position
	}
	st, err := s.start("1", feedEvents, variables)
	for err == nil {
		var e event
		// Without Redis a node hears of the other's changes with its sweep only: coming back is quicker.
		if e, err = st.event(2 * time.Second); err == nil {
			f.handle(e)
		}
	}
}

func (f *follower) handle(e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case e.Typename == "FeedReset":
		f.err = fmt.Errorf("a feed was reset: %+v", e)
	case e.Typename == "FeedItemUpserted" && e.Position > f.position:
		f.items = append(f.items, e.Item.ID)
	case e.Typename != "FeedSynced" && e.Position <= f.position:
		f.err = fmt.Errorf("%+v came after %s", e, f.position)
	}
	f.position, f.badge = max(f.position, e.Position), e.Badge
}

// checkFollower: the device heard of every item once, in order, and has the right badge.
func (k *killing) checkFollower(f *follower) {
	k.t.Helper()
	c := k.env.user(k.t, k.current(0), k.user(0))
	all, page := readAll(k.t, c, vars{"archived": "INCLUDE"})
	var want []string
	for _, it := range all {
		want = append(want, it.ID)
	}
	slices.Reverse(want)
	eventually(k.t, "the device is at the end of its feed", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.position == page.Items.Position || f.err != nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	// It may have connected before the first item came, or after: then the first it hears of is a later one.
	if len(want) > len(f.items) && len(f.items) > 0 {
		want = want[max(0, slices.Index(want, f.items[0])):]
	}
	if f.err != nil || !slices.Equal(f.items, want) || f.badge != page.Items.Badge {
		k.t.Errorf("the device has %d items and the badge %+v, want %d and %+v (%v)", len(f.items), f.badge, len(want), page.Items.Badge, f.err)
	}
}
