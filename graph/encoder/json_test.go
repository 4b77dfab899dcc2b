package encoder

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"pgregory.net/rapid"
)

// encoding/json is the oracle of the values that it encodes elsewhere.
func TestAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	check := func(t rapid.TB, v any) {
		t.Helper()
		want, wantErr := json.Marshal(v)
		got, err := appendAny(nil, v)
		if (err != nil) != (wantErr != nil) || err == nil && string(got) != string(want) {
			t.Errorf("%#v: %s %v, want %s %v", v, got, err, want, wantErr)
		}
	}
	for _, v := range []any{
		nil, true, 1, json.Number("1.50"), json.Number("x"), []any(nil), map[string]any(nil), []any{}, map[string]any{}, []string{"<"}, map[string]int{"b": 1, "a": 2},
		0.0, math.Copysign(0, -1), 1e-6, 9.99e-7, 1e-7, 1e-10, 1e20, 1e21, 1e-300, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), []any{math.NaN()},
		"\x7f\u0080\u2027\u2028\u2029\u202a\ufffd\xff\xed\xa0\x80\xc3", "<>&'\"\\/", "\b\f\n\r\t\v\x00\x1f",
	} {
		check(t, v)
	}
	floats := rapid.Float64().AsAny()
	texts := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.MapOf(texts, rapid.OneOf(floats, texts.AsAny(), rapid.SliceOf(floats).AsAny(), rapid.MapOf(texts, floats).AsAny())).Draw(t, "object"))
	})
}

func TestStringsAgreeWithGqlgen(t *testing.T) {
	t.Parallel()
	check := func(t rapid.TB, s string) {
		t.Helper()
		var want bytes.Buffer
		graphql.MarshalString(s).MarshalGQL(&want)
		if got := appendString(nil, s); string(got) != want.String() {
			t.Errorf("%q: %s, want %s", s, got, want.String())
		}
	}
	for c := range 256 {
		check(t, "a"+string([]byte{byte(c)})+"b")
		check(t, string([]byte{byte(c)}))
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.String().Draw(t, "s")) })
}
