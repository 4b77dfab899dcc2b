package analytics

import (
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	segment "github.com/segmentio/analytics-go/v3"

	"github.com/belfryhq/belfry"
)

// Bounds of one request, below those of Segment (500 KB, and 32 KB a message) by what the envelope takes.
const (
	maxBatchMessages = 250
	maxBatchBytes    = 480_000
	maxMessageBytes  = 31_000
)

// event is a row of the log.
type event struct {
	xid         uint64
	id          int64
	kind        string
	at          time.Time
	channel     string
	channelType string
	workflow    string
	stepRef     string
	all         bool
	count       int
	recipients  []int64
	users       []string
	seqs        []int64
}

// batch is what goes into one request, and where the cursor is once it is delivered. It has no tracks when all it
// would have held is unsendable.
type batch struct {
	tracks  []segment.Track
	through cursor
}

// batches expands events into one track per message and cuts them into requests, from the lease's cursor on.
func (s *Segment) batches(l *lease, envKey string, events []event) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		b, bytes, at := batch{}, 0, l.cursor
		for i := range events {
			e := &events[i]
			for index := at.index; index < len(e.users); index++ {
				track := e.track(l.env, envKey, index)
				size, err := encodedSize(track)
				if err == nil && (len(b.tracks) == maxBatchMessages || bytes+size > maxBatchBytes) {
					b.through = at
					if !yield(b) {
						return
					}
					b, bytes = batch{}, 0
				}
				if err == nil {
					b.tracks, bytes = append(b.tracks, track), bytes+size
				} else {
					s.unsendable.Add(1)
					s.cfg.Log.Error("analytics: passing over a message that Segment cannot take; please report this bug",
						"environment", l.env, "event", e.id, "index", index, "error", err)
				}
				at.index++
			}
			at = cursor{xid: e.xid, id: e.id}
		}
		if at != l.cursor {
			b.through = at
			yield(b)
		}
	}
}

// track is what Segment is told about one message of the event.
func (e *event) track(env belfry.EnvironmentID, envKey string, index int) segment.Track {
	properties := segment.Properties{
		"channel":     e.channel,
		"channelType": e.channelType,
		"environment": envKey,
	}
	if e.all {
		properties["all"] = true
		properties["count"] = e.count
	} else {
		id := belfry.MessageID{Recipient: belfry.RecipientID(e.recipients[index]), Channel: e.channel, Seq: e.seqs[index]}
		properties["messageId"] = id.String()
		properties["workflowKey"] = e.workflow
		properties["stepRef"] = e.stepRef
	}
	return segment.Track{
		MessageId:  e.trackID(env, index),
		UserId:     e.users[index],
		Event:      "Notification " + strings.TrimPrefix(e.kind, "message."),
		Timestamp:  e.at.UTC(),
		Properties: properties,
	}
}

// trackID is what Segment drops copies by, so it depends on nothing but the stored row. The time is in it because two
// installations (staging and production, or before and after a reset) may count the same ids into the same source.
func (e *event) trackID(env belfry.EnvironmentID, index int) string {
	return fmt.Sprintf("belfry-%d-%d-%d-%s", env, e.id, index, strconv.FormatInt(e.at.UnixMicro(), 36))
}

// encodedSize is how many bytes a track takes in a request, or an error if it can never be sent.
func encodedSize(track segment.Track) (int, error) {
	if err := track.Validate(); err != nil {
		return 0, err
	}
	encoded, err := json.Marshal(track)
	if err != nil {
		return 0, err
	}
	size := len(encoded) + len(`"type":"track",`) + len(",") // what the library adds
	if size > maxMessageBytes {
		return 0, fmt.Errorf("it takes %d bytes, at most %d are allowed", size, maxMessageBytes)
	}
	return size, nil
}
