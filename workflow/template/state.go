package template

import (
	"context"
	"strconv"
	"sync"

	"github.com/osteele/liquid/expressions"
)

// state is one rendering: what it may still spend, what it has written, and its variables.
type state struct {
	variables
	ctx     context.Context
	work    int
	format  Format
	out     []byte
	printed []span // the first of out that are values
	limit   int    // of out
	what    string // is limited
	library expressions.Context
	now     any // the scope's timestamp
	// recipient is the scope's, for its locale, which partials that are rendered use too.
	recipient any
	depth     int // of partials
	// stop is set by break and continue until their loop sees it.
	stop interrupt
}

type interrupt int

const (
	noInterrupt interrupt = iota
	breakLoop
	continueLoop
)

// variables are what {% render %} gives its partial a fresh set of.
type variables struct {
	scope    map[string]any // the caller's; never written to
	data     map[string]any // the scope's data, whose keys are variables too
	locals   map[string]any // by assign and capture
	frames   []binding      // by loops and includes, innermost last
	counters map[string]int // by increment and decrement
	cycles   map[string]int
	resume   map[string]int // where loops with offset: continue go on
	changed  string         // what ifchanged printed last
}

type binding struct {
	name  string
	value any
}

var states = sync.Pool{New: func() any {
	s := &state{}
	s.library = expressions.NewContext(map[string]any{scopeName: s}, libraryConfig())
	return s
}}

// begin readies a state for a rendering.
func (s *state) begin(ctx context.Context, format Format, scope map[string]any) {
	data, _ := scope["data"].(map[string]any)
	s.ctx, s.work, s.format = ctx, MaxWork, format
	s.variables = variables{scope: scope, data: data, frames: s.frames[:0]}
	s.out, s.limit, s.what = s.out[:0], MaxOutput, "the output"
	s.printed = s.printed[:0]
	s.now, s.recipient, s.depth, s.stop = scope["timestamp"], scope["recipient"], 0, noInterrupt
}

// end gives a state back. What it referred to can be collected.
func (s *state) end() {
	clear(s.frames[:cap(s.frames)])
	s.variables = variables{frames: s.frames[:0]}
	s.ctx, s.now, s.recipient = nil, nil, nil
	if cap(s.out) <= MaxOutput {
		states.Put(s)
	}
}

// spend charges for work, and looks whether the rendering was cancelled.
func (s *state) spend(units int) error {
	if s.work -= units; s.work < 0 {
		return errWork
	}
	return s.ctx.Err()
}

// write prints a text as it is.
func (s *state) write(text string) error {
	if len(s.out)+len(text) > s.limit {
		return s.tooMuch()
	}
	s.out = append(s.out, text...)
	return nil
}

func (s *state) tooMuch() error {
	limit := MaxOutput
	if s.what != "the output" {
		limit = MaxValue
	}
	return limitError(s.what + " is longer than " + strconv.Itoa(limit) + " bytes; print less")
}

// captured is what render prints, instead of printing it.
func (s *state) captured(render func() error) (string, error) {
	start, limit, what := len(s.out), s.limit, s.what
	printed := len(s.printed)
	s.limit, s.what = start+MaxValue, "a captured text"
	err := render()
	captured := string(s.out[start:])
	s.out, s.limit, s.what = s.out[:start], limit, what
	s.printed = s.printed[:printed]
	if err != nil {
		return "", err
	}
	return captured, s.spend(len(captured) / 64)
}

// knownRoots are the names that mean the same in every scope. They never mean a key of data.
var knownRoots = map[string]bool{
	"recipient": true, "actor": true, "data": true, "tenant": true, "vars": true, "workflow": true, "activities": true,
	"total_activities": true, "actors": true, "total_actors": true, "timestamp": true, "current_message": true,
	"inputs": true, "refs": true, "run": true, "event": true,
}

// lookup finds a variable: of a loop, assigned, counted, of the scope, or a key of its data.
func (s *state) lookup(name string) any {
	for i := len(s.frames) - 1; i >= 0; i-- {
		if s.frames[i].name == name {
			return s.frames[i].value
		}
	}
	if v, ok := s.locals[name]; ok {
		return v
	}
	if n, ok := s.counters[name]; ok {
		return n
	}
	if v, ok := s.scope[name]; ok {
		return element(v)
	}
	if s.data == nil || knownRoots[name] {
		return nil
	}
	return element(s.data[name])
}

// assign sets a variable of the template, or of the partial that is rendered.
func (s *state) assign(name string, v any) {
	if s.locals == nil {
		s.locals = map[string]any{}
	}
	s.locals[name] = v
}

// push binds a name until the frames are cut back.
func (s *state) push(name string, v any) {
	s.frames = append(s.frames, binding{name, v})
}

// count changes a counter, which starts at 0, and returns it before and after.
func (s *state) count(name string, by int) (before, after int) {
	before = s.counters[name]
	if s.counters == nil {
		s.counters = map[string]int{}
	}
	s.counters[name] = before + by
	return before, before + by
}
