package amqp

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzUsualTransfer compares the two ways of reading a transfer.
func FuzzUsualTransfer(f *testing.F) {
	addFrameBodies(f, func(body []byte) { f.Add(body) })
	for _, seed := range []Transfer{
		eventTransfer(), {}, {Handle: 300, DeliveryTag: []byte{1, 2}, More: true, Aborted: Some(true), Resume: Some(false)},
		{RcvSettleMode: Some(RcvSecond), State: Accepted()},
	} {
		f.Add(append(seed.Append(nil), "payload"...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var usual, long Transfer
		rest, ok := usual.decodeUsual(b)
		if !ok {
			return
		}
		want, err := long.decodeAny(b)
		if err != nil || !bytes.Equal(rest, want) || !reflect.DeepEqual(usual, long) {
			t.Errorf("%x\nthe short way: %+v, rest %x\nthe long way:  %+v, rest %x, %v", b, usual, rest, long, want, err)
		}
	})
}

// FuzzUsualSection compares the two ways of splitting a message.
func FuzzUsualSection(f *testing.F) {
	f.Add(eventPayload())
	f.Add((&Message{Value: "text", HasValue: true, Footer: Map{{"k", make([]byte, 300)}}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := usualSection(b)
		if n == 0 {
			return
		}
		_, section, value, rest, err := nextSection(b)
		if err != nil || len(section) != n || len(value) != n-3 || len(rest) != len(b)-n {
			t.Errorf("%x: the short way takes %d bytes, the long way %d, %v", b, n, len(section), err)
		}
	})
}

// The short ways must be taken where they are meant to, or they save nothing.
func TestUsualIsUsual(t *testing.T) {
	t.Parallel()
	for _, g := range append(recordedFrames(), clientFrames()...) {
		_, body := splitFrame(t, unhex(t, g.frame))
		if code, err := PeekCode(body); err != nil || code != CodeTransfer {
			continue
		}
		var p Transfer
		rest, ok := p.decodeUsual(body)
		if !ok {
			t.Errorf("%s: the transfer took the long way", g.name)
		}
		if ok && len(rest) > 0 && usualSection(rest) == 0 {
			t.Errorf("%s: the first section took the long way", g.name)
		}
	}
}
