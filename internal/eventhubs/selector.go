package eventhubs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

const (
	filterSelector = "apache.org:selector-filter:string"
	selectorPrefix = "amqp.annotation."

	// filterDescriptor is under which number the service returns a selector, whatever the client called it (recorded).
	filterDescriptor uint64 = 0x137000000A
)

// start is where a receiver begins.
type start struct {
	latest bool // at the end of the partition as it is now; with query.After unset the last event is included
	query  eventlog.Query
}

// earliest is where a receiver without a selector begins (recorded).
var earliest = start{query: eventlog.Query{By: eventlog.ByOffset, Value: eventlog.OffsetNone, After: true}}

// selectorOf takes the selector out of a source's filters: described by whatever the SDK calls it.
func selectorOf(filters amqp.Map) (text string, ok bool, err error) {
	v, ok := filters.Lookup(filterSelector)
	if !ok {
		return "", false, nil
	}
	if d, described := v.(*amqp.Described); described {
		v = d.Value
	}
	text, ok = v.(string)
	if !ok {
		return "", false, fmt.Errorf("the filter %s must hold a string", filterSelector)
	}
	return text, true, nil
}

// echoFilter is the filter map as the service returns it.
func echoFilter(selector string) amqp.Map {
	return amqp.Map{{Key: amqp.Symbol(filterSelector), Value: &amqp.Described{Descriptor: filterDescriptor, Value: selector}}}
}

// parseSelector reads the three comparisons that SDKs send: an annotation, > or >=, and a value with or without single quotes and space.
//
//	amqp.annotation.x-opt-offset > '-1'        amqp.annotation.x-opt-sequence-number >= '0'
//	amqp.annotation.x-opt-offset >'@latest'    amqp.annotation.x-opt-enqueued-time > 1745950594294
func parseSelector(text string) (start, error) {
	i := strings.IndexByte(text, '>')
	if i < 0 {
		return start{}, selectorError(text, "it must compare with > or >=")
	}
	name, operand := strings.TrimSpace(text[:i]), text[i+1:]
	operand, inclusive := strings.CutPrefix(operand, "=")
	operand = strings.TrimSpace(operand)
	if n := len(operand); n >= 2 && operand[0] == '\'' && operand[n-1] == '\'' {
		operand = operand[1 : n-1]
	}
	s := start{query: eventlog.Query{After: !inclusive}}
	switch strings.ToLower(name) {
	case selectorPrefix + "x-opt-offset":
		s.query.By = eventlog.ByOffset
	case selectorPrefix + "x-opt-sequence-number":
		s.query.By = eventlog.BySeq
	case selectorPrefix + "x-opt-enqueued-time":
		s.query.By = eventlog.ByTime
	default:
		return start{}, selectorError(text, "it must name x-opt-offset, x-opt-sequence-number or x-opt-enqueued-time")
	}
	if operand == "@latest" {
		s.latest = true
		return s, nil
	}
	value, err := strconv.ParseInt(operand, 10, 64)
	if err != nil {
		return start{}, selectorError(text, "its value must be a whole number or @latest")
	}
	s.query.Value = value
	return s, nil
}

func selectorError(text, why string) error {
	return fmt.Errorf("the selector %.256q is not understood: %s", text, why)
}
