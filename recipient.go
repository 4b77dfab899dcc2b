package belfry

import (
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

// Collections with a meaning of their own. Every other collection holds the customer's objects.
const (
	Users   = "$users"
	Tenants = "$tenants"
)

// MaxExternalIDLength is how many characters a customer's own id for a recipient may have.
const MaxExternalIDLength = 256

// RecipientID is the internal key of a recipient. Hot tables lead their primary keys with it.
type RecipientID int64

// RecipientRef names a recipient the way customers do: a collection and their own id in it.
type RecipientRef struct {
	Collection string
	ExternalID string
}

// User refers to a user by the customer's id.
func User(externalID string) RecipientRef { return RecipientRef{Users, externalID} }

// Recipient is somebody, or something, that can be notified, act or own (a tenant).
type Recipient struct {
	ID RecipientID
	RecipientRef
	// Properties are what was identified about the recipient: reserved names (name, email, phone_number, avatar,
	// locale, timezone) beside the customer's own, decoded from JSON.
	Properties map[string]any
}

// Merge says that a user has become a part of another one, and is gone.
type Merge struct {
	Environment EnvironmentID
	From, Into  RecipientID
	User        string    // external id of Into
	Since       time.Time // what is older goes with From
}

// MergedHistory is how far back the messages of a user reach that another one takes over.
const MergedHistory = 30 * 24 * time.Hour

// Scope is the recipient as conditions and templates see it: its properties, and its id.
func (r *Recipient) Scope() map[string]any {
	if r == nil {
		return nil
	}
	scope := maps.Clone(r.Properties) // copies memory, not entry by entry
	if scope == nil {
		scope = make(map[string]any, 2)
	}
	scope["id"] = r.ExternalID
	scope["collection"] = r.Collection
	return scope
}

// ValidateExternalID checks a customer's id: 1 to 256 characters, no "/", "#" or control character (ids travel in
// paths and logs), valid UTF-8. field names the input for the error.
func ValidateExternalID(id, field string) error {
	switch {
	case id == "":
		return Errorf(Invalid, "an id is required").At("%s", field)
	case !utf8.ValidString(id):
		return Errorf(Invalid, "an id must be valid UTF-8").At("%s", field)
	case utf8.RuneCountInString(id) > MaxExternalIDLength:
		return Beyond(field, MaxExternalIDLength, "characters")
	case strings.ContainsFunc(id, func(r rune) bool { return r == '/' || r == '#' || r < 0x20 || r == 0x7f }):
		return Errorf(Invalid, "an id must not contain '/', '#' or control characters").At("%s", field)
	}
	return nil
}
