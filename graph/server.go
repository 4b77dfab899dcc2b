package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/graph/generated"
)

// Config is what the GraphQL server needs.
type Config struct {
	Resolver *Resolver
	Auth     *auth.Service
	// WebSocket carries subscriptions. Its connection_init is to be decided by InitConnection.
	WebSocket graphql.Transport
	// Interceptors run around every operation.
	Interceptors []graphql.OperationMiddleware
	// Introspection lets clients ask for the schema, and get suggestions for misspelt fields. For development.
	Introspection bool
	Log           *slog.Logger
}

// NewServer makes the handler of the GraphQL endpoint.
func NewServer(c Config) http.Handler {
	srv := handler.New(generated.NewExecutableSchema(generated.Config{Resolvers: c.Resolver, Complexity: complexity()}))
	srv.AddTransport(c.WebSocket)
	srv.AddTransport(transport.Options{})
	srv.AddTransport(transport.GET{})
	srv.AddTransport(transport.POST{})
	srv.SetQueryCache(lru.New[*ast.QueryDocument](queryCacheSize))
	srv.SetParserTokenLimit(MaxTokens)
	srv.SetDisableSuggestion(!c.Introspection)
	srv.SetErrorPresenter(presenter(c.Log))
	srv.SetRecoverFunc(recovered(c.Log))
	srv.Use(extension.FixedComplexityLimit(MaxComplexity))
	srv.Use(documentLimits{})
	if c.Introspection {
		srv.Use(extension.Introspection{})
	}
	for _, i := range c.Interceptors {
		srv.AroundOperations(i)
	}
	return authenticated(c.Auth, c.Log, bounded(srv))
}

// authenticated puts the viewer into the context. A request without credentials goes on as nobody; one with bad
// credentials ends here.
func authenticated(a *auth.Service, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credentials := auth.CredentialsFromHeader(r.Header)
		if credentials == (auth.Credentials{}) {
			next.ServeHTTP(w, r)
			return
		}
		viewer, _, err := a.Authenticate(r.Context(), credentials)
		if err != nil {
			status := http.StatusUnauthorized
			if belfry.CodeOf(err) == belfry.Internal {
				status = http.StatusInternalServerError
			}
			refuse(w, r, log, status, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(auth.WithViewer(r.Context(), viewer)))
	})
}

// bounded reads the whole body, up to MaxBodySize, and sees that it is a JSON object: gqlgen's transport would take any
// size, and repeat a body that it can't decode in its error.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodySize))
			if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
				refuse(w, r, nil, http.StatusRequestEntityTooLarge, belfry.Beyond("body", int(tooLarge.Limit), "bytes"))
				return
			}
			if err != nil {
				return // the client is gone
			}
			if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(body) {
				refuse(w, r, nil, http.StatusBadRequest, belfry.Errorf(belfry.Invalid, "the body must be a JSON object with a query").At("body"))
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers a request that never became an operation.
func refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, status int, err error) {
	present := presenter(log)
	if log == nil {
		present = presenter(slog.New(slog.DiscardHandler))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{present(r.Context(), err)}}) // the client may be gone
}

// InitConnection decides about a WebSocket from the payload of its connection_init. The context that it returns carries
// the viewer, and ends when the user token does.
func InitConnection(a *auth.Service) func(context.Context, map[string]any) (context.Context, error) {
	return func(ctx context.Context, payload map[string]any) (context.Context, error) {
		credentials, err := auth.CredentialsFromInit(payload)
		if err != nil {
			return ctx, err
		}
		if credentials == (auth.Credentials{}) && auth.ViewerFrom(ctx).Environment != 0 {
			return ctx, nil // they came with the upgrade request
		}
		viewer, until, err := a.Authenticate(ctx, credentials)
		if err != nil {
			return ctx, err
		}
		ctx = auth.WithViewer(ctx, viewer)
		if !until.IsZero() {
			var cancel context.CancelFunc
			socket := ctx
			ctx, cancel = context.WithDeadlineCause(ctx, until, errTokenExpired)
			context.AfterFunc(socket, cancel) // when the socket closes earlier
		}
		return ctx, nil
	}
}

var errTokenExpired = belfry.Errorf(belfry.Unauthenticated, "the user token has expired: connect again with a new one")
