package kit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// The comparison works on JSON values as encoding/json gives them with UseNumber: map[string]any, []any, json.Number, string, bool, nil.

// Absent stands in a FieldDiff for what is not there, as nil stands for JSON's null.
type Absent struct{}

func (Absent) String() string { return "(none)" }

// FieldDiff is one difference between what a matcher wants and what an event has. Paths begin with body, props, key or partition; Want and
// Got are JSON values or Absent.
type FieldDiff struct {
	Path string
	Want any
	Got  any
}

// MarshalJSON leaves out what is Absent.
func (d FieldDiff) MarshalJSON() ([]byte, error) {
	m := map[string]any{"path": d.Path}
	if d.Want != (any)(Absent{}) {
		m["want"] = d.Want
	}
	if d.Got != (any)(Absent{}) {
		m["got"] = d.Got
	}
	return json.Marshal(m)
}

// comparison gathers the differences between two JSON values.
type comparison struct {
	subset bool // members that are not wanted may be there
	diffs  []FieldDiff
}

func (c *comparison) add(path string, want, got any) {
	c.diffs = append(c.diffs, FieldDiff{path, want, got})
}

func (c *comparison) compare(path string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			c.objects(path, w, g)
			return
		}
	case []any:
		if g, ok := got.([]any); ok {
			c.arrays(path, w, g)
			return
		}
	default:
		if sameScalar(want, got) {
			return
		}
	}
	c.add(path, want, got)
}

func (c *comparison) objects(path string, want, got map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; ok {
			c.compare(under(path, name), want[name], g)
		} else {
			c.add(under(path, name), want[name], Absent{})
		}
	}
	if c.subset {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			c.add(under(path, name), Absent{}, got[name])
		}
	}
}

func (c *comparison) arrays(path string, want, got []any) {
	for i := range max(len(want), len(got)) {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= len(got):
			c.add(at, want[i], Absent{})
		case i >= len(want):
			c.add(at, Absent{}, got[i])
		default:
			c.compare(at, want[i], got[i])
		}
	}
}

func sameScalar(a, b any) bool {
	x, isNumber := a.(json.Number)
	y, both := b.(json.Number)
	if isNumber && both {
		return sameNumber(string(x), string(y))
	}
	switch b.(type) {
	case map[string]any, []any:
		return false // a is a scalar, and these do not compare
	}
	return a == b
}

// sameNumber compares JSON numbers by their value, however many digits they have.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, okX := decimalOf(a)
	y, okY := decimalOf(b)
	return okX && okY && x == y
}

// decimal is a number as digits without zeros at either end, times a power of ten.
type decimal struct {
	negative bool
	digits   string // "" for zero
	exponent int64
}

func decimalOf(s string) (d decimal, ok bool) {
	s, d.negative = strings.CutPrefix(s, "-")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.ParseInt(s[i+1:], 10, 64)
		if err != nil || n > math.MaxInt64/2 || n < math.MinInt64/2 {
			return d, false
		}
		s, d.exponent = s[:i], n
	}
	whole, fraction, _ := strings.Cut(s, ".")
	d.digits = strings.TrimLeft(whole+fraction, "0")
	d.exponent -= int64(len(fraction))
	trimmed := strings.TrimRight(d.digits, "0")
	d.exponent += int64(len(d.digits) - len(trimmed))
	d.digits = trimmed
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// parseJSON reads exactly one JSON value.
func parseJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more behind the JSON value")
	}
	return v, nil
}

// encodeJSON writes JSON without the escapes that HTML would need.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// jsonOf gives any Go value as a JSON value, by its JSON encoding.
func jsonOf(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return parseJSON(b)
}

// plainValue gives the value of a property, or what a test compares it with, as a JSON value: numbers of all types by their value, times
// as RFC 3339 in UTC, binary as base64, UUIDs as hex digits.
func plainValue(v any) any {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return v
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return timeText(v)
	case amqp.Timestamp:
		return timeText(time.UnixMilli(int64(v)))
	case amqp.UUID:
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
	case amqp.Char:
		return string(rune(v))
	case amqp.List:
		return plainList(v)
	case amqp.Array:
		return plainList(v.Elements)
	case *amqp.Described:
		return plainValue(v.Value)
	case amqp.Map:
		m := make(map[string]any, len(v))
		for _, pair := range v {
			m[fmt.Sprint(plainValue(pair.Key))] = plainValue(pair.Value)
		}
		return m
	}
	return plainOther(v)
}

func plainList(list []any) any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = plainValue(v)
	}
	return out
}

// plainOther is for the numbers, and for types of the caller's own.
func plainOther(v any) any {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return json.Number(strconv.FormatInt(r.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return json.Number(strconv.FormatUint(r.Uint(), 10))
	case reflect.Float32, reflect.Float64:
		if f := r.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Sprint(f) // JSON has no number for it
		}
		return json.Number(strconv.FormatFloat(r.Float(), 'g', -1, r.Type().Bits()))
	case reflect.String:
		return r.String()
	}
	if other, err := jsonOf(v); err == nil {
		return other
	}
	return fmt.Sprint(v)
}

func timeText(t time.Time) string {
	return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
}
