package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// patience is how long tests wait for what must happen. Only failing tests wait for so long.
const patience = 40 * time.Second

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	// Beside the test's own binary, which go test removes with all that is there.
	self, err := os.Executable()
	if err == nil {
		binary = filepath.Join(filepath.Dir(self), "belfry")
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build belfry:", err)
		os.Exit(1)
	}
	pgtest.Main(m)
}

func build() error {
	cmd := exec.Command("go", "build", "-race", "-o", binary, "../cmd/belfry")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// seeSources looks at the files that the program is built from. Go test takes an earlier result for valid as long as
// nothing has changed that the tests looked at, and it doesn't know that they built something.
var seeSources = sync.OnceValue(func() error {
	return filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		if err == nil && entry.IsDir() && (name == "node_modules" || name == "bin" || strings.HasPrefix(name, ".") && name != "..") {
			return fs.SkipDir
		}
		if err == nil && !entry.IsDir() {
			_, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody's editor
		}
		return err
	})
})

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// eventuallyNone waits until nothing is left: for as long as something becomes of it, within reason.
func eventuallyNone(t testing.TB, what string, left func() (int, error)) {
	t.Helper()
	began, last := time.Now(), -1
	for deadline := began.Add(patience); ; time.Sleep(10 * time.Millisecond) {
		n, err := left()
		if err == nil && n == 0 {
			return
		}
		if err == nil && n != last && time.Since(began) < 3*patience {
			last, deadline = n, time.Now().Add(patience)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v after the last change there are %d %s (%v)", patience, n, what, err)
		}
	}
}
