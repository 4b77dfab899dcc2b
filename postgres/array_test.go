package postgres

import (
	"bytes"
	"database/sql/driver"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"
)

type (
	number  int64
	numbers []int64 // a driver.Valuer
)

func (numbers) Value() (driver.Value, error) { return "{1}", nil }

// What a slice is encoded to is, byte for byte, what pgx makes of it.
func TestArraysAreEncodedAsPgxDoes(t *testing.T) {
	t.Parallel()
	ours, theirs := pgtype.NewMap(), pgtype.NewMap()
	registerArrays(ours)
	prefix := []byte("an argument before") // buffers are appended to
	rapid.Check(t, func(r *rapid.T) {
		texts := rapid.SliceOf(rapid.String())
		var ids [][16]byte
		for _, b := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 16, 16)).Draw(r, "uuids") {
			ids = append(ids, [16]byte(b))
		}
		var pointers []*string
		for _, s := range texts.Draw(r, "pointers") {
			pointers = append(pointers, &s, nil)
		}
		for _, c := range []struct {
			oid   uint32
			value any
		}{
			{pgtype.Int8ArrayOID, rapid.SliceOf(rapid.Int64()).Draw(r, "bigints")},
			{pgtype.Int8ArrayOID, rapid.SliceOf(rapid.Custom(func(r *rapid.T) number { return number(rapid.Int64().Draw(r, "")) })).Draw(r, "ids")},
			{pgtype.Int4ArrayOID, rapid.SliceOf(rapid.Int32()).Draw(r, "ints")},
			{pgtype.TextArrayOID, texts.Draw(r, "texts")},
			{pgtype.JSONArrayOID, texts.Draw(r, "json")},
			{pgtype.UUIDArrayOID, ids},
			{pgtype.Int8ArrayOID, rapid.SliceOf(rapid.Int32()).Draw(r, "narrow bigints")}, // not ours from here on
			{pgtype.TextArrayOID, pointers},
			{pgtype.JSONBArrayOID, texts.Draw(r, "jsonb")},
			{pgtype.Int8ArrayOID, []int64(nil)},
			{pgtype.TextArrayOID, []string(nil)},
			{pgtype.Int8ArrayOID, []time.Duration{time.Second}}, // with methods pgx decides
			{pgtype.Int8ArrayOID, numbers{2}},
			{pgtype.Int8ArrayOID, nil},
		} {
			want, wantErr := theirs.Encode(c.oid, pgtype.BinaryFormatCode, c.value, bytes.Clone(prefix))
			got, gotErr := ours.Encode(c.oid, pgtype.BinaryFormatCode, c.value, bytes.Clone(prefix))
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) || wantErr != nil || gotErr != nil {
				r.Fatalf("%T: %x (%v), want %x (%v)", c.value, got, gotErr, want, wantErr)
			}
		}
	})
}
