package engine

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/belfryhq/belfry/internal/egress"
	"github.com/belfryhq/belfry/workflow"
)

// slowServer answers with an empty object: a request for /slow once it is released.
func slowServer(t *testing.T) (url string, arrived <-chan struct{}, release func()) {
	came, free := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			came <- struct{}{}
			select {
			case <-free:
			case <-r.Context().Done():
			}
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		select {
		case <-free:
		default:
			close(free)
		}
	})
	return server.URL, came, func() { close(free) }
}

func fetching(c *Config) {
	c.HTTP = egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	c.PollInterval = 50 * time.Millisecond
}

func fetchStep(ref, url string) workflow.Step {
	return workflow.Step{Ref: ref, Fetch: &workflow.Fetch{URL: url}}
}

const waitingRuns = `SELECT count(*) FROM runs WHERE status = 'waiting' AND trigger_id = $1`

// A server that takes its time keeps nobody else from theirs.
func TestASlowServerHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fetching)
	url, arrived, release := slowServer(t)
	w.users(1)
	w.workflow("slow", fetchStep("ask", url+"/slow"))
	w.workflow("fast", fetchStep("ask", url+"/fast"))
	w.start(w.Engine)
	slow := w.trigger(Request{Workflow: "slow", Recipients: refer(0, 1)})
	receive(t, arrived)
	fast := w.trigger(Request{Workflow: "fast", Recipients: refer(0, 1)})
	w.eventuallyZero(`SELECT 1 - count(*) FROM runs WHERE status = 'done' AND trigger_id = $1`, fast.Trigger.ID)
	expect(t, "runs that wait for the slow server", one[int](w, waitingRuns, slow.Trigger.ID), 1)
	release()
	w.eventuallyZero(waitingRuns, slow.Trigger.ID)
}

// Only what can begin at once is leased: another node may have a free slot for the others.
func TestRequestsAreLeasedForFreeSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fetching)
	url, _, release := slowServer(t)
	w.users(fetchesAtOnce + 1)
	w.workflow("w", fetchStep("ask", url+"/slow"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, fetchesAtOnce+1)})
	w.drain()
	f := newFetcher(w.Engine)
	begin := func(want int) {
		t.Helper()
		if n, err := f.begin(t.Context()); n != want || err != nil {
			t.Fatalf("begin = %d, %v, want %d", n, err, want)
		}
	}
	begin(fetchesAtOnce)
	begin(0)
	expect(t, "leased", one[int](w, `SELECT count(*) FROM fetches WHERE attempts > 0`), fetchesAtOnce)
	for len(w.wakeFetch) > 0 {
		<-w.wakeFetch
	}
	release()
	receive(t, w.wakeFetch) // by the slot that is free now
	f.under.Wait()
	begin(1)
	f.under.Wait()
	w.drain()
	expect(t, "runs done", one[int](w, `SELECT count(*) FROM runs WHERE status = 'done'`), fetchesAtOnce+1)
}

func TestARequestThatCannotBeReadFailsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fetching)
	url, _, _ := slowServer(t)
	w.users(3)
	w.workflow("w", fetchStep("ask", url+"/fast"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3)})
	w.drain()
	w.exec(`UPDATE fetches SET request = '[1]' FROM recipients WHERE id = recipient_id AND external_id = 'u1'`)
	f := newFetcher(w.Engine)
	if n, err := f.begin(t.Context()); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	f.under.Wait()
	w.drain()
	for user, want := range map[string]Status{"u0": Done, "u1": Failed, "u2": Done} {
		expect(t, user, w.runs(a.Trigger.ID)[user].Status, want)
	}
}

// A node that shuts down says nothing about the server: another one makes the request.
func TestAnInterruptedRequestIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fetching)
	url, arrived, release := slowServer(t)
	w.users(1)
	w.workflow("w", fetchStep("ask", url+"/slow"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	ctx, shutDown := context.WithCancel(t.Context())
	f := newFetcher(w.Engine)
	if n, err := f.begin(ctx); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	receive(t, arrived)
	shutDown()
	f.under.Wait()
	w.drain()
	expect(t, "runs that wait", one[int](w, waitingRuns, a.Trigger.ID), 1)
	release()
	if n, err := f.begin(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	f.under.Wait()
	w.drain()
	expect(t, "status", w.runs(a.Trigger.ID)["u0"].Status, Done)
}

// Who wakes up long after its lease has nothing to say about the request of a later step, whose fence may be the same.
func TestALateResponseIsNotThatOfTheNextRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fetching)
	w.users(1)
	w.workflow("w", fetchStep("one", "http://example.com/1"), fetchStep("two", "http://example.com/2"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	lease := func() *fetch {
		t.Helper()
		w.drain()
		leased, err := w.leaseFetches(t.Context(), 1)
		if err != nil || len(leased) != 1 {
			t.Fatal(len(leased), err)
		}
		return leased[0]
	}
	asleep := lease()
	w.clock.add(2 * fetchLease)
	if err := w.fetched(t.Context(), lease(), response{Status: 200}, false); err != nil {
		t.Fatal(err)
	}
	second := lease()
	expect(t, "fence", second.fence, asleep.fence)
	if err := w.fetched(t.Context(), asleep, response{Status: 200}, false); err != nil {
		t.Fatal(err)
	}
	expect(t, "signals", one[int](w, `SELECT count(*) FROM signals`), 0)
	expect(t, "requests", one[string](w, `SELECT string_agg(step_ref, ' ') FROM fetches`), "two")
}
