package analytics

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	segment "github.com/segmentio/analytics-go/v3"

	"github.com/belfryhq/belfry"
)

// eventOf is a stored event that covers n messages of users with ids made by user.
func eventOf(id int64, n int, user func(i int) string) event {
	e := event{
		xid: 100, id: id, kind: string(belfry.MessageSent), at: start, channel: "in-app", channelType: "in_app",
		workflow: "comments", stepRef: "inbox", count: n,
	}
	for i := range n {
		e.recipients, e.users, e.seqs = append(e.recipients, int64(i+1)), append(e.users, user(i)), append(e.seqs, int64(i+1))
	}
	return e
}

func numbered(i int) string { return fmt.Sprintf("user-%d", i) }

// quiet is a Segment for what needs no database.
func quiet() *Segment {
	return &Segment{cfg: SegmentConfig{Log: slog.New(slog.DiscardHandler)}}
}

func TestTrackOfAMessage(t *testing.T) {
	t.Parallel()
	e := eventOf(5, 2, numbered)
	got := e.track(3, "production", 1)
	want := segment.Track{
		MessageId: "belfry-3-5-1-" + "hg91vteyo0",
		UserId:    "user-1",
		Event:     "Notification sent",
		Timestamp: start,
		Properties: segment.Properties{
			"channel": "in-app", "channelType": "in_app", "environment": "production", "workflowKey": "comments", "stepRef": "inbox",
			"messageId": belfry.MessageID{Recipient: 2, Channel: "in-app", Seq: 2}.String(),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTrackOfAMarkOnEverything(t *testing.T) {
	t.Parallel()
	e := eventOf(5, 1, numbered)
	e.kind, e.all, e.count, e.workflow, e.stepRef = string(belfry.Read.Event()), true, 12_000, "", ""
	got := e.track(3, "production", 0)
	want := segment.Properties{"channel": "in-app", "channelType": "in_app", "environment": "production", "all": true, "count": 12_000}
	if diff := cmp.Diff(want, got.Properties); diff != "" {
		t.Error(diff)
	}
	if got.Event != "Notification read" {
		t.Errorf("got %q", got.Event)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	t.Parallel()
	for mark, want := range map[belfry.Mark]string{
		belfry.Seen: "Notification seen", belfry.Unseen: "Notification unseen", belfry.Read: "Notification read",
		belfry.Unread: "Notification unread", belfry.Interacted: "Notification interacted",
		belfry.Archived: "Notification archived", belfry.Unarchived: "Notification unarchived",
	} {
		e := event{kind: string(mark.Event()), users: []string{"u"}, recipients: []int64{1}, seqs: []int64{1}, at: start}
		if got := e.track(1, "p", 0).Event; got != want {
			t.Errorf("%s: got %q, want %q", mark, got, want)
		}
	}
}

func TestTrackIDsDifferByRowMessageAndInstallation(t *testing.T) {
	t.Parallel()
	a := eventOf(5, 2, numbered)
	b, c := a, a
	b.id, c.at = 6, start.Add(time.Microsecond)
	ids := []string{a.trackID(1, 0), a.trackID(1, 1), a.trackID(2, 0), b.trackID(1, 0), c.trackID(1, 0)}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 5 {
		t.Errorf("got copies: %q", ids)
	}
}

func TestBatchesResumeWhereTheCursorIs(t *testing.T) {
	t.Parallel()
	events := []event{eventOf(1, 2, numbered), eventOf(2, maxBatchMessages+1, numbered), eventOf(3, 1, numbered)}
	all := collect(t, quiet(), cursor{}, events)
	if len(all) != 2+maxBatchMessages+1+1 {
		t.Fatalf("got %d tracks", len(all))
	}
	// Wherever a batch ended, reading on from there gives the rest and nothing else.
	for b := range quiet().batches(&lease{env: 1}, "production", events) {
		at := slices.Index(all, b.tracks[len(b.tracks)-1].MessageId)
		rest := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.id <= b.through.id })
		if got := collect(t, quiet(), b.through, rest); !slices.Equal(got, all[at+1:]) {
			t.Errorf("after %+v: got %d tracks, want the last %d", b.through, len(got), len(all)-at-1)
		}
	}
}

func TestBatchLimits(t *testing.T) {
	t.Parallel()
	widest := strings.Repeat("<", belfry.MaxExternalIDLength) // six bytes each in JSON
	longKey := strings.Repeat("k", belfry.MaxKeyLength)
	wide := eventOf(1, MaxMessagesPerEvent, func(int) string { return widest })
	wide.channel, wide.workflow, wide.stepRef = longKey, longKey, longKey
	tests := map[string]struct {
		event event
		want  []int // sizes of the batches
	}{
		"at the limit":         {eventOf(1, maxBatchMessages, numbered), []int{maxBatchMessages}},
		"one over the limit":   {eventOf(1, maxBatchMessages+1, numbered), []int{maxBatchMessages, 1}},
		"wide messages":        {wide, nil},
		"one message (a mark)": {eventOf(1, 1, numbered), []int{1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sizes []int
			total := 0
			for b := range quiet().batches(&lease{env: 1}, longKey, []event{test.event}) {
				encoded, err := json.Marshal(b.tracks)
				if err != nil || len(encoded) > maxBatchBytes {
					t.Errorf("a batch of %d bytes (%v), want at most %d", len(encoded), err, maxBatchBytes)
				}
				sizes, total = append(sizes, len(b.tracks)), total+len(b.tracks)
			}
			if total != test.event.count || test.want != nil && !slices.Equal(sizes, test.want) {
				t.Errorf("got batches of %v, want %v", sizes, test.want)
			}
		})
	}
}

func TestUnsendableMessagesAreCountedAndPassedOver(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", maxMessageBytes)
	s := quiet()
	got := collect(t, s, cursor{}, []event{
		eventOf(1, 2, func(i int) string { return []string{huge, "ann"}[i] }),
		eventOf(2, 1, func(int) string { return "" }),
	})
	e := eventOf(1, 2, numbered)
	if diff := cmp.Diff([]string{e.trackID(1, 1)}, got); diff != "" {
		t.Error(diff)
	}
	if n := s.unsendable.Load(); n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
	// A cursor moves past an event of which nothing can be sent.
	for b := range s.batches(&lease{env: 1}, "production", []event{eventOf(9, 1, func(int) string { return huge })}) {
		if b.tracks != nil || b.through != (cursor{100, 9, 0}) {
			t.Errorf("got %+v", b)
		}
	}
}

func TestSizeOfATrackIsWhatTheLibrarySends(t *testing.T) {
	t.Parallel()
	e := eventOf(1, 1, numbered)
	track := e.track(1, "production", 0)
	size, err := encodedSize(track)
	track.Type = "track" // set by the library
	encoded, _ := json.Marshal(track)
	if err != nil || size != len(encoded)+len(",") {
		t.Errorf("got %d (%v), want %d", size, err, len(encoded)+1)
	}
}

// collect returns the track ids of all batches.
func collect(t *testing.T, s *Segment, from cursor, events []event) (ids []string) {
	t.Helper()
	for b := range s.batches(&lease{env: 1, cursor: from}, "production", events) {
		for _, track := range b.tracks {
			ids = append(ids, track.MessageId)
		}
	}
	return ids
}
