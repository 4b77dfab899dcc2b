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
		loads: []load{{"10 a call", 40, 10, 2, time.Millisecond}, {"1 a call", 20, 1, 4, time.Millisecond}},
		pace:  pace{rate: 40, duration: time.Second, subscribers: 3}}
	report, err := o.measure(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(report.latency[0].frame); got != 40 {
		t.Errorf("%d frames were timed, want 40", got)
	}
	for _, form := range []func(io.Writer) error{report.text, report.markdown} {
		var out bytes.Buffer
		if err := form(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Belfry runs/s", "river jobs/s", "10 a call", "WAL bytes", "triggerWorkflow, to the frame"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the report lacks %q:\n%s", want, out.String())
			}
		}
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-rounds=-1", "-rounds=101", "-rate=-5", "-rate=20001", "-only=river", "-unknown"} {
		if err := run(t.Context(), []string{args}, io.Discard, io.Discard); err == nil {
			t.Errorf("%s: want an error", args)
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
