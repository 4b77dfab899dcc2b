// Package realtimetest has what tests of realtime buses need: a conformance suite for implementations
// ([RunBus]), real redis-servers ([StartRedis], [StartCluster], [StartSentinel]) that can be killed and frozen, and a
// bad network between them and a node ([StartProxy]). There is no fake Redis here on purpose: confirmation,
// disconnection and pipelining are exactly what fakes get wrong.
//
// Footgun: servers on a port take one that was free a moment before. Where nothing needs a port, use [StartRedis],
// which listens on a unix socket.
package realtimetest
