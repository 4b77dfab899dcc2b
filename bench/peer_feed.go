package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/graphqlws"
	"github.com/belfryhq/belfry/recipient"
)

// serveBelfry is Belfry's GraphQL endpoint with its own transport.
func serveBelfry(ctx context.Context, c peerConfig) (http.Handler, publish, error) {
	return serveFeeds(ctx, c, false, func(a *auth.Service) graphql.Transport {
		return graphqlws.New(graphqlws.Config{Init: graph.InitConnection(a), Expires: graph.TokenEnd, Owner: func(ctx context.Context) string {
			v := auth.ViewerFrom(ctx)
			return fmt.Sprint(v.Environment, "/", v.User)
		}})
	})
}

// serveStock is the same endpoint with the transport that comes with gqlgen, with the same timeouts as far as it has them, and
// with gqlgen executing what is selected.
func serveStock(ctx context.Context, c peerConfig) (http.Handler, publish, error) {
	return serveFeeds(ctx, c, true, func(a *auth.Service) graphql.Transport {
		decide := graph.InitConnection(a)
		return transport.Websocket{
			InitTimeout: graphqlws.DefaultInitTimeout, PingPongInterval: graphqlws.DefaultPingInterval,
			InitFunc: func(ctx context.Context, payload transport.InitPayload) (context.Context, *transport.InitPayload, error) {
				ctx, err := decide(ctx, payload)
				return ctx, nil, err
			},
		}
	})
}

// serveFeeds connects feeds and the endpoint as cmd/belfry/wire.go does. Workflows and deliveries are only there because
// the endpoint's other fields want them: nothing of them runs.
func serveFeeds(ctx context.Context, c peerConfig, interpret bool, sockets func(*auth.Service) graphql.Transport) (http.Handler, publish, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: c.Database, MaxConns: peerConnections})
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	hub := realtime.NewHub(realtime.NewMemoryBus())
	people := recipient.New(pool, time.Now)
	access := &auth.Service{Pool: pool, Now: time.Now}
	feeds := &feed.Service{Pool: pool, Bus: exchange{hub}, UserID: people.UserID, TenantIDs: people.TenantIDs, Now: time.Now, Log: log,
		Observe: unobserved, ObserveEach: unobserved}
	messages := delivery.New(delivery.Config{Pool: pool, Observe: feeds.Observe, InApp: feeds.Append, Now: time.Now, Log: log})
	runs := engine.New(engine.Config{Pool: pool, Recipients: people, Enqueue: messages.Enqueue, Now: time.Now, Log: log})
	for part, run := range map[string]func(context.Context) error{"hub": hub.Run, "feeds": feeds.Run} {
		go func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				log.Error("a part of the server stopped", "part", part, "error", err)
			}
		}()
	}
	recipients, err := peerRecipients(ctx, pool, c)
	if err != nil {
		return nil, nil, err
	}
	handler := graph.NewServer(graph.Config{Resolver: &graph.Resolver{Engine: runs, Feeds: feeds, Recipients: people, Deliveries: messages},
		Auth: access, WebSocket: sockets(access), Interpret: interpret, Log: log})
	ring, store := ringing(hub, c.Environment, recipients), appending(pool, feeds, c.Environment, recipients)
	return handler, func(ctx context.Context, notices []notice) error {
		if notices[0].user < c.Stored {
			return store(ctx, notices)
		}
		return ring(ctx, notices)
	}, nil
}

// peerConnections is the default of belfry serve.
const peerConnections = 20

// peerRecipients are the ids of the users, by their numbers.
func peerRecipients(ctx context.Context, pool *pgxpool.Pool, c peerConfig) ([]belfry.RecipientID, error) {
	rows, err := pool.Query(ctx, selectPeerRecipients, c.Environment, belfry.Users, peerUser(0), c.Users)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[belfry.RecipientID])
	if err == nil && len(ids) != c.Users {
		err = fmt.Errorf("%d users are known, want %d", len(ids), c.Users)
	}
	return ids, err
}

const selectPeerRecipients = `SELECT id FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id >= $3
 ORDER BY external_id COLLATE "C" LIMIT $4`

// ringing publishes what was never stored.
func ringing(hub *realtime.Hub, env belfry.EnvironmentID, recipients []belfry.RecipientID) publish {
	return func(ctx context.Context, notices []notice) error {
		publications := make([]realtime.Publication, len(notices))
		for i := range notices {
			n := &notices[i]
			event := n.event(recipients[n.user])
			made, err := feed.NewNotice(strconv.FormatInt(int64(env), 10)+"/"+belfry.DefaultFeed+"/"+peerUser(n.user), &event)
			if err != nil {
				return err
			}
			publications[i] = realtime.Publication(made)
		}
		return hub.Publish(ctx, publications)
	}
}

// appending stores messages, and feeds tell of them.
func appending(pool *pgxpool.Pool, feeds *feed.Service, env belfry.EnvironmentID, recipients []belfry.RecipientID) publish {
	return func(ctx context.Context, notices []notice) error {
		messages := make([]belfry.Message, len(notices))
		for i := range notices {
			messages[i] = notices[i].message(env, recipients[notices[i].user])
		}
		return postgres.InTx(ctx, pool, func(tx *postgres.Tx) error { return feeds.Append(ctx, tx, messages) })
	}
}

// exchange makes the hub the bus of feeds, as cmd/belfry/wire.go does.
type exchange struct{ hub *realtime.Hub }

func (x exchange) Wanted(topic string) bool { return x.hub.Wanted(topic) }

func (x exchange) Publish(notices []feed.Notice) error {
	publications := make([]realtime.Publication, len(notices))
	for i, n := range notices {
		publications[i] = realtime.Publication(n)
	}
	return x.hub.Publish(context.Background(), publications)
}

func (x exchange) Listen(topic string, wake func()) (feed.Line, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), handshakeTimeout, errors.New("the hub is not running"))
	defer cancel()
	s, err := x.hub.SubscribeFunc(ctx, topic, wake)
	if err != nil {
		return nil, err
	}
	return extension{s}, nil
}

// extension makes a subscription of the hub a feed's line.
type extension struct{ *realtime.Subscription }

func (e extension) Take() ([]feed.Notice, bool) {
	publications, gap := e.Subscription.Take()
	notices := make([]feed.Notice, len(publications))
	for i, p := range publications {
		notices[i] = feed.Notice(p)
	}
	return notices, gap
}
