package model

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/belfryhq/belfry"
)

// MarshalTime writes an instant in RFC 3339, in UTC, to the microsecond.
func MarshalTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		b := make([]byte, 0, 36)
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
		_, _ = w.Write(append(b, '"')) // a response that can't be written has nobody to read its error
	})
}

// UnmarshalTime reads an instant in RFC 3339.
func UnmarshalTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, belfry.Errorf(belfry.Invalid, "not a time: use RFC 3339, such as 2026-05-04T09:30:00Z")
}

// MarshalJSON writes a JSON object as it is.
func MarshalJSON(v map[string]any) graphql.ContextMarshaler {
	return graphql.ContextWriterFunc(func(_ context.Context, w io.Writer) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
}

// UnmarshalJSON reads a JSON object, given inline or as a variable, and checks it before anything stores it.
func UnmarshalJSON(ctx context.Context, v any) (map[string]any, error) {
	path := graphql.GetPath(ctx) // begins with the root field, which no error names
	field := path[min(1, len(path)):].String()
	m, ok := v.(map[string]any)
	if !ok {
		return nil, belfry.Errorf(belfry.Invalid, "must be a JSON object").At("%s", field)
	}
	return m, belfry.ValidateJSON(m, field)
}
