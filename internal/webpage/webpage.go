// Package webpage keeps the pages that a developer happens to look at away from addresses that ask for no credential.
//
// A page can make its browser call any address that the machine can reach. What could let it in, and the rule that keeps it out:
//   - A call from another site: browsers put Origin on all that writes, and Sec-Fetch-Site on what they know to be another site's.
//   - DNS rebinding, a name of the page's own that suddenly means this machine: its Host is that name. On a loopback address only loopback
//     hosts are taken; elsewhere, behind a container's forwarded port say, only addresses and names that nobody can register.
package webpage

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Refusal says why a request may be one of a web page, "" if it is none. private tells that the address asks for no credential, so that the
// host counts wherever the request came in.
func Refusal(r *http.Request, private bool) string {
	if len(r.Header.Values("Origin")) > 0 {
		return "requests from web pages are refused: this one has an Origin header"
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return "requests from web pages are refused: the browser says that this one is another site's"
	}
	switch host := hostname(r.Host); {
	case OnLoopback(r) && !isLoopback(host):
		return fmt.Sprintf("the host %.100q is refused: on this address call it localhost, 127.0.0.1 or [::1]", r.Host)
	case private && !isLocalName(host):
		return fmt.Sprintf("the host %.100q is refused, since anyone could register it: use an address, or a name without dots", r.Host)
	}
	return ""
}

// OnLoopback tells whether the request came in on a loopback address, which only this machine can reach.
func OnLoopback(r *http.Request) bool {
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addr == nil {
		return false
	}
	at, err := netip.ParseAddrPort(addr.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// hostname leaves out the port, which may be forwarded from another.
func hostname(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost"
}

// isLocalName takes addresses, names of one label, and names below what is reserved for local use (RFC 2606, 6761, 6762, 8375; .internal by
// ICANN's decision).
func isLocalName(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return true // also none at all, as in a health check of HTTP/1.0: browsers send one
	}
	for _, end := range []string{".internal", ".local", ".localhost", ".test", ".home.arpa"} {
		if strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}
