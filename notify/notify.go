// Package notify is the port between an application that has something to tell and the event hub that takes it.
//
// An application writes against Notifier and is given an adapter: notify/eventhubs for Azure Event Hubs and for evhub's broker, notify/kafka
// for Apache Kafka, notify/local for a hub in the same process. What its users need is the truth about every single message: stored, or
// not stored and why, or unknown because the answer was lost. What could break that is one error for a whole batch, an error that does not
// say whether trying again may store a second copy, or an answer that waits longer than the caller does; so results are per message, every
// error is an *Error with a Reason, and Send ends with its context.
package notify

import (
	"context"
	"errors"
	"time"
)

// Notifier sends messages to hubs. It is safe for concurrent use.
type Notifier interface {
	// Send hands the messages to the hub and waits for what became of each: the results are as many as the messages and in their order.
	// Messages with one Key or one Partition are stored in the order of a Send, and of Sends that follow one another; Sends that overlap
	// have no order among each other. When ctx ends first, what is still open is reported as Expired if it was not handed over and as
	// Unknown if it was. The bodies and properties may not be changed until Send returns.
	Send(ctx context.Context, hub string, messages ...Message) []Result
}

// Message is one event to be.
type Message struct {
	// ID names the message to its readers (AMQP message-id, Kafka header). Nothing is done with it on the way: two messages with one ID are
	// both stored. "": none.
	ID          string
	Body        []byte
	ContentType string // of Body, such as "application/json"; "": unsaid

	// Key and Partition choose where the message goes: all of one Key go to one partition, which the service chooses, and Partition is
	// itself the choice, a decimal number. At most one may be set; with neither, the service spreads messages.
	Key       string
	Partition string

	// Properties are the application's own. Values may be string, bool, any of Go's integer and float types, []byte and time.Time.
	Properties map[string]any
}

// Result is what became of one message.
type Result struct {
	Err error // nil: stored. Else an *Error.

	// Where it was stored, if Placed: not every target tells.
	Placed    bool
	Partition string
	Sequence  int64
}

// Reason says what kind of failure an Error is, and with it whether the message may be stored and what to do.
type Reason uint8

const (
	Internal    Reason = iota // our own mistake; not stored
	Invalid                   // the message cannot be sent as it is; not stored
	TooLarge                  // more bytes than the target takes; not stored
	NotFound                  // the target has no such hub or partition; not stored
	Denied                    // the target refuses the credentials this process has; not stored
	Busy                      // the target throttles, or too much is waiting already; not stored, try again after RetryAfter
	Unavailable               // the target cannot be reached; not stored, try again
	Expired                   // the context ended before the message was handed over; not stored
	Closed                    // this Notifier was closed; not stored
	Unknown                   // handed over, and no answer came: it may be stored. Trying again may store it twice
)

var reasons = [...]string{
	"internal", "invalid", "too large", "not found", "denied", "busy", "unavailable", "expired", "closed", "unknown",
}

func (r Reason) String() string {
	if int(r) >= len(reasons) {
		return "reason?"
	}
	return reasons[r]
}

// Error is why a message is not known to be stored.
type Error struct {
	Reason     Reason
	Text       string        // what is wrong and what to do, for people; it names no key and quotes no body
	RetryAfter time.Duration // of Busy and Unavailable, as far as known; else 0
	Err        error         // cause, for the operator; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// ReasonOf gives the Reason of a Result's error; an error that is none of ours is Internal.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Internal
}

// Retryable tells whether the same message may be taken later. It is true of Unknown as well, which may store it twice.
func (r Reason) Retryable() bool {
	switch r {
	case Busy, Unavailable, Expired, Unknown:
		return true
	}
	return false
}
