package pull_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/internal/pull"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source yields what was put.
type source struct {
	mu     sync.Mutex
	events []int
	ended  bool
	closed int
	wake   func()
}

func (s *source) open(wake func()) (pull.Source[int], error) {
	s.wake = wake
	return s, nil
}

func (s *source) Next() (int, bool, error) {
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
}

func (s *source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
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
	woken  int
	source pull.Pulled
}

func (h *helper) Wake()                  { h.woken++ }
func (h *helper) Follow(s pull.Pulled)   { h.source = s }
func (h *helper) Following() pull.Pulled { return h.source }

func TestChannelWithHelp(t *testing.T) {
	t.Parallel()
	h, s := &helper{}, &source{}
	out, err := pull.Channel(pull.With(t.Context(), h, t.Context()), s.open)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(want pull.What) {
		t.Helper()
		if json, what := h.source.Fill(); json != nil || what != want {
			t.Errorf("got %s, %d; want %d", json, what, want)
		}
	}
	fill(pull.Nothing)
	s.put(1, 2)
	if h.woken != 1 {
		t.Errorf("woken %d times, want 1", h.woken)
	}
	for want := range 2 {
		if fill(pull.Event); len(out) != 1 || <-out != want+1 {
			t.Errorf("event %d was not there to be received", want+1)
		}
	}
	fill(pull.Nothing)
	s.end()
	fill(pull.End)
	if h.source.Close(); s.closed != 1 {
		t.Errorf("closed %d times, want once", s.closed)
	}
}

// mixed yields odd numbers as they are, and even ones as JSON.
type mixed struct{ *source }

func (mixed) JSON(n int) []byte {
	if n%2 == 0 {
		return fmt.Append(nil, n)
	}
	return nil
}

// A consumer that has let go of the channel gets it again, with the same source.
func TestEventsThatAreJSONGoPastTheChannel(t *testing.T) {
	t.Parallel()
	h, s := &helper{}, &source{}
	opened := 0
	follow := func() <-chan int {
		out, err := pull.Channel(pull.With(t.Context(), h, t.Context()), func(wake func()) (pull.Source[int], error) {
			opened++
			_, err := s.open(wake)
			return mixed{s}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	follow()
	s.put(2, 3, 4)
	fill := func(json string, what pull.What) {
		t.Helper()
		if got, gotWhat := h.source.Fill(); string(got) != json || gotWhat != what {
			t.Errorf("got %s, %d; want %s, %d", got, gotWhat, json, what)
		}
	}
	fill("2", pull.Event)
	fill("", pull.Event)
	if got := <-follow(); got != 3 || opened != 1 {
		t.Errorf("got %v from a source opened %d times, want 3 from the first", got, opened)
	}
	fill("4", pull.Event)
	s.end()
	fill("", pull.End)
}

// Whoever doesn't receive what is in the channel gets nothing behind it.
func TestAnEventThatIsNotReceivedIsTheLast(t *testing.T) {
	t.Parallel()
	h, s := &helper{}, &source{}
	if _, err := pull.Channel(pull.With(t.Context(), h, t.Context()), s.open); err != nil {
		t.Fatal(err)
	}
	s.put(1, 2)
	for _, want := range []pull.What{pull.Event, pull.End} {
		if _, what := h.source.Fill(); what != want {
			t.Errorf("got %d, want %d", what, want)
		}
	}
}

type key struct{}

func TestTheLastingContextHasNothingOfTheExecution(t *testing.T) {
	t.Parallel()
	lasting := t.Context()
	ctx := context.WithValue(pull.With(context.WithValue(lasting, key{}, "an execution"), &helper{}, lasting), key{}, "a field")
	if pull.Lasting(ctx) != lasting || pull.Lasting(lasting) != lasting {
		t.Error("it isn't what the consumer gave, or what there is without one")
	}
}

func TestResponseKey(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `schema { query: Q subscription: S } type Q { n: Int } type S { n: Int m: Int }`})
	for document, want := range map[string]string{
		`subscription { n }`:                                  "n",
		`subscription { number: n }`:                          "number",
		`subscription { ... { number: n } }`:                  "number",
		`subscription { ... on S { number: n } }`:             "number",
		`subscription { ...f } fragment f on S { number: n }`: "number",
	} {
		doc, errs := gqlparser.LoadQueryWithRules(schema, document, rules.NewDefaultRules())
		if errs != nil {
			t.Fatal(errs)
		}
		if got := pull.ResponseKey(&graphql.OperationContext{Doc: doc, Operation: doc.Operations[0]}); got != want {
			t.Errorf("%s: got %q, want %q", document, got, want)
		}
	}
}

func TestChannelReturnsTheErrorOfOpen(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	open := func(func()) (pull.Source[int], error) { return nil, broken }
	for _, ctx := range []context.Context{t.Context(), pull.With(t.Context(), &helper{}, t.Context())} {
		if _, err := pull.Channel(ctx, open); err != broken {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
}
