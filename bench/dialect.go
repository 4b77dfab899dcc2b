package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// dialect is how to subscribe to a user's notices.
type dialect interface {
	subprotocol() string
	// hello is the first message of a connection.
	hello(d *device) ([]byte, error)
	// heard looks at a message, which has notices or hasn't. It notes where the device would go on on its next connection.
	// live is that of a subscription that has told all of the past.
	heard(d *device, message []byte, notices bool) (reply []byte, live bool, err error)
}

// graphQL is graphql-transport-ws.
type graphQL struct {
	credentials func(user int) map[string]any
}

func (graphQL) subprotocol() string { return "graphql-transport-ws" }

func (g graphQL) hello(d *device) ([]byte, error) {
	return json.Marshal(map[string]any{"type": "connection_init", "payload": g.credentials(d.user)})
}

func (g graphQL) heard(d *device, message []byte, notices bool) (reply []byte, live bool, err error) {
	switch {
	case notices, bytes.Contains(message, []byte(`"FeedSynced"`)):
		d.position = append(d.position[:0], between(message, `"position":"`, `"`)...)
		return nil, !notices, nil
	case bytes.Contains(message, []byte(`"connection_ack"`)):
		variables := map[string]any{}
		if len(d.position) > 0 {
			variables["since"] = string(d.position)
		}
		reply, err = json.Marshal(map[string]any{"type": "subscribe", "id": "1",
			"payload": map[string]any{"query": feedSubscription, "variables": variables}})
		return reply, false, err
	case bytes.Contains(message, []byte(`"type":"ping"`)):
		return []byte(`{"type":"pong"}`), false, nil
	}
	return nil, false, fmt.Errorf("not expected: %.500s", message)
}

// centrifugeJSON is the client protocol of centrifuge, in JSON.
type centrifugeJSON struct{}

func (centrifugeJSON) subprotocol() string { return "" }

func (centrifugeJSON) hello(d *device) ([]byte, error) {
	return fmt.Appendf(nil, `{"id":1,"connect":{"token":%q}}`, peerUser(d.user)), nil
}

func (c centrifugeJSON) heard(d *device, message []byte, _ bool) (reply []byte, live bool, err error) {
	for line := range bytes.Lines(message) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case string(line) == "{}":
			reply = line
		case bytes.HasPrefix(line, []byte(`{"push":`)):
			if i := bytes.LastIndex(line, []byte(`"offset":`)); i >= 0 {
				end := bytes.TrimRight(line[i+len(`"offset":`):], "}")
				if d.offset, err = strconv.ParseUint(string(end), 10, 64); err != nil {
					return nil, false, fmt.Errorf("an offset: %w in %.500s", err, line)
				}
			}
		case bytes.HasPrefix(line, []byte(`{"id":1,"connect":`)):
			since := ""
			if d.epoch != "" {
				since = fmt.Sprintf(`,"recover":true,"epoch":%q,"offset":%d`, d.epoch, d.offset)
			}
			reply = fmt.Appendf(nil, `{"id":2,"subscribe":{"channel":%q%s}}`, peerUser(d.user), since)
		case bytes.HasPrefix(line, []byte(`{"id":2,"subscribe":`)):
			live = true
			err = c.subscribed(d, line)
		default:
			err = fmt.Errorf("not expected: %.500s", line)
		}
		if err != nil {
			return nil, false, err
		}
	}
	return reply, live, nil
}

// subscribed reads where the channel is now. What was missed came in the same message.
func (centrifugeJSON) subscribed(d *device, line []byte) error {
	var m struct {
		Subscribe struct {
			Epoch     string
			Offset    uint64
			Recovered bool
		}
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	d.epoch, d.offset = m.Subscribe.Epoch, m.Subscribe.Offset
	return nil
}

// between is what follows on a mark, up to another.
func between(text []byte, mark, end string) []byte {
	_, rest, _ := bytes.Cut(text, []byte(mark))
	found, _, _ := bytes.Cut(rest, []byte(end))
	return found
}
