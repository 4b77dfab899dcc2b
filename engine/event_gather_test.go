package engine

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// Events are gathered by all that they say but whom they happened to, in the order in which each kind came first. Those with data stay alone.
func TestEventsAreGatheredByWhatTheySay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var all gathering
		var want []string
		recipients := map[string]string{}
		for i := range rapid.IntRange(0, 30).Draw(r, "events") {
			o := occurrence{env: 1, recipient: belfry.RecipientID(i), Event: Event{Name: "sent", At: epoch, Channel: "x", Workflow: "w", Step: "s", Seq: int64(2 * i)}}
			rapid.SampledFrom([]func(){ // at most one is different
				func() {}, func() {},
				func() { o.env = 2 }, func() { o.cause = uuid.UUID{1} }, func() { o.Type = workflow.MessageEvent }, func() { o.Name = "read" },
				func() { o.At = epoch.Add(1) }, func() { o.Channel = "y" }, func() { o.Workflow = "v" }, func() { o.Step = "t" },
				func() { o.All = true }, func() { o.Some = true },
			}).Draw(r, "difference")()
			kind := fmt.Sprint(o.env, o.cause, o.Type, o.Name, o.At, o.Channel, o.Workflow, o.Step, o.All, o.Some)
			if rapid.IntRange(0, 9).Draw(r, "data") == 0 {
				o.Data, kind = map[string]any{}, fmt.Sprint(kind, i)
			}
			if _, ok := recipients[kind]; !ok {
				want = append(want, kind)
			}
			recipients[kind] += fmt.Sprintf(" %d/%d", i, 2*i)
			all.add(o)
		}
		for i, kind := range want {
			want[i] = recipients[kind]
		}
		var got []string
		for _, g := range all.groups {
			var ids, seqs []int64
			decodeArray(r, g.recipients, &ids)
			decodeArray(r, g.seqs, &seqs)
			text := ""
			for i := range ids {
				text += fmt.Sprintf(" %d/%d", ids[i], seqs[i])
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(want, got); diff != "" || all.err != nil {
			r.Fatalf("%v (-want +got):\n%s", all.err, diff)
		}
	})
}

// decodeArray reads what gathered has: an array as PostgreSQL writes it, but for the bracket at the end.
func decodeArray(r *rapid.T, array []byte, into *[]int64) {
	b := append([]byte("["), array[1:]...)
	if err := decode(append(b, ']'), into); err != nil {
		r.Fatal(err)
	}
}
