package realtime

import (
	"context"
	"time"
)

const (
	// maxLate bounds how many topics are remembered while Redis is away. The others are for the sweeper.
	maxLate = 10_000

	lateBatch    = 512 // topics rung again together
	latePauseMin = 250 * time.Millisecond
	latePauseMax = time.Second
)

// remember notes publications that may not have been sent, to ring their topics again when Redis is back: a node that
// was cut off from it must tell the others, who never had reason to suspect anything. Versions are all that is kept;
// who is behind reads the state.
func (b *RedisBus) remember(pubs []Publication) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, pub := range pubs {
		version, known := b.late[pub.Topic]
		if known && version >= pub.Version || !known && len(b.late) == maxLate {
			continue
		}
		b.late[pub.Topic] = pub.Version
	}
	select {
	case b.belated <- struct{}{}:
	default:
	}
}

// supersede forgets what was to be rung again of topics that have just been published with a later version: whoever
// missed something notices.
func (b *RedisBus) supersede(pubs []Publication) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.late) == 0 {
		return
	}
	for _, pub := range pubs {
		if version, known := b.late[pub.Topic]; known && version <= pub.Version {
			delete(b.late, pub.Topic)
		}
	}
}

// takeLate takes some of what is to be rung again.
func (b *RedisBus) takeLate() (pubs []Publication) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for topic, version := range b.late {
		if len(pubs) == lateBatch {
			break
		}
		pubs = append(pubs, Publication{Topic: topic, Version: version})
		delete(b.late, topic)
	}
	return pubs
}

// ringLate rings again until ctx ends. It is also who finds out that a silent server answers again: there is something
// to ring when one is.
func (b *RedisBus) ringLate(ctx context.Context) {
	for pause := latePauseMin; ; {
		select {
		case <-b.belated:
		case <-ctx.Done():
			return
		}
		for {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pubs := b.takeLate()
			if len(pubs) == 0 {
				break
			}
			if err := b.publish(ctx, pubs, true); err != nil {
				b.remember(pubs)
				pause = min(2*pause, latePauseMax)
				continue
			}
			b.counts.late.Add(uint64(len(pubs)))
			pause = latePauseMin
		}
	}
}
