package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// shared is the PostgreSQL of all tests; each makes databases of its own on it.
var shared *server

func TestMain(m *testing.M) {
	if bePeer(os.Args[1:]) {
		return
	}
	var err error
	if shared, err = startServer(context.Background(), false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var databases atomic.Int64

func databaseName() string { return fmt.Sprintf("test_%d", databases.Add(1)) }

func newTestSides(t *testing.T) (*belfrySide, *riverSide) {
	t.Helper()
	belfry, err := newBelfrySide(t.Context(), shared, databaseName(), 20)
	if err != nil {
		t.Fatal(err)
	}
	river, err := newRiverSide(t.Context(), shared, databaseName(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return belfry, river
}

// The whole program, from flags to tables, in miniature.
func TestQuickRunMeasuresEverything(t *testing.T) {
	t.Parallel()
	o := options{rounds: 1, users: 20,
		sockets: sockets{peers: goPeers, idle: []int{20, 50}, rate: 200, pace: 500 * time.Millisecond,
			slow:  slowReaders{connections: 20, slow: 2, rate: 100, pour: 50, calm: 250 * time.Millisecond, pace: 250 * time.Millisecond},
			storm: storm{connections: 50, rate: 100, within: 200 * time.Millisecond}},
		loads: []load{{&plain, "10 a call", 40, 10, 2, time.Millisecond}, {&gathered, "10 a call", 100, 10, 2, time.Millisecond},
			{&delayed, "1 a call", 20, 1, 4, time.Millisecond}},
		pace:    pace{rate: 40, duration: time.Second, subscribers: 3},
		backlog: backlog{runs: 3000, pace: pace{rate: 40, duration: 500 * time.Millisecond}},
		accept:  pace{rate: 40, duration: 250 * time.Millisecond},
		flood:   flood{triggers: 3, recipients: 500, rounds: 1, pace: pace{rate: 40, duration: 500 * time.Millisecond, subscribers: 3}},
		crowd:   crowd{subscribers: 600, pace: pace{rate: 40, duration: 500 * time.Millisecond, subscribers: 3}},

		preferred: load{&plain, "10 a call", 40, 10, 2, 0},
		feeds:     collection{small: 200, large: 400, each: 100, calls: 5}}
	report, err := o.measure(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(report.latency[0].frame); got != 40 {
		t.Errorf("%d frames were timed, want 40", got)
	}
	if delay := report.throughput[2].pairs[0][0]; delay.rested <= 0 || delay.rested > delayTime {
		t.Errorf("Belfry's runs rested for %s, want no more than their delay of %s", delay.rested, delayTime)
	}
	if got := len(report.pending[0].with); got != 20 {
		t.Errorf("%d triggers were timed beside waiting runs, want 20", got)
	}
	if a := report.acceptance[0]; len(a.many) != 10 || a.tuples != (tuples{20, 0, 0}) || a.transactions != 10 {
		t.Errorf("%d triggers wrote %+v in %d transactions, want 10 that write a trigger and a fan-out each", len(a.many), a.tuples, a.transactions)
	}
	if f := report.fanOut[0]; len(f.calm) != 20 || f.accepted <= 0 || f.complete < f.accepted {
		t.Errorf("the fan-out was accepted after %s and complete after %s, after %d single triggers", f.accepted, f.complete, len(f.calm))
	}
	for _, peer := range goPeers {
		one, storm := report.sockets.calm[peer][0], report.sockets.storms[peer]
		if n := one.times.TotalCount(); n != 100 || one.idle[1].connections != 50 {
			t.Errorf("%s: %d deliveries were timed, want 100; idle connections: %+v", peer, n, one.idle)
		}
		if storm.faults != (faults{}) || storm.sent != 60 || storm.caughtUp <= 0 {
			t.Errorf("%s: a storm of 60 messages, none lost and each told once; got %+v", peer, storm)
		}
	}
	for _, form := range []func(io.Writer) error{report.text, report.markdown} {
		var out bytes.Buffer
		if err := form(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Belfry runs/s", "river jobs/s", "10 a call", "batch of 5", "delay of 1 s", "WAL bytes",
			"triggerWorkflow, to the frame", "runs that wait", "for 1000 recipients", "beside the fan-out", "accepted", "five sets each",
			"first page of 25", "mark all read"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the report lacks %q:\n%s", want, out.String())
			}
		}
		for _, want := range []string{"KiB at 50", "publication to the frame", "centrifuge", "let go of", "all caught up after"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the report of sockets lacks %q:\n%s", want, out.String())
			}
		}
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-rounds=-1", "-rounds=101", "-rate=-5", "-rate=20001", "-only=river", "-unknown",
		"-connections=-1", "-connections=99900", "-deliveries=-1", "-deliver=1ms", "-peers=socket.io"} {
		if err := run(t.Context(), []string{args}, io.Discard, io.Discard); err == nil {
			t.Errorf("%s: want an error", args)
		}
	}
}

func TestOnlyMeasuresNothingElse(t *testing.T) {
	t.Parallel()
	sizes := func(o options) []bool {
		return []bool{len(o.loads) > 0, o.pace.duration > 0, o.backlog.runs > 0, o.accept.duration > 0, o.flood.triggers > 0, o.crowd.subscribers > 0, o.preferred.units > 0, o.feeds.large > 0,
			len(o.sockets.peers) > 0}
	}
	for i, part := range parts {
		for name, o := range map[string]options{"full": full, "quick": quick} {
			o.only(part)
			for j, measured := range sizes(o) {
				if measured != (i == j) {
					t.Errorf("%s -only %s: %s is measured: %t", name, part, parts[j], measured)
				}
			}
		}
	}
}

func TestInterruptStopsEverything(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	progress := &onWrite{part: "round 1/", then: interrupt}
	err := run(ctx, []string{"-quick"}, io.Discard, progress)
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Fatalf("want to hear of the interruption, got %v", err)
	}
}

// onWrite calls then when the text comes by.
type onWrite struct {
	part string
	then func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.part) {
		w.then()
	}
	return len(p), nil
}
