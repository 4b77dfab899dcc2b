package graph

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// Large requests wait for their turn, and leave if they are given up; small ones don't wait for them.
func TestLargeRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan int64), make(chan struct{})
	handler := bounded(slog.New(slog.DiscardHandler), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- r.ContentLength
		<-leave
	}))
	serve := func(ctx context.Context, size int) (done chan struct{}) {
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/graphql", strings.NewReader(fmt.Sprintf(`{"query":%q}`, strings.Repeat("x", size))))
		request.Header.Set("Content-Type", "application/json")
		done = make(chan struct{})
		go func() {
			defer close(done)
			handler.ServeHTTP(httptest.NewRecorder(), request)
		}()
		return done
	}
	turns := max(1, runtime.GOMAXPROCS(0)-1)
	var all []chan struct{}
	for range turns {
		all = append(all, serve(t.Context(), largeBody))
		if size := <-entered; size <= largeBody {
			t.Errorf("%d bytes are not large", size)
		}
	}
	ctx, giveUp := context.WithCancel(t.Context())
	waiting := serve(ctx, largeBody)
	all = append(all, serve(t.Context(), 1))
	if size := <-entered; size > largeBody { // the large one would block here as well
		t.Errorf("%d bytes went ahead of their turn", size)
	}
	giveUp()
	<-waiting
	all = append(all, serve(t.Context(), largeBody))
	close(leave)
	<-entered
	for _, done := range all {
		<-done
	}
}
