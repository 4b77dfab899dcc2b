package graphqlws

import "time"

// burstWindow is how long a client may save up messages: after a reconnect it starts all its operations at once.
const burstWindow = 10 * time.Second

// limiter is a leaky bucket: what was let through, laid end to end at the allowed rate, may reach burstWindow into the
// future.
type limiter struct{ full time.Time }

// allow reports whether one more is within a rate per second.
func (l *limiter) allow(now time.Time, rate int) bool {
	if l.full.Before(now) {
		l.full = now
	}
	next := l.full.Add(time.Second / time.Duration(rate))
	if next.Sub(now) > burstWindow {
		return false
	}
	l.full = next
	return true
}
