package event

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

func TestPlainThereAndBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)
	rows := []struct {
		name      string
		in, out   Plain
		asWritten bool // out is in
	}{
		{name: "nothing", asWritten: true},
		{name: "a body", in: Plain{Body: []byte("x")}, asWritten: true},
		{name: "all", in: Plain{ID: "a1", ContentType: "application/json", Body: []byte("{}"), Key: "k\u00e9"}, asWritten: true},
		{name: "AMQP's own types", asWritten: true, in: Plain{Properties: map[string]any{
			"s": "text", "b": true, "i8": int8(-1), "i16": int16(-300), "i32": int32(math.MinInt32), "i64": int64(math.MaxInt64), "u8": uint8(200),
			"u16": uint16(60000), "u32": uint32(1 << 31), "u64": uint64(math.MaxUint64), "f32": float32(1.5), "f64": 2.5, "bin": []byte{0, 255}, "": nil,
		}}},
		{name: "Go's types",
			in:  Plain{Properties: map[string]any{"int": -5, "uint": uint(5), "time": at}},
			out: Plain{Properties: map[string]any{"int": int64(-5), "uint": uint64(5), "time": amqp.Timestamp(at.UnixMilli())}},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			message, err := row.in.AppendMessage([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := store(t, message[len("before"):], nil).Plain()
			want := row.out
			if row.asWritten {
				want = row.in
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%#v, %v\nwant %#v", got, err, want)
			}
		})
	}
}

func TestPlainRefuses(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		in   Plain
		part string
	}{
		{"a key that is too long", Plain{Key: strings.Repeat("k", keyBytesMax+1)}, "partition key"},
		{"a key that is no text", Plain{Key: "\xff"}, "partition key"},
		{"a content type beyond ASCII", Plain{ContentType: "text/\u00e9"}, "content type"},
		{"a property's name", Plain{Properties: map[string]any{"\xff": 1}}, `property "\xff"`},
		{"a property's text", Plain{Properties: map[string]any{"p": "\xff"}}, `property "p"`},
		{"a pointer", Plain{Properties: map[string]any{"p": (*time.Time)(nil)}}, `property "p": a value of Go type *time.Time`},
		{"a property's type", Plain{Properties: map[string]any{"p": []int{1}}}, `property "p": a value of Go type []int`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b, err := row.in.AppendMessage([]byte("before"))
			wantError(t, row.name, err, row.part)
			wantBytes(t, "what was there", b, []byte("before"))
		})
	}
}

func TestPlainOfForeignMessages(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		in   amqp.Message
		want Plain
	}{
		{"text as value", amqp.Message{Value: "abc", HasValue: true}, Plain{Body: []byte("abc")}},
		{"binary as value", amqp.Message{Value: []byte("abc"), HasValue: true}, Plain{Body: []byte("abc")}},
		{"null as value", amqp.Message{HasValue: true}, Plain{}},
		{"number as value", amqp.Message{Value: int64(7), HasValue: true}, Plain{Value: int64(7)}},
		{"several data sections", amqp.Message{Data: [][]byte{[]byte("a"), []byte("bc")}}, Plain{Body: []byte("abc")}},
		{"sequences", amqp.Message{Sequence: []amqp.List{{"a"}, {int64(1)}}}, Plain{Value: amqp.List{"a", int64(1)}}},
		{"a number as id", amqp.Message{Properties: &amqp.Properties{MessageID: uint64(7)}, HasValue: true}, Plain{ID: "7"}},
		{"a UUID as id", amqp.Message{Properties: &amqp.Properties{MessageID: amqp.UUID{0: 1, 15: 0xff}}, HasValue: true},
			Plain{ID: "01000000-0000-0000-0000-0000000000ff"}},
		{"bytes as id", amqp.Message{Properties: &amqp.Properties{MessageID: []byte{1, 0xff}}, HasValue: true}, Plain{ID: "01ff"}},
		{"a name that is no text", amqp.Message{ApplicationProperties: amqp.Map{{Key: uint64(3), Value: true}}, HasValue: true},
			Plain{Properties: map[string]any{"3": true}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := store(t, row.in.Append(nil), nil).Plain()
			if err != nil || !reflect.DeepEqual(got, row.want) {
				t.Errorf("%#v, %v\nwant %#v", got, err, row.want)
			}
		})
	}
}
