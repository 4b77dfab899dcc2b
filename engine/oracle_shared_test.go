package engine

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

func seconds(d *calendar.Duration) time.Duration { return time.Duration(d.Value) * time.Second }

// keyOf is the value of a key as it is stored. The model check knows one: data.k.
func (r *oracleRun) keyOf(key string) string {
	if key == "" {
		return ""
	}
	return fmt.Sprint(r.data["k"])
}

// throttle lets the run pass, or ends it.
func (o *oracle) throttle(r *oracleRun) {
	s := r.step()
	name := strings.Join([]string{r.user, s.Ref, r.keyOf(s.Throttle.Key)}, "/")
	t := o.throttles[name]
	if t == nil || !t.closes.After(o.now) {
		t = &oracleThrottle{closes: o.now.Add(seconds(s.Throttle.For))}
		o.throttles[name] = t
	}
	r.asks = false
	if t.passed++; t.passed > max(s.Throttle.Limit, 1) {
		r.frames = nil
		return
	}
	r.top().next++
}

// join opens a batch, or makes the run part of one.
func (o *oracle) join(r *oracleRun) {
	s := r.step()
	version := 0
	if s.Batch.VersionMode == workflow.Pinned {
		version = r.version
	}
	key := r.keyOf(s.Batch.Key)
	r.asks = false
	var b *oracleBatch
	for _, other := range o.batches {
		if !other.closed && !other.full && other.user == r.user && other.step == s.Ref && other.key == key && other.version == version {
			b = other
		}
	}
	opening := b == nil
	if opening {
		b = &oracleBatch{user: r.user, step: s.Ref, key: key, version: version, length: seconds(s.Batch.For)}
		b.closes = o.now.Add(b.length)
		if s.Batch.Type == workflow.Sliding {
			limit := seconds(s.Batch.ExtensionLimit)
			b.length = min(b.length, limit)
			b.last, b.closes = o.now.Add(limit), o.now.Add(b.length)
		}
		o.batches = append(o.batches, b)
		if s.Batch.LeadingFlush {
			r.top().next++
			return
		}
	}
	a := &oracleActivity{b, r.data}
	b.activities = append(b.activities, a)
	b.items++
	if !opening && !b.last.IsZero() {
		if b.closes = o.now.Add(b.length); b.closes.After(b.last) {
			b.closes = b.last
		}
	}
	if s.Batch.MaxItems > 0 && b.items >= s.Batch.MaxItems {
		b.full, b.closes = true, o.now
	}
	r.activity = a
	if b.carrier != nil {
		r.frames = nil
		return
	}
	b.carrier, r.batch, r.status = r, b, Waiting
	// It stays at the step: what comes behind depends on the version, when the batch closes.
}

// lines is all that is to be seen, in the order of the letters.
func (o *oracle) lines() []string {
	out := append([]string{}, o.sent...)
	for _, r := range o.runs {
		if r.status != "" {
			out = append(out, fmt.Sprintf("run %d %s %s", r.trigger, r.user, r.status))
		}
	}
	for _, b := range o.batches {
		if b.closed {
			continue
		}
		carrier := 0
		if b.carrier != nil {
			carrier = b.carrier.trigger
		}
		out = append(out, fmt.Sprintf("batch %s %s %s closes %d with %d of %d, carried by %d", b.user, b.step, b.key, b.closes.Sub(epoch).Milliseconds(),
			len(b.activities), b.items, carrier))
	}
	sort.Strings(out)
	return out
}

// selectModel reads the same from the database.
const selectModel = `SELECT line FROM (
SELECT format('sent %s %s %s at %s: %s', t.data->>'n', p.external_id, s.step, round(extract(epoch FROM s.created_at - $1) * 1000), s.body) AS line
  FROM sent s JOIN triggers t ON t.id = s.trigger_id JOIN recipients p ON p.id = s.recipient_id
UNION ALL
SELECT format('run %s %s %s', t.data->>'n', p.external_id, r.status)
  FROM runs r JOIN triggers t ON t.id = r.trigger_id JOIN recipients p ON p.id = r.recipient_id
UNION ALL
SELECT format('batch %s %s %s closes %s with %s of %s, carried by %s', p.external_id, b.step_ref, b.key, round(extract(epoch FROM b.close_at - $1) * 1000),
       (SELECT count(*) FROM batch_activities a WHERE (a.recipient_id, a.opener_id, a.step_ref) = (b.recipient_id, b.opener_id, b.step_ref)),
       b.items, coalesce(t.data->>'n', '0'))
  FROM batches b LEFT JOIN triggers t ON t.id = b.carrier_id JOIN recipients p ON p.id = b.recipient_id WHERE b.close_at IS NOT NULL
UNION ALL
SELECT format('fan-out of %s', trigger_id) FROM fan_outs
UNION ALL
SELECT format('signal %s', id) FROM signals) x ORDER BY line COLLATE "C"`
