package feed

import (
	"fmt"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// giveWatermarks gives a feed so many watermarks that no mark can replace.
func (w *world) giveWatermarks(t *testing.T, ref Ref, n int) {
	t.Helper()
	_, err := w.change(t.Context(), ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		for i := range n {
			h.watermarks = append(h.watermarks, Watermark{Mark: belfry.Archived, UpTo: h.lastSeq, Version: h.version, At: at,
				Scope: &Scope{Workflows: []string{fmt.Sprint("unknown ", i)}}})
		}
		return Marked{}, w.writeHeader(t.Context(), tx, h)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// No mark writes more than a piece of a long feed. Who makes marks faster than they can be written has to wait, but for marks
// that don't make the list longer, and those on everything.
func TestNoMarkSettlesMoreThanAPiece(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	const items = 4*settlePiece + 10
	w.fillKinds(t, ann, items)
	w.giveWatermarks(t, ann, maxOpenWatermarks-1)
	invoices, acme := Filter{Workflows: []string{"invoice"}}, ofAcme
	for i, step := range []struct {
		filter         *Filter // nil: everything
		mark           belfry.Mark
		upTo           int64 // 0: up to now
		refused        string
		settled, marks int
	}{
		{&invoices, belfry.Archived, 0, "", settlePiece, maxOpenWatermarks},                 // the last for which there is room
		{&acme, belfry.Archived, 0, "input.filter", 2 * settlePiece, maxOpenWatermarks},     // one more
		{nil, belfry.Archived, 9, "input.upTo", 3 * settlePiece, maxOpenWatermarks},         // also of this kind
		{nil, belfry.Read, 0, "", 4 * settlePiece, maxOpenWatermarks + 1},                   // everything, which is always possible
		{&Filter{Workflows: []string{"welcome"}}, belfry.Archived, 0, "input.filter", 0, 1}, // the first round ends
		{&acme, belfry.Unread, 0, "", 0, 2},                                                 // there is room again
	} {
		var upTo *belfry.Position
		before := w.header(t, ann)
		if step.upTo > 0 {
			upTo = &belfry.Position{Epoch: before.epoch, Version: step.upTo}
		}
		var err error
		if step.filter == nil {
			_, err = w.MarkAll(t.Context(), ann, step.mark, upTo)
		} else {
			_, err = w.MarkWhere(t.Context(), ann, step.mark, *step.filter, upTo)
		}
		var refused *belfry.Error
		switch asError(err, &refused); {
		case step.refused == "" && err != nil:
			t.Errorf("step %d: %v", i, err)
		case step.refused != "" && (refused == nil || refused.Code != belfry.TooLarge || refused.Limit != maxOpenWatermarks || refused.Field != step.refused):
			t.Errorf("step %d: %v, want it refused by %s", i, err, step.refused)
		}
		h := w.header(t, ann)
		if len(h.watermarks) != step.marks {
			t.Fatalf("step %d: %d watermarks, want %d", i, len(h.watermarks), step.marks)
		}
		if h.watermarks[0].Settled != int64(step.settled) {
			t.Errorf("step %d: settled up to %d, want %d", i, h.watermarks[0].Settled, step.settled)
		}
		if refused != nil && h.version != before.version {
			t.Errorf("step %d was refused, and made version %d of %d", i, h.version, before.version)
		}
	}
	if h := w.header(t, ann); h.cells.Archived[Read]+h.cells.Archived[Seen] != items/2 {
		t.Errorf("invoices are archived: %+v", h.cells)
	}
	w.recount(t, t, ann, items+3)
}
