package auth

import (
	"net/url"
	"strings"
)

// NormalizePath brings an address to the form in which addresses are compared: percent-decoded, without scheme, user, host and port if it
// has a scheme, without slashes at either end, ASCII letters in lower case:
//
//	amqps://host:5671/Hub/ConsumerGroups/$Default/Partitions/0  ->  hub/consumergroups/$default/partitions/0
//	sb%3a%2f%2fhost%2fhub%2f                                    ->  hub
//
// It decodes once, so it must not be given its own result. An address with a broken escape is not decoded at all.
func NormalizePath(address string) string {
	_, path := splitAddress(address)
	return path
}

// splitAddress is NormalizePath that keeps the host (with its port), "" if the address has no scheme.
func splitAddress(address string) (host, path string) {
	path = lower(unescape(address))
	if scheme, rest, ok := strings.Cut(path, "://"); ok && isScheme(scheme) {
		host, path, _ = strings.Cut(rest, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
	}
	return host, strings.Trim(path, "/")
}

// covers tells whether path is parent or lies below it. Whole segments count: "hub" does not cover "hub2".
func covers(parent, path string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (parent == "" || rest == "" || rest[0] == '/')
}

// unescape leaves a plus sign alone: signatures and addresses that were not encoded have one.
func unescape(s string) string {
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}

// lower folds ASCII only. Names are ASCII, and Unicode folding would turn other letters (the Kelvin sign) into ASCII ones.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isScheme(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.') {
			return false
		}
	}
	return s != ""
}
