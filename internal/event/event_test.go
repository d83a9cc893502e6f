package event

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// TestRecordedEvent: a plain event comes out with exactly the bytes that the service was recorded to deliver.
func TestRecordedEvent(t *testing.T) {
	t.Parallel()
	want := unbase64(t, "AFNywWgIoxt4LW9wdC1zZXF1ZW5jZS1udW1iZXItZXBvY2hU/6MVeC1vcHQtc2VxdWVuY2UtbnVtYmVyVQCjDHgtb3B0LW9mZnNldKEBMKMTeC1vcHQtZW5x"+
		"dWV1ZWQtdGltZYMAAAGWgsT5MgBTdaAORXZlbnQgTnVtYmVyIDA=")
	s := store(t, unhex(t, `005375a00e"Event Number 0"`), nil)
	wantBytes(t, "message", s.AppendMessage(nil, Position{Seq: 0, Offset: 0, TimeMs: noon}), want)
}

// TestDelivered has a row for each thing that may become of what a sender sent.
func TestDelivered(t *testing.T) {
	t.Parallel()
	own := func(pairs int, entries string) string { return annotations(t, pairs, entries) }
	plain := own(4, serviceAnnotations) // where the sender had none
	for _, c := range []struct{ name, sent, want string }{
		{"data", `005375a002"hi"`, plain + `005375a002"hi"`},
		{"several data", `005375a001"a"005375b000000001"b"`, plain + `005375a001"a"005375b000000001"b"`},
		{"value", `00537771000003e7`, plain + `00537771000003e7`},
		{"null value", `00537740`, plain + `00537740`},
		{"described value", `005377 00a306"custom"a101"v"`, plain + `005377 00a306"custom"a101"v"`},
		{"sequences", `005376c00401a101"x"005376d00000000700000001a101"y"`, plain + `005376c00401a101"x"005376d00000000700000001a101"y"`},
		{"no body", `00537345`, plain + `00537345`},
		{"nothing", ``, plain},
		{"properties keep their trailing nulls", `005373c0110da1026964404040404040404040404040 005375a000`,
			plain + `005373c0110da1026964404040404040404040404040 005375a000`},
		{"application properties and footer", `005374c10602a101"a"5501 005375a000 005378c10702a301"f"a101"v"`,
			plain + `005374c10602a101"a"5501 005375a000 005378c10702a301"f"a101"v"`},
		{"symbolic descriptor", `00a310"amqp:data:binary"a002"hi"`, plain + `00a310"amqp:data:binary"a002"hi"`},

		{"header", `005370c00201 41 005375a000`, plain + `005375a000`},
		{"empty header", `00537045 005375a000`, plain + `005375a000`},
		{"leading delivery annotations", `005371c10602a301"d"5501 005375a000`, plain + `005375a000`},
		{"delivery annotations behind the body", `005375a000 005371c10602a301"d"5501`, plain + `005375a000 005371c10602a301"d"5501`},
		{"delivery annotations before properties", `005371c10602a301"d"5501 00537345 005375a000`, plain + `00537345 005375a000`},

		{"empty annotations", own(0, ``) + `005375a000`, plain + `005375a000`},
		{"empty annotations, wide", `005372d10000000400000000 005375a000`, plain + `005375a000`},
		{"own annotations come first and in their order", own(2, `a301"z"5501 a301"a"a103"two"`) + `005375a000`,
			own(6, `a301"z"5501 a301"a"a103"two"`+serviceAnnotations) + `005375a000`},
		{"own annotations in a wide map", `005372d10000001000000002a301"z"8000000000000000ff 005375a000`,
			own(5, `a301"z"8000000000000000ff`+serviceAnnotations) + `005375a000`},
		{"key that is a string", own(1, `a101"z"5501`) + `005375a000`, own(5, `a101"z"5501`+serviceAnnotations) + `005375a000`},
		{"key that is a number", own(1, `5301 5501`) + `005375a000`, own(5, `5301 5501`+serviceAnnotations) + `005375a000`},
		{"values of every shape", own(3, `5301 c00401a101"x" 5302 00a301"d"40 5303 e00a027000000001 00000002`) + `005375a000`,
			own(7, `5301 c00401a101"x" 5302 00a301"d"40 5303 e00a027000000001 00000002`+serviceAnnotations) + `005375a000`},

		{"all names of the service", own(4, serviceAnnotations) + `005375a000`, plain + `005375a000`},
		{"a name of the service as a string", own(1, `a10c"x-opt-offset"a103"999"`) + `005375a000`, plain + `005375a000`},
		{"names of the service between others", own(3, `a301"a"41 a30c"x-opt-offset"5563 a301"b"42`) + `005375a000`,
			own(6, `a301"a"41 a301"b"42`+serviceAnnotations) + `005375a000`},
	} {
		wantBytes(t, c.name, deliver(t, store(t, unhex(t, c.sent), nil)), unhex(t, c.want))
	}
}

// TestManyAnnotations crosses from the short form of a map to the long one.
func TestManyAnnotations(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 10, 20, 123, 124, 200, annotationsMax} {
		var own amqp.Map
		for i := range n {
			own = append(own, amqp.Pair{Key: amqp.Symbol(fmt.Sprint("a", i)), Value: int64(i)})
		}
		sent := (&amqp.Message{MessageAnnotations: own, Data: [][]byte{{}}}).Append(nil)
		got, err := amqp.DecodeMessage(deliver(t, store(t, sent, nil)))
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if len(got.MessageAnnotations) != n+4 {
			t.Errorf("%d annotations sent, %d delivered, want %d", n, len(got.MessageAnnotations), n+4)
		}
		for i, p := range own {
			if got.MessageAnnotations[i] != p {
				t.Errorf("annotation %d of %d: %v, want %v", i, n, got.MessageAnnotations[i], p)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	own := func(pairs int, entries string) string { return annotations(t, pairs, entries) }
	const name, body = `a313"x-opt-partition-key"`, `005375a000`
	wide := `005372d10000001b00000002` + name + `a100`
	long := strings.Repeat("k", 300)
	for _, c := range []struct {
		name, sent, batch string
		want              string // "": only the key is looked at
		key               string
		keyed             bool
	}{
		{"none", body, "", own(4, serviceAnnotations) + body, "", false},
		{"own", own(1, name+`a102"k1"`) + body, "", own(5, name+`a102"k1"`+serviceAnnotations) + body, "k1", true},
		{"own, under a string", own(1, `a113"x-opt-partition-key"a102"k1"`) + body, "", "", "k1", true},
		{"own, wide", own(1, name+`b100000002"k1"`) + body, "", own(5, name+`b100000002"k1"`+serviceAnnotations) + body, "k1", true},
		{"own, empty, in a wide map", wide + body, "", "", "", true},
		{"own, between others", own(3, `a301"a"41`+name+`a102"k1" a301"b"42`) + body, "",
			own(7, `a301"a"41`+name+`a102"k1" a301"b"42`+serviceAnnotations) + body, "k1", true},
		{"own, behind a name of the service", own(2, `a30c"x-opt-offset"5563`+name+`a102"k1"`) + body, "",
			own(5, name+`a102"k1"`+serviceAnnotations) + body, "k1", true},
		{"of the batch", body, "k2", own(5, name+`a102"k2"`+serviceAnnotations) + body, "k2", true},
		{"of the batch, long", body, long, "", long, true},
		{"of the batch, beside annotations", own(1, `a301"z"5501`) + body, "k2",
			own(6, `a301"z"5501`+name+`a102"k2"`+serviceAnnotations) + body, "k2", true},
		{"own and of the batch", own(1, name+`a102"k1"`) + body, "k2", own(5, name+`a102"k1"`+serviceAnnotations) + body, "k1", true},
		{"null", own(1, name+`40`) + body, "", own(4, serviceAnnotations) + body, "", false},
		{"null and of the batch", own(1, name+`40`) + body, "k2", own(5, name+`a102"k2"`+serviceAnnotations) + body, "k2", true},
	} {
		var batch []byte
		if c.batch != "" {
			batch = []byte(c.batch)
		}
		s := store(t, unhex(t, c.sent), batch)
		if key, kind := s.Key(); string(key) != c.key || (kind == KeyText) != c.keyed {
			t.Errorf("%s: key %q of kind %d, want %q", c.name, key, kind, c.key)
		}
		got := deliver(t, s)
		if c.want != "" {
			wantBytes(t, c.name, got, unhex(t, c.want))
		}
		m, err := amqp.DecodeMessage(got)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if v, ok := m.MessageAnnotations.Lookup(annKey); ok != c.keyed || ok && v != c.key {
			t.Errorf("%s: a receiver sees the key %v", c.name, v)
		}
	}
}

func TestScannedKey(t *testing.T) {
	t.Parallel()
	var m Message
	for _, c := range []struct {
		name  string
		value any
		want  string
		keyed bool
	}{
		{"text", "k1", "k1", true},
		{"empty", "", "", true},
		{"null", nil, "", false},
		{"largest", strings.Repeat("k", keyBytesMax), strings.Repeat("k", keyBytesMax), true},
	} {
		sent := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol(annKey), Value: c.value}}}).Append(nil)
		if err := m.Scan(sent); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if key, ok := m.Key(); string(key) != c.want || ok != c.keyed {
			t.Errorf("%s: key %.20q (%t), want %.20q (%t)", c.name, key, ok, c.want, c.keyed)
		}
	}
	if err := m.Scan(unhex(t, `005375a000`)); err != nil {
		t.Fatal(err)
	}
	if key, ok := m.Key(); ok {
		t.Errorf("a message kept the key %q of the one before", key)
	}
}

func TestBodyNull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sent string
		want       bool
	}{
		{"data", `005375a000`, false},
		{"sequence", `00537645`, false},
		{"value", `0053775401`, false},
		{"null value", `00537740`, true},
		{"no body", `00537345`, true},
		{"only annotations", `005372c10100`, true},
		{"nothing", ``, true},
	} {
		if got := store(t, unhex(t, c.sent), nil).BodyNull(); got != c.want {
			t.Errorf("%s: BodyNull %t, want %t", c.name, got, c.want)
		}
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	many := (&amqp.Message{MessageAnnotations: make(amqp.Map, annotationsMax+1)}).Append(nil)
	longKey := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol(annKey), Value: strings.Repeat("k", keyBytesMax+1)}}}).Append(nil)
	symbolKey := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol(annKey), Value: amqp.Symbol("k")}}}).Append(nil)
	numberKey := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol(annKey), Value: int64(1)}}}).Append(nil)
	twoKeys := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol(annKey), Value: "aaa"}, {Key: amqp.Symbol(annKey),
		Value: "b"}}}).Append(nil)
	for _, c := range []struct {
		name string
		sent []byte
		want string
	}{
		{"no descriptor", unhex(t, `a002"hi"`), "want a descriptor"},
		{"a performative", unhex(t, `00531445`), "transfer is not a message section"},
		{"unknown section", unhex(t, `005379a000`), "not a message section"},
		{"header is a map", unhex(t, `005370c10100`), "header: "},
		{"delivery annotations are a list", unhex(t, `00537145`), "delivery-annotations: "},
		{"annotations are a list", unhex(t, `00537245`), "message-annotations: "},
		{"annotations are null", unhex(t, `00537240`), "message-annotations: "},
		{"properties are a map", unhex(t, `005373c10100`), "properties: "},
		{"application properties are null", unhex(t, `00537440`), "application-properties: "},
		{"data is a string", unhex(t, `005375a102"hi"`), "data: "},
		{"data is null", unhex(t, `00537540`), "data: "},
		{"sequence is a map", unhex(t, `005376c10100`), "amqp-sequence: "},
		{"footer is a list", unhex(t, `00537845`), "footer: "},
		{"odd map", unhex(t, `005372c10401a301"z"`), "message-annotations: "},
		{"two annotations", unhex(t, annotations(t, 1, `530141`)+annotations(t, 1, `530241`)), "a second message-annotations section"},
		{"two annotations, the first empty", unhex(t, annotations(t, 0, ``)+annotations(t, 1, `530241`)), "a second message-annotations section"},
		{"more entries than the map says", unhex(t, `005372c10502 41414242`), "2 entries where the map says 1"},
		{"fewer entries than the map says", unhex(t, `005372c10504 a30141 42`), "message-annotations"},
		{"an entry that ends within its value", unhex(t, `005372c10602a301"z"a105`), "message-annotations: "},
		{"annotations behind properties", unhex(t, `00537345005372c10100`), "0x72"},
		{"header behind the body", unhex(t, `005375a00000537045`), "0x70"},
		{"too many annotations", many, "2049 entries exceed"},
		{"key too long", longKey, "of 4097 bytes exceeds"},
		{"key is a symbol", symbolKey, "x-opt-partition-key must be a string"},
		{"key is a number", numberKey, "x-opt-partition-key must be a string"},
		{"two keys", twoKeys, "a second x-opt-partition-key"},
	} {
		var m Message
		wantError(t, c.name, m.Scan(c.sent), c.want)
	}
}

// TestCutOff cuts a message at every byte: where a section ends the rest is a message, anywhere else it is an error.
func TestCutOff(t *testing.T) {
	t.Parallel()
	whole := everySection()
	ends := map[int]bool{0: true}
	for b := whole; len(b) > 0; {
		_, _, _, rest, err := amqp.NextSection(b)
		if err != nil {
			t.Fatal(err)
		}
		ends[len(whole)-len(rest)] = true
		b = rest
	}
	var m Message
	for n := range len(whole) + 1 {
		if err := m.Scan(whole[:n:n]); (err == nil) != ends[n] {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	good := store(t, everySection(), nil).b
	changed := func(at int, to ...byte) []byte {
		b := append([]byte(nil), good...)
		copy(b[at:], to)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "0 bytes are less than"},
		{"half a head", good[:headBytes-1], "47 bytes are less than"},
		{"version", changed(0, 2), "version 2, form 1 is unknown"},
		{"form", changed(1, 9), "version 1, form 9 is unknown"},
		{"more than it says", append(slices.Clip(good), 0), "of an envelope of"},
		{"annotations longer than all", changed(12, 0xff, 0xff, 0xff, 0xff), "lengths exceed"},
		{"key longer than all", changed(18, 0xff, 0xff), "lengths exceed"},
		{"key behind the end", changed(20, 0xff, 0xff, 0xff, 0xff), "lengths exceed"},
	} {
		_, err := Open(c.b)
		wantError(t, c.name, err, c.want)
	}
	for n := range len(good) {
		if _, err := Open(good[:n]); err == nil {
			t.Errorf("%d of %d bytes pass for an envelope", n, len(good))
		}
	}
}

// TestStep: offsets move by the length as sent and 56, rounded up to 8; these are steps that were recorded.
func TestStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		length int
		want   int64
	}{
		{0, 56}, {1, 64}, {8, 64}, {9, 72}, {16, 72}, {17, 80}, {19, 80}, {24, 80}, {25, 88}, {48, 104}, {64, 120}, {65, 128}, {72, 128},
		{80, 136}, {88, 144}, {120, 176}, {121, 184}, {1 << 20, 1<<20 + 56},
	} {
		if got := Step(c.length); got != c.want {
			t.Errorf("a message of %d bytes moves the offset by %d, want %d", c.length, got, c.want)
		}
	}
}

func TestAppendRuntime(t *testing.T) {
	t.Parallel()
	const epoch = `a323"last_enqueued_sequence_number_epoch"54ff a31d"last_enqueued_sequence_number"`
	for _, c := range []struct {
		name string
		r    Runtime
		want string
	}{
		{"short", Runtime{Last: Position{Seq: 7, Offset: 560, TimeMs: noon}, RetrievedMs: noon + 1},
			`005371c1af0a` + epoch + `5507 a314"last_enqueued_offset"a103"560" a316"last_enqueued_time_utc"830000019682c4f932
			a31f"runtime_info_retrieval_time_utc"830000019682c4f933`},
		{"long", Runtime{Last: Position{Seq: 128, Offset: 12916091040, TimeMs: noon}, RetrievedMs: noon},
			`005371c1be0a` + epoch + `810000000000000080 a314"last_enqueued_offset"a10b"12916091040" a316"last_enqueued_time_utc"830000019682c4f932
			a31f"runtime_info_retrieval_time_utc"830000019682c4f932`},
		{"nothing was ever written", Runtime{Last: Position{Seq: -1, Offset: -1}, RetrievedMs: noon},
			`005371c1ae0a` + epoch + `55ff a314"last_enqueued_offset"a102"-1" a316"last_enqueued_time_utc"83ffffc77cedd32800
			a31f"runtime_info_retrieval_time_utc"830000019682c4f932`},
	} {
		got := AppendRuntime([]byte("before"), c.r)
		wantBytes(t, c.name, got, append([]byte("before"), unhex(t, c.want)...))
		if m, err := amqp.DecodeMessage(got[6:]); err != nil || len(m.DeliveryAnnotations) != 5 {
			t.Errorf("%s: %v does not read: %v", c.name, m, err)
		}
	}
}
