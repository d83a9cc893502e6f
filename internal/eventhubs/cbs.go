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
//
// The token is checked first, since it says which namespace this is about; then the rules are asked, and only then it is kept.
func (c *conn) putToken(r *request) {
	subject := c.subject(hub.Auth)
	subject.Link = r.text("name")
	grant, s := c.check(r, subject.Link)
	if s.refusal == nil {
		subject.Namespace = grant.Namespace
	}
	told := subject
	told.Hub = parseAddress(subject.Link).hub
	if s.refusal != nil {
		c.answer(r, told, s)
		return
	}
	c.obey(subject, fate{
		pass:   func() { c.answer(r, told, c.accept(grant, subject.Link)) },
		refuse: func(e *refusal) { c.answer(r, told, ruledStatus(e)) },
	})
}

// status is what a reply says.
type status struct {
	code     int32
	*refusal // nil: done
}

// ruledStatus is the status of a request that the rules refused. Clients retry after a 503.
func ruledStatus(e *refusal) status {
	code := int32(503)
	switch e.Condition {
	case amqp.CondUnauthorizedAccess, amqp.CondAuthFailed:
		code = 401
	case amqp.CondNotFound:
		code = 404
	}
	return status{code, e}
}

// answer answers a request with nothing but a status, and tells the hall of a refusal.
func (c *conn) answer(r *request, subject hub.Subject, s status) {
	props := amqp.Map{{Key: "status-code", Value: s.code}, {Key: "status-description", Value: "Accepted"}}
	if s.refusal != nil {
		c.report(subject, s.refusal)
		props[1].Value = s.Description
		props = append(props, amqp.Pair{Key: "error-condition", Value: s.Condition})
	}
	r.reply(&amqp.Message{ApplicationProperties: props})
}

// check takes the token out of a request and sees what it gives.
func (c *conn) check(r *request, audience string) (auth.Grant, status) {
	if op := r.text("operation"); op != "put-token" {
		text := fmt.Sprintf("The operation '%.64s' is not known at $cbs. It takes 'put-token'.", op)
		return auth.Grant{}, status{400, newRefusal(amqp.CondNotImplemented, text, "")}
	}
	token, ok := r.Value.(string)
	if !ok {
		return auth.Grant{}, status{400, newRefusal(amqp.CondInvalidField, "The body of put-token must be the token, as a string.", "")}
	}
	kind := auth.KindSAS
	if r.text("type") == "jwt" && !auth.IsSAS(token) {
		kind = auth.KindJWT
	}
	return c.authenticate(kind, token, audience)
}

func (c *conn) authenticate(kind auth.Kind, token, audience string) (auth.Grant, status) {
	grant, err := c.svc.o.Auth.Authenticate(kind, token, audience, c.svc.o.Clock.Now())
	if err != nil {
		return auth.Grant{}, c.refuseToken(err, audience)
	}
	return grant, status{}
}

// accept keeps what a token gives for an audience. The status is 202, or says why not.
func (c *conn) accept(grant auth.Grant, audience string) status {
	if e := c.findAudience(grant, audience); e != nil {
		return status{404, e}
	}
	if err := c.keep(auth.NormalizePath(audience), grant); err != nil {
		c.log.Warn("token refused", "remote", c.c.RemoteAddr(), "policy", grant.Principal, "audience", audience, "reason", err)
		if errors.Is(err, errOtherNamespace) { // in the words for an audience in another namespace, without trackers (recorded)
			text := fmt.Sprintf("The messaging entity 'Invalid audience: Namespace cannot be resolved '%s'' could not be found. %s", audience, moreAbout)
			return status{404, newRefusal(amqp.CondNotFound, text, "")}
		}
		return status{403, c.errorf(amqp.CondResourceLimitExceeded, noSystem, "%s.", upperFirst(err.Error()))}
	}
	return status{202, nil}
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
	cond, text, tail := amqp.CondAuthFailed, "MalformedToken: "+upperFirst(e.Text)+".", c.trackers(noSystem)
	switch e.Reason {
	case auth.BadSignature:
		text, tail = invalid, ""
	case auth.UnknownKey:
		text = invalid
	case auth.Expired:
		text, tail = fmt.Sprintf("ExpiredToken: The token is expired. Expiration time: '%s'", e.Expires.UTC().Format("2006-01-02 15:04:05Z")), ""
	case auth.WrongScope:
		text = "InvalidAudience: " + upperFirst(e.Text) + "."
	case auth.Unsupported:
		text = "UnsupportedToken: Only SAS tokens are accepted here."
	}
	r := newRefusal(cond, text, tail)
	r.why.Hint = e.Text
	return status{401, r}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// findAudience sees that the hub a token is for exists: it is $cbs that tells of an unknown hub, before any attach (recorded).
func (c *conn) findAudience(g auth.Grant, audience string) *refusal {
	name := parseAddress(audience).hub
	if name == "" {
		return nil
	}
	text := fmt.Sprintf("The messaging entity 'sb://%s/%s' could not be found. %s", audienceHost(audience), name, moreAbout)
	e := newRefusal(amqp.CondNotFound, text, c.trackers(g.Namespace+":"+name))
	if space := c.svc.o.Hall.Namespace(g.Namespace); space != nil {
		_, err := space.Hub(name)
		if err == nil {
			return nil
		}
		if known, ok := errors.AsType[*hub.Error](err); ok {
			e.why.Hint = known.Hint
		}
		c.log.Warn("token for an unknown hub", "remote", c.c.RemoteAddr(), "policy", g.Principal, "hub", name, "err", err)
	}
	return e
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
