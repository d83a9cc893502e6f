package gatewayfile

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
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

func parseBytes(s string) (Bytes, error) {
	folded := strings.ToLower(strings.TrimSpace(s))
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(folded, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			break
		}
		return Bytes(n * unit.bytes), nil
	}
	return 0, fmt.Errorf(`%.40q is not a number of bytes, like 1048576, "512KiB" or "1MB"`, s)
}

// parseDuration reads Go's durations and whole days, "7d".
func parseDuration(s string) (time.Duration, error) {
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseInt(digits, 10, 64); err == nil && 0 <= days && days <= int64(math.MaxInt64/(24*time.Hour)) {
			return time.Duration(days) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`%.40q is not a length of time, like "500ms", "10s" or "7d"`, s)
	}
	return d, nil
}

func parseWhole(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%.40s is not a whole number", s)
	}
	return n, nil
}

func parseFloat(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil { // .inf and .nan as well
		return 0, fmt.Errorf("%.40s is not a number that can be used here", s)
	}
	return f, nil
}

var errConnectionString = errors.New("looks like a connection string, which is a secret; it goes into connectionString, as ${env:NAME} or ${file:PATH}")

// splitAddress reads host:port.
func splitAddress(s string) (host, port string, err error) {
	if strings.Contains(s, "=") {
		return "", "", errConnectionString // and is not quoted
	}
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		return "", "", fmt.Errorf("%.80q is not host:port, like 127.0.0.1:8080", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("%.80q has no port from 0 to 65535", s)
	}
	return host, port, nil
}

// isLoopback tells whether a host, without port, is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// checkHost takes the name or address of a host, and a port if that is allowed.
func checkHost(s string, port bool) error {
	if strings.Contains(s, "=") {
		return errConnectionString
	}
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil || !port {
			return fmt.Errorf("%.80q is not a host name: it has a port", s)
		}
		host = h
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, notOfHost) {
		return fmt.Errorf("%.80q is not the name of a host", s)
	}
	return nil
}

func notOfHost(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:[]", r))
}

// checkTopic is Kafka's rule for topics.
func checkTopic(s string) error {
	if s == "." || s == ".." || len(s) == 0 || len(s) > 249 || strings.Trim(s, hubLetters) != "" {
		return fmt.Errorf("%.80q cannot name a topic of Kafka, which has 1 to 249 of A-Z a-z 0-9 . _ -", s)
	}
	return nil
}

// checkHub is the rule of Event Hubs.
func checkHub(s string) error {
	inside := func(b byte) bool { return strings.IndexByte(hubLetters+"/", b) >= 0 }
	ends := func(b byte) bool { return inside(b) && strings.IndexByte(".-_/", b) < 0 }
	bad := len(s) == 0 || len(s) > 256 || !ends(s[0]) || !ends(s[len(s)-1])
	for i := 0; i < len(s) && !bad; i++ {
		bad = !inside(s[i])
	}
	if bad {
		return fmt.Errorf("%.80q cannot name an event hub: use letters, digits and . - _ / inside, a letter or digit at both ends", s)
	}
	return nil
}

const hubLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

var errTargetName = errors.New("cannot name a target: use 1 to 64 of A-Z a-z 0-9 . _ -")

func checkTargetName(s string) error {
	if len(s) == 0 || len(s) > 64 || strings.Trim(s, hubLetters) != "" {
		return errTargetName
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
		if len(c) > 40 {
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
