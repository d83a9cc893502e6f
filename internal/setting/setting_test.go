package setting

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "1048576": 1 << 20, "1KiB": 1 << 10, " 2 mib ": 2 << 20, "1GiB": 1 << 30, "1TiB": 1 << 40,
		"1kB": 1e3, "3MB": 3e6, "1GB": 1e9, "1TB": 1e12, "64b": 64,
		"9223372036854775807KiB": math.MaxInt64, "99999999999999999999": math.MaxInt64,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "KiB", "-1", "-9223372036854775808TiB", "-99999999999999999999", "1.5GiB", "1G", "1e9"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
	for n, want := range map[Bytes]string{0: "0", 1023: "1023", 1 << 10: "1KiB", 3 << 20: "3MiB", 1<<30 + 1: "1073741825", 2 << 40: "2TiB"} {
		if got := n.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(n), got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0s": 0, "-1s": -time.Second} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "d", "-1d", "1.5d", "106752d", "soon"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %s", text, got)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "1ms", 10 * time.Second: "10s", time.Minute: "1m", 70 * time.Second: "1m10s", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 10 * time.Hour: "10h", 24 * time.Hour: "24h", 168 * time.Hour: "7d", 25 * time.Hour: "25h",
	} {
		if got := Time(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", nearBytesMax+1)
	for _, tt := range []struct {
		name string
		of   []string
		want string
	}{
		{"nmae", []string{"size", "name"}, "name"},
		{"NAME", []string{"name", "game"}, "name"},
		{"partitioncuont", []string{"PartitionCount", "Partition"}, "PartitionCount"},
		{"zebra", []string{"name"}, ""},
		{"name", nil, ""},
		{long, []string{long}, ""},
		{"name", []string{long, "names"}, "names"},
	} {
		if got := Nearest(tt.name, tt.of); got != tt.want {
			t.Errorf("%q of %q: got %q, want %q", tt.name, tt.of, got, tt.want)
		}
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	for _, tt := range []struct{ path, want string }{
		{path, "is longer than 4"}, {dir, "is a directory"}, {path + "x", "there is no such file"},
	} {
		if _, err := ReadFile(tt.path, 4); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.path, err, tt.want)
		}
	}
}

// FuzzText wants UTF-8 or an error, and what is UTF-8 already, or the same in UTF-16, to stay what it is.
func FuzzText(f *testing.F) {
	f.Add([]byte("a: b\n"))
	f.Add([]byte("\xff\xfea\x00"))
	f.Add([]byte("\ufeffZürich \U0001f5fb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := Text(data)
		if err != nil {
			if !strings.HasSuffix(err.Error(), AsUTF8) {
				t.Errorf("the error does not say what to do: %v", err)
			}
			return
		}
		if !utf8.Valid(text) {
			t.Fatalf("%q is not UTF-8", text)
		}
		if strings.ContainsAny(string(text), "\ufeff\ufffd") {
			return // the one is dropped in front, the other is what half a character decodes to
		}
		wide := binary.BigEndian.AppendUint16(nil, 0xfeff)
		for _, unit := range utf16.Encode([]rune(string(text))) {
			wide = binary.BigEndian.AppendUint16(wide, unit)
		}
		for _, again := range [][]byte{text, wide} {
			if got, err := Text(again); err != nil || string(got) != string(text) {
				t.Errorf("%q came back as %q, %v", text, got, err)
			}
		}
	})
}
