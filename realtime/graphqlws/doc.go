// Package graphqlws serves GraphQL over WebSocket with the graphql-transport-ws protocol. It puts gorilla/websocket
// under gqlgen's stock transport and closes that one's gaps: a write deadline, origins, the protocol's close codes,
// duplicate operation ids, a limit on operations.
//
// It is an interim: a transport of our own, with one goroutine a connection and several frames a write, is to
// replace it behind the same [New] and [LimitOperations].
//
// # Guarantees
//
//   - A client that stops reading is disconnected within the write timeout, and its operations are cancelled.
//   - Close codes are those that the protocol names, chosen so that the standard client retries what it should:
//     4408 for a late init, 4403 for refused or expired credentials, 1012 when the server goes away.
//   - Only graphql-transport-ws is spoken. Its predecessor, the "graphql-ws" subprotocol, is closed with 4406.
//
// # Footguns
//
//   - The limit on operations only works with srv.AroundOperations(graphqlws.LimitOperations).
//   - The request's context ends the connection. On shutdown, cancel the server's BaseContext: http.Server.Shutdown
//     alone leaves WebSockets open.
//   - An operation id is free again when the server has completed it. Reusing it right after the client's own
//     complete, before the server's, counts as a duplicate.
package graphqlws
