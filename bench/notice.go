package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
)

// feedSubscription is subscription, for clients that come back.
const feedSubscription = `subscription($since: String) { feedEvents(since: $since) { __typename position badge { total unseen unread }
  ... on FeedItemUpserted { item { id position actionUrl data createdAt
    blocks { __typename ... on MarkdownBlock { name rendered } } } } } }`

// notice is one event of a user's feed, as all peers deliver it. Its number counts those of the user, from 1.
type notice struct {
	user int
	n    int64
	due  time.Time // when the schedule wanted it to be published
	pad  int       // bytes more in the text
}

func (n *notice) content() belfry.Content {
	text := "Hi Ana, order <strong>BF-1042</strong> is on its way: 3 items, 128.5 €." + strings.Repeat(".", n.pad)
	return belfry.Content{
		Body: belfry.Body{Format: belfry.MarkdownBody, Content: "Hi Ana, order **BF-1042** is on its way.",
			Rendered: "<p>" + text + "</p>\n"},
		ActionURL: "/orders/BF-1042",
		Data:      map[string]any{"order": "BF-1042", "stamp": n.stamp()},
	}
}

// stamp is what the load generator finds in a frame: the number, and the due instant in nanoseconds.
func (n *notice) stamp() string { return fmt.Sprintf("%d.%d", n.n, n.due.UnixNano()) }

const stampKey = `"stamp":"`

// nextStamp reads the first stamp in a frame, and returns what follows on it. ok is false if there is none.
func nextStamp(frame []byte) (n int64, due time.Time, rest []byte, ok bool) {
	_, rest, found := bytes.Cut(frame, []byte(stampKey))
	if !found {
		return 0, time.Time{}, nil, false
	}
	number, rest, ok1 := bytes.Cut(rest, []byte("."))
	nanos, rest, ok2 := bytes.Cut(rest, []byte(`"`))
	n, err1 := strconv.ParseInt(string(number), 10, 64)
	at, err2 := strconv.ParseInt(string(nanos), 10, 64)
	return n, time.Unix(0, at), rest, ok1 && ok2 && err1 == nil && err2 == nil
}

// position is that of a notice which isn't stored: each is the feed's next version, and nothing else ever happened.
func (n *notice) position() belfry.Position { return belfry.Position{Epoch: 1, Version: n.n} }

func (n *notice) badge() belfry.Badge {
	return belfry.Badge{Total: int(n.n), Unseen: int(n.n), Unread: int(n.n)}
}

func (n *notice) id(recipient belfry.RecipientID) belfry.MessageID {
	return belfry.MessageID{Recipient: recipient, Channel: belfry.DefaultFeed, Seq: n.n}
}

func (n *notice) at() time.Time { return n.due.UTC().Truncate(time.Microsecond) }

// event is the notice on the bus of a Belfry whose database knows nothing of it.
func (n *notice) event(recipient belfry.RecipientID) feed.Event {
	return feed.Event{Kind: feed.Upserted, Position: n.position(), Badge: n.badge(), Item: &feed.Item{
		ID: n.id(recipient), Epoch: 1, TotalActivities: 1, Workflow: plain.key, StepRef: shippedRef, Categories: []string{"orders"},
		Content: n.content(), CreatedAt: n.at(), State: feed.State{Version: n.n},
	}}
}

// message is the notice as something to be stored.
func (n *notice) message(env belfry.EnvironmentID, recipient belfry.RecipientID) belfry.Message {
	return belfry.Message{Environment: env, Recipient: recipient, UserID: peerUser(n.user), Channel: belfry.DefaultFeed,
		ChannelType: belfry.InApp, Workflow: plain.key, StepRef: shippedRef, Categories: []string{"orders"}, Content: n.content(), CreatedAt: n.at()}
}

// frameData is the data of Belfry's frame, which is what peers without GraphQL deliver.
type frameData struct {
	FeedEvents struct {
		Typename string `json:"__typename"`
		Position string `json:"position"`
		Badge    struct {
			Total  int `json:"total"`
			Unseen int `json:"unseen"`
			Unread int `json:"unread"`
		} `json:"badge"`
		Item struct {
			ID        string         `json:"id"`
			Position  string         `json:"position"`
			ActionURL string         `json:"actionUrl"`
			Data      map[string]any `json:"data"`
			CreatedAt time.Time      `json:"createdAt"`
			Blocks    [1]frameBlock  `json:"blocks"`
		} `json:"item"`
	} `json:"feedEvents"`
}

type frameBlock struct {
	Typename string `json:"__typename"`
	Name     string `json:"name"`
	Rendered string `json:"rendered"`
}

func (n *notice) data(recipient belfry.RecipientID) ([]byte, error) {
	var f frameData
	e, content := &f.FeedEvents, n.content()
	e.Typename, e.Position = "FeedItemUpserted", n.position().String()
	e.Badge.Total, e.Badge.Unseen, e.Badge.Unread = int(n.n), int(n.n), int(n.n)
	e.Item.ID, e.Item.Position, e.Item.ActionURL = n.id(recipient).String(), e.Position, content.ActionURL
	e.Item.Data, e.Item.CreatedAt = content.Data, n.at()
	e.Item.Blocks[0] = frameBlock{"MarkdownBlock", "body", content.Body.Rendered}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // as Belfry's frames have it
	err := encoder.Encode(&f)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// peerUser is the external id of a user. Those of the crowd have no feed yet.
func peerUser(i int) string { return userID(firstOfCrowd + i) }
