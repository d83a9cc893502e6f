package event

import (
	"errors"
	"fmt"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// Batch walks a message of format 0x80013700: an envelope whose data sections each hold one whole encoded message. Of the envelope only
// the partition key means anything; SDKs copy parts of the first event into it.
type Batch struct {
	key  []byte
	rest []byte
}

// Open starts at the first message.
func (t *Batch) Open(b []byte) error {
	*t = Batch{}
	for len(b) > 0 {
		code, _, value, next, err := amqp.NextSection(b)
		if err != nil {
			return fmt.Errorf("batch: %w", err)
		}
		if code == amqp.CodeMessageAnnotations {
			var m Message
			if err := m.scanAnnotations(value); err != nil {
				return fmt.Errorf("batch: %w", err)
			}
			t.key = m.key
		}
		if code == amqp.CodeSequence || code == amqp.CodeValue {
			return errBatchBody
		}
		if code == amqp.CodeData {
			break
		}
		b = next
	}
	t.rest = b
	return nil
}

var errBatchBody = errors.New("batch: the body of a batch must be data sections, each with one encoded message")

// Key is the partition key of the batch, or nil.
func (t *Batch) Key() []byte { return t.key }

// Next gives the next message, or nil at the end. A message may be empty, which is not nil.
func (t *Batch) Next() ([]byte, error) {
	for len(t.rest) > 0 {
		code, _, value, next, err := amqp.NextSection(t.rest)
		if err != nil {
			return nil, fmt.Errorf("batch: %w", err)
		}
		t.rest = next
		if code == amqp.CodeSequence || code == amqp.CodeValue {
			return nil, errBatchBody
		}
		if code != amqp.CodeData {
			continue
		}
		message, _, err := amqp.ReadBinary(value)
		if err != nil {
			return nil, fmt.Errorf("batch: %w", err)
		}
		return message, nil
	}
	return nil, nil
}
