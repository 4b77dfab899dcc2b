package template

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// conformanceRates are the shares of public suites that must pass, in percent, by the start of a file's name. What is
// missing is listed in docs/liquid.md.
var conformanceRates = map[string]float64{
	"core":                    99.5, // but for the order of objects' entries: all of it
	"golden_liquid":           98,
	"liquid_spec_basics":      99,
	"liquid_spec_liquid_ruby": 93,
	"liquid_spec_shopify":     93,
}

type conformanceTest struct {
	Name      string
	Template  string
	Data      json.RawMessage
	Templates Partials
	Result    *string
	Results   []string // any of them will do
	Invalid   bool     // an error is wanted
}

// TestConformance runs suites of Liquid templates that other implementations pass, in CONFORMANCE_DIR/liquid/data.
func TestConformance(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CONFORMANCE_DIR")
	if dir == "" {
		t.Skip("CONFORMANCE_DIR is not set: it names the folder that holds liquid/data/*.json, suites of the golden-liquid kind")
	}
	files, err := filepath.Glob(filepath.Join(dir, "liquid", "data", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, file := range files {
		name := filepath.Base(file)
		for suite, rate := range conformanceRates {
			if strings.HasPrefix(name, suite) && !strings.Contains(name, "schema") {
				ran++
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					conforms(t, file, rate)
				})
			}
		}
	}
	if ran == 0 {
		t.Fatalf("no suites in %s/liquid/data", dir)
	}
}

func conforms(t *testing.T, file string, rate float64) {
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct{ Tests []conformanceTest }
	if err := json.Unmarshal(content, &suite); err != nil {
		t.Fatal(err)
	}
	failed := map[string]int{}
	passed := 0
	for _, test := range suite.Tests {
		if test.passes(t) {
			passed++
		} else {
			failed[test.group()]++
			t.Logf("%s: %.200q", test.Name, test.Template)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(failed)) {
		t.Logf("%s: %d failed", group, failed[group])
	}
	got := 100 * float64(passed) / float64(len(suite.Tests))
	t.Logf("%d of %d pass: %.1f %%", passed, len(suite.Tests), got)
	if got < rate {
		t.Errorf("%.1f %% pass, fewer than %.1f %%", got, rate)
	}
}

// group is the start of a test's name: "tags: for".
func (c conformanceTest) group() string {
	parts := strings.SplitN(c.Name, ", ", 3)
	return strings.Join(parts[:min(len(parts), 2)], ": ")
}

func (c conformanceTest) passes(t *testing.T) bool {
	s := map[string]any{}
	if len(c.Data) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(c.Data))
		decoder.UseNumber()
		if err := decoder.Decode(&s); err != nil {
			t.Fatal(err)
		}
	}
	if s == nil {
		s = map[string]any{}
	}
	s["timestamp"] = "2024-01-01T00:00:00Z" // the suites' "now"
	compiled, err := CompileLax(c.Template, Text, c.Templates)
	out := ""
	if err == nil {
		out, err = compiled.Render(t.Context(), s)
	}
	switch {
	case c.Invalid:
		return err != nil
	case err != nil:
		return false
	case c.Result != nil:
		return out == *c.Result
	default:
		return slices.Contains(c.Results, out)
	}
}
