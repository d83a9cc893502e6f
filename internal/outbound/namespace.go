package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// lookEvery is how often a connection string is read again while nothing fails.
const lookEvery = 30 * time.Second

// namespace is a target that speaks Event Hubs. Each hub has a client, and so a connection, of its own.
type namespace struct {
	t gatewayfile.Target // immutable, as all up to cancel
	o Options

	credential azcore.TokenCredential // nil with a connection string
	client     azeventhubs.ProducerClientOptions
	proxied    *proxied // nil without WebSocket

	draining context.Context // of clients that were replaced; ends when close waits no longer
	cancel   context.CancelFunc

	now   atomic.Pointer[connection]
	look  sync.Mutex   // held while the connection string is read, and now is set
	looks atomic.Int64 // that were begun
	last  atomic.Int64 // Clock's time of the last one, in nanoseconds since 1970

	mu     sync.Mutex // guards what follows
	lines  map[string]*line
	closed bool
}

// connection is where a client goes. Clients of one *connection are alike.
type connection struct {
	host   string // host or host:port
	string string // without EntityPath; "" with a credential
	hub    string // the only one it is for; "": any
}

func openNamespace(t gatewayfile.Target, o Options) (*namespace, error) {
	n := &namespace{t: t, o: o, lines: make(map[string]*line)}
	first, err := n.read()
	if err != nil {
		return nil, err
	}
	n.now.Store(first)
	n.last.Store(o.Clock.Now().UnixNano())
	n.client = azeventhubs.ProducerClientOptions{
		ApplicationID: o.userAgent(),
		RetryOptions:  azeventhubs.RetryOptions{MaxRetries: -1}, // not at all
	}
	if t.EventHubs != nil {
		if err := n.secure(t.EventHubs); err != nil {
			return nil, err
		}
	}
	n.draining, n.cancel = context.WithCancel(context.Background())
	return n, nil
}

// secure sets up TLS, transport and the credential of Microsoft Entra.
func (n *namespace) secure(e *gatewayfile.EventHubs) error {
	roots, err := gatewayfile.RootCAs(e.CAFile)
	if err != nil {
		return fmt.Errorf("caFile: %w", err)
	}
	n.proxied, err = newProxied(e.Proxy, roots, n.o.Getenv)
	if err != nil {
		return err
	}
	if e.Transport == gatewayfile.OverWebSocket {
		n.client.NewWebSocketConn = n.proxied.dialer(e.CustomEndpoint)
	} else {
		if e.Proxy != "" {
			return errors.New("proxy: it cannot carry AMQP, which is no HTTP; write transport: websocket")
		}
		n.client.CustomEndpoint = e.CustomEndpoint
		n.client.TLSConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if e.Credential != "" {
		n.credential, err = newCredential(e, n.proxied.client)
	}
	return err
}

// read gives the connection that holds now.
func (n *namespace) read() (*connection, error) {
	if !n.t.HasConnectionString() {
		return &connection{host: n.t.EventHubs.Namespace}, nil
	}
	c, err := n.t.ConnectionString()
	if err != nil {
		return nil, err
	}
	hub := c.EntityPath
	c.EntityPath = "" // the SDK wants the hub in one place only
	return &connection{host: c.Host, string: c.Encode(), hub: hub}, nil
}

// current gives the connection that clients should have, and looks at its secret again from time to time.
func (n *namespace) current() *connection {
	if n.o.Clock.Now().UnixNano()-n.last.Load() >= int64(lookEvery) && n.look.TryLock() {
		n.readAgain()
		n.look.Unlock()
	}
	return n.now.Load()
}

// renewed tells whether another connection than old holds now. It reads the secret unless somebody else began to after renewed was called.
func (n *namespace) renewed(old *connection) bool {
	before := n.looks.Load()
	n.look.Lock()
	defer n.look.Unlock()
	if n.now.Load() == old && n.looks.Load() == before {
		n.readAgain()
	}
	return n.now.Load() != old
}

// readAgain needs look. What cannot be read or used changes nothing: files are not always replaced in one step.
func (n *namespace) readAgain() {
	n.looks.Add(1)
	n.last.Store(n.o.Clock.Now().UnixNano())
	next, err := n.read()
	if err != nil {
		n.o.Log.Warn("the connection string cannot be used; the one before stays", "err", err)
		return
	}
	if *next != *n.now.Load() {
		n.now.Store(next)
		n.o.Log.Info("the connection string has changed; new connections use it")
	}
}

// dial gives a client, which connects when it is used.
func (n *namespace) dial(c *connection, hub string) (*azeventhubs.ProducerClient, error) {
	o := n.client
	if o.TLSConfig != nil {
		// The SDK would take the port for a part of the name.
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ServerName = hostOnly(c.host)
	}
	switch {
	case c.hub != "" && !strings.EqualFold(c.hub, hub):
		return nil, fmt.Errorf("the connection string is for the hub %s only, as its EntityPath says", c.hub)
	case n.credential != nil:
		return azeventhubs.NewProducerClient(c.host, hub, n.credential, &o)
	}
	return azeventhubs.NewProducerClientFromConnectionString(c.string, hub, &o)
}

func hostOnly(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return s
}

func (n *namespace) system() string { return "eventhubs" }

func (n *namespace) notifier(hub string) (notify.Notifier, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errClosed
	}
	if l, ok := n.lines[hub]; ok {
		return l, nil
	}
	l, err := newLine(n, hub)
	if err != nil {
		return nil, err
	}
	n.lines[hub] = l
	return l, nil
}

// all gives the lines in the order of their hubs.
func (n *namespace) all() []*line {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []*line
	for _, l := range n.lines {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b *line) int { return cmp.Compare(a.hub, b.hub) })
	return list
}

// each does something with all lines at once, and joins the errors in the order of the hubs.
func (n *namespace) each(do func(*line) error) error {
	lines := n.all()
	errs := make([]error, len(lines))
	var all sync.WaitGroup
	for i, l := range lines {
		all.Go(func() {
			if err := do(l); err != nil {
				errs[i] = fmt.Errorf("hub %s: %w", l.hub, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (n *namespace) ready(ctx context.Context) error {
	return n.each(func(l *line) error {
		if err := l.ready(ctx); err != nil {
			return n.advised(err)
		}
		return nil
	})
}

func (n *namespace) close(ctx context.Context) error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	stop := context.AfterFunc(ctx, n.cancel)
	defer stop()
	err := n.each(func(l *line) error { return l.close(ctx) })
	n.cancel()
	if n.proxied != nil {
		n.proxied.close()
	}
	return err
}

func (n *namespace) stats() map[string]eventhubs.Stats {
	stats := make(map[string]eventhubs.Stats)
	for _, l := range n.all() {
		stats[l.hub] = l.stats()
	}
	return stats
}

// keyName is the policy of the connection string that holds now, for errors.
func (n *namespace) keyName() string {
	c, err := auth.ParseConnectionString(n.now.Load().string)
	if err != nil || c.KeyName == "" {
		return "behind its token"
	}
	return c.KeyName
}

func (n *namespace) waiting() map[string]Waiting { return waitingOf(n.stats()) }
