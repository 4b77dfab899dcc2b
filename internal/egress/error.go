package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// Reason classifies why there is no response. The set is closed and its spelling stable: it may be stored and shown.
type Reason string

const (
	InvalidURL       Reason = "invalid_url"        // the URL, or one that a redirect led to, can't be used
	InvalidRequest   Reason = "invalid_request"    // method, header, body or secret; the message says which
	ForbiddenAddress Reason = "forbidden_address"  // the host leads outside of the public internet
	Timeout          Reason = "timeout"            // no turn, or no complete response, in time
	ConnectionFailed Reason = "connection_failed"  // name lookup, TCP, TLS or HTTP broke down
	TooLarge         Reason = "too_large"          // the response's headers or its body
	TooManyRedirects Reason = "too_many_redirects" // more than MaxRedirects
)

// Error says why there is no response. Message is a sentence for whoever wrote the request; it holds no address that
// a name resolved to, no query and no header value. The cause, if there is one, is wrapped and may hold all of them.
type Error struct {
	Reason  Reason
	Message string

	cause error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, for the operator's log, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Retryable reports whether the same request may get a response later.
func (e *Error) Retryable() bool { return e.Reason == Timeout || e.Reason == ConnectionFailed }

func errorf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// explain turns what net/http says about a request to host into what Do returns.
func (c *Client) explain(ctx context.Context, host string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the caller has lost interest: this says nothing about the host
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{cause: err}
	text := withoutAddresses(err)
	network, isNetwork := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errForbidden):
		e.Reason = ForbiddenAddress
		e.Message = fmt.Sprintf("%q is not on the public internet; ask the operator of Belfry to allow its address", host)
	case errors.Is(err, context.DeadlineExceeded), isNetwork && network.Timeout():
		e.Reason = Timeout
		e.Message = fmt.Sprintf("%q did not answer completely in time; at most %v are allowed", host, c.timeout)
	case isHeadersTooLarge(text):
		e.Reason = TooLarge
		e.Message = fmt.Sprintf("%q sent more than %d bytes of headers", host, MaxResponseHeaders)
	default:
		e.Reason = ConnectionFailed
		e.Message = fmt.Sprintf("the exchange with %q failed: %s", host, text)
	}
	return e
}

// net/http has no type for this error, in neither of its two protocols.
func isHeadersTooLarge(text string) bool {
	return strings.Contains(text, "server response headers exceeded") ||
		strings.Contains(text, "response header list larger than advertised limit")
}

// maxCause bounds how much of a peer's malformed response gets into a message.
const maxCause = 200

// withoutAddresses says what went wrong without the addresses of peer, resolver and ourselves, which would describe
// the operator's network to strangers, and without the URL, which may hold secrets.
func withoutAddresses(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "there is no such host"
		}
		return "the name lookup failed" // its text may be that of a connection to the resolver
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	text := strings.ToValidUTF8(err.Error(), "")
	if len(text) > maxCause {
		text = strings.ToValidUTF8(text[:maxCause], "") + " ..."
	}
	return text
}
