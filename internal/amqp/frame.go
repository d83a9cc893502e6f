package amqp

import (
	"encoding/binary"
	"fmt"
)

// A frame [2.3]; the header may be longer than 8 bytes, which DOff then says in units of 4 bytes.
//
//	+0        1        2        3       +4      5      6        7       +8
//	| size, this field included         | doff | type | channel        | extended header, body |

const FrameHeaderBytes = 8

// Frame types.
const (
	FrameAMQP uint8 = 0
	FrameSASL uint8 = 1
)

// FrameHeader starts each frame.
type FrameHeader struct {
	Size    uint32 // of the whole frame, in bytes
	DOff    uint8  // where the body starts, in units of 4 bytes
	Type    uint8  // FrameAMQP, FrameSASL or unknown
	Channel uint16 // without meaning in SASL frames
}

// BodyBytesAt is where the body starts in the frame.
func (h FrameHeader) BodyBytesAt() int { return int(h.DOff) * 4 }

// ParseFrameHeader reads the 8 bytes that start a frame. The frame's size has at least room for its header; whether it is more than the
// receiver takes, and whether the type is known, is left to the caller.
func ParseFrameHeader(b []byte) (FrameHeader, error) {
	if len(b) < FrameHeaderBytes {
		return FrameHeader{}, framingErrorf("frame header of %d bytes, want %d", len(b), FrameHeaderBytes)
	}
	h := FrameHeader{Size: binary.BigEndian.Uint32(b), DOff: b[4], Type: b[5], Channel: binary.BigEndian.Uint16(b[6:])}
	if h.DOff < 2 {
		return FrameHeader{}, framingErrorf("frame data offset %d, want 2 or more", h.DOff)
	}
	if h.Size < uint32(h.DOff)*4 {
		return FrameHeader{}, framingErrorf("frame of %d bytes with a header of %d bytes", h.Size, h.BodyBytesAt())
	}
	return h, nil
}

func framingErrorf(format string, args ...any) error {
	return &DecodeError{CondFramingError, fmt.Sprintf(format, args...)}
}

// BeginFrame starts a frame; its body follows, and then EndFrame with the mark.
func BeginFrame(b []byte, typ uint8, channel uint16) (out []byte, mark int) {
	return append(b, 0, 0, 0, 0, 2, typ, byte(channel>>8), byte(channel)), len(b)
}

// EndFrame completes the frame that began at mark with its size.
func EndFrame(b []byte, mark int) []byte {
	binary.BigEndian.PutUint32(b[mark:], uint32(len(b)-mark))
	return b
}

// AppendEmptyFrame writes the frame without a body that keeps an idle connection alive [2.4.5].
func AppendEmptyFrame(b []byte) []byte {
	return append(b, 0, 0, 0, FrameHeaderBytes, 2, FrameAMQP, 0, 0)
}

const ProtocolHeaderBytes = 8

// Protocol ids [2.2], [5.2], [5.3].
const (
	ProtocolAMQP uint8 = 0
	ProtocolTLS  uint8 = 2
	ProtocolSASL uint8 = 3
)

// AppendProtocolHeader writes the 8 bytes that start a protocol layer, in version 1.0.0.
func AppendProtocolHeader(b []byte, id uint8) []byte {
	return append(b, 'A', 'M', 'Q', 'P', id, 1, 0, 0)
}

// ParseProtocolHeader takes the 8 bytes apart. It is not ok if there are less or they do not start with "AMQP"; id and version may be any.
func ParseProtocolHeader(b []byte) (id, major, minor, rev uint8, ok bool) {
	if len(b) < ProtocolHeaderBytes || string(b[:4]) != "AMQP" {
		return 0, 0, 0, 0, false
	}
	return b[4], b[5], b[6], b[7], true
}
