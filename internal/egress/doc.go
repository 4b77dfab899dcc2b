// Package egress makes HTTP requests to URLs that users of Belfry chose, such as those of a workflow's fetch step.
// Nothing else in Belfry may do that. It is not for addresses that the operator configured, and it neither retries nor
// interprets answers: a status of 500 is a [Response] like any other.
//
// # Guarantees
//
//   - No connection is made to an address outside of the public internet, unless it lies in one of [Config].Allow. The
//     check is made on the address that a socket is about to connect to, after name resolution, for each attempt of each
//     redirect. So neither a name that changes its answers, nor a redirect, nor a spelling of an address leads around it.
//   - Proxies of the environment are not used: they would connect for us, where the check can't see it.
//   - Only http and https, without a user in the URL, and not to the ports of some protocols that obey what looks like
//     HTTP: mail (25, 110, 143, 465, 587, 993, 995, 2525), shells and files (21, 22, 23), 53, 119, 389, 514, 636, databases
//     and caches (3306, 5432, 6379, 11211, 26379). They are refused in allowed networks, too. All other ports are open:
//     people run HTTP on many, and what listens on the public internet is reachable without Belfry.
//   - At most [MaxRedirects] redirects, with the method and body rules of net/http. As soon as one leads to another
//     host or port, or from https to http, the caller's headers stay behind, signature and Authorization among them, for
//     the rest of the way. Only Accept, Accept-Language, Content-Type and User-Agent go along. The URL where a redirect
//     comes from is never told (Referer). A signature also stays behind where its body does.
//   - Everything is bounded: URL, headers and body of a request; time, headers and decompressed body of a response;
//     redirects; requests in flight, for each host and in all; idle connections. There are no cookies.
//   - A request that was refused has not touched the network, except for the lookup of its host's name.
//
// # Footguns
//
//   - A machine that is internal because of a firewall, but has a public address, looks like any other public machine.
//     The same goes for the public addresses of Belfry's own host, and for a NAT64 prefix that an operator chose. Run
//     Belfry behind a firewall for outgoing traffic where there are such.
//   - An allowed network is open to every user who can write a URL. Allow single addresses rather than networks.
//   - The bound for each host goes by the name in the request's URL. One party with many names can still take all of
//     [Config].MaxInFlight, for [Config].Timeout.
//   - A timeout or a lost connection doesn't tell whether the other side acted upon the request.
//   - On a 307 or 308, the body goes wherever the redirect leads, as net/http does it.
//   - [Error].Message is for the user; the wrapped cause may name internal addresses, so it is for the operator's log.
package egress
