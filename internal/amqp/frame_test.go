package amqp

import (
	"testing"
)

func TestParseFrameHeader(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, hex string
		want      FrameHeader
		err       string
	}{
		{name: "empty", hex: "00000008 02 00 0000", want: FrameHeader{Size: 8, DOff: 2}},
		{name: "sasl", hex: "0000003f 02 01 0000 00", want: FrameHeader{Size: 63, DOff: 2, Type: FrameSASL}},
		{name: "channel", hex: "ffffffff 02 00 1234", want: FrameHeader{Size: 1<<32 - 1, DOff: 2, Channel: 0x1234}},
		{name: "unknown type", hex: "00000008 02 07 0000", want: FrameHeader{Size: 8, DOff: 2, Type: 7}},
		{name: "extended header", hex: "00000010 03 00 0000", want: FrameHeader{Size: 16, DOff: 3}},
		{name: "largest header", hex: "000003fc ff 00 0000", want: FrameHeader{Size: 1020, DOff: 255}},
		{name: "nothing", hex: "", err: "frame header of 0 bytes, want 8"},
		{name: "seven bytes", hex: "00000008 02 00 00", err: "frame header of 7 bytes, want 8"},
		{name: "offset 1", hex: "00000008 01 00 0000", err: "frame data offset 1, want 2 or more"},
		{name: "offset 0", hex: "00000008 00 00 0000", err: "frame data offset 0, want 2 or more"},
		{name: "size 7", hex: "00000007 02 00 0000", err: "frame of 7 bytes with a header of 8 bytes"},
		{name: "size 0", hex: "00000000 02 00 0000", err: "frame of 0 bytes with a header of 8 bytes"},
		{name: "size below offset", hex: "000003fb ff 00 0000", err: "frame of 1019 bytes with a header of 1020 bytes"},
	}
	for _, r := range rows {
		got, err := ParseFrameHeader(unhex(t, r.hex))
		if r.err != "" {
			wantError(t, r.name, err, CondFramingError, r.err)
			continue
		}
		if got != r.want || err != nil {
			t.Errorf("%s: %+v, error %v, want %+v", r.name, got, err, r.want)
		}
		if at := got.BodyBytesAt(); at != int(r.want.DOff)*4 {
			t.Errorf("%s: body at %d", r.name, at)
		}
	}
}

func TestFramesInOneBuffer(t *testing.T) {
	t.Parallel()
	b, mark := BeginFrame(nil, FrameAMQP, 0x0102)
	b = EndFrame((&Close{}).Append(b), mark)
	b = AppendEmptyFrame(b)
	b, mark = BeginFrame(b, FrameSASL, 0)
	b = EndFrame((&SASLOutcome{}).Append(b), mark)
	wantBytes(t, "frames", b, unhex(t, `0000000f 02000102 005318c0020140 0000000802000000 00000011 02010000 005344c00402 5000 40`))
}

func TestProtocolHeader(t *testing.T) {
	t.Parallel()
	for id, want := range map[uint8]string{ProtocolAMQP: `"AMQP"00010000`, ProtocolTLS: `"AMQP"02010000`, ProtocolSASL: `"AMQP"03010000`} {
		b := AppendProtocolHeader(nil, id)
		wantBytes(t, "header", b, unhex(t, want))
		gotID, major, minor, rev, ok := ParseProtocolHeader(b)
		if gotID != id || major != 1 || minor != 0 || rev != 0 || !ok {
			t.Errorf("%d: %d %d.%d.%d %v", id, gotID, major, minor, rev, ok)
		}
		for n := range b {
			if _, _, _, _, ok := ParseProtocolHeader(b[:n]); ok {
				t.Errorf("%d: ok after %d bytes", id, n)
			}
		}
	}
	id, major, minor, rev, ok := ParseProtocolHeader([]byte("AMQP\x00\x00\x09\x01"))
	if id != 0 || major != 0 || minor != 9 || rev != 1 || !ok {
		t.Errorf("0.9.1: %d %d.%d.%d %v", id, major, minor, rev, ok)
	}
	for _, s := range []string{"GET / HT", "AMQq\x00\x01\x00\x00"} {
		if _, _, _, _, ok := ParseProtocolHeader([]byte(s)); ok {
			t.Errorf("%q is ok", s)
		}
	}
}
