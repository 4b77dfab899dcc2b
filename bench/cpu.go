package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit in which Linux counts the processor time of a process.
const tick = 10 * time.Millisecond

// cpuTime is how long this process has been computing, on all processors together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpu is how long all processes of PostgreSQL have been computing, those that have ended too. 0 where there is no /proc to
// read it from.
func (s *server) cpu(ctx context.Context) (time.Duration, error) {
	var pid int
	if err := s.admin.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return 0, err
	}
	backend, err := readProcess(strconv.Itoa(pid))
	if err != nil {
		return 0, nil
	}
	postmaster, err := readProcess(backend.parent)
	if err != nil {
		return 0, err
	}
	sum := postmaster.own + postmaster.ended
	all, err := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if p, err := readProcess(filepath.Base(dir)); err == nil && p.parent == backend.parent { // it may have ended meanwhile
			sum += p.own
		}
	}
	return sum, err
}

// process is what /proc/<pid>/stat says, by proc(5).
type process struct {
	parent     string
	own, ended time.Duration // processor time: its own, and that of children that have ended
}

func readProcess(pid string) (process, error) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return process{}, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // no process of PostgreSQL has a bracket in its name
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return process{}, fmt.Errorf("/proc/%s/stat: %q", pid, b)
	}
	times := [4]time.Duration{}
	for i := range times {
		n, err := strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("/proc/%s/stat: %w", pid, err)
		}
		times[i] = time.Duration(n) * tick
	}
	return process{fields[1], times[0] + times[1], times[2] + times[3]}, nil
}
