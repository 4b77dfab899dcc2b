package analytics

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxRetryAfter  = time.Hour // however long a server asks us to wait
	maxErrorLength = 300       // bytes of a text from a stranger that are stored or logged
)

// backoff is how waits grow from failure to failure.
type backoff struct{ first, most time.Duration }

var (
	transient = backoff{time.Second, 5 * time.Minute}       // outages, which end by themselves
	lasting   = backoff{30 * time.Second, 15 * time.Minute} // refusals, which end when somebody changes something
)

// delay is the wait after a failure that followed so many others: exponential, of which half is random, so that
// destinations that failed together do not come back together.
func (b backoff) delay(failures int) time.Duration {
	d := min(b.first<<min(failures, 20), b.most)
	return d/2 + rand.N(d/2)
}

// deliveryError says why a request failed.
type deliveryError struct {
	status     int           // 0: no response
	retryAfter time.Duration // 0: the response did not say
	body       string        // beginning of the response
	cause      error         // when there was no response
}

// Error is for our log.
func (e *deliveryError) Error() string {
	if body := strings.TrimSpace(excerpt(e.body, maxErrorLength)); body != "" {
		return e.notice() + ": " + body
	}
	return e.notice()
}

// notice is for whoever may see the destination. It leaves out the response, or an endpoint inside of our network could
// be read through it.
func (e *deliveryError) notice() string {
	if e.cause != nil {
		return "the request failed: " + e.cause.Error()
	}
	return fmt.Sprintf("the endpoint answered %d %s", e.status, http.StatusText(e.status))
}

func (e *deliveryError) Unwrap() error { return e.cause }

// class tells failures that pass from those that need somebody to do something.
func (e *deliveryError) class() backoff {
	if e.status < 300 || e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout {
		return transient
	}
	return lasting
}

func (e *deliveryError) delay(failures int) time.Duration {
	d := e.class().delay(failures)
	if e.retryAfter == 0 {
		return d
	}
	// At least what was asked for, and some jitter: everybody was asked the same.
	return max(d, e.retryAfter+rand.N(e.retryAfter/10+1))
}

// todo is what ends a lasting failure.
func (e *deliveryError) todo() string {
	switch {
	case e.status < 400:
		return "the endpoint redirects: set the destination's endpoint to where it redirects to"
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		return "set the destination's write key to that of an enabled source in Segment"
	case e.status == http.StatusNotFound, e.status == http.StatusMethodNotAllowed:
		return `set the destination's endpoint to a base URL below which "/v1/batch" exists`
	}
	return "read the answer; correct the destination's endpoint or write key, or report a bug. Events wait until then"
}

// retryAfter reads the header, which holds seconds or a date. 0: there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		seconds = min(max(seconds, 0), int64(maxRetryAfter/time.Second))
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// excerpt is the beginning of a text from a stranger, fit for a log and for a text column.
func excerpt(text string, bytes int) string {
	text = text[:min(len(text), bytes)]
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}
