package recipient

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// Properties are what json.Unmarshal makes of them, whichever way they are read.
func TestPropertiesAreDecodedAsJSON(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	for stored, flat := range map[string]bool{
		`{}`: true, `{"": ""}`: true, `{"a": "b", "c": 1, "d": true, "e": false, "f": null}`: true,
		`{"name": "Ada, \"the\" first"}`: false, `{"na\\me": 1}`: false, `{"tab": "\t"}`: false,
		`{"name": "Ada, {first}: \u00e9 \ud83d\ude00"}`: true, `{"a, b: c": "}"}`: true,
		`{"n": [1, 2], "o": {"p": "q"}}`: false, `{"n": []}`: false, `{"a": 1, "o": {}}`: false,
		`{"n": -1.5e-7, "m": 9007199254740993, "o": 0.1, "p": 1e300}`: true, `[1]`: false, `"a"`: false, `null`: false,
		`{"n": 1e400}`: false, `{"long": "` + strings.Repeat("x", 5000) + `"}`: true,
	} {
		var text string
		if err := pool.QueryRow(t.Context(), `SELECT $1::text::jsonb::text`, stored).Scan(&text); err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		wantErr := json.Unmarshal([]byte(text), &want)
		got, err := decodeProperties(text)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
			t.Errorf("%.100s: %v, want %v (-want +got):\n%s", text, err, wantErr, diff)
		}
		if _, ok := decodeFlat(text); ok != flat {
			t.Errorf("%.100s: read the quick way: %v", text, ok)
		}
	}
}

// What is cut off anywhere isn't taken for the whole.
func TestPropertiesThatAreCutOffAreRefused(t *testing.T) {
	t.Parallel()
	const text = `{"a": "b", "c": 12.5, "d": true, "f": null}`
	for n := range len(text) {
		if got, err := decodeProperties(text[:n]); err == nil {
			t.Errorf("%s: %v", text[:n], got)
		}
	}
}
