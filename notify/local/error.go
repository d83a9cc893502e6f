package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

// retryAfter is what a sender that finds the log over budget is asked to wait.
const retryAfter = 2 * time.Second

// reasons are a Notifier's words for the hall's kinds. A test sees that each kind has its row.
var reasons = map[hub.Kind]notify.Reason{
	hub.Internal:       notify.Internal,
	hub.NotFound:       notify.NotFound,
	hub.Exists:         notify.Invalid,
	hub.Invalid:        notify.Invalid,
	hub.OutOfRange:     notify.NotFound,
	hub.Unauthorized:   notify.Denied,
	hub.Stolen:         notify.Unavailable,
	hub.EpochTooLow:    notify.Unavailable,
	hub.EpochExists:    notify.Unavailable,
	hub.TooManyReaders: notify.Busy,
	hub.PositionBeyond: notify.Invalid,
	hub.TooLarge:       notify.TooLarge,
	hub.Busy:           notify.Busy,
	hub.Full:           notify.Unavailable,
	hub.Disabled:       notify.Unavailable,
	hub.Updated:        notify.Unavailable, // deleted under the link: trying again finds out whether it is there again
	hub.Closed:         notify.Closed,
	hub.Unavailable:    notify.Unavailable,
}

// errorOf is a failure of the hall in a Notifier's words.
func errorOf(e *hub.Error) *notify.Error {
	err := &notify.Error{Reason: reasons[e.Kind], Text: e.Text, Err: e.Err}
	if e.Hint != "" { // for the operator: it names what the sender may not know of
		err.Err = errors.Join(errors.New(e.Hint), e.Err)
	}
	if err.Reason == notify.Busy {
		err.RetryAfter = retryAfter
	}
	return err
}

// hubError is err in the hall's words; the logs have none for people.
func hubError(err error) *hub.Error {
	if e, ok := errors.AsType[*hub.Error](err); ok {
		return e
	}
	kind := hub.KindOf(err)
	text := "The message was not stored."
	switch kind {
	case hub.Busy:
		text = "The broker is out of memory for events that are not stored yet. Wait a moment and try again."
	case hub.Full:
		text = "The message was not stored: the disk is full."
	case hub.Unavailable:
		text = "The partition cannot be served: what is stored of it is damaged."
	case hub.Closed:
		text = "The partition is closed."
	}
	return &hub.Error{Kind: kind, Text: text, Err: err}
}

// errLost is the end of an operation whose answer does not reach the sender.
func errLost(cause error) *hub.Error {
	return &hub.Error{Kind: hub.Unavailable, Text: "The answer was lost. The message may be stored.", Err: cause}
}

// unknown says whether the log does not know itself what became of a batch.
func unknown(err error) bool { return errors.Is(err, eventlog.ErrUnknown) }

func errorf(reason notify.Reason, format string, args ...any) *notify.Error {
	return &notify.Error{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

func errClosed() *notify.Error {
	return errorf(notify.Closed, "The notification service is shutting down. Send again once it is back.")
}

func errExpired(ctx context.Context) *notify.Error {
	return &notify.Error{Reason: notify.Expired, Text: "The time ran out before the message was handed over. It was not stored.", Err: context.Cause(ctx)}
}

func errUnknown(ctx context.Context) *notify.Error {
	return &notify.Error{Reason: notify.Unknown, Text: "The time ran out before an answer came. The message may be stored.", Err: context.Cause(ctx)}
}
