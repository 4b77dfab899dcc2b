// Package web holds the pages that Belfry serves from its own binary: GraphiQL, to explore the API, and the demo, which
// shows two devices of one user side by side.
//
// It is not the client library, and it serves no data: the pages speak to the GraphQL endpoint like anybody else.
//
// Guarantees: every asset is embedded, so the pages make no request to any other host, and their Content-Security-Policy
// forbids it; no script is inline. Handlers are stateless and work below any prefix with http.StripPrefix, as long as
// the prefix ends with a slash in the browser: mount them at "/demo/", not at "/demo".
//
// Footguns: both pages can be given a secret key, which everybody who can load the page can then read. That is meant for
// a developer's own machine. Leave the key out anywhere else.
//
// GraphiQL is built by `npm ci && npm run build` in this folder; what it makes (graphiql/dist) is committed.
package web
