package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const startTimeout = 30 * time.Second

// program is belfry, built from this checkout into a temporary folder.
type program struct{ folder, file string }

func build(ctx context.Context) (_ *program, err error) {
	p := &program{}
	if p.folder, err = os.MkdirTemp("", "belfry-bench-*"); err != nil {
		return nil, err
	}
	p.file = filepath.Join(p.folder, "belfry")
	command := exec.CommandContext(ctx, "go", "build", "-o", p.file, "github.com/belfryhq/belfry/cmd/belfry")
	if command.Dir, err = moduleFolder(ctx); err == nil {
		var out []byte
		if out, err = command.CombinedOutput(); err != nil {
			err = fmt.Errorf("build belfry: %w\n%s", err, out)
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

func (p *program) remove() error { return os.RemoveAll(p.folder) }

// served is a running belfry serve.
type served struct {
	address string // host:port
	command *exec.Cmd
	logged  <-chan error // ends with the log
}

// serve starts the program on a free port of the loopback interface.
func (p *program) serve(database string) (*served, error) {
	s := &served{}
	return s, s.start(p.file, database)
}

// moduleFolder is where Belfry's own module is: the command's dependencies are in its go.mod, not all in ours.
func moduleFolder(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/belfryhq/belfry").Output()
	if err != nil {
		return "", fmt.Errorf("find Belfry's source (run this in the folder bench): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (s *served) start(file, database string) error {
	s.command = exec.Command(file, "serve", "--listen", "127.0.0.1:0")
	s.command.Env = append(os.Environ(), "BELFRY_DATABASE_URL="+database, "BELFRY_REDIS_URL=")
	stderr, err := s.command.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return err
	}
	listening, logged := make(chan string, 1), make(chan error, 1)
	s.logged = logged
	go func() { logged <- follow(stderr, listening) }()
	select {
	case s.address = <-listening:
		return nil
	case err = <-logged:
		err = fmt.Errorf("belfry serve ended at its start: %w", err)
	case <-time.After(startTimeout):
		err = fmt.Errorf("belfry serve was not ready within %s", startTimeout)
	}
	_ = s.command.Process.Kill()
	_ = s.command.Wait() // it was killed
	return err
}

// follow reads the log: where the program listens, and passes on whatever is worse than news.
func follow(log io.Reader, listening chan<- string) error {
	lines := bufio.NewScanner(log)
	last := "no log"
	for lines.Scan() {
		var entry struct{ Level, Msg, Listen string }
		last = lines.Text()
		if json.Unmarshal(lines.Bytes(), &entry) != nil || entry.Level == "WARN" || entry.Level == "ERROR" {
			fmt.Fprintln(os.Stderr, "belfry serve:", last)
		}
		if entry.Msg == "serving" {
			listening <- entry.Listen
		}
	}
	return errors.New(last)
}

// stop ends the program.
func (s *served) stop() error {
	_ = s.command.Process.Signal(syscall.SIGTERM) // Wait tells if it has ended by itself
	kill := time.AfterFunc(stopTimeout, func() { _ = s.command.Process.Kill() })
	defer kill.Stop()
	<-s.logged // the log is read to its end before Wait closes it
	return s.command.Wait()
}
