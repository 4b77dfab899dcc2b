package auth_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

func TestCredentialsFromHeader(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("authorization", "Bearer pk_1")
	h.Set("x-belfry-user-token", "a.b.c")
	want := auth.Credentials{Authorization: "Bearer pk_1", UserToken: "a.b.c"}
	if diff := cmp.Diff(want, auth.CredentialsFromHeader(h)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(auth.Credentials{}, auth.CredentialsFromHeader(nil)); diff != "" {
		t.Error(diff)
	}
}

func TestCredentialsFromInit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		payload map[string]any
		want    auth.Credentials
	}{
		"nothing":    {nil, auth.Credentials{}},
		"nulls":      {map[string]any{"authorization": nil, "userToken": nil}, auth.Credentials{}},
		"lower case": {map[string]any{"authorization": "Bearer sk_1"}, auth.Credentials{Authorization: "Bearer sk_1"}},
		"as in HTTP": {map[string]any{"Authorization": "Bearer pk_1", "userToken": "a.b.c", "other": 1},
			auth.Credentials{Authorization: "Bearer pk_1", UserToken: "a.b.c"}},
	} {
		got, err := auth.CredentialsFromInit(test.payload)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for _, key := range []string{"authorization", "Authorization", "userToken"} {
		_, err := auth.CredentialsFromInit(map[string]any{key: map[string]any{}})
		wantError(t, err, belfry.Invalid, key, "a string")
	}
	_, err := auth.CredentialsFromInit(map[string]any{"authorization": "Bearer sk_1", "Authorization": "Bearer sk_2"})
	wantError(t, err, belfry.Invalid, "authorization", "not both")
}

func TestViewerTravelsInTheContext(t *testing.T) {
	t.Parallel()
	if got := auth.ViewerFrom(t.Context()); got != (belfry.Viewer{}) || got.RequireBackend() == nil {
		t.Errorf("a context without a viewer gave %+v", got)
	}
	want := belfry.Viewer{Environment: 7, User: "ada"}
	if got := auth.ViewerFrom(auth.WithViewer(t.Context(), want)); got != want {
		t.Errorf("got %+v", got)
	}
}
