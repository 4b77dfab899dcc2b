package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/web"
)

var demoConfig = web.DemoConfig{
	PublicKey: "pk_demo_1",
	SecretKey: "sk_demo_1",
	Users:     []web.DemoUser{{ID: "ana", Name: "Ana Lima", AvatarColor: "#b3541e"}},
	Workflows: []web.DemoWorkflow{{Key: "order-shipped", Title: "</script><script>alert(1)</script>", Data: json.RawMessage(`{"z":1,"a":"2"}`)}},
}

var graphiqlConfig = web.GraphiQLConfig{
	Headers: map[string]string{"Authorization": "Bearer sk_demo_1"},
	Tabs:    web.DemoTabs("ana", demoConfig.Workflows[0]),
}

// site mounts both pages as the server does.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/demo/", http.StripPrefix("/demo", web.Demo(demoConfig)))
	mux.Handle("/graphiql/", http.StripPrefix("/graphiql", web.GraphiQL(graphiqlConfig)))
	return mux
}

func get(t *testing.T, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost:8080"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	site().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestPagesLoadOnlyWhatIsServed(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"/demo/", "/graphiql/"} {
		_, html := get(t, page)
		links := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(html, -1)
		assets := 0
		for _, link := range links {
			name, version, versioned := strings.Cut(link[1], "?v=")
			if !versioned {
				continue
			}
			assets++
			res, _ := get(t, page+name+"?v="+version)
			if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s%s: status %d, Cache-Control %q", page, link[1], res.StatusCode, res.Header.Get("Cache-Control"))
			}
		}
		if assets < 3 {
			t.Errorf("%s links %d versioned assets, want a script, a style sheet and an icon at least", page, assets)
		}
	}
}

func TestEveryModuleOfTheDemoIsServed(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Glob("demo/*.js")
	if err != nil || len(modules) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	imports := regexp.MustCompile(`from '\./([^']+)'`)
	for _, module := range modules {
		res, body := get(t, "/"+module)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%s: status %d, Content-Type %q", module, res.StatusCode, res.Header.Get("Content-Type"))
		}
		for _, match := range imports.FindAllStringSubmatch(body, -1) {
			if !slices.Contains(modules, "demo/"+match[1]) {
				t.Errorf("%s imports %s, which is not there", module, match[1])
			}
		}
	}
}

func TestNothingComesFromAnotherHost(t *testing.T) {
	t.Parallel()
	// Only what a browser would fetch by itself: not links that people follow, nor names of XML namespaces.
	loads := regexp.MustCompile(`(?i)(?:url\(\s*["']?|@import\s+["']?|src\s*=\s*["']?|<link[^>]+href\s*=\s*["']?|from\s+["'])(?:https?:)?//[^"')\s]+`)
	for _, pattern := range []string{"demo/*", "graphiql/index.html", "graphiql/icon.svg", "graphiql/dist/*.css"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := loads.Find(b); found != nil {
				t.Errorf("%s loads %q", file, found)
			}
			if strings.Contains(string(b), "sourceMappingURL") {
				t.Errorf("%s points to a source map, which is not served", file)
			}
		}
	}
}

func TestPolicyForbidsEverythingElse(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"/demo/", "/graphiql/", "/demo/demo.js"} {
		res, _ := get(t, page)
		csp := strings.Split(res.Header.Get("Content-Security-Policy"), "; ")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
			"connect-src 'self' ws://localhost:8080 wss://localhost:8080",
		} {
			if !slices.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", page, csp, want)
			}
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", page)
		}
	}
	res, _ := get(t, "/demo/")
	if csp := res.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") {
		t.Errorf("the demo's policy is loose: %q", csp)
	}
}

func TestPolicyIsNotMadeByTheClient(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/demo/", nil)
	r.Host = "evil; script-src *"
	w := httptest.NewRecorder()
	site().ServeHTTP(w, r)
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "evil") {
		t.Errorf("the Host header came into the policy: %q", csp)
	}
}

func TestConfigIsInThePageAndInert(t *testing.T) {
	t.Parallel()
	_, html := get(t, "/demo/")
	if strings.Contains(html, "<script>alert") {
		t.Error("a workflow's title got out of the JSON")
	}
	raw := regexp.MustCompile(`(?s)id="config">(.*?)</script>`).FindStringSubmatch(html)
	if raw == nil {
		t.Fatal("no configuration in the page")
	}
	var got web.DemoConfig
	if err := json.Unmarshal([]byte(raw[1]), &got); err != nil {
		t.Fatalf("%v in %s", err, raw[1])
	}
	if got.Endpoint != "/graphql" || got.TokenEndpoint != "/demo/token" || got.GraphiQL != "/graphiql/" || got.Title != "Belfry" {
		t.Errorf("defaults: %+v", got)
	}
	if w := got.Workflows[0]; w.Title != demoConfig.Workflows[0].Title || string(w.Data) != `{"z":1,"a":"2"}` {
		t.Errorf("workflow came as %+v: titles must survive, and fields keep their order", w)
	}
	if _, html := get(t, "/graphiql/"); !strings.Contains(html, "Bearer sk_demo_1") || !strings.Contains(html, "feedEvents") {
		t.Error("GraphiQL is not told its headers and tabs")
	}
}

func TestUnchangedAssetsAreNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/demo/", "/demo/demo.js", "/graphiql/graphiql.js"} {
		first, _ := get(t, path)
		again, body := get(t, path, "If-None-Match", first.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s: status %d and %d bytes for a known ETag", path, again.StatusCode, len(body))
		}
	}
	if res, _ := get(t, "/demo/demo.js?v=old"); strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Error("a stale version is cached for ever")
	}
}

func TestOnlyPagesAndOnlyReading(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/demo/nope.js", "/demo/index.html/", "/demo/../web_test.go", "/graphiql/build.mjs", "/graphiql/src/main.jsx"} {
		if res, _ := get(t, path); res.StatusCode == 200 {
			t.Errorf("%s is served", path)
		}
	}
	w := httptest.NewRecorder()
	site().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/demo/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
}

func TestConfigThatCannotBeShownIsRefused(t *testing.T) {
	t.Parallel()
	broken := demoConfig
	broken.Workflows = []web.DemoWorkflow{{Key: "order-shipped", Data: json.RawMessage(`{"a":`)}}
	empty := demoConfig
	empty.Users = nil
	for name, cfg := range map[string]web.DemoConfig{"data is not JSON": broken, "no user": empty} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the page is served, and would not work", name)
				}
			}()
			web.Demo(cfg)
		}()
	}
}
