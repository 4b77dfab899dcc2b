package recipient

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
)

// worked does the open bulk operations, and returns how many transactions that took.
func (w *world) worked(t *testing.T) (transactions int) {
	t.Helper()
	for {
		more, err := w.bulkSome(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return transactions
		}
		transactions++
	}
}

func identityItems(identities []Identity) (items []BulkItem) {
	for i := range identities {
		items = append(items, BulkIdentity(&identities[i]))
	}
	return items
}

func TestABulkOperationDoesOrRefusesEachItem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full := strings.Repeat("x", MaxPropertiesSize-len(`{"a":""}`))
	if _, err := w.IdentifyUser(t.Context(), w.production, user("u7", map[string]any{"a": full})); err != nil {
		t.Fatal(err)
	}
	var identities []Identity
	for i := range 2*bulkChunk + 10 {
		identities = append(identities, user(fmt.Sprint("u", i), map[string]any{"n": json.Number("9007199254740993")}))
	}
	identities[3] = user("a/b", nil)
	identities[4] = user("a\x00", map[string]any{"x": "\x00"})
	identities[9] = user("u8", map[string]any{"n": nil, "m": 1.0}) // the one before once more
	b, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(identities))
	if err != nil || b.Done != 0 || b.Total != len(identities) {
		t.Fatalf("%+v, %v", b, err)
	}
	// Half of it is done by a node that ends then.
	if more, err := w.bulkSome(t.Context()); !more || err != nil {
		t.Fatal(more, err)
	}
	half, err := w.BulkByID(t.Context(), w.production, b.ID)
	if err != nil || half.Done == 0 || half.Done == half.Total || half.FinishedAt != nil {
		t.Errorf("half way: %+v, %v", half, err)
	}
	w.worked(t)
	got, err := w.BulkByID(t.Context(), w.production, b.ID)
	if err != nil || got.Done != got.Total || got.FinishedAt == nil {
		t.Fatalf("in the end: %+v, %v", got, err)
	}
	failed := map[int]string{}
	for _, f := range got.Failures {
		failed[f.Index] = string(f.Error.Code) + " " + f.Error.Field
	}
	want := map[int]string{3: "INVALID input.users[3].id", 4: "INVALID input.users[4].id", 7: "TOO_LARGE input.users[7].properties"}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if n := w.count(t, `SELECT count(*) FROM recipients WHERE environment_id = $1`, w.production); n != len(identities)-3 {
		t.Errorf("%d users, want %d", n, len(identities)-3)
	}
	var n string
	if err := w.pool.QueryRow(t.Context(), `SELECT properties FROM recipients WHERE external_id = 'u50'`).Scan(&n); err != nil || n != `{"n": 9007199254740993}` {
		t.Errorf("u50 is %s, %v", n, err)
	}
	if u, err := w.UserByExternalID(t.Context(), w.production, "u8"); err != nil || len(u.Properties) != 1 || u.Properties["m"] != 1.0 {
		t.Errorf("items are done in order: %+v, %v", u, err)
	}
	if _, err := w.BulkByID(t.Context(), w.staging, b.ID); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("staging reads it: %v", err)
	}
}

func TestBulkDeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []Identity
	for i := range bulkChunk + 5 {
		all = append(all, user(fmt.Sprintf("u%03d", i), nil))
	}
	if _, err := w.identify(t.Context(), w.production, all...); err != nil {
		t.Fatal(err)
	}
	b, err := w.StartBulk(t.Context(), w.production, DeleteUsers, identityItems(append(all[1:], user("nobody", nil), user("#", nil), all[1])))
	if err != nil {
		t.Fatal(err)
	}
	w.worked(t)
	got, err := w.BulkByID(t.Context(), w.production, b.ID)
	if err != nil || got.FinishedAt == nil || len(got.Failures) != 1 || got.Failures[0].Error.Field != fmt.Sprintf("input.ids[%d]", len(all)) {
		t.Errorf("%+v, %v", got, err)
	}
	if n := w.count(t, `SELECT count(*) FROM recipients`); n != 1 {
		t.Errorf("%d users are left, want 1", n)
	}
}

func TestBulkOperationsHaveLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	many := make([]Identity, MaxBulk+1)
	for i := range many {
		many[i] = user(uuid.NewString(), nil)
	}
	_, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(many))
	wantError(t, err, belfry.TooLarge, "input.users", MaxBulk)
	_, err = w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(nil))
	wantError(t, err, belfry.Invalid, "input.users", 0)
	for i := range MaxOpenBulks {
		identities := many[:1]
		if i == 0 {
			identities = many[1:]
		}
		if _, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(identities)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems(many[:1])); belfry.CodeOf(err) != belfry.Conflict {
		t.Errorf("one too many: %v", err)
	}
	if _, err = w.StartBulk(t.Context(), w.staging, IdentifyUsers, identityItems(many[:1])); err != nil {
		t.Errorf("in another environment: %v", err)
	}
	if n := w.worked(t); n != MaxBulk/bulkChunk+MaxOpenBulks {
		t.Errorf("it took %d transactions", n)
	}
}
