package graph

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
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

	mu       sync.Mutex
	owners   map[string]int // streams
	open     map[*stream]struct{}
	draining bool
}

const (
	defaultMaxStreams   = 100
	defaultPingInterval = 15 * time.Second
	streamWriteTimeout  = 5 * time.Second // for each write; a client that takes longer comes back
	drainStreamsFor     = 2 * time.Second // at most: clients that all came back at once would be a burden for who takes them
	drainStreamsPace    = 2 * time.Millisecond
)

var _ graphql.Transport = (*EventStreams)(nil)

// Supports implements graphql.Transport.
func (s *EventStreams) Supports(r *http.Request) bool {
	return httpTransport{}.Supports(r) && negotiate(r.Header.Values("Accept")) == eventStream
}

// Open is how many streams there are.
func (s *EventStreams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Drain lets no new streams begin, and ends those that there are, one after the other, within two seconds. It doesn't wait
// until they have gone: the HTTP server does.
func (s *EventStreams) Drain() {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return
	}
	s.draining = true
	streams := make([]*stream, 0, len(s.open))
	for st := range s.open {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	rand.Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
	pace := min(drainStreamsPace, drainStreamsFor/time.Duration(max(1, len(streams))))
	for i, begin := 0, time.Now(); i < len(streams); {
		for due := min(len(streams), 1+int(time.Since(begin)/pace)); i < due; i++ { // a timer is late more often than not
			close(streams[i].leave)
		}
		time.Sleep(pace)
	}
}

var (
	errStopping       = errors.New("this server is stopping: connect again")
	errTooManyStreams = errors.New("too many streams")
)

// enter counts a stream, or says why it may not begin.
func (s *EventStreams) enter(st *stream, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return errStopping
	}
	if owner != "" {
		if s.owners[owner] >= s.maxStreams() {
			return errTooManyStreams
		}
		if s.owners == nil {
			s.owners = map[string]int{}
		}
		s.owners[owner]++
	}
	if s.open == nil {
		s.open = map[*stream]struct{}{}
	}
	s.open[st] = struct{}{}
	return nil
}

func (s *EventStreams) exit(st *stream, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, st)
	if owner == "" {
		return
	}
	if s.owners[owner]--; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
}

func (s *EventStreams) maxStreams() int { return cmp.Or(s.MaxStreams, defaultMaxStreams) }

// Do implements graphql.Transport.
func (s *EventStreams) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	owner := ""
	if s.Owner != nil {
		owner = s.Owner(r.Context())
	}
	st := &stream{w: w, conn: http.NewResponseController(w), leave: make(chan struct{}), wake: make(chan struct{}, 1),
		interval: cmp.Or(s.PingInterval, defaultPingInterval)}
	if err := s.enter(st, owner); err != nil {
		s.refuse(w, r, err)
		return
	}
	defer s.exit(st, owner)
	params, err := requestParams(r)
	if err != nil {
		refuse(w, r, s.log, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if until := TokenEnd(ctx); !until.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	op, errs := exec.CreateOperationContext(ctx, params)
	if errs == nil && op.Operation.Operation == ast.Mutation && r.Method == http.MethodGet {
		refuseMutation(w, r, s.log)
		return
	}
	if st.begin() != nil {
		return
	}
	ctx = graphql.WithOperationContext(ctx, op)
	if errs != nil { // the protocol wants it said in the stream
		if st.next(exec.DispatchError(ctx, errs)) == nil {
			_ = st.complete()
		}
		return
	}
	if op.Operation.Operation == ast.Subscription {
		ctx = pull.With(ctx, st, ctx)
	}
	defer st.close()
	responses, ctx := exec.DispatchOperation(ctx, op)
	if op.Operation.Operation == ast.Subscription {
		giveBackTurn(ctx)
	}
	st.follow(ctx, op, responses)
}

// refuse answers a request whose stream may not begin.
func (s *EventStreams) refuse(w http.ResponseWriter, r *http.Request, why error) {
	if errors.Is(why, errTooManyStreams) {
		w.Header().Set("Retry-After", "5")
		refuse(w, r, s.log, http.StatusTooManyRequests, belfry.Beyond("streams", s.maxStreams(), "at a time for one user on a node"))
		return
	}
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close")
	refuse(w, r, s.log, http.StatusServiceUnavailable, belfry.Errorf(belfry.Internal, "%v", why))
}

// stream is one response.
type stream struct {
	w        http.ResponseWriter
	conn     *http.ResponseController
	leave    chan struct{} // closed when the node stops
	wake     chan struct{}
	source   pull.Pulled // what responses receives from; nil: they wait by themselves
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

// Follow implements pull.Consumer.
func (s *stream) Follow(source pull.Pulled) { s.source = source }

// Following implements pull.Consumer.
func (s *stream) Following() pull.Pulled { return s.source }

// close lets go of the source.
func (s *stream) close() {
	if s.source != nil {
		s.source.Close()
	}
}

// begin tells the client that it is connected.
func (s *stream) begin() error {
	h := s.w.Header()
	h.Set("Content-Type", eventStream+"; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // proxies are to pass on what there is
	if err := s.say(":\n\n"); err != nil {
		return err
	}
	// That of the server is for requests that come to an end. Not before the first write: that one reads what the client has
	// announced and not sent.
	return s.conn.SetReadDeadline(time.Time{})
}

// follow sends responses until there are no more, or somebody goes.
func (s *stream) follow(ctx context.Context, op *graphql.OperationContext, responses graphql.ResponseHandler) {
	ping := time.NewTicker(s.interval)
	defer ping.Stop()
	for ctx.Err() == nil {
		if s.source != nil { // a subscription; of another operation the client hears the end
			select {
			case <-s.leave:
				return
			default:
			}
			switch event, what := s.source.Fill(); {
			case what == pull.End:
				if ctx.Err() == nil { // otherwise it is broken off, not complete
					_ = s.complete()
				}
				return
			case what == pull.Nothing:
				if !s.rest(ctx, ping.C) {
					return
				}
				continue
			case event != nil:
				if s.say(`event: next`+"\n"+`data: {"data":{"`+pull.ResponseKey(op)+`":`+string(event)+"}}\n\n") != nil {
					return
				}
				continue
			}
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

// rest waits until there may be something to say, and reports whether somebody is still there to say it to.
func (s *stream) rest(ctx context.Context, ping <-chan time.Time) bool {
	select {
	case <-s.wake:
		return true
	case <-ping:
		return s.say(":\n\n") == nil
	case <-s.leave:
	case <-ctx.Done():
	}
	return false
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
