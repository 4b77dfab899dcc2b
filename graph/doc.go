// Package graph is the GraphQL edge: it decodes a request, makes one call to the domain, and wraps the answer.
//
// What it is not: it holds no rule of the domain, no SQL and no transaction. A resolver that needs an `if` tells that the
// domain lacks a method.
//
// Life of a request
//   - Credentials become a belfry.Viewer: from the headers for HTTP, from connection_init for WebSocket. Requests
//     without any go on as nobody, so that the schema can be explored where introspection is on; every field refuses
//     nobody.
//   - The document is parsed and checked against the limits in limits.go before anything is executed.
//   - Each resolver passes the viewer on. Whose feed is meant is decided in one place: belfry.Viewer.FeedOwner.
//   - What a subscription selects of feed events is compiled when it begins (graph/encoder); gqlgen executes an event only
//     if it can't be encoded.
//   - Errors reach the client as extensions.code, field and limit; what isn't a belfry.Error is INTERNAL with a
//     reference, and logged under it.
//
// The schema is in schema/, one file a noun. generated/ and model/models_gen.go are made by `make generate`.
package graph

//go:generate go -C .. tool gqlgen generate
