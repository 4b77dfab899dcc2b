package graph

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry"
)

// largeBody is from how many bytes on a request is a large one: a trigger for hundreds of people is.
const largeBody = 16 << 10

// bounded lets those requests through that are small enough.
//
// Large ones take turns, no more of them at a time than leave a processor to the others: a flood of triggers for a thousand
// people each would make every small request wait for all of it.
func bounded(log *slog.Logger, next http.Handler) http.Handler {
	turns := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) && r.Method == http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodPost && r.ContentLength != 0 { // it might never come, and would be waited for
			w.Header().Set("Connection", "close")
			refuse(w, r, log, http.StatusBadRequest, belfry.Errorf(belfry.Invalid, "send a body with POST only").At("body"))
			return
		}
		status, err := 0, error(nil)
		switch r.Method {
		case http.MethodPost:
			status, err = boundBody(w, r)
		case http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			w.Header().Set("Allow", "GET, POST, OPTIONS")
			status, err = http.StatusMethodNotAllowed, belfry.Errorf(belfry.Invalid, "send operations with POST, or queries with GET")
		}
		if err != nil {
			refuse(w, r, log, status, err)
			return
		}
		if r.ContentLength > largeBody || len(r.URL.RawQuery) > largeBody {
			select {
			case turns <- struct{}{}:
			case <-r.Context().Done():
				return
			}
			done := sync.OnceFunc(func() { <-turns })
			defer done()
			r = r.WithContext(context.WithValue(r.Context(), turnKey{}, done))
		}
		next.ServeHTTP(w, r)
	})
}

// turnKey is where a context has what gives the turn of a large request back.
type turnKey struct{}

// giveBackTurn is for a request that has become a subscription: those last.
func giveBackTurn(ctx context.Context) {
	if done, ok := ctx.Value(turnKey{}).(func()); ok {
		done()
	}
}

// boundBody reads the whole body, up to MaxBodySize.
func boundBody(w http.ResponseWriter, r *http.Request) (status int, _ error) {
	// Also what keeps forms of other sites out: a browser asks before it sends this type to somebody else's server.
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return http.StatusUnsupportedMediaType, belfry.Errorf(belfry.Invalid, "send the body as Content-Type: application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodySize))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, belfry.Beyond("body", int(tooLarge.Limit), "bytes")
	}
	if err != nil {
		return http.StatusBadRequest, belfry.Errorf(belfry.Invalid, "the body ended too early").At("body")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return 0, nil
}
