package broker

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/issuer"
	"github.com/evhub-dev/evhub/internal/obs"
	"github.com/evhub-dev/evhub/notify/local"
)

const (
	issuerPath = "/issuer"
	audience   = "evhub-development"
)

// notifications is the notification service of a broker for development: it stores in this broker's first namespace, and an issuer beside it
// gives a token to anyone who asks. With policies of one's own there is none, unless Dev is set: it would let in who has no key.
type notifications struct {
	issuer   *issuer.Issuer
	tokens   *jwt.Verifier
	gateway  *gateway.Gateway
	notifier *local.Notifier
	http     *http.Server
}

// develops tells whether everyone who reaches the broker may do everything.
func (o Options) develops() bool { return o.Dev || len(o.Config.Evhub.Policies) == 0 }

// startNotifications makes the service. Its listeners are bound already, since the issuer's name says where it is.
func (b *Broker) startNotifications() error {
	n := &notifications{}
	own, err := issuer.New(issuer.Options{URL: b.IssuerURL(), Audience: audience, Clock: b.o.Clock, Log: b.log})
	if err != nil {
		return err
	}
	n.issuer = own
	n.tokens, err = jwt.New(jwt.Options{
		Issuers: []jwt.Issuer{own.Trust()}, Rules: issuer.Rules(b.IssuerURL()), Clock: b.o.Clock, Log: b.log,
	})
	if err != nil {
		return err
	}
	namespace := b.firstNamespace()
	n.notifier = local.New(b.engine.Hall, namespace, local.Options{
		Clock: b.o.Clock, Client: "notification service", EventBytesMax: int(b.o.Config.Evhub.Limits.EventBytesMax),
	})
	routes := make(map[string]gateway.Route)
	for _, h := range namespace.Hubs() {
		if !jwt.IsHubName(h.Name()) { // the service allows slashes in names, a path of ours does not
			b.log.Warn("messages cannot be posted to this hub: over HTTP a name has letters, digits, '.', '-' and '_' only", obs.KeyHub, h.Name())
			continue
		}
		routes[h.Name()] = gateway.Route{Notifier: n.notifier}
	}
	n.gateway, err = gateway.New(gateway.Options{
		Routes: routes, Tokens: gateway.JWT(n.tokens), Clock: b.o.Clock, Log: b.log, Metrics: b.metrics, Ready: b.health,
		Route: func(name string) (gateway.Route, bool) { // hubs that were created since
			h, err := namespace.Hub(name)
			return gateway.Route{Notifier: n.notifier}, err == nil && h.Name() == name && jwt.IsHubName(name)
		},
	})
	if err != nil {
		n.tokens.Close()
		return err
	}
	n.http = n.gateway.Server()
	n.http.Handler = n.routes()
	b.notifications = n
	level := slog.LevelDebug // as the keys are public, and the banner says how to get a token
	if b.OwnPolicies() {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "development issuer gives tokens for all hubs to anyone who asks, whatever the policies",
		"issuer", b.IssuerURL())
	return nil
}

// routes is no http.ServeMux, which would answer some paths with a redirect of its own.
func (n *notifications) routes() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range n.issuer.Patterns() {
			if strings.HasPrefix(r.URL.Path, prefix) {
				n.issuer.ServeHTTP(w, r)
				return
			}
		}
		n.gateway.ServeHTTP(w, r)
	})
}

func (b *Broker) firstNamespace() *hub.Namespace {
	return b.engine.Hall.Namespace(b.o.Config.Namespaces[0].Name)
}

// IssuerURL is where the development issuer is, "" if there is none.
func (b *Broker) IssuerURL() string {
	if b.Address(API) == "" {
		return ""
	}
	return "http://" + b.Host(API) + issuerPath
}

// shutdown lets requests that are under way end, until ctx is done.
func (n *notifications) shutdown(ctx context.Context) {
	n.gateway.Drain(ctx) // that some are left is told by the next line
	if n.http.Shutdown(ctx) != nil {
		n.http.Close()
	}
	n.notifier.Close(ctx)
	n.tokens.Close()
}
