package graph

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/pull"
)

// EventStreams carries operations as server-sent events, one a request, for clients whose network lets no WebSocket
// through: the "distinct connections mode" of graphql-sse
// (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md). A stream has a goroutine, an HTTP connection and its
// buffers, several times what a WebSocket costs.
//
// A stream that ends without its complete event ended too early: the client comes back, with the position it has. That
// is how streams end when the node stops, when the user token does, and when a client doesn't read.
type EventStreams struct {
	// Owner names whose stream it is; MaxStreams are counted by it. Streams of "" aren't counted.
	Owner func(ctx context.Context) string
	// MaxStreams is how many an owner may have at a time on this node; 100 if zero.
	MaxStreams int
	// PingInterval is how often a stream says something, lest a proxy ends it; 15 s if zero.
	PingInterval time.Duration

	log *slog.Logger

	mu     sync.Mutex
	owners map[string]int // streams
	open   int
	leave  chan struct{} // closed when the node stops
}

const (
	defaultMaxStreams   = 100
	defaultPingInterval = 15 * time.Second
	streamWriteTimeout  = 5 * time.Second // for each write; a client that takes longer comes back
)

var _ graphql.Transport = (*EventStreams)(nil)

// acceptsStream reports whether a request is one for a stream of events.
func acceptsStream(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if name, _, err := mime.ParseMediaType(part); err == nil && name == eventStream {
			return true
		}
	}
	return false
}

// Supports implements graphql.Transport.
func (s *EventStreams) Supports(r *http.Request) bool {
	return httpTransport{}.Supports(r) && acceptsStream(r)
}

// Open is how many streams there are.
func (s *EventStreams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Drain ends all streams, and lets no new ones begin. It doesn't wait for them: the HTTP server does.
func (s *EventStreams) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.left():
	default:
		close(s.left())
	}
}

// left is closed when the node stops. The caller holds mu.
func (s *EventStreams) left() chan struct{} {
	if s.leave == nil {
		s.leave = make(chan struct{})
	}
	return s.leave
}

var (
	errStopping       = errors.New("this server is stopping: connect again")
	errTooManyStreams = errors.New("too many streams")
)

// enter counts a stream, or says why it may not begin.
func (s *EventStreams) enter(owner string) (leave <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.left():
		return nil, errStopping
	default:
	}
	if owner != "" {
		if s.owners[owner] >= s.maxStreams() {
			return nil, errTooManyStreams
		}
		if s.owners == nil {
			s.owners = map[string]int{}
		}
		s.owners[owner]++
	}
	s.open++
	return s.left(), nil
}

func (s *EventStreams) exit(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if owner == "" {
		return
	}
	if s.owners[owner]--; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
}

func (s *EventStreams) maxStreams() int {
	if s.MaxStreams == 0 {
		return defaultMaxStreams
	}
	return s.MaxStreams
}

// Do implements graphql.Transport.
func (s *EventStreams) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	owner := ""
	if s.Owner != nil {
		owner = s.Owner(r.Context())
	}
	leave, err := s.enter(owner)
	switch {
	case errors.Is(err, errTooManyStreams):
		w.Header().Set("Retry-After", "5")
		refuse(w, r, s.log, http.StatusTooManyRequests, belfry.Beyond("streams", s.maxStreams(), "at a time for one user on a node"))
		return
	case err != nil:
		w.Header().Set("Retry-After", "1")
		refuse(w, r, s.log, http.StatusServiceUnavailable, belfry.Errorf(belfry.Internal, "%v", err))
		return
	}
	defer s.exit(owner)
	params, err := requestParams(r)
	if err != nil {
		refuse(w, r, s.log, http.StatusBadRequest, err)
		return
	}
	until, _ := r.Context().Value(untilKey{}).(time.Time)
	ctx, cancel := context.WithCancel(expiring(r.Context(), until))
	defer cancel() // ends the source
	st := &stream{w: w, conn: http.NewResponseController(w), leave: leave, wake: make(chan struct{}, 1), interval: s.PingInterval}
	if st.interval == 0 {
		st.interval = defaultPingInterval
	}
	if err := st.begin(); err != nil {
		return
	}
	op, errs := exec.CreateOperationContext(ctx, params)
	ctx = graphql.WithOperationContext(ctx, op)
	if errs != nil { // the protocol wants it said in the stream
		if st.next(exec.DispatchError(ctx, errs)) == nil {
			_ = st.complete()
		}
		return
	}
	if op.Operation.Operation == ast.Subscription {
		ctx = pull.With(ctx, st)
	}
	responses, ctx := exec.DispatchOperation(ctx, op)
	st.follow(ctx, responses)
}

// stream is one response.
type stream struct {
	w        http.ResponseWriter
	conn     *http.ResponseController
	leave    <-chan struct{}
	wake     chan struct{}
	fill     func() bool // what responses receive from; nil: they wait by themselves
	interval time.Duration
}

var _ pull.Consumer = (*stream)(nil)

// Wake implements pull.Consumer.
func (s *stream) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // a signal is pending already
	}
}

// Fill implements pull.Consumer.
func (s *stream) Fill(fill func() bool) { s.fill = fill }

// begin tells the client that it is connected.
func (s *stream) begin() error {
	// Those of the server are for requests that come to an end.
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	h := s.w.Header()
	h.Set("Content-Type", eventStream+"; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // proxies are to pass on what there is
	return s.say(":\n\n")
}

// follow sends responses until there are no more, or somebody goes.
func (s *stream) follow(ctx context.Context, responses graphql.ResponseHandler) {
	ping := time.NewTicker(s.interval)
	defer ping.Stop()
	for ctx.Err() == nil {
		if s.fill != nil && !s.fill() {
			select {
			case <-s.wake:
			case <-ping.C:
				if s.say(":\n\n") != nil {
					return
				}
			case <-s.leave:
				return
			case <-ctx.Done():
				return
			}
			continue
		}
		response := responses(ctx)
		if response == nil {
			if ctx.Err() == nil { // otherwise it is broken off, not complete
				_ = s.complete()
			}
			return
		}
		if s.next(response) != nil {
			return
		}
	}
}

func (s *stream) next(r *graphql.Response) error {
	out, err := encodeResponse(r)
	if err != nil {
		return err
	}
	return s.say("event: next\ndata: " + string(out) + "\n\n")
}

// complete has data, if empty, because browsers drop events without.
func (s *stream) complete() error { return s.say("event: complete\ndata:\n\n") }

func (s *stream) say(text string) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(streamWriteTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.conn.Flush()
}
