//go:build !unix

package postgres

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// The private server needs Unix sockets, file locks and user ids. Elsewhere
// `belfry serve` works, with a PostgreSQL of your own.

var errNoPrivate = errors.New("a private PostgreSQL needs Linux, macOS or another Unix: " +
	"install PostgreSQL, set BELFRY_DATABASE_URL and use `belfry serve` (or run everything in WSL)")

type home struct{ dir, data, socket string }

func openHome(context.Context, string) (*home, error)          { return nil, errNoPrivate }
func (h *home) settle(context.Context) error                   { return errNoPrivate }
func (h *home) initialize(context.Context, bool) error         { return errNoPrivate }
func (h *home) command(string, os.Signal, ...string) *exec.Cmd { return nil }
func (h *home) close() error                                   { return nil }
func stopSignal(*home) os.Signal                               { return os.Kill }

type process struct {
	exited chan struct{}
	err    error
	tail   string
}

func spawn(*exec.Cmd, any) (*process, error)             { return nil, errNoPrivate }
func (p *process) stop(context.Context, os.Signal) error { return nil }
