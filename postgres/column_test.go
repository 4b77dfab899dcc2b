package postgres_test

import (
	"testing"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestJSONEncoderRefusesNULOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var encoder postgres.JSONEncoder
	for text, want := range map[string]string{"<a>": "\"<a>\"\n", `\u0000`: "\"\\\\u0000\"\n", "a\x00b": ""} {
		err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
			got, err := encoder.Encode(t.Context(), tx, text)
			if got != want {
				t.Errorf("%q is %q, want %q", text, got, want)
			}
			return err
		})
		if postgres.IsDataException(err) != (want == "") || want != "" && err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBigintArrayIsReadByPostgreSQL(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	if text := postgres.BigintArray([]int64(nil)); text != "" {
		t.Errorf("no numbers are %q", text)
	}
	var got []int64
	err := pool.QueryRow(t.Context(), `SELECT $1::text::bigint[]`, postgres.BigintArray([]int64{1, -2, 1 << 62})).Scan(&got)
	if err != nil || len(got) != 3 || got[1] != -2 || got[2] != 1<<62 {
		t.Errorf("%v, %v", got, err)
	}
}
