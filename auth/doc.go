// Package auth knows environments and decides who is calling: it turns an API key, and a user token where one is
// needed, into a belfry.Viewer.
//
// It is not authorisation. What a viewer may do is asked of the belfry.Viewer by the package that owns the data.
//
// Who can call:
//   - A secret key (sk_…) is the customer's backend: everything in its environment.
//   - A public key (pk_…) ships in browsers and apps, so it proves nothing about the person. It needs a user token: a
//     JWT signed by the customer's backend (RS256 or EdDSA) whose sub is the user and which must expire.
//
// Guarantees: keys and private halves are shown once and never stored; revoking works from the next Authenticate on,
// on every node, because nothing about keys is cached; a key or token of one environment never opens another; each
// failure is a *belfry.Error whose message holds no key material and does not tell whether a key exists.
//
// Footguns: Authenticate speaks for one moment. A connection that outlives the returned expiry must be closed by
// whoever holds it, and one whose key was revoked lives on until it authenticates again. A Viewer in a context
// (WithViewer) is a way to carry it to the resolvers, not a way to pass it between packages: those take it as an
// argument.
package auth
