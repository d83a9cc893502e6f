package gateway

// sources holds back addresses that send tokens which are refused: a forged token takes a signature's check, some 30 to 70 us, which no
// memory of earlier tokens can spare. Tokens that were verified a short time ago pass all the same, so callers who share the address of
// such a sender, behind a proxy that is not in Options.TrustedProxies or a network's gateway, are slowed only with their next token.
type sources struct {
	refused quotas // by address
	quota   Quota  // of refused tokens; without a rate there is no bound
}

// source is the caller's address as sources counts it: in IPv6 the network, since one machine may have all addresses of it.
func (c *call) source() (string, bool) {
	a, ok := c.g.client(c.r)
	if !ok || !c.g.sources.quota.limited() {
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
	s := &c.g.sources
	source, ok := c.source()
	if !ok {
		return nil
	}
	standing := s.refused.take(c.g.o.Clock.Now(), source, &s.quota, 0, 0)
	if standing.wait == 0 {
		return nil
	}
	p := problemOf(overRefused, "the token was not looked at, since too many from this address were refused: "+
		"wait for the seconds in Retry-After, and send no token again that was refused")
	p.retryAfter = standing.wait
	return p
}

// blame counts a refused token.
func (c *call) blame() {
	s := &c.g.sources
	if source, ok := c.source(); ok {
		s.refused.charge(source, &s.quota, 1, 0)
	}
}
