// Package service joins the notification service as it runs in production: a configuration becomes ways out, a verifier of tokens, the HTTP
// face and its listeners, which run until they are drained.
//
// What its operator needs: nothing listens before everything that can be known to be wrong is said; /readyz is true only after the keys of
// every issuer and the first token and link of every target were had; a certificate that is replaced is used; and when the service is asked
// to go, what callers were told is stored is stored. The order of starting is in Start, the order of ending in Shutdown, and nowhere else.
package service

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
	"go.opentelemetry.io/otel/trace"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/outbound"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// answerTime is for the last answers of a service that runs out of time, if that much lies behind drain.wait.
const answerTime = time.Second

// Options are for Start. Only Config is needed.
type Options struct {
	Config *gatewayfile.Config

	Clock   clock.Clock          // clock.System
	Log     *slog.Logger         // slog.DiscardHandler
	Audit   *slog.Logger         // nil: none
	Getenv  func(string) string  // for proxies; os.Getenv
	Tracer  trace.TracerProvider // nil: no spans
	Version string
}

// Service is a running notification service. It is safe for concurrent use.
type Service struct {
	o       Options
	log     *slog.Logger
	tokens  *jwt.Verifier
	gateway *gateway.Gateway
	targets []target
	proof   *proof

	api, probes *http.Server
	apiDoor     *gateway.Connections
	probesDoor  net.Listener

	serving  sync.WaitGroup
	draining atomic.Bool
	failed   chan error // capacity 1: the first server that fell
}

// target is an outbound.Target. Those of tests hang.
type target interface {
	Name() string
	Ready(context.Context) error
	Close(context.Context) error
	Stats() map[string]eventhubs.Stats
	Waiting() map[string]outbound.Waiting
}

// Start makes the parts, opens the listeners, and serves. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	s := &Service{o: o, log: o.Log, failed: make(chan error, 1)}
	if err := s.make(ctx); err != nil {
		s.giveUp()
		return nil, err
	}
	s.proof.start()
	s.serve(s.apiDoor, s.api, o.Config.Listeners.API.TLS)
	s.serve(s.probesDoor, s.probes, nil)
	return s, nil
}

// make is Start without anything that runs on its own, but for the fetching of keys.
func (s *Service) make(ctx context.Context) error {
	c := s.o.Config
	routes, err := s.openTargets(ctx)
	if err != nil {
		return err
	}
	s.proof = newProof(s.targets, s.o.Clock, s.log)
	issuers, rules := c.Trust()
	if s.tokens, err = jwt.New(jwt.Options{Issuers: issuers, Rules: rules, Clock: s.o.Clock, Log: s.log}); err != nil {
		return c.Explain(err)
	}
	set := metrics.NewSet()
	set.RegisterMetricsWriter(s.writeMetrics)
	s.gateway, err = gateway.New(gateway.Options{
		Routes: routes, Tokens: gateway.JWT(s.tokens), Clock: s.o.Clock, Log: s.log, Audit: s.o.Audit, Metrics: set, Tracer: s.o.Tracer,
		AccessSample: c.Logging.AccessSample, Limits: limits(c), Ready: s.ready,
		RefusalsPerSecond: refusals(c), TrustedProxies: c.Listeners.API.TrustedProxies, ForwardedBy: c.Listeners.API.ForwardedBy, Origins: c.CORS.Origins,
	})
	if err != nil {
		return err
	}
	s.api = s.gateway.Server()
	s.probes = s.gateway.Server()
	s.probes.Handler = s.gateway.Probes()
	if s.api.TLSConfig, err = serverTLS(c.Listeners.API.TLS, s.o.Clock, s.log); err != nil {
		return err
	}
	ln, err := listen(ctx, "listeners.api.address", c.Listeners.API.Address)
	if err != nil {
		return err
	}
	s.apiDoor = gateway.Follow(s.api, ln)
	s.probesDoor, err = listen(ctx, "listeners.probes.address", c.Listeners.Probes.Address)
	return err
}

// refusals is no bound where all callers would share one, because they come from an ingress whose word on their addresses is not taken.
func refusals(c *gatewayfile.Config) float64 {
	api := &c.Listeners.API
	if api.TLS != nil && api.TLS.TerminatedBy != "" && len(api.TrustedProxies) == 0 {
		return 0
	}
	return float64(c.Limits.Refusals)
}

func limits(c *gatewayfile.Config) gateway.Limits {
	l := &c.Limits
	return gateway.Limits{
		BodyBytesMax: int(l.Body), BatchBytesMax: int(l.Batch), BatchItemsMax: l.Items, PropertiesMax: l.Properties,
		InFlightBytesMax: int64(l.InFlight), PrincipalShare: l.PrincipalShare, HandlerTime: l.HandlerTime, BodyTime: l.BodyTime,
		BodyRateMin: int(l.BodyRate), HeaderBytesMax: int(l.Headers), QuotasMax: l.Quotas,
		IdempotencyKeysMax: l.Idempotency.Entries, IdempotencyBytesMax: int(l.Idempotency.Memory), IdempotencyAge: l.Idempotency.Age,
		DrainNotice: c.Drain.Wait,
	}
}

// openTargets opens the ways out that routes use, and gives the routes.
func (s *Service) openTargets(ctx context.Context) (map[string]gateway.Route, error) {
	c := s.o.Config
	open := make(map[string]*outbound.Target)
	routes := make(map[string]gateway.Route)
	for name, route := range c.Routes {
		target := open[route.Target]
		if target == nil {
			var err error
			target, err = outbound.Open(ctx, c.Targets[route.Target], outbound.Options{
				Batching: c.Batching, Log: s.log, Clock: s.o.Clock, Getenv: s.o.Getenv, Version: s.o.Version,
			})
			if err != nil {
				return nil, err
			}
			open[route.Target] = target
			s.targets = append(s.targets, target)
		}
		notifier, err := target.Notifier(route.Hub)
		if err != nil {
			return nil, err
		}
		routes[name] = gateway.Route{Notifier: notifier, Hub: route.Hub, System: target.System()}
	}
	return routes, nil
}

func listen(ctx context.Context, path, address string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // without the address again
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", path, address, err)
	}
	return ln, nil
}

func (s *Service) serve(ln net.Listener, server *http.Server, tls *gatewayfile.TLS) {
	s.serving.Go(func() {
		var err error
		if tls != nil && tls.Certificate != "" {
			err = server.ServeTLS(ln, "", "")
		} else {
			err = server.Serve(ln)
		}
		if s.draining.Load() {
			return
		}
		s.log.Error("a listener fell", "address", ln.Addr(), "err", err)
		select {
		case s.failed <- fmt.Errorf("%s does not accept any more: %w", ln.Addr(), err):
		default: // one is enough to end the service
		}
	})
}

// ready says why no message could be stored: keys that were never had, or a target that was never reached. What fails later is told to
// callers, with a status that they can act on; another replica would do no better.
func (s *Service) ready(context.Context) error {
	return errors.Join(s.tokens.Ready(), s.proof.err())
}

// APIAddress and ProbesAddress are where the service listens.
func (s *Service) APIAddress() string    { return s.apiDoor.Addr().String() }
func (s *Service) ProbesAddress() string { return s.probesDoor.Addr().String() }

// Run serves until ctx is done or a listener falls, then drains for as long as the configuration allows, the last answers of a service that
// runs out of time included. The error is that of the listener, or says what was lost.
func (s *Service) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("draining", "for", s.o.Config.Drain.Total)
	case err = <-s.failed:
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Config.Drain.Total-s.lastAnswers())
	defer cancel()
	return errors.Join(err, s.Shutdown(limited))
}

// lastAnswers is the part of drain.total that is kept for answerTime.
func (s *Service) lastAnswers() time.Duration {
	d := &s.o.Config.Drain
	return min(answerTime, (d.Total-d.Wait)/2)
}

// Shutdown ends in order: readiness, requests, then what waits to be sent with the connections out, and beside that listeners and connections
// of callers. The probes answer until the end. When ctx ends first, callers that still wait are told what became of their messages, for which
// there is at most a second more; what is open then is cut or left behind. The error says what was not done.
func (s *Service) Shutdown(ctx context.Context) error {
	err := s.gateway.Drain(ctx)
	s.draining.Store(true)
	last, cancel := after(ctx, s.lastAnswers())
	defer cancel()
	var callers sync.WaitGroup
	callers.Go(func() { s.endConnections(last) })
	err = errors.Join(err, endAll(last, s.parts(ctx)))
	callers.Wait()
	s.probes.Close()
	s.serving.Wait()
	return err
}

// after gives a context that ends some time after ctx.
func after(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return later, func() { stop(); cancel() }
}

// endConnections gives callers the time to read their answers, and to hear that they should go elsewhere.
func (s *Service) endConnections(ctx context.Context) {
	if err := s.apiDoor.End(ctx); err != nil {
		s.log.Warn("callers were cut off, since the time to drain is over", "err", err)
	}
	s.apiDoor.Cut()
	s.api.Close()
}

// part is something to end.
type part struct {
	name string
	end  func() error
}

// parts are what is behind the requests. With ctx ends the patience for what waits to be sent.
func (s *Service) parts(ctx context.Context) []part {
	list := []part{
		{"the keys of issuers", func() error { s.tokens.Close(); return nil }}, // and with it whoever still waits for keys
		{"the proof of targets", func() error { s.proof.stop(); return nil }},
	}
	for _, t := range s.targets {
		list = append(list, part{"target " + t.Name(), func() error { return t.Close(ctx) }})
	}
	return list
}

// endAll ends parts, all at once. What has not ended with ctx is left behind, and named in the error: the SDK holds locks while it asks for a
// token or writes to a peer that does not read, and no context reaches it there.
func endAll(ctx context.Context, parts []part) error {
	type end struct {
		of  int
		err error
	}
	ends := make(chan end, len(parts))
	errs := make([]error, len(parts))
	for i, p := range parts {
		errs[i] = fmt.Errorf("%s: did not end in time", p.name)
		go func() { ends <- end{i, p.end()} }()
	}
	for range parts {
		select {
		case e := <-ends:
			errs[e.of] = e.err
		case <-ctx.Done():
			for len(ends) > 0 { // what has ended by then did so in time
				e := <-ends
				errs[e.of] = e.err
			}
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}

// giveUp takes back what make has done.
func (s *Service) giveUp() {
	if s.apiDoor != nil {
		s.apiDoor.Close()
	}
	if s.probesDoor != nil {
		s.probesDoor.Close()
	}
	if s.tokens != nil {
		s.tokens.Close()
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, t := range s.targets {
		t.Close(gone) // nothing was sent, so there is nothing to wait for
	}
}
