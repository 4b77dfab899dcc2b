package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/web/preference"
)

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, _ io.Writer) error {
	log := newLogger(c.LogLevel, false)
	listener, err := listen(c.Listen)
	if err != nil {
		return err
	}
	n, err := build(ctx, c.node, options{databaseURL: c.DatabaseURL, redisURL: c.RedisURL, introspection: c.Introspection}, log)
	if err != nil {
		_ = listener.Close() // nothing was served
		return err
	}
	if c.PublicURL == "" {
		log.Warn("BELFRY_PUBLIC_URL is not set: messages have no links to preferences, and commercial e-mail is not sent")
	}
	log.Info("serving", "listen", listener.Addr().String(), "version", version())
	return n.serve(ctx, listener, n.routes())
}

// listen opens the port before anything else is started, so that a taken one costs nothing.
func listen(address string) (net.Listener, error) {
	config := net.ListenConfig{Control: boundUnanswered}
	l, err := config.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken: stop what listens there, or choose another with --listen (BELFRY_LISTEN)", address)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; choose another with --listen (BELFRY_LISTEN)", address, err)
	}
	return l, nil
}

// routes is what every node serves.
func (n *belfryNode) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/graphql", n.api)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // the prober may be gone
	})
	pages := preference.New(preference.Config{Recipients: n.people, Workflows: n.engine.PreferenceWorkflows, WorkflowNames: n.engine.WorkflowNames, Log: n.log})
	mux.Handle(recipient.PreferencesPath, pages)
	mux.Handle(recipient.UnsubscribePath, pages)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}))
	return mux
}

// Timeouts of the HTTP server. WebSockets are not bound by them: the transport has its own.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10        // with the URL, which may hold a query
	leastSocketGrace  = 2 * time.Second // for telling clients to come back, however long requests took
)

// serve runs the node until ctx ends, then stops it in this order, so that nothing accepted is lost and nobody waits for
// something that is gone already:
//
//  1. /readyz fails, no new connection is taken; streams of events are broken off, requests under way are finished.
//  2. WebSockets are closed with "service restart", spread over time: clients come back, to another node.
//  3. The engine finishes the batches it has claimed; what remains is other nodes' work, or ours after the restart.
//  4. Delivery finishes the attempts under way, and keeps what came of them.
//  5. Recipients, feeds, analytics and the hub stop; the cursors of analytics are as durable as everything else.
//  6. Redis and PostgreSQL are closed.
func (n *belfryNode) serve(ctx context.Context, listener net.Listener, mux *http.ServeMux) error {
	defer n.shut()
	var stopping atomic.Bool
	mux.Handle("GET /readyz", n.readiness(&stopping))
	requests, cutRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cutRequests()
	srv := &http.Server{
		Handler: mux, BaseContext: func(net.Listener) context.Context { return requests },
		MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(n.streams.Drain) // Shutdown would wait for them
	failed := make(chan error, 7)           // one of each part: none waits to be heard
	hub := start(context.WithoutCancel(ctx), failed, "hub", n.hub.Run)
	engine := start(context.WithoutCancel(ctx), failed, "engine", n.engine.Run)
	deliveries := start(context.WithoutCancel(ctx), failed, "delivery", n.delivery.Run)
	people := start(context.WithoutCancel(ctx), failed, "recipients", n.people.Run)
	feeds := start(context.WithoutCancel(ctx), failed, "feeds", n.feeds.Run)
	segment := start(context.WithoutCancel(ctx), failed, "segment", n.segment.Run)

	go func() { failed <- srv.Serve(listener) }()
	var err error
	select {
	case err = <-failed: // half a node would look healthy: stop, so that it is started again
	case <-ctx.Done():
		n.log.Info("stopping")
	}

	stopping.Store(true)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.config.ShutdownGrace)
	defer cancel()
	if shutdown := srv.Shutdown(grace); shutdown != nil {
		n.log.Warn("some requests were not finished in time", "grace", n.config.ShutdownGrace)
	}
	cutRequests()
	n.drainSockets(grace)
	engine.stop()
	deliveries.stop()
	people.stop()
	feeds.stop()
	segment.stop()
	hub.stop()
	n.log.Info("stopped")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// drainSockets asks the clients of WebSockets to come back, to another node, with what is left of the grace.
func (n *belfryNode) drainSockets(grace context.Context) {
	until, _ := grace.Deadline()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(grace), later(until, time.Now().Add(leastSocketGrace)))
	defer cancel()
	if !n.sockets.Drain(ctx) {
		n.log.Warn("some WebSockets were not closed in time", "connections", n.sockets.Connections())
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// service is a part of the node that runs in the background.
type service struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func start(ctx context.Context, failed chan<- error, name string, run func(context.Context) error) *service {
	ctx, cancel := context.WithCancel(ctx)
	s := &service{cancel: cancel}
	s.done.Go(func() {
		if err := run(ctx); ctx.Err() == nil {
			failed <- fmt.Errorf("the %s stopped, which it never should: %v", name, err)
		}
	})
	return s
}

// stop ends the service and waits until it has.
func (s *service) stop() {
	s.cancel()
	s.done.Wait()
}

// readiness tells a load balancer whether to send traffic here.
func (n *belfryNode) readiness(stopping *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		lag, err := n.engine.Lag(ctx)
		switch {
		case err != nil:
			n.log.Warn("not ready: PostgreSQL doesn't answer", "error", err)
			http.Error(w, "PostgreSQL doesn't answer", http.StatusServiceUnavailable)
		case lag > n.config.ReadyLag:
			http.Error(w, fmt.Sprintf("work of workflows has been due for %s", lag.Round(time.Second)), http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "ready\n") // the prober may be gone
		}
	})
}

type migrateCommand struct{ database }

// Run brings the schema up to date.
func (c *migrateCommand) Run(ctx context.Context, out io.Writer) error {
	pool, err := postgres.Open(ctx, postgres.Config{URL: c.DatabaseURL})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "The schema is up to date.")
	return err
}
