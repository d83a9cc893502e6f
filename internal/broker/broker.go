// Package broker joins the whole product: a configuration becomes parts, the parts get listeners, and the broker runs until it is drained.
//
// What its users need: when Start returns, every configured hub exists and every door accepts, so whoever waits for it can connect at once;
// a wrong setting or a taken port is an error that says what to change, and nothing listens then; and nobody beyond this machine gets in
// with keys that everyone knows. The order of starting is in Start, the order of ending in Shutdown, and nowhere else.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/evhub-dev/evhub/internal/admin"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
	"github.com/evhub-dev/evhub/internal/obs"
)

const (
	memoryBytesDefault = 1 << 30
	drainTime          = 5 * time.Second
	requestsTime       = time.Second // of drainTime, for HTTP requests that are under way
)

// Options are for Start. Only Config is needed.
type Options struct {
	Config *config.Config

	// Dev allows listening beyond loopback without policies of one's own: whoever can reach the port then has all rights.
	Dev bool

	Clock   clock.Clock  // clock.System
	Log     *slog.Logger // slog.DiscardHandler
	Version string       // shown in metrics and on the admin port
}

// Error is why a broker could not start, and the way out.
type Error struct {
	Text string
	Hint string // "" if there is nothing to add
	Err  error  // cause; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// Broker is a running broker. It is safe for concurrent use.
type Broker struct {
	o      Options
	log    *slog.Logger
	engine *engine.Engine

	metrics       *metrics.Set
	http          *http.Server   // of the admin door
	notifications *notifications // nil: none

	listeners map[string][]net.Listener // by door; immutable once Start returned
	serving   sync.WaitGroup
	draining  atomic.Bool
	failed    chan error // capacity 1: the first door that fell
}

// Start makes the hubs, opens the listeners, and serves. What can be wrong is found before anything listens, as far as it can be known. The
// error is an *Error where a setting or the machine is to blame. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if err := checkReach(o); err != nil {
		return nil, err
	}
	b, err := newBroker(o)
	if err != nil {
		return nil, err
	}
	if err := b.bindAll(ctx); err != nil {
		b.closeListeners()
		b.engine.Close()
		return nil, err
	}
	for _, d := range o.doors() {
		b.open(d)
	}
	b.warnSealed()
	b.warnReach()
	return b, nil
}

func (b *Broker) bindAll(ctx context.Context) error {
	for _, d := range b.o.doors() {
		if err := b.bind(ctx, d); err != nil {
			return err
		}
	}
	if b.o.develops() {
		return b.startNotifications()
	}
	if len(b.o.Config.Evhub.Listeners.API) > 0 {
		b.log.Warn("no notification service: the one of serve gives a token to anyone who asks, and there are policies of your own",
			"change", "evhub gateway --config gateway.yaml")
	}
	return nil
}

// Check tells what would keep a broker of this configuration from making its hubs. It opens nothing.
func Check(c *config.Config) error {
	b, err := newBroker(Options{Config: c})
	if err != nil {
		return err
	}
	return b.engine.Close()
}

// newBroker makes the parts and the hubs.
func newBroker(o Options) (*Broker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ours := o.Config.Evhub
	if ours.Memory == 0 {
		ours.Memory = memoryBytesDefault
	}
	e, err := engine.New(engine.Options{
		Clock:         o.Clock,
		Log:           o.Log,
		Policies:      policies(o.Config),
		MemoryBytes:   ours.Memory,
		Retention:     ours.Retention,
		ReadersMax:    ours.Limits.ReadersMax,
		EventBytesMax: int(ours.Limits.EventBytesMax),
		IdleTimeout:   ours.Limits.IdleTimeout,
	})
	if err != nil {
		return nil, err
	}
	if err := makeHubs(e.Hall, o.Config); err != nil {
		e.Close()
		return nil, err
	}
	b := &Broker{
		o: o, log: o.Log, engine: e, metrics: metrics.NewSet(), listeners: make(map[string][]net.Listener), failed: make(chan error, 1),
	}
	face := admin.Options{
		Hall:           e.Hall,
		Health:         b.health,
		Metrics:        b.metrics,
		Connections:    func() (int, int64) { s := e.Connections(); return s.Open, s.Accepted },
		MemoryBytesMax: ours.Memory,
		Version:        o.Version,
		Clock:          o.Clock,
		Log:            o.Log,
	}
	if b.OwnPolicies() {
		face.Auth = e.Policies
	}
	if o.develops() { // on loopback the kit asks for no credential, which would bypass policies of one's own
		face.Kit = kit.New(kit.Options{Hall: e.Hall, Policies: e.Policies, Clock: o.Clock, Fence: e.Fence})
		face.Default = o.Config.Namespaces[0].Name
		face.Connection = b.connection
	}
	b.http = admin.New(face).Server()
	return b, nil
}

// policies are the configured ones, or else the public development keys. A key belongs to one namespace, so these open the first one.
func policies(c *config.Config) []auth.Policy {
	if len(c.Evhub.Policies) > 0 || len(c.Namespaces) == 0 {
		return c.Evhub.Policies
	}
	return auth.DevelopmentPolicies(c.Namespaces[0].Name)
}

func makeHubs(hall *hub.Hall, c *config.Config) error {
	for _, spec := range c.Namespaces {
		ns, err := hall.CreateNamespace(spec.Name)
		if err != nil {
			return &Error{Text: fmt.Sprintf("namespace %q", spec.Name), Err: err}
		}
		for _, h := range spec.Hubs {
			_, err := ns.CreateHub(hub.Spec{Name: h.Name, Partitions: h.Partitions, Groups: h.Groups, Retention: h.Retention})
			if err != nil {
				return &Error{Text: fmt.Sprintf("hub %q of namespace %q", h.Name, spec.Name), Err: err}
			}
		}
	}
	return nil
}

// warnSealed says which namespaces nobody has a key for.
func (b *Broker) warnSealed() {
	open := make(map[string]bool)
	for _, p := range policies(b.o.Config) {
		open[p.Namespace] = true
	}
	for _, ns := range b.o.Config.Namespaces {
		if !open[ns.Name] {
			b.log.Warn("no policy opens this namespace; the development keys open the first one only", obs.KeyNS, ns.Name)
		}
	}
}

// OwnPolicies tells that the configuration has policies, so that the public development keys open nothing.
func (b *Broker) OwnPolicies() bool { return len(b.o.Config.Evhub.Policies) > 0 }

// ConnectionString is what a client of the first policy needs. Its secret is public unless there are own policies.
func (b *Broker) ConnectionString() auth.ConnectionString {
	c := auth.ConnectionString{Host: b.Host(AMQP), Emulator: true}
	if list := policies(b.o.Config); len(list) > 0 {
		c.KeyName, c.Key, c.EntityPath = list[0].Name, list[0].Key, list[0].Hub
	}
	return c
}

// connection is ConnectionString without a key that is a secret.
func (b *Broker) connection() auth.ConnectionString {
	c := b.ConnectionString()
	if b.OwnPolicies() {
		c.Key = ""
	}
	return c
}

// Run serves until ctx is done or a door falls, then drains for up to 5 s. The error is that of the door.
func (b *Broker) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
		b.log.Info("draining", "for", drainTime)
	case err = <-b.failed:
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := b.Shutdown(limited); err != nil {
		b.log.Warn("not all clients left in time; they were cut", "err", err)
	}
	return err
}

// Shutdown ends in order: listeners, requests, connections, hall, log. Clients are asked to go; those that have not when ctx is done are cut, and the
// error says so.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.draining.Store(true)
	b.closeListeners()
	requests, cancel := context.WithTimeout(ctx, requestsTime)
	defer cancel()
	if b.notifications != nil {
		b.notifications.shutdown(requests)
	}
	if b.http.Shutdown(requests) != nil {
		b.http.Close()
	}
	err := b.engine.Shutdown(ctx)
	b.serving.Wait()
	return err
}

func (b *Broker) closeListeners() {
	for _, list := range b.listeners {
		for _, ln := range list {
			ln.Close()
		}
	}
}

// open serves a door's listeners, each on a goroutine that ends when its listener is closed.
func (b *Broker) open(d door) {
	for _, ln := range b.listeners[d.name] {
		b.serving.Go(func() {
			err := d.serve(b, ln)
			if b.draining.Load() {
				return
			}
			b.fail(fmt.Errorf("%s at %s does not accept any more: %w", d.name, ln.Addr(), err))
		})
	}
}

func (b *Broker) fail(err error) {
	b.log.Error("a door fell", "err", err)
	select {
	case b.failed <- err:
	default: // one is enough to end the broker
	}
}

var errDraining = errors.New("the broker is shutting down")
