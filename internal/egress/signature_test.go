package egress

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSignedRequestIsVerifiedByItsReceiver(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	secret := []byte("shared")
	var verified error
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verified = Verify(secret, r.Header.Get(SignatureHeader), body, now, 0)
	})
	c := client(t, Config{Now: func() time.Time { return now }})
	for _, body := range []string{`{"a":1}`, ""} {
		do(t, c, &Request{Method: "POST", URL: base, Body: []byte(body), Secret: secret})
		if verified != nil {
			t.Errorf("body %q: %v", body, verified)
		}
	}
	do(t, c, &Request{Method: "POST", URL: base})
	if !errors.Is(verified, ErrSignature) {
		t.Errorf("without a secret: %v", verified)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	// printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac shared
	const genuine = "t=1800000000,s=a9beda7899401751514e68eb126f628ed95127cc035b2a09293b2854cf655a4a"
	const s = "a9beda7899401751514e68eb126f628ed95127cc035b2a09293b2854cf655a4a"
	for _, tt := range []struct {
		name, secret, header, body string
		later                      time.Duration
		want                       error
	}{
		{"genuine", "shared", genuine, `{"a":1}`, 0, nil},
		{"as old as allowed", "shared", genuine, `{"a":1}`, time.Minute, nil},
		{"as young as allowed", "shared", genuine, `{"a":1}`, -time.Minute, nil},
		{"older", "shared", genuine, `{"a":1}`, time.Minute + 1, ErrSignatureTime},
		{"from the future", "shared", genuine, `{"a":1}`, -time.Minute - 1, ErrSignatureTime},
		{"other body", "shared", genuine, `{"a":2}`, 0, ErrSignature},
		{"other secret", "other", genuine, `{"a":1}`, 0, ErrSignature},
		{"no secret", "", "t=1800000000,s=" + strings.TrimPrefix(sign(nil, []byte("x"), now), "t=1800000000,s="), "x", 0, ErrSignature},
		{"other time", "shared", "t=1800000001,s=" + s, `{"a":1}`, 0, ErrSignature},
		{"part of the body as time", "shared", strings.Replace(sign([]byte("shared"), []byte("x."), now), ",s=", ".x,s=", 1), "", 0, ErrSignature},
		{"no time", "shared", "s=" + s, `{"a":1}`, 0, ErrSignature},
		{"no signature", "shared", "t=1800000000", `{"a":1}`, 0, ErrSignature},
		{"empty signature", "shared", "t=1800000000,s=", `{"a":1}`, 0, ErrSignature},
		{"cut signature", "shared", genuine[:len(genuine)-2], `{"a":1}`, 0, ErrSignature},
		{"not hexadecimal", "shared", "t=1800000000,s=zz", `{"a":1}`, 0, ErrSignature},
		{"empty", "shared", "", "", 0, ErrSignature},
	} {
		err := Verify([]byte(tt.secret), tt.header, []byte(tt.body), now.Add(tt.later), time.Minute)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// How a receiver checks that a request comes from Belfry.
func ExampleVerify() {
	secret := []byte("as configured in Belfry")
	http.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := Verify(secret, r.Header.Get(SignatureHeader), body, time.Now(), 5*time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		// The body can be trusted from here on.
	})
}
