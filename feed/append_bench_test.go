package feed

import (
	"fmt"
	"testing"

	"github.com/belfryhq/belfry"
)

// What a batch of the engine costs: one message each to many people who have a feed already.
func BenchmarkAppend(b *testing.B) {
	for name, c := range map[string]struct {
		n   int
		own bool // triggers
	}{"one trigger to 1000": {1000, false}, "one trigger to 500": {500, false}, "500 triggers to one each": {500, true}} {
		b.Run(name, func(b *testing.B) {
			n := c.n
			w := newWorld(b)
			messages := make([]belfry.Message, n)
			for i := range messages {
				m := full(w, w.know(env, fmt.Sprint("user ", i)))
				m.Content.Data = map[string]any{"order": float64(i)}
				if c.own {
					m.Trigger = [16]byte{byte(i), byte(i >> 8)}
				}
				messages[i] = m
			}
			for b.Loop() {
				if err := w.append(b.Context(), messages...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/message")
		})
	}
}
