package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/recipient"
)

// How many seeds TestNothingGoesWrongWhateverCrashes tries. BELFRY_TEST_SEEDS=10000 tries so many, however long it takes,
// and BELFRY_TEST_SEED=42 that one.
const (
	defaultSeeds = 1000
	raceSeeds    = 150              // under the race detector, which has nothing to find in a single goroutine
	seedsFor     = 90 * time.Second // a machine that is busy with other things tries fewer
	seedsAtOnce  = 4
)

// A seed decides all that happens to a few nodes on one database: a single goroutine does one thing after the other, and
// from the midst of a transaction of one node it does something on another. Nodes crash between any two statements, and
// behind a commit whose answer they don't get any more; their clocks differ and jump; the database takes its time.
//
// In the end everything is well again, all windows pass, and each of invariants holds.
func TestNothingGoesWrongWhateverCrashes(t *testing.T) {
	t.Parallel()
	first, seeds, most := seedsToTry(t)
	began := time.Now()
	var next atomic.Uint64
	next.Store(first)
	var wg sync.WaitGroup
	for i := range min(seedsAtOnce, int(seeds)) {
		wg.Go(func() { // they mostly wait for the database, so there are more of them than processors
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				c := newChaos(t)
				for time.Since(began) < most && !t.Failed() {
					seed := next.Add(1) - 1
					if seed >= first+seeds {
						return
					}
					c.run(seed)
				}
			})
		})
	}
	wg.Wait()
	t.Logf("%d seeds in %v", min(next.Load()-first, seeds), time.Since(began).Round(time.Second))
}

func seedsToTry(t *testing.T) (first, seeds uint64, most time.Duration) {
	number := func(name string) (n uint64, given bool) {
		s := os.Getenv(name)
		if s == "" {
			return 0, false
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n, true
	}
	if n, given := number("BELFRY_TEST_SEED"); given {
		return n, 1, time.Hour
	}
	if n, given := number("BELFRY_TEST_SEEDS"); given {
		return 0, n, 24 * time.Hour
	}
	seeds = defaultSeeds
	if raceDetector {
		seeds = raceSeeds
	}
	if testing.Short() {
		seeds /= 10
	}
	return 0, seeds, seedsFor
}

const (
	chaosNodes   = 3
	chaosUsers   = 3
	chaosActions = 25
	chaosDepth   = 2 // how many things are done in the midst of others
)

// chaos is a few nodes to which bad things happen.
type chaos struct {
	*world // without any of that: to set up, and to look at what came of it
	seed   uint64
	random *rand.Rand
	nodes  [chaosNodes]*chaosNode
	depth  int
	calm   bool
	story  []string // what happened, for whoever has to find out why

	triggers     int
	acknowledged map[int]bool // triggers, by data.n: whether their caller knows that they were accepted
	fetches      []chaosFetch
}

// chaosNode is a process with its connections. It restarts with an empty memory, and goes on with its clock.
type chaosNode struct {
	*Engine
	chaos  *chaos
	number int
	pool   *pgxpool.Pool
	skew   time.Duration
	worker *worker
}

type chaosFetch struct {
	node *chaosNode
	*fetch
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{world: newWorld(t), calm: true}
	c.users(chaosUsers)
	c.exec(chaosAudit)
	c.subscribeAll()
	for key, steps := range chaosWorkflows {
		c.workflow(key, steps...)
	}
	for i := range c.nodes {
		n := &chaosNode{chaos: c, number: i}
		config := c.pool.Config()
		config.ConnConfig.Tracer = n
		config.MaxConns = 2 * (chaosDepth + 1)
		// Who waits for somebody in whose midst it was started would wait for ever.
		config.ConnConfig.RuntimeParams["lock_timeout"] = "5ms"
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pgtest.Close(t, pool) })
		n.pool = pool
		c.nodes[i] = n
	}
	return c
}

// run is one seed.
func (c *chaos) run(seed uint64) {
	c.seed, c.random, c.story = seed, rand.New(rand.NewPCG(seed, 0)), nil
	c.clock = &clock{at: epoch, step: time.Microsecond} // so ids are in the order in which they were made
	c.triggers, c.acknowledged, c.fetches = 0, map[int]bool{}, nil
	c.exec(forgetRuns + `; DELETE FROM audit; DELETE FROM windows; DELETE FROM revoked`)
	c.Engine = c.node()
	c.idleFloors = time.Hour // each worker finds them once: that will do
	for _, n := range c.nodes {
		n.skew = time.Duration(c.random.IntN(7)-3) * time.Second
		n.restart()
	}
	c.calm = false
	for range chaosActions {
		c.act()
	}
	c.calm = true
	c.heal()
	c.check()
}

// fail says how to see it again.
func (c *chaos) fail(format string, args ...any) {
	c.t.Helper()
	for _, s := range c.story {
		c.t.Log(s)
	}
	c.t.Fatalf("BELFRY_TEST_SEED=%d go test -run %s ./engine: %s", c.seed, "TestNothingGoesWrongWhateverCrashes", fmt.Sprintf(format, args...))
}

func (c *chaos) tell(format string, args ...any) {
	c.story = append(c.story, fmt.Sprintf("%*s%s", 2*c.depth, "", fmt.Sprintf(format, args...)))
}

func (n *chaosNode) now() time.Time { return n.chaos.clock.now().Add(n.skew) }

func (n *chaosNode) restart() {
	n.Engine = New(Config{Pool: n.pool, Recipients: recipient.New(n.pool, n.now), Enqueue: record, Statuses: unread, Now: n.now,
		Log: slog.New(slog.DiscardHandler), BatchSize: 1 + n.chaos.random.IntN(8)})
	n.idleFloors = time.Hour
	n.worker = &worker{engine: n.Engine, rows: 1, bulkRows: 1}
}

// outcome is what a node's caller gets to know besides the error.
type outcome struct{ crashed, lost bool }

func (o *outcome) over() bool { return o.crashed || o.lost }

type outcomeKey struct{}

// do lets a node do something. It returns whether it is known to have been done.
func (n *chaosNode) do(what string, f func(ctx context.Context) error) bool {
	c, o := n.chaos, &outcome{}
	c.tell("node %d: %s", n.number, what)
	err := f(context.WithValue(c.t.Context(), outcomeKey{}, o))
	var refused *pgconn.PgError
	switch {
	case o.over():
		c.tell("node %d restarts (%+v)", n.number, *o)
		n.restart()
		return false
	case errors.As(err, &refused) && refused.Code == "55P03": // lock_not_available
		c.tell("node %d: %s had to wait too long", n.number, what)
		return false
	case err != nil:
		c.fail("node %d: %s: %v", n.number, what, err)
	}
	return true
}

// TraceQueryStart is called before each statement.
func (n *chaosNode) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	o, _ := ctx.Value(outcomeKey{}).(*outcome)
	switch {
	case o == nil || data.SQL == "rollback":
		return ctx
	case o.over():
		return over(ctx)
	case strings.HasPrefix(data.SQL, "begin"):
		return ctx
	case data.SQL == "commit":
		return context.WithValue(ctx, commitKey{}, true)
	case conn.PgConn().TxStatus() == 'I': // a transaction of its own
		ctx = context.WithValue(ctx, commitKey{}, true)
	}
	return n.interrupt(ctx, o)
}

// TraceBatchStart is called before several statements that are sent together.
func (n *chaosNode) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	o, _ := ctx.Value(outcomeKey{}).(*outcome)
	switch {
	case o == nil:
		return ctx
	case o.over():
		return over(ctx)
	}
	return n.interrupt(ctx, o)
}

type commitKey struct{}

// over keeps a statement from being sent.
func over(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// TraceQueryEnd is called behind each statement. What was committed stands, but its caller may not hear of it.
func (n *chaosNode) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	o, _ := ctx.Value(outcomeKey{}).(*outcome)
	if o == nil || n.chaos.calm || ctx.Value(commitKey{}) == nil || data.Err != nil {
		return
	}
	if n.chaos.random.IntN(100) < 8 {
		n.chaos.tell("node %d crashes behind its commit", n.number)
		o.lost = true
	}
}

func (n *chaosNode) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (n *chaosNode) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// interrupt has something happen between two statements of a node.
func (n *chaosNode) interrupt(ctx context.Context, o *outcome) context.Context {
	c := n.chaos
	if c.calm {
		return ctx
	}
	switch chance := c.random.IntN(100); {
	case chance < 2: // a statement that is not sent any more: the transaction is undone
		c.tell("node %d crashes", n.number)
		o.crashed = true
		return over(ctx)
	case chance < 8 && c.depth < chaosDepth:
		c.depth++
		if c.random.IntN(3) == 0 {
			c.jump(time.Duration(c.random.IntN(40)) * time.Second)
		}
		c.act()
		c.depth--
	case chance < 10: // the database takes its time
		c.clock.add(time.Duration(c.random.IntN(20)) * time.Second)
	}
	return ctx
}
