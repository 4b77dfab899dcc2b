package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func testArena(t *testing.T, peers ...string) *arena {
	t.Helper()
	a := &arena{sockets: sockets{peers: peers, idle: []int{3}}, server: shared, progress: io.Discard}
	if slices.Contains(peers, "node") {
		node, err := installNode(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := node.remove(); err != nil {
				t.Error(err)
			}
		})
		a.node = node
	}
	if err := a.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// frameOf is the first notice that a server sends, as it comes.
func frameOf(t *testing.T, a *arena, peer string) []byte {
	t.Helper()
	clients, err := a.start(t.Context(), peer, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clients.stop(); err != nil {
			t.Error(err)
		}
	})
	ws, err := dialWebSocket(t.Context(), clients.peer.address, clients.dialect.subprotocol(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.cut()
	d := &device{audience: clients}
	if err := d.subscribe(ws); err != nil {
		t.Fatal(err)
	}
	if err := clients.publish(t.Context(), pour{Users: 1, Rate: 100, Count: 1}); err != nil {
		t.Fatal(err)
	}
	message, err := ws.read()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(message)
}

// payloadOf is the data in a frame, without what differs from run to run.
func payloadOf(t *testing.T, message []byte) (size int, data map[string]any) {
	t.Helper()
	var m struct {
		Payload struct{ Data json.RawMessage }
		Push    struct {
			Pub struct{ Data json.RawMessage }
		}
	}
	if err := json.Unmarshal(message, &m); err != nil {
		t.Fatalf("%v: %s", err, message)
	}
	raw := slices.Concat(m.Payload.Data, m.Push.Pub.Data)
	if err := json.Unmarshal(raw, &data); err != nil {
		t.Fatalf("%v: %s", err, message)
	}
	item := data["feedEvents"].(map[string]any)["item"].(map[string]any)
	delete(item, "createdAt")
	delete(item, "id")
	item["data"].(map[string]any)["stamp"] = ""
	return len(raw), data
}

// What is compared is how it is delivered: so it has to be the same.
func TestPeersDeliverTheSameNotice(t *testing.T) {
	t.Parallel()
	a := testArena(t, goPeers...)
	size, want := payloadOf(t, frameOf(t, a, "belfry"))
	for _, peer := range goPeers[1:] {
		got, data := payloadOf(t, frameOf(t, a, peer))
		if diff := cmp.Diff(want, data); diff != "" {
			t.Errorf("%s delivers something else than Belfry (-want +got):\n%s", peer, diff)
		}
		if got < size-10 || got > size+50 { // gqlgen's transport escapes HTML
			t.Errorf("%s delivers %d bytes, Belfry %d", peer, got, size)
		}
	}
}

func TestNodeDeliversTheSameNotice(t *testing.T) {
	t.Parallel()
	if os.Getenv("BENCH_NODE") == "" {
		t.Skip("installs packages: run it with BENCH_NODE=1 after a change of peers/node")
	}
	a := testArena(t, "belfry", "node")
	_, want := payloadOf(t, frameOf(t, a, "belfry"))
	_, got := payloadOf(t, frameOf(t, a, "node"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Node delivers something else than Belfry (-want +got):\n%s", diff)
	}
}

func TestStampsAreFoundInFrames(t *testing.T) {
	t.Parallel()
	due := time.Unix(1_700_000_000, 123_000)
	var frame []byte
	for n := range int64(3) {
		data, err := (&notice{n: n + 1, due: due}).data(belfry.RecipientID(7))
		if err != nil {
			t.Fatal(err)
		}
		frame = append(frame, data...)
	}
	var got []int64
	for {
		n, at, rest, ok := nextStamp(frame)
		if !ok {
			break
		}
		if !at.Equal(due) {
			t.Errorf("notice %d was due at %s, want %s", n, at, due)
		}
		got, frame = append(got, n), rest
	}
	if !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("numbers %v, want 1, 2 and 3", got)
	}
}

func TestDevicesCountFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		come []int64
		sent int64
		want faults
	}{
		"all":                  {[]int64{1, 2, 3}, 3, faults{}},
		"nothing":              {nil, 2, faults{lost: 2}},
		"the last is lost":     {[]int64{1, 2}, 3, faults{lost: 1}},
		"some are lost":        {[]int64{1, 4}, 4, faults{lost: 2}},
		"one comes twice":      {[]int64{1, 2, 2, 1}, 2, faults{doubled: 2}},
		"one comes late":       {[]int64{1, 3, 2}, 3, faults{disordered: 1}},
		"one comes late twice": {[]int64{1, 3, 2, 2}, 3, faults{disordered: 1, doubled: 1}},
	} {
		d := &device{audience: &audience{meter: newMeter()}}
		for _, n := range c.come {
			d.count(n, time.Millisecond)
		}
		if got := d.missed(c.sent); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestPourKeepsToItsSchedule(t *testing.T) {
	t.Parallel()
	var got []notice
	p := &publisher{numbers: make([]int64, 5)}
	load := pour{First: 2, Users: 3, Rate: 1000, Count: 40}
	if err := p.pour(t.Context(), load, func(_ context.Context, notices []notice) error {
		got = append(got, notices...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != load.Count {
		t.Fatalf("%d notices, want %d", len(got), load.Count)
	}
	for k, n := range got {
		after := time.Duration(k/5) * publishTick // five in each tick of 5 ms
		if n.user != 2+k%3 || n.n != int64(k/3+1) || n.due.Sub(got[0].due) != after {
			t.Errorf("notice %d: number %d of user %d, due after %s; want number %d of user %d after %s",
				k, n.n, n.user, n.due.Sub(got[0].due), k/3+1, 2+k%3, after)
		}
	}
}

func TestConnectionsAreSetByFlag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "[1000 10000] 1000 10 10000"},
		{"-connections=20000", "[1000 20000] 1000 10 20000"},
		{"-connections=500", "[500] 500 10 500"},
		{"-connections=4", "[4] 4 2 4"},
	} {
		s := fullSockets
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		apply := socketFlags(flags)
		if err := flags.Parse(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		if err := apply(&s); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.idle, s.slow.connections, s.slow.slow, s.storm.connections); got != c.want {
			t.Errorf("%s: %s, want %s", c.args, got, c.want)
		}
	}
}
