package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	clusterMode     = "cluster"
	leastCluster    = 7 // the major version of Redis that sharded pub/sub came with
	clusterSlots    = 1 << 14
	redisAskTimeout = 2 * time.Second // for one server to say who has what

	// The owners are asked for when there is a reason to, though not more often than redisAskPause, and otherwise
	// every redisAskInterval: a server that was cut off from its cluster doesn't know that another took its place.
	redisAskPause    = 100 * time.Millisecond
	redisAskInterval = 5 * time.Second
)

// partitionSlots are the hash slots of the partitions.
var partitionSlots = func() (slots [redisPartitions]int) {
	for p := range slots {
		slots[p] = slotOf(tags[p])
	}
	return slots
}()

// slotOf is the hash slot of a tag: CRC-16/XMODEM, as the cluster specification has it.
func slotOf(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			if crc <<= 1; carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % clusterSlots
}

// mode asks the server what it is: "standalone", "cluster", or "sentinel".
func (s *redisServer) mode(ctx context.Context) (string, error) {
	hello, err := s.client.Do(ctx, s.client.B().Hello().Build()).AsMap()
	if _, refused := rueidis.IsRedisErr(err); refused {
		return "", nil // older than the command, or something that only looks like Redis: no cluster
	}
	if err != nil {
		return "", err
	}
	mode, version := hello["mode"], hello["version"]
	m, _ := mode.ToString()
	v, _ := version.ToString()
	switch major, _ := strconv.Atoi(strings.Split(v, ".")[0]); {
	case m == "sentinel":
		return "", errors.New("it is a sentinel: say whose servers it watches with ?master_set=name")
	case m == clusterMode && major < leastCluster:
		return "", fmt.Errorf("it is a cluster of version %s: sharded pub/sub needs Redis %d or newer", v, leastCluster)
	}
	return m, nil
}

// claim says that a server has a partition. Of two claims the one of the later epoch is true: servers that were cut off,
// or just didn't hear yet, have earlier ones.
type claim struct {
	address string
	epoch   int64
}

// claims are what servers say of the partitions. No address: nobody has it.
type claims [redisPartitions]claim

// ask asks the server who has which partition.
func (s *redisServer) ask(ctx context.Context) (c claims, err error) {
	client, err := s.dial()
	if client == nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisAskTimeout)
	defer cancel()
	results := client.DoMulti(ctx, client.B().ClusterNodes().Build(), client.B().ClusterSlots().Build())
	nodes, err := results[0].ToString()
	if err != nil {
		return c, fmt.Errorf("CLUSTER NODES: %w", err)
	}
	ranges, err := results[1].ToArray()
	if err != nil {
		return c, fmt.Errorf("CLUSTER SLOTS: %w", err)
	}
	epochs := epochsOf(nodes)
	for _, r := range ranges {
		if err := c.add(r, epochs, s.address); err != nil {
			return c, fmt.Errorf("CLUSTER SLOTS: %w", err)
		}
	}
	return c, nil
}

// epochsOf reads the epochs of servers, by id, from lines of
// id address flags master ping-sent pong-received epoch link-state slots…
func epochsOf(nodes string) map[string]int64 {
	epochs := make(map[string]int64)
	for line := range strings.Lines(nodes) {
		if fields := strings.Fields(line); len(fields) > 6 {
			epochs[fields[0]], _ = strconv.ParseInt(fields[6], 10, 64)
		}
	}
	return epochs
}

// add adds one range of slots: first, last, [host, port, id, …], and replicas, which don't matter.
func (c *claims) add(slots rueidis.RedisMessage, epochs map[string]int64, asked string) error {
	fields, err := slots.ToArray()
	if err != nil || len(fields) < 3 {
		return fmt.Errorf("a range has %d fields (%w)", len(fields), err)
	}
	first, err1 := fields[0].AsInt64()
	last, err2 := fields[1].AsInt64()
	owner, err3 := fields[2].ToArray()
	if err := errors.Join(err1, err2, err3); err != nil || len(owner) < 3 {
		return fmt.Errorf("the owner of a range has %d fields (%w)", len(owner), err)
	}
	host, _ := owner[0].ToString() // none: the server doesn't know what it is called, but we have reached it
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(asked)
	}
	port, err1 := owner[1].AsInt64()
	id, err2 := owner[2].ToString()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for p, slot := range partitionSlots {
		if int64(slot) >= first && int64(slot) <= last {
			c[p] = claim{net.JoinHostPort(host, strconv.FormatInt(port, 10)), epochs[id]}
		}
	}
	return nil
}

// believe takes over those claims that are later than ours.
func (c *claims) believe(others claims) {
	for p, other := range others {
		if other.address != "" && (c[p].address == "" || other.epoch > c[p].epoch) {
			c[p] = other
		}
	}
}

// suspect has the owners asked for.
func (b *RedisBus) suspect() {
	select {
	case b.stale <- struct{}{}:
	default:
	}
}

// askedNext returns a channel that is closed once the owners have been asked for from now on.
func (b *RedisBus) askedNext() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// tend keeps the owners true until ctx ends.
func (b *RedisBus) tend(ctx context.Context) {
	failing := false
	for {
		select {
		case <-b.stale:
		case <-time.After(redisAskInterval):
		case <-ctx.Done():
			return
		case <-b.closed:
			return
		}
		where, err := b.askAround(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			b.mu.Lock()
			b.assign(where)
			close(b.asked)
			b.asked = make(chan struct{})
			b.mu.Unlock()
		} else if !failing {
			b.log.Warn("no server of the redis cluster says which has what; asking on", "error", err)
		}
		failing = err != nil
		select {
		case <-time.After(redisAskPause):
		case <-ctx.Done():
			return
		}
	}
}

// askAround asks all servers that we know, or, if none answers, those in the URL.
func (b *RedisBus) askAround(ctx context.Context) (claims, error) {
	b.mu.Lock()
	known := slices.Collect(maps.Values(b.servers))
	b.mu.Unlock()
	c, err := askAll(ctx, known)
	if err == nil {
		return c, nil
	}
	var seeds []*redisServer
	for _, address := range b.seeds {
		s := newRedisServer(b, address)
		defer s.close()
		seeds = append(seeds, s)
	}
	return askAll(ctx, seeds)
}

// askAll asks servers, and fails if none answers.
func askAll(ctx context.Context, servers []*redisServer) (all claims, err error) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	answers := 0
	for _, s := range servers {
		asking.Go(func() {
			c, failed := s.ask(ctx)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = failed
				return
			}
			answers++
			all.believe(c)
		})
	}
	asking.Wait()
	if answers > 0 {
		return all, nil
	}
	return all, cmp.Or(err, errNoOwner)
}
