//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// programs is a folder with PostgreSQL's server programs.
type programs struct {
	bin   string
	major int
}

const howToInstall = `PostgreSQL's server programs (initdb and postgres, version %d or newer) are needed. Install them:
  Debian, Ubuntu   apt-get install postgresql
  Fedora, RHEL     dnf install postgresql-server
  Alpine           apk add postgresql
  Arch             pacman -S postgresql
  macOS            brew install postgresql
or run scripts/setup in a checkout of Belfry, or set BELFRY_POSTGRES_BIN to the folder that holds them,
or set BELFRY_DATABASE_URL to use a server that runs already.`

// systemFolders is where packages put the server programs off the PATH. Among
// the matches of one pattern the highest version wins.
var systemFolders = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/local/pgsql/bin",                               // from source
	"/usr/pgsql-*/bin",                                   // RPM of postgresql.org
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew, Apple silicon
	"/usr/local/opt/postgresql*/bin",                     // Homebrew, Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew, Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
}

// findPrograms returns the first usable installation: runnable by owner (nil:
// us), new enough, and of version wantMajor unless that is 0.
func findPrograms(ctx context.Context, owner *syscall.Credential, wantMajor int) (programs, error) {
	folders, only := searchFolders()
	var unfit []string
	for _, bin := range folders {
		if !isFile(filepath.Join(bin, "postgres")) || !isFile(filepath.Join(bin, "initdb")) {
			if only {
				unfit = append(unfit, bin+": no initdb and postgres there")
			}
			continue
		}
		major, err := askVersion(ctx, bin, owner)
		switch {
		case err != nil:
			unfit = append(unfit, fmt.Sprintf("%s: %v", bin, err))
		case wantMajor != 0 && major != wantMajor:
			unfit = append(unfit, fmt.Sprintf("%s: version %d, but the data is of version %d", bin, major, wantMajor))
		case major < MinMajor:
			unfit = append(unfit, fmt.Sprintf("%s: version %d, Belfry needs %d or newer", bin, major, MinMajor))
		default:
			return programs{bin: bin, major: major}, nil
		}
	}
	found := ""
	if len(unfit) > 0 {
		found = "\nfound, but not usable:\n  " + strings.Join(unfit, "\n  ")
	}
	if wantMajor != 0 {
		return programs{}, fmt.Errorf("no PostgreSQL %d found%s", wantMajor, found)
	}
	return programs{}, fmt.Errorf(howToInstall+"%s", MinMajor, found)
}

// searchFolders lists candidates, best first. only is true when the user named
// the one to use.
func searchFolders() (folders []string, only bool) {
	if bin := os.Getenv("BELFRY_POSTGRES_BIN"); bin != "" {
		return []string{bin}, true
	}
	if root, err := checkout(); err == nil {
		folders = append(folders, filepath.Join(root, ".belfry", "pgsql", "bin"))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	for _, pattern := range systemFolders {
		matches, _ := filepath.Glob(pattern) // the patterns are constants and valid
		slices.SortFunc(matches, func(a, b string) int { return majorIn(b) - majorIn(a) })
		folders = append(folders, matches...)
	}
	return folders, false
}

// checkout is the working directory, or the Go module around it: tests run in
// their package's folder, and programs unpacked by scripts/setup are at the top.
func checkout() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if isFile(filepath.Join(dir, "go.mod")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return wd, nil
		}
	}
}

// askVersion runs `postgres --version`, which also proves that owner can run it.
func askVersion(ctx context.Context, bin string, owner *syscall.Credential) (major int, err error) {
	cmd := command(filepath.Join(bin, "postgres"), owner, syscall.SIGKILL, "--version")
	cmd.Dir = "/"
	out, err := run(ctx, cmd)
	if errors.Is(err, os.ErrPermission) && owner != nil {
		return 0, fmt.Errorf("user id %d, under which the server would run, cannot reach it", owner.Uid)
	}
	if err != nil {
		return 0, fmt.Errorf("%w %s", err, strings.TrimSpace(out))
	}
	_, version, _ := strings.Cut(out, "(PostgreSQL) ") // postgres (PostgreSQL) 15.18 (Debian 15.18-0)
	major, ok := leadingInt(version)
	if !ok {
		return 0, fmt.Errorf("cannot read its version from %q", out)
	}
	return major, nil
}

// command prepares a child that runs as owner, out of reach of the terminal's
// Ctrl-C (we shut it down ourselves, last), and that gets sig when we die.
func command(path string, owner *syscall.Credential, sig syscall.Signal, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	// TZ spares initdb a search through all time zones for the local one.
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + filepath.Dir(path) + ":/usr/local/bin:/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: owner}
	dieWithParent(cmd.SysProcAttr, sig)
	return cmd
}

// majorIn finds the version in a path such as /usr/lib/postgresql/15/bin.
func majorIn(path string) int {
	for i := range path {
		if n, ok := leadingInt(path[i:]); ok {
			return n
		}
	}
	return 0
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
