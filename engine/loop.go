package engine

import (
	"context"
	"time"
)

const (
	minBackoff = 50 * time.Millisecond // between attempts while the database fails
	maxBackoff = 5 * time.Second
)

// loop has work done until ctx ends: when it is woken, and each PollInterval. do does a part of it and says whether there
// may be more, which is then done at once. failed is what the log says when do fails; that is tried again later and later.
func (e *Engine) loop(ctx context.Context, wake <-chan struct{}, failed string, do func(context.Context) (more bool, err error)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := time.Duration(0)
	for {
		woken := wake
		if backoff > 0 {
			woken = nil // what failed a moment ago is not tried again for each new trigger
		}
		select {
		case <-ctx.Done():
			return
		case <-woken:
		case <-timer.C:
		}
		wait := e.PollInterval
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = do(ctx); err != nil {
				if ctx.Err() != nil { // what is broken off isn't broken
					return
				}
				backoff = min(max(2*backoff, minBackoff), maxBackoff)
				wait = backoff
				e.stats.errors.Add(1)
				e.Log.Error(failed, "retry_in", wait, "error", err)
				break
			}
			backoff = 0
		}
		timer.Reset(wait)
	}
}
