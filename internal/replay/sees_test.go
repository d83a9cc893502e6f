package replay

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The comparison sees each kind of difference, and nothing where there is none.
func TestComparisonSees(t *testing.T) {
	t.Parallel()
	const (
		attaches = `attach name="a" handle=0 role=sender source={address="x"}; attach name="b" handle=1 role=receiver source={address="x"}; `
		reply    = `transfer handle=0 delivery-id=0 more=false properties={correlation-id="1"} `
	)
	rows := []struct {
		name, azure, evhub, want string // want: the differing fields
	}{
		{"the same", `open container-id="c" idle-time-out=5`, `open container-id="c" idle-time-out=5`, ""},
		{"null against a value", `open container-id="c"`, `open container-id="c" idle-time-out=0`, "open 1: idle-time-out"},
		{"null against false", `disposition role=receiver first=1`, `disposition role=receiver first=1 batchable=false`, "disposition 1: batchable"},
		{"another form of a number", `begin handle-max=255`, `begin handle-max=uint/70:255`, "begin 1: handle-max"},
		{"another type", `begin handle-max=255`, `begin handle-max=int:255`, "begin 1: handle-max"},
		{"symbol against string", reply + `amqp-value="x"`, reply + `amqp-value='x'`, "transfer 1: amqp-value"},
		{"a field of a source", `attach source={address="x"}`, `attach source={address="x" timeout=0}`, "attach 1: source.timeout"},
		{"channel", `end`, `@1 end`, "end 1: channel"},
		{"delivery-tag empty against null", `transfer handle=0 delivery-tag=b""`, `transfer handle=0`, "transfer 1: delivery-tag"},
		{"released against accepted", `disposition first=0 state=released`, `disposition first=0 state=accepted`, "disposition 1: state"},
		{"order of keys", reply + `amqp-value={"a"=int:1 "b"=int:2}`, reply + `amqp-value={"b"=int:2 "a"=int:1}`,
			"transfer 1: amqp-value(keys)"},
		{"type of a key", reply + `amqp-value={"a"=int:1}`, reply + `amqp-value={'a'=int:1}`, "transfer 1: amqp-value(keys)"},
		{"value of a key", reply + `amqp-value={"a"=int:1}`, reply + `amqp-value={"a"=int:2}`, "transfer 1: amqp-value.a"},
		{"int against long", reply + `amqp-value={"a"=int:1}`, reply + `amqp-value={"a"=long:1}`, "transfer 1: amqp-value.a"},
		{"array against list", reply + `amqp-value=["0"]`, reply + `amqp-value=("0")`, "transfer 1: amqp-value"},
		{"order of sections", reply + `data=b"a" footer={'a'="b"}`, reply + `footer={'a'="b"} data=b"a"`, "transfer 1: sections"},
		{"number of sections", reply + `data=b"a"`, reply + `data=b"a" data=b"a"`, "transfer 1: sections"},
		{"the second of two", reply + `data=b"a" data=b"b"`, reply + `data=b"a" data=b"c"`, "transfer 1: data 2"},
		{"the end of a long body", reply + `data=b"a"*9999`, reply + `data=b"a"*9998`, "transfer 1: data"},
		{"size alone", `end size=15`, `end`, ""},
		{"a size that is not so", `end size=16`, `end`, "end 1: size"},

		{"link properties in any order", `attach properties={'a'="1" 'b'="2"}`, `attach properties={"b"="2" "a"="1"}`, ""},
		{"a link property missing", `attach properties={'a'="1"}`, `attach properties={}`, "attach 1: properties.a"},
		{"a link property more", `attach properties={}`, `attach properties={'a'="1"}`, "attach 1: properties.a"},
		{"an integer of unknown type", `attach properties={'a'=integer2:2}`, `attach properties={'a'=long:2}`, ""},
		{"an integer of another size", `attach properties={'a'=integer5:2}`, `attach properties={'a'=long:2}`, "attach 1: properties.a"},

		{"a masked part", `open container-id="<container:0123456789abcdef0123456789abcdef_G9>" size=60`,
			`open container-id="ffffffffffffffffffffffffffffffff_G12"`, ""},
		{"a masked part that is not of its form", `close error={description="<time:2025-04-29T18:18:10>"}`,
			`close error={description="2025-04-29T18:18:10Z"}`, "close 1: error.description"},
		{"the text around it", `close error={description="at <time:2025-04-29T18:18:10>"}`,
			`close error={description="on 2025-04-29T18:18:11"}`, "close 1: error.description"},
		{"a container id that changes",
			`end error={description="<container:0123456789abcdef0123456789abcdef_G9>"}; ` +
				`close error={description="<container:0123456789abcdef0123456789abcdef_G9>"}`,
			`end error={description="00000000000000000000000000000000_G1"}; close error={description="00000000000000000000000000000000_G2"}`,
			"close 1: error.description"},

		{"a frame missing", `end; close`, `end`, "close 1: frame"},
		{"a frame more", `end`, `end; close`, "begin 1: extra close"},
		{"links change places", attaches + `detach handle=0; detach handle=1`, attaches + `detach handle=1; detach handle=0`, ""},
		{"frames of one link change places", attaches + `flow handle=1; detach handle=1`, attaches + `detach handle=1; flow handle=1`, "flow 1: order"},
		{"a frame passes one of no link", attaches + `detach handle=1; end`, attaches + `end; detach handle=1`, "detach 1: order"},
		{"a handle of another number", attaches + `detach handle=1`,
			`attach name="a" handle=0 role=sender source={address="x"}; ` +
				`attach name="b" handle=2 role=receiver source={address="x"}; detach handle=2`,
			"attach 2: handle, detach 1: handle"},
		{"refused against accepted", `attach name="a" handle=0`, `attach name="a" handle=0 source={address="x"} target={address="x"}`,
			"attach 1: answer"},

		{"soon enough", `empty after=8.83s`, `empty after=8.75s`, ""},
		{"too late", `empty after=8.83s`, `empty after=9s`, "empty 1: after"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if got := seen(t, r.azure, r.evhub); got != r.want {
				t.Errorf("differences: %q, want %q", got, r.want)
			}
		})
	}
}

// seen lists the differing fields of frames in notation.
func seen(t *testing.T, azure, evhub string) string {
	t.Helper()
	s := newStreams()
	counts := map[string]int{}
	want := written(t, azure)
	for _, f := range want {
		counts[f.kind()]++
		f.key = fmt.Sprintf("%s %d", f.kind(), counts[f.kind()])
	}
	begin := step{frame: &frame{key: "begin 1"}}
	var fields []string
	for _, d := range s.compare(want, came(t, evhub), begin, map[string]string{}) {
		fields = append(fields, d.frame+": "+d.field)
	}
	return strings.Join(fields, ", ")
}

func written(t *testing.T, text string) (frames []*frame) {
	t.Helper()
	for one := range strings.SplitSeq(text, "; ") {
		one, channel := strings.CutPrefix(one, "@1 ")
		f := parseFrame(t, one, one)
		if channel {
			f.channel = 1
		}
		frames = append(frames, f)
	}
	return frames
}

// came sends the frames through the reader.
func came(t *testing.T, text string) []*frame {
	t.Helper()
	c := &client{t: t, messages: map[uint32][]byte{}}
	began := time.Now()
	for _, f := range written(t, text) {
		f.payload = f.encodeMessage()
		c.in = append(c.in, f.encode()...)
		c.got = append(c.got, arrival{len(c.in), began.Add(f.at)})
	}
	return c.take(began)
}
