package eventhubs

import (
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	type properties = map[string]any
	for _, row := range []struct {
		name string
		m    notify.Message
		want string // part of the text; "": it is fine
	}{
		{"empty", notify.Message{}, ""},
		{"all of it", notify.Message{ID: "ü", Body: []byte{0xff}, ContentType: "application/json; charset=utf-8", Key: "ключ"}, ""},
		{"every type", notify.Message{Properties: properties{"": "", "s": "x", "b": true, "i": 1, "i8": int8(1), "i16": int16(1), "i32": int32(1),
			"i64": int64(1), "u": uint(1), "u8": uint8(1), "u16": uint16(1), "u32": uint32(1), "u64": uint64(1), "f32": float32(1), "f64": 1.0,
			"bytes": []byte(nil), "t": time.Time{}}}, ""},
		{"partition", notify.Message{Partition: "0"}, ""},
		{"highest partition", notify.Message{Partition: "32767"}, ""},
		{"beyond", notify.Message{Partition: "32768"}, "partition is not a number"},
		{"negative", notify.Message{Partition: "-1"}, "partition is not a number"},
		{"signed", notify.Message{Partition: "+1"}, "partition is not a number"},
		{"leading zero", notify.Message{Partition: "01"}, "partition is not a number"},
		{"a path", notify.Message{Partition: "0/../../x"}, "partition is not a number"},
		{"key and partition", notify.Message{Key: "k", Partition: "0"}, "not both"},
		{"key", notify.Message{Key: "secret\xff"}, "the key is not valid UTF-8"},
		{"id", notify.Message{ID: "\xff"}, "id is not valid UTF-8"},
		{"content type", notify.Message{ContentType: "tëxt"}, "beyond ASCII"},
		{"content type with a line", notify.Message{ContentType: "a\nb"}, "beyond ASCII"},
		{"property name", notify.Message{Properties: properties{"a\xff": 1}}, `"a\xff"`},
		{"property text", notify.Message{Properties: properties{"p": "\xff"}}, `"p"`},
		{"nil", notify.Message{Properties: properties{"p": nil}}, "<nil>"},
		{"map", notify.Message{Properties: properties{"p": properties{}}}, "map[string]interface"},
		{"list", notify.Message{Properties: properties{"p": []string{}}}, "[]string"},
		{"named type", notify.Message{Properties: properties{"p": time.Second}}, "time.Duration"},
		{"complex", notify.Message{Properties: properties{"p": 1i}}, "complex128"},
	} {
		_, err := check(&row.m)
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.want != "" && err == nil:
			t.Errorf("%s: no error, want one with %q", row.name, row.want)
		case row.want != "" && (err.Reason != notify.Invalid || !strings.Contains(err.Text, row.want) || strings.Contains(err.Text, "secret")):
			t.Errorf("%s: %v (%v), want one with %q", row.name, err, err.Reason, row.want)
		}
	}
}
