// Package test runs the product end to end: real belfry processes, set up with the commands that an operator would use,
// on a real PostgreSQL and Redis, spoken to as a customer's backend and frontends would, in GraphQL over HTTP and
// WebSocket.
//
// What it is not: it doesn't look inside. It knows the command line, the API and, where exactness over crashes is the
// claim, the tables; of Belfry's packages it imports test servers and constants only.
//
// Guarantees: the program under test is built with the race detector, and a race, a panic or an unclean exit of any
// process fails the test that started it. Programs die with the test process, however that ends.
//
// Settings make some tests longer, or repeat one: BELFRY_TEST_KILL_FOR (a duration, such as 10m) that of crashes,
// BELFRY_TEST_BUS_FOR those of Redis and the network, and BELFRY_TEST_SEED (the number that a failed run logged).
//
// Footgun: a test's node, database and environment are its own; nothing is shared but the built program. Start one
// node in a test and share it among subtests, rather than one in each: a start costs half a second of processor time.
package test
