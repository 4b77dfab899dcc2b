package model

import (
	"encoding/base64"
	"strings"
)

// Global ids of everything but feed items: a tag, a colon and a key, in URL-safe base64.
const (
	TriggerTag = "trigger"
	VersionTag = "workflow"
	UserTag    = "user"
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
