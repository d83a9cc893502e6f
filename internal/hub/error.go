package hub

import (
	"errors"
	"fmt"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// Kind says what went wrong in the hall's words. Each door has one table from kinds to its protocol's words.
type Kind uint8

const (
	Internal       Kind = iota // our own failure; the zero value, so that an error nobody classified is not blamed on the peer
	NotFound                   // no such namespace, hub or group
	Exists                     // a namespace, hub or group of that name is there already
	Invalid                    // malformed argument
	OutOfRange                 // no such partition
	Unauthorized               // no right, or no valid credential
	Stolen                     // evicted by a newer reader with the same or a higher epoch
	EpochTooLow                // a reader with a higher epoch lives
	EpochExists                // a reader without epoch, while one with epoch lives
	TooManyReaders             // no room for another reader without epoch
	PositionBeyond             // a start position behind the end of the partition
	TooLarge                   // more bytes than allowed
	Busy                       // over budget; the same again may succeed later
	Full                       // disk full
	Disabled                   // the entity does not take this operation at present
	Updated                    // hub, group or namespace was changed or deleted under a live link
	Closed                     // the broker shuts down
	Unavailable                // the partition cannot serve: corrupt, or the outcome of a write is unknown, as which doors tell both
	kindCount
)

var kindNames = [kindCount]string{
	Internal: "internal", NotFound: "not found", Exists: "exists", Invalid: "invalid", OutOfRange: "out of range",
	Unauthorized: "unauthorized", Stolen: "stolen", EpochTooLow: "epoch too low", EpochExists: "epoch exists",
	TooManyReaders: "too many readers", PositionBeyond: "position beyond", TooLarge: "too large", Busy: "busy", Full: "full",
	Disabled: "disabled", Updated: "updated", Closed: "closed", Unavailable: "unavailable",
}

// Kinds lists all kinds, so that a door can test that its table has a row for each.
func Kinds() []Kind {
	kinds := make([]Kind, kindCount)
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

func (k Kind) String() string {
	if k >= kindCount {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Error is a refusal or a failure with two readers: the peer's person reads Text, the operator also Hint and Err.
type Error struct {
	Kind Kind
	Text string // a sentence for the peer's person, as the service says it where recorded, without its trackers
	Hint string // what may help: near names, say; "" if there is nothing to add
	Err  error  // cause, for the operator; may be nil
}

func (e *Error) Error() string {
	text := e.Text
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf classifies err, the logs' own errors included. What it does not know is Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if _, ok := errors.AsType[*eventlog.BeyondError](err); ok {
		return PositionBeyond
	}
	if _, ok := errors.AsType[*eventlog.CorruptError](err); ok {
		return Unavailable
	}
	switch {
	case errors.Is(err, eventlog.ErrBusy), errors.Is(err, eventlog.ErrConflict):
		return Busy
	case errors.Is(err, eventlog.ErrFull):
		return Full
	case errors.Is(err, eventlog.ErrClosed):
		return Closed
	case errors.Is(err, eventlog.ErrUnknown):
		return Unavailable
	}
	return Internal
}

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}
