package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settleTime is for what a server does by itself once its clients are quiet.
const settleTime = 500 * time.Millisecond

// peer is a running server, as the load generator sees it.
type peer struct {
	name    string
	address string
	command *exec.Cmd
	in      io.WriteCloser

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	ended   chan struct{} // closed with its output
}

// startPeer starts a server in a process of its own and waits until it listens.
func startPeer(ctx context.Context, c peerConfig, node *nodePeer) (*peer, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &peer{name: c.Peer, waiting: map[int]chan answer{}, ended: make(chan struct{})}
	if c.Peer == "node" {
		p.command = node.command(string(config))
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p.command = exec.Command(self, peerArgument, string(config))
	}
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	first := p.expect(0)
	go p.listen(out)
	a, err := p.await(ctx, 0, first, startTimeout)
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.address = a.Address
	return p, nil
}

func (p *peer) listen(out io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, lines.Bytes())
			continue
		}
		p.mu.Lock()
		if to := p.waiting[a.ID]; to != nil {
			to <- a // there is room for one
			delete(p.waiting, a.ID)
		}
		p.mu.Unlock()
	}
}

func (p *peer) expect(id int) <-chan answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	to := make(chan answer, 1)
	p.waiting[id] = to
	return to
}

func (p *peer) await(ctx context.Context, id int, from <-chan answer, patience time.Duration) (answer, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case a := <-from:
		if a.Error != "" {
			return a, fmt.Errorf("%s: %s", p.name, a.Error)
		}
		return a, nil
	case <-p.ended:
		return answer{}, fmt.Errorf("%s ended before its answer %d", p.name, id)
	case <-late.C:
		return answer{}, fmt.Errorf("%s did not answer %d within %s", p.name, id, patience)
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
}

// do gives an order and waits until it has been followed.
func (p *peer) do(ctx context.Context, what string, load pour, patience time.Duration) (answer, error) {
	p.mu.Lock()
	p.next++
	o := order{ID: p.next, Do: what, pour: load}
	p.mu.Unlock()
	from := p.expect(o.ID)
	line, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return answer{}, err
	}
	return p.await(ctx, o.ID, from, patience)
}

// order has a pour done; it returns when the last of it has been.
func (p *peer) order(ctx context.Context, what string, load pour) error {
	_, err := p.do(ctx, what, load, framePatience+2*load.duration())
	return err
}

func (l pour) duration() time.Duration {
	return time.Duration(float64(l.Count) / float64(l.Rate) * float64(time.Second))
}

// stop ends the server, with its input.
func (p *peer) stop() error {
	_ = p.in.Close() // Wait tells what matters
	kill := time.AfterFunc(stopTimeout, func() { _ = p.command.Process.Kill() })
	defer kill.Stop()
	<-p.ended // the output is read to its end before Wait closes it
	return p.command.Wait()
}

// footprint is what a server holds.
type footprint struct {
	rss        int64 // bytes
	slab       int64 // bytes of the kernel's, of the whole machine
	goroutines int   // 0 if the server has none
}

// settle has the server give back what it doesn't need, and tells what is left.
func (p *peer) settle(ctx context.Context) (f footprint, err error) {
	if err := pause(ctx, settleTime); err != nil {
		return f, err
	}
	a, err := p.do(ctx, "settle", pour{}, requestTimeout)
	if err != nil {
		return f, err
	}
	f.goroutines = a.Goroutines
	if f.rss, err = procField(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid), "VmRSS:"); err != nil {
		return f, err
	}
	f.slab, err = procField("/proc/meminfo", "Slab:")
	return f, err
}

// procField is a size in bytes from one of the kernel's lists in kB; 0 where the system has none.
func procField(file, field string) (int64, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("\n"+field))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("%s has no %s", file, field)
	}
	kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return kb << 10, err
}

// cpu is how long the server has been computing.
func (p *peer) cpu() (time.Duration, error) {
	of, err := readProcess(strconv.Itoa(p.command.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return of.own, err
}

// computing is how long the server computes meanwhile.
func (p *peer) computing(meanwhile func() error) (time.Duration, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := meanwhile(); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return after - before, err
}

// open is which of the clients at these addresses the server is still connected to, by the kernel's list: none where the
// system has no such list.
func (p *peer) open(clients []*net.TCPAddr) (int, error) {
	server, err := net.ResolveTCPAddr("tcp", p.address)
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile("/proc/net/tcp")
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	const established = "01"
	entries := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[3] == established {
			entries[fields[1]+" "+fields[2]] = true
		}
	}
	open := 0
	for _, c := range clients {
		if entries[procAddress(server)+" "+procAddress(c)] {
			open++
		}
	}
	return open, nil
}

// procAddress is an IPv4 address as /proc/net/tcp spells it: the number in the order of this machine's bytes.
func procAddress(a *net.TCPAddr) string {
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(a.IP.To4()), a.Port)
}

// raiseFileLimit lets this process open as many files as it may. Where that is too few, connecting says so.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}
