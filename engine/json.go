package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/belfryhq/belfry"
)

// encode returns JSON as callers write it: without the escapes for HTML, which would count towards limits.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// decode reads stored JSON with its numbers as they are: an id beyond 2^53 must not change.
func decode(b []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func decodeObject(b []byte) (map[string]any, error) {
	var object map[string]any
	err := decode(b, &object)
	return object, err
}

// encodeObject checks and encodes JSON from outside. field names the input for the error.
func encodeObject(object map[string]any, field string) ([]byte, error) {
	if err := belfry.ValidateJSON(object, field); err != nil {
		return nil, err
	}
	b, err := encode(object)
	if err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "not representable as JSON").At("%s", field)
	}
	if len(b) > MaxDataSize {
		return nil, belfry.Beyond(field, MaxDataSize, "bytes of JSON")
	}
	return b, nil
}

// unstorable tells the caller that the database refused a value (SQLSTATE class 22): JSON has numbers that are too
// small for jsonb. Other errors stay as they are.
func unstorable(err error, field string) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pg.Code, "22") {
		return belfry.Errorf(belfry.Invalid, "this cannot be stored: %s", pg.Message).At("%s", field)
	}
	return err
}
