// Package realtimetest has what tests of realtime buses need: a conformance suite for implementations
// ([RunBus]) and a real redis-server ([StartRedis]). There is no fake Redis here on purpose: confirmation,
// disconnection and pipelining are exactly what fakes get wrong.
package realtimetest
