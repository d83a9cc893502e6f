package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/coder/websocket"
	"golang.org/x/net/http/httpproxy"
)

const handshakeTime = 20 * time.Second // for a WebSocket, TLS and proxy included

// proxied is HTTP as a target wants it: through a proxy, with authorities of its own.
type proxied struct {
	client    *http.Client
	transport *http.Transport
}

func newProxied(proxy string, roots *x509.CertPool, getenv func(string) string) (*proxied, error) {
	choose, err := proxyFor(proxy, getenv)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{ // with HTTP/1.1 only, which a WebSocket needs
		Proxy:               choose,
		DialContext:         (&net.Dialer{Timeout: handshakeTime}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: handshakeTime,
		IdleConnTimeout:     time.Minute,
	}
	return &proxied{client: &http.Client{Transport: transport}, transport: transport}, nil
}

func (p *proxied) close() { p.transport.CloseIdleConnections() }

// proxyFor gives the proxy for a request: the one that is named, else what the environment says. A host asks itself and its link, where
// managed identities live, without any.
func proxyFor(proxy string, getenv func(string) string) (func(*http.Request) (*url.URL, error), error) {
	if proxy == "" {
		either := func(name string) string {
			if v := getenv(name); v != "" {
				return v
			}
			return getenv(strings.ToLower(name))
		}
		env := httpproxy.Config{HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY")}
		choose := env.ProxyFunc()
		return func(r *http.Request) (*url.URL, error) {
			if near(r.URL.Hostname()) {
				return nil, nil
			}
			return choose(r.URL)
		}, nil
	}
	fixed, err := url.Parse(proxy)
	if err != nil {
		return nil, errors.New("proxy: it is not an address, like http://proxy.example.com:3128") // without err, which quotes
	}
	return func(r *http.Request) (*url.URL, error) {
		if near(r.URL.Hostname()) {
			return nil, nil
		}
		return fixed, nil
	}, nil
}

func near(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast())
}

// dialer opens AMQP over WebSocket. With an endpoint it goes there, and still speaks to the namespace, as the SDK does over plain AMQP: the
// certificate must be the namespace's.
func (p *proxied) dialer(endpoint string) func(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error) {
	return func(ctx context.Context, params azeventhubs.WebSocketConnParams) (net.Conn, error) {
		u, err := url.Parse(params.Host) // which is an address: wss://host/$servicebus/websocket
		if err != nil {
			return nil, err
		}
		o := &websocket.DialOptions{HTTPClient: p.client, Subprotocols: []string{"amqp"}}
		if endpoint != "" {
			transport := p.transport.Clone()
			transport.TLSClientConfig.ServerName = u.Hostname()
			o.HTTPClient, o.Host = &http.Client{Transport: transport}, u.Host
			u.Host = endpoint
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		ws, _, err := websocket.Dial(ctx, u.String(), o)
		if err != nil {
			return nil, err
		}
		// Not ctx, which ends with the call that happened to need the connection first.
		return websocket.NetConn(context.Background(), ws, websocket.MessageBinary), nil
	}
}
