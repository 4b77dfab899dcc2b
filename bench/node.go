package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/analytics"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/recipient"
)

// node is Belfry in this process, connected as cmd/belfry/wire.go connects a node of its own, without HTTP.
type node struct {
	pool   *pgxpool.Pool
	auth   *auth.Service
	people *recipient.Service
	engine *engine.Engine

	log     *slog.Logger
	parts   map[string]func(context.Context) error // what runs in the background
	stop    context.CancelFunc
	running sync.WaitGroup
}

// openNode connects to a database and brings its schema up to date. Engine settings are the defaults of belfry serve.
// sent is told of messages that exist, after the commit; it may be nil.
func openNode(ctx context.Context, database string, sent func([]belfry.Message)) (*node, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: database, MaxConns: connections})
	if err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n := &node{pool: pool, log: log, auth: &auth.Service{Pool: pool, Now: time.Now}, people: recipient.New(pool, time.Now), stop: func() {}}
	n.people.Observe = func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) error {
		return n.engine.RecipientsChanged(ctx, tx, env, ids)
	}
	segment, err := analytics.NewSegment(analytics.SegmentConfig{Pool: pool, EnvironmentKey: n.auth.EnvironmentKey, Log: log})
	if err != nil {
		pool.Close()
		return nil, err
	}
	hub := realtime.NewHub(realtime.NewMemoryBus())
	events := &analytics.Log{}
	feeds := &feed.Service{Pool: pool, Bus: bell{hub}, UserID: n.people.UserID, TenantIDs: n.people.TenantIDs, Now: time.Now, Log: log,
		Recipients: func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
			return recipient.Load(ctx, tx, []belfry.EnvironmentID{env}, ids)
		},
		Observe: func(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
			tx.AfterCommit(segment.Wake)
			if err := events.Record(ctx, tx, changes); err != nil {
				return err
			}
			return n.engine.MessagesChanged(ctx, tx, changes)
		},
		ObserveEach: func(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
			tx.AfterCommit(segment.Wake)
			return events.Record(ctx, tx, changes)
		}}
	messages := delivery.New(delivery.Config{Pool: pool, Observe: feeds.Observe, Now: time.Now, Log: log,
		InApp: func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
			if err := feeds.Append(ctx, tx, messages); err != nil {
				return err
			}
			if sent != nil {
				tx.AfterCommit(func() { sent(messages) })
			}
			return n.engine.ItemsAppended(ctx, tx, messages)
		}})
	n.engine = engine.New(engine.Config{Pool: pool, Recipients: n.people, Enqueue: messages.Enqueue, Now: time.Now, Log: log})
	n.parts = map[string]func(context.Context) error{
		"hub": hub.Run, "engine": n.engine.Run, "delivery": messages.Run, "feeds": feeds.Run, "segment": segment.Run,
	}
	return n, nil
}

// run runs what a node runs in the background, until close.
func (n *node) run(ctx context.Context) {
	ctx, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	for part, run := range n.parts {
		n.running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("a part of the node stopped", "part", part, "error", err)
			}
		})
	}
}

// close stops the node and gives its connections back.
func (n *node) close() {
	n.stop()
	n.running.Wait()
	n.pool.Close()
}

// bell is the hub as wire.go gives it to feeds, of which this process needs only that nobody listens: what is not
// wanted is not published.
type bell struct{ hub *realtime.Hub }

func (b bell) Wanted(topic string) bool { return b.hub.Wanted(topic) }

func (b bell) Publish([]feed.Notice) error { return errNobodyListens }

func (b bell) Listen(string, func()) (feed.Line, error) { return nil, errNobodyListens }

var errNobodyListens = errors.New("nobody listens within the benchmark")
