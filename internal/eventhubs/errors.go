package eventhubs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// conditions are this door's words for the hall's kinds. A test sees that each kind has its row.
var conditions = map[hub.Kind]amqp.Symbol{
	hub.Internal:       amqp.CondInternalError,
	hub.NotFound:       amqp.CondNotFound,
	hub.Exists:         amqp.CondEntityAlreadyExists,
	hub.Invalid:        amqp.CondArgumentError,
	hub.OutOfRange:     amqp.CondArgumentOutOfRange,
	hub.Unauthorized:   amqp.CondUnauthorizedAccess,
	hub.Stolen:         amqp.CondLinkStolen,
	hub.EpochTooLow:    amqp.CondLinkStolen,
	hub.EpochExists:    amqp.CondLinkStolen,
	hub.TooManyReaders: amqp.CondResourceLimitExceeded,
	hub.PositionBeyond: amqp.CondArgumentError,
	hub.TooLarge:       amqp.CondMessageSizeExceeded,
	hub.Busy:           amqp.CondServerBusy,
	hub.Full:           amqp.CondResourceLimitExceeded,
	hub.Disabled:       amqp.CondEntityDisabled,
	hub.Updated:        amqp.CondEntityUpdated,
	hub.Closed:         amqp.CondDetachForced,
	hub.Unavailable:    amqp.CondTimeout, // what every SDK sends again as it does after server-busy, which says that nothing was stored
}

// kinds are the hall's words for the conditions that this door chooses by itself.
var kinds = map[amqp.Symbol]hub.Kind{
	amqp.CondInvalidField:          hub.Invalid,
	amqp.CondArgumentError:         hub.Invalid,
	amqp.CondDecodeError:           hub.Invalid,
	amqp.CondNotImplemented:        hub.Invalid,
	amqp.CondPreconditionFailed:    hub.Invalid,
	amqp.CondNotFound:              hub.NotFound,
	amqp.CondUnauthorizedAccess:    hub.Unauthorized,
	amqp.CondAuthFailed:            hub.Unauthorized,
	amqp.CondMessageSizeExceeded:   hub.TooLarge,
	amqp.CondResourceLimitExceeded: hub.Busy,
}

// refusal is why the peer does not get what it asked for.
type refusal struct {
	*amqp.Error            // as the peer hears it
	why         *hub.Error // in the hall's words, with its hint, without trackers
}

// newRefusal words a refusal whose text ends in a tail of trackers, or in none. The condition has a row in kinds.
func newRefusal(cond amqp.Symbol, text, tail string) *refusal {
	return &refusal{&amqp.Error{Condition: cond, Description: text + tail}, &hub.Error{Kind: kinds[cond], Text: strings.TrimSpace(text)}}
}

// refusal is err as the peer hears it. system names the entity behind it in the tracker.
func (c *conn) refusal(err error, system string) *refusal {
	e, ok := errors.AsType[*hub.Error](err)
	if !ok {
		e = &hub.Error{Kind: hub.KindOf(err), Text: sentence(err)}
	}
	cond, ok := conditions[e.Kind]
	if !ok {
		cond = amqp.CondInternalError
	}
	return &refusal{&amqp.Error{Condition: cond, Description: e.Text + c.trackers(system)}, e}
}

// sentence is for errors of the log, which have no words for a peer.
func sentence(err error) string {
	switch hub.KindOf(err) {
	case hub.Busy:
		return "The request was terminated because the server is out of memory for events that are not stored yet. Please wait 2 seconds and try again."
	case hub.Full:
		return "The event was not stored: the disk is full."
	case hub.Unavailable:
		if errors.Is(err, eventlog.ErrUnknown) {
			return "The outcome of the write is unknown. The event may yet turn out stored."
		}
		return "The partition cannot be served: what is stored of it is damaged."
	case hub.Closed:
		return "The partition is closed."
	}
	return err.Error()
}

// errorf makes a refusal whose text ends in trackers as the service's do.
func (c *conn) errorf(cond amqp.Symbol, system, format string, args ...any) *refusal {
	return newRefusal(cond, fmt.Sprintf(format, args...), c.trackers(system))
}

// report tells the hall what a peer was refused.
func (c *conn) report(s hub.Subject, e *refusal) {
	if tell := c.svc.o.Hall.Reports(); tell != nil {
		tell(&hub.Report{Subject: s, Err: e.why, Condition: string(e.Condition)})
	}
}

// trackers is the tail of the service's texts: TrackingId, SystemTracker and Timestamp, the latter without a zone letter (recorded).
func (c *conn) trackers(system string) string {
	return fmt.Sprintf(" TrackingId:%s_G0, SystemTracker:%s, Timestamp:%s", randomHex(), system, c.svc.o.Clock.Now().UTC().Format("2006-01-02T15:04:05"))
}

const noSystem = "NoSystemTracker"

func randomHex() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func trackingID() string { return strings.ToUpper(randomHex()) + "_G0" }

// systemOf names a hub, and a partition and group where known, as the service's trackers do.
func systemOf(h *hub.Hub, p *hub.Partition, group string) string {
	b := h.Namespace().Name() + ":eventhub:" + h.Name()
	if p != nil {
		b += fmt.Sprintf("~%d", p.Label())
	}
	if group != "" {
		b += "|" + group
	}
	return b
}
