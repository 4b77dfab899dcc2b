package preference

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// Config is what the pages need.
type Config struct {
	Recipients *recipient.Service
	// Workflows is what an environment sends, for the rows of the page.
	Workflows func(context.Context, belfry.EnvironmentID) ([]recipient.PreferenceWorkflow, error)
	// WorkflowNames is what workflows are called, by key.
	WorkflowNames func(ctx context.Context, env belfry.EnvironmentID, keys []string) (map[string]string, error)
	Log           *slog.Logger
}

// Limits of requests. Nobody has to say who they are to make one.
const (
	maxChoicesBody     = 128 << 10 // bytes
	maxUnsubscribeBody = 4 << 10   // bytes
	maxFields          = 2000      // values of a form: MaxPreferenceRows rows of seven, and to spare
	maxAtOnce          = 8         // requests that use the database; the others wait
	maxWait            = 10 * time.Second
	maxRead            = 5 * time.Second // to receive a form
)

//go:embed *.html style.css
var files embed.FS

var (
	pages = template.Must(template.ParseFS(files, "*.html"))
	style = func() template.CSS {
		b, err := files.ReadFile("style.css")
		if err != nil {
			panic(err) // embedded: can't be missing in a binary that was built
		}
		return template.CSS(b)
	}()
)

type handler struct {
	Config
	slots chan struct{}
}

// New makes the handler of both pages.
func New(c Config) http.Handler { return &handler{c, make(chan struct{}, maxAtOnce)} }

// view is what every page shows.
type view struct {
	Nonce   string
	Style   template.CSS
	Brand   brand
	Title   string
	Content any
	name    string // of the template
	status  int    // 0: 200
}

// notice is a page that only says something.
type notice struct{ Title, Text string }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), maxWait)
	defer cancel()
	serve, token := h.preferences, ""
	var ok bool
	if token, ok = strings.CutPrefix(r.URL.Path, recipient.PreferencesPath); !ok {
		token, serve = strings.TrimPrefix(r.URL.Path, recipient.UnsubscribePath), h.unsubscribe
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method) {
		w.Header().Set("Allow", "GET, HEAD, POST")
		h.render(w, saying(http.StatusMethodNotAllowed, "This is a page", "Open it, or send its form."))
		return
	}
	v, err := serve(w, r.WithContext(ctx), token)
	if errors.Is(err, errBusy) {
		w.Header().Set("Retry-After", "10")
	}
	if err != nil {
		v = h.failed(r, err)
	}
	if v != nil {
		h.render(w, v)
	}
}

var errBusy = errors.New("too many people are here at once")

// inTurn does what needs the database when it is the request's turn. Nobody keeps a turn while a form arrives or a page is sent: how long
// that takes is up to strangers.
func (h *handler) inTurn(r *http.Request, do func() error) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
		return do()
	case <-r.Context().Done():
		return errBusy
	}
}

// failed is the page for an error.
func (h *handler) failed(r *http.Request, err error) *view {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return saying(http.StatusRequestEntityTooLarge, "That was too much", "The form is larger than any that this page has. Nothing was changed.")
	}
	known, ok := errors.AsType[*belfry.Error](err)
	switch {
	case errors.Is(err, errBusy):
		return saying(http.StatusServiceUnavailable, "Just a moment", "Too many people are here at once. Please try again in a few seconds.")
	case ok && known.Code == belfry.NotFound:
		return saying(http.StatusNotFound, "This link doesn’t work", "It is incomplete, or whoever it was for is no longer known here. Please use the link in your latest message.")
	case ok && known.Code == belfry.TooLarge:
		return saying(http.StatusRequestEntityTooLarge, "That was too much", sentence(known.Message)+" Nothing was changed.")
	case ok && known.Code == belfry.Invalid:
		return saying(http.StatusBadRequest, "That can’t be read", sentence(known.Message)+" Nothing was changed.")
	}
	if r.Context().Err() == nil || errors.Is(r.Context().Err(), context.DeadlineExceeded) { // otherwise the reader has gone
		h.Log.Error("a preference page failed", "error", err) // without the address: it holds the token
	}
	return saying(http.StatusInternalServerError, "Something went wrong", "It is our fault, and nothing was changed. Please try again later.")
}

// sentence makes one of an error's message, which is ASCII at its beginning.
func sentence(message string) string { return strings.ToUpper(message[:1]) + message[1:] + "." }

func saying(status int, title, text string) *view {
	return &view{Title: title, Content: notice{title, text}, name: "notice", status: status}
}

// form reads a form in either of the two forms that browsers and mail providers send.
func form(w http.ResponseWriter, r *http.Request, maxBody int64) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(maxRead)) // where it can't be set, the server's own timeout counts
	err := r.ParseForm()                                    // ParseMultipartForm would hide its error
	if err == nil {
		if err = r.ParseMultipartForm(maxBody); errors.Is(err, http.ErrNotMultipart) {
			err = nil // it has been read as the other
		}
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return err
	}
	if err != nil {
		return belfry.Errorf(belfry.Invalid, "send a form: application/x-www-form-urlencoded or multipart/form-data")
	}
	if r.MultipartForm != nil {
		defer func() { _ = r.MultipartForm.RemoveAll() }() // nothing is on the disk: the body fits into memory
	}
	_ = connection.SetReadDeadline(time.Time{}) // or the request would end with it, while it waits for its turn
	fields := 0
	for _, values := range r.PostForm {
		fields += len(values)
	}
	if fields > maxFields {
		return belfry.Beyond("form", maxFields, "fields")
	}
	return nil
}

// render writes a page.
func (h *handler) render(w http.ResponseWriter, v *view) {
	v.Nonce, v.Style = rand.Text(), style
	if v.Brand == (brand{}) {
		v.Brand = brandOf(nil)
	}
	var body, page bytes.Buffer
	if err := pages.ExecuteTemplate(&body, v.name, v.Content); err != nil {
		h.Log.Error("a preference page can't be shown", "error", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	v.Content = template.HTML(body.String()) // html/template made it
	if err := pages.ExecuteTemplate(&page, "layout", v); err != nil {
		h.Log.Error("a preference page can't be shown", "error", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+v.Nonce+"'; img-src "+v.Brand.origins()+"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Robots-Tag", "noindex, nofollow")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	if v.status != 0 {
		w.WriteHeader(v.status)
	}
	_, _ = w.Write(page.Bytes()) // the reader may be gone
}
