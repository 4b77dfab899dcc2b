package graph_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Generating again must change nothing: then what is committed is what the schema says. It is done in a copy, so a
// failing test leaves no trace.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	for _, dir := range []string{"analytics", "auth", "delivery", "engine", "feed", "graph", "internal", "postgres", "realtime", "recipient", "workflow"} {
		if err := os.CopyFS(filepath.Join(work, dir), os.DirFS(filepath.Join(root, dir))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(root, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			continue
		}
		copyFile(t, file, filepath.Join(work, filepath.Base(file)))
	}
	generate := exec.CommandContext(t.Context(), "go", "tool", "gqlgen", "generate")
	generate.Dir = work
	generate.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false")
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("gqlgen: %v\n%s", err, out)
	}
	err = filepath.WalkDir(filepath.Join(work, "graph"), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		rel, err := filepath.Rel(work, name)
		if err != nil {
			return err
		}
		fresh, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		committed, err := os.ReadFile(filepath.Join(root, rel))
		if err != nil || !bytes.Equal(fresh, committed) {
			t.Errorf("%s is not what the schema says: run make generate and commit what it changes", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
