package preference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/recipient"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site serves the pages of an environment with Ana and the tenant acme.
type site struct {
	*testing.T
	handler http.Handler
	people  *recipient.Service
	pool    *pgxpool.Pool
	env     belfry.EnvironmentID
	ana     belfry.RecipientID
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, pool: pgtest.New(t)}
	s.people = recipient.New(s.pool, time.Now)
	s.people.PublicURL = "https://notify.example.com"
	if err := s.pool.QueryRow(t.Context(), `INSERT INTO environments (key, created_at) VALUES ('production', now()) RETURNING id`).Scan(&s.env); err != nil {
		t.Fatal(err)
	}
	s.brand(map[string]any{"logo_url": "https://cdn.example.com/acme.svg", "primary_color": "#1F6F54", "primary_color_contrast": "#FFFFFF"})
	ana, err := s.people.IdentifyUser(t.Context(), s.env, recipient.Identity{RecipientRef: belfry.User("ana"), Properties: map[string]any{"name": "Ana Secret", "email": "ana@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	s.ana = ana.ID
	s.handler = New(Config{Recipients: s.people, Workflows: workflows, WorkflowNames: names, Log: slog.New(slog.DiscardHandler)})
	return s
}

func workflows(context.Context, belfry.EnvironmentID) ([]recipient.PreferenceWorkflow, error) {
	return []recipient.PreferenceWorkflow{
		{Key: "order", Name: "Orders <b>", Categories: []string{"orders"}, ChannelTypes: []belfry.ChannelType{belfry.Email, belfry.SMS}},
		{Key: "deal", Name: "Deals", Categories: []string{"deals"}, Commercial: true, ChannelTypes: []belfry.ChannelType{belfry.Email, belfry.Webhook}},
	}, nil
}

func names(_ context.Context, _ belfry.EnvironmentID, keys []string) (map[string]string, error) {
	if slices.Contains(keys, "order") {
		return map[string]string{"order": "Orders <b>"}, nil
	}
	return nil, nil
}

func (s *site) brand(branding map[string]any) {
	s.Helper()
	_, err := s.people.UpsertEach(s.Context(), s.env, []recipient.Identity{{RecipientRef: belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"},
		Properties: map[string]any{"name": "Acme <i>", "settings": map[string]any{"branding": branding}}}}, []string{"tenant"})
	if err != nil {
		s.Fatal(err)
	}
}

// path is where a link leads, below the server's address.
func (s *site) path(purpose recipient.LinkPurpose, key, tenant string) string {
	s.Helper()
	u, err := s.people.LinkURL(s.Context(), s.env, recipient.Link{Recipient: s.ana, Purpose: purpose, Key: key}, tenant)
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimPrefix(u, s.people.PublicURL)
}

func (s *site) do(method, path, contentType string, body io.Reader) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequestWithContext(s.Context(), method, path, body)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func (s *site) get(path string) *httptest.ResponseRecorder {
	s.Helper()
	return s.do(http.MethodGet, path, "", nil)
}

func (s *site) post(path string, form url.Values) *httptest.ResponseRecorder {
	s.Helper()
	return s.do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

var oneClick = url.Values{"List-Unsubscribe": {"One-Click"}}

// wants checks Ana's default set.
func (s *site) wants(want map[string]any) {
	s.Helper()
	sets, err := s.people.PreferenceSetsOf(s.Context(), s.env, belfry.User("ana"), "")
	if err != nil {
		s.Fatal(err)
	}
	if diff := cmp.Diff(want, sets.Recipient.Map()); diff != "" {
		s.Errorf("preferences (-want +got):\n%s", diff)
	}
}

func (s *site) shows(w *httptest.ResponseRecorder, status int, texts ...string) {
	s.Helper()
	if w.Code != status {
		s.Errorf("status %d, want %d:\n%s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			s.Errorf("the page doesn't say %q:\n%s", text, w.Body)
		}
	}
}

func TestOneClick(t *testing.T) {
	t.Parallel()
	var parts strings.Builder
	multi := multipart.NewWriter(&parts)
	if err := multi.WriteField("List-Unsubscribe", "One-Click"); err != nil {
		t.Fatal(err)
	}
	if err := multi.Close(); err != nil {
		t.Fatal(err)
	}
	for name, send := range map[string]func(*site, string) *httptest.ResponseRecorder{
		"urlencoded": func(s *site, path string) *httptest.ResponseRecorder { return s.post(path, oneClick) },
		"multipart": func(s *site, path string) *httptest.ResponseRecorder {
			return s.do(http.MethodPost, path, multi.FormDataContentType(), strings.NewReader(parts.String()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			path := s.path(recipient.LeaveCommercial, "", "acme")
			for range 3 {
				w := send(s, path)
				s.shows(w, http.StatusOK, "You are unsubscribed", "Undo")
				if len(w.Header()["Set-Cookie"])+len(w.Header()["Location"]) > 0 {
					t.Errorf("headers %v", w.Header())
				}
				s.wants(map[string]any{"commercialSubscribed": false})
			}
			s.shows(s.get(path), http.StatusOK, "You are unsubscribed")
			s.shows(s.post(path, url.Values{"undo": {"1"}}), http.StatusOK, "You are subscribed again", "Unsubscribe")
			s.wants(map[string]any{"commercialSubscribed": true})
		})
	}
}

// Mail scanners follow every link, in all ways that they can think of but POST.
func TestGetChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{s.path(recipient.LeaveCommercial, "", ""), s.path(recipient.LeaveCategory, "orders", "acme"), s.path(recipient.ToPreferences, "", "")} {
		for _, query := range []string{"", "?List-Unsubscribe=One-Click", "?undo=1", "?was:commercial:=on", "?saved"} {
			s.shows(s.get(path+query), http.StatusOK)
			s.shows(s.do(http.MethodHead, path+query, "", nil), http.StatusOK)
			s.shows(s.do(http.MethodGet, path+query, "application/x-www-form-urlencoded", strings.NewReader(oneClick.Encode())), http.StatusOK)
		}
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			w := s.do(method, path, "application/x-www-form-urlencoded", strings.NewReader(oneClick.Encode()))
			if s.shows(w, http.StatusMethodNotAllowed); w.Header().Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("Allow: %q", w.Header().Get("Allow"))
			}
		}
	}
	var sets int
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM preference_sets`).Scan(&sets); err != nil || sets != 0 {
		t.Errorf("%d sets were written, %v", sets, err)
	}
}

func TestLeavingACategoryAndAWorkflow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	category, workflow := s.path(recipient.LeaveCategory, "orders", ""), s.path(recipient.LeaveWorkflow, "order", "")
	s.shows(s.get(category), http.StatusOK, "Unsubscribe?", "<strong>orders</strong>")
	s.shows(s.get(workflow), http.StatusOK, "<strong>Orders &lt;b&gt;</strong>")
	s.shows(s.post(category, oneClick), http.StatusOK, "You are unsubscribed")
	s.shows(s.post(workflow, oneClick), http.StatusOK, "You are unsubscribed")
	s.wants(map[string]any{"categories": map[string]any{"orders": false}, "workflows": map[string]any{"order": false}})
}

// One click costs no definitions of workflows, and is answered as done once it is, whatever goes wrong then.
func TestOneClickNeedsNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	h := s.handler.(*handler)
	path := s.path(recipient.LeaveWorkflow, "order", "")
	h.Workflows = func(context.Context, belfry.EnvironmentID) ([]recipient.PreferenceWorkflow, error) {
		t.Error("definitions were read")
		return nil, errors.New("no")
	}
	h.WorkflowNames = func(context.Context, belfry.EnvironmentID, []string) (map[string]string, error) {
		return nil, errors.New("no")
	}
	s.shows(s.get(path), http.StatusOK, "Unsubscribe?", "<strong>order</strong>")
	ctx, cancel := context.WithCancel(t.Context())
	h.WorkflowNames = func(context.Context, belfry.EnvironmentID, []string) (map[string]string, error) {
		cancel() // nothing can be read any more
		return nil, ctx.Err()
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(oneClick.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	s.shows(w, http.StatusOK, "You are unsubscribed", "<strong>order</strong>")
	s.wants(map[string]any{"workflows": map[string]any{"order": false}})
}

// A tenant may outrank its users. Then the page doesn't promise what won't be.
func TestATenantThatOutranks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defaults, err := recipient.ParsePreferences(map[string]any{"categories": map[string]any{"orders": map[string]any{"strategy": "REPLACE", "otherwise": true}}}, belfry.TenantLevel, "set")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.people.SetDefaults(t.Context(), s.env, "acme", defaults, belfry.MergePreferences, "set"); err != nil {
		t.Fatal(err)
	}
	s.shows(s.post(s.path(recipient.LeaveCategory, "orders", "acme"), oneClick), http.StatusOK, "Your wish is stored", "to everybody")
	s.shows(s.get(s.path(recipient.ToPreferences, "", "acme")), http.StatusOK, "Email, text message <small>(set by Acme &lt;i&gt;)</small>")
}

func TestWhatIsNoRequestToUnsubscribe(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := s.path(recipient.LeaveCommercial, "", "")
	encoded := "application/x-www-form-urlencoded"
	at := func(size int) string {
		return "List-Unsubscribe=One-Click&x=" + strings.Repeat("x", size-len("List-Unsubscribe=One-Click&x="))
	}
	for name, c := range map[string]struct {
		contentType, body string
		status            int
	}{
		"nothing":           {encoded, "", http.StatusBadRequest},
		"another value":     {encoded, "List-Unsubscribe=Two-Click", http.StatusBadRequest},
		"NUL":               {encoded, "List-Unsubscribe=One-Click%00", http.StatusBadRequest},
		"bad escapes":       {encoded, "List-Unsubscribe=%zz", http.StatusBadRequest},
		"JSON":              {"application/json", `{"List-Unsubscribe": "One-Click"}`, http.StatusBadRequest},
		"no boundary":       {"multipart/form-data", "List-Unsubscribe=One-Click", http.StatusBadRequest},
		"a broken part":     {"multipart/form-data; boundary=x", "--x\r\nnonsense", http.StatusBadRequest},
		"beyond the limit":  {encoded, at(maxUnsubscribeBody + 1), http.StatusRequestEntityTooLarge},
		"parts, too large":  {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + strings.Repeat("a", maxUnsubscribeBody), http.StatusRequestEntityTooLarge},
		"more than is read": {encoded, strings.Repeat("a=&", maxUnsubscribeBody), http.StatusRequestEntityTooLarge},
	} {
		s.shows(s.do(http.MethodPost, path, c.contentType, strings.NewReader(c.body)), c.status, "Nothing was changed")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	s.wants(map[string]any{})
	s.shows(s.do(http.MethodPost, path, encoded, strings.NewReader(at(maxUnsubscribeBody))), http.StatusOK, "You are unsubscribed")
}

func TestLinksThatDoNotWork(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	preferences, unsubscribe := s.path(recipient.ToPreferences, "", ""), s.path(recipient.LeaveCommercial, "", "")
	for _, path := range []string{
		recipient.PreferencesPath, recipient.UnsubscribePath, recipient.PreferencesPath + "example", preferences + "x", preferences + "/", unsubscribe[:len(unsubscribe)-1],
		strings.Replace(preferences, recipient.PreferencesPath, recipient.UnsubscribePath, 1), strings.Replace(unsubscribe, recipient.UnsubscribePath, recipient.PreferencesPath, 1),
		recipient.UnsubscribePath + strings.Repeat("A", 100_000), preferences + "%00", recipient.UnsubscribePath + "..%2f..",
	} {
		s.shows(s.get(path), http.StatusNotFound, "This link doesn’t work")
		s.shows(s.post(path, oneClick), http.StatusNotFound, "This link doesn’t work")
	}
	s.wants(map[string]any{})
}

func TestThePageKeepsItsAddressToItself(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{s.path(recipient.ToPreferences, "", "acme"), s.path(recipient.LeaveCommercial, "", "acme"), recipient.PreferencesPath + "bad"} {
		w := s.get(path)
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'nonce-", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy has no %s: %s", want, policy)
			}
		}
		if body := w.Body.String(); strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") || strings.Contains(body, "<script") || strings.Contains(body, "style=") {
			t.Errorf("scripts or inline styles: %s\n%s", policy, body)
		}
		for _, personal := range []string{"Ana Secret", "ana@example.com", strings.Split(path, "/")[2] + `"`} {
			if strings.Contains(w.Body.String(), personal) {
				t.Errorf("the page shows %q", personal)
			}
		}
	}
	if first, second := s.get(recipient.PreferencesPath+"bad").Header(), s.get(recipient.PreferencesPath+"bad").Header(); first.Get("Content-Security-Policy") == second.Get("Content-Security-Policy") {
		t.Error("a nonce was used twice")
	}
}

func TestTheBrandOfTheTenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := s.path(recipient.ToPreferences, "", "acme")
	w := s.get(path)
	s.shows(w, http.StatusOK, `<img src="https://cdn.example.com/acme.svg" alt="Acme &lt;i&gt;" height="40">`, "--accent:#1F6F54;--on-accent:#FFFFFF", "from Acme &lt;i&gt;")
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "img-src https://cdn.example.com;") {
		t.Error(policy)
	}
	for _, url := range []string{"http://cdn.example.com/a.svg", "https://a b.example/x", "https://user@cdn.example.com/x", "https://x;script-src *", ""} {
		s.brandAnyhow(map[string]any{"logo_url": url})
		if w = s.get(path); strings.Contains(w.Body.String(), "<img") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "img-src 'none'") {
			t.Errorf("%q is shown: %s", url, w.Header().Get("Content-Security-Policy"))
		}
	}
	// Without a tenant there is nobody to name.
	if w = s.get(s.path(recipient.ToPreferences, "", "")); strings.Contains(w.Body.String(), "Acme") || strings.Contains(w.Body.String(), "<header") {
		t.Error(w.Body)
	}
}

// brandAnyhow stores a branding that the API would refuse: an older release may have taken it.
func (s *site) brandAnyhow(branding map[string]any) {
	s.Helper()
	_, err := s.pool.Exec(s.Context(), `UPDATE recipients SET properties = jsonb_build_object('name', 'Acme', 'settings', jsonb_build_object('branding', $1::jsonb)) WHERE external_id = 'acme'`, branding)
	if err != nil {
		s.Fatal(err)
	}
}

// Colours of a tenant that can't be read, or aren't any, give way.
func TestColorsCanBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ color, on, ground, plain, wantColor, wantOn string }{
		{"#1F6F54", "#FFFFFF", lightCard, "#1c1c1f", "#1F6F54", "#FFFFFF"},
		{"#FFEE00", "#FFFFFF", lightCard, "#1c1c1f", "#1c1c1f", "#FFFFFF"}, // not to be told from the card
		{"#808080", "#909090", lightCard, "#1c1c1f", "#808080", "#000000"}, // writing not to be told from the button
		{"red;}*{", "#FFFFFF", lightCard, "#1c1c1f", "#1c1c1f", "#FFFFFF"},
		{"#000000", "url(x)", lightCard, "#1c1c1f", "#000000", "#ffffff"},
		{"#000000", "#FFFFFF", darkCard, "#f4f4f5", "#f4f4f5", "#000000"},
	} {
		if color, on := accent(c.color, c.on, c.ground, c.plain); color != c.wantColor || on != c.wantOn {
			t.Errorf("%s on %s became %s and %s, want %s and %s", c.color, c.on, color, on, c.wantColor, c.wantOn)
		}
	}
}

func TestRequestsWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	h := s.handler.(*handler)
	for range maxAtOnce {
		h.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as if it had waited for long
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, s.path(recipient.ToPreferences, "", ""), nil))
	if s.shows(w, http.StatusServiceUnavailable); w.Header().Get("Retry-After") == "" {
		t.Error("it doesn't say when to come again")
	}
	<-h.slots
	s.shows(s.get(s.path(recipient.ToPreferences, "", "")), http.StatusOK)
	if len(h.slots) != maxAtOnce-1 {
		t.Error(fmt.Sprint("slots in use: ", len(h.slots)))
	}
}
