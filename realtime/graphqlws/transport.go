package graphqlws

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"
)

// What Config stands for where it says nothing.
const (
	DefaultInitTimeout    = 10 * time.Second
	DefaultPingInterval   = 25 * time.Second
	DefaultWriteTimeout   = 5 * time.Second
	DefaultMessageTimeout = 10 * time.Second
	DefaultReadLimit      = 64 << 10 // bytes in one message
	DefaultMaxOperations  = 100
	DefaultMaxConnections = 100
	DefaultMessageRate    = 25 // a second
)

const (
	protocol         = "graphql-transport-ws"
	handshakeTimeout = 5 * time.Second
	readBuffer       = 288 // bytes, for each connection: with 256 or fewer the library would make one of its own
	minTick          = time.Millisecond
	maxTick          = 100 * time.Millisecond // exact enough for timeouts of seconds
)

// Config configures the transport. The zero value serves everybody of the same origin.
type Config struct {
	// AllowedOrigins are the origins ("https://app.example.com") whose pages may connect. Empty means the
	// server's own; "*" means all, for development. Clients that send no Origin are not browsers, and may connect.
	AllowedOrigins []string

	// Init decides about a connection from the payload of connection_init, nil if the client sent none, and
	// returns the context whose values all its operations have. When that context ends so does the connection, with
	// CloseServiceRestart; queries and mutations that are running then get a second more. An error refuses the
	// connection: a *CloseError with its own code and reason, any other with CloseForbidden and no more than "Forbidden".
	// The context that Init gets has the values of the request's, and ends with the connection if what is returned is made of
	// it. One that has nothing of it, and never ends, saves kilobytes. Everybody may connect if Init is nil.
	Init func(ctx context.Context, payload map[string]any) (context.Context, error)

	// Expires says when the credentials end, from the context that Init has returned, and with them the connection, with
	// CloseForbidden: queries and mutations get a second more. Never if zero, or if Expires is nil.
	Expires func(ctx context.Context) time.Time

	// Owner names whose connection it is, from the context that Init has returned; MaxConnections are counted by it.
	// Connections of "" aren't counted, and none is if Owner is nil.
	Owner func(ctx context.Context) string

	// Panicked is told of a panic of Init, or of the server's own recover function, on the goroutine where it
	// happened. The client is asked to come back later.
	Panicked func(value any)

	InitTimeout    time.Duration // for the connection to be acknowledged; DefaultInitTimeout if zero
	PingInterval   time.Duration // two without a sign of life end the connection; DefaultPingInterval if zero
	WriteTimeout   time.Duration // for each write, of at most 64 KiB; DefaultWriteTimeout if zero
	MessageTimeout time.Duration // for a message to come, from its first frame to its last; DefaultMessageTimeout if zero
	ReadLimit      int64         // bytes in one message; DefaultReadLimit if zero
	MaxOperations  int           // at a time on one connection; DefaultMaxOperations if zero
	MaxConnections int           // at a time of one owner on this node; DefaultMaxConnections if zero
	MessageRate    int           // messages a second, over ten seconds; DefaultMessageRate if zero
}

// Transport is a graphql.Transport for WebSocket upgrades. Its methods are safe for concurrent use.
type Transport struct {
	config   Config
	origins  []string // normalised
	upgrader websocket.Upgrader
	wheel    *wheel

	operations atomic.Int64
	slow       atomic.Uint64

	mu       sync.Mutex
	conns    map[*conn]struct{}
	owners   map[string]int // connections
	draining bool
	nobody   chan struct{} // closed when the last connection has ended; nil if nobody waits
}

var _ graphql.Transport = (*Transport)(nil)

// New returns a transport for handler.Server.AddTransport.
func New(cfg Config) *Transport {
	cfg.InitTimeout = cmp.Or(cfg.InitTimeout, DefaultInitTimeout)
	cfg.PingInterval = cmp.Or(cfg.PingInterval, DefaultPingInterval)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, DefaultWriteTimeout)
	cfg.MessageTimeout = cmp.Or(cfg.MessageTimeout, DefaultMessageTimeout)
	cfg.ReadLimit = cmp.Or(cfg.ReadLimit, DefaultReadLimit)
	cfg.MaxOperations = cmp.Or(cfg.MaxOperations, DefaultMaxOperations)
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, DefaultMaxConnections)
	cfg.MessageRate = cmp.Or(cfg.MessageRate, DefaultMessageRate)
	if cfg.Init == nil {
		cfg.Init = func(ctx context.Context, _ map[string]any) (context.Context, error) { return ctx, nil }
	}
	if cfg.Owner == nil {
		cfg.Owner = func(context.Context) string { return "" }
	}
	if cfg.Expires == nil {
		cfg.Expires = func(context.Context) time.Time { return time.Time{} }
	}
	if cfg.Panicked == nil {
		cfg.Panicked = func(any) {}
	}
	t := &Transport{config: cfg, conns: make(map[*conn]struct{}), owners: make(map[string]int)}
	for _, origin := range cfg.AllowedOrigins {
		t.origins = append(t.origins, normaliseOrigin(origin))
	}
	t.upgrader = websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		Subprotocols:     []string{protocol},
		CheckOrigin:      t.allowed,
		WriteBufferPool:  &sync.Pool{}, // so that no connection has a buffer of its own for writing: we write ourselves
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			if status == http.StatusForbidden {
				transport.SendErrorf(w, status, "this origin may not open WebSockets here: add it to the allowed origins of the server")
				return
			}
			transport.SendErrorf(w, status, "unable to upgrade: %v", reason)
		},
	}
	tick := min(cfg.InitTimeout, cfg.PingInterval) / 8
	t.wheel = newWheel(min(max(tick, minTick), maxTick), time.Now())
	return t
}

// Stats are plain numbers for metrics.
type Stats struct {
	Connections int    // open, acknowledged or not
	Operations  int    // running
	Slow        uint64 // connections cut because a write took too long; only ever grows
}

// Stats returns current figures.
func (t *Transport) Stats() Stats {
	return Stats{Connections: t.Connections(), Operations: int(t.operations.Load()), Slow: t.slow.Load()}
}

// Connections returns how many sockets are open.
func (t *Transport) Connections() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// Supports implements graphql.Transport.
func (t *Transport) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do implements graphql.Transport. It returns after the upgrade, upon which net/http lets go of the request and its
// buffers; the connection lives on with one goroutine.
func (t *Transport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if t.isDraining() {
		transport.SendErrorf(w, http.StatusServiceUnavailable, "this server is stopping: connect again")
		return
	}
	ws, socket, err := t.upgrade(w, r)
	if err != nil {
		return // it has been answered
	}
	c := &conn{
		transport: t, exec: exec, ws: ws, incoming: socket, socket: socket.Conn,
		deadline: time.Now().Add(t.config.InitTimeout),
	}
	// The request's context ends when we return.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	t.add(c)
	if ws.Subprotocol() != protocol {
		c.shut(CloseSubprotocolNotAcceptable, "Subprotocol not acceptable: want "+protocol)
	}
	c.listen()
}

func (t *Transport) isDraining() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.draining
}

// allowed checks the origin of a browser's request.
func (t *Transport) allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(t.origins, "*") {
		return true
	}
	if len(t.origins) == 0 {
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Host, r.Host)
	}
	return slices.Contains(t.origins, normaliseOrigin(origin))
}

func normaliseOrigin(origin string) string { return strings.ToLower(strings.TrimSuffix(origin, "/")) }
