package preference

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/recipient"
)

// slowBody is a form that never comes to its end: it says when it is waited for.
type slowBody struct {
	waited chan<- struct{}
	ends   <-chan struct{}
}

func (b slowBody) Read([]byte) (int, error) {
	select {
	case b.waited <- struct{}{}:
		<-b.ends
	case <-b.ends:
	}
	return 0, io.ErrUnexpectedEOF
}

// slowReader is somebody who takes the page, but slowly.
type slowReader struct {
	*httptest.ResponseRecorder
	slowBody
}

func (r slowReader) Write(b []byte) (int, error) {
	_, _ = r.Read(nil)
	return len(b), nil
}

// Whoever sends or takes slowly, with one link that works, is in nobody's way.
func TestSlowPeopleAreInNobodysWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	preferences, unsubscribe := s.path(recipient.ToPreferences, "", ""), s.path(recipient.LeaveCommercial, "", "")
	waited, ends, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow := slowBody{waited, ends}
	begin := func(w http.ResponseWriter, method, path string, body io.Reader) {
		r := httptest.NewRequestWithContext(t.Context(), method, path, body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		go func() {
			s.handler.ServeHTTP(w, r)
			left <- struct{}{}
		}()
		select {
		case <-waited:
		case <-left:
			go func() { left <- struct{}{} }() // it is counted below
			t.Error("somebody was served before it was their turn to wait: " + method + " " + path)
		}
	}
	n := 0
	for range maxAtOnce {
		for _, path := range []string{preferences, unsubscribe} {
			begin(httptest.NewRecorder(), http.MethodPost, path, slow)
			begin(slowReader{httptest.NewRecorder(), slow}, http.MethodGet, path, strings.NewReader(""))
			n += 2
		}
		if t.Failed() {
			break
		}
	}
	s.shows(s.get(preferences), http.StatusOK)
	s.shows(s.post(unsubscribe, oneClick), http.StatusOK, "You are unsubscribed")
	if used := len(s.handler.(*handler).slots); used != 0 {
		t.Errorf("%d slots are used by people who wait", used)
	}
	close(ends)
	for range n {
		<-left
	}
}
