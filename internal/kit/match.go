package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/hub"
)

// Match is one thing to hold for an event. Diff gives what does not hold, or nothing; the more it gives, the farther the event is from
// what is wanted. Diff may be called from several goroutines and must not change the event.
type Match struct {
	Name string // for texts: what is looked at, and the value that is wanted as far as a line goes
	Diff func(Event) []FieldDiff
	Err  error // why there is no such matcher: a request that has it fails before it looks at anything

	partition string // that all events are in for which it can hold; "": any
}

// check says why no event of the hub can tell whether the matcher holds. Without it a mistake would pass for absence.
func (m *Match) check(h *hub.Hub) error {
	err := m.Err
	switch {
	case err == nil && m.Diff == nil:
		err = errors.New("it has no Diff")
	case err == nil && m.partition != "":
		if _, none := h.Partition(m.partition); none != nil {
			err = fmt.Errorf("the partitions of hub '%s' are 0 to %d", h.Name(), h.PartitionCount()-1)
		}
	}
	if err == nil {
		return nil
	}
	return invalid("The matcher '%s' cannot be used: %v.", m.Name, err)
}

// named names a matcher by what it looks at and what it wants there.
func named(what string, want any) string { return what + " = " + brief(want) }

// Body wants this body: the same bytes where v is a string or []byte, otherwise the JSON of v, compared by value: order of members and form
// of numbers do not count.
func Body(v any) Match {
	switch v := v.(type) {
	case []byte:
		return bodyBytes("body", v)
	case string:
		return bodyBytes("body", []byte(v))
	}
	return bodyJSON("body", v, false)
}

func bodyBytes(name string, want []byte) Match {
	want = bytes.Clone(want)
	return Match{Name: named(name, bodyToShow(want)), Diff: func(e Event) []FieldDiff {
		if bytes.Equal(e.Body, want) {
			return nil
		}
		return []FieldDiff{{"body", bodyText(want), bodyText(e.Body)}}
	}}
}

// bodyToShow is a body as shown takes it: the JSON that it is, else its text.
func bodyToShow(b []byte) any {
	if json.Valid(b) {
		return json.RawMessage(b)
	}
	return bodyText(b)
}

// bodyText is a body as a JSON string: as it is if it is text, else its hex digits.
func bodyText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	const bytesMax = 256
	if len(b) > bytesMax {
		return fmt.Sprintf("0x%x... (%d bytes)", b[:bytesMax], len(b))
	}
	return fmt.Sprintf("0x%x", b)
}

// Subset wants a JSON body that has at least what the JSON of v has: objects may have further members, at any depth; arrays have as many
// elements as in v, each with at least what that one has. Of a struct all fields are wanted, zero ones too unless they have omitempty: to leave
// some out give a map.
func Subset(v any) Match { return bodyJSON("subset", v, true) }

func bodyJSON(name string, v any, subset bool) Match {
	want, err := jsonOf(v)
	if err != nil {
		return broken(name, err)
	}
	title := named(name, want)
	if subset {
		title = name + " " + brief(want)
	}
	return Match{Name: title, Diff: func(e Event) []FieldDiff {
		got, diff := bodyValue(e, want)
		if diff != nil {
			return diff
		}
		c := comparison{subset: subset}
		c.compare("body", want, got)
		return c.diffs
	}}
}

// bodyValue is the body as JSON, or the difference that it is not.
func bodyValue(e Event, want any) (any, []FieldDiff) {
	got, err := parseJSON(e.Body)
	if err != nil {
		return nil, []FieldDiff{{"body", want, notJSON(e.Body)}}
	}
	return got, nil
}

func notJSON(body []byte) string { return "not JSON: " + bodyText(body) }

// broken is a matcher that could not be made.
func broken(name string, err error) Match { return Match{Name: name, Err: err} }

// Path wants the value at a path of a JSON body to equal the JSON of v. Paths look like State, lines[0].sku, lines[-1] or ["odd.name"].
func Path(path string, v any) Match {
	name := "path " + path
	want, err := jsonOf(v)
	if err != nil {
		return broken(name, err)
	}
	return pathMatch(path, want, func(got any) []FieldDiff {
		c := comparison{}
		c.compare("", want, got)
		return c.diffs
	})
}

// pathMatch finds the value; compare gives differences with paths below it.
func pathMatch(path string, want any, compare func(got any) []FieldDiff) Match {
	name := "path " + path
	steps, err := parsePath(path)
	if err != nil {
		return broken(name, err)
	}
	at := "body"
	if p := steps.String(); strings.HasPrefix(p, "[") {
		at += p
	} else if p != "" {
		at += "." + p
	}
	return Match{Name: named(name, want), Diff: func(e Event) []FieldDiff {
		body, diff := bodyValue(e, want)
		if diff != nil {
			return []FieldDiff{{at, want, diff[0].Got}}
		}
		got, ok := steps.find(body)
		if !ok {
			return []FieldDiff{{at, want, Absent{}}}
		}
		diffs := compare(got)
		for i := range diffs {
			diffs[i].Path = join(at, diffs[i].Path)
		}
		return diffs
	}}
}

func join(path, below string) string {
	if below == "" || below[0] == '[' {
		return path + below
	}
	return path + "." + below
}

// Prop wants an application property to equal v. Numbers of all types compare by value, times with text in RFC 3339, binary with base64.
func Prop(name string, v any) Match {
	if _, err := json.Marshal(v); err != nil {
		if _, none := errors.AsType[*json.UnsupportedTypeError](err); none { // a function, say; a NaN may be wanted
			return broken("prop "+name, err)
		}
	}
	want := plainValue(v)
	path := under("props", name)
	return Match{Name: named("prop "+name, want), Diff: func(e Event) []FieldDiff {
		got, ok := e.Properties[name]
		if !ok {
			return []FieldDiff{{path, want, Absent{}}}
		}
		c := comparison{}
		c.compare(path, want, plainValue(got))
		return c.diffs
	}}
}

// Key wants this partition key.
func Key(key string) Match {
	return textMatch("key", key, func(e *Event) string { return e.PartitionKey })
}

// Partition wants the event in this partition, a decimal number. A hub that does not have it is an error.
func Partition(id string) Match {
	if id == "" {
		return broken("partition", errors.New("a partition has a number"))
	}
	m := textMatch("partition", id, func(e *Event) string { return e.Partition })
	m.partition = id
	return m
}

func textMatch(name, want string, of func(*Event) string) Match {
	return Match{Name: named(name, want), Diff: func(e Event) []FieldDiff {
		got := of(&e)
		if got == want {
			return nil
		}
		if got == "" {
			return []FieldDiff{{name, want, Absent{}}}
		}
		return []FieldDiff{{name, want, got}}
	}}
}

// cloudEventPrefixes are how bindings of CloudEvents write an attribute's name: AMQP in both of its spellings, and Kafka.
var cloudEventPrefixes = [...]string{"cloudEvents:", "cloudEvents_", "ce_"}

// CloudEvent wants a CloudEvent of this type and source, in binary or structured mode; "" is any.
func CloudEvent(typ, source string) Match {
	wants := [...]struct{ name, value string }{{"type", typ}, {"source", source}}
	name := "cloudEvent"
	for _, want := range wants {
		if want.value != "" {
			name += " " + named(want.name, want.value)
		}
	}
	return Match{Name: name, Diff: func(e Event) []FieldDiff {
		attribute := cloudEventOf(e)
		if attribute == nil {
			const why = "neither properties named cloudEvents:... nor the content type application/cloudevents+json"
			return []FieldDiff{{"cloudEvent", "a CloudEvent", why}}
		}
		var diffs []FieldDiff
		for _, want := range wants {
			got, ok := attribute(want.name)
			switch {
			case want.value == "" || got == want.value:
			case ok:
				diffs = append(diffs, FieldDiff{"cloudEvent." + want.name, want.value, got})
			default:
				diffs = append(diffs, FieldDiff{"cloudEvent." + want.name, want.value, Absent{}})
			}
		}
		return diffs
	}}
}

// cloudEventOf gives the event's attributes, or nil if it is no CloudEvent.
func cloudEventOf(e Event) func(name string) (any, bool) {
	for _, prefix := range cloudEventPrefixes {
		if _, ok := e.Properties[prefix+"specversion"]; ok {
			return func(name string) (any, bool) {
				v, ok := e.Properties[prefix+name]
				return plainValue(v), ok
			}
		}
	}
	if !strings.HasPrefix(strings.ToLower(e.ContentType), "application/cloudevents+json") {
		return nil
	}
	body, err := parseJSON(e.Body)
	object, ok := body.(map[string]any)
	if err != nil || !ok || object["specversion"] == nil {
		return nil
	}
	return func(name string) (any, bool) {
		v, ok := object[name]
		return v, ok
	}
}

// That wants holds to return nil. What it returns otherwise is shown.
func That(name string, holds func(Event) error) Match {
	if holds == nil {
		return broken(name, errors.New("there is no function to ask"))
	}
	return Match{Name: name, Diff: func(e Event) []FieldDiff {
		if err := holds(e); err != nil {
			return []FieldDiff{{name, Absent{}, err.Error()}}
		}
		return nil
	}}
}

// queryMatches reads matchers from the parameters of a URL: path.<path>, prop.<name>, text, key, partition. A value there is always text, so a
// number, a boolean or null in the event matches its JSON text as well.
func queryMatches(values map[string][]string) ([]Match, error) {
	var list []Match
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) != 1 {
			return nil, &FormError{"/" + pointerEscape(name), fmt.Sprintf("it is given %d times; once is enough", len(values[name]))}
		}
		value := values[name][0]
		kind, rest, _ := strings.Cut(name, ".")
		switch {
		case kind == "path" && rest != "":
			if _, err := parsePath(rest); err != nil {
				return nil, &FormError{"/" + pointerEscape(name), err.Error()}
			}
			list = append(list, pathMatch(rest, value, func(got any) []FieldDiff { return looseDiff("", value, got) }))
		case kind == "prop" && rest != "":
			list = append(list, looseProp(rest, value))
		case name == "text":
			list = append(list, bodyBytes(name, []byte(value)))
		case name == "key":
			list = append(list, Key(value))
		case name == "partition":
			list = append(list, Partition(value))
		default:
			return nil, &FormError{"/" + pointerEscape(name), "it is no matcher; there are path.<path>, prop.<name>, text, key and partition"}
		}
	}
	return list, nil
}

func looseProp(name, want string) Match {
	path := under("props", name)
	return Match{Name: named("prop "+name, want), Diff: func(e Event) []FieldDiff {
		got, ok := e.Properties[name]
		if !ok {
			return []FieldDiff{{path, want, Absent{}}}
		}
		return looseDiff(path, want, plainValue(got))
	}}
}

func looseDiff(path, want string, got any) []FieldDiff {
	switch g := got.(type) {
	case string:
		if g == want {
			return nil
		}
	case json.Number:
		if sameNumber(want, string(g)) && json.Valid([]byte(want)) {
			return nil
		}
	case bool:
		if strconv.FormatBool(g) == want {
			return nil
		}
	case nil:
		if want == "null" {
			return nil
		}
	}
	return []FieldDiff{{path, want, got}}
}
