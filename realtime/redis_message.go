package realtime

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// redisPartitions is how many hash tags topics are spread over. All channels of a tag are on one server of a cluster.
// All nodes must agree on it.
const redisPartitions = 128

// partition returns which partition a topic falls into.
func partition(topic string) int { return int(hash(topic) % redisPartitions) }

// partitions is a set of them.
type partitions [redisPartitions]bool

var everyPartition = func() (all partitions) {
	for p := range all {
		all[p] = true
	}
	return all
}()

// tags are the hash tags of the partitions, without their braces.
var tags = func() (tags [redisPartitions]string) {
	for p := range tags {
		tags[p] = fmt.Sprintf("p%03d", p)
	}
	return tags
}()

// channelOverhead is what channel adds to prefix and topic.
const channelOverhead = len(":{p000}:")

// channel returns the Redis channel of a topic: prefix:{pNNN}:topic.
func channel(prefix, topic string) string {
	return prefix + ":{" + tags[partition(topic)] + "}:" + topic
}

// topicOf is the inverse of channel.
func topicOf(prefix, channel string) (topic string, ok bool) {
	rest, ok := strings.CutPrefix(channel, prefix+":{")
	if !ok || len(rest) < channelOverhead-len(":{") {
		return "", false
	}
	return rest[channelOverhead-len(":{"):], true
}

// probeChannel returns the channel of this bus's probes of a partition: prefix:probe:{pNNN}:id.
func (b *RedisBus) probeChannel(p int) string {
	return b.probePrefix() + "{" + tags[p] + "}:" + b.id
}

func (b *RedisBus) probePrefix() string { return b.prefix + ":probe:" }

// probed returns the partition of a channel of probes.
func (b *RedisBus) probed(channel string) (p int, ok bool) {
	rest, ok := strings.CutPrefix(channel, b.probePrefix()+"{p")
	if !ok || len(rest) < len("000}") {
		return 0, false
	}
	p, err := strconv.Atoi(rest[:len("000")])
	return p, err == nil && p >= 0 && p < redisPartitions
}

// encode returns what is sent over Redis: the version in decimal, a newline, the payload as it is.
func encode(pub Publication) []byte {
	b := make([]byte, 0, len("-9223372036854775808\n")+len(pub.Payload))
	b = strconv.AppendInt(b, pub.Version, 10)
	b = append(b, '\n')
	return append(b, pub.Payload...)
}

// decode is the inverse of channel and encode. The payload is a copy.
func decode(prefix, channel, message string) (Publication, bool) {
	topic, ok := topicOf(prefix, channel)
	if !ok {
		return Publication{}, false
	}
	version, payload, ok := strings.Cut(message, "\n")
	if !ok {
		return Publication{}, false
	}
	v, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return Publication{}, false
	}
	return Publication{Topic: topic, Version: v, Payload: bytes.Clone([]byte(payload))}, true
}
