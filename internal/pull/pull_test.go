package pull_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/internal/pull"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source yields what was put.
type source struct {
	mu     sync.Mutex
	events []int
	ended  bool
	wake   func()
}

func (s *source) open(wake func()) (pull.Next[int], error) {
	s.wake = wake
	return func() (int, bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.events) == 0 {
			if s.ended {
				return 0, false, io.EOF
			}
			return 0, false, nil
		}
		e := s.events[0]
		s.events = s.events[1:]
		return e, true, nil
	}, nil
}

func (s *source) put(events ...int) {
	s.mu.Lock()
	s.events = append(s.events, events...)
	s.mu.Unlock()
	s.wake()
}

func (s *source) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wake()
}

func TestChannelWithoutHelp(t *testing.T) {
	t.Parallel()
	s := &source{}
	out, err := pull.Channel(t.Context(), s.open)
	if err != nil {
		t.Fatal(err)
	}
	s.put(1, 2)
	s.put(3)
	for want := range 3 {
		if got := <-out; got != want+1 {
			t.Errorf("got %d, want %d", got, want+1)
		}
	}
	s.end()
	if got, open := <-out; open {
		t.Errorf("got %d after the end", got)
	}
}

func TestChannelEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &source{}
	out, err := pull.Channel(ctx, s.open)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if got, open := <-out; open {
		t.Errorf("got %d", got)
	}
}

// helper is a consumer that is asked step by step.
type helper struct {
	woken int
	fill  func() bool
}

func (h *helper) Wake()                 { h.woken++ }
func (h *helper) Fill(fill func() bool) { h.fill = fill }

func TestChannelWithHelp(t *testing.T) {
	t.Parallel()
	h, s := &helper{}, &source{}
	out, err := pull.Channel(pull.With(t.Context(), h), s.open)
	if err != nil {
		t.Fatal(err)
	}
	if h.fill() {
		t.Error("filled from nothing")
	}
	s.put(1, 2)
	if h.woken != 1 {
		t.Errorf("woken %d times, want 1", h.woken)
	}
	for want := range 2 {
		if !h.fill() || len(out) != 1 || <-out != want+1 {
			t.Errorf("event %d was not there to be received", want+1)
		}
	}
	if h.fill() {
		t.Error("filled from nothing")
	}
	s.end()
	if !h.fill() {
		t.Error("the end is nothing to receive")
	}
	if _, open := <-out; open {
		t.Error("open after the end")
	}
}

func TestChannelReturnsTheErrorOfOpen(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	open := func(func()) (pull.Next[int], error) { return nil, broken }
	for _, ctx := range []context.Context{t.Context(), pull.With(t.Context(), &helper{})} {
		if _, err := pull.Channel(ctx, open); err != broken {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
}
