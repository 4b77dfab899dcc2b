package auth

import (
	"context"
	"net/http"

	"github.com/belfryhq/belfry"
)

// UserTokenHeader carries the user token beside a public key.
const UserTokenHeader = "X-Belfry-User-Token"

// Credentials are what a request says about its sender. Nothing in it has been checked.
type Credentials struct {
	Authorization string // "Bearer sk_…" or "Bearer pk_…"
	UserToken     string // a JWT, without a scheme; empty if none
}

// CredentialsFromHeader reads Authorization and X-Belfry-User-Token.
func CredentialsFromHeader(h http.Header) Credentials {
	return Credentials{Authorization: h.Get("Authorization"), UserToken: h.Get(UserTokenHeader)}
}

// CredentialsFromInit reads the payload of a WebSocket's connection_init, where browsers, which cannot set headers,
// put them: "authorization" (or "Authorization") and "userToken". Absent and null are the same; a value that is not a
// string, and both spellings at once, are Invalid at the key.
func CredentialsFromInit(payload map[string]any) (Credentials, error) {
	lower, err := text(payload, "authorization")
	if err != nil {
		return Credentials{}, err
	}
	upper, err := text(payload, "Authorization")
	if err != nil {
		return Credentials{}, err
	}
	if lower != "" && upper != "" {
		return Credentials{}, belfry.Errorf(belfry.Invalid, "send authorization or Authorization, not both").At("authorization")
	}
	token, err := text(payload, "userToken")
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{Authorization: lower + upper, UserToken: token}, nil
}

func text(payload map[string]any, key string) (string, error) {
	switch value := payload[key].(type) {
	case nil:
		return "", nil
	case string:
		return value, nil
	}
	return "", belfry.Errorf(belfry.Invalid, "connection_init takes a string here").At("%s", key)
}

type viewerKey struct{}

// WithViewer puts the viewer of a request into its context.
func WithViewer(ctx context.Context, v belfry.Viewer) context.Context {
	return context.WithValue(ctx, viewerKey{}, v)
}

// ViewerFrom returns the viewer of a request, and the zero Viewer, which may do nothing, for a context without one.
func ViewerFrom(ctx context.Context) belfry.Viewer {
	v, _ := ctx.Value(viewerKey{}).(belfry.Viewer)
	return v
}
