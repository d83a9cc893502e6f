package eventhubs

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
)

// putToken answers a request to $cbs.
//
// Request: application properties operation put-token, type, name (the audience); the token is the body. The property expiration is
// ignored: the token's own counts (recorded). A SAS token of type "jwt" is taken for what it is (Python before 5.12 sends that).
func (c *conn) putToken(r *request) {
	audience := r.text("name")
	subject := hub.Subject{Op: hub.Auth, Partition: -1, Client: c.c.ContainerID(), Link: audience}
	c.obey(subject, fate{
		pass:   func() { r.answer(c.take(r, audience)) },
		refuse: func(e *amqp.Error) { r.answer(ruledStatus(e)) },
	})
}

// status is what a reply says.
type status struct {
	code        int32
	description string
	condition   amqp.Symbol // "" on success
}

// ruledStatus is the status of a request that the rules refused. Clients retry after a 503.
func ruledStatus(e *amqp.Error) status {
	code := int32(503)
	switch e.Condition {
	case amqp.CondUnauthorizedAccess, amqp.CondAuthFailed:
		code = 401
	case amqp.CondNotFound:
		code = 404
	}
	return status{code, e.Description, e.Condition}
}

func (r *request) answer(s status) {
	props := amqp.Map{{Key: "status-code", Value: s.code}, {Key: "status-description", Value: s.description}}
	if s.condition != "" {
		props = append(props, amqp.Pair{Key: "error-condition", Value: s.condition})
	}
	r.reply(&amqp.Message{ApplicationProperties: props})
}

// take accepts the token of a request.
func (c *conn) take(r *request, audience string) status {
	if op := r.text("operation"); op != "put-token" {
		return status{400, fmt.Sprintf("The operation '%.64s' is not known at $cbs. It takes 'put-token'.", op), amqp.CondNotImplemented}
	}
	token, ok := r.Value.(string)
	if !ok {
		return status{400, "The body of put-token must be the token, as a string.", amqp.CondInvalidField}
	}
	kind := auth.KindSAS
	if r.text("type") == "jwt" && !auth.IsSAS(token) {
		kind = auth.KindJWT
	}
	return c.accept(kind, token, audience)
}

// accept checks a token for an audience and keeps what it gives. The status is 202, or says why not.
func (c *conn) accept(kind auth.Kind, token, audience string) status {
	grant, err := c.svc.o.Auth.Authenticate(kind, token, audience, c.svc.o.Clock.Now())
	if err != nil {
		return c.refuseToken(err, audience)
	}
	if s, ok := c.findAudience(grant, audience); !ok {
		return s
	}
	if err := c.keep(auth.NormalizePath(audience), grant); err != nil {
		c.log.Warn("token refused", "remote", c.c.RemoteAddr(), "policy", grant.Principal, "audience", audience, "reason", err)
		if errors.Is(err, errOtherNamespace) { // in the words for an audience in another namespace, without trackers (recorded)
			text := fmt.Sprintf("The messaging entity 'Invalid audience: Namespace cannot be resolved '%s'' could not be found. %s", audience, moreAbout)
			return status{404, text, amqp.CondNotFound}
		}
		return status{403, upperFirst(err.Error()) + "." + c.trackers(noSystem), amqp.CondResourceLimitExceeded}
	}
	return status{202, "Accepted", ""}
}

const moreAbout = "To know more visit https://aka.ms/sbResourceMgrExceptions. "

// refuseToken words a refusal as the service does: a bad signature of a known policy has no trackers, an unknown policy has (recorded).
func (c *conn) refuseToken(err error, audience string) status {
	e, ok := errors.AsType[*auth.Error](err)
	if !ok {
		e = &auth.Error{Reason: auth.Malformed, Text: err.Error()}
	}
	c.log.Warn("token refused", "remote", c.c.RemoteAddr(), "policy", e.Principal, "audience", audience, "reason", e.Text)
	const invalid = "InvalidSignature: The token has an invalid signature."
	switch e.Reason {
	case auth.BadSignature:
		return status{401, invalid, amqp.CondAuthFailed}
	case auth.UnknownKey:
		return status{401, invalid + c.trackers(noSystem), amqp.CondAuthFailed}
	case auth.Expired:
		text := fmt.Sprintf("ExpiredToken: The token is expired. Expiration time: '%s'", e.Expires.UTC().Format("2006-01-02 15:04:05Z"))
		return status{401, text, amqp.CondAuthFailed}
	case auth.WrongScope:
		return status{401, "InvalidAudience: " + upperFirst(e.Text) + "." + c.trackers(noSystem), amqp.CondAuthFailed}
	case auth.Unsupported:
		return status{401, "UnsupportedToken: Only SAS tokens are accepted here." + c.trackers(noSystem), amqp.CondAuthFailed}
	}
	return status{401, "MalformedToken: " + upperFirst(e.Text) + "." + c.trackers(noSystem), amqp.CondAuthFailed}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// findAudience sees that the hub a token is for exists: it is $cbs that tells of an unknown hub, before any attach (recorded).
func (c *conn) findAudience(g auth.Grant, audience string) (status, bool) {
	name := parseAddress(audience).hub
	if name == "" {
		return status{}, true
	}
	space := c.svc.o.Hall.Namespace(g.Namespace)
	if space != nil {
		_, err := space.Hub(name)
		if err == nil {
			return status{}, true
		}
		c.log.Warn("token for an unknown hub", "remote", c.c.RemoteAddr(), "policy", g.Principal, "hub", name, "err", err)
	}
	text := fmt.Sprintf("The messaging entity 'sb://%s/%s' could not be found. %s", audienceHost(audience), name, moreAbout)
	return status{404, text + c.trackers(g.Namespace+":"+name), amqp.CondNotFound}, false
}

// audienceHost is the host in an audience, which is whatever the client dialled.
func audienceHost(audience string) string {
	if decoded, err := url.PathUnescape(audience); err == nil {
		audience = decoded
	}
	_, rest, ok := strings.Cut(audience, "://")
	if !ok {
		return "localhost"
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}
