package postgres_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/belfryhq/belfry/postgres"
)

// The kernel's parent-death signal follows threads, not processes: a server
// that was asked for on a thread that ends must not end with it.
func TestPrivateSurvivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	var p *postgres.Private
	var err error
	onAThreadThatEnds(func() {
		p, err = postgres.StartPrivate(t.Context(), postgres.PrivateConfig{})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stopPrivate(t, p)
	select {
	case <-p.Done():
		t.Fatal("the server ended with the thread")
	case <-time.After(500 * time.Millisecond): // it would have ended at once
	}
	query(t, p.URL(), `select 'alive'`)
}

// onAThreadThatEnds runs fn on a thread that is gone soon after it returns.
func onAThreadThatEnds(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine,
		if syscall.Gettid() == syscall.Getpid() {
			onAThreadThatEnds(fn) // unless it is the process's first, which Go keeps
			return
		}
		fn()
	}()
	<-done
}
