// Package gateway is the notification service: callers with a JSON web token post messages over HTTP, a notify.Notifier stores them.
//
//	POST /v1/hubs/{hub}/messages        one message: any bytes, or a CloudEvent (binary or structured)
//	POST /v1/hubs/{hub}/messages:batch  many: a CloudEvents batch, or {"items":[...]}
//	GET  /openapi.json                  the same, in full
//
// What its users need is an answer they can act on: 201 means stored; each message that is not has a reason, says whether sending it again
// may store it twice, and says when to come back. What operators need is that nobody without the right gets bytes in, and that no caller
// can take the service from the others. What could break that, and the rule that keeps it whole:
//   - Token, right, existence of the hub, quota, size and memory are checked in that order and before the body is read. A caller without
//     the right learns nothing about which hubs exist, and a client that waits for 100-continue never uploads in vain.
//   - Bytes under way are reserved before they are read, from one budget, of which each caller has a share. What does not fit is refused at
//     once; nothing queues here. A body that comes too slowly is cut off.
//   - Only what the notifier knows to be stored is called stored. A lost answer is 504 with "outcome":"unknown", never a 201 and never a
//     plain failure.
//   - An Idempotency-Key is remembered in the memory of this process only. So the id of a message is derived from it, and readers can drop
//     what a retry stored twice, even when the retry went to another replica.
//   - Tokens, keys and bodies are in no log, and what the target said about its failure is in the log and in no answer.
//
// A message's id is, in this order: what the batch envelope says; a UUID (version 8) derived from caller, hub and Idempotency-Key, in a
// batch with the item's index; for a CloudEvent a UUID derived from caller, hub, source and id, which together name an event, while the
// event's id alone does not; else a new UUID (version 7). The event's own id stays in the property cloudEvents:id.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.opentelemetry.io/otel/trace"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/notify"
)

// Options are for New. Routes and Tokens are required.
type Options struct {
	Routes map[string]Route // by the hub's public name, which is compared exactly: 1 to 256 of A-Z a-z 0-9 . _ -
	// Route finds hubs that came after New, and says whether there is one of exactly that name. It is asked for each request to a hub that is
	// not in Routes, and what it found keeps its counters. nil: Routes are all.
	Route  func(name string) (Route, bool)
	Tokens TokenVerifier
	Realm  string // of challenges; "evhub"

	// Clock is for quotas, ages and durations. Deadlines of connections and of sends are the machine's time, whatever it says.
	Clock   clock.Clock          // clock.System
	Log     *slog.Logger         // slog.DiscardHandler
	Audit   *slog.Logger         // who published what, a line for each attempt, a few a second for those of nobody known; nil: none
	Metrics *metrics.Set         // gets the gateway's numbers. nil: a set of its own
	Tracer  trace.TracerProvider // nil: no spans; trace context still goes from caller to message

	// AccessSample logs one in so many requests that succeeded. The others are logged each, but of those that are refused with 429 or 503,
	// or without a good credential, only 5 a second of each sort. 100
	AccessSample int

	Limits Limits

	// Ready says why no message could be stored just now; nil: always ready. It has until its context ends.
	Ready func(context.Context) error

	// RefusalsPerSecond is how many tokens from one address may turn out forged. Beyond it only a few a second of those from there that
	// were not seen a short time ago are looked at, since a forged one costs as much as a good one. 0: any number
	RefusalsPerSecond float64

	// TrustedProxies are peers whose word on the client's address counts, in logs and for RefusalsPerSecond.
	TrustedProxies []netip.Prefix
	// ForwardedBy is the header in which they say it: ForwardedFor, which is the default, or Forwarded. What the other one says may be the
	// caller's own invention.
	ForwardedBy string

	// Origins are the web origins, such as "https://app.example.com", whose pages may call; none: no page may. Compared exactly.
	Origins []string
}

// Route is where the messages of a public hub go.
type Route struct {
	Notifier notify.Notifier
	Hub      string // its name at the target; "": the public name
	System   string // what the target is, for traces (messaging.system); "eventhubs"
}

// Gateway is the http.Handler of the public face. It is safe for concurrent use.
type Gateway struct {
	o       Options
	doors   map[string]*door // by public name; immutable
	late    lateDoors
	nowhere *door // counts requests that reached no hub
	origins map[string]bool
	tracer  trace.Tracer // nil: none
	gate    gate
	memory  memory
	quotas  quotas
	sources sources
	keys    keyStore
	counts  counts
	buffers buffers

	auditLines, accessLines lines
}

// door is a hub that this gateway serves, with its counters.
type door struct {
	name, target, system string
	notifier             notify.Notifier
	counts               hubCounts
}

// New makes a Gateway. It starts nothing. The error says which option cannot be served.
func New(o Options) (*Gateway, error) {
	if o.Tokens == nil {
		return nil, errors.New("gateway: no Tokens: callers could not be told apart")
	}
	if err := o.Limits.setDefaults(); err != nil {
		return nil, err
	}
	o.setDefaults()
	if o.ForwardedBy != ForwardedFor && o.ForwardedBy != Forwarded {
		return nil, fmt.Errorf("gateway: ForwardedBy is %.40q, and neither %s nor %s", o.ForwardedBy, ForwardedFor, Forwarded)
	}
	g := &Gateway{o: o, doors: make(map[string]*door, len(o.Routes)), nowhere: &door{}, origins: make(map[string]bool, len(o.Origins))}
	for name, route := range o.Routes {
		if !jwt.IsHubName(name) {
			return nil, fmt.Errorf("gateway: route %q: a hub's public name is 1 to 256 of A-Z a-z 0-9 . _ -", name)
		}
		if route.Notifier == nil {
			return nil, fmt.Errorf("gateway: route %q has no Notifier", name)
		}
		g.doors[name] = newDoor(name, route)
	}
	for _, origin := range o.Origins {
		g.origins[origin] = true
	}
	if o.Tracer != nil {
		g.tracer = o.Tracer.Tracer(tracerName)
	}
	g.memory = newMemory(o.Limits.InFlightBytesMax, o.Limits.PrincipalShare)
	g.quotas = newQuotas(o.Limits.QuotasMax)
	g.sources = newSources(o.Limits.QuotasMax, o.RefusalsPerSecond)
	g.auditLines, g.accessLines = lines{by: make(map[*kind]tally)}, lines{by: make(map[*kind]tally)}
	g.keys = newKeyStore(o.Limits)
	o.Metrics.RegisterMetricsWriter(g.writeMetrics)
	return g, nil
}

func (o *Options) setDefaults() {
	if o.Realm == "" {
		o.Realm = "evhub"
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.ForwardedBy == "" {
		o.ForwardedBy = ForwardedFor
	}
	if o.AccessSample <= 0 {
		o.AccessSample = 100
	}
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
}

func newDoor(name string, r Route) *door {
	return &door{name: name, target: cmp.Or(r.Hub, name), system: cmp.Or(r.System, "eventhubs"), notifier: r.Notifier}
}

// lateDoors are those that Options.Route found.
type lateDoors struct {
	mu     sync.Mutex
	byName map[string]*door // guarded by mu
}

// door gives the hub of that name, or nil.
func (g *Gateway) door(name string) *door {
	if d := g.doors[name]; d != nil || g.o.Route == nil {
		return d
	}
	route, there := g.o.Route(name)
	if !there {
		return nil
	}
	g.late.mu.Lock()
	defer g.late.mu.Unlock()
	d := g.late.byName[name]
	if d == nil {
		if g.late.byName == nil {
			g.late.byName = make(map[string]*door)
		}
		d = newDoor(name, route)
		g.late.byName[name] = d
	}
	return d
}

// allDoors are those that have counters, by name.
func (g *Gateway) allDoors() []*door {
	g.late.mu.Lock()
	defer g.late.mu.Unlock()
	list := slices.AppendSeq(slices.Collect(maps.Values(g.doors)), maps.Values(g.late.byName))
	slices.SortFunc(list, func(a, b *door) int { return cmp.Compare(a.name, b.name) })
	return list
}

// Server has limits that keep a slow, silent or greedy client from holding more than a connection. Its listeners and TLS are the caller's;
// with one from Follow it can end without cutting a client off.
func (g *Gateway) Server() *http.Server {
	l := &g.o.Limits
	return &http.Server{
		Handler:           g,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime + l.BodyTime, // a backstop for requests that are refused with their body unread
		WriteTimeout:      headerTime + l.BodyTime + l.HandlerTime + answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    l.HeaderBytesMax,
		ErrorLog:          slog.NewLogLogger(g.o.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     answerTime,
		},
	}
}

// ServeHTTP answers one request of the public face.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{g: g, w: w, r: r, door: g.nowhere, start: g.o.Clock.Now()}
	defer c.end()
	w.Header()["X-Content-Type-Options"] = valueNoSniff
	if g.gate.isDraining() {
		w.Header()["Connection"] = valueClose
	}
	if p := c.serve(); p != nil {
		c.refuse(p)
	}
}

func (c *call) serve() *problem {
	if !c.g.gate.enter() {
		return problemOf(draining, "this instance is shutting down: send the request again, and it will reach another one")
	}
	c.entered = true
	if c.fromOtherOrigin() {
		return nil // a preflight, and answered
	}
	place, hub := locate(c.r.URL)
	if place == nowhere {
		return problemOf(noSuchPath, "there is POST /v1/hubs/{hub}/messages, POST /v1/hubs/{hub}/messages:batch and GET /openapi.json; "+
			"a hub's name has 1 to 256 of A-Z a-z 0-9 . _ -")
	}
	if !place.allows(c.r.Method) {
		p := problemOf(methodNotAllowed, "use "+place.methods())
		p.allow = place.methods()
		return p
	}
	if place == description {
		c.describe()
		return nil
	}
	c.hub = hub
	return c.publish(place == batch)
}
