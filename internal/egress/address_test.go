package egress

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// Networks that are forbidden, by their first and last address, and addresses beside them.
func TestGuardKnowsThePublicInternet(t *testing.T) {
	t.Parallel()
	forbidden := strings.Fields(`
		0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
		127.0.0.1 127.255.255.254 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255
		172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255
		198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
		:: ::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 fc00::1 fd00:ec2::254 fdff::1 ff02::1 ff0e::1
		100::1 2001::1 2001:2::1 2001:1ff::1 2001:db8::1 3fff::1 5f00::1 1fff::1 4000::1
		::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0.0.0.0
		::127.0.0.1 ::8.8.8.8 ::ffff:0:127.0.0.1
		64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b::10.1.2.3 64:ff9b:1::8.8.8.8
		2002:7f00:1:: 2002:a9fe:a9fe::1 2002:808:808:: 2001:0:7f00:1::1`)
	public := strings.Fields(`
		1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
		168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0
		192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
		2001:200::1 2606:4700::1111 2a00::1 3ffe::1 3fff:1000::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8`)

	c := New(Config{})
	for want, addresses := range map[bool][]string{true: forbidden, false: public} {
		for _, address := range addresses {
			for _, network := range []string{"tcp4", "tcp6"} {
				err := c.guard(t.Context(), network, net.JoinHostPort(address, "80"), nil)
				if errors.Is(err, errForbidden) != want {
					t.Errorf("guard(%s): %v", address, err)
				}
			}
		}
	}
	for network, address := range map[string]string{"udp4": "8.8.8.8:80", "unix": "/var/run/x", "tcp4": "example.com:80"} {
		if err := c.guard(t.Context(), network, address, nil); !errors.Is(err, errForbidden) {
			t.Errorf("guard(%s %s): %v", network, address, err)
		}
	}
}

func TestGuardOpensWhatTheOperatorAllows(t *testing.T) {
	t.Parallel()
	c := New(Config{Allow: parsePrefixes("10.1.0.0/16", "fd12::/32", "fe80::/64")})
	for address, allowed := range map[string]bool{
		"10.1.0.0": true, "10.1.255.255": true, "10.0.255.255": false, "10.2.0.0": false,
		"::ffff:10.1.2.3": true, "64:ff9b::10.1.2.3": true, "::10.1.2.3": false, "2002:a01:203::": false,
		"fe80::1%eth0": true, "fe80:0:0:1::1%eth0": false,
		"fd12::1": true, "fd13::1": false, "127.0.0.1": false, "8.8.8.8": true,
	} {
		err := c.guard(t.Context(), "tcp6", net.JoinHostPort(address, "80"), nil)
		if (err == nil) != allowed {
			t.Errorf("guard(%s): %v", address, err)
		}
	}
}

// Each of these means this machine to some program, or confuses a parser. A real server waits on the port.
func TestNoSpellingOfLoopbackIsReached(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	handler := func(http.ResponseWriter, *http.Request) { reached.Add(1) }
	u, err := url.Parse(serve(t, handler))
	if err != nil {
		t.Fatal(err)
	}
	serveAt(t, "[::1]:"+u.Port(), handler)
	c := New(Config{})
	t.Cleanup(c.CloseIdle)
	for raw, want := range map[string]Reason{
		"http://127.0.0.1:PORT/":                    ForbiddenAddress,
		"http://127.0.0.1:PORT#@example.com/":       ForbiddenAddress,
		"http://127.255.255.254:PORT/":              ForbiddenAddress,
		"http://0.0.0.0:PORT/":                      ForbiddenAddress,
		"http://localhost:PORT/":                    ForbiddenAddress,
		"http://LOCALHOST:PORT/":                    ForbiddenAddress,
		"http://%6c%6f%63alhost:PORT/":              InvalidURL,
		"https://localhost:PORT/":                   ForbiddenAddress,
		"http://[::1]:PORT/":                        ForbiddenAddress,
		"http://[0:0:0:0:0:0:0:1]:PORT/":            ForbiddenAddress,
		"http://[::]:PORT/":                         ForbiddenAddress,
		"http://[::ffff:127.0.0.1]:PORT/":           ForbiddenAddress,
		"http://[::ffff:7f00:1]:PORT/":              ForbiddenAddress,
		"http://①②⑦.0.0.1:PORT/":                    InvalidURL,
		"http://127。0。0。1:PORT/":                    ForbiddenAddress,
		"http://127.0.0.1.:PORT/":                   InvalidURL,
		"http://127.1:PORT/":                        InvalidURL,
		"http://127.0.1:PORT/":                      InvalidURL,
		"http://2130706433:PORT/":                   InvalidURL,
		"http://0x7f000001:PORT/":                   InvalidURL,
		"http://0x7f.0.0.1:PORT/":                   InvalidURL,
		"http://127.0.0.0x1:PORT/":                  InvalidURL,
		"http://0X7F.1:PORT/":                       InvalidURL,
		"http://0177.0.0.1:PORT/":                   InvalidURL,
		"http://017700000001:PORT/":                 InvalidURL,
		"http://0:PORT/":                            InvalidURL,
		"http://0x:PORT/":                           InvalidURL,
		"http://user:pass@127.0.0.1:PORT/":          InvalidURL,
		"http://example.com@127.0.0.1:PORT/":        InvalidURL,
		"http://@127.0.0.1:PORT/":                   InvalidURL,
		"http://127.0.0.1%2f@example.invalid:PORT/": InvalidURL,
		"http://example.invalid\\@127.0.0.1:PORT/":  InvalidURL,
		"http://127.0.0.1:PORT\r\nX: y/":            InvalidURL,
		"http://[127.0.0.1]:PORT/":                  InvalidURL,
		"http://[::1%25lo]:PORT/":                   ForbiddenAddress,
		"ftp://127.0.0.1:PORT/":                     InvalidURL,
		"gopher://127.0.0.1:PORT/_x":                InvalidURL,
		"file:///etc/passwd":                        InvalidURL,
		"unix:///var/run/docker.sock":               InvalidURL,
		"javascript:alert(1)":                       InvalidURL,
		"http:127.0.0.1:PORT":                       InvalidURL,
		"//127.0.0.1:PORT/":                         InvalidURL,
		"127.0.0.1:PORT/":                           InvalidURL,
		"http:///":                                  InvalidURL,
		"http://:PORT/":                             InvalidURL,
		"":                                          InvalidURL,
	} {
		t.Run(raw, func(t *testing.T) {
			if e := doFails(t, c, &Request{URL: strings.ReplaceAll(raw, "PORT", u.Port())}, want); e.Message == "" {
				t.Error("no message")
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server was reached %d times", n)
	}
}

// A name that changes its answer between a check and its use is the classic way around a check of names.
func TestNameThatChangesItsAnswer(t *testing.T) {
	t.Parallel()
	// The connection is closed after each response, so that each request asks for the name again.
	var reached atomic.Int32
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	serveAt(t, strings.Replace(base[len("http://"):], "127.0.0.1", "127.0.0.2", 1), func(http.ResponseWriter, *http.Request) {
		reached.Add(1)
	})
	z := &zone{answers: map[string][][]string{"rebind.test": {{"127.0.0.1"}, {"127.0.0.2"}}}}
	c := clientWithNames(t, Config{}, z)
	there := strings.Replace(base, "127.0.0.1", "rebind.test", 1)

	do(t, c, &Request{URL: there})
	e := doFails(t, c, &Request{URL: there}, ForbiddenAddress)
	if reached.Load() != 0 {
		t.Error("the forbidden server was reached")
	}
	if n := z.lookedUp(); n != 2 {
		t.Errorf("the name was looked up %d times, want 2", n)
	}
	if !strings.Contains(e.Message, "rebind.test") || strings.Contains(e.Message, "127.") {
		t.Errorf("the message has to show the name, but not what it leads to: %s", e.Message)
	}
	if cause := errors.Unwrap(e); !strings.Contains(cause.Error(), "127.0.0.2") {
		t.Errorf("the cause has to show the operator the address: %v", cause)
	}
}

func TestNameWithSeveralAddressesIsCalledAtAnAllowedOne(t *testing.T) {
	t.Parallel()
	base := serve(t, func(http.ResponseWriter, *http.Request) {})
	z := &zone{answers: map[string][][]string{
		"mixed.test":    {{"10.0.0.1", "127.0.0.1", "169.254.169.254"}},
		"internal.test": {{"10.0.0.1", "169.254.169.254"}},
	}}
	c := clientWithNames(t, Config{}, z)
	do(t, c, &Request{URL: strings.Replace(base, "127.0.0.1", "mixed.test", 1)})
	doFails(t, c, &Request{URL: strings.Replace(base, "127.0.0.1", "internal.test", 1)}, ForbiddenAddress)
}
