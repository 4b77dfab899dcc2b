//go:build unix

package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	temporaryPattern = "belfry-postgres-*"
	// A temporary folder that nobody has locked for this long was left by a
	// killed process.
	abandonedAfter = 10 * time.Minute

	// The longest path of a Unix socket: 107 bytes on Linux, 103 on macOS.
	maxSocketPath = 103
	socketFile    = ".s.PGSQL.5432"

	settleTimeout = 20 * time.Second
)

// home is the folder of a private server:
//
//	lock     held while a process of ours uses the folder; has its process id
//	data/    PostgreSQL's own
//	socket/  unless its path is too long
type home struct {
	dir       string
	data      string
	socket    string
	temporary bool                // remove dir at the end
	owner     *syscall.Credential // who runs the server; nil: us
	programs  programs
	lock      *os.File
}

// openHome finds the programs, chooses and makes the folder, and locks it.
func openHome(ctx context.Context, dir string) (*home, error) {
	h := &home{temporary: dir == ""}
	if err := h.place(ctx, dir); err != nil {
		return nil, err
	}
	if err := h.acquire(); err != nil {
		return nil, err
	}
	if err := h.makeFolders(); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// place sets dir, data, owner and programs.
func (h *home) place(ctx context.Context, dir string) error {
	candidates, err := h.candidates(dir)
	if err != nil {
		return err
	}
	for _, dir := range candidates {
		h.dir, h.data = dir, filepath.Join(dir, "data")
		if h.owner, err = ownerFor(h.data); err != nil {
			return err
		}
		major, err := dataVersion(h.data)
		if err != nil {
			return err
		}
		if h.programs, err = findPrograms(ctx, h.owner, major); err != nil {
			if major != 0 {
				return fmt.Errorf("the data in %s was written by PostgreSQL %d: %w\n"+
					"Install that version, or delete %s to start with an empty database", h.data, major, err, h.dir)
			}
			return err
		}
		if h.temporary {
			sweep(dir)
			if h.dir, err = os.MkdirTemp(dir, temporaryPattern); err != nil {
				continue
			}
			h.data = filepath.Join(h.dir, "data")
		} else if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the folder of the private PostgreSQL: %w", err)
		}
		if h.reachable(ctx) {
			return nil
		}
		if h.temporary {
			_ = os.RemoveAll(h.dir)
		}
	}
	return fmt.Errorf("no folder that user id %d, under which PostgreSQL must run, can enter: tried %s. "+
		"Move the checkout out of a private home folder such as /root, or do not run as root",
		h.owner.Uid, strings.Join(candidates, ", "))
}

// candidates lists where the home may be: parents of a temporary one, or the
// folder itself and, for root, a stand-in that unprivileged users can enter.
func (h *home) candidates(dir string) ([]string, error) {
	if h.temporary {
		return []string{os.TempDir(), "/tmp", "/var/tmp"}, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return []string{dir}, nil
	}
	sum := sha256.Sum256([]byte(dir))
	return []string{dir, fmt.Sprintf("/var/lib/belfry/dev-%x", sum[:4])}, nil
}

// reachable tells whether the server's user can enter dir.
func (h *home) reachable(ctx context.Context) bool {
	if h.owner == nil {
		return true
	}
	if h.temporary { // made by MkdirTemp for us alone
		if err := os.Chown(h.dir, int(h.owner.Uid), int(h.owner.Gid)); err != nil {
			return false
		}
	}
	cmd := command(filepath.Join(h.programs.bin, "postgres"), h.owner, syscall.SIGKILL, "--version")
	cmd.Dir = h.dir
	_, err := run(ctx, cmd)
	return err == nil
}

// acquire takes the folder's lock, which ends with this process however it ends.
func (h *home) acquire() error {
	path := filepath.Join(h.dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("lock the folder of the private PostgreSQL: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return fmt.Errorf("%s is in use by another belfry (process %s): stop that one, or use another folder",
			h.dir, strings.TrimSpace(string(holder)))
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintln(f, os.Getpid())
	h.lock = f
	return nil
}

func (h *home) makeFolders() error {
	h.socket = filepath.Join(h.dir, "socket")
	if len(h.socket)+len("/"+socketFile) > maxSocketPath {
		short, err := os.MkdirTemp("/tmp", "belfry-socket-*")
		if err != nil {
			return fmt.Errorf("make a folder for the socket: %w", err)
		}
		h.socket = short
	}
	for _, dir := range []string{h.data, h.socket} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the folder of the private PostgreSQL: %w", err)
		}
		if h.owner != nil {
			if err := os.Lchown(dir, int(h.owner.Uid), int(h.owner.Gid)); err != nil {
				return fmt.Errorf("hand %s to user id %d: %w", dir, h.owner.Uid, err)
			}
		}
	}
	return nil
}

// close gives the folder up. The server must have ended.
func (h *home) close() error {
	var err error
	if filepath.Dir(h.socket) != h.dir && h.socket != "" {
		err = os.RemoveAll(h.socket)
	}
	if h.temporary {
		err = errors.Join(err, os.RemoveAll(h.dir))
	}
	return errors.Join(err, h.lock.Close())
}

func (h *home) command(name string, sig syscall.Signal, args ...string) *exec.Cmd {
	cmd := command(filepath.Join(h.programs.bin, name), h.owner, sig, args...)
	cmd.Dir = h.data
	return cmd
}

// initialize creates an empty database cluster, once.
func (h *home) initialize(ctx context.Context, durable bool) error {
	if major, err := dataVersion(h.data); major != 0 || err != nil {
		return err
	}
	// Left by an initdb that was killed: without PG_VERSION it is no data yet,
	// and initdb refuses a folder that is not empty.
	leftovers, err := os.ReadDir(h.data)
	if err != nil {
		return err
	}
	for _, entry := range leftovers {
		if err := os.RemoveAll(filepath.Join(h.data, entry.Name())); err != nil {
			return err
		}
	}
	args := []string{"-D", h.data, "-U", privateUser, "-A", "trust", "-E", "UTF8", "--locale=C"}
	if !durable {
		args = append(args, "--no-sync")
	}
	if out, err := run(ctx, h.command("initdb", syscall.SIGKILL, args...)); err != nil {
		return fmt.Errorf("initdb in %s: %w\n%s", h.data, err, out)
	}
	return nil
}

// settle frees the data folder from a server whose parent was killed. Holding
// the lock, we know that no living process of ours owns it.
func (h *home) settle(ctx context.Context) error {
	pidFile := filepath.Join(h.data, "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if err != nil {
		return nil // no server, or none that wrote its file yet
	}
	pid, ok := leadingInt(string(content))
	if !ok || pid <= 1 || !alive(pid) {
		return nil // PostgreSQL clears that away itself
	}
	if !strings.Contains(commandLine(ctx, pid), h.data) {
		// The number belongs to a stranger now, or to a zombie. PostgreSQL
		// would take it for a running server and refuse to start.
		return os.Remove(pidFile)
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	_ = syscall.Kill(pid, syscall.SIGINT)
	for alive(pid) && strings.Contains(commandLine(ctx, pid), h.data) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("an orphaned PostgreSQL (process %d) holds %s and does not stop: kill it", pid, h.data)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// ownerFor decides who runs the server: nil is ourselves.
func ownerFor(data string) (*syscall.Credential, error) {
	info, err := os.Lstat(data)
	exists := err == nil
	var uid, gid uint32
	if exists {
		st := info.Sys().(*syscall.Stat_t)
		uid, gid = st.Uid, st.Gid
	}
	if me := os.Geteuid(); me != 0 {
		if exists && int(uid) != me {
			return nil, fmt.Errorf("%s belongs to user id %d and we are user id %d: "+
				"it was made by root or somebody else; delete it as that user, or run as root", data, uid, me)
		}
		return nil, nil
	}
	if exists && uid != 0 {
		return &syscall.Credential{Uid: uid, Gid: gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as: " +
		"create one (useradd --system postgres), or do not run as root")
}

// dataVersion is the major version that wrote the data; 0: there is none.
func dataVersion(data string) (int, error) {
	content, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, ok := leadingInt(string(content))
	if !ok {
		return 0, fmt.Errorf("%s/PG_VERSION says %q: the data is damaged; restore or delete it", data, content)
	}
	return major, nil
}

// sweep removes temporary homes in parent that killed processes left behind.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, temporaryPattern))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < abandonedAfter {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// commandLine is how pid was started, "" when that cannot be told.
func commandLine(ctx context.Context, pid int) string {
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		return string(line)
	}
	line, _ := exec.CommandContext(ctx, "ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return string(line)
}
