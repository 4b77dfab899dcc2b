package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

const defaultEndpoint = "/graphql"

// Content types by extension. Written down because the mime package's depend on files of the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// page is an index.html that was filled in once, and the assets beside it.
type page struct {
	index  asset
	assets map[string]asset // by name
	policy policy
}

type asset struct {
	body        []byte
	contentType string
	hash        string
}

// policy is what a page's Content-Security-Policy says beyond the strict one that all pages share.
type policy map[string]string

// newPage takes index.html and all other files of the folders, the first folder that has a name winning.
func newPage(files fs.FS, folders []string, config any, csp policy) *page {
	p := &page{assets: map[string]asset{}, policy: csp}
	var index []byte
	for _, folder := range folders {
		entries, err := fs.ReadDir(files, folder)
		if err != nil {
			panic(fmt.Sprintf("web: %v", err)) // embedded: can't be missing in a binary that was built
		}
		for _, entry := range entries {
			name := entry.Name()
			if _, taken := p.assets[name]; taken || entry.IsDir() {
				continue
			}
			body, err := fs.ReadFile(files, path.Join(folder, name))
			if err != nil {
				panic(fmt.Sprintf("web: %v", err))
			}
			if name == "index.html" {
				index = body
				continue
			}
			p.assets[name] = newAsset(name, body)
		}
	}
	p.index = newAsset("index.html", p.fill(index, config))
	return p
}

func newAsset(name string, body []byte) asset {
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		contentType = mime.TypeByExtension(path.Ext(name))
	}
	sum := sha256.Sum256(body)
	return asset{body, contentType, hex.EncodeToString(sum[:8])}
}

// fill runs index.html as a template: {{.Config}} becomes JSON inside its script element, {{asset "x"}} the address of
// an asset, with its version.
func (p *page) fill(index []byte, config any) []byte {
	if _, err := json.Marshal(config); err != nil { // the template would say so in a comment only
		panic(fmt.Sprintf("web: the page's configuration: %v", err))
	}
	funcs := template.FuncMap{"asset": func(name string) (string, error) {
		a, ok := p.assets[name]
		if !ok {
			return "", fmt.Errorf("no asset %q", name)
		}
		return name + "?v=" + a.hash, nil
	}}
	var out bytes.Buffer
	t := template.Must(template.New("index.html").Funcs(funcs).Parse(string(index)))
	if err := t.Execute(&out, struct{ Config any }{config}); err != nil {
		panic(fmt.Sprintf("web: index.html: %v", err))
	}
	return out.Bytes()
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this is a page: GET it", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch a, ok := p.assets[name]; {
	case name == "":
		p.headers(w, r)
		serve(w, r, p.index, "private, no-cache") // it may hold a key
	case !ok:
		http.NotFound(w, r)
	case r.URL.Query().Get("v") == a.hash:
		p.headers(w, r)
		serve(w, r, a, "public, max-age=31536000, immutable")
	default: // modules import each other without a version
		p.headers(w, r)
		serve(w, r, a, "no-cache")
	}
}

func serve(w http.ResponseWriter, r *http.Request, a asset, cache string) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", cache)
	etag := `"` + a.hash + `"`
	h.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(a.body)))
	if r.Method == http.MethodGet {
		w.Write(a.body)
	}
}

// plainHost is a Host header that can stand in a policy: not every client sends a well-formed one.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

func (p *page) headers(w http.ResponseWriter, r *http.Request) {
	connect := "'self'"
	if plainHost.MatchString(r.Host) { // some browsers don't take WebSockets for 'self'
		connect += " ws://" + r.Host + " wss://" + r.Host
	}
	directives := []string{
		"default-src 'none'", "script-src 'self'", "img-src 'self' data:", "connect-src " + connect,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}
	for _, name := range []string{"style-src", "font-src"} {
		if sources, ok := p.policy[name]; ok {
			directives = append(directives, name+" "+sources)
		}
	}
	h := w.Header()
	h.Set("Content-Security-Policy", strings.Join(directives, "; "))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
