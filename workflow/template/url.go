package template

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxURL is the longest URL SafeURL lets pass, in bytes.
const MaxURL = 2048

// SafeURL reports whether a URL may become the target of a link, and returns it
// without surrounding spaces. It passes http, https and mailto URLs and paths that
// start with one "/". It refuses other schemes (javascript:, data:), scheme-relative
// URLs, user names and passwords, control characters, backslashes, which
// browsers read as slashes, and characters that reorder text.
func SafeURL(s string) (string, bool) {
	s = strings.Trim(s, " ")
	if s == "" || len(s) > MaxURL || !utf8.ValidString(s) || strings.ContainsFunc(s, unsafeInURL) {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", false
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		if u.Hostname() == "" || u.User != nil {
			return "", false
		}
	case "mailto":
		if u.Opaque == "" {
			return "", false
		}
	case "":
		if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
			return "", false
		}
	default:
		return "", false
	}
	return s, true
}

func unsafeInURL(r rune) bool {
	return r == '\\' || unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
}
