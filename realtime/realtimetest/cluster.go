package realtimetest

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	clusterSlots       = 1 << 14
	clusterNodeTimeout = time.Second // after which the others take a silent node for dead
	clusterPatience    = 30 * time.Second
)

// Cluster is a private Redis Cluster on ports of this machine.
type Cluster struct {
	URL     string // redis://…, for realtime.RedisConfig: all nodes
	Masters []*Redis

	t testing.TB
}

// StartCluster starts a cluster of that many masters, without replicas, that lives until the end of the test.
func StartCluster(t testing.TB, masters int) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for i := range masters {
		node := startClusterNode(t)
		c.Masters = append(c.Masters, node)
		c.must(node, "CLUSTER SET-CONFIG-EPOCH %d", i+1)
		c.must(node, "CLUSTER ADDSLOTSRANGE %d %d", i*clusterSlots/masters, (i+1)*clusterSlots/masters-1)
	}
	for _, node := range c.Masters[1:] {
		c.meet(node)
	}
	c.AwaitSound(c.Masters...)
	c.URL = c.Masters[0].URL
	for i, node := range c.Masters[1:] {
		c.URL += []string{"?", "&"}[min(i, 1)] + "addr=" + strings.TrimPrefix(node.URL, "redis://")
	}
	return c
}

// AddReplica starts a replica of a master, which takes over when the master dies.
func (c *Cluster) AddReplica(master *Redis) *Redis {
	c.t.Helper()
	replica := startClusterNode(c.t)
	c.meet(replica)
	id := c.id(master)
	c.await("the replica knows its master", func() bool { return strings.Contains(c.ask(replica, "CLUSTER NODES"), id) })
	c.must(replica, "CLUSTER REPLICATE %s", id)
	c.await("the replica is in step", func() bool {
		return strings.Contains(c.ask(replica, "INFO replication"), "master_link_status:up")
	})
	// A master that doesn't know of it by gossip counts no vote for it.
	c.await("everybody knows the replica", func() bool {
		for _, node := range c.Masters {
			if !strings.Contains(c.ask(node, "CLUSTER NODES"), "slave "+id) {
				return false
			}
		}
		return true
	})
	return replica
}

// AwaitSound waits until the nodes see all of each other, and all slots served.
func (c *Cluster) AwaitSound(nodes ...*Redis) {
	c.t.Helper()
	c.await("the cluster is sound", func() bool {
		for _, node := range nodes {
			info := c.ask(node, "CLUSTER INFO")
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(len(nodes))) {
				return false
			}
		}
		return true
	})
}

// Owner returns the master that has the slot of a channel, according to itself.
func (c *Cluster) Owner(channel string) *Redis {
	c.t.Helper()
	for _, node := range c.Masters {
		if reply := c.ask(node, "SPUBLISH "+channel+" nothing"); strings.HasPrefix(reply, ":") {
			return node
		}
	}
	c.t.Fatalf("realtimetest: nobody has the channel %s", channel)
	return nil
}

// Slot returns the slot of a channel.
func (c *Cluster) Slot(channel string) int {
	c.t.Helper()
	slot, err := strconv.Atoi(strings.TrimPrefix(c.ask(c.Masters[0], "CLUSTER KEYSLOT "+channel), ":"))
	if err != nil {
		c.t.Fatal(err)
	}
	return slot
}

// Move moves a slot without keys from its owner to another master, as resharding does.
func (c *Cluster) Move(slot int, from, to *Redis) {
	c.t.Helper()
	c.must(to, "CLUSTER SETSLOT %d IMPORTING %s", slot, c.id(from))
	c.must(from, "CLUSTER SETSLOT %d MIGRATING %s", slot, c.id(to))
	c.must(to, "CLUSTER SETSLOT %d NODE %s", slot, c.id(to))
	c.must(from, "CLUSTER SETSLOT %d NODE %s", slot, c.id(to))
}

func (c *Cluster) id(node *Redis) string { return strings.Split(c.ask(node, "CLUSTER MYID"), "\n")[1] }

// meet introduces a node to the first.
func (c *Cluster) meet(node *Redis) {
	c.t.Helper()
	first := c.Masters[0]
	c.must(node, "CLUSTER MEET 127.0.0.1 %d %d", first.port, first.busPort)
}

func (c *Cluster) must(node *Redis, format string, args ...any) {
	c.t.Helper()
	command := fmt.Sprintf(format, args...)
	if reply := c.ask(node, command); reply != "+OK" {
		c.t.Fatalf("realtimetest: %s: %s", command, reply)
	}
}

func (c *Cluster) ask(node *Redis, command string) string {
	reply, err := node.Do(command)
	if err != nil {
		c.t.Logf("realtimetest: %s: %v", command, err)
	}
	return strings.Join(reply, "\n")
}

func (c *Cluster) await(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(clusterPatience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("realtimetest: not within %v: %s", clusterPatience, what)
		}
	}
}

// startClusterNode starts a server that is in no cluster yet.
func startClusterNode(t testing.TB) *Redis {
	t.Helper()
	return start(t, func(r *Redis, dir string) {
		r.port, r.busPort = freePort(t), freePort(t)
		r.URL = "redis://127.0.0.1:" + strconv.Itoa(r.port)
		r.args = []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--cluster-port", strconv.Itoa(r.busPort),
			"--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(dir, "nodes.conf"),
			"--cluster-node-timeout", strconv.FormatInt(clusterNodeTimeout.Milliseconds(), 10),
			// A test that kills one node is about the others, too.
			"--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"}
	})
}

// freePort returns a port that nobody listened on a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
