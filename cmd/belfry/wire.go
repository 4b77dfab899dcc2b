package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/analytics"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/delivery/provider/logging"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph"
	"github.com/belfryhq/belfry/internal/egress"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/graphqlws"
	"github.com/belfryhq/belfry/recipient"
)

// belfryNode is one running node: every package, connected.
type belfryNode struct {
	config   node
	log      *slog.Logger
	pool     *pgxpool.Pool
	auth     *auth.Service
	people   *recipient.Service
	feeds    *feed.Service
	engine   *engine.Engine
	delivery *delivery.Service
	hub      *realtime.Hub
	segment  *analytics.Segment
	sockets  *graphqlws.Transport
	streams  *graph.EventStreams
	metrics  *prometheus.Registry
	api      http.Handler
	close    []func() // in the order of opening; run backwards
}

// options are the differences between production and development.
type options struct {
	databaseURL   string
	redisURL      string
	demoKeys      bool
	introspection bool
}

// build opens the database, brings its schema up to date and connects the packages. It is the only place that knows
// them all: what they need of each other are the ports that the consumer declares.
func build(ctx context.Context, config node, o options, log *slog.Logger) (_ *belfryNode, err error) {
	n := &belfryNode{config: config, log: log}
	defer func() {
		if err != nil {
			n.shut()
		}
	}()
	if n.pool, err = postgres.Open(ctx, postgres.Config{URL: o.databaseURL, MaxConns: config.DatabaseConns}); err != nil {
		return nil, err
	}
	n.close = append(n.close, n.pool.Close)
	if err := postgres.Migrate(ctx, n.pool); err != nil {
		return nil, err
	}
	bus, err := n.openBus(o.redisURL)
	if err != nil {
		return nil, err
	}
	n.hub = realtime.NewHub(bus)
	n.auth = &auth.Service{Pool: n.pool, Now: time.Now, AllowDemoKeys: o.demoKeys}
	n.people = recipient.New(n.pool, time.Now)
	n.people.Log, n.people.PublicURL = log, config.PublicURL
	n.people.Observe = func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) error {
		return n.engine.RecipientsChanged(ctx, tx, env, ids)
	}
	if n.segment, err = analytics.NewSegment(analytics.SegmentConfig{Pool: n.pool, EnvironmentKey: n.auth.EnvironmentKey, Log: log}); err != nil {
		return nil, err
	}
	n.feeds = &feed.Service{Pool: n.pool, Bus: bell{n.hub}, UserID: n.people.UserID, TenantIDs: n.people.TenantIDs, Recipients: recipientsIn, ItemsOf: n.itemsOf,
		Observe: n.observe, ObserveEach: n.record, Now: time.Now, Log: log}
	n.delivery = delivery.New(delivery.Config{
		Pool: n.pool, Providers: providers(log), InApp: n.append, Observe: n.observe, Now: time.Now, Log: log,
	})
	n.engine = engine.New(engine.Config{
		Pool: n.pool, Recipients: n.people, Enqueue: n.delivery.Enqueue, Statuses: n.statuses, Now: time.Now, Log: log,
		HTTP:    egress.New(egress.Config{Allow: config.FetchNetworks, Now: time.Now}),
		Workers: config.Workers, BatchSize: config.BatchSize,
	})
	n.people.HandOver = []recipient.HandOver{n.delivery.Merge, n.feeds.Merge}
	n.people.Forget = []recipient.Forget{n.engine.Forget, n.delivery.Forget, n.feeds.Forget}
	n.sockets = graphqlws.New(graphqlws.Config{
		AllowedOrigins: config.AllowedOrigins, Init: n.initConnection(), Expires: graph.TokenEnd, Owner: socketOwner,
		Panicked: func(p any) { log.Error("a panic", "panic", p, "stack", string(debug.Stack())) },
	})
	n.streams = &graph.EventStreams{Owner: socketOwner}
	n.api = cors.New(cors.Options{
		AllowOriginFunc: func(origin string) bool { // without one, rs/cors would allow all
			return slices.Contains(config.AllowedOrigins, "*") || slices.Contains(config.AllowedOrigins, origin)
		},
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Content-Type", auth.UserTokenHeader},
		MaxAge:         600,
	}).Handler(graph.NewServer(graph.Config{
		Resolver:      &graph.Resolver{Engine: n.engine, Feeds: n.feeds, Recipients: n.people, Deliveries: n.delivery},
		Auth:          n.auth,
		WebSocket:     n.sockets,
		EventStreams:  n.streams,
		Introspection: o.introspection,
		Log:           log,
	}))
	n.metrics = n.newMetrics()
	return n, nil
}

// recipientsIn finds recipients by their internal ids, as a transaction sees them.
func recipientsIn(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
	return recipient.Load(ctx, tx, []belfry.EnvironmentID{env}, ids)
}

// itemsOf finds the items that runs of a trigger made, those too that waited for their time before they became items.
func (n *belfryNode) itemsOf(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, trigger [16]byte, behind belfry.RecipientID, recipients int) (
	items []belfry.MessageID, last belfry.RecipientID, more bool, err error) {
	ids, last, more, err := n.engine.MessagesOf(ctx, tx, env, trigger, behind, recipients)
	if err != nil {
		return nil, 0, false, err
	}
	_, moved, err := n.delivery.Statuses(ctx, tx, env, ids)
	if err != nil {
		return nil, 0, false, err
	}
	for _, id := range ids {
		if to, ok := moved[id]; ok {
			id = to
		}
		if !delivery.Owns(id) {
			items = append(items, id)
		}
	}
	return items, last, more, nil
}

// openBus chooses how nodes ring each other's bells.
func (n *belfryNode) openBus(redisURL string) (realtime.Bus, error) {
	if redisURL == "" {
		return realtime.NewMemoryBus(), nil
	}
	bus, err := realtime.NewRedisBus(realtime.RedisConfig{URL: redisURL, Logger: n.log})
	if err != nil {
		return nil, err
	}
	n.close = append(n.close, bus.Close)
	return bus, nil
}

// providers are who sends what isn't shown in a feed: nobody yet, but the log says what they would be given.
func providers(log *slog.Logger) map[belfry.ChannelType]delivery.Provider {
	out := map[belfry.ChannelType]delivery.Provider{}
	for _, medium := range []belfry.ChannelType{belfry.Email, belfry.SMS, belfry.Push, belfry.Chat, belfry.Webhook} {
		out[medium] = logging.New(log)
	}
	return out
}

// append puts messages into feeds, and tells runs that wait for those that had been held back.
func (n *belfryNode) append(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	if err := n.feeds.Append(ctx, tx, messages); err != nil {
		return err
	}
	return n.engine.ItemsAppended(ctx, tx, messages)
}

// statuses says what became of messages, wherever they are now.
func (n *belfryNode) statuses(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.MessageID) (map[belfry.MessageID]belfry.MessageStatus, error) {
	out, moved, err := n.delivery.Statuses(ctx, tx, env, ids)
	if err != nil {
		return nil, err
	}
	var inFeeds []belfry.MessageID
	for _, id := range ids {
		if _, known := out[id]; !known {
			if to, ok := moved[id]; ok { // it waited for its time, and is an item now
				id = to
			}
			inFeeds = append(inFeeds, id)
		}
	}
	items, err := feed.Statuses(ctx, tx, env, inFeeds)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		item := id
		if to, ok := moved[id]; ok {
			item = to
		}
		if s, ok := items[item]; ok {
			if item != id {
				s.Item = item.Seq
			}
			out[id] = s
		}
	}
	return out, nil
}

// observe records what happens to messages, in the transaction in which it happens, and tells runs that wait for it.
func (n *belfryNode) observe(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	if err := n.record(ctx, tx, changes); err != nil {
		return err
	}
	return n.engine.MessagesChanged(ctx, tx, changes)
}

// record keeps what happens to messages, and wakes the sink once it is durable.
func (n *belfryNode) record(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	tx.AfterCommit(n.segment.Wake)
	var log analytics.Log
	return log.Record(ctx, tx, changes)
}

// initConnection tells the transport how to refuse a connection: for good reasons with the reason, otherwise so that
// the client tries again.
func (n *belfryNode) initConnection() func(context.Context, map[string]any) (context.Context, error) {
	decide := graph.InitConnection(n.auth)
	return func(ctx context.Context, payload map[string]any) (context.Context, error) {
		next, err := decide(ctx, payload)
		if e, ok := errors.AsType[*belfry.Error](err); ok {
			return ctx, graphqlws.Forbidden(e.Message)
		}
		if err != nil {
			if ctx.Err() == nil { // otherwise the client has gone
				n.log.Error("a connection could not be authenticated", "error", err)
			}
			return ctx, &graphqlws.CloseError{Code: graphqlws.CloseTryAgainLater, Reason: "Try again later"}
		}
		return next, nil
	}
}

// socketOwner is whose connections, or streams, are counted together: those of a user, not those of a backend.
func socketOwner(ctx context.Context) string {
	v := auth.ViewerFrom(ctx)
	if v.Environment == 0 {
		return "nobody" // all of them together
	}
	if v.IsBackend() {
		return ""
	}
	return fmt.Sprint(v.Environment, "/", v.User)
}

// shut closes what build opened.
func (n *belfryNode) shut() {
	for i := len(n.close) - 1; i >= 0; i-- {
		n.close[i]()
	}
}

// bell makes the hub the bus of feeds.
type bell struct{ hub *realtime.Hub }

// publishTimeout bounds how long a commit's publication may hold up the committer. A lost bell costs latency only.
const publishTimeout = 2 * time.Second

// listenTimeout bounds how long a subscriber waits for the bus.
const listenTimeout = 10 * time.Second

func (b bell) Wanted(topic string) bool { return b.hub.Wanted(topic) }

func (b bell) Publish(notices []feed.Notice) error {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	pubs := make([]realtime.Publication, len(notices))
	for i, n := range notices {
		pubs[i] = realtime.Publication(n)
	}
	return b.hub.Publish(ctx, pubs)
}

func (b bell) Listen(topic string, wake func()) (feed.Line, error) {
	ctx, cancel := context.WithTimeout(context.Background(), listenTimeout)
	defer cancel()
	s, err := b.hub.SubscribeFunc(ctx, topic, wake)
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", topic, err)
	}
	return line{s}, nil
}

// line makes a subscription of the hub a feed's line.
type line struct{ *realtime.Subscription }

func (l line) Take() ([]feed.Notice, bool) {
	pubs, gap := l.Subscription.Take()
	notices := make([]feed.Notice, len(pubs))
	for i, p := range pubs {
		notices[i] = feed.Notice(p)
	}
	return notices, gap
}

var (
	_ feed.Bus  = bell{}
	_ feed.Line = line{}
)
