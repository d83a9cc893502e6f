package amqp

import (
	"encoding/binary"
	"fmt"
)

// NextSection splits the first section off a message [3.2]: its code, the section as it stands, its value (constructor included) and what
// follows. The value is looked at for its size only. All results are parts of b; nothing is allocated.
func NextSection(b []byte) (code Code, section, value, rest []byte, err error) {
	if n := usualSection(b); n > 0 {
		return Code(b[2]), b[:n:n], b[3:n:n], b[n:], nil
	}
	return nextSection(b)
}

func nextSection(b []byte) (code Code, section, value, rest []byte, err error) {
	descriptor, value, err := ReadDescriptor(b)
	if err != nil {
		return 0, nil, nil, nil, sectionError(err)
	}
	code = Code(descriptor)
	if code < CodeHeader || code > CodeFooter {
		return 0, nil, nil, nil, sectionError(decodeErrorf("%s is not a message section", code))
	}
	rest, err = SkipValue(value)
	if err != nil {
		return 0, nil, nil, nil, fmt.Errorf("%s: %w", code, err)
	}
	return code, b[:len(b)-len(rest)], value[:len(value)-len(rest)], rest, nil
}

// usualSection is the size of the section that b starts with if it is encoded as nearly all are: a small descriptor, and a value that says
// its size in one byte, or a long binary. It is 0 for all others, right or wrong.
func usualSection(b []byte) int {
	if len(b) < 5 || b[0] != ctorDescribed || b[1] != ctorSmallUlong || Code(b[2]) < CodeHeader || Code(b[2]) > CodeFooter {
		return 0
	}
	n := 5 + uint64(b[4])
	switch b[3] {
	case ctorBinary8, ctorString8, ctorList8, ctorMap8:
	case ctorBinary32:
		if len(b) < 8 {
			return 0
		}
		n = 8 + uint64(binary.BigEndian.Uint32(b[4:]))
	default:
		return 0
	}
	if n > uint64(len(b)) {
		return 0
	}
	return int(n)
}

func sectionError(err error) error { return fmt.Errorf("message: %w", err) }

// MessageHeader is the header section [3.2.1].
type MessageHeader struct {
	Durable       Opt[bool]
	Priority      Opt[uint8]
	TTL           Opt[uint32] // milliseconds
	FirstAcquirer Opt[bool]
	DeliveryCount Opt[uint32]
}

func (h *MessageHeader) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeHeader)
	b = appendOpt(b, h.Durable, AppendBool)
	b = appendOpt(b, h.Priority, AppendUbyte)
	b = appendOpt(b, h.TTL, AppendUint)
	b = appendOpt(b, h.FirstAcquirer, AppendBool)
	b = appendOpt(b, h.DeliveryCount, AppendUint)
	return EndList(b, mark, 5)
}

func (h *MessageHeader) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeHeader)
	*h = MessageHeader{
		Durable:       optional(&f, "durable", ReadBool),
		Priority:      optional(&f, "priority", ReadUbyte),
		TTL:           optional(&f, "ttl", ReadUint),
		FirstAcquirer: optional(&f, "first-acquirer", ReadBool),
		DeliveryCount: optional(&f, "delivery-count", ReadUint),
	}
	return f.done()
}

// Properties is the properties section [3.2.4].
type Properties struct {
	MessageID          any // uint64, UUID, []byte, string or nil, and that type again on the wire
	UserID             []byte
	To                 Opt[string]
	Subject            Opt[string]
	ReplyTo            Opt[string]
	CorrelationID      any // as MessageID
	ContentType        Opt[Symbol]
	ContentEncoding    Opt[Symbol]
	AbsoluteExpiryTime Opt[Timestamp]
	CreationTime       Opt[Timestamp]
	GroupID            Opt[string]
	GroupSequence      Opt[uint32]
	ReplyToGroupID     Opt[string]
}

func (p *Properties) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeProperties)
	b = AppendValue(b, p.MessageID)
	b = appendUnlessNil(b, p.UserID, AppendBinary)
	b = appendOpt(b, p.To, AppendString)
	b = appendOpt(b, p.Subject, AppendString)
	b = appendOpt(b, p.ReplyTo, AppendString)
	b = AppendValue(b, p.CorrelationID)
	b = appendOpt(b, p.ContentType, AppendSymbol)
	b = appendOpt(b, p.ContentEncoding, AppendSymbol)
	b = appendOpt(b, p.AbsoluteExpiryTime, AppendTimestamp)
	b = appendOpt(b, p.CreationTime, AppendTimestamp)
	b = appendOpt(b, p.GroupID, AppendString)
	b = appendOpt(b, p.GroupSequence, AppendUint)
	b = appendOpt(b, p.ReplyToGroupID, AppendString)
	return EndList(b, mark, 13)
}

func (p *Properties) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeProperties)
	*p = Properties{
		MessageID:          orZero(&f, "message-id", readMessageID),
		UserID:             orZero(&f, "user-id", readBinaryCopy),
		To:                 optional(&f, "to", readAddress),
		Subject:            optional(&f, "subject", ReadString),
		ReplyTo:            optional(&f, "reply-to", readAddress),
		CorrelationID:      orZero(&f, "correlation-id", readMessageID),
		ContentType:        optional(&f, "content-type", ReadSymbol),
		ContentEncoding:    optional(&f, "content-encoding", ReadSymbol),
		AbsoluteExpiryTime: optional(&f, "absolute-expiry-time", ReadTimestamp),
		CreationTime:       optional(&f, "creation-time", ReadTimestamp),
		GroupID:            optional(&f, "group-id", ReadString),
		GroupSequence:      optional(&f, "group-sequence", ReadUint),
		ReplyToGroupID:     optional(&f, "reply-to-group-id", ReadString),
	}
	return f.done()
}

// readMessageID reads an id of one of the four types that it may have [3.2.11]-[3.2.14].
func readMessageID(b []byte) (any, []byte, error) {
	if len(b) > 0 {
		switch wideOf(b[0]) {
		case ctorUlong, ctorUUID, ctorBinary32, ctorString32:
			return ReadValue(b)
		}
	}
	return nil, nil, badValue("message id", b)
}

// Message is a message with everything decoded: for requests, replies and tests, not for the way of an event. A nil section is absent.
type Message struct {
	Header                *MessageHeader
	DeliveryAnnotations   Map
	MessageAnnotations    Map
	Properties            *Properties
	ApplicationProperties Map
	Data                  [][]byte // at most one of Data, Sequence and Value makes the body
	Sequence              []List
	Value                 any
	HasValue              bool // there is a Value, which may be nil
	Footer                Map
}

// Append writes the sections in the order of the specification.
func (m *Message) Append(b []byte) []byte {
	if m.Header != nil {
		b = m.Header.Append(b)
	}
	b = appendMapSection(b, CodeDeliveryAnnotations, m.DeliveryAnnotations)
	b = appendMapSection(b, CodeMessageAnnotations, m.MessageAnnotations)
	if m.Properties != nil {
		b = m.Properties.Append(b)
	}
	b = appendMapSection(b, CodeApplicationProperties, m.ApplicationProperties)
	for _, d := range m.Data {
		b = AppendBinary(AppendDescriptor(b, CodeData), d)
	}
	for _, l := range m.Sequence {
		b = appendList(AppendDescriptor(b, CodeSequence), l)
	}
	if m.HasValue {
		b = AppendValue(AppendDescriptor(b, CodeValue), m.Value)
	}
	return appendMapSection(b, CodeFooter, m.Footer)
}

func appendMapSection(b []byte, c Code, m Map) []byte {
	if m == nil {
		return b
	}
	return appendMap(AppendDescriptor(b, c), m)
}

// DecodeMessage reads all sections of a message, in whatever order they come, and copies them. A section that may come once and comes
// twice, or bodies of two kinds, are errors; a message without any section is not.
func DecodeMessage(b []byte) (*Message, error) {
	m := new(Message)
	for len(b) > 0 {
		code, section, value, rest, err := NextSection(b)
		if err != nil {
			return nil, err
		}
		if !m.roomFor(code) {
			return nil, sectionError(decodeErrorf("%s section after another one or another kind of body", code))
		}
		if err := m.decodeSection(code, section, value); err != nil {
			return nil, sectionError(err)
		}
		b = rest
	}
	return m, nil
}

func (m *Message) roomFor(code Code) bool {
	switch code {
	case CodeHeader:
		return m.Header == nil
	case CodeDeliveryAnnotations:
		return m.DeliveryAnnotations == nil
	case CodeMessageAnnotations:
		return m.MessageAnnotations == nil
	case CodeProperties:
		return m.Properties == nil
	case CodeApplicationProperties:
		return m.ApplicationProperties == nil
	case CodeData:
		return m.Sequence == nil && !m.HasValue
	case CodeSequence:
		return m.Data == nil && !m.HasValue
	case CodeValue:
		return m.Data == nil && m.Sequence == nil && !m.HasValue
	default: // CodeFooter
		return m.Footer == nil
	}
}

func (m *Message) decodeSection(code Code, section, value []byte) (err error) {
	switch code {
	case CodeHeader:
		m.Header = new(MessageHeader)
		_, err = m.Header.Decode(section)
		return err
	case CodeProperties:
		m.Properties = new(Properties)
		_, err = m.Properties.Decode(section)
		return err
	case CodeDeliveryAnnotations:
		m.DeliveryAnnotations, _, err = ReadMap(value)
	case CodeMessageAnnotations:
		m.MessageAnnotations, _, err = ReadMap(value)
	case CodeApplicationProperties:
		m.ApplicationProperties, _, err = ReadMap(value)
	case CodeData:
		var data []byte
		data, _, err = readBinaryCopy(value)
		m.Data = append(m.Data, data)
	case CodeSequence:
		var l List
		l, _, err = readList(value)
		m.Sequence = append(m.Sequence, l)
	case CodeValue:
		m.Value, _, err = ReadValue(value)
		m.HasValue = true
	case CodeFooter:
		m.Footer, _, err = ReadMap(value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", code, err)
	}
	return nil
}
