package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// MarshalTime writes an instant in RFC 3339, in UTC, to the microsecond.
func MarshalTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = w.Write(AppendTime(make([]byte, 0, 36), t)) // a response that can't be written has nobody to read its error
	})
}

// AppendTime appends what MarshalTime writes.
func AppendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	return append(b, '"')
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

// MarshalDuration writes a duration in ISO 8601.
func MarshalDuration(d calendar.Duration) graphql.ContextMarshaler {
	format := map[calendar.Unit]string{calendar.Seconds: "PT%dS", calendar.Minutes: "PT%dM", calendar.Hours: "PT%dH",
		calendar.Days: "P%dD", calendar.Weeks: "P%dW", calendar.Months: "P%dM"}[d.Unit]
	return marshaler(fmt.Sprintf(format, d.Value))
}

// UnmarshalDuration reads a duration in any of its forms.
func UnmarshalDuration(ctx context.Context, v any) (calendar.Duration, error) {
	d, err := calendar.ParseDuration(v)
	if err != nil {
		return d, belfry.Errorf(belfry.Invalid, "%s", err.Error()).At("%s", inputOf(ctx))
	}
	return d, nil
}

// UnmarshalGQLContext reads a recurrence, and checks what the schema can't say about it: here the error can name the input.
func (in *RuleInput) UnmarshalGQLContext(ctx context.Context, v any) error {
	given, ok := v.(map[string]any)
	if !ok {
		return belfry.Errorf(belfry.Invalid, "must be an object").At("%s", inputOf(ctx))
	}
	if day, ok := given["days"].(string); ok { // GraphQL takes a single value for a list of one
		given = maps.Clone(given)
		given["days"] = []any{day}
	}
	var rule calendar.Rule
	err := convert(given, &rule)
	if e, ok := errors.AsType[*belfry.Error](err); ok {
		return e.At("%s.%s", inputOf(ctx), e.Field)
	}
	if err != nil {
		return err
	}
	type plain RuleInput
	return convert(given, (*plain)(in))
}

// MarshalGQLContext implements graphql.ContextMarshaler, which gqlgen wants of whoever unmarshals.
func (in RuleInput) MarshalGQLContext(ctx context.Context, w io.Writer) error {
	return marshaler(in).MarshalGQLContext(ctx, w)
}
