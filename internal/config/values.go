package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/setting"
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

// parseDuration takes more than nothing.
func parseDuration(s string) (time.Duration, error) {
	d, err := setting.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%.40q is not more than nothing", s)
	}
	return d, err
}

func parseBytes(s string, low, high int64) (int64, error) {
	n, err := setting.ParseBytes(s)
	switch {
	case err != nil:
		return 0, err
	case int64(n) > high:
		return 0, fmt.Errorf("%.40q is more than %s", s, setting.Bytes(high))
	case int64(n) < low:
		return 0, fmt.Errorf("%.40q is less than %s", s, setting.Bytes(low))
	}
	return int64(n), nil
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
