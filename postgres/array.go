package postgres

import (
	"encoding/binary"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// Statements that write many rows at once take each column as an array. pgx encodes any kind of array, element by element through
// interfaces, and lets its buffer grow meanwhile; those that we send most are written here in one go.

// registerArrays has a connection encode slices of the usual types in that way, and everything else as it always did.
func registerArrays(m *pgtype.Map) {
	for _, oid := range []uint32{pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.TextArrayOID, pgtype.JSONArrayOID, pgtype.UUIDArrayOID} {
		t, ok := m.TypeForOID(oid)
		if !ok {
			continue
		}
		if codec, ok := t.Codec.(*pgtype.ArrayCodec); ok {
			m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: &arrayCodec{codec}})
		}
	}
}

// arrayCodec is pgx's, with shorter ways for some slices in the binary format. CopyFrom doesn't know it as an array, so it doesn't take such
// columns as text.
type arrayCodec struct{ *pgtype.ArrayCodec }

// PlanEncode implements pgtype.Codec.
func (c *arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if element := c.ElementType.OID; format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case []int32:
			if element == pgtype.Int4OID {
				return int32s{}
			}
		case [][16]byte:
			if element == pgtype.UUIDOID {
				return uuids{}
			}
		case []string:
			if element == pgtype.TextOID || element == pgtype.JSONOID { // what is sent of either is the text itself
				return texts{element}
			}
		}
		t := reflect.TypeOf(value)
		if element == pgtype.Int8OID && t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Int64 && t.NumMethod() == 0 && t.Elem().NumMethod() == 0 {
			return int64s{} // and our own types of ids
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

type (
	int64s struct{}
	int32s struct{}
	uuids  struct{}
	texts  struct{ element uint32 }
)

func (int64s) Encode(value any, buf []byte) ([]byte, error) {
	s := reflect.ValueOf(value)
	n := s.Len()
	buf = beginArray(buf, pgtype.Int8OID, n, 8*n)
	for i := range n {
		buf = binary.BigEndian.AppendUint64(append(buf, 0, 0, 0, 8), uint64(s.Index(i).Int()))
	}
	return buf, nil
}

func (int32s) Encode(value any, buf []byte) ([]byte, error) {
	s := value.([]int32)
	buf = beginArray(buf, pgtype.Int4OID, len(s), 4*len(s))
	for _, v := range s {
		buf = binary.BigEndian.AppendUint32(append(buf, 0, 0, 0, 4), uint32(v))
	}
	return buf, nil
}

func (uuids) Encode(value any, buf []byte) ([]byte, error) {
	s := value.([][16]byte)
	buf = beginArray(buf, pgtype.UUIDOID, len(s), 16*len(s))
	for i := range s {
		buf = append(append(buf, 0, 0, 0, 16), s[i][:]...)
	}
	return buf, nil
}

func (t texts) Encode(value any, buf []byte) ([]byte, error) {
	s := value.([]string)
	size := 0
	for _, v := range s {
		size += len(v)
	}
	buf = beginArray(buf, t.element, len(s), size)
	for _, v := range s {
		buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(v))), v...)
	}
	return buf, nil
}

// beginArray writes what comes before the elements of a one-dimensional array without nulls, and makes room for those: n of them, with so many
// bytes and a length each. The format is that of PostgreSQL's array_recv: number of dimensions, whether there are nulls, type of
// the elements; of each dimension its length and first index; of each element its length, and what the type's own function sends.
func beginArray(buf []byte, element uint32, n, size int) []byte {
	buf = slices.Grow(buf, 20+4*n+size)
	buf = binary.BigEndian.AppendUint32(append(buf, 0, 0, 0, 1, 0, 0, 0, 0), element)
	buf = binary.BigEndian.AppendUint32(buf, uint32(n))
	return append(buf, 0, 0, 0, 1)
}
