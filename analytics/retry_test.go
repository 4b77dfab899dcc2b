package analytics

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 3: 8 * time.Second, 9: 5 * time.Minute, 1 << 30: 5 * time.Minute} {
		for range 100 {
			if d := transient.delay(failures); d < want/2 || d > want {
				t.Fatalf("after %d failures: %v, want between %v and %v", failures, d, want/2, want)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"":                              0,
		"soon":                          0,
		"-3":                            0,
		"0":                             0,
		"30":                            30 * time.Second,
		"3600":                          maxRetryAfter,
		"3601":                          maxRetryAfter,
		"9999999999999":                 maxRetryAfter,
		"Sun, 01 Mar 2026 12:00:45 GMT": 45 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Sun, 01 Mar 2099 12:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, start); got != want {
			t.Errorf("Retry-After: %s: got %v, want %v", value, got, want)
		}
	}
	throttled := &deliveryError{status: http.StatusTooManyRequests, retryAfter: 10 * time.Minute}
	if d := throttled.delay(0); d < 10*time.Minute || d > 11*time.Minute {
		t.Errorf("got %v, want the 10 minutes asked for and a little", d)
	}
}

func TestFailuresSayWhetherSomebodyMustAct(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]backoff{
		0: transient, 408: transient, 429: transient, 500: transient, 503: transient,
		302: lasting, 400: lasting, 401: lasting, 403: lasting, 404: lasting, 413: lasting,
	} {
		if got := (&deliveryError{status: status}).class(); got != want {
			t.Errorf("status %d: got %v, want %v", status, got, want)
		}
	}
	if todo := (&deliveryError{status: 401}).todo(); !strings.Contains(todo, "write key") {
		t.Errorf("401: %q does not name the write key", todo)
	}
	broken := errors.New("connection reset")
	if err := error(&deliveryError{cause: broken}); !errors.Is(err, broken) {
		t.Errorf("%v hides its cause", err)
	}
}

func TestExcerptFitsATextColumn(t *testing.T) {
	t.Parallel()
	if got := excerpt("a\x00b\xffcé", 6); got != "abc" { // the é is cut in half
		t.Errorf("got %q", got)
	}
}
