package event

import (
	"bytes"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// The same two events, as SDKs were seen to send them: one frame each.
const (
	batchOfGo = `000000fb02000001005314d000000015000000044343a00800000000000000007080013700005373d00000002a00000001a1243065336132
3034392d323136392d346134302d353830372d326662313766323565623137005374d10000000900000002a101615501005375a04d005373
d00000002a00000001a12430653361323034392d323136392d346134302d353830372d326662313766323565623137005374d10000000900
000002a101615501005375a00568656c6c6f005375a03c005373d00000002a00000001a12434323761333734342d663263612d343836342d
343131302d623033323861303763326530005375a005776f726c64`
	batchOfPython = `0000004f02000001005314c0190b52035201a004000000017080013700560056004040404040005375a015005374c10602a1016154010053
75a00568656c6c6f005375a00a005375a005776f726c64`
)

// payloadOf takes the payload out of a transfer frame.
func payloadOf(t testing.TB, frame string) []byte {
	t.Helper()
	b := unhex(t, frame)
	var transfer amqp.Transfer
	payload, err := transfer.Decode(b[amqp.FrameHeaderBytes:])
	if err != nil {
		t.Fatal(err)
	}
	if transfer.MessageFormat.V != amqp.FormatBatch {
		t.Fatalf("message-format %#x is not a batch's", transfer.MessageFormat.V)
	}
	return payload
}

// split gives a batch's messages up to the first error.
func split(b []byte) (messages [][]byte, key []byte, err error) {
	var t Batch
	if err := t.Open(b); err != nil {
		return nil, nil, err
	}
	for {
		m, err := t.Next()
		if m == nil || err != nil {
			return messages, t.Key(), err
		}
		messages = append(messages, m)
	}
}

func TestBatchesOfSDKs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, frame, first, second string }{
		{"Go", batchOfGo,
			`005373d00000002a00000001a124"0e3a2049-2169-4a40-5807-2fb17f25eb17" 005374d10000000900000002a101"a"5501 005375a005"hello"`,
			`005373d00000002a00000001a124"427a3744-f2ca-4864-4110-b0328a07c2e0" 005375a005"world"`},
		{"Python", batchOfPython, `005374c10602a101"a"5401 005375a005"hello"`, `005375a005"world"`},
	} {
		messages, key, err := split(payloadOf(t, c.frame))
		if err != nil || key != nil || len(messages) != 2 {
			t.Fatalf("%s: %d messages, key %q, error %v; want 2 and neither", c.name, len(messages), key, err)
		}
		for i, want := range []string{c.first, c.second} {
			wantBytes(t, c.name, messages[i], unhex(t, want))
			wantBytes(t, c.name+", delivered", deliver(t, store(t, messages[i], nil)),
				unhex(t, annotations(t, 4, serviceAnnotations)+want))
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	const one, two = `005375a006005375a001"a"`, `005375b000000006005375a001"b"`
	key := annotations(t, 1, `a313"x-opt-partition-key"a102"k1"`)
	for _, c := range []struct {
		name, sent, key string
		messages        string // bodies, separated by commas
	}{
		{"two", one + two, "", "a,b"},
		{"none", ``, "", ""},
		{"none, but an envelope", `00537045` + key, "k1", ""},
		{"key of the envelope", key + one, "k1", "a"},
		{"null key", annotations(t, 1, `a313"x-opt-partition-key"40`) + one, "", "a"},
		{"all that an envelope may have", `00537045 005371c10100` + key + `00537345 005374c10100` + one + two + `005378c10100`, "k1", "a,b"},
		{"empty messages", `005375a000` + one + `005375a000`, "", ",a,"},
		{"a footer between", one + `005378c10100` + two, "", "a,b"},
	} {
		messages, k, err := split(unhex(t, c.sent))
		if err != nil || string(k) != c.key {
			t.Errorf("%s: key %q, error %v, want %q and none", c.name, k, err, c.key)
		}
		var bodies []string
		for _, b := range messages {
			m, err := amqp.DecodeMessage(b)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			bodies = append(bodies, string(bytes.Join(m.Data, nil)))
		}
		if got := strings.Join(bodies, ","); got != c.messages {
			t.Errorf("%s: messages %q, want %q", c.name, got, c.messages)
		}
	}
}

func TestBatchErrors(t *testing.T) {
	t.Parallel()
	const one = `005375a006005375a001"a"`
	for _, c := range []struct {
		name, sent string
		want       string
		before     int // messages that come out before the error
	}{
		{"value body", `00537740`, "must be data sections", 0},
		{"sequence body", `00537645`, "must be data sections", 0},
		{"a value behind the data", one + `00537740`, "must be data sections", 1},
		{"a sequence behind the data", one + `00537645`, "must be data sections", 1},
		{"data is a string", one + `005375a101"x"`, "batch: ", 1},
		{"key is a number", annotations(t, 1, `a313"x-opt-partition-key"5501`) + one, "must be a string", 0},
		{"broken annotations", `005372c10501 41`, "batch: ", 0},
		{"no section", `a001"a"`, "batch: ", 0},
		{"no section behind the data", one + `a001"a"`, "batch: ", 1},
	} {
		messages, _, err := split(unhex(t, c.sent))
		wantError(t, c.name, err, c.want)
		if len(messages) != c.before {
			t.Errorf("%s: %d messages before the error, want %d", c.name, len(messages), c.before)
		}
	}
}

// TestBatchCutOff cuts a batch at every byte: what comes out is the start of what came whole.
func TestBatchCutOff(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{batchOfGo, batchOfPython} {
		whole := payloadOf(t, frame)
		all, _, err := split(whole)
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for n := range len(whole) {
			messages, _, err := split(whole[:n:n])
			if err != nil {
				failed++
			}
			for i, m := range messages {
				if !bytes.Equal(m, all[i]) {
					t.Errorf("%d of %d bytes: message %d is %x", n, len(whole), i, m)
				}
			}
		}
		if failed < len(whole)-6 { // no error only where a section of the envelope ends
			t.Errorf("%d of %d cuts were noticed", failed, len(whole))
		}
	}
}

// TestBatchIsReset: nothing of one batch is left in the next.
func TestBatchIsReset(t *testing.T) {
	t.Parallel()
	var b Batch
	if err := b.Open(unhex(t, annotations(t, 1, `a313"x-opt-partition-key"a102"k1"`)+`005375a006005375a001"a"`)); err != nil {
		t.Fatal(err)
	}
	if err := b.Open(nil); err != nil {
		t.Fatal(err)
	}
	if m, err := b.Next(); m != nil || err != nil || b.Key() != nil {
		t.Errorf("an empty batch has message %x, key %q, error %v", m, b.Key(), err)
	}
}
