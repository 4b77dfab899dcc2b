package graphqlws

import (
	"fmt"
	"strings"
)

// Close codes. After 4400, 4401, 4406, 4409, 4429 and 1009 the standard JavaScript client gives up for good, because
// trying again would end the same way; after the others it connects again, after a while. 1000 is never sent first: the
// client would come back without any delay.
const (
	CloseServiceRestart           = 1012 // the server is going away
	CloseTryAgainLater            = 1013 // the client reads too slowly, or Init can't decide
	CloseTooManyMessages          = 4290 // beyond Config.MessageRate
	CloseTooManyConnections       = 4291 // beyond Config.MaxConnections
	CloseInvalidMessage           = 4400
	CloseUnauthorized             = 4401 // subscribe before connection_ack
	CloseForbidden                = 4403 // credentials refused or expired
	CloseSubprotocolNotAcceptable = 4406
	CloseInitTimeout              = 4408
	CloseDuplicateOperation       = 4409
	CloseTooManyInits             = 4429
)

// MaxCloseReason is the longest reason that fits into a close frame, in bytes. Longer ones are cut.
const MaxCloseReason = 123

// CloseError makes Init refuse a connection with a code and a reason that the client gets to see.
type CloseError struct {
	Code   int
	Reason string // at most MaxCloseReason bytes, the rest is cut
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("connection refused with code %d: %s", e.Code, e.Reason)
}

// Forbidden returns a refusal because of missing or wrong credentials. The client may connect again with others.
func Forbidden(reason string) *CloseError {
	return &CloseError{Code: CloseForbidden, Reason: reason}
}

// cutReason shortens a reason to what fits, without cutting a character in half.
func cutReason(reason string) string {
	if len(reason) <= MaxCloseReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:MaxCloseReason], "")
}
