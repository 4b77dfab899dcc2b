package analytics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry"
)

// checkUsers checks that exactly the users from first on were told about, each under one messageId.
func checkUsers(t *testing.T, tracks []track, first, n int) {
	t.Helper()
	byUser := map[string]string{}
	for id, m := range distinct(tracks) {
		if other := byUser[m.UserID]; other != "" {
			t.Errorf("%s was told about twice, as %s and %s", m.UserID, other, id)
		}
		byUser[m.UserID] = id
	}
	for i := first; i < first+n; i++ {
		if byUser[fmt.Sprintf("user-%d", i)] == "" {
			t.Errorf("user-%d is missing", i)
		}
	}
	if len(byUser) != n {
		t.Errorf("got %d users, want %d", len(byUser), n)
	}
}

func TestSegmentDelivers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	s := f.segment()
	f.run(s)
	f.record(f.sent(1, 3), f.sent(4, 900))
	f.record(f.sent(904, 1))
	tracks := f.collector.awaitDistinct(904)
	stats := f.awaitIdle(s)
	for i, m := range tracks { // in order, no copies
		if want := fmt.Sprintf("user-%d", i+1); m.UserID != want || m.WriteKey != "key" || !m.Timestamp.Equal(start) {
			t.Fatalf("track %d is %+v, want that of %s", i, m, want)
		}
	}
	if len(tracks) != 904 || stats.Sent != 904 || stats.Failed != 0 || stats.Unsendable != 0 {
		t.Errorf("got %d tracks and %+v", len(tracks), stats)
	}
}

// Wake finds events without waiting for the poll.
func TestWake(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	s := f.segment(func(c *SegmentConfig) { c.Poll = time.Hour })
	f.run(s)
	f.record(f.sent(1, 1))
	// Other tests' transactions may hide the event from the first look.
	await(t, func() (bool, any) {
		s.Wake()
		tracks, _ := f.collector.accepted()
		return len(tracks) == 1, tracks
	})
}

// outage is a way in which an endpoint fails.
type outage struct {
	answer http.HandlerFunc
	least  time.Duration // that must pass after the first failure
	err    string        // part of what people are told
}

func outages() map[string]outage {
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			http.Error(w, "go away", code)
		}
	}
	return map[string]outage{
		"500":                 {status(500), transient.first / 2, "500"},
		"503 and Retry-After": {status(503, "Retry-After", "60"), time.Minute, "503"},
		"429":                 {status(429), transient.first / 2, "429"},
		"429 and Retry-After": {status(429, "Retry-After", "120"), 2 * time.Minute, "429 Too Many Requests"},
		"401, bad write key":  {status(401), lasting.first / 2, "401"},
		"400":                 {status(400), lasting.first / 2, "400"},
		// Followed, it would become a GET that succeeds.
		"redirect": {status(302, "Location", "/elsewhere"), lasting.first / 2, "302"},
		"connection broken off": {func(w http.ResponseWriter, _ *http.Request) {
			panic(http.ErrAbortHandler)
		}, transient.first / 2, "EOF"},
		"answer broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(200)
		}, transient.first / 2, "EOF"},
		"timeout": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, transient.first / 2, "deadline"},
	}
}

func TestSegmentOutlivesFailures(t *testing.T) {
	t.Parallel()
	for name, test := range outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.connect(f.env, "key")
			f.collector.respond(0, test.answer)
			s := f.segment(func(c *SegmentConfig) {
				if name == "timeout" {
					c.Timeout = time.Second
				}
			})
			f.record(f.sent(1, 300))
			f.run(s)
			const times = 3
			for failures := 1; failures <= times; failures++ {
				if d := f.awaitFailures(failures); !strings.Contains(d.LastError, test.err) || strings.Contains(d.LastError, "go away") {
					t.Errorf("people are told %q, which lacks %q or quotes the response", d.LastError, test.err)
				}
				if failures == 1 { // not before its time
					f.clock.advance(test.least - time.Millisecond)
					if early := f.claim(s); len(early) != 0 {
						t.Errorf("a node may try again already at %v", f.clock.now().Sub(start))
					}
				}
				if _, requests := f.collector.accepted(); requests != failures {
					t.Fatalf("%d requests, want %d: the library retries by itself, or we do too early", requests, failures)
				}
				if failures == times {
					f.collector.recover()
				}
				f.clock.advance(maxRetryAfter * 2)
			}
			checkUsers(t, f.collector.awaitDistinct(300), 1, 300)
			if stats := f.awaitIdle(s); stats.Failed != times || stats.Sent != 300 {
				t.Errorf("got %+v", stats)
			}
			if d, _ := f.destinations.GetSegment(t.Context(), f.env); d.Failures != 0 || d.LastError != "" {
				t.Errorf("after success it still says %+v", d)
			}
		})
	}
}

// A collector that goes away between two batches and comes back at the same address.
func TestCollectorRestarts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	f.record(f.sent(1, 2*maxBatchMessages+1))
	address := f.collector.Listener.Addr().String()
	f.collector.respond(1, func(http.ResponseWriter, *http.Request) {
		f.collector.Listener.Close()
		panic(http.ErrAbortHandler)
	})
	s := f.segment()
	f.run(s)
	f.awaitFailures(1)
	f.clock.advance(maxRetryAfter)
	f.awaitFailures(2) // nobody listens

	f.collector.recover()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	again := &httptest.Server{Listener: listener, Config: &http.Server{Handler: f.collector}}
	again.Start()
	t.Cleanup(again.Close)
	f.clock.advance(maxRetryAfter)
	checkUsers(t, f.collector.awaitDistinct(2*maxBatchMessages+1), 1, 2*maxBatchMessages+1)
}

// A node that is stopped in the middle of an event: the next one goes on with the rest.
func TestSegmentRestarts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	const n = 4 * maxBatchMessages
	f.record(f.sent(1, n))
	f.collector.respond(1, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // shutting down aborts the request
	})
	stop := f.run(f.segment())
	f.collector.awaitRequests(2)
	stop()
	f.collector.recover()

	// The lease was given up, so there is nothing to wait for.
	s := f.segment()
	f.run(s)
	tracks := f.collector.awaitDistinct(n)
	checkUsers(t, tracks, 1, n)
	if len(tracks) != n {
		t.Errorf("got %d tracks, want %d: what the first node had delivered was sent again", len(tracks), n)
	}
}

// What goes wrong on our side before the request is retried like the rest.
func TestTheEnvironmentKeyCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	f.record(f.sent(1, 3))
	var found atomic.Bool
	s := f.segment(func(c *SegmentConfig) {
		lookUp := c.EnvironmentKey
		c.EnvironmentKey = func(ctx context.Context, id belfry.EnvironmentID) (string, error) {
			if !found.Load() {
				return "", errors.New("password=hunter2 was refused")
			}
			return lookUp(ctx, id)
		}
	})
	f.run(s)
	if d := f.awaitFailures(1); d.LastError == "" || strings.Contains(d.LastError, "hunter2") {
		t.Errorf("people are told %q", d.LastError)
	}
	found.Store(true)
	f.clock.advance(time.Hour)
	checkUsers(t, f.collector.awaitDistinct(3), 1, 3)
}

// The library leaves bodies unread; a connection per request would be the result.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	f.collector.respond(2, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("no ", 1000), http.StatusServiceUnavailable)
	})
	s := f.segment()
	f.run(s)
	f.record(f.sent(1, 5*maxBatchMessages))
	f.awaitFailures(1)
	f.collector.recover()
	f.clock.advance(time.Hour)
	f.collector.awaitDistinct(5 * maxBatchMessages)
	if n := f.collector.connections.Load(); n != 1 {
		t.Errorf("6 requests took %d connections, want 1", n)
	}
}

// A node dies between Segment's answer and moving the cursor.
func TestSegmentCrashes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	const n = maxBatchMessages + 50
	f.record(f.sent(1, n))
	dead := f.segment()
	stale := f.awaitLease(dead)
	events, err := dead.read(t.Context(), &stale)
	if err != nil {
		t.Fatal(err)
	}
	var lost batch
	for b := range dead.batches(&stale, "production", events) {
		if err := dead.send(t.Context(), &stale, b.tracks); err != nil {
			t.Fatal(err)
		}
		lost = b
		break
	}

	s := f.segment()
	if early := f.claim(s); len(early) != 0 {
		t.Error("another node may send while the dead node's lease lasts")
	}
	f.clock.advance(s.cfg.Lease)
	f.run(s)
	tracks := f.collector.awaitDistinct(n)
	f.awaitIdle(s)
	checkUsers(t, tracks, 1, n)
	if copies := len(tracks) - len(distinct(tracks)); copies != maxBatchMessages {
		t.Errorf("got %d copies, want those %d that the dead node did not record", copies, maxBatchMessages)
	}

	// It was only asleep: what it does now must not move the cursor back.
	if err := dead.advance(t.Context(), &stale, lost.through); err != errLeaseLost {
		t.Errorf("the outdated sender got %v, want %v", err, errLeaseLost)
	}
	f.awaitIdle(s)
}

func TestEnvironmentsAreIsolated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad, good := f.env, f.environment("staging")
	f.connect(bad, "bad-key")
	f.connect(good, "good-key")
	f.collector.unknown = "bad-key"
	s := f.segment()
	f.run(s)
	f.record(sentIn(bad, 1, 10), sentIn(good, 101, 20))
	f.record(sentIn(good, 121, 5), sentIn(bad, 11, 10))
	tracks := f.collector.awaitDistinct(25)
	f.awaitFailures(1)
	checkUsers(t, tracks, 101, 25)
	for _, m := range tracks {
		if m.WriteKey != "good-key" || m.Properties["environment"] != "staging" {
			t.Errorf("got %+v", m)
		}
	}
	f.connect(bad, "better-key") // at once, without waiting for the back-off to end
	tracks = f.collector.awaitDistinct(45)[25:]
	checkUsers(t, tracks, 1, 20)
	if tracks[0].WriteKey != "better-key" || tracks[0].Properties["environment"] != "production" {
		t.Errorf("got %+v", tracks[0])
	}
}

// An endpoint that hangs must not delay the others.
func TestASlowDestinationDelaysNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	slow := newCollector(t)
	slow.respond(0, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := f.destinations.SetSegment(t.Context(), f.environment("slow"), "key", slow.URL); err != nil {
		t.Fatal(err)
	}
	f.connect(f.env, "key")
	f.run(f.segment())
	f.record(sentIn(f.env+1, 1, 1))
	slow.awaitRequests(1)
	f.record(f.sent(1, 5))
	checkUsers(t, f.collector.awaitDistinct(5), 1, 5)
}

func TestTwoNodesSendNothingTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	a, b := f.segment(), f.segment()
	f.run(a)
	f.run(b)
	const rounds, each = 30, 60
	for i := range rounds {
		f.record(f.sent(1+i*each, each))
	}
	tracks := f.collector.awaitDistinct(rounds * each)
	f.awaitIdle(a)
	checkUsers(t, tracks, 1, rounds*each)
	if tracks, _ = f.collector.accepted(); len(tracks) != rounds*each {
		t.Errorf("got %d tracks, want %d: some were sent twice", len(tracks), rounds*each)
	}
	if sent := a.sent.Load() + b.sent.Load(); sent != rounds*each {
		t.Errorf("the nodes count %d together, want %d", sent, rounds*each)
	}
}

func TestRequestsStayUnderTheLimitsWithLongIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	const n = 600
	change := f.sent(1, n)
	change.Channel = strings.Repeat("c", belfry.MaxKeyLength)
	change.Workflow, change.StepRef = change.Channel, change.Channel
	for i := range change.Messages {
		id := fmt.Sprintf("%d", i)
		change.Messages[i].UserID = id + strings.Repeat("&", belfry.MaxExternalIDLength-len(id))
	}
	s := f.segment()
	f.run(s)
	f.record(change)
	tracks := f.collector.awaitDistinct(n) // which checks the limits
	if tracks[n-1].UserID != change.Messages[n-1].UserID {
		t.Errorf("the id was changed: %s", tracks[n-1].UserID)
	}
}

func TestNothingIsLeftRunning(t *testing.T) { // not parallel: it counts goroutines
	f := newFixture(t)
	f.connect(f.env, "key")
	before := goleak.IgnoreCurrent()
	f.collector.respond(0, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusInternalServerError) })
	stop := f.run(f.segment())
	f.record(f.sent(1, 300))
	f.awaitFailures(1)
	f.collector.recover()
	f.clock.advance(time.Hour)
	f.collector.awaitDistinct(300)
	stop()
	f.pool.Reset()
	goleak.VerifyNone(t, before)
}

func TestNewSegmentChecksItsConfiguration(t *testing.T) {
	t.Parallel()
	valid := (&fixture{T: t, pool: new(pgxpool.Pool), clock: &clock{}}).segment().cfg
	for name, change := range map[string]func(*SegmentConfig){
		"no pool":            func(c *SegmentConfig) { c.Pool = nil },
		"no environment key": func(c *SegmentConfig) { c.EnvironmentKey = nil },
		"timeout too long":   func(c *SegmentConfig) { c.Timeout, c.Lease = MaxTimeout+1, time.Hour },
		"lease too short":    func(c *SegmentConfig) { c.Lease = 2*c.Timeout - 1 },
		"negative poll":      func(c *SegmentConfig) { c.Poll = -1 },
	} {
		cfg := valid
		change(&cfg)
		if _, err := NewSegment(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	valid.Timeout, valid.Lease = MaxTimeout, 2*MaxTimeout
	if _, err := NewSegment(valid); err != nil {
		t.Error(err)
	}
}
