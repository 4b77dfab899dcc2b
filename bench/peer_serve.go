package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/belfryhq/belfry"
)

// peerArgument makes this program one of the servers that sockets are measured on.
const peerArgument = "serve-peer"

// peerConfig is what such a server is told at its start.
type peerConfig struct {
	Peer        string
	Database    string
	Environment belfry.EnvironmentID
	Users       int
	// Stored is how many users, from the first, have their notices stored, and are told what they missed: from the
	// database, or from the peer's own history. Those of the others are only published.
	Stored int
}

// order is what it is told later, a line of JSON each; the answer, a line too, has the same id.
type order struct {
	ID int    `json:"id"`
	Do string `json:"do"` // settle: give memory back; publish: the pour; tick: pass the time of the pour without publishing
	pour
}

// pour is a load of notices: Count of them, at Rate a second, to Users from First on in turn, each by Pad bytes longer.
type pour struct {
	First int `json:"first"`
	Users int `json:"users"`
	Rate  int `json:"rate"`
	Count int `json:"count"`
	Pad   int `json:"pad"`
}

// answer is to one order, or without an id the first line, with the address.
type answer struct {
	ID         int    `json:"id"`
	Address    string `json:"address,omitempty"`
	Goroutines int    `json:"goroutines,omitempty"`
	Error      string `json:"error,omitempty"`
}

// publish delivers notices in their order. They are all for users whose notices are stored, or none is.
type publish func(ctx context.Context, notices []notice) error

// peers are those that this program can be.
var peers = map[string]func(ctx context.Context, c peerConfig) (http.Handler, publish, error){
	"belfry": serveBelfry, "stock": serveStock, "centrifuge": serveCentrifuge,
}

// bePeer is main, if the arguments say so. It ends with standard input.
func bePeer(args []string) bool {
	if len(args) != 2 || args[0] != peerArgument {
		return false
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // as belfry does
	}
	var c peerConfig
	err := json.Unmarshal([]byte(args[1]), &c)
	if err == nil {
		err = servePeer(context.Background(), c, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", c.Peer, err)
		os.Exit(1)
	}
	return true
}

func servePeer(ctx context.Context, c peerConfig, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	serve, ok := peers[c.Peer]
	if !ok {
		return fmt.Errorf("there is no peer %q", c.Peer)
	}
	raiseFileLimit()
	handler, publish, err := serve(ctx, c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		failed <- (&http.Server{Handler: handler, ReadHeaderTimeout: handshakeTimeout}).Serve(listener)
	}()
	p := &publisher{publish: publish, numbers: make([]int64, c.Users)}
	answers := &answers{to: json.NewEncoder(out)}
	answers.send(answer{Address: listener.Addr().String()})
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		go func() { answers.send(p.follow(ctx, o)) }()
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// answers writes whole lines.
type answers struct {
	mu sync.Mutex
	to *json.Encoder
}

func (a *answers) send(one answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.to.Encode(one) // whoever doesn't read has gone
}

// publisher numbers the notices of each user. Pours at the same time are for different users.
type publisher struct {
	publish publish
	numbers []int64
}

func (p *publisher) follow(ctx context.Context, o order) answer {
	a := answer{ID: o.ID}
	var err error
	switch o.Do {
	case "settle":
		for range 5 { // stacks shrink by half at a time, and pools are emptied
			runtime.GC()
		}
		debug.FreeOSMemory()
		a.Goroutines = runtime.NumGoroutine()
	case "publish":
		err = p.pour(ctx, o.pour, p.publish)
	case "tick":
		idle := publisher{numbers: make([]int64, len(p.numbers))}
		err = idle.pour(ctx, o.pour, func(context.Context, []notice) error { return nil })
	default:
		err = errors.New("unknown order")
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// publishTick is how often what is due is published, by every peer. Waking up costs as much as some deliveries: the
// shorter it is, the less of the processor time is theirs.
const publishTick = 5 * time.Millisecond

// pour publishes on schedule, whatever becomes of it. What is late is published at once, and is not due any later.
func (p *publisher) pour(ctx context.Context, o pour, publish publish) error {
	began := time.Now()
	for sent := 0; sent < o.Count; {
		ticks := int(time.Since(began) / publishTick)
		var batch []notice
		for ; sent < o.Count; sent++ {
			tick := sent * int(time.Second/publishTick) / o.Rate
			if tick > ticks {
				break
			}
			user := o.First + sent%o.Users
			p.numbers[user]++
			batch = append(batch, notice{user: user, n: p.numbers[user], due: began.Add(time.Duration(tick) * publishTick), pad: o.Pad})
		}
		if len(batch) > 0 {
			if err := publish(ctx, batch); err != nil {
				return err
			}
		}
		next := began.Add(time.Duration(int(time.Since(began)/publishTick)+1) * publishTick)
		if err := pause(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	return nil
}
