package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags. What has no size isn't measured.
type options struct {
	rounds     int
	users      int
	sockets    sockets
	loads      []load
	pace       pace
	backlog    backlog
	accept     pace
	flood      flood
	crowd      crowd
	preferred  load // done with and without preferences
	durable    bool
	feeds      collection
	cpuProfile string
}

// options of a full run, which takes about twenty minutes on two cores, and of a quick one, which takes seconds and shows only
// that everything works.
var (
	full = options{rounds: 3, users: 10_000, durable: true,
		loads: []load{
			{&plain, "1000 a call", 240_000, 1000, 2, time.Millisecond}, {&plain, "1 a call", 9000, 1, 16, 100 * time.Millisecond},
			{&gathered, "1000 a call", 30_000, 1000, 2, time.Millisecond}, {&delayed, "1000 a call", 30_000, 1000, 2, time.Millisecond}},
		sockets: fullSockets,
		pace:    pace{rate: 500, duration: 8 * time.Second, subscribers: 50},
		backlog: backlog{runs: 1_000_000, pace: pace{rate: 100, duration: 5 * time.Second}},
		accept:  pace{rate: 50, duration: 3 * time.Second},
		flood:   flood{triggers: 100, recipients: 1000, rounds: 2, pace: pace{rate: 50, duration: 5 * time.Second, subscribers: 20}},
		crowd:   crowd{subscribers: 1_000_000, pace: pace{rate: 50, duration: 5 * time.Second, subscribers: 20}},

		preferred: load{&plain, "1000 a call", 240_000, 1000, 2, 0},
		feeds:     collection{small: 100_000, large: 10_000_000, each: 1000, calls: 1000}}
	quick = options{rounds: 1, users: 1000, durable: true,
		loads: []load{
			{&plain, "1000 a call", 4000, 1000, 2, time.Millisecond}, {&plain, "1 a call", 500, 1, 16, 100 * time.Millisecond},
			{&gathered, "1000 a call", 5000, 1000, 2, time.Millisecond}, {&delayed, "1000 a call", 2000, 1000, 2, time.Millisecond}},
		sockets: quickSockets,
		pace:    pace{rate: 50, duration: time.Second, subscribers: 10},
		backlog: backlog{runs: 20_000, pace: pace{rate: 50, duration: 500 * time.Millisecond}},
		accept:  pace{rate: 50, duration: 500 * time.Millisecond},
		flood:   flood{triggers: 5, recipients: 1000, rounds: 1, pace: pace{rate: 50, duration: time.Second, subscribers: 10}},
		crowd:   crowd{subscribers: 20_000, pace: pace{rate: 50, duration: time.Second, subscribers: 10}},

		preferred: load{&plain, "1000 a call", 4000, 1000, 2, 0},
		feeds:     collection{small: 5000, large: 50_000, each: 1000, calls: 50}}
)

// parts are what can be measured alone.
var parts = []string{"throughput", "latency", "pending", "accept", "fanout", "subscribers", "preferences", "feeds", "sockets"}

func main() {
	if bePeer(os.Args[1:]) {
		return
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // as belfry does; river's client has the same
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what the arguments say. The report goes to out, progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	small := flags.Bool("quick", false, "small sizes: shows that it works, not how fast")
	markdown := flags.Bool("markdown", false, "print tables for README.md")
	rounds := flags.Int("rounds", 0, "`times` that each side is measured (default 4, quick 2)")
	subscribers := flags.Int("subscribers", 0, "`how many` are subscribed to the object (default 1000000, quick 20000)")
	rate := flags.Int("rate", 0, "triggers a second when latency is measured (default 500, quick 50)")
	only := flags.String("only", "", "measure only `one` of "+strings.Join(parts, ", "))
	profile := flags.String("cpuprofile", "", "profile the throughput measurements into this `file` (go tool pprof -tagfocus side=Belfry)")
	applySockets := socketFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	o := full
	if *small {
		o = quick
	}
	if *rounds != 0 {
		o.rounds, o.flood.rounds = *rounds, min(*rounds, 2)
	}
	if *rate != 0 {
		o.pace.rate = *rate
	}
	if *subscribers != 0 {
		o.crowd.subscribers = *subscribers
	}
	switch {
	case o.crowd.subscribers < 1 || o.crowd.subscribers > 10_000_000:
		return errors.New("-subscribers must be 1 to 10000000")
	case o.rounds < 1 || o.rounds > 100:
		return errors.New("-rounds must be 1 to 100")
	case o.pace.rate < 1 || o.pace.rate > 20_000:
		return errors.New("-rate must be 1 to 20000")
	case *only != "" && !slices.Contains(parts, *only):
		return errors.New("-only must be one of " + strings.Join(parts, ", "))
	}
	if err := applySockets(&o.sockets); err != nil {
		return err
	}
	o.cpuProfile = *profile
	o.only(*only)
	report, err := o.measure(ctx, progress)
	if ctx.Err() != nil {
		return errors.New("interrupted; everything was stopped and removed")
	}
	if err != nil {
		return err
	}
	if *markdown {
		return report.markdown(out)
	}
	return report.text(out)
}

// only drops the sizes of everything else. Empty drops nothing.
func (o *options) only(what string) {
	for _, part := range parts {
		if what == "" || what == part {
			continue
		}
		switch part {
		case "sockets":
			o.sockets.peers = nil
		case "throughput":
			o.loads = nil
		case "latency":
			o.pace.duration = 0
		case "pending":
			o.backlog.runs = 0
		case "accept":
			o.accept.duration = 0
		case "fanout":
			o.flood.triggers = 0
		case "subscribers":
			o.crowd.subscribers = 0
		case "preferences":
			o.preferred.units = 0
		case "feeds":
			o.feeds.large = 0
		}
	}
}

// measure starts the server, measures everything on it, and stops it.
func (o options) measure(ctx context.Context, progress io.Writer) (_ *report, err error) {
	r := &report{options: o, machine: fmt.Sprintf("%d CPUs, %s %s/%s, load average %s before", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, loadAverage())}
	fmt.Fprintln(progress, "Starting PostgreSQL …")
	s, err := startServer(ctx, o.durable)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if r.server, err = s.settings(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintln(progress, r.server)
	fmt.Fprintln(progress, r.machine)
	if err := o.measureAll(ctx, s, r, progress); err != nil {
		return nil, err
	}
	r.machine += fmt.Sprintf(", %s after", loadAverage())
	return r, nil
}

func (o options) measureAll(ctx context.Context, s *server, r *report, progress io.Writer) (err error) {
	var p *program
	if o.pace.duration > 0 || o.flood.triggers > 0 || o.crowd.subscribers > 0 {
		fmt.Fprintln(progress, "Building belfry …")
		if p, err = build(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.remove()) }()
	}
	if len(o.loads) > 0 {
		if r.throughput, err = o.throughput(ctx, s, progress); err != nil {
			return err
		}
	}
	if o.pace.duration > 0 {
		if r.latency, err = o.latency(ctx, s, p, progress); err != nil {
			return err
		}
	}
	if o.backlog.runs > 0 {
		if r.pending, err = o.pendingRuns(ctx, s, progress); err != nil {
			return err
		}
	}
	if o.accept.duration > 0 {
		if r.acceptance, err = o.acceptances(ctx, s, progress); err != nil {
			return err
		}
	}
	if o.flood.triggers > 0 {
		if r.fanOut, err = o.floods(ctx, s, p, progress); err != nil {
			return err
		}
	}
	if o.crowd.subscribers > 0 {
		if r.crowded, err = o.crowds(ctx, s, p, progress); err != nil {
			return err
		}
	}
	if len(o.sockets.peers) > 0 {
		if r.sockets, err = o.socketPeers(ctx, s, progress); err != nil {
			return err
		}
	}
	if o.preferred.units > 0 {
		if r.sets, err = o.preferences(ctx, s, progress); err != nil {
			return err
		}
	}
	if o.feeds.large > 0 {
		if r.sizes, err = o.feedsBySize(ctx, s, progress); err != nil {
			return err
		}
	}
	return nil
}

// throughput has both sides take turns at every load.
func (o options) throughput(ctx context.Context, s *server, progress io.Writer) ([]comparison, error) {
	fmt.Fprintf(progress, "Identifying %d users …\n", o.users)
	belfry, err := newBelfrySide(ctx, s, "throughput_belfry", o.users)
	if err != nil {
		return nil, err
	}
	rivers := make([]*riverSide, len(o.loads))
	for i, l := range o.loads {
		if rivers[i], err = newRiverSide(ctx, s, fmt.Sprintf("throughput_river_%d", i), l.cooldown); err != nil {
			return nil, err
		}
	}
	stopProfile, err := profileTo(o.cpuProfile)
	if err != nil {
		return nil, err
	}
	defer stopProfile()
	out := make([]comparison, len(o.loads))
	for round := range o.rounds {
		for i, l := range o.loads {
			out[i].load = l
			pair := [2]sample{}
			for j, side := range []contender{belfry, rivers[i]} {
				fmt.Fprintf(progress, "round %d/%d, %s, %s, %d by %s: ", round+1, o.rounds, l.task.name, l.name, l.units, side.name())
				pprof.Do(ctx, pprof.Labels("side", side.name()), func(ctx context.Context) {
					pair[j], err = measure(ctx, s, side, &l)
				})
				if err != nil {
					fmt.Fprintln(progress)
					return nil, err
				}
				fmt.Fprintf(progress, "%.0f/s\n", pair[j].rate())
			}
			out[i].pairs = append(out[i].pairs, pair)
		}
	}
	return out, nil
}

// loadAverage is what the system says, where it does.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
