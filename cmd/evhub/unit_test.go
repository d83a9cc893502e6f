package main

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

func TestIsGoRun(t *testing.T) {
	t.Parallel()
	const hash = "0a55d3d3b62eaaba1e85e82fc04c837a28006caca437c4ef75afad57b1073968"
	for path, want := range map[string]bool{
		"/tmp/go-build1712195588/b001/exe/evhub":        true,
		"/root/.cache/go-build/0a/" + hash + "-d/evhub": true,
		"/home/me/go-cache/0a/" + hash + "-d/evhub":     true,
		"/usr/local/bin/evhub":                          false,
		"/home/me/go-builds/evhub":                      false,
		"/home/me/exe/evhub":                            false,
		"evhub":                                         false,
		"":                                              false,
		"/root/.cache/go-build/0a/" + hash + "/bin/evhub": false,
	} {
		if got := isGoRun(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	const built = "/tmp/go-build1/b001/exe/evhub"
	for _, tt := range []struct{ invoked, executable, dir, want string }{
		{"evhub", "/usr/bin/evhub", "../..", "evhub"},
		{"./evhub", "/src/evhub", "../..", "./evhub"},
		{built, built, "../..", "go run ./cmd/evhub"},
		{built, built, t.TempDir(), built}, // started from elsewhere: its path works, for as long as it is there
	} {
		if got := commandLine("linux", words(tt.invoked, tt.executable, tt.dir)...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.invoked, got, tt.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		words       []string
		sh, windows string
	}{
		{[]string{"evhub", "send", "eh1", `{"Hello":"World!"}`}, `evhub send eh1 '{"Hello":"World!"}'`, `evhub send eh1 '{"Hello":"World!"}'`},
		{[]string{"./evhub", "it's"}, `./evhub 'it'\''s'`, `./evhub 'it''s'`},
		{[]string{"evhub", "$HOME", ""}, `evhub '$HOME' ''`, `evhub '$HOME' ''`},
		{[]string{`C:\evhub\evhub.exe`, "serve"}, `'C:\evhub\evhub.exe' serve`, `C:\evhub\evhub.exe serve`},
		{[]string{`C:\Program Files\evhub.exe`, "serve"}, `'C:\Program Files\evhub.exe' serve`, `& 'C:\Program Files\evhub.exe' serve`},
	} {
		if got := commandLine("linux", tt.words...); got != tt.sh {
			t.Errorf("sh: %s, want %s", got, tt.sh)
		}
		if got := commandLine("windows", tt.words...); got != tt.windows {
			t.Errorf("PowerShell: %s, want %s", got, tt.windows)
		}
	}
}

func TestDescribeRule(t *testing.T) {
	t.Parallel()
	full := gatewayfile.Rule{
		Issuer: "entra", Kind: "user", Claim: "scp", Value: "Events.Send", Role: "Publisher", Hubs: []string{"orders", "audit-*"}, Rate: 50, BytesPerSecond: 256 << 10,
	}
	for _, tt := range []struct {
		name string
		rule gatewayfile.Rule
		want string
	}{
		{"all conditions", full, "user of entra with scp Events.Send and role Publisher may send to orders audit-*, 50 messages/s, 256KiB/s"},
		{"none", gatewayfile.Rule{Issuer: "dev", Kind: "app", Claim: "scope", Value: "send:<hub>"}, "app of dev with scope send:<hub> may send to the hub that it names"},
		{"small rates", gatewayfile.Rule{Issuer: "dev", Kind: "any", Claim: "a", Value: "b", Rate: 0.5, BytesPerSecond: 100},
			"any of dev with a b may send to the hub that it names, 0.5 messages/s, 100 bytes/s"},
	} {
		if got := describeRule(tt.rule); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestMerged(t *testing.T) {
	t.Parallel()
	at := func(second int) received {
		when := time.Unix(int64(second), 0)
		return received{ReceivedEventData: &azeventhubs.ReceivedEventData{EnqueuedTime: &when}}
	}
	channel := func(list ...received) chan received {
		c := make(chan received, len(list))
		for _, e := range list {
			c <- e
		}
		close(c)
		return c
	}
	next := merged([]chan received{channel(at(1), at(4), at(5)), channel(), channel(at(2), at(3), at(9))})
	for _, want := range []int64{1, 2, 3, 4, 5, 9} {
		e, ok := next()
		if !ok || e.EnqueuedTime.Unix() != want {
			t.Fatalf("%v, %t, want %d", e.EnqueuedTime, ok, want)
		}
	}
	for range 2 {
		if e, ok := next(); ok {
			t.Errorf("one more: %v", e)
		}
	}

	broken := errors.New("broken")
	next = merged([]chan received{channel(at(1)), channel(received{err: broken})})
	if e, ok := next(); !ok || e.err != broken {
		t.Errorf("%v, %t", e.err, ok)
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	state := azeventhubs.PartitionProperties{
		LastEnqueuedSequenceNumber: 9, LastEnqueuedOffset: "1000", LastEnqueuedOn: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for _, tt := range []struct {
		from   string
		prints string
		beyond bool
	}{
		{"earliest", "the earliest event", false},
		{"latest", "the latest event", true},
		{"seq:9", "sequence number 9", false},
		{"seq:10", "sequence number 10", true},
		{"offset:1000", "offset 1000", false},
		{"offset:1001", "offset 1001", true},
		{"time:2026-01-02T03:04:05Z", "time 2026-01-02T03:04:05Z", false},
		{"time:2026-01-02T03:04:06Z", "time 2026-01-02T03:04:06Z", true},
		{"time:2026-01-02T05:04:05+02:00", "time 2026-01-02T05:04:05+02:00", false},
	} {
		p, err := parsePosition(tt.from)
		if err != nil || p.String() != tt.prints || p.beyond(state) != tt.beyond {
			t.Errorf("%s: %s, beyond %t, %v", tt.from, p, p.beyond(state), err)
		}
		if !p.beyond(azeventhubs.PartitionProperties{IsEmpty: true}) {
			t.Errorf("%s: an empty partition holds something", tt.from)
		}
	}
	for _, wrong := range []string{"", "first", "earliest:1", "latest:", "seq", "seq:", "seq:-1", "seq:x", "offset:1.5", "time:", "time:now", "time:2026-01-02"} {
		if p, err := parsePosition(wrong); err == nil {
			t.Errorf("%q is taken for %s", wrong, p)
		}
	}
	latest, _ := parsePosition("latest")
	if start := latest.start(state); start.SequenceNumber == nil || *start.SequenceNumber != 9 || start.Inclusive {
		t.Errorf("latest starts at %+v", start)
	}
	if start := latest.start(azeventhubs.PartitionProperties{IsEmpty: true, LastEnqueuedSequenceNumber: -1}); start.Earliest == nil {
		t.Errorf("latest of nothing starts at %+v", start)
	}
}

func TestEventLine(t *testing.T) {
	t.Parallel()
	event := func(body azeventhubs.AMQPAnnotatedMessageBody, properties map[string]any) received {
		e := &azeventhubs.ReceivedEventData{RawAMQPMessage: &azeventhubs.AMQPAnnotatedMessage{Body: body}}
		e.Properties = properties
		return received{partition: "0", ReceivedEventData: e}
	}
	const head = `{"partition":"0","sequenceNumber":0,"offset":""`
	for _, tt := range []struct {
		name  string
		event received
		want  string
	}{
		{"text", event(azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("<a>")}}, nil), head + `,"body":"\u003ca\u003e"}`},
		{"several sections", event(azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("a"), []byte("b")}}, nil), head + `,"body":"ab"}`},
		{"bytes", event(azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{{0xff}}}, nil), head + `,"bodyBase64":"/w=="}`},
		{"empty", event(azeventhubs.AMQPAnnotatedMessageBody{}, nil), head + `,"body":""}`},
		{"id", received{partition: "0", ReceivedEventData: &azeventhubs.ReceivedEventData{RawAMQPMessage: &azeventhubs.AMQPAnnotatedMessage{
			Properties: &azeventhubs.AMQPAnnotatedMessageProperties{MessageID: "a1"}}}}, head + `,"messageId":"a1","body":""}`},
		{"id that is a number", received{partition: "0", ReceivedEventData: &azeventhubs.ReceivedEventData{RawAMQPMessage: &azeventhubs.AMQPAnnotatedMessage{
			Properties: &azeventhubs.AMQPAnnotatedMessageProperties{MessageID: uint64(7)}}}}, head + `,"messageId":7,"body":""}`},
		{"value", event(azeventhubs.AMQPAnnotatedMessageBody{Value: map[string]any{"a": int32(1)}}, nil), head + `,"bodyValue":{"a":1}}`},
		{"sequence", event(azeventhubs.AMQPAnnotatedMessageBody{Sequence: [][]any{{int64(1), "x"}, {true}}}, nil), head + `,"bodyValue":[[1,"x"],[true]]}`},
		{"numbers that JSON has not", event(azeventhubs.AMQPAnnotatedMessageBody{}, map[string]any{
			"a": math.NaN(), "b": math.Inf(-1), "c": float32(0.1), "d": 1.5, "e": time.Unix(0, 0).UTC(), "f": map[any]any{int8(1): nil},
		}), head + `,"properties":{"a":"NaN","b":"-Inf","c":0.1,"d":1.5,"e":"1970-01-01T00:00:00Z","f":{"1":null}},"body":""}`},
	} {
		got, err := json.Marshal(newEventLine(tt.event))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}
