package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// namePattern is the official emulator's rule for hubs and groups.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9]$|^[A-Za-z0-9][\w\-./]*[A-Za-z0-9]$`)

// checkName gives the name in lower case, in which names are compared.
func checkName(what, name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("the name of a %s is empty", what)
	}
	if len(name) > nameBytesMax {
		return "", fmt.Errorf("the name of a %s has %d characters, more than %d", what, len(name), nameBytesMax)
	}
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("%q cannot name a %s: use letters, digits and . - _ / inside, a letter or digit at both ends", name, what)
	}
	return strings.ToLower(name), nil
}

func isDefaultGroup(name string) bool { return strings.EqualFold(name, "$Default") }

func inRange(n, low, high int64) error {
	switch {
	case n < low:
		return fmt.Errorf("%d is less than %d", n, low)
	case n > high:
		return fmt.Errorf("%d is more than %d", n, high)
	}
	return nil
}

func parseWhole(s string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%.40s is out of range; it must be from %d to %d", s, low, high)
	}
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a whole number", s)
	}
	return n, inRange(n, low, high)
}

// parseDuration reads Go's durations and whole days, "7d".
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		n, err = parseWhole(days, 0, int64(math.MaxInt64/(24*time.Hour)))
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil {
		return 0, fmt.Errorf(`%.40q is not a length of time, like "90m", "24h" or "7d"`, s)
	}
	if d <= 0 {
		return 0, fmt.Errorf("%.40q is not more than nothing", s)
	}
	return d, nil
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

// parseBytes reads "512MiB", "1 GB" or plain bytes.
func parseBytes(s string, low, high int64) (int64, error) {
	folded := strings.ToLower(strings.TrimSpace(s))
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(folded, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			break
		}
		if n > high/unit.bytes {
			return 0, fmt.Errorf("%.40q is more than %s", s, formatBytes(high))
		}
		if n < 0 || n*unit.bytes < low {
			return 0, fmt.Errorf("%.40q is less than %s", s, formatBytes(low))
		}
		return n * unit.bytes, nil
	}
	return 0, fmt.Errorf(`%.40q is not a number of bytes, like 1048576, "512MiB" or "1GB"`, s)
}

// formatBytes is for our own bounds, which are whole units.
func formatBytes(n int64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := int64(1) << (40 - 10*i); n >= size {
			return fmt.Sprintf("%d%s", n/size, unit)
		}
	}
	return strconv.FormatInt(n, 10)
}

func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%.80q is not host:port, like 127.0.0.1:5672", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%.80q has no port from 0 to 65535", s)
	}
	return nil
}

// nearest gives the candidate that is few enough edits away from name to be meant by it, or "".
func nearest(name string, candidates []string) string {
	best, bestEdits := "", max(2, len(name)/3)+1
	if len(name) > 40 {
		return ""
	}
	for _, c := range candidates {
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
