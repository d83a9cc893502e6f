// Package admin is the HTTP face for whoever runs the broker: /health for container health checks, /metrics for Prometheus, the test kit
// and the management of hubs under /admin/v1/ (API.md is their reference), and an index.
//
// What its users need: a /health that says 200 only when a client would really be served, with the official emulator's JSON; metrics whose
// number does not grow with traffic; a test kit that answers the moment there is an answer, and says why when there is none; and that no
// web page the developer happens to look at can use this port. What could break that, and the rule that keeps it whole:
//   - A request that came in on a loopback address must name a loopback host: a foreign name there is a DNS rebinding attack. A request
//     with an Origin header comes from a web page and is refused wherever it came in, and so is one that a browser calls cross-site,
//     unless somebody follows a link.
//   - /health and the indexes are open to everyone who can reach the port. They name no hub, policy or key.
//   - /metrics and the test kit are open on loopback. Elsewhere they want a policy with Manage over its whole namespace, as HTTP Basic
//     (policy name and key, what Prometheus calls basic_auth) or as "Authorization: SharedAccessSignature ...". Both cover all namespaces,
//     so give Manage to operators only. The policy that comes with a space of the test kit opens that space and nothing else here.
//   - Without Options.Auth nobody is asked, wherever the request came in. That is for a broker with the public development keys, which
//     open everything to anyone who has read the emulator's manual; it listens beyond loopback only where its owner has said that all
//     comers are welcome (--dev).
//   - A call of the test kit may wait for up to a minute. It ends with its client and with the server, its deadlines are its own, and there
//     are at most waitersMax at a time, so that all other requests keep the server's time-outs and a waiter costs what it keeps.
package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
	"github.com/evhub-dev/evhub/internal/webpage"
)

// Options are for New. Hall and Health are required.
type Options struct {
	Hall   *hub.Hall
	Health func(context.Context) error // says why no client would be served; it has until the context ends

	// Auth checks who asks from beyond loopback; nil: no one is asked.
	Auth auth.Authenticator

	Kit *kit.Kit // of the same hall; nil: the calls under /admin/v1/ say that there is none

	// Default is the namespace that the space "default" stands for; "": there is no such space.
	Default string

	// Connection says where clients of the broker dial, and by which policy they get into the space "default". Leave its key out if it is
	// a secret: who may use the kit is told. nil: spaces have no connection strings
	Connection func() auth.ConnectionString

	// Metrics gets the hall's numbers, and may hold more from other rooms. nil: a set of its own
	Metrics        *metrics.Set
	Connections    func() (open int, accepted int64) // of the AMQP door; nil: not shown
	MemoryBytesMax int64                             // budget for events
	Version        string                            // of this build

	Clock clock.Clock  // clock.System
	Log   *slog.Logger // slog.DiscardHandler
}

// Admin answers HTTP requests. It is safe for concurrent use.
type Admin struct {
	o    Options
	mux  *http.ServeMux
	sick atomic.Bool // the last look at the broker's health found it unhealthy

	waiters  chan struct{}   // holds one for each request that waits
	draining context.Context // ends when the server begins to shut down
	drain    context.CancelFunc

	mu     sync.Mutex // guards traced
	traced *kit.Space // the default space, once a test has used it
}

// New makes an Admin. It starts nothing.
func New(o Options) *Admin {
	if o.Hall == nil || o.Health == nil {
		panic("BUG: admin.Options without Hall or Health")
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Admin{o: o, mux: http.NewServeMux(), waiters: make(chan struct{}, waitersMax)}
	a.draining, a.drain = context.WithCancel(context.Background())
	o.Metrics.RegisterMetricsWriter(a.writeMetrics)
	for pattern, serve := range a.routes() {
		a.mux.Handle(pattern, a.wrap(serve))
	}
	a.addKit()
	return a
}

// handler answers, or gives an error for wrap to write. Where writing an answer fails the client has left, and no one is to be told.
type handler func(http.ResponseWriter, *http.Request) error

func (a *Admin) routes() map[string]handler {
	return map[string]handler{
		"GET /{$}":     a.index,
		"GET /health":  a.health,
		"GET /metrics": a.metrics,
	}
}

// Server has time-outs that keep a slow or silent client from holding a connection for long; requests that wait set their own. When it is
// shut down those are answered at once. Its listeners are the caller's.
func (a *Admin) Server() *http.Server {
	s := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(a.o.Log.Handler(), slog.LevelDebug),
	}
	s.RegisterOnShutdown(a.drain)
	return s
}

// ServeHTTP refuses what a web page could send, and passes on the rest.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if why := webpage.Refusal(r, a.o.Auth == nil); why != "" {
		a.fail(w, r, refuse(forbidden, "%s", why))
		return
	}
	if at := r.URL.EscapedPath(); strings.HasPrefix(at, kitRoot) && at != kitRoot && path.Clean(at) != at { // the mux would lead elsewhere
		a.fail(w, r, refuse(badRequest, "a name in the path is empty, '.' or '..', which none can be: %.100s", at))
		return
	}
	a.mux.ServeHTTP(w, r)
}

func (a *Admin) wrap(serve handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

const indexBegin = "evhub " // by which Answers knows an index

// Answers tells whether the admin port of an evhub is at host:port. It asks until the context ends.
func Answers(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true} // goes past proxies
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	begin := make([]byte, len(indexBegin))
	_, err = io.ReadFull(response.Body, begin)
	return err == nil && string(begin) == indexBegin
}

func (a *Admin) index(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, indexBegin+"%s\n\n/health    is the broker serving clients?\n/metrics   numbers for Prometheus\n", a.o.Version)
	if a.o.Kit != nil {
		fmt.Fprintf(w, "%s the test kit, and hubs at run time\n", kitRoot)
	}
	return nil
}

// operator lets in who may see and do what concerns all namespaces, or, where one is given, what concerns that one.
func (a *Admin) operator(r *http.Request, namespace string) error {
	if webpage.OnLoopback(r) || a.o.Auth == nil {
		return nil
	}
	grant, err := a.authenticate(r)
	if err != nil {
		return err
	}
	if !grant.Allows(auth.Manage, "", a.o.Clock.Now()) {
		return refuse(forbidden, "policy %.64q does not have the right Manage over its whole namespace", grant.Principal)
	}
	if !strings.EqualFold(grant.Namespace, namespace) && a.isMade(grant.Namespace) {
		return refuse(forbidden, "policy %.64q opens its own space of the test kit only", grant.Principal)
	}
	return nil
}

func (a *Admin) authenticate(r *http.Request) (auth.Grant, error) {
	kind, token, audience := auth.KindSAS, r.Header.Get("Authorization"), ""
	if name, key, ok := r.BasicAuth(); ok {
		kind, token, audience = auth.KindPlain, key, name
	} else if !auth.IsSAS(token) {
		return auth.Grant{}, refuse(unauthorized, "beyond loopback this needs a policy with the right Manage, "+
			"as HTTP Basic or as a shared access signature")
	}
	grant, err := a.o.Auth.Authenticate(kind, token, audience, a.o.Clock.Now())
	if err != nil {
		a.o.Log.Warn("admin request refused", "remote", r.RemoteAddr, "path", r.URL.Path, "reason", err)
		return auth.Grant{}, refuse(unauthorized, "the credential is refused; the broker's log says why")
	}
	return grant, nil
}
