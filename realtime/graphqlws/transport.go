package graphqlws

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"
)

// What Config stands for where it says nothing.
const (
	DefaultInitTimeout      = 10 * time.Second
	DefaultPingPongInterval = 25 * time.Second
	DefaultWriteTimeout     = 5 * time.Second
	DefaultReadLimit        = 64 << 10 // bytes in one message
	DefaultMaxOperations    = 100
)

const (
	protocol         = "graphql-transport-ws"
	handshakeTimeout = 5 * time.Second
)

// Config configures the transport. The zero value serves everybody of the same origin.
type Config struct {
	// AllowedOrigins are the origins ("https://app.example.com") whose pages may connect. Empty means the
	// server's own; "*" means all, for development. Clients that send no Origin are not browsers, and may connect.
	AllowedOrigins []string

	// Init decides about a connection from the payload of connection_init, nil if the client sent none, and
	// returns the context of all its operations. A deadline on that context ends the connection with
	// CloseForbidden. An error refuses it: a *CloseError with its own code and reason, any other with
	// CloseForbidden and no more than "Forbidden". Everybody may connect if Init is nil.
	Init func(ctx context.Context, payload map[string]any) (context.Context, error)

	InitTimeout      time.Duration // for connection_init to arrive; DefaultInitTimeout if zero
	PingPongInterval time.Duration // two without a pong end the connection; DefaultPingPongInterval if zero
	WriteTimeout     time.Duration // for each write; DefaultWriteTimeout if zero
	ReadLimit        int64         // bytes in one message; DefaultReadLimit if zero
	MaxOperations    int           // at a time on one connection, see LimitOperations; DefaultMaxOperations if zero
}

// Transport is a graphql.Transport for WebSocket upgrades.
type Transport struct {
	config      Config
	origins     []string // normalised
	stock       transport.Websocket
	connections atomic.Int64
}

var _ graphql.Transport = (*Transport)(nil)

// New returns a transport for handler.Server.AddTransport.
func New(cfg Config) *Transport {
	cfg.InitTimeout = cmp.Or(cfg.InitTimeout, DefaultInitTimeout)
	cfg.PingPongInterval = cmp.Or(cfg.PingPongInterval, DefaultPingPongInterval)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, DefaultWriteTimeout)
	cfg.ReadLimit = cmp.Or(cfg.ReadLimit, DefaultReadLimit)
	cfg.MaxOperations = cmp.Or(cfg.MaxOperations, DefaultMaxOperations)
	t := &Transport{config: cfg}
	for _, origin := range cfg.AllowedOrigins {
		t.origins = append(t.origins, normaliseOrigin(origin))
	}
	t.stock = transport.Websocket{
		Implementation:   acceptor{},
		InitFunc:         t.init,
		InitTimeout:      cfg.InitTimeout,
		PingPongInterval: cfg.PingPongInterval,
		PayloadReadLimit: &cfg.ReadLimit,
	}
	return t
}

// Connections returns how many sockets are open.
func (t *Transport) Connections() int { return int(t.connections.Load()) }

// Supports implements graphql.Transport.
func (t *Transport) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do implements graphql.Transport. It returns when the connection has ended.
func (t *Transport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !t.allowed(r) {
		transport.SendErrorf(w, http.StatusForbidden, "this origin may not open WebSockets here: add it to the allowed origins of the server")
		return
	}
	c := newConn(t.config)
	// Whatever happens, a panic of Init included: the socket has been taken from net/http, so nobody else closes it.
	defer c.closeSocket()
	t.connections.Add(1)
	defer t.connections.Add(-1)
	r = r.WithContext(context.WithValue(r.Context(), connKey{}, c))
	if !slices.Contains(websocket.Subprotocols(r), protocol) {
		if _, err := (acceptor{}).Accept(w, r, transport.WebsocketAcceptOptions{}); err != nil {
			transport.SendErrorf(w, http.StatusBadRequest, "unable to upgrade")
			return
		}
		_ = c.WriteClose(CloseSubprotocolNotAcceptable, "Subprotocol not acceptable: want "+protocol)
		return
	}
	t.stock.Do(w, r, exec)
}

// init is the stock transport's InitFunc. It always returns a context, which the stock transport relies on.
func (t *Transport) init(ctx context.Context, payload transport.InitPayload) (context.Context, *transport.InitPayload, error) {
	c := connFrom(ctx)
	if t.config.Init == nil {
		c.initialised(ctx)
		return ctx, nil, nil
	}
	next, err := t.config.Init(ctx, payload)
	if err != nil {
		refusal := &CloseError{Code: CloseForbidden, Reason: "Forbidden"}
		errors.As(err, &refusal)
		ctx = transport.WithWebsocketCloseCode(ctx, refusal.Code)
		return transport.AppendCloseReason(ctx, refusal.Reason), nil, err
	}
	if next == nil {
		next = ctx
	}
	next = context.WithValue(next, connKey{}, c) // Init may have started from another context
	c.initialised(next)
	return next, nil, nil
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

// acceptor is the stock transport's way to a connection: the upgrade to a WebSocket, for the conn in the context.
type acceptor struct{}

func (acceptor) Accept(w http.ResponseWriter, r *http.Request, o transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		Subprotocols:     []string{protocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // Do has checked it
		// The stock transport answers a failed upgrade itself.
		Error: func(http.ResponseWriter, *http.Request, int, error) {},
	}
	ws, err := upgrader.Upgrade(w, r, o.ResponseHeader)
	if err != nil {
		return nil, err
	}
	c := connFrom(r.Context())
	c.ws = ws
	return c, nil
}

type connKey struct{}

// connFrom returns the connection that the context belongs to, nil for plain HTTP.
func connFrom(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
