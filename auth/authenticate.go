package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// Authenticate finds out who sent the credentials. until is when a user token starts to be refused (its exp plus
// Leeway): a connection must not outlive it. It is zero for a secret key.
//
// Errors: Unauthenticated, except that a user token beside a secret key is Invalid, and Internal when Postgres cannot
// be asked. A secret key costs one query, a user two.
func (s *Service) Authenticate(ctx context.Context, c Credentials) (viewer belfry.Viewer, until time.Time, err error) {
	full, err := bearer(c.Authorization)
	if err != nil {
		return belfry.Viewer{}, time.Time{}, err
	}
	if isDemoKey(full) && !s.AllowDemoKeys {
		return belfry.Viewer{}, time.Time{}, badKey("demo keys work under `belfry dev` only: create a key of your own")
	}
	found, err := one[struct {
		Environment belfry.EnvironmentID
		Kind        Kind
	}](s.Pool.Query(ctx, authenticateAPIKey, hashKey(full)))
	if errors.Is(err, pgx.ErrNoRows) {
		return belfry.Viewer{}, time.Time{}, badKey("this API key is unknown or revoked: create another")
	}
	if err != nil {
		return belfry.Viewer{}, time.Time{}, fmt.Errorf("look up API key: %w", err)
	}
	viewer.Environment = found.Environment

	switch {
	case found.Kind == Secret && c.UserToken != "":
		// Quietly ignoring the token would give the whole environment to a caller who meant to be one user.
		return belfry.Viewer{}, time.Time{}, belfry.Errorf(belfry.Invalid, "a secret key speaks for the whole environment, "+
			"a user token for one user: leave the token out, or send it with a public key").At("userToken")
	case found.Kind == Secret:
		return viewer, time.Time{}, nil
	case c.UserToken == "":
		return belfry.Viewer{}, time.Time{}, belfry.Errorf(belfry.Unauthenticated, "a public key needs a user token, "+
			"issued by your backend: send it as %s, or as userToken in connection_init", UserTokenHeader).At("userToken")
	}
	viewer.User, until, err = s.verifyUserToken(ctx, found.Environment, c.UserToken)
	if err != nil {
		return belfry.Viewer{}, time.Time{}, err // never a viewer without a user: that would be the backend
	}
	return viewer, until, nil
}

// bearer takes the API key out of an Authorization value, checking its shape only.
func bearer(authorization string) (string, error) {
	if authorization == "" {
		return "", badKey("an API key is required: send Authorization: Bearer sk_… or pk_…")
	}
	scheme, full, ok := strings.Cut(authorization, " ")
	full = strings.TrimSpace(full)
	switch {
	case !ok || !strings.EqualFold(scheme, "Bearer") || full == "":
		return "", badKey("the API key is sent as Bearer sk_… or Bearer pk_…")
	case len(full) > MaxAPIKeyLength || !strings.HasPrefix(full, "sk_") && !strings.HasPrefix(full, "pk_"):
		return "", badKey("this is not an API key, which begins with sk_ or pk_; a user token goes into " + UserTokenHeader)
	}
	return full, nil
}

func badKey(message string) *belfry.Error {
	return belfry.Errorf(belfry.Unauthenticated, "%s", message).At("authorization")
}
