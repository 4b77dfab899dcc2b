package feed

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

// tracer remembers which statements were executed.
type tracer struct {
	mu   sync.Mutex
	seen []string
}

func (tr *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	name := strings.Fields(data.SQL)[0]
	for n, sql := range statements {
		if sql == data.SQL {
			name = n
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.seen = append(tr.seen, name)
	return ctx
}

func (tr *tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// took returns what was executed since the last call, but for how transactions begin and end.
func (tr *tracer) took() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	defer func() { tr.seen = nil }()
	return slices.DeleteFunc(tr.seen, func(s string) bool { return s == "begin" || s == "commit" || s == "BEGIN" || s == "COMMIT" })
}

// What everybody does all the time executes these statements, and not one more, whatever else a feed can do.
func TestPlainFeedsTakeFewStatements(t *testing.T) {
	t.Parallel()
	tr := &tracer{}
	config := pgtest.New(t).Config().Copy()
	config.ConnConfig.Tracer = tr
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := newWorldOn(pool)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 3)
	tr.took()
	for _, row := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"append", func() error { return w.append(t.Context(), w.message(ann, "x")) }, []string{"bumpFeeds", "insertItems"}},
		{"page", func() error { _, err := w.Page(t.Context(), ann, Filter{}, 2, 0); return err }, []string{"selectHeader", "selectItems"}},
		{"badge", func() error { _, err := w.Badge(t.Context(), ann); return err }, []string{"selectHeader"}},
		{"mark", func() error { _, err := w.Mark(t.Context(), ann, belfry.Read, ids); return err },
			[]string{"lockHeader", "selectMarkable", "updateStates", "updateHeader", "insertChange"}},
		{"mark all", func() error { _, err := w.MarkAll(t.Context(), ann, belfry.Read, nil); return err },
			[]string{"lockHeader", "selectBefore", "updateHeader", "insertChange"}},
		{"mark by status", func() error {
			_, err := w.MarkWhere(t.Context(), ann, belfry.Archived, Filter{Status: StatusRead}, nil)
			return err
		},
			[]string{"lockHeader", "selectBefore", "updateHeader", "insertChange"}},
		{"count by status", func() error { _, err := w.Count(t.Context(), ann, []Filter{{Status: StatusUnread}, {}}); return err }, []string{"selectHeader"}},
	} {
		if err := row.do(); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if got := tr.took(); !slices.Equal(got, row.want) {
			t.Errorf("%s took %v, want %v", row.name, got, row.want)
		}
	}
}
