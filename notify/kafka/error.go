package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/evhub-dev/evhub/notify"
)

// verdicts are what a cluster's error codes mean for a record. Codes without a row are Unavailable if the client would have tried again, and
// Unknown if not: they are about transactions, sequence numbers or failures that nobody foresaw.
var verdicts = map[int16]notify.Reason{
	kerr.UnknownTopicOrPartition.Code: notify.NotFound,
	kerr.UnknownTopicID.Code:          notify.NotFound,
	kerr.InvalidTopicException.Code:   notify.NotFound,

	kerr.MessageTooLarge.Code:    notify.TooLarge,
	kerr.RecordListTooLarge.Code: notify.TooLarge,

	kerr.TopicAuthorizationFailed.Code:           notify.Denied,
	kerr.ClusterAuthorizationFailed.Code:         notify.Denied,
	kerr.TransactionalIDAuthorizationFailed.Code: notify.Denied,
	kerr.DelegationTokenAuthorizationFailed.Code: notify.Denied,
	kerr.DelegationTokenExpired.Code:             notify.Denied,
	kerr.SaslAuthenticationFailed.Code:           notify.Denied,
	kerr.UnsupportedSaslMechanism.Code:           notify.Denied,
	kerr.IllegalSaslState.Code:                   notify.Denied,

	kerr.ThrottlingQuotaExceeded.Code: notify.Busy,

	kerr.InvalidRecord.Code:               notify.Invalid,
	kerr.InvalidTimestamp.Code:            notify.Invalid,
	kerr.CorruptMessage.Code:              notify.Invalid, // also: no key in a topic that is compacted
	kerr.PolicyViolation.Code:             notify.Invalid,
	kerr.UnsupportedForMessageFormat.Code: notify.Invalid,

	kerr.RequestTimedOut.Code:              notify.Unknown,
	kerr.NotEnoughReplicasAfterAppend.Code: notify.Unknown,
	kerr.NetworkException.Code:             notify.Unknown,
}

var texts = map[notify.Reason]string{
	notify.NotFound:    "The topic does not exist in the Kafka cluster.",
	notify.TooLarge:    "The message has more bytes than the Kafka client or topic takes.",
	notify.Denied:      "The Kafka cluster does not let this service write to the topic.",
	notify.Busy:        "Too many messages wait for the Kafka cluster already. Try again in a moment.",
	notify.Invalid:     "The Kafka cluster refuses the message as it is.",
	notify.Unavailable: "The Kafka cluster cannot take the message at present. It was not stored; try again.",
	notify.Unknown:     "The Kafka cluster's answer is missing. The message may be stored.",
}

// errorOf is the client's error in a Notifier's words. r is nil if it is about no record.
func (n *Notifier) errorOf(r *kgo.Record, err error) *notify.Error {
	if c := choiceOf(r); c != nil && c.missing {
		return errorf(notify.NotFound, "The topic has no partition %d.", c.partition)
	}
	reason := n.reasonOf(err)
	return &notify.Error{Reason: reason, Text: texts[reason], Err: err}
}

// errNotReady is errorOf for a question: where nothing was sent, nothing is Unknown.
func (n *Notifier) errNotReady(err error) *notify.Error {
	e := n.errorOf(nil, err)
	if e.Reason == notify.Unknown {
		e.Reason, e.Text = notify.Unavailable, "The Kafka cluster does not answer."
	}
	return e
}

func (n *Notifier) reasonOf(err error) notify.Reason {
	verdict, judged := errors.AsType[*kerr.Error](err)
	switch {
	case errors.Is(err, kgo.ErrMaxBuffered):
		return notify.Busy
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kgo.ErrAborting): // its owner takes records away whether or not they are sent
		return notify.Unknown
	case judged:
		return n.verdict(verdict)
	case unreachable(err):
		return n.givenUp()
	}
	return notify.Unknown
}

func (n *Notifier) verdict(e *kerr.Error) notify.Reason {
	reason, known := verdicts[e.Code]
	switch {
	case known:
		return reason
	case e.Retriable:
		return n.givenUp()
	}
	return notify.Unknown
}

// givenUp is what the client's giving up means. An idempotent client gives up only what no broker has.
func (n *Notifier) givenUp() notify.Reason {
	if n.forgets {
		return notify.Unknown
	}
	return notify.Unavailable
}

// unreachable says whether err is about the way to the brokers, or about the patience that the client had for it.
func unreachable(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return true
	}
	for _, known := range []error{
		kgo.ErrRecordTimeout, kgo.ErrRecordRetries, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func errorf(reason notify.Reason, format string, args ...any) *notify.Error {
	return &notify.Error{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

func errIllegal() *notify.Error {
	return errorf(notify.NotFound, "There is no topic of this name: a topic has 1 to 249 letters, digits, '.', '_' and '-'.")
}

func errClosed() *notify.Error {
	return errorf(notify.Closed, "The notification service is shutting down. Send again once it is back.")
}

func errExpired(ctx context.Context) *notify.Error {
	return &notify.Error{Reason: notify.Expired, Text: "The time ran out before the message was handed over. It was not stored.", Err: context.Cause(ctx)}
}

func errHurried() *notify.Error {
	return errorf(notify.Unknown, "The Kafka cluster refused the message or one before it. The message may be stored.")
}

func errUnknown() *notify.Error {
	return errorf(notify.Unknown, "The time ran out before Kafka answered. The message may be stored.")
}

// errNotAgain is for what was refused with its batch and could not be tried without the others.
func errNotAgain(reason notify.Reason) *notify.Error {
	return errorf(reason,
		"The Kafka cluster refused the message together with others, one of which is bad. It was not stored; send it again with fewer others.")
}
