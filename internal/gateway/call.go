package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// call is one request on its way through. It belongs to the request's goroutine.
type call struct {
	g     *Gateway
	w     http.ResponseWriter
	r     *http.Request
	start time.Time

	hub         string // as the path names it
	door        *door  // Gateway.nowhere until the caller's right to the hub is established
	principal   Principal
	principalID string
	quota       Quota
	charged     int // bytes charged to the quota before the body was read
	lease       lease
	body        []byte // in a pooled buffer; nobody may keep any of it
	trace       traceContext
	requestID   string // see instance

	entered   bool // counted by the gate
	publishes bool // has got as far as showing a credential: to be audited
	replayed  bool
	status    int   // 0: not answered yet
	refusedAs *kind // nil: not refused

	messages, stored, lost int    // of this request; lost: of unknown outcome
	firstID                string // of the messages

	authTime, bodyTime, sendTime time.Duration

	one struct { // room for the usual request, which has one message
		messages [1]notify.Message
		outcomes [1]outcome
		open     [1]notify.Message
		openOf   [1]*outcome
	}
}

// answer is what a caller gets.
type answer struct {
	status      int
	contentType string
	body        []byte
}

const jsonType = "application/json"

// Header values that are the same in all answers. They are never changed.
var (
	valueNoSniff = []string{"nosniff"}
	valueJSON    = []string{jsonType}
	valueProblem = []string{problemType}
	valueClose   = []string{"close"}
	valueTrue    = []string{"true"}
)

func (c *call) answer(a answer) {
	c.status = a.status
	h := c.w.Header()
	if a.contentType == problemType {
		h["Content-Type"] = valueProblem
	} else {
		h["Content-Type"] = valueJSON
	}
	if c.principal != nil {
		h["Server-Timing"] = []string{c.timing()}
	}
	if c.g.gate.isDraining() { // by now, perhaps
		h["Connection"] = valueClose
	}
	c.w.WriteHeader(a.status)
	c.w.Write(a.body) // when it fails the client has left, and there is no one to tell
}

// timing is the Server-Timing header, in milliseconds.
func (c *call) timing() string {
	b := make([]byte, 0, 64)
	b = appendDuration(append(b, "auth;dur="...), c.authTime)
	b = appendDuration(append(b, ", body;dur="...), c.bodyTime)
	b = appendDuration(append(b, ", publish;dur="...), c.sendTime)
	return string(b)
}

func appendDuration(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

// publish takes a request from its credential to its answer. Everything that can be refused by the header alone is refused before the body.
func (c *call) publish(many bool) *problem {
	if p := c.authenticate(); p != nil {
		return p
	}
	if p := c.authorize(); p != nil {
		return p
	}
	h, p := c.readHead(many)
	if p != nil {
		return p
	}
	if p := c.chargeQuota(); p != nil {
		return p
	}
	if p := c.readBody(&h); p != nil {
		return p
	}
	if many {
		return c.publishMany(&h)
	}
	return c.publishOne(&h)
}

// authenticate finds out who calls.
func (c *call) authenticate() *problem {
	c.publishes, c.trace = true, readTrace(c.r.Header)
	if c.r.URL.RawQuery != "" && queryHas(c.r.URL.RawQuery, "access_token") {
		p := problemOf(badCredential, "a token in the URL ends up in logs and histories: send it in the Authorization header, and replace this one")
		p.challenge = `Bearer realm="` + c.g.o.Realm + `", error="invalid_request"`
		return p
	}
	authorization := c.r.Header["Authorization"]
	principal, err := c.g.o.Tokens.Remembered(authorization)
	if principal == nil && err == nil {
		if p := c.heldBack(); p != nil {
			return p
		}
		if principal, err = c.g.o.Tokens.Verify(c.r.Context(), authorization); err != nil {
			c.blame(err)
		}
	}
	if err != nil {
		return c.refuseCredential(err)
	}
	c.authTime = c.g.o.Clock.Now().Sub(c.start)
	c.principal, c.principalID = principal, principal.ID()
	return nil
}

func queryHas(query, name string) bool {
	values, err := url.ParseQuery(query)
	return values.Has(name) || err != nil && strings.Contains(query, name)
}

func (c *call) refuseCredential(err error) *problem {
	e, ok := errors.AsType[*TokenError](err)
	if !ok {
		if c.r.Context().Err() == nil {
			c.g.o.Log.Warn("credential cannot be checked", "err", err)
		}
		return problemOf(uncheckable, "the token was neither accepted nor refused: send the request again after the seconds in Retry-After")
	}
	p := problemOf(unauthorized, e.Text)
	for _, k := range [...]*kind{badCredential, forbidden, uncheckable} {
		if k.status == e.Status {
			p.kind = k
		}
	}
	p.retryAfter = e.RetryAfter
	if e.Challenge != nil {
		p.challenge = e.Challenge(c.g.o.Realm)
	}
	return p
}

// authorize looks at the right before it looks for the hub, so that a caller learns nothing about hubs that are not for it.
func (c *call) authorize() *problem {
	quota, err := c.principal.MayPublish(c.hub)
	if err != nil {
		return c.refuseCredential(err)
	}
	c.quota = quota
	d := c.g.door(c.hub)
	if d == nil {
		return problemOf(unknownHub, "you may publish to a hub of this name, but there is none: check its name, with upper and lower case")
	}
	c.door = d
	return nil
}

// end gives back what the request held and leaves its traces. It runs also when the request panicked: then a notifier may still be reading
// the body, whose buffer is not lent out again.
func (c *call) end() {
	if bug := recover(); bug != nil {
		c.confess(bug)
	} else {
		c.g.buffers.put(c.body)
	}
	c.lease.release()
	took := c.g.o.Clock.Now().Sub(c.start)
	c.count(took)
	c.audit()
	c.logAccess(took)
	if c.entered {
		c.g.gate.leave()
	}
}

// confess answers for a mistake of ours. The request may have got as far as the hub.
func (c *call) confess(bug any) {
	c.g.o.Log.Error("request panicked", "hub", c.door.name, "panic", bug, "stack", string(debug.Stack()))
	if c.status == 0 {
		c.refuse(problemOf(brokenInside, "this is the gateway's mistake and is in its log; the message may be stored"))
	}
}
