package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// fleet is an installation of several nodes that come and go.
type fleet struct {
	*installation
	t        *testing.T
	seed     uint64
	nodes    []atomic.Pointer[node]
	settings []settings // of the node in each place
}

// newFleet starts a node for each of the settings.
func newFleet(t *testing.T, each ...settings) *fleet {
	t.Helper()
	f := &fleet{t: t, seed: uint64(time.Now().UnixNano()), nodes: make([]atomic.Pointer[node], len(each)), settings: each}
	if s := os.Getenv("BELFRY_TEST_SEED"); s != "" {
		var err error
		if f.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("BELFRY_TEST_SEED: %v", err)
		}
	}
	t.Logf("BELFRY_TEST_SEED=%d", f.seed)
	f.installation = install(t, each[0])
	f.nodes[0].Store(f.installation.node)
	for place := range each[1:] {
		f.start(place + 1)
	}
	return f
}

// current is the node that has a place now. It may be dead.
func (f *fleet) current(place int) *node { return f.nodes[place%len(f.nodes)].Load() }

// start starts a node in a place.
func (f *fleet) start(place int) {
	f.t.Helper()
	f.nodes[place].Store(serve(f.t, f.pool.Config().ConnString(), f.settings[place]))
}

func (f *fleet) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(f.seed, stream)) }

// untilAnswered retries, on any node. An answer that says INTERNAL is none: the node lost its connections.
func (f *fleet) untilAnswered(r *rand.Rand, query string, input vars, ok func(answer) error) error {
	for deadline := time.Now().Add(patience); ; {
		c := caller{f.current(r.IntN(len(f.nodes))).address, f.env.secret, ""}
		a, err := c.try(context.WithoutCancel(f.t.Context()), query, vars{"input": input})
		if err == nil && a.code() != "INTERNAL" {
			return ok(a)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within %v: %v %s", patience, err, a.raw)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func durationFrom(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}
