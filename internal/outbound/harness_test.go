package outbound

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

const (
	namespaceHost = "contoso.broker.test" // of which only certificates and proxies know
	firstKey      = "first-KEY-3f1c8a"
	secondKey     = "second-KEY-77ab21"
)

// broker is an engine with the hubs orders and audit of four partitions each.
type broker struct {
	t  testing.TB
	e  *engine.Engine
	ca *authority

	mu    sync.Mutex
	conns []net.Conn // the server's ends
	host  string     // that the last WebSocket was for
}

func senderPolicy(key string) auth.Policy {
	return auth.Policy{Name: "send", Key: key, Rights: auth.Send, Namespace: "ns"}
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	e, err := engine.New(engine.Options{Policies: []auth.Policy{senderPolicy(firstKey)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	namespace, err := e.Hall.CreateNamespace("ns")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"orders", "audit"} {
		if _, err := namespace.CreateHub(hub.Spec{Name: name, Partitions: 4}); err != nil {
			t.Fatal(err)
		}
	}
	return &broker{t: t, e: e, ca: newAuthority(t)}
}

// replaceKey is what regenerating a key is: the first one opens nothing any more, and who came in with it is cut.
func (b *broker) replaceKey() {
	b.t.Helper()
	b.e.Policies.Remove("ns", "", "send")
	if err := b.e.Policies.Add(senderPolicy(secondKey)); err != nil {
		b.t.Fatal(err)
	}
	b.cut()
}

func (b *broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Close()
	}
	b.conns = nil
}

// recorder remembers what was accepted.
type recorder struct {
	net.Listener
	b *broker
}

func (r recorder) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err == nil {
		r.b.mu.Lock()
		r.b.conns = append(r.b.conns, c)
		r.b.mu.Unlock()
	}
	return c, err
}

// listen serves AMQP, with TLS if asked, and gives the address.
func (b *broker) listen(withTLS bool) string {
	b.t.Helper()
	ln := localListener(b.t)
	address := ln.Addr().String()
	ln = recorder{ln, b}
	if withTLS {
		ln = tls.NewListener(ln, b.ca.serverConfig())
	}
	served := make(chan error, 1)
	go func() { served <- b.e.Serve(ln) }()
	b.t.Cleanup(func() { ln.Close(); <-served })
	return address
}

func localListener(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// listenWeb serves AMQP over WebSocket over TLS, as Event Hubs does, and gives the address.
func (b *broker) listenWeb() string {
	b.t.Helper()
	return b.ca.serve(b.t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/$servicebus/websocket" {
			http.NotFound(w, r)
			return
		}
		b.mu.Lock()
		b.host = r.Host
		b.mu.Unlock()
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"amqp"}})
		if err != nil {
			return
		}
		if ws.Subprotocol() != "amqp" {
			ws.CloseNow()
			return
		}
		b.e.ServeConn(websocket.NetConn(context.Background(), ws, websocket.MessageBinary))
	})
}

// stored is how many events a hub has got.
func (b *broker) stored(name string) (n int64) {
	b.t.Helper()
	h, err := b.e.Hall.Namespace("ns").Hub(name)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range 4 {
		n += h.PartitionAt(i).State().Next.Seq
	}
	return n
}

// authority signs certificates that no system knows.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	leaf        tls.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	certificate, err := x509.ParseCertificate(der)
	must(err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames:    []string{namespaceHost, "login.microsoft.com", "login.microsoftonline.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, certificate, &leafKey.PublicKey, key)
	must(err)
	return &authority{certificate: certificate, key: key, leaf: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}
}

func (a *authority) serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.leaf}}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// serve gives the address of an HTTPS server.
func (a *authority) serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.TLS = a.serverConfig()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// proxy is an HTTP proxy for CONNECT that knows where some hosts are.
type proxy struct {
	address string

	mu    sync.Mutex
	where map[string]string
	asked []string
}

func newProxy(t testing.TB, where map[string]string) *proxy {
	t.Helper()
	p := &proxy{where: where}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.address = s.URL
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	address, ok := p.where[r.Host]
	p.mu.Unlock()
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, "not here", http.StatusBadGateway)
		return
	}
	there, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		io.Copy(there, buffered)
		there.Close()
	}()
	io.Copy(here, there)
}

func (p *proxy) wasAskedFor(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, asked := range p.asked {
		if asked == "CONNECT "+host {
			return true
		}
	}
	return false
}

// config is a directory with a gateway file for one target, and the files it refers to.
type config struct {
	t   testing.TB
	dir string
	log syncBuffer
}

func newConfig(t testing.TB) *config { return &config{t: t, dir: t.TempDir()} }

func (c *config) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		c.t.Fatal(err)
	}
}

// target reads what stands behind "t:".
func (c *config) target(text string) gatewayfile.Target {
	c.t.Helper()
	file, err := gatewayfile.Parse(filepath.Join(c.dir, "gateway.yaml"), []byte("targets: {t: "+text+"}\n"+`
routes: {orders: {target: t}}
issuers: [{url: "https://i.example", audiences: [a]}]
rules: [{issuer: "https://i.example", kind: app, claim: roles, value: a, hubs: ["*"]}]
`))
	if err != nil {
		c.t.Fatal(err)
	}
	return file.Targets["t"]
}

func (c *config) options(env map[string]string) Options {
	return Options{Log: slog.New(slog.NewTextHandler(&c.log, nil)), Getenv: func(name string) string { return env[name] }, Version: "1.2.3"}
}

// open opens a target, and closes it in the end.
func (c *config) open(text string, env map[string]string) *Target {
	c.t.Helper()
	target, err := Open(c.t.Context(), c.target(text), c.options(env))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := soon()
		defer cancel()
		if err := target.Close(ctx); err != nil {
			c.t.Errorf("close: %v", err)
		}
		for _, key := range []string{firstKey, secondKey, "sig="} {
			if strings.Contains(c.log.String(), key) {
				c.t.Errorf("the log holds %s:\n%s", key, c.log.String())
			}
		}
	})
	return target
}

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 20*time.Second)
}

func connectionString(host, key string) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=send;SharedAccessKey=%s", host, key)
}

// mustNotify makes the target ready for a hub and sends it a message.
func mustNotify(t testing.TB, target *Target, hub string) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	n := mustNotifier(t, target, hub)
	if err := target.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	results := n.Send(ctx, hub, notify.Message{Body: []byte("hello")})
	if len(results) != 1 || results[0].Err != nil {
		t.Fatalf("got %+v", results)
	}
}

func mustNotifier(t testing.TB, target *Target, hub string) notify.Notifier {
	t.Helper()
	n, err := target.Notifier(hub)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantNotReady compares the error's beginning and end; what is between is the SDK's.
func wantNotReady(t testing.TB, target *Target, reason notify.Reason, begins, ends string) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	err := target.Ready(ctx)
	if err == nil || !strings.HasPrefix(err.Error(), begins) || !strings.HasSuffix(err.Error(), ends) {
		t.Errorf("got %v\nwant %s ... %s", err, begins, ends)
	}
	if got := notify.ReasonOf(err); got != reason {
		t.Errorf("reason %s, want %s: %v", got, reason, err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
