package eventhubs

import (
	"errors"
	"fmt"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// TestConditions has each of the hall's kinds in the table, under a condition that clients treat as they should.
func TestConditions(t *testing.T) {
	t.Parallel()
	want := map[hub.Kind]amqp.Symbol{
		hub.Internal:       "amqp:internal-error",
		hub.NotFound:       "amqp:not-found",
		hub.Exists:         "com.microsoft:entity-already-exists",
		hub.Invalid:        "com.microsoft:argument-error",
		hub.OutOfRange:     "com.microsoft:argument-out-of-range",
		hub.Unauthorized:   "amqp:unauthorized-access",
		hub.Stolen:         "amqp:link:stolen",
		hub.EpochTooLow:    "amqp:link:stolen",
		hub.EpochExists:    "amqp:link:stolen",
		hub.TooManyReaders: "amqp:resource-limit-exceeded",
		hub.PositionBeyond: "com.microsoft:argument-error",
		hub.TooLarge:       "amqp:link:message-size-exceeded",
		hub.Busy:           "com.microsoft:server-busy",
		hub.Full:           "amqp:resource-limit-exceeded",
		hub.Disabled:       "com.microsoft:entity-disabled",
		hub.Updated:        "com.microsoft:entity-updated",
		hub.Closed:         "amqp:link:detach-forced",
		hub.Unavailable:    "com.microsoft:timeout",
	}
	for _, k := range hub.Kinds() {
		got, ok := conditions[k]
		if !ok || got != want[k] {
			t.Errorf("%s is %q (%t), want %q", k, got, ok, want[k])
		}
	}
	if len(conditions) != len(hub.Kinds()) {
		t.Errorf("the table has %d rows for %d kinds", len(conditions), len(hub.Kinds()))
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	c := &conn{svc: &Service{o: Options{Clock: clock.System}}}
	for _, r := range []struct {
		name string
		err  error
		cond amqp.Symbol
		text string
	}{
		{"the hall's words", &hub.Error{Kind: hub.NotFound, Text: "No.", Hint: "hint", Err: errors.New("cause")}, amqp.CondNotFound, "No."},
		{"wrapped", fmt.Errorf("x: %w", &hub.Error{Kind: hub.Disabled, Text: "Off."}), amqp.CondEntityDisabled, "Off."},
		{"unknown kind", &hub.Error{Kind: 200, Text: "What?"}, amqp.CondInternalError, "What?"},
		{"over budget", eventlog.ErrBusy, amqp.CondServerBusy,
			"The request was terminated because the server is out of memory for events that are not stored yet. Please wait 2 seconds and try again."},
		{"disk full", fmt.Errorf("x: %w", eventlog.ErrFull), amqp.CondResourceLimitExceeded, "The event was not stored: the disk is full."},
		{"closed", eventlog.ErrClosed, amqp.CondDetachForced, "The partition is closed."},
		{"unknown outcome", eventlog.ErrUnknown, amqp.CondTimeout,
			"The outcome of the write is unknown. The event may yet turn out stored."},
		{"damaged", &eventlog.CorruptError{File: "/secret/path", Offset: 7}, amqp.CondTimeout,
			"The partition cannot be served: what is stored of it is damaged."},
		{"beyond", &eventlog.BeyondError{Next: 5}, amqp.CondArgumentError, "eventlog: beyond the end, next sequence number is 5"},
		{"anything", errors.New("boom"), amqp.CondInternalError, "boom"},
	} {
		wantRefusal(t, r.name, c.refusal(r.err, "ns1:eventhub:hub1").Error, r.cond, r.text+trackers("ns1:eventhub:hub1"))
	}
}

func TestInteger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    any
		want int64
		ok   bool
	}{
		{int64(-3), -3, true}, {int32(-3), -3, true}, {int16(-3), -3, true}, {int8(-3), -3, true},
		{uint64(3), 3, true}, {uint32(3), 3, true}, {uint16(3), 3, true}, {uint8(3), 3, true},
		{uint64(1<<63 - 1), 1<<63 - 1, true}, {"3", 0, false}, {nil, 0, false}, {3.0, 0, false},
	} {
		if got, ok := integer(c.v); got != c.want || ok != c.ok {
			t.Errorf("%T %v is %d (%t), want %d (%t)", c.v, c.v, got, ok, c.want, c.ok)
		}
	}
	if _, ok := integer(uint64(1 << 63)); ok {
		t.Error("a number beyond int64 passes")
	}
}
