// Package graphqlws serves GraphQL over WebSocket with the graphql-transport-ws protocol, as a transport of gqlgen:
// queries, mutations and subscriptions. gorilla/websocket shakes hands and reads frames; the rest is written here.
//
// An idle connection has one goroutine, which waits for something to read on the smallest stack there is, and no buffer
// for writing. A subscription whose events encode themselves has no execution either: see [pull.Pulled]. The handler
// returns after the upgrade, so that net/http lets go of the request. Frames are queued as bytes and written many at a time by a goroutine that
// lives only while there is something to write. Pings and the initialisation's timeout come from one timing wheel.
//
// # Guarantees
//
//   - Nobody waits for a client but its own operations: what one has not read yet is bounded by [MaxQueue], and
//     operations with more to say wait for room. A client that doesn't take 64 KiB within the write timeout, or that
//     asks without reading the answers, is disconnected, and its operations are cancelled.
//   - Close codes are those that the protocol names and some of our own, chosen so that the standard client retries
//     what it should: see [CloseServiceRestart] and those beside it.
//   - A connection that ends, for whatever reason, doesn't complete its operations: clients start them again on the
//     next. If the server is drained or credentials expire, queries and mutations in flight are answered first, as far
//     as that takes no more than a second. After a client's complete nothing is sent for the operation, and its id is free at once.
//   - Everything that comes from strangers is bounded: messages in size, rate and time, operations, connections of one owner.
//   - Only graphql-transport-ws is spoken. Its predecessor, the "graphql-ws" subprotocol, is closed with 4406. Frames
//     are never compressed: compressing what a user wrote beside what an attacker wrote gives away both, and costs
//     memory for each connection.
//
// # Footguns
//
//   - http.Server.Shutdown and the server's BaseContext don't concern WebSockets: call [Transport.Drain].
//   - The limit on connections counts those of one node.
//   - Operations see no request headers: credentials in them must have become values of the request's context before.
//   - Responses with events that encode themselves aren't seen by interceptors of responses.
package graphqlws
