package gatewayfile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

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
