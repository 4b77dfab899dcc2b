package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// What a zero Config means.
const (
	DefaultTimeout     = 15 * time.Second
	DefaultMaxResponse = 1 << 20 // bytes
	DefaultMaxInFlight = 64
	DefaultMaxPerHost  = 8
)

const (
	// MaxResponseHeaders bounds the headers of a response, in bytes.
	MaxResponseHeaders = 64 << 10

	maxIdlePerHost = 2
	idleTimeout    = 30 * time.Second
)

// Config configures a Client. A number that isn't positive means the default.
type Config struct {
	Allow       []netip.Prefix // networks that the operator opens although they aren't public; IPv4 ones in IPv4 spelling
	Timeout     time.Duration  // from the first name lookup to the end of the body, redirects included
	MaxResponse int64          // bytes of a response's body, after decompression
	MaxInFlight int            // requests at the same time
	MaxPerHost  int            // of those, to one host

	Now func() time.Time // the clock of signatures; time.Now if nil
}

// Client makes requests to addresses that strangers chose. It is safe for concurrent use.
type Client struct {
	allow       []netip.Prefix
	timeout     time.Duration
	maxResponse int64
	now         func() time.Time
	turns       *turns
	transport   *http.Transport
}

// New returns a client. One is enough for a process; each has its own bounds and connections.
func New(c Config) *Client { return newClient(c, nil) }

func newClient(c Config, resolver *net.Resolver) *Client {
	maxInFlight := positive(c.MaxInFlight, DefaultMaxInFlight)
	client := &Client{
		allow:       slices.Clone(c.Allow),
		timeout:     positive(c.Timeout, DefaultTimeout),
		maxResponse: positive(c.MaxResponse, DefaultMaxResponse),
		now:         c.Now,
		turns:       newTurns(maxInFlight, positive(c.MaxPerHost, DefaultMaxPerHost)),
	}
	if client.now == nil {
		client.now = time.Now
	}
	dialer := &net.Dialer{Timeout: client.timeout, ControlContext: client.guard, Resolver: resolver}
	client.transport = &http.Transport{
		Proxy:                  nil, // not the environment's: see the package's guarantees
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    client.timeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxInFlight,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: MaxResponseHeaders,
	}
	return client
}

func positive[T int | int64 | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

// CloseIdle closes connections that are kept for later requests. Call it when the client is not used any more.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// Request is what to send. Do doesn't change it, and it must not be changed until Do has returned.
type Request struct {
	Method string      // GET if empty; else GET, HEAD, POST, PUT, PATCH or DELETE
	URL    string      // absolute, http or https; at most MaxURL bytes
	Header http.Header // at most MaxHeaders values in MaxHeaderBytes; those of the connection are refused
	Body   []byte      // at most MaxBody bytes; set its Content-Type in Header
	Secret []byte      // signs the body, see SignatureHeader; nil for no signature
}

// Response is a complete response, of whatever status, from the end of all redirects.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // decompressed if it came with gzip; never nil
}

// Do sends a request and reads its response. Before that it waits for its turn, for at most Config.Timeout. Its errors
// are of type *Error, except when ctx was cancelled: then it returns context.Canceled.
func (c *Client) Do(ctx context.Context, r *Request) (*Response, error) {
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, err
	}
	if err := checkRequest(r); err != nil {
		return nil, err
	}
	header, err := outgoingHeader(r.Header)
	if err != nil {
		return nil, err
	}
	done, err := c.wait(ctx, hostKey(u))
	if err != nil {
		return nil, err
	}
	defer done()

	if r.Secret != nil {
		header.Set(SignatureHeader, sign(r.Secret, r.Body, c.now()))
	}
	trip := &journey{host: u.Hostname(), hasBody: len(r.Body) > 0}
	response, err := c.send(ctx, r, header, trip)
	if err != nil {
		return nil, c.explain(ctx, trip.host, err)
	}
	return response, nil
}

// wait takes a turn for the host.
func (c *Client) wait(ctx context.Context, host string) (done func(), err error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	done, err = c.turns.take(limited, host)
	if err == nil {
		return done, nil
	}
	if ctx.Err() == context.Canceled {
		return nil, ctx.Err()
	}
	e := errorf(Timeout, "too many requests are under way; this one got no turn in time and was not sent")
	e.cause = err
	return nil, e
}

func (c *Client) send(ctx context.Context, r *Request, header http.Header, trip *journey) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	request.Header = header
	client := http.Client{Transport: c.transport, CheckRedirect: trip.redirect}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	// Not drained: whoever sends too much loses the connection.
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.maxResponse+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > c.maxResponse {
		return nil, errorf(TooLarge, "the response of %q is larger than %d bytes", trip.host, c.maxResponse)
	}
	return &Response{Status: response.StatusCode, Header: response.Header, Body: body}, nil
}
