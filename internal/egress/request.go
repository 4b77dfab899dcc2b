package egress

import (
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	MaxURL         = 8 << 10  // bytes, also of URLs in redirects
	MaxHeaders     = 50       // values, not names
	MaxHeaderBytes = 32 << 10 // names and values together
	MaxBody        = 1 << 20  // bytes
)

// blockedPorts are refused even in allowed networks. What listens there doesn't speak HTTP, but skips the lines that it
// doesn't understand and obeys the others: a body could send mail, or write into a cache.
var blockedPorts = []int{
	21, 22, 23, 25, 53, 110, 119, 143, 389, 465, 514, 587, 636, 993, 995, // file transfer, shells, mail, names, news, logs
	2525, 3306, 5432, 6379, 11211, 26379, // mail again, databases, caches
}

// methods are those of the fetch step, and HEAD.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// reserved headers belong to the connection or to this package: set by a user, they would forge a host or a signature,
// or make the two sides disagree about where a message ends.
var reserved = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Http2-Settings", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	SignatureHeader,
}

// userAgent goes with every request that has none of its own.
const userAgent = "Belfry/1 (+https://github.com/belfryhq/belfry)"

func parseURL(raw string) (*url.URL, error) {
	if len(raw) > MaxURL {
		return nil, errorf(InvalidURL, "the URL is longer than %d bytes", MaxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, errorf(InvalidURL, "the URL can't be parsed: %s", withoutAddresses(err))
	}
	return u, checkURL(u)
}

func checkURL(u *url.URL) error {
	if len(u.String()) > MaxURL {
		return errorf(InvalidURL, "the URL is longer than %d bytes", MaxURL)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return errorf(InvalidURL, "the URL has to start with http:// or https://")
	}
	if u.User != nil {
		return errorf(InvalidURL, "the URL must not hold a user or password; use the header Authorization")
	}
	host := u.Hostname()
	if host == "" {
		return errorf(InvalidURL, "the URL has no host")
	}
	if isMalformedIPv4(host) {
		return errorf(InvalidURL, "%q is neither a name nor an address; write an address as four decimal numbers", host)
	}
	if u.Port() == "" {
		return nil
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 {
		return errorf(InvalidURL, "the port has to be from 1 to 65535")
	}
	if slices.Contains(blockedPorts, port) {
		return errorf(InvalidURL, "port %d is not one for HTTP", port)
	}
	return nil
}

// isMalformedIPv4 finds hosts that end in a number, but aren't plain IPv4 addresses. Some resolvers take 2130706433,
// 0x7f.1 and 0177.0.0.1 for addresses, others for names: refusing them gives one answer everywhere.
func isMalformedIPv4(host string) bool {
	if strings.Contains(host, ":") {
		return false
	}
	trimmed := strings.TrimSuffix(host, ".")
	last := strings.ToLower(trimmed[strings.LastIndexByte(trimmed, '.')+1:])
	hex, isHex := strings.CutPrefix(last, "0x")
	number := last != "" && strings.Trim(last, "0123456789") == "" || isHex && strings.Trim(hex, "0123456789abcdef") == ""
	if !number {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}

// checkRequest checks all but the URL.
func checkRequest(r *Request) error {
	if r.Method != "" && !slices.Contains(methods, r.Method) {
		return errorf(InvalidRequest, "the method has to be one of %s", strings.Join(methods, ", "))
	}
	if len(r.Body) > MaxBody {
		return errorf(InvalidRequest, "the body is larger than %d bytes", MaxBody)
	}
	if r.Secret != nil && len(r.Secret) == 0 {
		return errorf(InvalidRequest, "the secret for the signature is empty")
	}
	return nil
}

// outgoingHeader returns a checked copy of the user's header, in canonical spelling.
func outgoingHeader(user http.Header) (http.Header, error) {
	header := http.Header{}
	count, size := 0, 0
	for _, name := range slices.Sorted(maps.Keys(user)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if !isToken(name) {
			return nil, errorf(InvalidRequest, "header %.100q: the name may only have letters, digits and !#$%%&'*+-.^_`|~", name)
		}
		if slices.Contains(reserved, canonical) {
			return nil, errorf(InvalidRequest, "header %q is set by Belfry: remove it", name)
		}
		for _, value := range user[name] {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return nil, errorf(InvalidRequest, "header %.100q: line breaks and control characters are not allowed", name)
			}
			count++
			size += len(name) + len(value)
			header[canonical] = append(header[canonical], value)
		}
	}
	if count > MaxHeaders {
		return nil, errorf(InvalidRequest, "there are %d headers; at most %d are allowed", count, MaxHeaders)
	}
	if size > MaxHeaderBytes {
		return nil, errorf(InvalidRequest, "the headers have %d bytes; at most %d are allowed", size, MaxHeaderBytes)
	}
	if header["User-Agent"] == nil {
		header.Set("User-Agent", userAgent)
	}
	return header, nil
}

// isToken reports whether s may be a header's name (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		alphanumeric := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
