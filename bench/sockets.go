package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

// sockets is how transports are compared: what connections and deliveries cost, one client in a hundred that doesn't
// read, and all clients coming back at once.
type sockets struct {
	peers []string
	idle  []int         // connections, ascending; deliveries go to the last so many
	rate  int           // deliveries a second
	pace  time.Duration // for so long

	slow  slowReaders
	storm storm
}

type slowReaders struct {
	connections, slow int
	rate              int           // deliveries a second to those that read
	pour              int           // and to each of the others
	pad               int           // bytes more in each of these
	calm, pace        time.Duration // for so long all read; and then some don't
	grace             time.Duration // for the server to let go of them after that
}

type storm struct {
	connections int
	rate        int           // messages a second
	within      time.Duration // clients come back at random within so long
}

var (
	fullSockets = sockets{peers: allPeers, idle: []int{1000, 10_000}, rate: 2000, pace: 6 * time.Second,
		slow:  slowReaders{connections: 1000, slow: 10, rate: 1000, pour: 50, pad: 4 << 10, calm: 4 * time.Second, pace: 10 * time.Second, grace: 2 * time.Second},
		storm: storm{connections: 10_000, rate: 500, within: 3 * time.Second}}
	quickSockets = sockets{peers: goPeers, idle: []int{50}, rate: 200, pace: time.Second,
		slow:  slowReaders{connections: 50, slow: 2, rate: 100, pour: 100, pad: 4 << 10, calm: 500 * time.Millisecond, pace: time.Second},
		storm: storm{connections: 50, rate: 100, within: 300 * time.Millisecond}}

	// allPeers take turns in this order. Belfry is the first: the others are compared with it.
	allPeers = []string{"belfry", "stock", "centrifuge", "node"}
	goPeers  = allPeers[:3] // which need nothing that isn't here
)

// peerNames are those of the tables.
var peerNames = map[string]string{"belfry": "Belfry", "stock": "gqlgen's transport", "centrifuge": "centrifuge", "node": "graphql-ws on Node"}

// socketFlags adds the flags of this part. The function that it returns applies them.
func socketFlags(flags *flag.FlagSet) func(*sockets) error {
	connections := flags.Int("connections", 0, "WebSockets of each peer, and of its storm (default 10000, quick 50)")
	deliveries := flags.Int("deliveries", 0, "deliveries a `second` over them (default 2000, quick 200)")
	pace := flags.Duration("deliver", 0, "for so `long` (default 6s, quick 1s)")
	peers := flags.String("peers", "", "servers whose WebSockets are measured (default "+strings.Join(allPeers, ",")+", quick without node)")
	return func(s *sockets) error {
		if n := *connections; n != 0 {
			if n < 1 || n > maxPeerUsers {
				return fmt.Errorf("-connections must be 1 to %d", maxPeerUsers)
			}
			if s.idle = append(s.idle[:1:1], n); s.idle[0] >= n {
				s.idle = []int{n}
			}
			s.slow.connections, s.storm.connections = min(s.slow.connections, n), n
			s.slow.slow = min(s.slow.slow, s.slow.connections/2)
		}
		if *deliveries != 0 {
			s.rate = *deliveries
		}
		if *pace != 0 {
			s.pace = *pace
		}
		if *peers != "" {
			s.peers = strings.Split(*peers, ",")
		}
		for _, p := range s.peers {
			if !slices.Contains(allPeers, p) {
				return errors.New("-peers must be some of " + strings.Join(allPeers, ","))
			}
		}
		if s.rate < 1 || s.rate > 100_000 || s.pace < time.Second/10 || s.pace > time.Hour {
			return errors.New("-deliveries must be 1 to 100000, and -deliver 100ms to 1h")
		}
		return nil
	}
}

// maxPeerUsers keeps the numbers of the users six digits long.
const maxPeerUsers = 99_999 - warmDevices

// compared is all rounds of all peers.
type compared struct {
	calm   map[string][]socketSample
	slow   map[string]slowSample
	storms map[string]stormSample
}

type socketSample struct {
	idle       []idleSample
	cpu        time.Duration // of the server, for all deliveries, without what waking up to publish takes
	deliveries int
	times      *hdrhistogram.Histogram // from due to the frame, in microseconds
}

// idleSample is for each connection.
type idleSample struct {
	connections int
	rss, slab   float64 // bytes; slab of both ends, and of whatever else the machine did
	goroutines  float64
}

type slowSample struct {
	without, with *hdrhistogram.Histogram // to those that read
	gone          int                     // of those that don't, let go of in time
	last          time.Duration           // when the last of them was
}

type stormSample struct {
	caughtUp time.Duration // from the cut until the last was live again
	sent     int
	refused  int64
	faults   faults
}

// arena is what the servers are measured on.
type arena struct {
	sockets
	server      *server
	node        *nodePeer
	config      peerConfig
	credentials []map[string]any
	progress    io.Writer
}

// socketPeers measures all peers, in turns.
func (o options) socketPeers(ctx context.Context, s *server, progress io.Writer) (_ *compared, err error) {
	a := &arena{sockets: o.sockets, server: s, progress: progress}
	raiseFileLimit()
	if slices.Contains(a.peers, "node") {
		fmt.Fprintln(progress, "Installing the packages of the peer node …")
		if a.node, err = installNode(ctx); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, a.node.remove()) }()
	}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	out := &compared{calm: map[string][]socketSample{}, slow: map[string]slowSample{}, storms: map[string]stormSample{}}
	for round := range o.rounds {
		for i := range a.peers {
			peer := a.peers[(i+round)%len(a.peers)] // nobody is always the first
			fmt.Fprintf(progress, "round %d/%d, %d connections, %d deliveries/s by %s: ", round+1, o.rounds, slices.Max(a.idle), a.rate, peerNames[peer])
			one, err := a.calm(ctx, peer)
			if err != nil {
				fmt.Fprintln(progress)
				return nil, err
			}
			fmt.Fprintf(progress, "%.1f CPU ms for 1000, p99 %s ms\n", one.cost(), one.quantile(99))
			out.calm[peer] = append(out.calm[peer], one)
		}
	}
	for _, peer := range a.peers {
		fmt.Fprintf(progress, "%d of %d don't read, at %s: ", a.slow.slow, a.slow.connections, peerNames[peer])
		one, err := a.slowReaders(ctx, peer)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		fmt.Fprintf(progress, "%d were let go of, %.1f s after they stopped\n", one.gone, one.last.Seconds())
		out.slow[peer] = one
	}
	for _, peer := range a.peers {
		fmt.Fprintf(progress, "%d come back within %s, to %s: ", a.storm.connections, a.storm.within, peerNames[peer])
		one, err := a.storms(ctx, peer)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		fmt.Fprintf(progress, "all were live %.1f s after the cut, %d of %d messages lost\n", one.caughtUp.Seconds(), one.faults.lost, one.sent)
		out.storms[peer] = one
	}
	return out, nil
}

// prepare makes a database with users who have no feed yet, and what they authenticate with.
func (a *arena) prepare(ctx context.Context) error {
	users := max(slices.Max(a.idle), a.slow.connections, a.storm.connections) + warmDevices
	fmt.Fprintf(a.progress, "Making %d users known …\n", users)
	url, err := a.server.create(ctx, fmt.Sprintf("sockets_%d", time.Now().UnixNano()))
	if err != nil {
		return err
	}
	n, err := openNode(ctx, url, nil)
	if err != nil {
		return err
	}
	defer n.close()
	e, err := n.auth.CreateEnvironment(ctx, environment)
	if err != nil {
		return err
	}
	if _, err := n.pool.Exec(ctx, insertCrowd, e.ID, belfry.Users, firstOfCrowd, users); err != nil {
		return err
	}
	if _, err := n.pool.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	a.config = peerConfig{Database: url, Environment: e.ID, Users: users}
	_, public, err := n.auth.CreateAPIKey(ctx, e.ID, auth.Public, "bench frontend")
	if err != nil {
		return err
	}
	key, private, err := n.auth.CreateSigningKey(ctx, e.ID, auth.EdDSA, "bench")
	if err != nil {
		return err
	}
	for i := range users {
		token, err := auth.SignUserToken(private, key.KID, peerUser(i), tokenTTL, time.Now())
		if err != nil {
			return err
		}
		a.credentials = append(a.credentials, map[string]any{"authorization": "Bearer " + public, "userToken": token})
	}
	return nil
}

// start starts a server, and makes clients that speak as it does.
func (a *arena) start(ctx context.Context, name string, stored int) (*audience, error) {
	c := a.config
	c.Peer, c.Stored = name, stored
	p, err := startPeer(ctx, c, a.node)
	if err != nil {
		return nil, err
	}
	var speak dialect = graphQL{func(user int) map[string]any { return a.credentials[user] }}
	switch name {
	case "centrifuge":
		speak = centrifugeJSON{}
	case "node":
		speak = graphQL{func(user int) map[string]any { return map[string]any{"user": peerUser(user)} }}
	}
	return newAudience(p, speak, c.Users), nil
}

// stop ends clients and server.
func (a *audience) stop() error {
	a.close()
	return a.peer.stop()
}
