package belfry

// Viewer is who is asking. Every call on behalf of somebody outside takes one, so no query can forget to scope.
type Viewer struct {
	Environment EnvironmentID
	// User is the external id of the user whose token came with a public key; empty for a secret key, which speaks
	// for the whole environment.
	User string
}

// IsBackend reports whether the viewer holds a secret key.
func (v Viewer) IsBackend() bool { return v.User == "" }

// RequireBackend refuses viewers that are a user of the customer's product.
func (v Viewer) RequireBackend() error {
	if v.Environment == 0 {
		return Errorf(Unauthenticated, "an API key is required")
	}
	if !v.IsBackend() {
		return Errorf(Forbidden, "this needs a secret key (sk_…): call it from your backend, not from a browser")
	}
	return nil
}

// RequireUser refuses viewers that are not a user of the customer's product.
func (v Viewer) RequireUser() error {
	if v.Environment == 0 {
		return Errorf(Unauthenticated, "an API key is required")
	}
	if v.IsBackend() {
		return Errorf(Forbidden, "this needs a public key (pk_…) and a user token: a secret key is nobody in particular")
	}
	return nil
}

// FeedOwner decides whose feed a request is about. A user token speaks for its subject alone: user may be left out,
// and must be the subject otherwise. A secret key must name the user. field names the input for the error.
func (v Viewer) FeedOwner(user, field string) (string, error) {
	switch {
	case v.Environment == 0:
		return "", Errorf(Unauthenticated, "an API key is required")
	case v.IsBackend() && user == "":
		return "", Errorf(Invalid, "with a secret key, say whose feed").At("%s", field)
	case !v.IsBackend() && user != "" && user != v.User:
		return "", Errorf(Forbidden, "a user token gives access to that user's own feed only").At("%s", field)
	case v.IsBackend():
		return user, ValidateExternalID(user, field)
	}
	return v.User, nil
}
