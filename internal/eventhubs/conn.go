package eventhubs

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
)

// conn is one connection's container: its rights, and the links that rest on them.
type conn struct {
	svc   *Service
	c     *amqpserver.Conn // immutable
	log   *slog.Logger     // immutable
	agent string           // immutable once it is open: what the client calls its software, or ""
	host  string           // reader; the host the client dialled

	replies []*replySource // reader: the client's receivers on $cbs and $management

	mu        sync.Mutex
	namespace string                // of the first token; "" before
	grants    map[string]auth.Grant // by audience path: a renewed token replaces the one before
	held      map[*hold]struct{}    // links that end when their token does
	expiry    clock.Timer           // at the earliest end of a token that a link rests on
	closed    bool
}

// hold is a link whose life depends on a right.
type hold struct {
	right auth.Right
	path  string
	end   func(*refusal)
}

// Plain takes policy name and key as SASL PLAIN's user and password.
func (c *conn) Plain(user, password string) bool {
	grant, err := c.svc.o.Auth.Authenticate(auth.KindPlain, password, user, c.svc.o.Clock.Now())
	if err == nil {
		err = c.keep("", grant)
	}
	if err != nil {
		c.log.Warn("SASL PLAIN refused", "remote", c.c.RemoteAddr(), "policy", user, "err", err)
	}
	return err == nil
}

// Open lets every client in: rights are asked for at each link.
func (c *conn) Open(o *amqp.Open) *amqp.Error {
	c.host, c.agent = o.Hostname.Or(""), agent(o)
	c.log.Debug("connection open", "remote", c.c.RemoteAddr(), "client", o.ContainerID, "agent", c.agent)
	rules := c.svc.o.Hall.Rules()
	if rules == nil {
		return nil
	}
	subject := c.subject(hub.Connect)
	v := rules.Ask(&subject)
	if v.Delay > 0 {
		c.c.HoldOpen()
		c.svc.o.Clock.AfterFunc(v.Delay, func() { c.c.AnswerOpen(c.actOpen(subject, v)) })
		return nil
	}
	return c.actOpen(subject, v)
}

// actOpen does what a verdict says about a client's open, and gives the error to answer it with. What ends a link or refuses a request ends
// the connection here.
func (c *conn) actOpen(s hub.Subject, v hub.Verdict) *amqp.Error {
	switch v.Action {
	case hub.Refuse, hub.Detach, hub.CloseConn, hub.Expire:
		e := c.fault(s, v)
		c.report(s, e)
		return e.Error
	case hub.Drop:
		c.c.Drop()
	case hub.Swallow:
		c.c.Ignore()
	}
	return nil
}

// subject is about the connection: who the client is, and its namespace once that is known.
func (c *conn) subject(op hub.Op) hub.Subject {
	return hub.Subject{Op: op, Namespace: c.bound(), Partition: -1, Client: c.c.ContainerID(), Agent: c.agent}
}

func agent(o *amqp.Open) string {
	for _, key := range []string{"user-agent", "product"} {
		if v, ok := o.Properties.Lookup(key); ok {
			if s, ok := v.(string); ok {
				return s
			}
		}
	}
	return ""
}

// Attach finds what a link is for.
func (c *conn) Attach(l *amqpserver.Link) {
	a, ok := linkAddress(l)
	switch {
	case !ok:
		c.refuse(l, a, c.errorf(amqp.CondInvalidField, noSystem, "The link %.128q names no address to attach to.", l.Request().Name))
	case a.node != "" && l.ClientSends():
		c.attachRequests(l, a)
	case a.node != "":
		c.attachReplies(l, a)
	case l.ClientSends():
		c.attachSender(l, a)
	default:
		c.attachReceiver(l, a)
	}
}

// linkAddress is the address on our side of the link: the target of a sending client, the source of a receiving one.
func linkAddress(l *amqpserver.Link) (address, bool) {
	r := l.Request()
	var text amqp.Opt[string]
	if l.ClientSends() {
		if r.Target != nil {
			text = r.Target.Address
		}
	} else if r.Source != nil {
		text = r.Source.Address
	}
	if text.V == "" {
		return address{}, false
	}
	return parseAddress(text.V), true
}

// Closed forgets the connection's rights.
func (c *conn) Closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.grants, c.held = nil, nil
}

var errOtherNamespace = errors.New("this connection is bound to another namespace by its first token")

// keep adds a right, or renews it.
func (c *conn) keep(audience string, g auth.Grant) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.namespace != "" && !strings.EqualFold(c.namespace, g.Namespace) {
		return errOtherNamespace
	}
	c.namespace = g.Namespace
	if c.grants == nil {
		c.grants = make(map[string]auth.Grant)
	}
	now := c.svc.o.Clock.Now()
	maps.DeleteFunc(c.grants, func(_ string, old auth.Grant) bool { return expired(old, now) })
	if _, renewed := c.grants[audience]; !renewed && len(c.grants) >= grantsMax {
		return errTooManyTokens
	}
	c.grants[audience] = g
	c.armLocked(now)
	return nil
}

const grantsMax = 4096 // audiences one connection may hold tokens for; an SDK holds one a link

var errTooManyTokens = errors.New("too many tokens for different audiences on one connection")

func expired(g auth.Grant, now time.Time) bool { return !g.Expires.IsZero() && !g.Expires.After(now) }

// may looks for a right on a path. The principal is who it belongs to.
func (c *conn) may(right auth.Right, path string) (g auth.Grant, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mayLocked(right, path, c.svc.o.Clock.Now())
}

func (c *conn) mayLocked(right auth.Right, path string, now time.Time) (auth.Grant, bool) {
	for _, g := range c.grants {
		if g.Allows(right, path, now) {
			return g, true
		}
	}
	return auth.Grant{}, false
}

// policies names who the connection's tokens belong to, for the log.
func (c *conn) policies() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, g := range c.grants {
		names = append(names, g.Principal)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ",")
}

// bound is the name of the namespace the connection is bound to, or "".
func (c *conn) bound() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.namespace
}

// space is the namespace the connection is bound to, or nil.
func (c *conn) space() *hub.Namespace {
	name := c.bound()
	if name == "" {
		return nil
	}
	return c.svc.o.Hall.Namespace(name)
}

// rest has the link end when the last token that gives it its right runs out. The returned function takes that back.
func (c *conn) rest(h *hold) (forget func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(map[*hold]struct{})
	}
	if !c.closed {
		c.held[h] = struct{}{}
		c.armLocked(c.svc.o.Clock.Now())
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, h)
	}
}

// armLocked sets the timer to the earliest end of any token, if a link rests on one.
func (c *conn) armLocked(now time.Time) {
	if c.closed || len(c.held) == 0 {
		return
	}
	var first time.Time
	for _, g := range c.grants {
		if !g.Expires.IsZero() && (first.IsZero() || g.Expires.Before(first)) {
			first = g.Expires
		}
	}
	if first.IsZero() {
		return
	}
	wait := max(first.Sub(now), 0)
	if c.expiry == nil {
		c.expiry = c.svc.o.Clock.AfterFunc(wait, c.endExpired)
	} else {
		c.expiry.Reset(wait)
	}
}

// endExpired detaches the links whose right has run out.
func (c *conn) endExpired() {
	c.mu.Lock()
	now := c.svc.o.Clock.Now()
	var ended []*hold
	for h := range c.held {
		if _, ok := c.mayLocked(h.right, h.path, now); !ok {
			ended = append(ended, h)
			delete(c.held, h)
		}
	}
	maps.DeleteFunc(c.grants, func(_ string, g auth.Grant) bool { return expired(g, now) })
	c.armLocked(now)
	c.mu.Unlock()
	for _, h := range ended {
		c.log.Info("link detached: its token expired and was not renewed", "remote", c.c.RemoteAddr(), "path", h.path)
		h.end(c.errorf(amqp.CondUnauthorizedAccess, noSystem, "ExpiredToken: The token is expired. Put a new token to $cbs before the old one ends. Resource: '%s'.", h.path))
	}
}
