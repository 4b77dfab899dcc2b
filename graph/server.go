package graph

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/graph/encoder"
	"github.com/belfryhq/belfry/graph/generated"
)

// Config is what the GraphQL server needs.
type Config struct {
	Resolver *Resolver
	Auth     *auth.Service
	// WebSocket carries subscriptions. Its connection_init is to be decided by InitConnection, and TokenEnd is when it has to end.
	WebSocket graphql.Transport
	// EventStreams carries subscriptions where there can't be WebSockets; one with the defaults if nil.
	EventStreams *EventStreams
	// Introspection lets clients ask for the schema, and get suggestions for misspelt fields. For development.
	Introspection bool
	// Interpret has each event of a subscription executed by gqlgen, rather than encoded. To compare the two.
	Interpret bool
	Log       *slog.Logger
}

// NewServer makes the handler of the GraphQL endpoint.
func NewServer(c Config) http.Handler {
	resolver := *c.Resolver
	resolver.log = c.Log
	if c.EventStreams == nil {
		c.EventStreams = &EventStreams{}
	}
	c.EventStreams.log = c.Log
	if !c.Interpret {
		resolver.selections = encoder.NewCompiler()
	}
	srv := handler.New(generated.NewExecutableSchema(generated.Config{Resolvers: &resolver, Complexity: complexity()}))
	srv.AddTransport(transport.Options{})
	srv.AddTransport(c.EventStreams)
	srv.AddTransport(httpTransport{c.Log})
	srv.AddTransport(c.WebSocket)
	srv.SetQueryCache(newDocumentCache())
	srv.SetParserTokenLimit(MaxTokens)
	srv.SetValidationRulesFn(validationRules)
	srv.SetDisableSuggestion(!c.Introspection)
	srv.SetErrorPresenter(presenter(c.Log))
	srv.SetRecoverFunc(recovered(c.Log))
	srv.Use(documentLimits{introspection: c.Introspection})
	srv.Use(extension.FixedComplexityLimit(MaxComplexity))
	if c.Introspection {
		srv.Use(extension.Introspection{})
	}
	return authenticated(c.Auth, c.Log, bounded(c.Log, srv))
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
		viewer, until, err := a.Authenticate(r.Context(), credentials)
		if err != nil {
			status := http.StatusUnauthorized
			if belfry.CodeOf(err) == belfry.Internal {
				status = http.StatusInternalServerError
			}
			refuse(w, r, log, status, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(withViewer(r.Context(), viewer, until)))
	})
}

// InitConnection decides about a WebSocket from the payload of its connection_init. The context that it returns carries
// the viewer, and the end of the user token for TokenEnd, and nothing else: a socket may be open for days.
func InitConnection(a *auth.Service) func(context.Context, map[string]any) (context.Context, error) {
	return func(ctx context.Context, payload map[string]any) (context.Context, error) {
		credentials, err := auth.CredentialsFromInit(payload)
		if err != nil {
			return ctx, err
		}
		viewer, until := auth.ViewerFrom(ctx), TokenEnd(ctx)
		if credentials != (auth.Credentials{}) || viewer.Environment == 0 { // otherwise they came with the upgrade request
			if viewer, until, err = a.Authenticate(ctx, credentials); err != nil {
				return ctx, err
			}
		}
		return withViewer(context.Background(), viewer, until), nil
	}
}

// withViewer adds who asks, and until when that is good; zero: for ever.
func withViewer(ctx context.Context, v belfry.Viewer, until time.Time) context.Context {
	ctx = auth.WithViewer(ctx, v)
	if until.IsZero() {
		return ctx
	}
	return context.WithValue(ctx, untilKey{}, until)
}

// TokenEnd is when the user token of a request, or of a socket, ends; zero: never.
func TokenEnd(ctx context.Context) time.Time {
	until, _ := ctx.Value(untilKey{}).(time.Time)
	return until
}

// untilKey is where a context has the end of its user token.
type untilKey struct{}
