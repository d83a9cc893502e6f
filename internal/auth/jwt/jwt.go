package jwt

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	clock   clock.Clock
	issuers map[string]*trusted // by URL
	order   []*trusted
	cache   *cache
	bad     *cache // tokens that were refused for good, apart, so that they cost the good ones no room

	cancel  context.CancelFunc // ends the keyrings
	running sync.WaitGroup     // their goroutines

	verified  atomic.Uint64
	cacheHits atomic.Uint64
	refused   [reasonCount]atomic.Uint64
}

// trusted is an issuer with its keys and its rules.
type trusted struct {
	Issuer
	keys  keyring
	rules []rule
}

// New checks the options and begins to fetch keys, with one goroutine for each issuer whose keys may change; Close ends them. Key files are
// read at once, so that one that is missing or has no key is an error here. Every error is an *OptionError.
func New(o Options) (*Verifier, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	v := &Verifier{clock: o.Clock, issuers: make(map[string]*trusted), cache: newCache(o.CacheEntries), bad: newCache(badEntries)}
	for i := range o.Issuers {
		t := &trusted{Issuer: o.Issuers[i], rules: rulesOf(o.Issuers[i].URL, o.Rules)}
		t.keys = keyring{issuer: t.URL, clock: o.Clock, log: o.Log, changed: v.forget}
		if err := t.open(&o); err != nil {
			return nil, err.of("Issuers", i)
		}
		v.issuers[t.URL] = t
		v.order = append(v.order, t)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	for _, t := range v.order {
		if t.keys.source != nil {
			t.keys.start(ctx, &v.running)
		}
	}
	return v, nil
}

// open sets where the keys come from, and reads those that are on this machine.
func (t *trusted) open(o *Options) *OptionError {
	switch {
	case t.Keys != nil:
		set, err := parseJWKS(t.Keys, t.Algorithms)
		if err == nil {
			err = t.keys.adopt(set, o.Clock.Now())
		}
		if err != nil {
			return wrong("Keys", "%w", err)
		}
	case t.KeysFile != "":
		t.keys.source = &file{path: t.KeysFile, allowed: t.Algorithms}
		set, _, err := t.keys.source.load(context.Background())
		if err == nil {
			err = t.keys.adopt(set, o.Clock.Now())
		}
		if err != nil {
			return wrong("KeysFile", "%w", err)
		}
	default:
		client := o.Client
		if client == nil {
			client = newClient()
		}
		t.keys.source = &remote{
			issuer: t.URL, allowed: t.Algorithms, insecure: t.Insecure, client: limited(client), clock: o.Clock, log: o.Log,
			discover: t.KeysURL == "", address: t.KeysURL,
		}
	}
	return nil
}

// Close ends all fetching, and returns when it has ended. Tokens are still verified with the keys that are there.
func (v *Verifier) Close() {
	v.cancel()
	v.running.Wait()
}

// Ready is nil once the keys of every issuer were loaded; before, it says which were not, and why. It does not become an error again: what is
// wrong with one issuer later must not stop the service for the others.
func (v *Verifier) Ready() error {
	for _, t := range v.order {
		if err := t.keys.ready(); err != nil {
			return err
		}
	}
	return nil
}

// Verify checks the token in the values of a request's Authorization headers. Every error is an *Error. It waits for keys only if the
// token's key is unknown, and no longer than the context lasts.
func (v *Verifier) Verify(ctx context.Context, authorization []string) (*Principal, error) {
	principal, err := v.verify(ctx, authorization)
	if err != nil {
		v.refused[err.Reason].Add(1)
		return nil, err
	}
	v.verified.Add(1)
	return principal, nil
}

// Remembered answers as Verify would where that costs no more than a hash: for a token that was verified or refused for good a short time
// ago, and for a request without a token. Where it gives neither principal nor error, Verify has to look.
func (v *Verifier) Remembered(authorization []string) (*Principal, error) {
	compact, err := bearer(authorization)
	if err == nil {
		d, now := digestOf(compact), v.clock.Now()
		if principal := v.cache.get(&d, now); principal != nil {
			v.cacheHits.Add(1)
			v.verified.Add(1)
			return principal, nil
		}
		err = v.bad.find(&d, now).refusal
	}
	if err == nil {
		return nil, nil
	}
	v.refused[err.Reason].Add(1)
	return nil, err
}

// forget is called when an issuer has other keys.
func (v *Verifier) forget() {
	v.cache.empty()
	v.bad.empty()
}

func (v *Verifier) verify(ctx context.Context, authorization []string) (*Principal, *Error) {
	compact, err := bearer(authorization)
	if err != nil {
		return nil, err
	}
	d := digestOf(compact)
	if principal := v.cache.get(&d, v.clock.Now()); principal != nil {
		v.cacheHits.Add(1)
		return principal, nil
	}
	if err := v.bad.find(&d, v.clock.Now()).refusal; err != nil {
		return nil, err
	}
	t, err := parseToken(compact)
	if err != nil {
		return nil, err
	}
	issuer := v.issuers[t.issuer]
	if issuer == nil {
		return nil, v.unknownIssuer()
	}
	if err := t.checkHeader(&issuer.Issuer); err != nil {
		return nil, err
	}
	epoch, badEpoch := v.cache.epoch.Load(), v.bad.epoch.Load()
	set, err := issuer.keys.find(ctx, t.kid)
	if err != nil {
		return nil, err
	}
	now := v.clock.Now()
	c, err := issuer.judge(t, set, now)
	if err != nil {
		if err.lasts() {
			v.bad.put(&d, badEpoch, entry{refusal: err, from: now.UnixNano(), until: now.Add(badTime).UnixNano()})
		}
		return nil, err
	}
	principal := issuer.principal(c)
	v.cache.put(&d, epoch, issuer.entry(principal, c, set, now))
	return principal, nil
}

// judge checks the signature first: what is said about claims is for whoever the issuer gave them to.
func (t *trusted) judge(given *token, set *keySet, now time.Time) (*claims, *Error) {
	if err := given.verify(set.keys(given.kid)); err != nil {
		return nil, err
	}
	c, err := readClaims(given.payload)
	if err != nil {
		return nil, err
	}
	if err := t.check(c, now); err != nil {
		return nil, err
	}
	return c, given.checkAccess(c)
}

func (t *trusted) principal(c *claims) *Principal {
	return &Principal{
		Issuer: t.URL, Subject: c.subject, Client: c.client, TokenID: c.id, Kind: c.kind, Expires: c.exp,
		grants: grantsFor(t.rules, c), rules: t.rules,
	}
}

// entry says how long a token need not be verified again: never beyond its own time or that of the keys.
func (t *trusted) entry(p *Principal, c *claims, set *keySet, now time.Time) entry {
	until := now.Add(cacheTimeMax)
	if end := c.exp.Add(t.Leeway); end.Before(until) {
		until = end
	}
	if !set.until.IsZero() && set.until.Before(until) {
		until = set.until
	}
	from := int64(0)
	for _, start := range []time.Time{c.nbf, c.iat} {
		if !start.IsZero() {
			from = max(from, start.Add(-t.Leeway).UnixNano())
		}
	}
	return entry{principal: p, from: from, until: until.UnixNano()}
}

func (v *Verifier) unknownIssuer() *Error {
	const namedMax = 4
	var urls []string
	for _, t := range v.order[:min(len(v.order), namedMax)] {
		urls = append(urls, t.URL)
	}
	return refuse(UnknownIssuer, "the iss of the token is none that is trusted here; trusted, to the letter: %s", strings.Join(urls, " "))
}

// Stats are counts since the Verifier was made.
type Stats struct {
	Verified     uint64            // requests whose token was accepted
	CacheHits    uint64            // those of them whose token was remembered
	CacheEntries int               // tokens remembered now
	Refused      map[Reason]uint64 // each reason, the zeroes included
	Issuers      []IssuerStats     // in the order of the options
}

// IssuerStats are about the keys of one issuer.
type IssuerStats struct {
	URL          string
	Keys         int           // usable now
	Age          time.Duration // since they were last loaded with success; 0 if never, or if they are fixed
	Loads        uint64        // looks at the source since the start, by schedule or for an unknown kid; none where the keys are fixed
	LoadFailures uint64        // those of them that failed
}

// Stats gives the counts of now.
func (v *Verifier) Stats() Stats {
	s := Stats{
		Verified: v.verified.Load(), CacheHits: v.cacheHits.Load(), CacheEntries: v.cache.size(), Refused: make(map[Reason]uint64),
	}
	for r := NoToken; r < reasonCount; r++ {
		s.Refused[r] = v.refused[r].Load()
	}
	now := v.clock.Now()
	for _, t := range v.order {
		s.Issuers = append(s.Issuers, t.keys.stats(t.URL, now))
	}
	return s
}

func (r *keyring) stats(url string, now time.Time) IssuerStats {
	s := IssuerStats{URL: url, Loads: r.loads.Load(), LoadFailures: r.failures.Load()}
	if set := r.current(); set != nil {
		s.Keys = set.size()
	}
	if loaded := r.loaded.Load(); loaded != 0 {
		s.Age = now.Sub(time.Unix(0, loaded))
	}
	return s
}
