package realtimetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const redisStartTimeout = 20 * time.Second

// Redis is a private redis-server on a unix socket, without persistence.
type Redis struct {
	URL string // unix:///…, for realtime.RedisConfig

	t      testing.TB
	binary string
	socket string

	mu      sync.Mutex
	process *exec.Cmd // nil while stopped
	log     bytes.Buffer
}

// StartRedis starts a server that lives until the end of the test. It fails the test, rather than skip it, when
// there is no redis-server on PATH or in .belfry/bin of the repository.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	binary, err := findRedis()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir(): the paths of unix sockets are limited to about 100 bytes.
	dir, err := os.MkdirTemp("", "belfry-redis-")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "redis.sock")
	r := &Redis{URL: "unix://" + socket, t: t, binary: binary, socket: socket}
	t.Cleanup(func() {
		r.Stop()
		_ = os.RemoveAll(dir)
	})
	r.start()
	return r
}

// Stop kills the server, as a crash would. Stopping a stopped server is fine.
func (r *Redis) Stop() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return
	}
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
	r.process = nil
}

// Restart kills the server if it runs, and starts an empty one at the same address.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Stop()
	r.start()
}

// Freeze makes the server stop answering without closing its connections, until Thaw.
func (r *Redis) Freeze() { r.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (r *Redis) Thaw() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s os.Signal) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.process.Process.Signal(s); err != nil {
		r.t.Fatalf("realtimetest: signal redis-server: %v", err)
	}
}

// Do sends one inline command, such as "PUBSUB NUMSUB channel", and returns the lines of the reply up to and
// without the first that is empty. It knows simple replies and flat arrays only.
func (r *Redis) Do(command string) ([]string, error) {
	conn, err := net.DialTimeout("unix", r.socket, time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	// The ECHO marks the end, which spares us a parser.
	if _, err := fmt.Fprintf(conn, "%s\r\nECHO end-of-reply\r\n", command); err != nil {
		return nil, err
	}
	var lines []string
	scanner := bufio.NewScanner(conn)
	for scanner.Scan() {
		if scanner.Text() == "end-of-reply" {
			return lines[:len(lines)-1], nil // without the length line of the echo
		}
		lines = append(lines, scanner.Text())
	}
	return nil, errors.Join(errors.New("realtimetest: redis-server hung up"), scanner.Err())
}

func (r *Redis) start() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = os.Remove(r.socket)
	r.log.Reset()
	r.process = exec.Command(r.binary, "--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no",
		"--dir", filepath.Dir(r.socket), "--daemonize", "no")
	r.process.Stdout, r.process.Stderr = &r.log, &r.log
	if err := r.process.Start(); err != nil {
		r.t.Fatalf("realtimetest: start %s: %v", r.binary, err)
	}
	deadline := time.Now().Add(redisStartTimeout)
	for {
		reply, err := r.Do("PING")
		if err == nil && len(reply) == 1 && reply[0] == "+PONG" {
			return
		}
		if time.Now().After(deadline) {
			_ = r.process.Process.Kill()
			_ = r.process.Wait()
			r.process = nil
			r.t.Fatalf("realtimetest: %s did not answer within %v: %v %q\n%s", r.binary, redisStartTimeout, err, reply, r.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// findRedis looks for the server on PATH, then in .belfry/bin beside go.mod.
func findRedis() (string, error) {
	if path, err := exec.LookPath("redis-server"); err == nil {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			if path, err := exec.LookPath(filepath.Join(dir, ".belfry", "bin", "redis-server")); err == nil {
				return path, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("realtimetest: no redis-server on PATH or in .belfry/bin: install Redis 6 or newer (Debian: apt-get install redis-server, macOS: brew install redis)")
		}
		dir = parent
	}
}
