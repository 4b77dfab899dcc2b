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
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	redisStartTimeout = 20 * time.Second
	redisStarts       = 5 // tries, because another program may take a free port before the server does
)

// Redis is a private redis-server on a unix socket, without persistence.
type Redis struct {
	URL string // unix:///…, or redis:// if it is a node of a cluster, for realtime.RedisConfig

	t             testing.TB
	binary        string
	socket        string
	args          []string // besides those that every server gets
	port, busPort int      // of a node of a cluster

	mu      sync.Mutex
	process *exec.Cmd // nil while stopped
	exited  chan struct{}
	log     bytes.Buffer
}

// StartRedis starts a server that lives until the end of the test. It fails the test, rather than skip it, when
// there is no redis-server on PATH or in .belfry/bin of the repository.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	return start(t, func(r *Redis, _ string) {
		r.URL = "unix://" + r.socket
		r.args = []string{"--port", "0"}
	})
}

// StartRedisTCP is StartRedis on a port, for what can't be done to a unix socket.
func StartRedisTCP(t testing.TB) *Redis {
	t.Helper()
	return start(t, func(r *Redis, _ string) {
		r.port = freePort(t)
		r.URL = "redis://127.0.0.1:" + strconv.Itoa(r.port)
		r.args = []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(r.port)}
	})
}

// StartSentinel starts a replica of the server, which must be of StartRedisTCP, and a sentinel that has it take over when
// the server dies. It returns the sentinel.
func StartSentinel(t testing.TB, master *Redis, name string) *Redis {
	t.Helper()
	replica := StartRedisTCP(t)
	if reply, err := replica.Do("REPLICAOF 127.0.0.1 " + strconv.Itoa(master.port)); err != nil || reply[0] != "+OK" {
		t.Fatalf("realtimetest: REPLICAOF: %q, %v", reply, err)
	}
	sentinel := start(t, func(r *Redis, dir string) {
		r.port = freePort(t)
		r.URL = "redis://127.0.0.1:" + strconv.Itoa(r.port) + "?master_set=" + name
		conf := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("bind 127.0.0.1\nport %d\nsentinel monitor %s 127.0.0.1 %d 1\nsentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 2000\n",
			r.port, name, master.port, name, name)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.args = []string{conf, "--sentinel"}
	})
	for deadline := time.Now().Add(redisStartTimeout); ; time.Sleep(20 * time.Millisecond) {
		known, err := sentinel.Do("SENTINEL REPLICAS " + name)
		state, err2 := replica.Do("INFO replication")
		if err == nil && err2 == nil && slices.Contains(known, strconv.Itoa(replica.port)) && slices.Contains(state, "master_link_status:up") {
			return sentinel
		}
		if time.Now().After(deadline) {
			t.Fatalf("realtimetest: the sentinel doesn't know the replica: %q, %v, %v", known, err, err2)
		}
	}
}

func start(t testing.TB, configure func(r *Redis, dir string)) *Redis {
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
	r := &Redis{t: t, binary: binary, socket: filepath.Join(dir, "redis.sock")}
	t.Cleanup(func() {
		r.Stop()
		_ = os.RemoveAll(dir)
	})
	began := time.Now()
	for try := 1; ; try++ {
		configure(r, dir)
		if err = r.start(); err == nil {
			return r
		}
		if try == redisStarts || time.Since(began) > redisStartTimeout {
			t.Fatal(err)
		}
	}
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
	<-r.exited
	r.process = nil
}

// Restart kills the server if it runs, and starts an empty one at the same address.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Stop()
	if err := r.start(); err != nil {
		r.t.Fatal(err)
	}
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

// Do sends one inline command, such as "PUBSUB NUMSUB channel", and returns the lines of the reply as they are.
func (r *Redis) Do(command string) ([]string, error) {
	conn, err := net.DialTimeout("unix", r.socket, time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	// The second reply marks the end, which spares us a parser.
	if _, err := fmt.Fprintf(conn, "%s\r\nPING end-of-reply\r\n", command); err != nil {
		return nil, err
	}
	var lines []string
	scanner := bufio.NewScanner(conn)
	for scanner.Scan() {
		if scanner.Text() == "end-of-reply" {
			return lines[:len(lines)-1], nil // without its length line
		}
		lines = append(lines, scanner.Text())
	}
	return nil, errors.Join(errors.New("realtimetest: redis-server hung up"), scanner.Err())
}

func (r *Redis) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = os.Remove(r.socket)
	r.log.Reset()
	r.process = exec.Command(r.binary, append(r.args, "--unixsocket", r.socket, "--save", "", "--appendonly", "no",
		"--dir", filepath.Dir(r.socket), "--daemonize", "no")...)
	r.process.Stdout, r.process.Stderr = &r.log, &r.log
	if err := r.process.Start(); err != nil {
		return fmt.Errorf("realtimetest: start %s: %w", r.binary, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = r.process.Wait()
		close(exited)
	}()
	r.exited = exited
	for deadline := time.Now().Add(redisStartTimeout); ; {
		reply, err := r.Do("PING")
		if err == nil && len(reply) == 1 && reply[0] == "+PONG" {
			return nil
		}
		select {
		case <-exited:
			r.process = nil
			return fmt.Errorf("realtimetest: %s ended at once; perhaps somebody took its port\n%s", r.binary, r.log.String())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = r.process.Process.Kill()
			<-exited
			r.process = nil
			return fmt.Errorf("realtimetest: %s did not answer within %v: %v %q\n%s", r.binary, redisStartTimeout, err, reply, r.log.String())
		}
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
