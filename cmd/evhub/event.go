package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// eventLine is an event as receive --json prints it.
type eventLine struct {
	Partition      string         `json:"partition"`
	SequenceNumber int64          `json:"sequenceNumber"`
	Offset         string         `json:"offset"`
	EnqueuedTime   *time.Time     `json:"enqueuedTime,omitempty"`
	MessageID      any            `json:"messageId,omitempty"` // as a rule a string
	Key            *string        `json:"key,omitempty"`
	ContentType    *string        `json:"contentType,omitempty"`
	Properties     map[string]any `json:"properties,omitempty"`
	Body           *string        `json:"body,omitempty"`       // UTF-8 text
	BodyBase64     []byte         `json:"bodyBase64,omitempty"` // other bytes
	BodyValue      any            `json:"bodyValue,omitempty"`  // an AMQP value, or the elements of AMQP sequences
}

func newEventLine(e received) eventLine {
	l := eventLine{
		Partition:      e.partition,
		SequenceNumber: e.SequenceNumber,
		Offset:         e.Offset,
		EnqueuedTime:   e.EnqueuedTime,
		Key:            e.PartitionKey,
		ContentType:    e.ContentType,
	}
	if raw := e.RawAMQPMessage; raw != nil && raw.Properties != nil && raw.Properties.MessageID != nil {
		l.MessageID = jsonValue(raw.Properties.MessageID)
	}
	if len(e.Properties) > 0 {
		l.Properties = jsonValue(e.Properties).(map[string]any)
	}
	body, value := bodyOf(e)
	switch {
	case value != nil:
		l.BodyValue = jsonValue(value)
	case utf8.Valid(body):
		text := string(body)
		l.Body = &text
	default:
		l.BodyBase64 = body
	}
	return l
}

// bodyOf gives the bytes of the body, or the value where it is not bytes.
func bodyOf(e received) (body []byte, value any) {
	if e.RawAMQPMessage == nil {
		return e.Body, nil
	}
	raw := e.RawAMQPMessage.Body
	switch {
	case raw.Value != nil:
		return nil, raw.Value
	case len(raw.Sequence) > 0:
		return nil, raw.Sequence
	}
	for _, part := range raw.Data {
		body = append(body, part...)
	}
	return body, nil
}

// jsonValue turns an AMQP value into one that JSON can say. What has no counterpart is written as Go prints it.
func jsonValue(v any) any {
	switch v := v.(type) {
	case nil, bool, string, []byte, time.Time, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v
	case float32:
		return jsonFloat(float64(v), 32)
	case float64:
		return jsonFloat(v, 64)
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[key] = jsonValue(value)
		}
		return m
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[fmt.Sprint(key)] = jsonValue(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = jsonValue(v[i])
		}
		return list
	case [][]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = jsonValue(v[i])
		}
		return list
	}
	return fmt.Sprint(v)
}

// jsonFloat keeps the shortest form of either width; JSON has no NaN and no infinities.
func jsonFloat(f float64, bits int) any {
	text := strconv.FormatFloat(f, 'g', -1, bits)
	if strings.ContainsAny(text, "NI") {
		return text
	}
	short, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return short
}

// printEvent writes a line for people: partition, sequence number, body. A body that would not stay on its line, or could play tricks with a
// terminal, is quoted.
func printEvent(w io.Writer, e received) error {
	body, value := bodyOf(e)
	text := string(body)
	if value != nil {
		text = fmt.Sprint(jsonValue(value))
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	_, err := fmt.Fprintf(w, "%s/%d  %s\n", e.partition, e.SequenceNumber, text)
	return err
}
