package belfry_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/belfryhq/belfry"

// rules says which of our packages a folder may import, and why no more. A folder without a rule of its own takes that
// of the nearest folder above it. "" is the root package; "x/..." is x and everything below it.
var rules = map[string]struct {
	may []string
	why string
}{
	"":                      {nil, "the vocabulary: everybody imports it, so it imports nobody"},
	"cmd/belfry":            {[]string{"..."}, "the one place that knows everyone, so that nobody else has to"},
	"graph":                 {[]string{"", "graph/...", "workflow/...", "engine", "recipient", "feed", "delivery", "analytics", "auth", "internal/pull"}, "an edge decodes, calls the domain and wraps: with SQL or sockets at hand it would start to decide"},
	"engine":                {[]string{"", "workflow/...", "recipient", "postgres", "internal/..."}, "a run decides what is to be told; who tells it is plugged in by wire.go, so channels can come and go"},
	"feed":                  {[]string{"", "postgres", "internal/..."}, "feeds must not know where messages come from or how they travel"},
	"delivery":              {[]string{"", "postgres", "internal/...", "workflow/condition", "workflow/template"}, "delivery must not know who decided to send"},
	"delivery/provider":     {[]string{"", "delivery", "internal/..."}, "a vendor's adapter must be readable, and removable, alone"},
	"recipient":             {[]string{"", "postgres", "internal/...", "workflow/calendar", "workflow/condition", "workflow/template"}, "recipients are there before anything happens to them"},
	"analytics":             {[]string{"", "postgres", "internal/..."}, "it observes; what it observes must work without it"},
	"auth":                  {[]string{"", "postgres", "internal/..."}, "who is asking must be known before anything else is touched"},
	"workflow":              {[]string{"", "workflow/..."}, "the language has no I/O: previews, validation and the engine share it"},
	"workflow/condition":    {[]string{""}, "conditions are also used where there are no workflows"},
	"workflow/template":     {[]string{"", "workflow/locale"}, "templates are also used where there are no workflows"},
	"realtime":              {[]string{"internal/..."}, "it knows bytes and positions, not notifications"},
	"realtime/realtimetest": {[]string{"realtime", "internal/..."}, "the conformance suite of buses"},
	"postgres":              {[]string{"", "internal/..."}, "plumbing below every store: a store's rules don't belong here"},
	"postgres/pgtest":       {[]string{"", "postgres", "internal/..."}, "test databases"},
	"internal":              {[]string{"internal/..."}, "plumbing that a newcomer never needs to learn"},
	"web":                   {nil, "pages and their assets: what they show comes from the API, like anybody else's"},
	"web/preference":        {[]string{"", "recipient"}, "a page for people without a key or a script can't come from the API: like graph it is an edge, which reads a form, calls the domain and renders"},
	"test":                  {[]string{"", "postgres/...", "realtime/realtimetest", "graph", "engine", "feed"}, "end to end: it drives real processes, and takes from packages no more than the limits they promise"},
}

// testsMay is what tests may import beyond their package's rule.
var testsMay = []string{"postgres", "postgres/pgtest", "realtime/realtimetest"}

func TestImportsFollowTheRules(t *testing.T) {
	t.Parallel()
	for file, imports := range goFiles(t) {
		dir := path.Dir(file)
		if dir == "." {
			dir = ""
		}
		owner, rule := dir, rules[dir]
		for owner != "" {
			if r, ok := rules[owner]; ok {
				rule = r
				break
			}
			if owner = path.Dir(owner); owner == "." {
				owner = ""
				t.Errorf("%s: the folder %s has no rule: add one with its reason to architecture_test.go", file, dir)
			}
		}
		for _, imported := range imports {
			target, ours := strings.CutPrefix(imported, module)
			target = strings.TrimPrefix(target, "/")
			if !ours || target == dir || allowed(rule.may, target) {
				continue
			}
			if strings.HasSuffix(file, "_test.go") && allowed(testsMay, target) {
				continue
			}
			t.Errorf("%s imports %q, but %s may not: %s", file, imported, owner, rule.why)
		}
		if dir == "" && !strings.HasSuffix(file, "_test.go") {
			for _, imported := range imports {
				if strings.Contains(strings.Split(imported, "/")[0], ".") {
					t.Errorf("%s imports %q: the vocabulary uses the standard library only", file, imported)
				}
			}
		}
	}
}

func allowed(may []string, target string) bool {
	return slices.ContainsFunc(may, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
			return strings.HasPrefix(target+"/", prefix)
		}
		return pattern == target
	})
}

func TestEveryPackageIsDocumentedOnce(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	for file := range goFiles(t) {
		dir := path.Dir(file)
		if docs[dir] == nil {
			docs[dir] = []string{}
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Doc != nil {
			docs[dir] = append(docs[dir], file)
		}
	}
	for dir, files := range docs {
		if generated[dir] || onlyTests(t, dir) {
			continue
		}
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, in %v: it needs exactly one", dir, len(files), files)
		}
	}
}

// generated are folders that people don't write in.
var generated = map[string]bool{"graph/generated": true}

// maxLines is how long a file may be before it has to be two.
const maxLines = 600

func TestFilesStaySmall(t *testing.T) {
	t.Parallel()
	for file := range goFiles(t) {
		if generated[path.Dir(file)] || strings.HasSuffix(file, "_gen.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by what its parts are about", file, n, maxLines)
		}
	}
}

func TestNoPackageIsCalledAfterNothing(t *testing.T) {
	t.Parallel()
	for file := range goFiles(t) {
		for _, part := range strings.Split(path.Dir(file), "/") {
			if slices.Contains([]string{"util", "utils", "common", "shared", "helpers", "models", "types", "pkg"}, part) {
				t.Errorf("%s: %q says nothing about what is inside", file, part)
			}
		}
	}
}

// Business SQL takes time from the injected clock: a test, a replay and a second node then agree on what time it is.
func TestBusinessSQLTakesTimeFromTheClock(t *testing.T) {
	t.Parallel()
	for file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") || generated[path.Dir(file)] || !strings.HasSuffix(file, "store.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"now()", "current_timestamp", "clock_timestamp"} {
			if bytes.Contains(bytes.ToLower(b), []byte(word)) {
				t.Errorf("%s: SQL must not call %s: pass the time", file, word)
			}
		}
	}
}

// goFiles returns every Go file of the module with what it imports, by slash-separated path.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != "." && err == nil {
				return fs.SkipDir // a module of its own
			}
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		imports := []string{}
		for _, i := range parsed.Imports {
			imports = append(imports, strings.Trim(i.Path.Value, `"`))
		}
		files[filepath.ToSlash(name)] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: is this the module's root?", len(files))
	}
	return files
}

// onlyTests reports whether a folder holds tests alone, which need no package comment.
func onlyTests(t *testing.T, dir string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(names, func(n string) bool { return !strings.HasSuffix(n, "_test.go") })
}
