package realtime

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// redisPartitions spreads topics over hash tags, so that the same channel names can one day be used with sharded
// pub/sub on a cluster, where all channels of a tag live on one node.
const redisPartitions = 128

// channelOverhead is what channel adds to prefix and topic.
const channelOverhead = len(":{p000}:")

// channel returns the Redis channel of a topic: prefix:{pNNN}:topic.
func channel(prefix, topic string) string {
	return fmt.Sprintf("%s:{p%03d}:%s", prefix, hash(topic)%redisPartitions, topic)
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
	if len(channel) < len(prefix)+channelOverhead {
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
	return Publication{Topic: channel[len(prefix)+channelOverhead:], Version: v, Payload: bytes.Clone([]byte(payload))}, true
}
