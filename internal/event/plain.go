package event

import (
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// Plain is an event as an application sees it: what it takes to build a message, and what a stored one shows.
type Plain struct {
	ID          string // message-id; of an id that is no string, its decimal number or hex digits
	ContentType string // ASCII
	Body        []byte // the data sections together, or the text or binary that is the body's value

	// Value is the body of a stored event that is neither, as package amqp gives it: an amqp.List for sequence sections. AppendMessage
	// takes no notice of it.
	Value any

	Key string // partition key; "": none

	// Properties are the application properties. AppendMessage takes the Go types of AMQP values, int, uint and time.Time; a stored event
	// shows the former.
	Properties map[string]any
}

// AppendMessage adds the event as an encoded AMQP message: annotations if there is a key, properties if there is an id or a content type,
// application properties by name, and a data section. The error names what has no AMQP form; b is then as it was.
func (p *Plain) AppendMessage(b []byte) ([]byte, error) {
	start := len(b)
	if len(p.Key) > keyBytesMax || !utf8.ValidString(p.Key) {
		return b, fmt.Errorf("partition key: must be at most %d bytes of UTF-8", keyBytesMax)
	}
	if !isASCII(p.ContentType) {
		return b, fmt.Errorf("content type %q: must be ASCII", p.ContentType)
	}
	if p.Key != "" {
		b = amqp.AppendDescriptor(b, amqp.CodeMessageAnnotations)
		var mark int
		b, mark = amqp.BeginMap(b)
		b = amqp.AppendString(amqp.AppendSymbol(b, annKey), p.Key)
		b = amqp.EndMap(b, mark, 1)
	}
	if p.ID != "" || p.ContentType != "" {
		var properties amqp.Properties
		if p.ID != "" {
			properties.MessageID = p.ID
		}
		if p.ContentType != "" {
			properties.ContentType = amqp.Some(amqp.Symbol(p.ContentType))
		}
		b = properties.Append(b)
	}
	b, err := p.appendProperties(b)
	if err != nil {
		return b[:start], err
	}
	b = amqp.AppendDescriptor(b, amqp.CodeData)
	return amqp.AppendBinary(b, p.Body), nil
}

func (p *Plain) appendProperties(b []byte) ([]byte, error) {
	if len(p.Properties) == 0 {
		return b, nil
	}
	b = amqp.AppendDescriptor(b, amqp.CodeApplicationProperties)
	b, mark := amqp.BeginMap(b)
	for _, name := range slices.Sorted(maps.Keys(p.Properties)) {
		if !utf8.ValidString(name) {
			return b, fmt.Errorf("property %q: the name must be UTF-8", name)
		}
		b = amqp.AppendString(b, name)
		var ok bool
		if b, ok = appendProperty(b, p.Properties[name]); !ok {
			return b, fmt.Errorf("property %q: a value of Go type %T has no AMQP form", name, p.Properties[name])
		}
	}
	return amqp.EndMap(b, mark, len(p.Properties)), nil
}

func appendProperty(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case int:
		return amqp.AppendLong(b, int64(v)), true
	case uint:
		return amqp.AppendUlong(b, uint64(v)), true
	case string:
		if !utf8.ValidString(v) {
			return b, false
		}
		return amqp.AppendString(b, v), true
	case nil, bool, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float32, float64, []byte, amqp.Timestamp, amqp.UUID, amqp.Symbol,
		amqp.Char, amqp.Decimal32, amqp.Decimal64, amqp.Decimal128:
		return amqp.AppendValue(b, v), true
	case time.Time:
		return amqp.AppendTimestamp(b, amqp.Timestamp(v.UnixMilli())), true
	}
	return b, false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Plain decodes the event, and copies what it shows.
func (s Stored) Plain() (Plain, error) {
	m, err := amqp.DecodeMessage(s.Sections())
	if err != nil {
		return Plain{}, fmt.Errorf("event: %w", err)
	}
	key, _ := s.Key()
	p := Plain{Key: string(key)}
	if m.Properties != nil {
		p.ID = idText(m.Properties.MessageID)
		p.ContentType = string(m.Properties.ContentType.V)
	}
	for _, pair := range m.ApplicationProperties {
		if p.Properties == nil {
			p.Properties = make(map[string]any, len(m.ApplicationProperties))
		}
		p.Properties[nameText(pair.Key)] = pair.Value
	}
	p.Body, p.Value = body(m)
	return p, nil
}

func body(m *amqp.Message) (data []byte, value any) {
	switch v := m.Value.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	case nil:
	default:
		return nil, v
	}
	if len(m.Sequence) > 0 {
		var whole amqp.List
		for _, part := range m.Sequence {
			whole = append(whole, part...)
		}
		return nil, whole
	}
	return slices.Concat(m.Data...), nil
}

func idText(id any) string {
	switch id := id.(type) {
	case nil:
		return ""
	case string:
		return id
	case amqp.UUID:
		return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	case []byte:
		return fmt.Sprintf("%x", id)
	}
	return fmt.Sprint(id)
}

// nameText is for senders that break the rule that a name is a string [3.2.5].
func nameText(name any) string {
	if s, ok := name.(string); ok {
		return s
	}
	return fmt.Sprint(name)
}
