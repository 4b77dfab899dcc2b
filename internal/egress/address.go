package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

var errForbidden = errors.New("forbidden address")

// special are the parts of the unicast space that are not the public internet, after the special-purpose registries
// of IANA (RFC 6890). All of IPv6 outside of globalUnicast is forbidden already.
var special = parsePrefixes(
	"0.0.0.0/8",        // this network; the kernel takes 0.0.0.0 for loopback
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carrier-grade NAT
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // public by number, but a cloud answers it inside of its virtual machines
	"169.254.0.0/16",   // link-local, with the metadata services of clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // relays of 6to4
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarking
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, with broadcast
	"2001::/23",        // protocol assignments, with Teredo, benchmarking and ORCHID
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4: an IPv4 address in disguise, and nobody's home any more
	"3fff::/20",        // documentation
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
)

func parsePrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefixes[i] = netip.MustParsePrefix(text)
	}
	return prefixes
}

// target returns the address whose owner would get the packets. It looks into the two disguises of an IPv4 address
// that lead to public machines, too: the mapped one, which kernels unwrap, and that of NAT64, which is how networks with
// IPv6 only reach the rest. All others are forbidden as they are.
func target(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

func isPublic(addr netip.Addr) bool {
	if !addr.Is4() && !globalUnicast.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// guard is asked by the dialer about every socket, right before it connects.
func (c *Client) guard(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: network %s", errForbidden, network)
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	addr := target(ap.Addr())
	if isPublic(addr) || slices.ContainsFunc(c.allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	return fmt.Errorf("%w: %s", errForbidden, ap.Addr())
}
