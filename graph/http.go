package graph

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/belfryhq/belfry"
)

// Media types of answers.
const (
	plainJSON    = "application/json"
	responseJSON = "application/graphql-response+json"
	eventStream  = "text/event-stream"
)

// httpTransport carries queries and mutations over HTTP, one a request, as "GraphQL over HTTP" has it
// (https://graphql.github.io/graphql-over-http/draft/). gqlgen's own transports answer the same status whatever media
// type was asked for, and say "data": null of what was never executed.
//
// Who accepts application/graphql-response+json learns from the status whether the request was one that could be executed;
// for application/json that is 200 as soon as it was well-formed, so that nobody takes a proxy's error for ours.
type httpTransport struct{ log *slog.Logger }

var _ graphql.Transport = httpTransport{}

// Supports implements graphql.Transport.
func (httpTransport) Supports(r *http.Request) bool {
	return !websocket.IsWebSocketUpgrade(r) && (r.Method == http.MethodPost || r.Method == http.MethodGet)
}

// Do implements graphql.Transport.
func (t httpTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	mediaType := negotiate(r.Header.Values("Accept"))
	if mediaType != plainJSON && mediaType != responseJSON {
		refuse(w, r, t.log, http.StatusNotAcceptable, belfry.Errorf(belfry.Invalid, "accept %s or %s; subscriptions are answered as %s",
			responseJSON, plainJSON, eventStream))
		return
	}
	ctx := r.Context()
	params, err := requestParams(r)
	if err != nil {
		refuse(w, r, t.log, http.StatusBadRequest, err)
		return
	}
	op, errs := exec.CreateOperationContext(ctx, params)
	if errs != nil {
		status := http.StatusOK
		if mediaType == responseJSON {
			status = http.StatusBadRequest
		}
		write(w, mediaType, status, exec.DispatchError(graphql.WithOperationContext(ctx, op), errs))
		return
	}
	switch kind := op.Operation.Operation; {
	case kind == ast.Subscription:
		refuse(w, r, t.log, http.StatusNotAcceptable, belfry.Errorf(belfry.Invalid,
			"subscribe over a WebSocket at this address, with the graphql-transport-ws protocol, or accept %s", eventStream))
	case kind == ast.Mutation && r.Method == http.MethodGet:
		refuseMutation(w, r, t.log)
	default:
		responses, ctx := exec.DispatchOperation(ctx, op)
		write(w, mediaType, http.StatusOK, responses(ctx))
	}
}

// maxMediaRanges is how many parts of Accept headers are looked at: browsers send fewer than ten.
const maxMediaRanges = 32

// refuseMutation answers a GET, which anybody on the way may repeat.
func refuseMutation(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	w.Header().Set("Allow", http.MethodPost)
	refuse(w, r, log, http.StatusMethodNotAllowed, belfry.Errorf(belfry.Invalid, "send mutations with POST: GET is for queries"))
}

// negotiate chooses the media type of an answer by the Accept headers of a request: the supported one of the greatest
// quality, of several the first. Empty if there is none.
func negotiate(accept []string) string {
	ranges := strings.SplitN(strings.Join(accept, ","), ",", maxMediaRanges+1)
	best, quality := "", 0.0
	for _, r := range ranges[:min(len(ranges), maxMediaRanges)] {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(r))
		if err != nil {
			if len(ranges) == 1 && strings.TrimSpace(r) == "" {
				return plainJSON // whatever we like
			}
			continue
		}
		q := 1.0
		if given, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = given
		}
		switch name {
		case responseJSON, plainJSON, eventStream:
		case "*/*", "application/*":
			name = plainJSON
		default:
			continue
		}
		if charset := params["charset"]; q > quality && (charset == "" || strings.EqualFold(charset, "utf-8")) {
			best, quality = name, q
		}
	}
	return best
}

// requestParams reads the operation of a request, whose size bounded has seen to.
func requestParams(r *http.Request) (*graphql.RawParams, error) {
	start := graphql.Now()
	p := &graphql.RawParams{Headers: r.Header}
	if r.Method == http.MethodPost {
		var body struct { // RawParams would take headers from it, too
			Query, OperationName  string
			Variables, Extensions map[string]any
		}
		if err := decodeNumbers(r.Body, &body); err != nil {
			return nil, belfry.Errorf(belfry.Invalid, "the body must be a JSON object with a query, a string, and optionally operationName, "+
				"a string, and variables, an object").At("body")
		}
		p.Query, p.OperationName, p.Variables, p.Extensions = body.Query, body.OperationName, body.Variables, body.Extensions
	} else {
		values := r.URL.Query()
		p.Query, p.OperationName = values.Get("query"), values.Get("operationName")
		for name, into := range map[string]*map[string]any{"variables": &p.Variables, "extensions": &p.Extensions} {
			if given := values.Get(name); given != "" {
				if err := decodeNumbers(strings.NewReader(given), into); err != nil {
					return nil, belfry.Errorf(belfry.Invalid, "must be a JSON object").At("%s", name)
				}
			}
		}
	}
	if p.Query == "" {
		return nil, belfry.Errorf(belfry.Invalid, "say what to do: a document with an operation").At("query")
	}
	p.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}
	return p, nil
}

// decodeNumbers reads one JSON object, and nothing behind it, numbers as they are written.
func decodeNumbers(from io.Reader, into any) error {
	decoder := json.NewDecoder(from)
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows")
	}
	return nil
}

// body is a response on its way. Unlike in gqlgen's, there is no data where nothing was executed.
type body struct {
	Errors     gqlerror.List   `json:"errors,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	Extensions map[string]any  `json:"extensions,omitempty"`
}

func encodeResponse(r *graphql.Response) ([]byte, error) {
	return json.Marshal(body{r.Errors, r.Data, r.Extensions})
}

func write(w http.ResponseWriter, mediaType string, status int, r *graphql.Response) {
	out, err := encodeResponse(r)
	if err != nil { // data that isn't JSON
		panic(errors.Join(errors.New("a response that can't be encoded"), err))
	}
	w.Header().Set("Content-Type", mediaType+"; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out) // the client may be gone
}

// refuse answers a request that never became an operation.
func refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, status int, err error) {
	mediaType := negotiate(r.Header.Values("Accept"))
	if mediaType != responseJSON {
		mediaType = plainJSON
	}
	write(w, mediaType, status, &graphql.Response{Errors: gqlerror.List{presenter(log)(r.Context(), err)}})
}
