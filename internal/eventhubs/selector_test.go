package eventhubs

import (
	"reflect"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

func TestParseSelector(t *testing.T) {
	t.Parallel()
	offset := func(v int64, after bool) start {
		return start{query: eventlog.Query{By: eventlog.ByOffset, Value: v, After: after}}
	}
	seq := func(v int64, after bool) start {
		return start{query: eventlog.Query{By: eventlog.BySeq, Value: v, After: after}}
	}
	at := func(v int64, after bool) start {
		return start{query: eventlog.Query{By: eventlog.ByTime, Value: v, After: after}}
	}
	latest := func(after bool) start {
		return start{latest: true, query: eventlog.Query{By: eventlog.ByOffset, After: after}}
	}
	for _, c := range []struct {
		name, text string
		want       start
	}{
		{"earliest", "amqp.annotation.x-opt-offset > '-1'", offset(-1, true)},
		{"earliest, .NET", "amqp.annotation.x-opt-offset > -1", offset(-1, true)},
		{"earliest, Rust", "amqp.annotation.x-opt-offset >'-1'", offset(-1, true)},
		{"latest", "amqp.annotation.x-opt-offset > '@latest'", latest(true)},
		{"latest, .NET", "amqp.annotation.x-opt-offset > @latest", latest(true)},
		{"latest, Rust", "amqp.annotation.x-opt-offset >'@latest'", latest(true)},
		{"latest, inclusive, Go", "amqp.annotation.x-opt-offset >= '@latest'", latest(false)},
		{"offset", "amqp.annotation.x-opt-offset > '12916091040'", offset(12916091040, true)},
		{"offset, inclusive", "amqp.annotation.x-opt-offset >= '80'", offset(80, false)},
		{"offset, .NET, inclusive", "amqp.annotation.x-opt-offset >= 80", offset(80, false)},
		{"sequence number", "amqp.annotation.x-opt-sequence-number > '7'", seq(7, true)},
		{"sequence number, inclusive", "amqp.annotation.x-opt-sequence-number >= '0'", seq(0, false)},
		{"sequence number, .NET", "amqp.annotation.x-opt-sequence-number > 7", seq(7, true)},
		{"sequence number, Rust", "amqp.annotation.x-opt-sequence-number >='7'", seq(7, false)},
		{"sequence number before the first, Python", "amqp.annotation.x-opt-sequence-number > '-1'", seq(-1, true)},
		{"time", "amqp.annotation.x-opt-enqueued-time > '1745950594294'", at(1745950594294, true)},
		{"time, inclusive", "amqp.annotation.x-opt-enqueued-time >= '1745950594294'", at(1745950594294, false)},
		{"time, .NET", "amqp.annotation.x-opt-enqueued-time > 1745950594294", at(1745950594294, true)},
		{"time of the year one", "amqp.annotation.x-opt-enqueued-time > '-62135596800000'", at(-62135596800000, true)},
		{"no blanks, odd case", "AMQP.Annotation.X-Opt-Offset>'5'", offset(5, true)},
		{"many blanks", "  amqp.annotation.x-opt-offset   >=   '5'  ", offset(5, false)},
	} {
		got, err := parseSelector(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestSelectorErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "it must compare"},
		{"no operator", "amqp.annotation.x-opt-offset '5'", "it must compare"},
		{"equals", "amqp.annotation.x-opt-offset = '5'", "it must compare"},
		{"less", "amqp.annotation.x-opt-offset < '5'", "it must compare"},
		{"only an operator", ">", "it must name"},
		{"another annotation", "amqp.annotation.x-opt-partition-key > 'a'", "it must name"},
		{"no prefix", "x-opt-offset > '5'", "it must name"},
		{"operator the wrong way round", "amqp.annotation.x-opt-offset => '5'", "it must name"},
		{"no value", "amqp.annotation.x-opt-offset >", "its value"},
		{"empty value", "amqp.annotation.x-opt-offset > ''", "its value"},
		{"half a quote", "amqp.annotation.x-opt-offset > '", "its value"},
		{"text", "amqp.annotation.x-opt-offset > 'abc'", "its value"},
		{"fraction", "amqp.annotation.x-opt-enqueued-time > '1.5'", "its value"},
		{"too many digits", "amqp.annotation.x-opt-offset > '99999999999999999999'", "its value"},
		{"geo-replicated offset", "amqp.annotation.x-opt-offset > '2:-1:-1'", "its value"},
		{"two comparisons", "amqp.annotation.x-opt-offset > '1' AND amqp.annotation.x-opt-offset > '2'", "its value"},
	} {
		_, err := parseSelector(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := parseSelector(strings.Repeat("x", 1<<16)); err == nil || len(err.Error()) > 400 {
		t.Errorf("a long selector makes an error of %d bytes", len(err.Error()))
	}
}

func FuzzParseSelector(f *testing.F) {
	f.Add("amqp.annotation.x-opt-offset > '-1'")
	f.Add("amqp.annotation.x-opt-enqueued-time >= 1745950594294")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSelector(text)
		if err == nil && !s.latest && !strings.Contains(text, ">") {
			t.Errorf("%q is %+v", text, s)
		}
	})
}

func TestSelectorOf(t *testing.T) {
	t.Parallel()
	const text = "amqp.annotation.x-opt-offset > '-1'"
	filter := func(v any) amqp.Map { return amqp.Map{{Key: amqp.Symbol(filterSelector), Value: v}} }
	for _, c := range []struct {
		name    string
		filters amqp.Map
		want    string
		ok      bool
		err     bool
	}{
		{"none", nil, "", false, false},
		{"another", amqp.Map{{Key: amqp.Symbol("other"), Value: "x"}}, "", false, false},
		{"Go and JavaScript", filter(&amqp.Described{Descriptor: uint64(0x0000468C00000004), Value: text}), text, true, false},
		{".NET", filter(&amqp.Described{Descriptor: uint64(0x137000000A), Value: text}), text, true, false},
		{"Python and Java", filter(&amqp.Described{Descriptor: amqp.Symbol(filterSelector), Value: text}), text, true, false},
		{"not described", filter(text), text, true, false},
		{"key that is a string", amqp.Map{{Key: filterSelector, Value: text}}, text, true, false},
		{"a number", filter(int64(5)), "", false, true},
		{"a described number", filter(&amqp.Described{Descriptor: uint64(1), Value: int64(5)}), "", false, true},
		{"null", filter(nil), "", false, true},
	} {
		got, ok, err := selectorOf(c.filters)
		if got != c.want || ok != c.ok || (err != nil) != c.err {
			t.Errorf("%s: %q, %t, %v; want %q, %t, error %t", c.name, got, ok, err, c.want, c.ok, c.err)
		}
	}
	want := amqp.Map{{Key: amqp.Symbol("apache.org:selector-filter:string"), Value: &amqp.Described{Descriptor: uint64(83483426826), Value: text}}}
	if got := echoFilter(text); !reflect.DeepEqual(got, want) {
		t.Errorf("the filter comes back as %v, want %v", got, want)
	}
}
