package model

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/99designs/gqlgen/graphql"

	"github.com/belfryhq/belfry"
)

// MarshalJSON writes a JSON object as it is.
func MarshalJSON(v map[string]any) graphql.ContextMarshaler { return marshaler(v) }

// UnmarshalJSON reads a JSON object, given inline or as a variable, and checks it before anything stores it.
func UnmarshalJSON(ctx context.Context, v any) (map[string]any, error) {
	m, err := object(ctx, v)
	if err != nil {
		return nil, err
	}
	return m, belfry.ValidateJSON(m, inputOf(ctx))
}

// UncheckedJSON is a JSON object that hasn't been checked: who takes it has to. It is for input of which a part may be
// refused while the rest is accepted.
type UncheckedJSON map[string]any

// UnmarshalGQLContext implements graphql.ContextUnmarshaler.
func (j *UncheckedJSON) UnmarshalGQLContext(ctx context.Context, v any) error {
	m, err := object(ctx, v)
	*j = m
	return err
}

// MarshalGQLContext implements graphql.ContextMarshaler.
func (j UncheckedJSON) MarshalGQLContext(ctx context.Context, w io.Writer) error {
	return MarshalJSON(j).MarshalGQLContext(ctx, w)
}

// MarshalJSONValue writes any JSON value as it is.
func MarshalJSONValue(v any) graphql.ContextMarshaler { return marshaler(v) }

// UnmarshalJSONValue reads any JSON value and checks it.
func UnmarshalJSONValue(ctx context.Context, v any) (any, error) {
	return v, belfry.ValidateJSON(v, inputOf(ctx))
}

func marshaler(v any) graphql.ContextMarshaler {
	return graphql.ContextWriterFunc(func(_ context.Context, w io.Writer) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
}

func object(ctx context.Context, v any) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, belfry.Errorf(belfry.Invalid, "must be a JSON object").At("%s", inputOf(ctx))
	}
	return m, nil
}

// inputOf is the path of the input that is being read, as errors name it: without the root field that it begins with.
func inputOf(ctx context.Context) string {
	path := graphql.GetPath(ctx)
	return path[min(1, len(path)):].String()
}

// convert turns a value into another with the same JSON. Numbers stay as they are: an id beyond 2^53 must not change.
func convert(from, into any) error {
	b, err := encode(from)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// encode returns JSON as callers write it: without the escapes for HTML, which would count towards limits.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
