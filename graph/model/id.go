package model

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
)

// Global ids of everything but feed items: a tag, a colon and a key, in URL-safe base64.
const (
	TriggerTag  = "trigger"
	VersionTag  = "workflow"
	UserTag     = "user"
	ObjectTag   = "object"
	TenantTag   = "tenant"
	BulkTag     = "bulk"
	RunTag      = "run"
	ScheduleTag = "schedule"
	FeedOpTag   = "feedop"
)

func globalID(tag, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tag + ":" + key))
}

// ParseID takes a global id apart, as far as it is one of those; ok is false for anything else.
func ParseID(id string) (tag, key string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) > 64 {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

var errNoSuchID = belfry.Errorf(belfry.NotFound, "no such id")

// ParseUUID reads the key of a trigger's or schedule's global id; NotFound for anything else.
func ParseUUID(key string) (uuid.UUID, error) {
	id, err := uuid.Parse(key)
	if err != nil || id.String() != key {
		return uuid.Nil, errNoSuchID
	}
	return id, nil
}

// runKey is the key of a run's global id, and its cursor: a run is a trigger for a recipient.
func runKey(recipient belfry.RecipientID, trigger uuid.UUID) string {
	return fmt.Sprintf("%d:%s", recipient, trigger)
}

// ParseRunKey reads what runKey made; NotFound for anything else.
func ParseRunKey(key string) (belfry.RecipientID, uuid.UUID, error) {
	number, rest, _ := strings.Cut(key, ":")
	recipient, err := strconv.ParseInt(number, 10, 64)
	if err != nil || recipient <= 0 {
		return 0, uuid.Nil, errNoSuchID
	}
	trigger, err := ParseUUID(rest)
	return belfry.RecipientID(recipient), trigger, err
}

// idCursor is the place of a recipient in a list: its external id, in URL-safe base64.
func idCursor(externalID string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(externalID))
}

// ParseIDCursor reads a cursor; false for what is none.
func ParseIDCursor(cursor string) (externalID string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	return string(b), err == nil && belfry.ValidateExternalID(string(b), "after") == nil
}
