package test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// development is a belfry dev.
type development struct {
	*program
	address  string
	database string // URL
	postgres int    // process id of the private PostgreSQL
}

// dev starts belfry dev in a folder and waits until it says that it is ready.
func dev(t *testing.T, folder string, prepare ...func(*exec.Cmd)) *development {
	t.Helper()
	in := func(cmd *exec.Cmd) {
		cmd.Dir = folder
		cmd.SysProcAttr.Setpgid = true // a terminal of its own, for Ctrl-C
	}
	d := &development{program: start(t, settings{"BELFRY_LISTEN": "127.0.0.1:0"}, []string{"dev"}, append(prepare, in)...)}
	eventually(t, "belfry dev is ready", func() bool {
		if !d.running() {
			t.Fatalf("belfry dev ended:\n%s%s", d.out, d.log)
		}
		return strings.Contains(d.out.String(), "Ctrl-C")
	})
	d.address = find(t, d.out.String(), `Demo +http://([^/]+)/`)
	d.database = find(t, d.out.String(), `Database +(\S+)`)
	conn, err := pgx.Connect(t.Context(), d.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var pidFile string
	if err := conn.QueryRow(t.Context(), `SELECT pg_read_file('postmaster.pid')`).Scan(&pidFile); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(pidFile, "\n")
	if d.postgres, err = strconv.Atoi(first); err != nil {
		t.Fatal(err)
	}
	return d
}

// expectNoPostgres waits until the private PostgreSQL has gone.
func (d *development) expectNoPostgres(t *testing.T) {
	t.Helper()
	eventually(t, "PostgreSQL has gone", func() bool {
		if syscall.Kill(d.postgres, 0) != nil {
			return true
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(d.postgres) + "/stat")
		return err == nil && regexp.MustCompile(`^\d+ \(.*\) Z`).Match(stat) // dead, only its parent hasn't noticed
	})
}

func (d *development) backend() caller { return caller{d.address, "sk_demo_belfry", ""} }

// folder is one that every user may enter, and its owner write into.
func folder(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "belfry-dev-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDev(t *testing.T) {
	t.Parallel()
	dir := folder(t, os.Getuid())
	d := dev(t, dir)
	d.servesItsPages(t)
	d.demoUserIsNotified(t)

	second := start(t, settings{"BELFRY_LISTEN": "127.0.0.1:0"}, []string{"dev"}, func(cmd *exec.Cmd) { cmd.Dir = dir })
	if code, said := second.wait(), second.log.String(); code != 1 || !strings.Contains(said, "in use by another belfry") {
		t.Errorf("a second start in the same folder: code %d\n%s", code, said)
	}
	taken := start(t, settings{"BELFRY_LISTEN": d.address}, []string{"dev"}, func(cmd *exec.Cmd) { cmd.Dir = folder(t, os.Getuid()) })
	if code, said := taken.wait(), taken.log.String(); code != 1 || !strings.Contains(said, "BELFRY_LISTEN") {
		t.Errorf("a start at the same address: code %d\n%s", code, said)
	}

	// A terminal sends Ctrl-C to all programs that were started from it.
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := d.wait(); code != 0 {
		t.Errorf("after Ctrl-C it ended with code %d:\n%s", code, d.log)
	}
	d.expectNoPostgres(t)
	if strings.Contains(d.log.String(), "level=ERROR") {
		t.Errorf("Ctrl-C caused errors:\n%s", d.log)
	}

	again := dev(t, dir)
	feed := ask[page](t, again.backend(), readFeed, vars{"ref": vars{"user": "ana"}})
	if feed.Items.Badge.Total != 1 {
		t.Errorf("after a restart there are %d items, want the one of before", feed.Items.Badge.Total)
	}
	again.kill()
	again.expectNoPostgres(t)

	third := dev(t, dir) // recovers, and with it what was written before the crash
	feed = ask[page](t, third.backend(), readFeed, vars{"ref": vars{"user": "ana"}})
	if feed.Items.Badge.Total != 1 {
		t.Errorf("after a crash there are %d items, want the one of before", feed.Items.Badge.Total)
	}
}

func (d *development) servesItsPages(t *testing.T) {
	t.Helper()
	for path, want := range map[string]string{
		"/": "pk_demo_belfry", "/graphiql/": "sk_demo_belfry", "/healthz": "ok", "/readyz": "ready", "/metrics": "belfry_triggers_total",
	} {
		if status, body := get(t, "http://"+d.address+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s = %d without %q: %.300s", path, status, want, body)
		}
	}
	got := caller{d.address, "", ""}.call(t, `{ __schema { queryType { name } } }`, nil)
	if string(got.Data) != `{"__schema":{"queryType":{"name":"Query"}}}` {
		t.Errorf("introspection got %s", got.raw)
	}
	for _, bad := range []string{"", "a/b"} {
		if status, _ := get(t, "http://"+d.address+"/demo/token?user="+bad); status != http.StatusBadRequest {
			t.Errorf("a token for %q: status %d, want 400", bad, status)
		}
	}
}

// demoUserIsNotified does what the demo page does.
func (d *development) demoUserIsNotified(t *testing.T) {
	t.Helper()
	_, body := get(t, "http://"+d.address+"/demo/token?user=ana")
	var issued struct{ Token string }
	if err := json.Unmarshal([]byte(body), &issued); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	device := caller{d.address, "pk_demo_belfry", issued.Token}.connect(t).follow(t, "")
	device.expect(t, "FeedSynced")
	a := ask[accepted](t, d.backend(), triggerWorkflow, vars{"input": vars{
		"workflow": "comment-mention", "recipients": users("ana"), "actor": vars{"user": "ben"},
		"data": vars{"document": "Plan", "comment": "Look!", "url": "/documents/1"}}})
	if a.Trigger.RecipientCount != 1 {
		t.Errorf("accepted = %+v", a)
	}
	if e := device.expect(t, "FeedItemUpserted"); !strings.Contains(e.Item.text(), "Look!") {
		t.Errorf("the item is %+v", e.Item)
	}
}

// Most people aren't root. (Where the tests aren't either, TestDev has shown this.)
func TestDevOfAnUnprivilegedUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("TestDev ran as an unprivileged user")
	}
	const nobody = 65534
	dir := folder(t, nobody)
	program := filepath.Join(dir, "belfry") // theirs: ours is in a folder that they can't enter
	copyFile(t, binary, program)
	d := dev(t, dir, func(cmd *exec.Cmd) {
		cmd.Path = program
		cmd.Env = append(cmd.Env, "HOME="+dir)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	})
	d.demoUserIsNotified(t)
	info, err := os.Stat(filepath.Join(dir, ".belfry", "postgres", "data", "PG_VERSION"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
		t.Errorf("the data isn't theirs: %v", err)
	}
	d.kill()
	d.expectNoPostgres(t)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
}

// A folder that the user postgres can't enter, such as one in root's home, is replaced by one that it can.
func TestDevInAPrivateFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t, os.Getuid())
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := dev(t, dir)
	d.demoUserIsNotified(t)
	if os.Getuid() == 0 {
		conn, err := pgx.Connect(t.Context(), d.database)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(t.Context()))
		var data string
		if err := conn.QueryRow(t.Context(), `SHOW data_directory`).Scan(&data); err != nil {
			t.Fatal(err)
		}
		if home := filepath.Dir(data); strings.HasPrefix(home, "/var/lib/belfry/dev-") {
			t.Cleanup(func() { _ = os.RemoveAll(home) })
		} else {
			t.Errorf("the data is in %s, which the user postgres couldn't enter", data)
		}
	}
}
