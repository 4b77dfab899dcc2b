//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres"
)

func TestPrivateKeepsItsDataBetweenRuns(t *testing.T) {
	t.Parallel()
	dir := privateDir(t)

	p := startPrivate(t, dir)
	query(t, p.URL(), `create table kept as select 42 as answer`)
	if got := query(t, p.URL(), `select current_setting('fsync')`); got != "on" {
		t.Errorf("fsync of a durable server = %v, want on", got)
	}
	stopPrivate(t, p)

	p = startPrivate(t, dir)
	if got := query(t, p.URL(), `select answer::text from kept`); got != "42" {
		t.Errorf("after a restart answer = %v, want 42", got)
	}
}

func TestPrivateTemporaryFolderIsGoneAfterStop(t *testing.T) {
	t.Parallel()
	p := startPrivate(t, "")
	dir := p.Dir()
	if got := query(t, p.URL(), `select current_setting('fsync') || current_setting('max_connections')`); got != "off300" {
		t.Errorf("fsync, max_connections of a throw-away server = %v, want off, 300", got)
	}
	stopPrivate(t, p)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("Done is not closed after Stop")
	}
}

func TestPrivateRefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	dir := privateDir(t)
	startPrivate(t, dir)

	_, err := postgres.StartPrivate(t.Context(), postgres.PrivateConfig{Dir: dir, Durable: true})
	want := fmt.Sprintf("in use by another belfry (process %d)", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("second server on one folder: %v, want %q", err, want)
	}
}

func TestPrivateNamesAForeignVersionOfTheData(t *testing.T) {
	t.Parallel()
	dir := privateDir(t)
	stopPrivate(t, startPrivate(t, dir))
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.StartPrivate(t.Context(), postgres.PrivateConfig{Dir: dir, Durable: true})
	if err == nil || !strings.Contains(err.Error(), "written by PostgreSQL 9") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error = %v, want it to name version 9 and %s", err, dir)
	}
}

func TestPrivateSaysWhatToInstall(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("BELFRY_POSTGRES_BIN", empty)
	_, err := postgres.StartPrivate(t.Context(), postgres.PrivateConfig{})
	for _, want := range []string{"apt-get install postgresql", "brew install postgresql", "BELFRY_DATABASE_URL", empty} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want it to mention %q", err, want)
		}
	}
}

func TestPrivateShowsTheServersOwnWords(t *testing.T) {
	t.Parallel()
	_, err := postgres.StartPrivate(t.Context(), postgres.PrivateConfig{
		Settings: map[string]string{"shared_buffers": "much"},
	})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("error = %v, want PostgreSQL's reason", err)
	}
}

func TestPrivateWithALongPathStillHasASocket(t *testing.T) {
	t.Parallel()
	p := startPrivate(t, filepath.Join(privateDir(t), strings.Repeat("long", 30)))
	query(t, p.URL(), `select 'hello'`)
}

func TestPrivateAsRootMovesOutOfAFolderThatItsUserCannotEnter(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: anybody else runs the server as themselves")
	}
	dir := filepath.Join(privateDir(t), "closed", "postgres")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	p := startPrivate(t, dir)
	t.Cleanup(func() { _ = os.RemoveAll(p.Dir()) })
	t.Cleanup(func() { stopPrivate(t, p) })
	if p.Dir() == dir {
		t.Errorf("the data is in %s, which the server's user cannot enter", dir)
	}
	query(t, p.URL(), `create table kept as select 'here' as place`)
	stopPrivate(t, p)

	p = startPrivate(t, dir)
	if got := query(t, p.URL(), `select place from kept`); got != "here" {
		t.Errorf("after a restart place = %v, want here: the folder must be found again", got)
	}
}

const helperDir = "BELFRY_TEST_PRIVATE_DIR"

// serveUntilKilled is what this program does instead of testing when helperDir is set: it is the process that the next
// test kills.
func serveUntilKilled(dir string) {
	p, err := postgres.StartPrivate(context.Background(), postgres.PrivateConfig{Dir: dir, Durable: dir != ""})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("\nserver %d %s %s\n", p.Process(), p.URL(), p.Dir())
	select {} // until killed
}

func TestPrivateDiesWithAKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has parent-death signals; elsewhere the next start stops the orphan")
	}
	for name, dir := range map[string]string{"durable": privateDir(t), "throw-away": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			helper, server, url := startHelper(t, dir)
			query(t, url, `create table kept as select 'safe' as word`)

			_ = helper.Process.Kill()
			_ = helper.Wait()
			if dir == "" {
				eventually(t, "the server ends", func() bool { return !running(server) })
				return
			}
			// At once: the old server may still be shutting down.
			p := startPrivate(t, dir)
			eventually(t, "the old server is gone", func() bool { return !running(server) })
			if got := query(t, p.URL(), `select word from kept`); got != "safe" {
				t.Errorf("committed data after the crash = %v, want safe", got)
			}
		})
	}
}

func TestPrivateRecoversFromAStaleProcessFile(t *testing.T) {
	t.Parallel()
	dir := privateDir(t)
	stopPrivate(t, startPrivate(t, dir))
	// As after a power cut, with the number taken over by a stranger: us.
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	stale := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n", os.Getppid(), filepath.Join(dir, "data"), dir)
	if err := os.WriteFile(pidFile, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	query(t, startPrivate(t, dir).URL(), `select 'fine'`)
}

func startHelper(t *testing.T, dir string) (helper *exec.Cmd, server int, url string) {
	t.Helper()
	helper = exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperDir+"="+dir)
	helper.Stderr = os.Stderr
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = helper.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var home string
		if _, err := fmt.Sscanf(lines.Text(), "server %d %s %s", &server, &url, &home); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(home) })
			return helper, server, url
		}
	}
	t.Fatalf("the helper ended before its server was up: %v", helper.Wait())
	return nil, 0, ""
}

// privateDir is a folder that the server's user can enter when we are root,
// which t.TempDir is not.
func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "belfry-test-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startPrivate(t *testing.T, dir string) *postgres.Private {
	t.Helper()
	p, err := postgres.StartPrivate(t.Context(), postgres.PrivateConfig{Dir: dir, Durable: dir != ""})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopPrivate(t, p) })
	return p
}

func stopPrivate(t *testing.T, p *postgres.Private) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// query runs one statement on a connection of its own and returns its first value.
func query(t *testing.T, url, sql string) any {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var value any
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("in 20 s it did not come about that %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
