package setting

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// AsUTF8 is how to save a file, for those whose editor or shell did it otherwise. Text's errors end with it.
const AsUTF8 = `save it as UTF-8: in an editor by "Save as", in PowerShell with | Out-File -Encoding utf8`

// Text gives the text of a file in UTF-8 without a byte order mark. Windows PowerShell 5 writes UTF-16 where ">" does, and a mark where
// it is told to write UTF-8, so both are read; what is neither is refused, with the place where it ceases to be text.
func Text(data []byte) (text []byte, err error) {
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		return fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return fromUTF16(data[2:], binary.BigEndian)
	}
	text = bytes.TrimPrefix(data, []byte("\ufeff"))
	if zero := bytes.IndexByte(text, 0); zero >= 0 {
		return nil, fmt.Errorf("line %d has a zero byte: this is UTF-16 without a byte order mark, or no text; %s", lineAt(text, zero), AsUTF8)
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, fmt.Errorf("line %d has the byte 0x%02x, which is not UTF-8 (a Windows code page, perhaps); %s", lineAt(text, i), text[i], AsUTF8)
		}
		i += n
	}
	return text, nil
}

func fromUTF16(data []byte, order binary.ByteOrder) (text []byte, err error) {
	if len(data)%2 != 0 {
		return nil, errors.New("begins as UTF-16 and has half a character at its end: it was cut off, or joined from files of two encodings; " + AsUTF8)
	}
	for i := 0; i < len(data); i += 2 {
		r := rune(order.Uint16(data[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(utf8.RuneError)
			if i += 2; i < len(data) {
				low = rune(order.Uint16(data[i:]))
			}
			r = utf16.DecodeRune(r, low)
		}
		if r == 0 || r == utf8.RuneError {
			return nil, fmt.Errorf("begins as UTF-16, and line %d has what is no character: it was joined from files of two encodings, perhaps; %s",
				lineAt(text, len(text)), AsUTF8)
		}
		text = utf8.AppendRune(text, r)
	}
	return text, nil
}

func lineAt(text []byte, offset int) int { return 1 + bytes.Count(text[:offset], []byte("\n")) }
