package test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// publicURL is what nodes here believe to be reached at. Links lead there, and tests follow them to the node itself.
const publicURL = "https://notify.example.com"

// reader is a node with Ana, who gets orders and offers of the tenant acme.
type reader struct {
	*testing.T
	node    *node
	db      string
	backend caller
}

func newReader(t *testing.T) *reader {
	t.Helper()
	db := pgtest.URL(t)
	n := serve(t, db)
	r := &reader{T: t, node: n, db: db, backend: newEnvironment(t, db, "production").backend(n)}
	ask[any](t, r.backend, identifyUser, vars{"input": vars{"id": "ana", "email": "ana@example.com"}})
	ask[any](t, r.backend, `mutation ($p: JSON!) { upsertTenant(input: {id: "acme", name: "Acme Books", properties: $p}) { tenant { id } } }`,
		vars{"p": vars{"settings": vars{"branding": vars{"primary_color": "#1F6F54", "primary_color_contrast": "#FFFFFF", "dark_primary_color": "#7FD1AE", "dark_primary_color_contrast": "#06251A"}}}})
	storeWorkflow(t, r.backend, vars{"key": "orders", "name": "Orders", "categories": []string{"orders"}, "steps": []vars{
		{"ref": "inbox", "inApp": vars{"body": "x"}}, {"ref": "mail", "email": vars{"channel": "mail", "subject": "s", "body": "{{ vars.manage_preferences_url }}"}}}})
	storeWorkflow(t, r.backend, vars{"key": "account", "name": "Account", "categories": []string{"account"}, "steps": []vars{{"ref": "inbox", "inApp": vars{"body": "x"}}}})
	storeWorkflow(t, r.backend, vars{"key": "offers", "name": "Offers", "categories": []string{"deals"}, "settings": vars{"commercial": true}, "steps": []vars{
		{"ref": "mail", "email": vars{"channel": "mail", "subject": "s", "body": "x"}}}})
	ask[any](t, r.backend, `mutation ($c: JSON!) { setDefaultPreferences(input: {tenant: "acme", preferences: {categories: $c}}) { preferences { id } } }`,
		vars{"c": vars{"account": vars{"strategy": "REPLACE", "otherwise": true}}})
	return r
}

// link asks for a link of Ana's, and returns where the node itself serves it.
func (r *reader) link(field string) string {
	r.Helper()
	link := ask[struct{ URL string }](r.T, r.backend, `{ user(id: "ana") { url: `+field+` } }`, nil).URL
	path, ok := strings.CutPrefix(link, publicURL)
	if !ok {
		r.Fatalf("%s is %s, which isn't below %s", field, link, publicURL)
	}
	return r.node.url(path)
}

func (r *reader) commercial() any {
	r.Helper()
	return ask[struct {
		Preferences struct{ CommercialSubscribed any }
	}](r.T, r.backend, `{ user(id: "ana") { preferences { commercialSubscribed } } }`, nil).Preferences.CommercialSubscribed
}

// From a commercial e-mail to one click, as a mail provider makes it; and what an operator can do about links.
func TestUnsubscribingFromAMail(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	ask[any](t, r.backend, triggerWorkflow, vars{"input": vars{"workflow": "offers", "recipients": users("ana"), "tenant": "acme"}})
	var header string
	eventually(t, "the mail is sent", func() bool {
		_, rest, sent := strings.Cut(r.node.log.String(), `"List-Unsubscribe":"<`+publicURL)
		header, _, _ = strings.Cut(rest, ">")
		return sent
	})
	address := r.node.url(header)
	click := func() int {
		t.Helper()
		client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		response, err := client.PostForm(address, url.Values{"List-Unsubscribe": {"One-Click"}})
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	if got := r.commercial(); got != nil {
		t.Errorf("before: %v", got)
	}
	if status := click(); status != http.StatusOK || r.commercial() != false {
		t.Errorf("status %d, commercialSubscribed %v", status, r.commercial())
	}
	if said := run(t, r.db, "link-secrets", "rotate", "--environment", "production"); !strings.Contains(said, "new secret") {
		t.Error(said)
	}
	if status := click(); status != http.StatusOK {
		t.Errorf("after a rotation: status %d", status)
	}
	if said := run(t, r.db, "link-secrets", "revoke", "--environment", "production"); !strings.Contains(said, "no longer work") {
		t.Error(said)
	}
	if status := click(); status != http.StatusNotFound {
		t.Errorf("after a revocation: status %d", status)
	}
	if said := run(t, r.db, "link-secrets", "revoke", "--environment", "production"); !strings.Contains(said, "rotate first") {
		t.Error(said)
	}
}

// The pages in Chromium: scripts/setup browser and npm ci make what it needs, and make test does both.
func TestPreferencePagesInABrowser(t *testing.T) {
	t.Parallel()
	if os.Getenv("BELFRY_TEST_WEB") == "" {
		t.Skip("set BELFRY_TEST_WEB=1, as make test does where there is a browser")
	}
	r := newReader(t)
	args := []string{"preference/browser_test.mjs", r.link(`managePreferencesUrl(tenant: "acme")`), r.link(`unsubscribeUrl(tenant: "acme")`)}
	if folder := os.Getenv("BELFRY_TEST_SCREENSHOTS"); folder != "" {
		args = append(args, "--screenshots", folder)
	}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = "../web"
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium(t))
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, said)
	}
	t.Logf("%s", said)
	if got := r.commercial(); got != true {
		t.Errorf("after undoing it: commercialSubscribed %v", got)
	}
}

// chromium finds the browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("no Chromium: run scripts/setup browser, or name its program in CHROMIUM")
	return ""
}
