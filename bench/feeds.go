package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/postgres"
)

// collection is how feeds are compared: small and large databases, in which every feed has as many items.
type collection struct {
	small, large int // items in all
	each         int // items of a feed
	calls        int // of each kind, in each round
}

const feedChannel = "in-app"

// feedSide is a database with many feeds.
type feedSide struct {
	title string
	env   belfry.EnvironmentID
	feeds int
	pool  *pgxpool.Pool
	*feed.Service
}

// quietBus is for feeds to which nobody listens while something happens.
type quietBus struct{}

func (quietBus) Wanted(string) bool                              { return false }
func (quietBus) Publish([]feed.Notice) error                     { return nil }
func (quietBus) Listen(_ string, wake func()) (feed.Line, error) { return quietLine{}, nil }

type quietLine struct{}

func (quietLine) Take() ([]feed.Notice, bool) { return nil, false }
func (quietLine) Nudge()                      {}
func (quietLine) Close()                      {}

// Items as a shop's would be: a fifth archived, half of the others read; of the rest, all but the newest three seen.
const (
	insertFeedUsers = `INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
SELECT $1, '$users', 'user-' || i, now(), now() FROM generate_series(0, $2::int - 1) i`

	insertFeeds = `INSERT INTO feeds (recipient_id, channel, environment_id, epoch, version, last_seq, unseen, seen, read, archived_read)
SELECT id, $2, environment_id, 1, $3::int, $3, 3, count(*) FILTER (WHERE n <= $3 - 3 AND n % 5 > 0 AND n % 2 = 0),
       count(*) FILTER (WHERE n <= $3 - 3 AND n % 5 > 0 AND n % 2 = 1), count(*) FILTER (WHERE n <= $3 - 3 AND n % 5 = 0)
  FROM recipients, generate_series(1, $3) n WHERE environment_id = $1 AND collection = '$users' GROUP BY id`

	insertFeedItems = `INSERT INTO feed_items (recipient_id, channel, seq, state_version, environment_id, version_id, trigger_id, created_at,
  state, archived, workflow, step_ref, categories, content)
SELECT id, $2, n, n, environment_id, 1, gen_random_uuid(), now() - ($3::int - n) * interval '1 minute',
       CASE WHEN n > $3 - 3 THEN 0 WHEN n % 5 = 0 OR n % 2 = 1 THEN 2 ELSE 1 END, n <= $3 - 3 AND n % 5 = 0,
       (ARRAY['order-shipped', 'comment', 'invite', 'digest'])[1 + n % 4], 'inbox', (ARRAY['orders', 'social'])[1 + n % 2 : 1 + n % 2],
       json_build_object('Body', json_build_object('Content', 'Your order ' || n || ' is on its **way** to you', 'Rendered', '<p>Your order ' || n || ' is on its <strong>way</strong> to you</p>'),
         'ActionURL', 'https://shop.example.com/orders/' || n, 'Data', json_build_object('order', n))
  FROM (SELECT id, environment_id FROM recipients WHERE environment_id = $1 AND collection = '$users' ORDER BY id OFFSET $4 LIMIT $5) r, generate_series(1, $3) n`

	usersAtOnce = 500 // filled by one statement
)

// newFeedSide fills a database.
func newFeedSide(ctx context.Context, s *server, title string, items, each int, progress io.Writer) (_ *feedSide, err error) {
	address, err := s.create(ctx, "feeds_"+title)
	if err != nil {
		return nil, err
	}
	f := &feedSide{title: title, feeds: max(1, items/each)}
	if f.pool, err = postgres.Open(ctx, postgres.Config{URL: address + "&statement_timeout=0", MaxConns: connections}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.pool.Close()
		}
	}()
	if err = postgres.Migrate(ctx, f.pool); err != nil {
		return nil, err
	}
	e, err := (&auth.Service{Pool: f.pool, Now: time.Now}).CreateEnvironment(ctx, environment)
	if err != nil {
		return nil, err
	}
	f.env = e.ID
	if _, err = f.pool.Exec(ctx, insertFeedUsers, f.env, f.feeds); err != nil {
		return nil, err
	}
	if _, err = f.pool.Exec(ctx, insertFeeds, f.env, feedChannel, each); err != nil {
		return nil, err
	}
	for from := 0; from < f.feeds; from += usersAtOnce {
		fmt.Fprintf(progress, "\rFilling %d feeds with %d items each: %d %%", f.feeds, each, 100*from/f.feeds)
		if _, err = f.pool.Exec(ctx, insertFeedItems, f.env, feedChannel, each, from, usersAtOnce); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(progress, "\rFilling %d feeds with %d items each: done\n", f.feeds, each)
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err = f.pool.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	f.Service = &feed.Service{Pool: f.pool, Bus: quietBus{}, UserID: f.userID, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Observe: unobserved, ObserveEach: unobserved}
	return f, nil
}

// unobserved takes what happens to messages, and does nothing about it.
func unobserved(context.Context, *postgres.Tx, []belfry.StatusChange) error { return nil }

// userID is looked up in the database, as a node does that doesn't know the user yet.
func (f *feedSide) userID(ctx context.Context, env belfry.EnvironmentID, user string) (id belfry.RecipientID, err error) {
	err = f.pool.QueryRow(ctx, `SELECT id FROM recipients WHERE environment_id = $1 AND collection = '$users' AND external_id = $2`, env, user).Scan(&id)
	return id, err
}

// feedCalls are what is measured, in this order: reading comes before marking.
var feedCalls = []struct {
	name string
	call func(ctx context.Context, f *feedSide, ref feed.Ref) error
}{
	{"badge", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		_, err := f.Badge(ctx, ref)
		return err
	}},
	{"first page of 25", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		return f.page(ctx, ref, feed.Filter{}, 0)
	}},
	{"page from the middle", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		return f.page(ctx, ref, feed.Filter{}, 500)
	}},
	{"first page, unread only", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		return f.page(ctx, ref, feed.Filter{Status: feed.StatusUnread}, 0)
	}},
	{"first page of a category", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		return f.page(ctx, ref, feed.Filter{Categories: []string{"orders"}}, 0)
	}},
	{"resume, 20 behind", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		p, err := f.Page(ctx, ref, feed.Filter{}, 1, 0)
		if err != nil {
			return err
		}
		p.Position.Version -= 20
		sub, err := f.Subscribe(ctx, ref, &p.Position, func() {})
		if err != nil {
			return err
		}
		defer sub.Close()
		for n := 0; err == nil; n++ {
			var e feed.Event
			if e, _, err = sub.Next(); e.Kind == feed.Synced {
				if n != 20 {
					return fmt.Errorf("%d events behind position %v, want 20", n, p.Position)
				}
				return nil
			}
		}
		return err
	}},
	{"mark one read", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		p, err := f.Page(ctx, ref, feed.Filter{Status: feed.StatusUnread}, 1, 0)
		if err != nil || len(p.Items) == 0 {
			return err
		}
		_, err = f.Mark(ctx, ref, belfry.Read, []belfry.MessageID{p.Items[0].ID})
		return err
	}},
	{"mark all read", func(ctx context.Context, f *feedSide, ref feed.Ref) error {
		_, err := f.MarkAll(ctx, ref, belfry.Read, nil)
		return err
	}},
}

func (f *feedSide) page(ctx context.Context, ref feed.Ref, filter feed.Filter, before int64) error {
	p, err := f.Page(ctx, ref, filter, 25, before)
	if err == nil && len(p.Items) == 0 && filter.Status == "" {
		err = fmt.Errorf("the feed of %s is empty", ref.User)
	}
	return err
}

// feedTimes are the times of one call on both sides.
type feedTimes struct {
	name         string
	small, large [][]time.Duration // by round
}

// feedsBySize has both sides take turns at every call.
func (o options) feedsBySize(ctx context.Context, s *server, progress io.Writer) (out []feedTimes, err error) {
	var sides [2]*feedSide
	for i, items := range []int{o.feeds.small, o.feeds.large} {
		if sides[i], err = newFeedSide(ctx, s, []string{"small", "large"}[i], items, o.feeds.each, progress); err != nil {
			return nil, err
		}
		defer sides[i].pool.Close()
	}
	for _, c := range feedCalls {
		times := feedTimes{name: c.name}
		for range o.rounds {
			for i, into := range []*[][]time.Duration{&times.small, &times.large} {
				round, err := sides[i].timed(ctx, o.feeds.calls, c.call)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				*into = append(*into, round)
			}
		}
		out = append(out, times)
		fmt.Fprintf(progress, "%s: p99 %s and %s ms\n", c.name, milliseconds(quantile(times.small[0], 0.99)), milliseconds(quantile(times.large[0], 0.99)))
	}
	return out, nil
}

// timed makes calls one after the other, each on a feed of its own choice.
func (f *feedSide) timed(ctx context.Context, calls int, call func(context.Context, *feedSide, feed.Ref) error) ([]time.Duration, error) {
	random := rand.New(rand.NewPCG(1, 2))
	times := make([]time.Duration, calls)
	for i := range times {
		ref := feed.Ref{Environment: f.env, User: fmt.Sprint("user-", random.IntN(f.feeds)), Channel: feedChannel}
		began := time.Now()
		if err := call(ctx, f, ref); err != nil {
			return nil, err
		}
		times[i] = time.Since(began)
	}
	return times, nil
}

// feedTimes compares the sides.
func (r *report) feedTimes() table {
	t := table{title: fmt.Sprintf("Feeds: %d items in all beside %d, %d in each feed", r.feeds.large, r.feeds.small, r.feeds.each),
		note: fmt.Sprintf("Milliseconds from the call of the Go package to its return, over a Unix socket; %d rounds of %d calls each, on feeds at random.", r.rounds, r.feeds.calls),
		rows: [][]string{{"", "few: p50", "p99", "many: p50", "p99", "ratio of p50"}}}
	for _, c := range r.sizes {
		ratio := make([]float64, len(c.small))
		for i := range ratio {
			ratio[i] = float64(quantile(c.large[i], 0.5)) / float64(quantile(c.small[i], 0.5))
		}
		row := []string{c.name}
		for _, side := range [][][]time.Duration{c.small, c.large} {
			for _, share := range []float64{0.5, 0.99} {
				each := make([]float64, len(side))
				for i, times := range side {
					each[i] = quantile(times, share).Seconds() * 1000
				}
				row = append(row, fmt.Sprintf("%.2f", median(each)))
			}
		}
		t.rows = append(t.rows, append(row, spread("%.2f", ratio)))
	}
	return t
}
