package graph

import (
	"context"
	"errors"
	"log/slog"
	"maps"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/workflow"
)

// presenter makes the errors that clients see. Domain errors show their code, field and limit. Errors of the GraphQL
// layer itself (syntax, validation, limits) are the caller's: INVALID. Anything else is ours: the client gets a
// reference, the log gets the error.
func presenter(log *slog.Logger) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		shown := graphql.DefaultErrorPresenter(ctx, err)
		if e, ok := errors.AsType[*belfry.Error](err); ok {
			shown.Message = e.Error()
			shown.Extensions = extensions(e)
			if violations := model.Violations(err); len(violations) > 0 {
				shown.Extensions["violations"] = shownViolations(violations)
			}
			return shown
		}
		if g, ok := errors.AsType[*gqlerror.Error](err); ok && g.Unwrap() == nil {
			if code, _ := shown.Extensions["code"].(string); known[code] {
				return shown
			}
			public := *shown // the transports still go by the code that is in the original
			public.Extensions = maps.Clone(shown.Extensions)
			if public.Extensions == nil {
				public.Extensions = map[string]any{}
			}
			public.Extensions["code"] = string(belfry.Invalid)
			if _, limited := shown.Extensions["limit"]; limited { // found while validating, for which there is one code
				public.Extensions["code"] = string(belfry.TooLarge)
			}
			if shown.Extensions["code"] == complexityExceeded {
				public.Extensions["code"], public.Extensions["limit"] = string(belfry.TooLarge), MaxComplexity
			}
			return &public
		}
		return internal(ctx, log, shown, err)
	}
}

// complexityExceeded is gqlgen's code for what is TOO_LARGE here.
const complexityExceeded = "COMPLEXITY_LIMIT_EXCEEDED"

// known are those codes of the GraphQL layer that are part of the API as they are.
var known = map[string]bool{"TOO_LARGE": true, "TOO_MANY_OPERATIONS": true, "INTERNAL": true}

func extensions(e *belfry.Error) map[string]any {
	out := map[string]any{"code": string(e.Code)}
	if e.Field != "" {
		out["field"] = e.Field
	}
	if e.Limit != 0 {
		out["limit"] = e.Limit
	}
	return out
}

func shownViolations(violations []workflow.Violation) []map[string]string {
	out := make([]map[string]string, len(violations))
	for i, v := range violations {
		out[i] = map[string]string{"path": v.Path, "message": v.Message}
	}
	return out
}

func internal(ctx context.Context, log *slog.Logger, shown *gqlerror.Error, err error) *gqlerror.Error {
	return &gqlerror.Error{
		Message:    model.InternalMessage,
		Path:       shown.Path,
		Extensions: map[string]any{"code": string(belfry.Internal), "reference": logged(ctx, log, shown.Path, err)},
	}
}

// logged writes down an error of ours, and returns the reference that clients learn instead.
func logged(ctx context.Context, log *slog.Logger, path ast.Path, err error) string {
	reference := uuid.NewString()
	if ctx.Err() == nil {
		log.ErrorContext(ctx, "a request failed", "reference", reference, "path", path.String(), "error", err)
	}
	return reference
}

// recovered turns a panic of a resolver into an error for presenter.
func recovered(log *slog.Logger) graphql.RecoverFunc {
	return func(ctx context.Context, p any) error {
		return internal(ctx, log, &gqlerror.Error{Path: graphql.GetPath(ctx)}, errors.New("panic in a resolver: "+printable(p)))
	}
}
