package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Workers die at any point, providers fail, clocks jump: nothing is lost, nothing happens twice
// that mustn't.
func TestWhateverCrashesEachMessageIsSettledOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		w := newWorld(t)
		random := rand.New(rand.NewPCG(seed, 0))
		w.provider.answer = func(context.Context, *Outgoing) (Receipt, error) {
			switch random.IntN(8) {
			case 0, 1:
				return Receipt{}, errDown
			case 2:
				return Receipt{}, Permanent(errDown)
			case 3:
				panic("broken")
			}
			return Receipt{}, nil
		}
		nodes := []*Service{w.node(), w.node(), w.node()}
		var messages []belfry.Message
		for i := range 40 {
			messages = append(messages, message(int64(i%7), []belfry.ChannelType{belfry.Email, belfry.SMS}[i%2], "x"))
			if i%4 == 0 {
				messages[i] = later(int64(i%7), "x")
			}
		}
		ids := w.enqueue(messages...)
		var kept []*outcome // by workers that are slow to record
		for w.queued() > 0 {
			s := nodes[random.IntN(len(nodes))]
			leases, err := s.claim(t.Context(), w.pool, false, 1+random.IntN(10))
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range leases {
				switch random.IntN(5) {
				case 0: // dies before it sends
				case 1: // dies after
					s.try(t.Context(), l)
				default:
					kept = append(kept, s.try(t.Context(), l))
				}
			}
			random.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
			n := random.IntN(len(kept) + 1)
			for _, o := range kept[:n] {
				if err := s.commit(t.Context(), []*outcome{o}); err != nil {
					t.Fatal(err)
				}
			}
			kept = kept[n:]
			moveAndCrash(t, w, random)
			w.advance(time.Duration(random.Int64N(int64(2 * minLease))))
		}
		settled := map[string]int{}
		for i, id := range ids {
			m, told := w.read(id), w.heard(id)
			if messages[i].ChannelType == belfry.InApp {
				if m.Moved.Seq == 0 || len(told) != 0 {
					t.Errorf("seed %d: %+v, told %v", seed, m, told)
				}
				continue
			}
			settled[string(m.Status)]++
			want := map[belfry.DeliveryStatus]string{belfry.Sent: "message.sent", belfry.Delivered: "message.sent message.delivered", belfry.Undelivered: "message.undelivered"}[m.Status]
			got := ""
			for k, kind := range told {
				if k > 0 {
					got += " "
				}
				got += kind
			}
			if want == "" || got != want {
				t.Errorf("seed %d: message %d is %s, and it was told: %s", seed, i, m.Status, got)
			}
		}
		if shown := all[int](w, `SELECT count(*) FROM shown`)[0]; shown != 10 {
			t.Errorf("seed %d: %d are shown, want 10", seed, shown)
		}
		keys := map[string]int64{}
		for _, c := range w.provider.calls() {
			if seq, ok := keys[c.IdempotencyKey]; ok && seq != c.Seq {
				t.Errorf("seed %d: two messages have one key", seed)
			}
			keys[c.IdempotencyKey] = c.Seq
		}
		t.Logf("seed %d: %v after %d calls", seed, settled, len(w.provider.calls()))
	}
}

// moveAndCrash moves in-app messages; every other time the transaction fails at its end.
func moveAndCrash(t *testing.T, w *world, random *rand.Rand) {
	t.Helper()
	crash := random.IntN(2) == 0
	errCrash := errors.New("crashed")
	var tries atomic.Int64
	node := w.node(func(c *Config) {
		c.BatchSize = 4
		c.InApp = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
			tries.Add(1)
			if err := show(ctx, tx, messages); err != nil || !crash {
				return err
			}
			_ = tx.Conn().PgConn().Conn().Close()
			return errCrash
		}
	})
	if _, err := node.moveDue(t.Context()); err != nil && !crash {
		t.Fatal(err)
	}
}
