package gatewayfile

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/evhub-dev/evhub/internal/setting"
)

// inUTF16 is text as Windows PowerShell 5 writes it, with line ends of its own, or in the other order of bytes.
func inUTF16(text string, order binary.AppendByteOrder) []byte {
	b := order.AppendUint16(nil, 0xfeff)
	for _, unit := range utf16.Encode([]rune(strings.ReplaceAll(text, "\n", "\r\n"))) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

// TestEncodings wants one file in several encodings to mean the same, and to be taken for what it is.
func TestEncodings(t *testing.T) {
	t.Parallel()
	text := complete("", "logging: {level: warn} # Zürich, \U0001f5fb\n")
	want, err := Parse("g.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"UTF-8 with a mark": []byte("\ufeff" + text), "UTF-8 with CRLF": []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"UTF-16LE": inUTF16(text, binary.LittleEndian), "UTF-16BE": inUTF16(text, binary.BigEndian),
	} {
		got, err := Parse("g.yaml", data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", name, got)
		}
		if !Looks(data) {
			t.Errorf("%s: not taken for a gateway file", name)
		}
	}
	if Looks(inUTF16(`{"UserConfig": {"x": 1}}`, binary.LittleEndian)) {
		t.Error("Config.json in UTF-16 is taken for a gateway file")
	}
	if _, err := Parse("g.yaml", inUTF16("x\nlogging: {level: loud}", binary.LittleEndian)); err == nil || !strings.HasPrefix(err.Error(), "g.yaml:") {
		t.Errorf("got %v", err)
	}
}

func TestNoEncoding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, data, want string }{
		{"half a character", "\xff\xfea\x00b", "g.yaml: begins as UTF-16 and has half a character at its end: "},
		{"half a pair", "\xff\xfea\x00\n\x00\x00\xd8a\x00", "g.yaml: begins as UTF-16, and line 2 has what is no character: "},
		{"half a pair at the end", "\xff\xfe\x00\xd8", "g.yaml: begins as UTF-16, and line 1 has what is no character: "},
		{"zero in UTF-16", "\xfe\xff\x00a\x00\x00", "g.yaml: begins as UTF-16, and line 1 has what is no character: "},
		{"UTF-16 without a mark", "a\x00:\x00", "g.yaml: line 1 has a zero byte: this is UTF-16 without a byte order mark, or no text; "},
		{"a Windows code page", "a: 1\n# Z\xfcrich\n", "g.yaml: line 2 has the byte 0xfc, which is not UTF-8 (a Windows code page, perhaps); "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("g.yaml", []byte(tt.data))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.HasSuffix(err.Error(), setting.AsUTF8) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestSecretsInEncodings wants a secret that PowerShell wrote to be the same as one that an editor wrote, and what is no text to be left alone.
func TestSecretsInEncodings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ data, want string }{
		"UTF-16":            {string(inUTF16("Endpoint=sb://x\n", binary.LittleEndian)), "Endpoint=sb://x"},
		"UTF-8 with a mark": {"\ufeffhunter2\r\n", "hunter2"},
		"bytes":             {"p\xfc\n", "p\xfc"},
	} {
		got, err := Secret{file: write(t, t.TempDir(), "s", tt.data)}.Value()
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
