package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// The headers in which proxies say for whom they ask; see Options.ForwardedBy.
const (
	ForwardedFor = "X-Forwarded-For"
	Forwarded    = "Forwarded" // RFC 7239
)

// client is the caller's address, if the connection has one. A proxy's word counts if the proxy is trusted: the last address it gives that
// is not itself a trusted proxy's.
func (g *Gateway) client(r *http.Request) (a netip.Addr, ok bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return a, false
	}
	at := peer.Addr().Unmap()
	if !g.trusts(at) {
		return at, true
	}
	hops := r.Header[g.o.ForwardedBy]
	if g.o.ForwardedBy == Forwarded {
		hops = forwardedFor(hops)
	}
	list := strings.Split(strings.Join(hops, ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		hop, ok := parseHop(list[i])
		if !ok {
			break
		}
		if at = hop; !g.trusts(at) {
			break
		}
	}
	return at, true
}

// clientText is client for logs.
func (g *Gateway) clientText(r *http.Request) string {
	if a, ok := g.client(r); ok {
		return a.String()
	}
	return ""
}

func (g *Gateway) trusts(a netip.Addr) bool {
	for _, p := range g.o.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// forwardedFor gives the for= parameters of Forwarded headers (RFC 7239). Quotes are dropped, since no address has a comma or semicolon.
func forwardedFor(values []string) []string {
	var hops []string
	for element := range strings.SplitSeq(strings.Join(values, ","), ",") {
		hop := ""
		for pair := range strings.SplitSeq(element, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
				hop = strings.Trim(value, `"`)
			}
		}
		hops = append(hops, hop)
	}
	return hops
}

// parseHop reads an address with or without port, IPv6 with or without brackets. "unknown" and made-up names are none.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap(), true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr().Unmap(), err == nil
}
