package recipient

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func TestListsArePagesInTheOrderOfIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := []Identity{
		user("ann", map[string]any{"name": "Ann Lee", "email": "Ann@Example.com", "phone_number": "+4930123456"}),
		user("bob", map[string]any{"name": "Bob", "email": "bob@example.com"}),
		user("bob-2", map[string]any{"name": "Bobby LEE", "email": "ann@example.com"}),
		user("bøb", nil), user("ελένη", map[string]any{"name": "Ελένη"}),
		{RecipientRef: belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "bob"}},
		{RecipientRef: belfry.RecipientRef{Collection: "projects", ExternalID: "bob"}},
	}
	if _, err := w.identify(t.Context(), w.production, people...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.identify(t.Context(), w.staging, user("zoe", nil)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, collection string
		filter           Filter
		want             string
	}{
		{"users", belfry.Users, Filter{}, "ann bob bob-2 bøb ελένη"},
		{"tenants", belfry.Tenants, Filter{}, "bob"},
		{"objects", "projects", Filter{}, "bob"},
		{"no such collection", "teams", Filter{}, ""},
		{"id prefix", belfry.Users, Filter{IDPrefix: "bob"}, "bob bob-2"},
		{"id prefix beyond ASCII", belfry.Users, Filter{IDPrefix: "bø"}, "bøb"},
		{"wildcards are characters", belfry.Users, Filter{IDPrefix: "b%"}, ""},
		{"part of a name", belfry.Users, Filter{Name: "lee"}, "ann bob-2"},
		{"e-mail", belfry.Users, Filter{Email: "ANN@example.com"}, "ann bob-2"},
		{"phone", belfry.Users, Filter{PhoneNumber: "+4930123456"}, "ann"},
		{"name and e-mail", belfry.Users, Filter{Name: "Bobby", Email: "ann@example.com"}, "bob-2"},
		{"e-mail and phone", belfry.Users, Filter{Email: "ann@example.com", PhoneNumber: "+4930123456"}, "ann"},
		{"e-mail and prefix", belfry.Users, Filter{Email: "ann@example.com", IDPrefix: "b"}, "bob-2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 2, MaxPage} {
				var got []string
				after := ""
				for more := true; more; {
					page, err := w.List(t.Context(), w.production, List{Collection: row.collection, Filter: row.filter, After: after, First: size})
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range page.Recipients {
						got = append(got, r.ExternalID)
					}
					after, more = page.End, page.More
				}
				if diff := cmp.Diff(row.want, strings.Join(got, " ")); diff != "" {
					t.Errorf("in pages of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

// However rare a name is, one page looks at a bounded number of people, and says where to go on.
func TestARareNameTakesSeveralPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.pool.Exec(t.Context(), `INSERT INTO recipients (environment_id, collection, external_id, properties, created_at, updated_at)
		SELECT $1, '$users', lpad(n::text, 6, '0'), jsonb_build_object('name', CASE n WHEN $2 THEN 'Needle' ELSE 'Hay' END), $3, $3 FROM generate_series(1, $2) n`,
		w.production, 2*maxScan+1, w.now())
	if err != nil {
		t.Fatal(err)
	}
	l := List{Collection: belfry.Users, Filter: Filter{Name: "needle"}, First: 10}
	for _, want := range []struct {
		end   string
		found int
		more  bool
	}{{fmt.Sprintf("%06d", maxScan), 0, true}, {fmt.Sprintf("%06d", 2*maxScan), 0, true}, {fmt.Sprintf("%06d", 2*maxScan+1), 1, false}} {
		page, err := w.List(t.Context(), w.production, l)
		if err != nil || page.End != want.end || len(page.Recipients) != want.found || page.More != want.more {
			t.Fatalf("behind %q: %+v, %v; want %+v", l.After, page, err, want)
		}
		l.After = page.End
	}
}

func TestListsHaveLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.List(t.Context(), w.production, List{Collection: belfry.Users, First: 0})
	wantError(t, err, belfry.Invalid, "first", 0)
	_, err = w.List(t.Context(), w.production, List{Collection: belfry.Users, First: MaxPage + 1})
	wantError(t, err, belfry.TooLarge, "first", MaxPage)
	_, err = w.List(t.Context(), w.production, List{Collection: belfry.Users, First: 1, Filter: Filter{Name: "a\x00"}})
	wantError(t, err, belfry.Invalid, "filter.name", 0)
	_, err = w.List(t.Context(), w.production, List{Collection: belfry.Users, First: 1, Filter: Filter{Email: strings.Repeat("x", maxReservedLength+1)}})
	wantError(t, err, belfry.TooLarge, "filter.email", maxReservedLength)
}
