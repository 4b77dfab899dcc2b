package egress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader is the header of signed requests: "t=<unix seconds>,s=<hex of HMAC-SHA256>". What is signed is
// the time in the spelling of the header, a dot, and the body.
const SignatureHeader = "X-Belfry-Signature"

var (
	// ErrSignature is what Verify returns for a header that is malformed or was not made with this secret and body.
	ErrSignature = errors.New("the signature doesn't belong to this body and secret")

	// ErrSignatureTime is what Verify returns for a genuine signature from too long ago, or from the future.
	ErrSignatureTime = errors.New("the signature's time is too far from now: check the clock; else it may be a replay")
)

// Verify checks the value of SignatureHeader against the body as it was received, byte by byte. A signature may be
// older or younger than now by the tolerance; five minutes are usual. It returns ErrSignature, ErrSignatureTime or nil.
// Within the tolerance a request can be repeated by whoever saw it.
func Verify(secret []byte, header string, body []byte, now time.Time, tolerance time.Duration) error {
	stamp, signature, ok := strings.Cut(header, ",s=")
	stamp, prefixed := strings.CutPrefix(stamp, "t=")
	got, err := hex.DecodeString(signature)
	if !ok || !prefixed || err != nil || len(secret) == 0 || !hmac.Equal(got, mac(secret, stamp, body)) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return ErrSignatureTime
	}
	return nil
}

func sign(secret, body []byte, now time.Time) string {
	stamp := strconv.FormatInt(now.Unix(), 10)
	return "t=" + stamp + ",s=" + hex.EncodeToString(mac(secret, stamp, body))
}

func mac(secret []byte, stamp string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(stamp))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}
