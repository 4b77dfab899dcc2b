//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a child that ends with us.
type process struct {
	cmd    *exec.Cmd
	tail   *tail
	exited chan struct{} // closed once err is set
	err    error
}

// spawn starts cmd, whose output goes to log (when not nil) and to the tail.
func spawn(cmd *exec.Cmd, log io.Writer) (*process, error) {
	p := &process{cmd: cmd, tail: &tail{}, exited: make(chan struct{})}
	out := io.Writer(p.tail)
	if log != nil {
		out = io.MultiWriter(p.tail, log)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = killTimeout // a straggler may hold our pipe open
	started := make(chan error, 1)
	go func() {
		// The parent-death signal fires when the *thread* that started the
		// child ends, so this goroutine keeps its thread until the child is
		// gone. It is never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run waits for a short child to finish.
func run(ctx context.Context, cmd *exec.Cmd) (output string, err error) {
	p, err := spawn(cmd, nil)
	if err != nil {
		return "", err
	}
	select {
	case <-p.exited:
		return p.tail.String(), p.err
	case <-ctx.Done():
		_ = p.stop(ctx, syscall.SIGKILL)
		return p.tail.String(), ctx.Err()
	}
}

// stop asks with sig, and kills when ctx ends first.
func (p *process) stop(ctx context.Context, sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
	}
	// SIGQUIT lets PostgreSQL take its own children along; SIGKILL does not.
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.exited:
	case <-time.After(killTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return fmt.Errorf("%s did not stop in time and was killed: %w", p.cmd.Path, ctx.Err())
}

// stopSignal is what ends the server well: a clean shutdown where the data is
// kept, the quickest end where it is thrown away.
func stopSignal(h *home) syscall.Signal {
	if h.temporary {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

// tail keeps the last few lines of a program's output for error messages.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
