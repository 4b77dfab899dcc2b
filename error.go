package belfry

import (
	"errors"
	"fmt"
)

// Code classifies an error for whoever made the call. The set is closed and part of the API: GraphQL shows it
// as extensions.code, in this spelling.
type Code string

const (
	Unauthenticated Code = "UNAUTHENTICATED" // no key, or one that is unknown, revoked or expired
	Forbidden       Code = "FORBIDDEN"       // a valid key that may not do this
	NotFound        Code = "NOT_FOUND"       // also for things that exist in somebody else's environment or feed
	Invalid         Code = "INVALID"         // the input is wrong: Field says where, Limit what is allowed
	Conflict        Code = "CONFLICT"        // the input contradicts what is stored
	TooLarge        Code = "TOO_LARGE"       // Invalid by size: Field and Limit are set
	// WorkflowInactive: the workflow is switched off, so nothing was triggered.
	WorkflowInactive Code = "WORKFLOW_INACTIVE"
	// NotConfigured: the operator of the server hasn't set what this needs.
	NotConfigured Code = "NOT_CONFIGURED"
	Internal      Code = "INTERNAL" // our fault; the message never leaves the server
)

// Error is an error that its reader can act upon.
type Error struct {
	Code    Code
	Message string // a sentence for the caller; never holds secrets or SQL
	Field   string // path of the offending input, such as "input.recipients[3].user"; empty if none
	Limit   int    // the limit that was broken; 0 if none
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Errorf makes an Error with a code and a message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// At names the input field that the error is about.
func (e *Error) At(format string, args ...any) *Error {
	e.Field = fmt.Sprintf(format, args...)
	return e
}

// Beyond makes the error for an input that is over a limit.
func Beyond(field string, limit int, unit string) *Error {
	return &Error{Code: TooLarge, Field: field, Limit: limit, Message: fmt.Sprintf("at most %d %s are allowed", limit, unit)}
}

// CodeOf returns the code of the first Error in err's chain, and Internal for any other error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
