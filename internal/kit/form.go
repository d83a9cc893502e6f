package kit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/setting"
)

// FormError says what is wrong with a request in JSON, and where.
type FormError struct {
	Pointer string // RFC 6901; "" is the whole document
	Text    string
}

func (e *FormError) Error() string {
	if e.Pointer == "" {
		return e.Text
	}
	return e.Pointer + ": " + e.Text
}

// pointerEscape writes a member's name for a JSON pointer (RFC 6901 section 3).
func pointerEscape(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// form reads a JSON document strictly: a field that is not known, or that is given twice, is an error. It keeps the first error; what is
// read after it is zero values, so that callers look at err once, in the end.
type form struct{ err error }

func (f *form) fail(at, format string, args ...any) {
	if f.err == nil {
		f.err = &FormError{at, fmt.Sprintf(format, args...)}
	}
}

const depthMax = 100 // of a document; deeper ones are no honest requests

// parse reads a document as encoding/json does with UseNumber.
func (f *form) parse(data []byte) any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v := f.value(d, "", 0)
	if f.err != nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		f.fail("", "there is more behind the JSON value, at byte %d", d.InputOffset())
	}
	return v
}

func (f *form) value(d *json.Decoder, at string, depth int) any {
	token, err := d.Token()
	switch {
	case err == io.EOF:
		f.fail(at, "the document ends where a JSON value must be")
	case err != nil:
		f.fail(at, "not JSON at byte %d: %v", d.InputOffset(), err)
	case depth > depthMax:
		f.fail(at, "it is nested deeper than %d levels", depthMax)
	}
	if f.err != nil {
		return nil
	}
	switch token {
	case json.Delim('{'):
		return f.members(d, at, depth)
	case json.Delim('['):
		list := []any{}
		for f.err == nil && d.More() {
			list = append(list, f.value(d, at+"/"+strconv.Itoa(len(list)), depth+1))
		}
		f.end(d, at)
		return list
	}
	return token
}

func (f *form) members(d *json.Decoder, at string, depth int) any {
	m := make(map[string]any)
	for f.err == nil && d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			f.fail(at, "not JSON at byte %d: a member's name is missing", d.InputOffset())
			return nil
		}
		below := at + "/" + pointerEscape(name)
		if _, twice := m[name]; twice {
			f.fail(below, "it is given twice")
			return nil
		}
		m[name] = f.value(d, below, depth+1)
	}
	f.end(d, at)
	return m
}

// end reads the closing bracket.
func (f *form) end(d *json.Decoder, at string) {
	if f.err == nil {
		if _, err := d.Token(); err != nil {
			f.fail(at, "not JSON at byte %d: %v", d.InputOffset(), err)
		}
	}
}

// fields are the members of an object. Each is asked for by its name; close finds what nobody asked for.
type fields struct {
	f     *form
	at    string
	m     map[string]any
	known []string
}

func (f *form) object(at string, v any) *fields {
	m, ok := v.(map[string]any)
	if !ok && f.err == nil {
		f.fail(at, "it must be an object, not %s", kindOf(v))
	}
	return &fields{f: f, at: at, m: maps.Clone(m)}
}

func (o *fields) take(name string) (v any, at string, ok bool) {
	o.known = append(o.known, name)
	v, ok = o.m[name]
	delete(o.m, name)
	return v, o.at + "/" + pointerEscape(name), ok && o.f.err == nil
}

func (o *fields) close() {
	there := "there are "
	if len(o.known) == 1 {
		there = "there is only "
	}
	for _, name := range slices.Sorted(maps.Keys(o.m)) {
		o.f.fail(o.at+"/"+pointerEscape(name), "there is no such field; %s%s", there, strings.Join(o.known, ", "))
	}
}

// kindOf names the kind of a JSON value in a sentence.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	}
	return "an object"
}

func (o *fields) text(name string) string {
	v, at, ok := o.take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		o.f.fail(at, "it must be a string, not %s", kindOf(v))
	}
	return s
}

// oneOf reads one of some words; the first is the default.
func (o *fields) oneOf(name string, words ...string) string {
	v, at, ok := o.take(name)
	if !ok {
		return words[0]
	}
	return words[max(0, o.f.indexOf(at, v, words))]
}

// indexOf says which of some words a value is, -1 after an error.
func (f *form) indexOf(at string, v any, words []string) int {
	s, _ := v.(string)
	i := slices.Index(words, s)
	if i < 0 {
		f.fail(at, "it must be one of %s, not %s", strings.Join(words, ", "), shown(v))
	}
	return i
}

func (o *fields) integer(name string, otherwise, least, most int64) int64 {
	v, at, ok := o.take(name)
	if !ok {
		return otherwise
	}
	return o.f.integer(at, v, least, most)
}

func (f *form) integer(at string, v any, least, most int64) int64 {
	number, ok := v.(json.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil || n < least || n > most {
		f.fail(at, "it must be a whole number from %d to %d, not %s", least, most, shown(v))
		return 0
	}
	return n
}

func (o *fields) duration(name string, otherwise, most time.Duration) time.Duration {
	v, at, ok := o.take(name)
	if !ok {
		return otherwise
	}
	s, _ := v.(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > most {
		o.f.fail(at, `it must be a time like "500ms" or "5s", from 0 to %s, not %s`, setting.Time(most), shown(v))
		return 0
	}
	return d
}

// list gives the elements of an array, and where each is.
func (o *fields) list(name string, most int) (list []any, at func(i int) string) {
	v, where, ok := o.take(name)
	at = func(i int) string { return where + "/" + strconv.Itoa(i) }
	if !ok {
		return nil, at
	}
	list, ok = v.([]any)
	if !ok {
		o.f.fail(where, "it must be an array, not %s", kindOf(v))
	} else if len(list) > most {
		o.f.fail(where, "it has %d elements; it may have %d", len(list), most)
	}
	if o.f.err != nil {
		return nil, at
	}
	return list, at
}
