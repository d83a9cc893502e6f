// Package setting is what both kinds of configuration file have in common below their syntax: values that people write with units, files
// as editors and shells of all systems save them, and the name that was probably meant.
//
// Its errors quote at most 40 characters of a value and leave the place to the caller.
package setting

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bytes is a number of bytes. A file may write it as 1048576, "512KiB", "1 MB".
type Bytes int64

// String gives whole units where there are some.
func (b Bytes) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := Bytes(1) << (40 - 10*i); b >= size && b%size == 0 {
			return strconv.FormatInt(int64(b/size), 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// byteUnits is in the order in which suffixes must be tried.
var byteUnits = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"b", 1}, {"", 1},
}

// ParseBytes reads 0 or more bytes. What is beyond all numbers is the largest one, for the caller's bound to refuse.
func ParseBytes(s string) (Bytes, error) {
	folded := strings.ToLower(strings.TrimSpace(s))
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(folded, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) && n > 0 || err == nil && n > math.MaxInt64/unit.bytes:
			return math.MaxInt64, nil
		case err == nil && n >= 0:
			return Bytes(n * unit.bytes), nil
		}
		break
	}
	return 0, fmt.Errorf(`%.40q is not a number of bytes, like 1048576, "512KiB" or "1GB"`, s)
}

// ParseDuration reads Go's durations and whole days, "7d".
func ParseDuration(s string) (time.Duration, error) {
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseInt(digits, 10, 64); err == nil && 0 <= days && days <= int64(math.MaxInt64/(24*time.Hour)) {
			return time.Duration(days) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`%.40q is not a length of time, like "500ms", "90m" or "7d"`, s)
	}
	return d, nil
}

// Time writes a length of time as a person would for ParseDuration: "1h" and "7d", where Go has 1h0m0s and 168h0m0s.
func Time(d time.Duration) string {
	const day = 24 * time.Hour
	if d > day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ErrDirectory is ReadFile's error where the path is one.
var ErrDirectory = errors.New("is a directory")

// ReadFile refuses what is longer than bytesMax. Its errors do not say the path.
func ReadFile(path string, bytesMax Bytes) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, WithoutPath(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, ErrDirectory
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(bytesMax)+1))
	if err != nil {
		return nil, WithoutPath(err)
	}
	return data, CheckLength(data, bytesMax)
}

// CheckLength is ReadFile's rule for what was read already.
func CheckLength(data []byte, bytesMax Bytes) error {
	if Bytes(len(data)) > bytesMax {
		return fmt.Errorf("is longer than %s", bytesMax)
	}
	return nil
}

// WithoutPath is an error of package os in the words of ReadFile.
func WithoutPath(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no such file")
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// nearBytesMax bounds the work of Nearest: it grows with the product of two lengths.
const nearBytesMax = 40

// Nearest gives the candidate that is few enough edits away from name to be meant by it, or "". Case does not count.
func Nearest(name string, candidates []string) string {
	if len(name) > nearBytesMax {
		return ""
	}
	best, bestEdits := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if len(c) > nearBytesMax {
			continue
		}
		if n := edits(strings.ToLower(name), strings.ToLower(c)); n < bestEdits {
			best, bestEdits = c, n
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
