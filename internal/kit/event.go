package kit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// Event is an event as a test sees it. Body and Properties are a copy of what is stored, made for whoever asked.
type Event struct {
	// Body is what the event carries. Of one whose AMQP body is neither data nor text nor binary it is the value as JSON.
	Body           []byte
	PartitionKey   string
	Partition      string // a decimal number
	Offset         string // a decimal number
	ID             string
	ContentType    string
	SequenceNumber int64
	EnqueuedAt     time.Time // UTC, in whole milliseconds
	Properties     map[string]any
}

// at is the event's place as texts name it: partition/sequence number.
func (e *Event) at() string { return fmt.Sprintf("%s/%d", e.Partition, e.SequenceNumber) }

// eventOf decodes a stored record.
func eventOf(partition string, r *eventlog.Record) (Event, error) {
	stored, err := event.Open(r.Data)
	if err != nil {
		return Event{}, err
	}
	p, err := stored.Plain()
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Body: p.Body, PartitionKey: p.Key, Partition: partition, ID: p.ID, ContentType: p.ContentType, Properties: p.Properties,
	}
	if p.Value != nil {
		if e.Body, err = json.Marshal(plainValue(p.Value)); err != nil {
			return Event{}, err
		}
	}
	e.place(r.Position)
	return e, nil
}

func (e *Event) place(at eventlog.Position) {
	e.Offset = fmt.Sprint(at.Offset)
	e.SequenceNumber = at.Seq
	e.EnqueuedAt = time.UnixMilli(at.TimeMs).UTC()
}

// eventJSON is an event as JSON shows it and takes it. Exactly one of Body, Text and Base64 holds the body: a JSON value, other text, or
// other bytes.
type eventJSON struct {
	Partition   string          `json:"partition,omitempty"`
	Sequence    *int64          `json:"sequence,omitempty"`
	Offset      string          `json:"offset,omitempty"`
	EnqueuedAt  *time.Time      `json:"enqueuedAt,omitempty"`
	Key         string          `json:"key,omitempty"`
	ID          string          `json:"id,omitempty"`
	ContentType string          `json:"contentType,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
	Text        *string         `json:"text,omitempty"`
	Base64      *string         `json:"base64,omitempty"`
	Props       map[string]any  `json:"props,omitempty"`
}

// MarshalJSON shows the event with its body as "body" if that is JSON, as "text" if it is other text, as "base64" otherwise.
func (e Event) MarshalJSON() ([]byte, error) { return encodeJSON(e.forJSON()) }

func (e *Event) forJSON() eventJSON {
	v := eventJSON{
		Partition: e.Partition, Sequence: &e.SequenceNumber, Offset: e.Offset, EnqueuedAt: &e.EnqueuedAt,
		Key: e.PartitionKey, ID: e.ID, ContentType: e.ContentType,
	}
	if len(e.Properties) > 0 {
		v.Props = make(map[string]any, len(e.Properties))
		for name, value := range e.Properties {
			v.Props[name] = plainValue(value)
		}
	}
	switch {
	case json.Valid(e.Body):
		v.Body = e.Body
	case utf8.Valid(e.Body):
		text := string(e.Body)
		v.Text = &text
	default:
		text := base64.StdEncoding.EncodeToString(e.Body)
		v.Base64 = &text
	}
	return v
}

// line shows the event on one line of a text.
func (e *Event) line() string {
	s := e.at()
	if e.PartitionKey != "" {
		s += " key=" + shown(e.PartitionKey)
	}
	if e.ID != "" {
		s += " id=" + shown(e.ID)
	}
	return s + " " + shown(bodyToShow(e.Body))
}
