package graphqlws_test

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// The cost of connections and deliveries, beside that of gqlgen's own transport on the same schema, each in a process of
// its own, which the test's binary starts:
//
//	go test -run TestCost -v ./realtime/graphqlws -cost
var (
	cost       = flag.Bool("cost", false, "measure what connections and deliveries cost")
	costServer = flag.String("cost-server", "", "be the server of -cost: ours, or stock")
)

const (
	costConnections = 1000
	costDeliveries  = 50 // to each connection
	costPayload     = 400
)

// figures are what a server says of itself.
type figures struct {
	rss        int // KiB
	goroutines int
	cpu        time.Duration
	heap       int // KiB that are reachable
}

func TestCost(t *testing.T) {
	if *costServer != "" {
		beCostServer(t, *costServer)
		return
	}
	if !*cost {
		t.Skip("takes a quiet machine: run with -cost")
	}
	perConnection, perDelivery := map[string]float64{}, map[string]float64{}
	for _, which := range []string{"stock", "ours"} {
		begin, idle, delivered, after := measure(t, which)
		perConnection[which] = float64(idle.rss-begin.rss) / costConnections
		perDelivery[which] = float64((delivered.cpu - idle.cpu).Microseconds()) / (costConnections * costDeliveries)
		t.Logf("%-5s  %5.1f KiB and %.2f goroutines for each idle connection with one subscription, %5.1f ms of CPU for 1,000 deliveries",
			which, perConnection[which], float64(idle.goroutines-begin.goroutines)/costConnections, perDelivery[which])
		t.Logf("       reachable: %d KiB and %d goroutines before the first connection, %d and %d after the last", begin.heap, begin.goroutines, after.heap, after.goroutines)
	}
	t.Logf("ours / stock: memory %.2f, CPU %.2f", perConnection["ours"]/perConnection["stock"], perDelivery["ours"]/perDelivery["stock"])
}

// measure opens connections with one subscription each, and counts along.
func measure(t *testing.T, which string) (begin, idle, delivered, after figures) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestCost$", "-cost-server", which)
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
	say := func() (f figures) {
		t.Helper()
		a := ask("figures")
		f.rss, _ = strconv.Atoi(a[0])
		f.goroutines, _ = strconv.Atoi(a[1])
		f.cpu, _ = time.ParseDuration(a[2])
		f.heap, _ = strconv.Atoi(a[3])
		return f
	}
	address := ask("address")[0]
	warm(t, address) // what is there once is not a connection's
	begin = say()
	var told sync.WaitGroup
	var clients []client
	for range costConnections {
		c := dialInit(t, "ws://"+address)
		clients = append(clients, c)
		c.send(countAlong)
		told.Add(costDeliveries)
		go func() {
			for {
				if _, _, err := c.ReadMessage(); err != nil {
					return
				}
				told.Done()
			}
		}()
	}
	eventually(t, "all listen", func() bool { return ask("listeners")[0] == strconv.Itoa(costConnections) })
	idle = say()
	for range costDeliveries {
		ask("count")
		time.Sleep(20 * time.Millisecond) // deliveries come one at a time
	}
	told.Wait()
	delivered = say()
	for _, c := range clients {
		_ = c.Close()
	}
	eventually(t, "all have gone", func() bool { return ask("listeners")[0] == "0" && say().goroutines <= begin.goroutines })
	return begin, idle, delivered, say()
}

func warm(t *testing.T, address string) {
	t.Helper()
	for range 20 {
		c := dialInit(t, "ws://"+address)
		c.send(`{"id":"1","type":"subscribe","payload":{"query":"{ n }"}}`)
		c.expect(`{"id":"1","type":"next","payload":{"data":{"n":0}}}`)
		_ = c.Close()
	}
}

// beCostServer does what standard input says until that ends.
func beCostServer(t *testing.T, which string) {
	n := newCounter()
	n.padding = `,"text":"` + strings.Repeat("x", costPayload) + `"`
	srv := handler.New(n)
	srv.SetQueryCache(lru.New[*ast.QueryDocument](100))
	var ours graphql.Transport = graphqlws.New(graphqlws.Config{})
	if which == "stock" {
		ours = transport.Websocket{InitTimeout: graphqlws.DefaultInitTimeout, PingPongInterval: graphqlws.DefaultPingInterval}
	}
	srv.AddTransport(ours)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: srv}
	go func() { _ = server.Serve(listener) }()
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		switch commands.Text() {
		case "address":
			fmt.Println(listener.Addr())
		case "listeners":
			fmt.Println(n.listeners())
		case "count":
			fmt.Println(n.count(1, false))
		case "figures":
			fmt.Println(ownFigures(t))
		}
	}
	os.Exit(0)
}

func ownFigures(t *testing.T) string {
	for range 5 { // stacks shrink by half at a time, and pools are emptied
		runtime.GC()
	}
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("needs Linux")
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return fmt.Sprintf("%s %d %v %d", strings.Fields(rss)[0], runtime.NumGoroutine(), time.Duration(usage.Utime.Nano()+usage.Stime.Nano()), memory.HeapAlloc>>10)
}
