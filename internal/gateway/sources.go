package gateway

import "errors"

// sources holds back addresses that send many different forged tokens: each takes a signature's check, some 30 to 70 us, or a question to
// the issuer, which no memory of earlier tokens can spare. Callers may share the address of such a sender, behind a network's gateway, so
// they must not suffer much: a token that was seen a short time ago is answered as it was then, a few new ones a second are looked at
// whatever came before, and the debt is never more than a second's.
type sources struct {
	accounts quotas // by address
	refused  Quota  // of refused tokens; without a rate there is no bound
	anyway   Quota  // of new tokens that are looked at although too many were refused
}

// anywayPerSecond is for one address. At 70 us a token it is 0.35 ms of a core each second.
const anywayPerSecond = 5

func newSources(addresses int, refusalsPerSecond float64) sources {
	return sources{newQuotas(addresses), Quota{Rule: 0, MessagesPerSecond: refusalsPerSecond}, Quota{Rule: 1, MessagesPerSecond: anywayPerSecond}}
}

// source is the caller's address as sources counts it: in IPv6 the network, since one machine may have all addresses of it.
func (c *call) source() (string, bool) {
	a, ok := c.g.client(c.r)
	if !ok || !c.g.sources.refused.limited() {
		return "", false
	}
	if a.Is6() {
		network, err := a.Prefix(64)
		if err != nil {
			panic("BUG: an IPv6 address without a network: " + err.Error())
		}
		a = network.Addr()
	}
	return a.String(), true
}

// heldBack refuses the request if too many tokens from its address were refused.
func (c *call) heldBack() *problem {
	s, now := &c.g.sources, c.g.o.Clock.Now()
	source, ok := c.source()
	if !ok {
		return nil
	}
	standing := s.accounts.take(now, source, &s.refused, 0, 0)
	if standing.wait == 0 || s.accounts.take(now, source, &s.anyway, 1, 0).wait == 0 {
		return nil
	}
	p := problemOf(overRefused, "the token was not looked at, since too many from this address were refused: "+
		"wait for the seconds in Retry-After, and send no token again that was refused")
	p.retryAfter = standing.wait
	return p
}

// blame counts a refused token, if that cost something.
func (c *call) blame(err error) {
	s := &c.g.sources
	if e, ok := errors.AsType[*TokenError](err); !ok || !e.TookWork {
		return
	}
	if source, ok := c.source(); ok {
		s.accounts.blame(c.g.o.Clock.Now(), source, &s.refused)
	}
}
