// Command belfry is the whole server: `belfry dev` to try it, `belfry serve` to run it, and the commands that make
// environments and keys. Nothing is decided here: config.go says what can be configured, wire.go connects the packages.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	_ "time/tzdata" // recipients' time zones, on machines without the database of them

	"github.com/alecthomas/kong"
)

// gcPercent is GOGC's default here. What lives is small beside what a burst of runs allocates and drops: letting the heap grow
// to three times of what lives, not twice, saves about a tenth of the processor time, and nothing is lost when idle.
const gcPercent = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "belfry:", err)
		os.Exit(1)
	}
}

// run parses the arguments and runs the command they name.
func run(ctx context.Context, args []string) error {
	var commands commands
	parser, err := kong.New(&commands,
		kong.Name("belfry"),
		kong.Description("Self-hosted, realtime GraphQL notifications: in-app feeds that never miss, never double and never lag."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(os.Stdout, (*io.Writer)(nil)),
		kong.Vars{"listen": ":8080"},
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w (see belfry --help)", err)
	}
	return parsed.Run()
}
