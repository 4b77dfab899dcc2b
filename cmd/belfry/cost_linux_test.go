package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

// What it costs to tell a user of an event, from its publication to the frame: with gqlgen's own transport (stock), with
// ours but executed by gqlgen (interpreted), encoded but published as if by another node (remote), and encoded. Each is in
// a process of its own, which the test's binary starts:
//
//	go test -run TestCostOfADelivery -v ./cmd/belfry -cost
var (
	cost        = flag.Bool("cost", false, "measure what deliveries cost")
	costProfile = flag.String("cost-profile", "", "with -cost: write CPU profiles into this folder")
	costServer  = flag.String("cost-server", "", "be a server of -cost")
	costSecret  = flag.String("cost-secret", "", "with -cost-server: where its database is")
)

const (
	costFeeds      = 1000
	costDeliveries = 50 // to each feed
)

// costSelection is what a feed component shows.
const costSelection = `subscription ($user: String!) { feedEvents(feed: {user: $user}) { __typename position badge { total unseen unread }
	... on FeedItemUpserted { item { id position actionUrl data createdAt readAt seenAt archivedAt categories
		blocks { __typename ... on MarkdownBlock { name rendered } ... on TextBlock { name rendered } ... on ButtonSetBlock { name buttons { label action } } } } }
	... on FeedItemsPatched { ids as at } ... on FeedMarkedAll { upTo as at } ... on FeedReset { reason } } }`

func TestCostOfADelivery(t *testing.T) {
	if *costServer != "" {
		beCostServer(t, *costServer, *costSecret)
		return
	}
	if !*cost {
		t.Skip("takes a quiet machine: run with -cost")
	}
	for _, which := range []string{"stock", "interpreted", "remote", "encoded"} {
		t.Logf("%-11s  %5.1f ms of CPU for 1,000 deliveries", which, measureCost(t, which))
	}
}

// measureCost is in milliseconds for 1,000 deliveries.
func measureCost(t *testing.T, which string) float64 {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestCostOfADelivery$", "-cost-server", which, "-cost-secret", pgtest.EmptyURL(t), "-cost-profile", *costProfile)
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	ask := func(command string) []string {
		t.Helper()
		if _, err := fmt.Fprintln(in, command); err != nil || !lines.Scan() {
			t.Fatalf("the server has gone: %v", err)
		}
		return strings.Fields(lines.Text())
	}
	start := ask("start") // address and key
	var live, told sync.WaitGroup
	for i := range costFeeds {
		live.Add(1)
		told.Add(costDeliveries)
		follow(t, start[0], start[1], i, live.Done, told.Done)
		live.Wait()
	}
	before, _ := time.ParseDuration(ask("cpu")[0])
	for range costDeliveries {
		ask("publish")
		time.Sleep(20 * time.Millisecond) // deliveries come one at a time
	}
	told.Wait()
	after, _ := time.ParseDuration(ask("cpu")[0])
	return float64((after - before).Microseconds()) / (costFeeds * costDeliveries)
}

// follow follows the feed of a user.
func follow(t *testing.T, address, key string, user int, live, told func()) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	c, _, err := dialer.Dial("ws://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for i, m := range []map[string]any{
		{"type": "connection_init", "payload": map[string]string{"authorization": "Bearer " + key}},
		{"id": "1", "type": "subscribe", "payload": map[string]any{"query": costSelection, "variables": map[string]any{"user": costUser(user)}}},
	} {
		if err := c.WriteJSON(m); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, _, err := c.ReadMessage(); err != nil { // the acknowledgement
				t.Fatal(err)
			}
		}
	}
	go func() {
		for n := 0; ; n++ { // FeedSynced, then events
			_, message, err := c.ReadMessage()
			switch {
			case err != nil:
				return
			case n == 0 && strings.Contains(string(message), "FeedSynced"):
				live()
			case n > 0 && strings.Contains(string(message), "FeedItemUpserted"):
				told()
			default:
				t.Errorf("not expected: %s", message)
				return
			}
		}
	}()
}

func costUser(i int) string { return "user-" + strconv.Itoa(i) }

// beCostServer does what standard input says until that ends.
func beCostServer(t *testing.T, which, databaseURL string) {
	n, err := build(t.Context(), node{Workers: 1, BatchSize: 100, DatabaseConns: 8}, options{databaseURL: databaseURL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	start(t.Context(), make(chan error, 1), "hub", n.hub.Run)
	env, err := n.auth.CreateEnvironment(t.Context(), "production")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := n.auth.CreateAPIKey(t.Context(), env.ID, "secret", "cost")
	if err != nil {
		t.Fatal(err)
	}
	config := graph.Config{
		Resolver: &graph.Resolver{Engine: n.engine, Feeds: n.feeds, Recipients: n.people, Deliveries: n.delivery}, Auth: n.auth, Log: n.log,
		WebSocket: n.sockets, Interpret: which == "stock" || which == "interpreted",
	}
	if which == "stock" {
		config.WebSocket = transport.Websocket{PingPongInterval: time.Minute, InitFunc: func(ctx context.Context, p transport.InitPayload) (context.Context, *transport.InitPayload, error) {
			ctx, err := n.initConnection()(ctx, p)
			return ctx, nil, err
		}}
	}
	api := graph.NewServer(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api}
	go func() { _ = server.Serve(listener) }()
	version := int64(0)
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		switch commands.Text() {
		case "start":
			fmt.Println(listener.Addr(), key)
		case "cpu":
			if *costProfile != "" && version == 0 {
				f, _ := os.Create(*costProfile + "/" + which + ".pprof")
				_ = pprof.StartCPUProfile(f)
			}
			var usage syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
			fmt.Println(time.Duration(usage.Utime.Nano() + usage.Stime.Nano()))
			if version > 0 {
				pprof.StopCPUProfile()
			}
		case "publish":
			version++
			for i := range costFeeds {
				publishCost(t, n, env.ID, i, version, which != "encoded")
			}
			fmt.Println(version)
		}
	}
	os.Exit(0)
}

// publishCost publishes an event of a feed, as the feed does. What another node has published comes as JSON alone.
func publishCost(t *testing.T, n *belfryNode, env belfry.EnvironmentID, user int, version int64, remote bool) {
	id := belfry.MessageID{Recipient: belfry.RecipientID(user + 1), Channel: belfry.DefaultFeed, Seq: version}
	topic := fmt.Sprintf("%d/%s/%s", env, belfry.DefaultFeed, costUser(user))
	notice, err := feed.NewNotice(topic, &feed.Event{
		Kind: feed.Upserted, Position: belfry.Position{Epoch: 1, Version: version}, Badge: belfry.Badge{Total: int(version), Unseen: int(version), Unread: int(version)},
		Item: &feed.Item{ID: id, Epoch: 1, Actor: 7, TotalActivities: 1, Workflow: "new-comment", StepRef: "inbox", Categories: []string{"comments"}, CreatedAt: time.Now().UTC(),
			Content: belfry.Content{
				Body: belfry.Body{Format: belfry.MarkdownBody, Content: "**Ben** commented on *Apollo*: we should look at the figures again before Monday.",
					Rendered: "<p><strong>Ben</strong> commented on <em>Apollo</em>: we should look at the figures again before Monday.</p>\n"},
				ActionURL: "https://app.example.com/projects/apollo/comments/4711",
				Buttons:   []belfry.Button{{Label: "Answer", Action: "https://app.example.com/projects/apollo/comments/4711/answer"}},
				Data:      map[string]any{"project": "apollo", "comment": 4711.0},
			}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if remote {
		notice.Memo = nil
	}
	if err := (bell{n.hub}).Publish([]feed.Notice{notice}); err != nil {
		t.Fatal(err)
	}
}
