package graphqlws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// The clients that people use: the standard one, Apollo's and urql's. scripts/setup browser and npm ci make what it needs, and
// make test does both.
func TestRealClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("BELFRY_TEST_WEB") == "" {
		t.Skip("set BELFRY_TEST_WEB=1, as make test does where there is Node")
	}
	n := newCounter()
	ws := graphqlws.New(graphqlws.Config{AllowedOrigins: []string{"*"}})
	srv := handler.New(n)
	srv.AddTransport(ws)
	mux := http.NewServeMux()
	mux.Handle("/graphql", srv)
	mux.HandleFunc("/listeners", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n.listeners()) })
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		by, _ := strconv.Atoi(r.FormValue("by"))
		fmt.Fprint(w, n.count(by, false)-by)
	})
	mux.HandleFunc("/end", func(http.ResponseWriter, *http.Request) { n.count(0, true) })
	mux.HandleFunc("/close", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		ws.CloseAll(code)
	})
	mux.HandleFunc("/drain", func(_ http.ResponseWriter, r *http.Request) { ws.Drain(r.Context()) })
	s := httptest.NewServer(mux)
	defer s.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "sockets_test.mjs")
	cmd.Dir = "../../web"
	cmd.Env = append(os.Environ(), "SERVER="+s.URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
