package analytics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	segment "github.com/segmentio/analytics-go/v3"
)

// maxDrain is how much of a response is read so that its connection can be used again.
const maxDrain = 64 << 10

// send delivers one batch in one request and returns nil only when the library confirmed every message.
//
// It makes a client of the library per request and closes it, because Close is the library's only flush and the only
// thing that makes it try once instead of ten times. That costs two short-lived goroutines; connections belong to
// the transport and stay open. Nothing is left behind that would have to be closed when a destination changes.
func (s *Segment) send(ctx context.Context, l *lease, tracks []segment.Track) error {
	if len(tracks) == 0 {
		return nil
	}
	try := &attempt{ctx: ctx, segment: s}
	client, err := segment.NewWithConfig(l.writeKey, segment.Config{
		Endpoint:   l.endpoint,
		Transport:  try,
		Callback:   try,
		Logger:     silent{},
		BatchSize:  len(tracks) + 1,                              // never reached: Close flushes
		Interval:   time.Hour,                                    // likewise
		RetryAfter: func(int) time.Duration { return time.Hour }, // cut short by Close
	})
	if err != nil {
		return fmt.Errorf("make a Segment client: %w", err)
	}
	for _, track := range tracks {
		if err := client.Enqueue(track); err != nil {
			try.Failure(track, err)
		}
	}
	if err := client.Close(); err != nil { // returns after the last callback
		try.Failure(nil, err)
	}
	return try.result(len(tracks))
}

// attempt watches one request: the library tells its callback whether, but not why, a batch failed.
type attempt struct {
	ctx     context.Context
	segment *Segment

	mu        sync.Mutex
	delivered int
	err       error
	response  *deliveryError // nil unless the request failed
}

// RoundTrip adds what the library's request lacks: cancellation, our timeout, a drained body, and no redirects. A
// redirected POST may arrive as a GET, which succeeds and delivers nothing.
func (a *attempt) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), a.segment.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)()
	res, err := a.segment.cfg.Transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, a.refused(&deliveryError{cause: err})
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDrain))
	if res.StatusCode >= 300 {
		return nil, a.refused(&deliveryError{
			status:     res.StatusCode,
			retryAfter: retryAfter(res.Header, a.segment.cfg.Now()),
			body:       string(body),
		})
	}
	if err != nil { // the status is what counts, but a response that broke off was perhaps a proxy's
		return nil, a.refused(&deliveryError{cause: err})
	}
	res.Body = http.NoBody
	return res, nil
}

func (a *attempt) refused(err *deliveryError) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.response = err
	return err
}

// Success and Failure are called by the library, once per message.

func (a *attempt) Success(segment.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delivered++
}

func (a *attempt) Failure(_ segment.Message, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
}

func (a *attempt) result(want int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.response != nil:
		return a.response
	case a.err != nil:
		return &deliveryError{cause: a.err}
	case a.delivered != want:
		return &deliveryError{cause: errors.New("the Segment library did not confirm every message")}
	}
	return nil
}

// silent drops the library's log, which repeats what we log, without saying what to do.
type silent struct{}

func (silent) Logf(string, ...any)   {}
func (silent) Errorf(string, ...any) {}
