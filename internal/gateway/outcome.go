package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// outcome is what became of one message.
type outcome struct {
	id        string
	stored    bool
	problem   *problem // why it is not known to be stored; nil also as long as nothing is known
	placed    bool
	partition string
	sequence  int64
}

// final tells whether the same message would meet the same fate again, so that the answer may be given a second time.
func (o *outcome) final() bool {
	return o.stored || o.problem != nil && (o.problem.kind == invalidMessage || o.problem.kind == tooLarge)
}

// reason is that of a message which was refused before it was sent.
func (o *outcome) reason() notify.Reason {
	if o.problem.kind == tooLarge {
		return notify.TooLarge
	}
	return notify.Invalid
}

// reasons has a row for each notify.Reason.
var reasons = [...]struct {
	kind  *kind
	words bool // what the notifier says is meant for the caller, and better than text
	text  string
}{
	notify.Internal:    {internal, false, "this is the gateway's mistake and is in its log; the message was not stored"},
	notify.Invalid:     {invalidMessage, true, "the event hub cannot take the message as it is"},
	notify.TooLarge:    {tooLarge, true, "the message is larger than the event hub takes: send a reference to what is large"},
	notify.NotFound:    {unknownHub, false, "the event hub, or the partition that the message asks for, does not exist behind this gateway"},
	notify.Denied:      {refused, false, "the event hub does not accept this gateway's own credential; its operator has the cause in the log"},
	notify.Busy:        {busy, false, "the message was not stored: send it again after the seconds in Retry-After"},
	notify.Unavailable: {unavailable, false, "the message was not stored: send it again after the seconds in Retry-After"},
	notify.Expired:     {expired, false, "the message was not stored: send it again after the seconds in Retry-After"},
	notify.Closed:      {draining, false, "this instance is shutting down: send the message again, and it will reach another one"},
	notify.Unknown: {outcomeLost, false, "the message was handed over and may be stored: sending it again may store it twice, " +
		"with the same id if the same Idempotency-Key is used"},
}

// settle turns what the notifier said of one message into an outcome.
func (o *outcome) settle(r *notify.Result) {
	if r.Err == nil {
		o.stored = true
		o.placed, o.partition, o.sequence = r.Placed, r.Partition, r.Sequence
		return
	}
	o.problem = problemFrom(r.Err)
}

func problemFrom(err error) *problem {
	e, ok := errors.AsType[*notify.Error](err)
	if !ok || int(e.Reason) >= len(reasons) {
		e = &notify.Error{Reason: notify.Internal}
	}
	row := &reasons[e.Reason]
	p := &problem{kind: row.kind, detail: row.text, retryAfter: e.RetryAfter}
	if row.words && e.Text != "" {
		p.detail = e.Text
	}
	return p
}

// send hands over the messages and settles their outcomes. It ends after HandlerTime.
//
// With an idempotency key it goes on when the client leaves: such a client is the one that will ask again for the answer.
func (c *call) send(messages []notify.Message, outcomes []*outcome, detached bool) {
	ctx := c.r.Context()
	if detached {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, c.g.o.Limits.HandlerTime)
	defer cancel()
	ctx, span := c.startSend(ctx, messages)
	begun := c.g.o.Clock.Now()
	results := c.door.notifier.Send(ctx, c.door.target, messages...)
	c.sendTime = c.g.o.Clock.Now().Sub(begun)
	if len(results) != len(messages) {
		panic("BUG: notifier of hub " + c.door.name + " gave " + strconv.Itoa(len(results)) + " results for " + strconv.Itoa(len(messages)) + " messages")
	}
	for i := range results {
		outcomes[i].settle(&results[i])
		if p := outcomes[i].problem; p != nil && p.kind == unknownHub && messages[i].Partition != "" {
			p.detail = "the event hub has no partition " + messages[i].Partition + ", or does not exist behind this gateway: " +
				"partitions are numbered from 0, and one is chosen where none is asked for"
		}
		c.tally(&results[i], len(messages[i].Body))
	}
	span.end(results)
	c.logFailure(results)
}

// logFailure tells the operator about the first failure that is not the caller's, with its cause.
func (c *call) logFailure(results []notify.Result) {
	for i := range results {
		if results[i].Err == nil {
			continue
		}
		switch reason := notify.ReasonOf(results[i].Err); reason {
		case notify.Invalid, notify.TooLarge, notify.Expired:
		case notify.Busy:
			c.g.o.Log.Debug("hub is busy", "hub", c.door.name, "err", results[i].Err)
			return
		default:
			c.g.o.Log.LogAttrs(c.r.Context(), slog.LevelWarn, "messages not stored", slog.String("hub", c.door.name),
				slog.String("reason", reason.String()), slog.Int("of", len(results)), slog.Any("err", results[i].Err))
			return
		}
	}
}

// worst picks the problem that speaks for a batch of which nothing was stored: an unknown outcome before all, the sender's own mistakes last.
func worst(outcomes []outcome) *problem {
	var p *problem
	for i := range outcomes {
		if q := outcomes[i].problem; p == nil || q.rank > p.rank {
			p = q
		}
	}
	return p
}

// slowest is the problem with the longest wait among those that name one; nil if none does.
func slowest(outcomes []outcome) *problem {
	var p *problem
	var longest time.Duration
	for i := range outcomes {
		if q := outcomes[i].problem; q != nil && max(q.retryAfter, q.wait) > longest {
			p, longest = q, max(q.retryAfter, q.wait)
		}
	}
	return p
}

// appendStored adds what a caller learns about a stored message, without the braces.
func (o *outcome) appendStored(dst []byte) []byte {
	dst = append(dst, `"id":`...)
	dst = appendQuoted(dst, o.id)
	if !o.placed {
		return dst
	}
	dst = append(dst, `,"partition":`...)
	dst = appendQuoted(dst, o.partition)
	dst = append(dst, `,"sequence":`...)
	return strconv.AppendInt(dst, o.sequence, 10)
}

func appendOutcomes(dst []byte, outcomes []outcome) []byte {
	dst = append(dst, '[')
	for i := range outcomes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = outcomes[i].appendItem(dst)
	}
	return append(dst, ']')
}

// appendItem adds an element of items[].
func (o *outcome) appendItem(dst []byte) []byte {
	p := o.problem
	if o.stored {
		dst = append(dst, `{"status":201,`...)
		return append(o.appendStored(dst), '}')
	}
	dst = append(dst, `{"status":`...)
	dst = strconv.AppendInt(dst, int64(p.status), 10)
	if o.id != "" {
		dst = appendQuoted(append(dst, `,"id":`...), o.id)
	}
	dst = appendQuoted(append(dst, `,"type":`...), problemBase+p.slug)
	dst = appendQuoted(append(dst, `,"title":`...), p.title)
	dst = appendQuoted(append(dst, `,"detail":`...), p.detail)
	if p.pointer != "" {
		dst = appendQuoted(append(dst, `,"pointer":`...), p.pointer)
	}
	dst = appendQuoted(append(dst, `,"outcome":`...), string(p.outcome))
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), p.retryable)
	return append(dst, '}')
}

// appendQuoted adds s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b == '"' || b == '\\' || b >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string cannot be encoded: " + err.Error())
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
