package recipient

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func TestReservedPropertiesAreChecked(t *testing.T) {
	t.Parallel()
	for name, texts := range map[string]struct{ good, bad []string }{
		"email":        {[]string{"", "ada@example.com", "ada+x@sub.example.com", "jörg@müller.de"}, []string{"ada", "Ada <ada@example.com>", "a@b, c@d", "a b@c", "@b", "a@", "a@b\nBcc: c@d"}},
		"phone_number": {[]string{"", "+4930123456", "+123456789012345"}, []string{"030123456", "+0301234", "+49 30 1234", "+1234567890123456", "+", "+4930x"}},
		"locale":       {[]string{"", "de", "de-CH", "de_CH", "zh-Hant-TW", "xx-YY"}, []string{"german!", "-", "d", "de--CH"}},
		"created_at":   {[]string{"", "2026-05-04T09:30:00Z", "2026-05-04T09:30:00.123+02:00"}, []string{"yesterday", "2026-05-04", "2026-13-04T09:30:00Z"}},
	} {
		for _, text := range texts.good {
			identity := user("ann", map[string]any{name: text})
			if err := identity.Validate("input"); err != nil {
				t.Errorf("%s %q: %v", name, text, err)
			}
		}
		for _, text := range texts.bad {
			identity := user("ann", map[string]any{name: text})
			wantError(t, identity.Validate("input"), belfry.Invalid, "input."+name, 0)
		}
	}
	long := user("ann", map[string]any{"email": strings.Repeat("x", maxEmailLength) + "@example.com"})
	wantError(t, long.Validate("input"), belfry.TooLarge, "input.email", maxEmailLength)
}

func TestUnset(t *testing.T) {
	t.Parallel()
	known := `{"a":1,"b":{"c":{"d":1,"e":2}},"x.y":1,"x":{"y":2},"list":[{"a":1}]}`
	for _, row := range []struct{ name, news, unset, want string }{
		{"at the top", `{}`, "a", `{"b":{"c":{"d":1,"e":2}},"x.y":1,"x":{"y":2},"list":[{"a":1}]}`},
		{"deep inside", `{}`, "b.c.d", `{"a":1,"b":{"c":{"e":2}},"x.y":1,"x":{"y":2},"list":[{"a":1}]}`},
		{"after the merge", `{"b":{"c":{"f":3}}}`, "b.c", `{"a":1,"b":{},"x.y":1,"x":{"y":2},"list":[{"a":1}]}`},
		{"what isn't there", `{}`, "q b.q a.q list.a b.c.d.e __proto__ constructor.prototype", known},
		{"a key with a dot goes first", `{}`, "x.y", `{"a":1,"b":{"c":{"d":1,"e":2}},"x":{"y":2},"list":[{"a":1}]}`},
		{"several", `{}`, "a b x x.y list", `{}`},
	} {
		before := decoded(t, known)
		identity := Identity{Properties: decoded(t, row.news), Unset: strings.Fields(row.unset)}
		if err := validateUnset(identity.Unset, "input"); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		got := identity.apply(before)
		if diff := cmp.Diff(decoded(t, row.want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
		if diff := cmp.Diff(decoded(t, known), before); diff != "" {
			t.Errorf("%s changed what was known (-want +got):\n%s", row.name, diff)
		}
	}
	for _, path := range []string{"", ".", "a.", ".a", "a..b"} {
		wantError(t, validateUnset([]string{path}, "input"), belfry.Invalid, "input.unset", 0)
	}
	many := strings.Fields(strings.Repeat("a ", MaxUnset))
	if err := validateUnset(many, "input"); err != nil {
		t.Error(err)
	}
	wantError(t, validateUnset(append(many, "a"), "input"), belfry.TooLarge, "input.unset", MaxUnset)
}

// Names that mean something elsewhere are only names here, and so is every character that can be stored.
func TestAnyNameIsAPlainKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	properties := map[string]any{"__proto__": map[string]any{"admin": true}, "constructor": "x", "prototype": map[string]any{"toString": "y"},
		"hasOwnProperty": 1.0, "": "empty", "\ufffd": "replaced", "a\u202eb": "rtl", "😀": "😀", "$ref": "#/x", "'; DROP TABLE recipients; --": "x", "\u0001": "control"}
	for _, id := range []string{"😀", "ελένη", "__proto__", "%_\\", "'--", "a b", "é", strings.Repeat("漢", belfry.MaxExternalIDLength)} {
		got, err := w.IdentifyUser(t.Context(), w.production, user(id, properties))
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if diff := cmp.Diff(properties, got.Properties); diff != "" || got.ExternalID != id {
			t.Errorf("%s: (-want +got):\n%s", id, diff)
		}
	}
	for _, id := range []string{"a/b", "#", "a\x00", "a\nb", "\xff"} {
		_, err := w.IdentifyUser(t.Context(), w.production, user(id, nil))
		wantError(t, err, belfry.Invalid, "input.id", 0)
	}
}

func TestKeysHaveLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nested := func(n int) map[string]any { // n keys in all
		inner := map[string]any{}
		for i := range n - 1 {
			inner[fmt.Sprint(i)] = true
		}
		return map[string]any{"list": []any{inner}}
	}
	if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", nested(MaxPropertyKeys))); err != nil {
		t.Fatal(err)
	}
	_, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"one more": 1.0}))
	wantError(t, err, belfry.TooLarge, "input.properties", MaxPropertyKeys)

	key := strings.Repeat("é", MaxPropertyKeyLength)
	fits, long := user("bob", map[string]any{"a": []any{map[string]any{key: 1.0}}}), user("bob", map[string]any{"a": []any{map[string]any{key + "x": 1.0}}})
	if err := fits.Validate("input"); err != nil {
		t.Error(err)
	}
	wantError(t, long.Validate("input"), belfry.TooLarge, "input.properties", MaxPropertyKeyLength)
}

func TestCreatedAtIsWhatTheCustomerSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil))
	if err != nil || !ann.CreatedAt().Equal(ann.IdentifiedAt) {
		t.Fatalf("%+v, %v", ann, err)
	}
	ann, err = w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"created_at": "2020-01-02T03:04:05+01:00"}))
	if err != nil || ann.CreatedAt().Format("2006-01-02T15:04:05Z07:00") != "2020-01-02T02:04:05Z" {
		t.Errorf("created at %v, %v", ann.CreatedAt(), err)
	}
}

// What people may change themselves is a setting of their environment; everything else is their customer's.
func TestPeopleChangeOnlyWhatTheirEnvironmentAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"plan": "free"})); err != nil {
		t.Fatal(err)
	}
	got, err := w.ChangeOwn(t.Context(), w.production, user("ann", map[string]any{"name": "Ann", "avatar": nil, "locale": "de", "timezone": "Europe/Berlin"}))
	if err != nil || got.Properties["name"] != "Ann" || got.Properties["plan"] != "free" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"email", "phone_number", "plan", "created_at", "__proto__"} {
		_, err := w.ChangeOwn(t.Context(), w.production, user("ann", map[string]any{name: "x"}))
		wantError(t, err, belfry.Forbidden, "input", 0)
	}
	_, err = w.ChangeOwn(t.Context(), w.production, Identity{RecipientRef: belfry.User("ann"), Unset: []string{"plan"}})
	wantError(t, err, belfry.Forbidden, "input.unset", 0)
	if _, err = w.ChangeOwn(t.Context(), w.production, user("bob", map[string]any{"name": "Bob"})); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("somebody unknown: %v", err)
	}

	if err := w.SetProfileFields(t.Context(), w.production, []string{"email", "email"}, "input.fields"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ChangeOwn(t.Context(), w.production, user("ann", map[string]any{"email": "ann@example.com"})); err != nil {
		t.Error(err)
	}
	_, err = w.ChangeOwn(t.Context(), w.production, user("ann", map[string]any{"name": "x"}))
	wantError(t, err, belfry.Forbidden, "input", 0)
	if fields, err := w.ProfileFields(t.Context(), w.staging); err != nil || len(fields) != 4 {
		t.Errorf("staging allows %v, %v", fields, err)
	}
	wantError(t, w.SetProfileFields(t.Context(), w.production, []string{"plan"}, "input.fields"), belfry.Invalid, "input.fields", 0)
}
