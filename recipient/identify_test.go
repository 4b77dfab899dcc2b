package recipient

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

// decoded is a JSON object as callers' requests are decoded.
func decoded(t *testing.T, s string) map[string]any {
	t.Helper()
	if s == "" {
		return nil
	}
	m, err := decode([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestIdentifyMerges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, row := range []struct{ name, known, news, want string }{
		{"a new name is added", `{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`},
		{"a known one is replaced", `{"a":1}`, `{"a":"x"}`, `{"a":"x"}`},
		{"null clears", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{"null clears what isn't there", `{"a":1}`, `{"b":null}`, `{"a":1}`},
		{"nothing changes nothing", `{"a":{"b":[1]}}`, ``, `{"a":{"b":[1]}}`},
		{"an empty object changes nothing", `{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":1}}`},
		{"objects are merged deeply", `{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":3},"e":4}}`, `{"a":{"b":{"c":3,"d":2},"e":4}}`},
		{"null clears deep inside", `{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":null}}}`, `{"a":{"b":{"d":2}}}`},
		{"nulls of a new object don't stay", `{}`, `{"a":{"b":null,"c":{"d":null}}}`, `{"a":{"c":{}}}`},
		{"arrays are replaced", `{"a":[1,2,3]}`, `{"a":[4]}`, `{"a":[4]}`},
		{"what is in arrays stays as it is", `{}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`},
		{"an object replaces a value", `{"a":1}`, `{"a":{"b":2}}`, `{"a":{"b":2}}`},
		{"a value replaces an object", `{"a":{"b":2}}`, `{"a":false}`, `{"a":false}`},
		{"numbers keep every digit", `{"ref":9007199254740993,"price":0.10}`, `{"other":12345678901234567890}`,
			`{"ref":9007199254740993,"price":0.10,"other":12345678901234567890}`},
		{"markup stays", `{"a":"<b>&\u2028"}`, `{"b":"\"</b>"}`, `{"a":"<b>&\u2028","b":"\"</b>"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			id := fmt.Sprint("user ", i)
			for _, properties := range []string{row.known, row.news} {
				if _, err := w.IdentifyUser(t.Context(), w.production, user(id, decoded(t, properties))); err != nil {
					t.Fatal(err)
				}
			}
			var stored string
			err := w.pool.QueryRow(t.Context(), `SELECT properties FROM recipients WHERE external_id = $1`, id).Scan(&stored)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(t, row.want), decoded(t, stored)); diff != "" {
				t.Errorf("%s and %s (-want +got):\n%s", row.known, row.news, diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxReservedLength)
	for _, row := range []struct {
		name, id   string
		properties map[string]any
		code       belfry.Code // empty: fine
		field      string
		limit      int
	}{
		{name: "no properties", id: "ann"},
		{name: "no id", code: belfry.Invalid, field: "input.id"},
		{name: "long id", id: strings.Repeat("é", belfry.MaxExternalIDLength)},
		{name: "too long an id", id: strings.Repeat("é", belfry.MaxExternalIDLength+1), code: belfry.TooLarge, field: "input.id", limit: belfry.MaxExternalIDLength},
		{name: "name", id: "ann", properties: map[string]any{"name": long}},
		{name: "too long a name", id: "ann", properties: map[string]any{"name": long + "x"}, code: belfry.TooLarge, field: "input.name", limit: maxReservedLength},
		{name: "the customer's own may be long", id: "ann", properties: map[string]any{"bio": long + "x"}},
		{name: "cleared", id: "ann", properties: map[string]any{"name": nil, "email": nil, "phone_number": nil, "avatar": nil, "locale": nil, "timezone": nil}},
		{name: "no text", id: "ann", properties: map[string]any{"email": 1.0}, code: belfry.Invalid, field: "input.email"},
		{name: "no text either", id: "ann", properties: map[string]any{"avatar": map[string]any{}}, code: belfry.Invalid, field: "input.avatar"},
		{name: "time zone", id: "ann", properties: map[string]any{"timezone": "America/Argentina/Buenos_Aires"}},
		{name: "UTC", id: "ann", properties: map[string]any{"timezone": "UTC"}},
		{name: "unknown time zone", id: "ann", properties: map[string]any{"timezone": "Mars/Olympus"}, code: belfry.Invalid, field: "input.timezone"},
		{name: "the server's time zone", id: "ann", properties: map[string]any{"timezone": "Local"}, code: belfry.Invalid, field: "input.timezone"},
		{name: "no way to files", id: "ann", properties: map[string]any{"timezone": "../../etc/passwd"}, code: belfry.Invalid, field: "input.timezone"},
		{name: "computed", id: "ann", properties: map[string]any{"id": "bob"}, code: belfry.Invalid, field: "input.properties.id"},
		{name: "computed too", id: "ann", properties: map[string]any{"collection": nil}, code: belfry.Invalid, field: "input.properties.collection"},
		{name: "NUL", id: "ann", properties: map[string]any{"a": []any{"\x00"}}, code: belfry.Invalid, field: "input.properties.a[0]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			identity := user(row.id, row.properties)
			err := identity.Validate("input")
			if row.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, row.code, row.field, row.limit)
		})
	}
}

func TestPropertiesHaveALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	overhead := len(`{"a":"","b":"<"}`) // markup counts as it is
	fits := strings.Repeat("x", MaxPropertiesSize-overhead)
	for _, properties := range []map[string]any{{"b": "<"}, {"a": fits}} {
		if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", properties)); err != nil {
			t.Fatalf("%d bytes: %v", MaxPropertiesSize, err)
		}
	}
	_, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"b": "<<"}))
	wantError(t, err, belfry.TooLarge, "input.properties", MaxPropertiesSize)
	if got, err := w.UserByExternalID(t.Context(), w.production, "ann"); err != nil || got.Properties["b"] != "<" {
		t.Errorf("what was refused has changed something: %v", err)
	}
}

// A number that no reader can hold would make the recipient unreadable for ever.
func TestNumbersMustBeReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []json.Number{"1e400", "-1e400", "1e131071"} {
		_, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"n": []any{n}}))
		wantError(t, err, belfry.Invalid, "input.properties.n[0]", 0)
	}
	if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"n": json.Number("1.7e308")})); err != nil {
		t.Error(err)
	}
}

func TestIdentifyTouchesOnlyWhatChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"a": 1.0}))
	if err != nil {
		t.Fatal(err)
	}
	same, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"a": 1.0}))
	if err != nil || !same.UpdatedAt.Equal(first.UpdatedAt) || same.ID != first.ID {
		t.Errorf("the same again: %+v, %v; was %+v", same, err, first)
	}
	other, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"a": 2.0}))
	if err != nil || !other.UpdatedAt.After(first.UpdatedAt) || !other.IdentifiedAt.Equal(first.IdentifiedAt) {
		t.Errorf("something new: %+v, %v; was %+v", other, err, first)
	}
}

func TestIdentifyTwiceInOneCallMergesInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, err := w.identify(t.Context(), w.production,
		user("ann", map[string]any{"a": 1.0, "b": 1.0}), user("bob", nil), user("ann", map[string]any{"b": 2.0, "a": nil, "n": json.Number("9007199254740993")}))
	if err != nil || len(ids) != 2 {
		t.Fatalf("%v, %v", ids, err)
	}
	var got string
	if err := w.pool.QueryRow(t.Context(), `SELECT properties FROM recipients WHERE id = $1`, ids[belfry.User("ann")]).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := `{"b": 2, "n": 9007199254740993}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Everybody says something else about the same people, in another order, some of whom nobody knew before. Nothing is
// lost, and nobody waits for ever.
func TestConcurrentIdentificationsAllTakeEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const callers, rounds, people = 8, 12, 12
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 0))
			for round := range rounds {
				var identities []Identity
				for _, p := range random.Perm(people)[:people/2+random.IntN(people/2)] {
					identities = append(identities, user(fmt.Sprintf("user %d of round %d", p, round), map[string]any{
						"by": map[string]any{fmt.Sprint("caller ", c): float64(p)},
					}))
				}
				ids, err := w.identify(context.Background(), w.production, identities...)
				if err != nil || len(ids) != len(identities) {
					t.Errorf("caller %d, round %d: %d ids of %d, %v", c, round, len(ids), len(identities), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	want := 0
	for c := range callers {
		random := rand.New(rand.NewPCG(uint64(c), 0))
		for round := range rounds {
			for _, p := range random.Perm(people)[:people/2+random.IntN(people/2)] {
				want++
				got, err := w.UserByExternalID(t.Context(), w.production, fmt.Sprintf("user %d of round %d", p, round))
				if err != nil {
					t.Fatal(err)
				}
				if by := got.Properties["by"].(map[string]any); by[fmt.Sprint("caller ", c)] != float64(p) {
					t.Errorf("what caller %d said of %s is lost: %v", c, got.ExternalID, by)
				}
			}
		}
	}
	if want == 0 {
		t.Error("nothing was checked")
	}
}
