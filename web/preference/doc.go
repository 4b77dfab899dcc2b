// Package preference serves the pages that links in messages lead to: the hosted preference page, and the one on which somebody
// unsubscribes with one click (RFC 8058).
//
// What it is not: it decides nothing. Tokens, rows and what is stored are recipient's; and there is no session.
//
// Guarantees
//   - GET changes nothing, ever: mail scanners follow links. POST of List-Unsubscribe=One-Click to the address in the header
//     unsubscribes without cookies, a second question or a redirect, and doing it again changes nothing.
//   - Pages work without JavaScript, of which they have none, from 320 pixels on, by keyboard and with screen readers.
//   - What a form changes is what its reader changed: a page that lay open for long undoes nothing that was chosen elsewhere.
//   - Everything from strangers is bounded: the token, the body, the number of fields, how many requests use the database
//     at once. Names of fields and values that mean nothing are ignored, and never stored. Who sends or takes slowly is in nobody's way.
//   - The token gets nowhere by way of the page: no referrer, no cache, no index, no frame, no request to anybody but for the
//     tenant's logo.
//
// Cross-site request forgery has no hold here: a browser adds nothing to a request, there are no cookies. The token in the
// address is all the authority there is, and whoever can write the address has it.
//
// Footguns
//   - Access logs of proxies have the tokens in them, as they have in every such link.
//   - It has to be mounted at recipient.PreferencesPath and recipient.UnsubscribePath. A proxy may add a prefix.
package preference
