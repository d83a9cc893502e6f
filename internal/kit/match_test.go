package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/hub"
)

func TestSameNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"1", "1.0", true},
		{"1", "1e0", true},
		{"100", "1E+2", true},
		{"0.01", "1e-2", true},
		{"-0", "0.000", true},
		{"0e99", "0", true},
		{"123456789012345678901234567890", "123456789012345678901234567890.0", true},
		{"123456789012345678901234567890", "123456789012345678901234567891", false},
		{"9007199254740993", "9007199254740992", false},
		{"1", "-1", false},
		{"1", "10", false},
		{"1e999999999999999999999", "1e999999999999999999999", true},
		{"1e999999999999999999999", "10e999999999999999999998", false}, // beyond what is compared by value
		{"1e4000000000", "10e3999999999", true},
	} {
		if got := sameNumber(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// diffs writes differences as path: want != got.
func diffs(list []FieldDiff) string {
	var texts []string
	for _, d := range list {
		want, got := shownPair(d.Want, d.Got)
		texts = append(texts, fmt.Sprintf("%s: %s != %s", d.Path, want, got))
	}
	return strings.Join(texts, "; ")
}

func TestMatchers(t *testing.T) {
	t.Parallel()
	type order struct {
		ID    string `json:"id"`
		Total int    `json:"total,omitempty"`
	}
	paid := Event{
		Body:         []byte(`{"State":"paid","ID":7,"lines":[{"sku":"a","n":1},{"sku":"b"}],"big":12345678901234567890,"odd.name":null}`),
		PartitionKey: "7", Partition: "2",
		Properties: map[string]any{
			"schema": "order.v1", "n": int32(3), "u": uint64(math.MaxUint64), "f": 1.5, "at": amqp.Timestamp(1500), "b": []byte{1, 2}, "t": true,
			"id": amqp.UUID{0: 0x0e, 15: 0x17}, "odd.name": "x", "s": amqp.Symbol("sym"), "nan": math.NaN(), "nil": nil, "f32": float32(0.1),
		},
	}
	plain := Event{Body: []byte("hello")}
	wild := Event{Body: []byte{0xff, 0x00}}
	for _, c := range []struct {
		name string
		m    Match
		e    Event
		want string
	}{
		{"text", Body("hello"), plain, ""},
		{"bytes", Body([]byte("hello")), plain, ""},
		{"other text", Body("hell"), plain, "body: hell != hello"},
		{"binary", Body("x"), wild, "body: x != 0xff00"},
		{"no body", Body(""), plain, `body: "" != hello`},
		{"structure, other form", Body(map[string]any{"a": 1, "b": []int{2}}), Event{Body: []byte(` {"b":[2.0], "a":1e0}`)}, ""},
		{"struct", Body(order{ID: "7"}), Event{Body: []byte(`{"id":"7"}`)}, ""},
		{"struct, a member more", Body(order{ID: "7"}), Event{Body: []byte(`{"id":"7","x":1}`)}, "body.x: (none) != 1"},
		{"struct, a member less", Body(order{ID: "7", Total: 2}), Event{Body: []byte(`{"id":"7"}`)}, "body.total: 2 != (none)"},
		{"string for number", Body(map[string]any{"a": "1"}), Event{Body: []byte(`{"a":1}`)}, `body.a: "1" != 1`},
		{"not JSON", Body(order{ID: "7"}), plain, `body: {"id":"7"} != not JSON: hello`},
		{"JSON and more", Body(1), Event{Body: []byte(`1 2`)}, "body: 1 != not JSON: 1 2"},
		{"raw JSON", Body(json.RawMessage(`[1]`)), Event{Body: []byte(`[1.0]`)}, ""},
		{"longer array", Body([]int{1}), Event{Body: []byte(`[1,2]`)}, "body[1]: (none) != 2"},
		{"shorter array", Body([]int{1, 2}), Event{Body: []byte(`[1]`)}, "body[1]: 2 != (none)"},
		{"object for scalar", Body(map[string]any{"a": 1}), Event{Body: []byte(`{"a":{"b":1}}`)}, `body.a: 1 != {"b":1}`},

		{"subset", Subset(map[string]any{"State": "paid", "lines": []any{map[string]any{"sku": "a"}, map[string]any{}}}), paid, ""},
		{"subset, exact big number", Subset(json.RawMessage(`{"big":12345678901234567891}`)), paid, "body.big: 12345678901234567891 != 12345678901234567890"},
		{"subset, two differ", Subset(map[string]any{"State": "new", "ID": 8}), paid, "body.ID: 8 != 7; body.State: new != paid"},
		{"subset, array shorter", Subset(map[string]any{"lines": []any{map[string]any{}}}), paid, `body.lines[1]: (none) != {"sku":"b"}`},
		{"subset of null", Subset(map[string]any{"odd.name": nil}), paid, ""},
		{"subset, missing", Subset(map[string]any{"none": nil}), paid, "body.none: null != (none)"},

		{"path", Path("lines[0].n", 1.0), paid, ""},
		{"path differs", Path("lines[0].n", 2), paid, "body.lines[0].n: 2 != 1"},
		{"path to object", Path("lines[1]", map[string]any{"sku": "c"}), paid, "body.lines[1].sku: c != b"},
		{"path to array", Path("lines", []any{}), paid, `body.lines[0]: (none) != {"n":1,"sku":"a"}; body.lines[1]: (none) != {"sku":"b"}`},
		{"path to nothing", Path("lines[7]", 1), paid, "body.lines[7]: 1 != (none)"},
		{"path, odd name", Path(`["odd.name"]`, 1), paid, `body["odd.name"]: 1 != null`},
		{"path to all", Path("$", 1), Event{Body: []byte("2")}, "body: 1 != 2"},
		{"path, not JSON", Path("State", 1), plain, "body.State: 1 != not JSON: hello"},

		{"prop", Prop("schema", "order.v1"), paid, ""},
		{"prop differs", Prop("schema", "order.v2"), paid, "props.schema: order.v2 != order.v1"},
		{"prop is missing", Prop("none", 1), paid, "props.none: 1 != (none)"},
		{"prop, odd name", Prop("odd.name", "y"), paid, `props["odd.name"]: y != x`},
		{"prop, other integer type", Prop("n", 3), paid, ""},
		{"prop, float for integer", Prop("n", 3.0), paid, ""},
		{"prop, largest", Prop("u", uint64(math.MaxUint64)), paid, ""},
		{"prop, float", Prop("f", 1.5), paid, ""},
		{"prop, short float", Prop("f32", float32(0.1)), paid, ""},
		{"prop, time", Prop("at", time.Unix(1, 500e6)), paid, ""},
		{"prop, time as text", Prop("at", "1970-01-01T00:00:01.5Z"), paid, ""},
		{"prop, binary", Prop("b", []byte{1, 2}), paid, ""},
		{"prop, UUID", Prop("id", "0e000000-0000-0000-0000-000000000017"), paid, ""},
		{"prop, symbol", Prop("s", "sym"), paid, ""},
		{"prop, bool", Prop("t", false), paid, "props.t: false != true"},
		{"prop, NaN", Prop("nan", math.NaN()), paid, ""},
		{"prop, nil", Prop("nil", nil), paid, ""},

		{"key", Key("7"), paid, ""},
		{"other key", Key("8"), paid, `key: "8" != "7"`},
		{"no key", Key("8"), plain, `key: "8" != (none)`},
		{"partition", Partition("3"), paid, `partition: "3" != "2"`},

		{"that", That("large", func(e Event) error { return nil }), paid, ""},
		{"not that", That("large", func(e Event) error { return errors.New("only 3") }), paid, "large: (none) != only 3"},
	} {
		if got := diffs(c.m.Diff(c.e)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestCloudEvents(t *testing.T) {
	t.Parallel()
	binary := func(prefix string) Event {
		return Event{Properties: map[string]any{prefix + "specversion": "1.0", prefix + "type": "order.paid", prefix + "source": "/shop"}}
	}
	structured := func(body string) Event {
		return Event{ContentType: "application/cloudevents+json; charset=utf-8", Body: []byte(body)}
	}
	const none = "cloudEvent: a CloudEvent != neither properties named cloudEvents:... nor the content type application/cloudevents+json"
	for _, c := range []struct {
		name, typ, source string
		e                 Event
		want              string
	}{
		{"binary", "order.paid", "/shop", binary("cloudEvents:"), ""},
		{"binary, other spelling", "order.paid", "/shop", binary("cloudEvents_"), ""},
		{"Kafka's spelling", "order.paid", "/shop", binary("ce_"), ""},
		{"any", "", "", binary("cloudEvents:"), ""},
		{"other type", "order.sent", "", binary("cloudEvents:"), "cloudEvent.type: order.sent != order.paid"},
		{"both differ", "a", "b", binary("cloudEvents:"), "cloudEvent.type: a != order.paid; cloudEvent.source: b != /shop"},
		{"structured", "order.paid", "/shop", structured(`{"specversion":"1.0","type":"order.paid","source":"/shop"}`), ""},
		{"structured, no source", "", "/shop", structured(`{"specversion":"1.0","type":"order.paid"}`), "cloudEvent.source: /shop != (none)"},
		{"structured, no version", "", "", structured(`{"type":"order.paid"}`), none},
		{"structured, no object", "", "", structured(`[]`), none},
		{"structured, no JSON", "", "", structured(`{`), none},
		{"plain", "", "", Event{ContentType: "application/json", Body: []byte(`{"specversion":"1.0"}`)}, none},
	} {
		if got := diffs(CloudEvent(c.typ, c.source).Diff(c.e)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestDiffJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    FieldDiff
		want string
	}{
		{FieldDiff{"a", "x", json.Number("1")}, `{"got":1,"path":"a","want":"x"}`},
		{FieldDiff{"a", nil, Absent{}}, `{"path":"a","want":null}`},
		{FieldDiff{"a", Absent{}, map[string]any{"b": true}}, `{"got":{"b":true},"path":"a"}`},
	} {
		if b, err := json.Marshal(c.d); err != nil || string(b) != c.want {
			t.Errorf("%s, %v; want %s", b, err, c.want)
		}
	}
}

func TestPlainValue(t *testing.T) {
	t.Parallel()
	type own struct{ A int }
	for _, c := range []struct {
		v    any
		want string
	}{
		{amqp.List{int8(1), "a", amqp.List{nil}}, `[1,"a",[null]]`},
		{amqp.Map{{Key: amqp.Symbol("k"), Value: uint8(2)}, {Key: int64(3), Value: true}}, `{"3":true,"k":2}`},
		{amqp.SymbolArray("x", "y"), `["x","y"]`},
		{&amqp.Described{Descriptor: uint64(1), Value: float32(2)}, "2"},
		{amqp.Char('ß'), "ß"},
		{own{1}, `{"A":1}`},
		{math.Inf(1), "+Inf"},
		{time.Duration(5), `5`},
	} {
		if got := shown(plainValue(c.v)); got != c.want {
			t.Errorf("%v shows as %s, want %s", c.v, got, c.want)
		}
	}
}

// TestMatchersThatAreNone: what cannot be read matches nothing, and must not pass for events that do not come. Nobody waits for it either.
func TestMatchersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m    Match
		want string
	}{
		{Path("lines[0.sku", "x"), "The matcher 'path lines[0.sku' cannot be used: the path \"lines[0.sku\" is wrong at byte 6"},
		{Path("a..b", 1), `a name is missing; a name with special characters is written ["like.this"]`},
		{Path("a", func() {}), "The matcher 'path a' cannot be used: json: unsupported type: func()"},
		{Subset(func() {}), "The matcher 'subset' cannot be used: json: unsupported type: func()"},
		{Body(make(chan int)), "The matcher 'body' cannot be used: json: unsupported type: chan int"},
		{Prop("p", func() {}), "The matcher 'prop p' cannot be used: json: unsupported type: func()"},
		{That("odd", nil), "The matcher 'odd' cannot be used: there is no function to ask"},
		{Match{Name: "own"}, "The matcher 'own' cannot be used: it has no Diff"},
		{Match{Name: "own", Err: errors.New("no reason")}, "The matcher 'own' cannot be used: no reason"},
		{Partition(""), "a partition has a number"},
		{Partition("4"), "The matcher 'partition = \"4\"' cannot be used: the partitions of hub 'orders' are 0 to 3."},
		{Partition("01"), "are 0 to 3"},
		{Partition("x"), "are 0 to 3"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoom(t)
			s := r.space("s1")
			start := time.Now()
			for _, x := range []Expectation{None(c.m), Exactly(0, Key("k"), c.m), AtLeast(1, c.m)} {
				_, err := s.Expect(within(t, time.Minute), "orders", Mark{}, Request{Expect: []Expectation{AtLeast(0), x}})
				wantKind(t, c.m.Name, err, hub.Invalid, c.want)
			}
			_, err := s.List("orders", Mark{}, []Match{c.m}, 1)
			wantKind(t, c.m.Name+" in a list", err, hub.Invalid, c.want)
			if d := time.Since(start); d != 0 {
				t.Errorf("%s: it took %v", c.m.Name, d)
			}
		})
	}
}

func TestMatcherNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		match Match
		want  string
	}{
		{Body("1"), "body = 1"},
		{Body(" 1x"), `body = " 1x"`},
		{Body([]byte{0xff}), "body = 0xff"},
		{Body(strings.Repeat("x", 61)), "body = " + strings.Repeat("x", 60) + "... (61 bytes)"},
		{Subset(map[string]any{"State": "paid"}), `subset {"State":"paid"}`},
		{Path("lines[0].n", 2), "path lines[0].n = 2"},
		{Prop("schema", nil), "prop schema = null"},
		{Key(""), `key = ""`},
		{CloudEvent("", "/shop"), "cloudEvent source = /shop"},
		{CloudEvent("", ""), "cloudEvent"},
		{That("is new", func(Event) error { return nil }), "is new"},
	} {
		if c.match.Name != c.want {
			t.Errorf("got %s, want %s", c.match.Name, c.want)
		}
	}
}
