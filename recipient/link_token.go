package recipient

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
)

// Link is what the token of a link stands for. Whoever has the token has this one right, for as long as the recipient exists:
// mail is read years later, so links don't expire.
type Link struct {
	Environment belfry.EnvironmentID
	Recipient   belfry.RecipientID // the row, not the customer's id: whoever gets that id later inherits no link
	Tenant      belfry.RecipientID // in whose name the message came; 0: nobody's
	Purpose     LinkPurpose
	Key         string // of the category or workflow that the link leaves; else empty
}

// LinkPurpose is what a link is for. It is part of the token.
type LinkPurpose byte

const (
	ToPreferences   LinkPurpose = 1 // the page with all choices
	LeaveCommercial LinkPurpose = 2 // no advertising any more
	LeaveCategory   LinkPurpose = 3
	LeaveWorkflow   LinkPurpose = 4
)

// Unsubscribes reports whether the link is for leaving something.
func (p LinkPurpose) Unsubscribes() bool { return p >= LeaveCommercial && p <= LeaveWorkflow }

// keyed reports whether links with the purpose name what they are about.
func (p LinkPurpose) keyed() bool { return p == LeaveCategory || p == LeaveWorkflow }

const (
	linkVersion = 1
	linkMACSize = 16 // bytes of the HMAC-SHA256 that are kept: 128 bits can't be guessed, and links stay short
	linkDomain  = "belfry link\x00"
	// maxLinkKey is for MaxPreferenceName characters.
	maxLinkKey = MaxPreferenceName * utf8.UTFMax
)

// MaxLinkToken bounds a token, in characters.
const MaxLinkToken = (2 + 3*binary.MaxVarintLen64 + maxLinkKey + linkMACSize + 2) / 3 * 4

// token signs the link. All that it says is in the token, in the clear: nobody learns more from it than that.
//
//	version, purpose, environment, recipient, tenant (varints), key, HMAC — in URL-safe base64 without padding
func (l *Link) token(secret []byte) string {
	b := make([]byte, 0, 64+len(l.Key))
	b = append(b, linkVersion, byte(l.Purpose))
	b = binary.AppendUvarint(b, uint64(l.Environment))
	b = binary.AppendUvarint(b, uint64(l.Recipient))
	b = binary.AppendUvarint(b, uint64(l.Tenant))
	b = append(b, l.Key...)
	return base64.RawURLEncoding.EncodeToString(append(b, linkMAC(secret, b)...))
}

func linkMAC(secret, payload []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(linkDomain)) // writing to a hash never fails
	mac.Write(payload)
	return mac.Sum(nil)[:linkMACSize]
}

// unverifiedLink is a token taken apart, of which nothing may be believed yet.
type unverifiedLink struct {
	Link
	payload, mac []byte
}

// signedBy reports whether one of the secrets made the token.
func (u *unverifiedLink) signedBy(secrets [][]byte) bool {
	for _, secret := range secrets {
		if len(secret) > 0 && hmac.Equal(u.mac, linkMAC(secret, u.payload)) {
			return true
		}
	}
	return false
}

// parseLink takes a token apart. It bounds everything before anything is computed.
func parseLink(token string) (u unverifiedLink, ok bool) {
	if len(token) > MaxLinkToken {
		return u, false
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 2+3+linkMACSize || b[0] != linkVersion {
		return u, false
	}
	if base64.RawURLEncoding.EncodeToString(b) != token { // decoding overlooks line breaks and bits at the end
		return u, false
	}
	u.payload, u.mac = b[:len(b)-linkMACSize], b[len(b)-linkMACSize:]
	u.Purpose = LinkPurpose(b[1])
	rest := u.payload[2:]
	var numbers [3]int64
	for i := range numbers {
		n, size := binary.Uvarint(rest)
		if size <= 0 || int64(n) < 0 {
			return u, false
		}
		numbers[i], rest = int64(n), rest[size:]
	}
	u.Environment, u.Recipient, u.Tenant = belfry.EnvironmentID(numbers[0]), belfry.RecipientID(numbers[1]), belfry.RecipientID(numbers[2])
	u.Key = string(rest)
	known := u.Purpose == ToPreferences || u.Purpose.Unsubscribes()
	return u, known && u.Environment > 0 && u.Recipient > 0 && u.Purpose.keyed() == (u.Key != "") && len(u.Key) <= maxLinkKey
}
