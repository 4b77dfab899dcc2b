package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is a belfry that was started.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *output // standard output
	log    *output // standard error
	exited chan struct{}
	killed bool
}

// output is what a program has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// settings are environment variables of a program: BELFRY_…
type settings map[string]string

// start runs belfry. prepare may change the command, such as its folder.
func start(t *testing.T, s settings, args []string, prepare ...func(*exec.Cmd)) *program {
	t.Helper()
	if err := seeSources(); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.Command(binary, args...), out: &output{}, log: &output{}, exited: make(chan struct{})}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "BELFRY_") {
			p.cmd.Env = append(p.cmd.Env, kv)
		}
	}
	// The race detector would have every program sleep for a second at its end.
	p.cmd.Env = append(p.cmd.Env, "GORACE=atexit_sleep_ms=0")
	for k, v := range s {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	p.cmd.WaitDelay = time.Second // a grandchild may hold the pipes
	p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	dieWithUs(p.cmd.SysProcAttr)
	for _, f := range prepare {
		f(p.cmd)
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // or the program might die with a thread, long before us
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // ProcessState says how it ended
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start belfry %s: %v", strings.Join(args, " "), err)
	}
	t.Cleanup(p.cleanUp)
	return p
}

// cleanUp ends the program as an operator would, and fails the test if it isn't sound.
func (p *program) cleanUp() {
	if p.running() {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			p.t.Errorf("belfry ended with code %d after SIGTERM", code)
		}
	}
	log := p.log.String()
	for _, trouble := range []string{"DATA RACE", "panic", "fatal error", `"level":"ERROR"`} {
		if at := strings.Index(log, trouble); at >= 0 && !p.killed {
			p.t.Errorf("the log of belfry %v has %q:\n%.3000s", p.cmd.Args[1:], trouble, log[max(0, at-200):])
			return
		}
	}
	if p.t.Failed() {
		p.t.Logf("log of belfry %v:\n%s", p.cmd.Args[1:], log[max(0, len(log)-3000):])
	}
}

func (p *program) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the program as a crash of its machine would.
func (p *program) kill() {
	p.killed = true
	p.signal(syscall.SIGKILL)
	p.wait()
}

// wait returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT) // has Go print where it hangs
		select {
		case <-p.exited:
		case <-time.After(time.Second):
			p.signal(syscall.SIGKILL)
		}
		p.t.Fatalf("belfry %v doesn't end:\n%s", p.cmd.Args[1:], p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// node is a belfry serve.
type node struct {
	*program
	address string // host:port
}

// serve starts a node and waits until it serves.
func serve(t *testing.T, databaseURL string, more ...settings) *node {
	t.Helper()
	all := settings{"BELFRY_DATABASE_URL": databaseURL, "BELFRY_LISTEN": "127.0.0.1:0", "BELFRY_PUBLIC_URL": publicURL}
	for _, s := range more {
		for k, v := range s {
			all[k] = v
		}
	}
	n := &node{program: start(t, all, []string{"serve"})}
	eventually(t, "belfry serves", func() bool {
		if !n.running() {
			t.Fatalf("belfry serve ended:\n%s", n.log)
		}
		n.address = n.logged("serving")["listen"]
		return n.address != ""
	})
	return n
}

// logged returns the fields of the first log line with a message; nil if there is none yet.
func (n *node) logged(message string) map[string]string {
	for line := range strings.Lines(n.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			out := make(map[string]string)
			for k, v := range fields {
				out[k], _ = v.(string)
			}
			return out
		}
	}
	return nil
}

// url is the address of a path.
func (n *node) url(path string) string { return "http://" + n.address + path }
