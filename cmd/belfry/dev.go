package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/web"
)

// stopTimeout bounds the stop of the private PostgreSQL.
const stopTimeout = 30 * time.Second

// Run starts everything that is needed to try Belfry, and serves until ctx ends.
func (c *devCommand) Run(ctx context.Context, out io.Writer) error {
	log := newLogger(c.LogLevel, true)
	listener, err := listen(c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close() // again, if it was served
	if c.PublicURL == "" {
		c.PublicURL = "http://" + browsable(listener.Addr().String())
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	began := time.Now()
	fmt.Fprintf(out, "Starting a private PostgreSQL in %s …\n", filepath.Join(data, "postgres"))
	private, err := postgres.StartPrivate(ctx, postgres.PrivateConfig{Dir: filepath.Join(data, "postgres"), Durable: true})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := private.Stop(stop); err != nil {
			log.Error("the private PostgreSQL did not stop cleanly; it recovers with the next start", "error", err)
		}
	}()
	// Without its database a development node is of no use: stop with it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-private.Done():
			log.Error("the private PostgreSQL has stopped: so does belfry dev")
			cancel()
		case <-ctx.Done():
		}
	}()
	fmt.Fprintln(out, "Bringing its schema up to date …")
	n, err := build(ctx, c.node, options{databaseURL: private.URL(), demoKeys: true, introspection: true}, log)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Making the demo environment …")
	demo, err := newDemo(ctx, n)
	if err != nil {
		n.shut()
		return err
	}
	mux := n.routes()
	demo.routes(mux)
	fmt.Fprintf(out, banner, time.Since(began).Seconds(), "http://"+browsable(listener.Addr().String()), private.URL(), private.Dir())
	return n.serve(ctx, listener, mux)
}

const banner = `
Belfry is ready, after %.1f s.

  Demo      %[2]s/           two devices of one user, and a form that triggers
  GraphiQL  %[2]s/graphiql/  the API, to explore
  GraphQL   %[2]s/graphql
  Keys      ` + demoSecretKey + ` (backend), ` + demoPublicKey + ` (frontend)
  Database  %[3]s

Ctrl-C stops everything; the data stays in %[4]s.
`

// routes adds what only a development node serves.
func (d *demo) routes(mux *http.ServeMux) {
	mux.Handle("/", web.Demo(web.DemoConfig{
		PublicKey: demoPublicKey, SecretKey: demoSecretKey, Users: d.users, Workflows: d.workflows,
	}))
	mux.Handle("/graphiql/", http.StripPrefix("/graphiql", web.GraphiQL(web.GraphiQLConfig{
		Home:    "/",
		Headers: map[string]string{"authorization": "Bearer " + demoSecretKey},
		Tabs:    web.DemoTabs(d.users[0].ID, d.workflows[0]),
	})))
	mux.HandleFunc("GET /demo/token", d.token)
}
