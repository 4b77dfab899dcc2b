package graphqlws

import (
	"context"
	"fmt"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// CodeTooManyOperations is the extensions.code of an operation refused by LimitOperations.
const CodeTooManyOperations = "TOO_MANY_OPERATIONS"

// LimitOperations refuses operations beyond Config.MaxOperations at a time on one WebSocket connection, with an
// error that has CodeTooManyOperations. It is an interceptor for handler.Server.AroundOperations, and lets
// operations over plain HTTP pass.
func LimitOperations(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	c := connFrom(ctx)
	if c == nil {
		return next(ctx)
	}
	if c.operations.Add(1) > c.maxOperations {
		c.operations.Add(-1)
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{{
			Message:    fmt.Sprintf("This connection has %d operations running, which is the limit: complete one, or open another connection.", c.maxOperations),
			Extensions: map[string]any{"code": CodeTooManyOperations},
		}}})
	}
	release := sync.OnceFunc(func() { c.operations.Add(-1) })
	// The context ends with the operation in any case, a panic included, but only after the client was told.
	stop := context.AfterFunc(ctx, release)
	responses := next(ctx)
	return func(ctx context.Context) *graphql.Response {
		response := responses(ctx)
		if response == nil {
			stop()
			release()
		}
		return response
	}
}
