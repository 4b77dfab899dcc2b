package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

const handshakeTimeout = 10 * time.Second

// subscription asks for what a feed component shows.
const subscription = `subscription { feedEvents { __typename position badge { total unseen unread }
  ... on FeedItemUpserted { item { id position actionUrl data createdAt
    blocks { __typename ... on MarkdownBlock { name rendered } } } } } }`

// frame is what a subscriber reads of a message.
type frame struct {
	Type    string
	Payload struct {
		Errors json.RawMessage
		Data   struct {
			FeedEvents struct {
				Typename string `json:"__typename"`
				Item     struct{ Data struct{ N string } }
			}
		}
	}
}

// subscribe connects a user's device, waits until its feed is live, then books every item into the ledger until ctx
// ends. The error is what broke the subscription.
func subscribe(ctx context.Context, address string, credentials map[string]any, live func(), book *ledger) error {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: handshakeTimeout}
	conn, response, err := dialer.DialContext(ctx, address, nil)
	if err != nil {
		return fmt.Errorf("connect to %s: %w (%v)", address, err, response)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the reading
	defer func() {
		stop()
		_ = conn.Close()
	}()
	if err := conn.WriteJSON(map[string]any{"type": "connection_init", "payload": credentials}); err != nil {
		return err
	}
	err = read(conn, live, book)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// read subscribes once that is allowed, and reads on until the connection breaks.
func read(conn *websocket.Conn, live func(), book *ledger) error {
	for {
		_, message, err := conn.ReadMessage()
		at := time.Now()
		if err != nil {
			return err
		}
		var f frame
		if err := json.Unmarshal(message, &f); err != nil {
			return fmt.Errorf("%s: %w", message, err)
		}
		event := &f.Payload.Data.FeedEvents
		switch {
		case f.Type == "connection_ack":
			if err := conn.WriteJSON(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": subscription}}); err != nil {
				return err
			}
		case f.Type == "ping":
			if err := conn.WriteJSON(map[string]any{"type": "pong"}); err != nil {
				return err
			}
		case f.Type == "next" && len(f.Payload.Errors) == 0 && event.Typename == "FeedSynced":
			live()
		case f.Type == "next" && len(f.Payload.Errors) == 0 && event.Typename == "FeedItemUpserted":
			n, err := strconv.Atoi(event.Item.Data.N)
			if err != nil {
				return fmt.Errorf("an item without its number: %s", message)
			}
			book.back(n, at)
		default:
			return fmt.Errorf("not expected: %s", message)
		}
	}
}

// subscribers are the devices of some users, connected and live.
type subscribers struct {
	stop  context.CancelFunc
	group *errgroup.Group
}

// connect returns when all are live.
func connect(ctx context.Context, address string, credentials []map[string]any, book *ledger) (*subscribers, error) {
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	live := make(chan struct{})
	for _, c := range credentials {
		group.Go(func() error {
			return subscribe(ctx, address, c, func() {
				select {
				case live <- struct{}{}:
				case <-ctx.Done():
				}
			}, book)
		})
	}
	s := &subscribers{stop, group}
	for range credentials {
		select {
		case <-live:
		case <-ctx.Done():
			return nil, errors.Join(errors.New("not all subscribers became live"), s.close())
		case <-time.After(handshakeTimeout):
			return nil, errors.Join(fmt.Errorf("not all subscribers became live within %s", handshakeTimeout), s.close())
		}
	}
	return s, nil
}

// close disconnects everybody. The error is the first that broke a subscription.
func (s *subscribers) close() error {
	s.stop()
	return s.group.Wait()
}
