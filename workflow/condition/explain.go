package condition

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Limits of an explanation, which is stored in run logs.
const (
	// MaxExplained is how many entries an explanation has.
	MaxExplained = 20
	// MaxExplanation is the size of an explanation, in bytes of JSON.
	MaxExplanation = 4 << 10
	// MaxExplainedText is the size of a text in an explanation, in bytes.
	MaxExplainedText = 256
)

// Evaluated is one part of a condition and what it came to. Texts longer than
// [MaxExplainedText] are cut and end in "…"; lists and objects are described, as in
// "list of 3 entries", unless they are short lists of plain values.
type Evaluated struct {
	// Path names the part of a structured condition, such as "any[0].all[1]".
	Path string `json:"path,omitempty"`
	// Variable, Operator and Argument are those of the structured condition. A path
	// given as the argument is replaced by the value it had.
	Variable string `json:"variable,omitempty"`
	Operator string `json:"operator,omitempty"`
	Argument any    `json:"argument,omitempty"`
	// Value is what the variable was; nil if it was unset, or not evaluated.
	Value any `json:"value,omitempty"`
	// Source is the text of an expression, and Values are the paths it mentions
	// with their values. Both are empty for a structured condition.
	Source string         `json:"source,omitempty"`
	Values map[string]any `json:"values,omitempty"`
	// Holds is the outcome.
	Holds bool `json:"holds"`
	// Evaluated is false when the outcome was clear before this part's turn.
	Evaluated bool `json:"evaluated"`
	// Reason says why it could not be decided, and so counts as false.
	Reason string `json:"reason,omitempty"`
}

const statusUnknown = "the message is older than the retention period, so its status is unknown"

// Explain decides the condition again and says what it saw: one entry for every
// structured condition, or a single one for an expression. When there are too many, what
// was false stays before what held, and that before what was not evaluated.
func (c *Condition) Explain(scope Scope, now time.Time) []Evaluated {
	e := &evaluation{condition: c, scope: scope, now: now.UTC(), work: MaxWork, outcomes: make([]outcome, len(c.checks))}
	holds, err := c.run(e)
	if c.source != "" {
		entry := Evaluated{Source: c.source, Values: map[string]any{}, Holds: holds, Evaluated: true}
		if err != nil {
			entry.Reason = err.Error()
		}
		for _, m := range c.mentions {
			if len(entry.Values) < MaxExplained {
				entry.Values[m.path().expression()] = m.value(scope)
			}
		}
		return bounded([]Evaluated{entry})
	}
	entries := make([]Evaluated, len(c.checks))
	for i, check := range c.checks {
		entries[i] = check.explain(e.outcomes[i], scope)
	}
	return bounded(entries)
}

func (c check) explain(o outcome, scope Scope) Evaluated {
	entry := Evaluated{Path: c.where, Variable: c.variable.String(), Operator: c.operator, Holds: o.holds, Evaluated: o.evaluated}
	entry.Argument = c.argument.seen(scope, o.evaluated)
	if !o.evaluated {
		return entry
	}
	entry.Value, _ = c.variable.lookup(scope)
	if isStatus(c.variable) && !statusOf(c.variable[:2], scope).known {
		entry.Reason = statusUnknown
	}
	if o.err != nil {
		entry.Reason = o.err.Error()
	}
	return entry
}

// seen is what an argument was, or how it is written if nobody looked.
func (a argument) seen(scope Scope, evaluated bool) any {
	switch {
	case a.dynamic != nil && evaluated:
		v, _ := a.dynamic.lookup(scope)
		return v
	case a.dynamic != nil:
		return a.dynamic.String()
	case a.token != "":
		return a.token
	case a.ends != nil:
		return []any{a.ends[0].seen(scope, evaluated), a.ends[1].seen(scope, evaluated)}
	default:
		return a.fixed
	}
}

// bounded cuts texts until the limits are kept, and then leaves entries out.
func bounded(entries []Evaluated) []Evaluated {
	entries = mostTelling(entries, MaxExplained)
	for _, text := range []int{MaxExplainedText, 64, 16} {
		cut := make([]Evaluated, len(entries))
		for i, entry := range entries {
			cut[i] = entry.clipped(text)
		}
		if size(cut) <= MaxExplanation {
			return cut
		}
		if text == 16 {
			entries = cut
		}
	}
	for i := range entries {
		entries[i].Values = nil
	}
	for size(entries) > MaxExplanation {
		entries = mostTelling(entries, len(entries)-1)
	}
	return entries
}

func size(entries []Evaluated) int {
	encoded, err := json.Marshal(entries)
	if err != nil {
		return math.MaxInt
	}
	return len(encoded)
}

// mostTelling keeps n entries, in their order.
func mostTelling(entries []Evaluated, n int) []Evaluated {
	if len(entries) <= n {
		return entries
	}
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	importance := func(e Evaluated) int {
		switch {
		case !e.Evaluated:
			return 2
		case e.Holds:
			return 1
		default:
			return 0
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return importance(entries[a]) - importance(entries[b]) })
	kept := order[:n]
	slices.Sort(kept)
	telling := make([]Evaluated, n)
	for i, index := range kept {
		telling[i] = entries[index]
	}
	return telling
}

func (e Evaluated) clipped(n int) Evaluated {
	e.Variable, e.Reason, e.Source = shortened(e.Variable, n), shortened(e.Reason, n), shortened(e.Source, MaxExplainedText)
	e.Value, e.Argument = summary(e.Value, n), summary(e.Argument, n)
	if e.Values != nil {
		values := make(map[string]any, len(e.Values))
		for name, v := range e.Values {
			values[shortened(name, n)] = summary(v, n)
		}
		e.Values = values
	}
	return e
}

// shortened cuts a text to n bytes, without splitting a character.
func shortened(s string, n int) string {
	if len(s) > n {
		const mark = "…"
		s = s[:n-len(mark)] + mark
	}
	return strings.ToValidUTF8(s, "")
}

// maxShown is how many entries a list may have to be shown.
const maxShown = 8

// summary describes a value in about n bytes, with nothing of the scope behind it.
func summary(v any, n int) any {
	switch v := normal(v).(type) {
	case nil, bool, int:
		return v
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "a number that is not finite"
		}
		return v
	case string:
		return shortened(v, n)
	case []any:
		if short, ok := shortList(v, n); ok {
			return short
		}
		return counted("list", len(v), "entry", "entries")
	case map[string]any:
		return counted("object", len(v), "key", "keys")
	default:
		return kind(v)
	}
}

func counted(what string, n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%s of %d %s", what, n, many)
}

func shortList(list []any, n int) ([]any, bool) {
	if len(list) > maxShown {
		return nil, false
	}
	short, total := make([]any, len(list)), 0
	for i, entry := range list {
		switch entry.(type) {
		case []any, map[string]any:
			return nil, false
		}
		short[i] = summary(entry, n)
		spelling, _ := text(short[i])
		total += len(spelling) + 2
	}
	return short, total <= n
}
