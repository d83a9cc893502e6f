package webpage

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	const loopback, elsewhere = "127.0.0.1:5300", "172.17.0.2:5300"
	for _, tt := range []struct {
		name, local, host string
		header            http.Header
		private, refused  bool
	}{
		{name: "a tool", local: loopback, host: "localhost:5300"},
		{name: "an address", local: loopback, host: "127.0.0.1:5300"},
		{name: "an address of IPv6", local: "[::1]:5300", host: "[::1]:5300"},
		{name: "a forwarded port", local: loopback, host: "localhost:15300"},
		{name: "a page that writes", local: loopback, host: "localhost:5300", header: http.Header{"Origin": {"https://evil.example"}}, refused: true},
		{name: "a page of a file", local: loopback, host: "localhost:5300", header: http.Header{"Origin": {"null"}}, refused: true},
		{name: "a page that reads", local: loopback, host: "localhost:5300", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, refused: true},
		{name: "a link that was followed", local: loopback, host: "localhost:5300",
			header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}},
		{name: "rebinding", local: loopback, host: "evil.example:5300", refused: true},
		{name: "rebinding to a name of one label", local: loopback, host: "evil:5300", refused: true},
		{name: "rebinding into a container", local: elsewhere, host: "evil.example:5300", private: true, refused: true},
		{name: "rebinding with a dot at the end", local: elsewhere, host: "evil.example.:5300", private: true, refused: true},
		{name: "no host", local: elsewhere, host: "", private: true},
		{name: "a container by its name", local: elsewhere, host: "evhub:5300", private: true},
		{name: "a container's host", local: elsewhere, host: "host.docker.internal:5300", private: true},
		{name: "a service of a cluster", local: elsewhere, host: "evhub.tests.svc.cluster.local", private: true},
		{name: "an address elsewhere", local: elsewhere, host: "192.0.2.7:5300", private: true},
		{name: "any name where a credential is asked for", local: elsewhere, host: "evhub.example.com:5300"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = tt.host
			r.Header = tt.header
			local := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.local))
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local)))
			if why := Refusal(r, tt.private); (why != "") != tt.refused {
				t.Errorf("refused: %q", why)
			}
		})
	}
}
