package amqp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// codec is what every composite can do.
type codec interface {
	Append(b []byte) []byte
	Decode(b []byte) (rest []byte, err error)
}

// newCodec is an empty composite of the code's type, nil for a code that has none.
func newCodec(c Code) codec {
	switch c {
	case CodeOpen:
		return new(Open)
	case CodeBegin:
		return new(Begin)
	case CodeAttach:
		return new(Attach)
	case CodeFlow:
		return new(Flow)
	case CodeTransfer:
		return new(Transfer)
	case CodeDisposition:
		return new(Disposition)
	case CodeDetach:
		return new(Detach)
	case CodeEnd:
		return new(End)
	case CodeClose:
		return new(Close)
	case CodeError:
		return new(Error)
	case CodeSource:
		return new(Source)
	case CodeTarget:
		return new(Target)
	case CodeReceived, CodeAccepted, CodeRejected, CodeReleased, CodeModified, CodeDeclared, CodeTransactionalState:
		return new(DeliveryState)
	case CodeSASLMechanisms:
		return new(SASLMechanisms)
	case CodeSASLInit:
		return new(SASLInit)
	case CodeSASLChallenge:
		return new(SASLChallenge)
	case CodeSASLResponse:
		return new(SASLResponse)
	case CodeSASLOutcome:
		return new(SASLOutcome)
	case CodeHeader:
		return new(MessageHeader)
	case CodeProperties:
		return new(Properties)
	}
	return nil
}

// unhex reads hex digits with blanks between them as one likes, and text in double quotes as it is.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("hex %q: %v", part, err)
		}
		out = append(out, b...)
	}
	return out
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func wantValue(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

// wantError asks for a DecodeError whose text has a part.
func wantError(t testing.TB, what string, err error, condition Symbol, part string) {
	t.Helper()
	var de *DecodeError
	if !errors.As(err, &de) {
		t.Errorf("%s: error %v, want a DecodeError with %q", what, err, part)
		return
	}
	if de.Condition != condition || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: error %s (%v), want %s with %q", what, de.Condition, err, condition, part)
	}
}

// splitFrame checks a frame's header and gives its body.
func splitFrame(t testing.TB, frame []byte) (FrameHeader, []byte) {
	t.Helper()
	h, err := ParseFrameHeader(frame)
	if err != nil {
		t.Fatal(err)
	}
	if int(h.Size) != len(frame) {
		t.Fatalf("frame says %d bytes, is %d", h.Size, len(frame))
	}
	return h, frame[h.BodyBytesAt():]
}

// decodeAs decodes a composite into a new value of want's type, compares, and gives what follows.
func decodeAs(t testing.TB, body []byte, want codec) []byte {
	t.Helper()
	got := reflect.New(reflect.TypeOf(want).Elem()).Interface().(codec)
	rest, err := got.Decode(body)
	if err != nil {
		t.Fatalf("decode %x: %v", body, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("decode %x:\n got %+v\nwant %+v", body, got, want)
	}
	return rest
}
