package gateway

import (
	"container/list"
	"math"
	"strconv"
	"sync"
	"time"
)

// quotas holds the buckets of those callers who have a quota, as many as max; the one not seen for longest goes first. A caller that was
// forgotten starts with full buckets again.
type quotas struct {
	max int

	mu    sync.Mutex // guards all below
	by    map[quotaKey]*list.Element
	order *list.List // of *account; last seen first
}

type quotaKey struct {
	principal string
	rule      int
}

// account is one caller's state under one rule.
type account struct {
	key             quotaKey
	messages, bytes bucket
}

// bucket fills at a rate up to one second's worth, at least one unit. Unlike a rate.Limiter's it lets in what is larger than itself, once
// it is full, and goes into debt for it: a batch of 1,000 passes under a rate of 10 a second, and then nothing does for 100 seconds.
type bucket struct {
	level float64
	at    time.Time // of level; zero: full
}

func newQuotas(n int) quotas {
	return quotas{max: n, by: make(map[quotaKey]*list.Element), order: list.New()}
}

// standing is what is left of a quota.
type standing struct {
	messages float64
	wait     time.Duration // how long until it would have been enough; 0: it was
}

// take lets in a request of so many messages and bytes and charges it, or says how long to wait.
func (qs *quotas) take(now time.Time, principal string, q *Quota, messages, bytes int) standing {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	a := qs.accountLocked(quotaKey{principal, q.Rule})
	wait := max(a.messages.lacks(now, q.MessagesPerSecond, messages), a.bytes.lacks(now, float64(q.BytesPerSecond), bytes))
	if wait == 0 {
		a.messages.level -= float64(messages)
		a.bytes.level -= float64(bytes)
	}
	return standing{max(0, a.messages.level), wait}
}

// charge adds to the price of a request that was let in before its size was known.
func (qs *quotas) charge(principal string, q *Quota, messages, bytes int) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	a := qs.accountLocked(quotaKey{principal, q.Rule})
	a.messages.level -= float64(messages)
	a.bytes.level -= float64(bytes)
}

// blame is charge for one message, of a caller whose debt is never more than what a second mends.
func (qs *quotas) blame(now time.Time, principal string, q *Quota) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	a := qs.accountLocked(quotaKey{principal, q.Rule})
	a.messages.lacks(now, q.MessagesPerSecond, 0) // what was mended until now is not lost to the bound
	a.messages.level = max(a.messages.level-1, -q.MessagesPerSecond)
}

func (qs *quotas) accountLocked(key quotaKey) *account {
	if e := qs.by[key]; e != nil {
		qs.order.MoveToFront(e)
		return e.Value.(*account)
	}
	if len(qs.by) >= qs.max {
		last := qs.order.Back()
		delete(qs.by, qs.order.Remove(last).(*account).key)
	}
	a := &account{key: key}
	qs.by[key] = qs.order.PushFront(a)
	return a
}

// lacks fills the bucket and tells how long it is until it holds n, or is full. A rate of 0 sets no bound.
func (b *bucket) lacks(now time.Time, rate float64, n int) time.Duration {
	if rate <= 0 {
		return 0
	}
	size := max(rate, 1)
	if b.at.IsZero() {
		b.level += size // what was charged already stays owed
	} else if gone := now.Sub(b.at); gone > 0 {
		b.level = min(size, b.level+rate*gone.Seconds())
	}
	b.at = now
	need := min(float64(n), size)
	if b.level >= need {
		return 0
	}
	return time.Duration(math.Ceil((need - b.level) / rate * float64(time.Second)))
}

// limited tells whether there is anything to count.
func (q *Quota) limited() bool { return q.MessagesPerSecond > 0 || q.BytesPerSecond > 0 }

// chargeQuota lets the request in by the caller's quota: one message for now, and the bytes that are announced.
func (c *call) chargeQuota() *problem {
	if !c.quota.limited() {
		return nil
	}
	c.charged = max(0, int(min(c.r.ContentLength, int64(c.g.o.Limits.BatchBytesMax))))
	s := c.g.quotas.take(c.g.o.Clock.Now(), c.principalID, &c.quota, 1, c.charged)
	c.tellQuota(s)
	if s.wait == 0 {
		return nil
	}
	p := problemOf(overQuota, "you may send "+c.quota.words()+" here: wait for the seconds in Retry-After")
	p.retryAfter = s.wait
	return p
}

// chargeRest adds what was not known before the body was read.
func (c *call) chargeRest(messages int) {
	if c.quota.limited() {
		c.g.quotas.charge(c.principalID, &c.quota, messages-1, len(c.body)-c.charged)
	}
}

func (q *Quota) words() string {
	messages, bytes := strconv.FormatFloat(q.MessagesPerSecond, 'g', 4, 64)+" messages", strconv.FormatInt(q.BytesPerSecond, 10)+" bytes"
	switch {
	case q.BytesPerSecond == 0:
		return messages + " a second"
	case q.MessagesPerSecond == 0:
		return bytes + " a second"
	}
	return messages + " and " + bytes + " a second"
}

// tellQuota sets RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11) for the quota of messages.
func (c *call) tellQuota(s standing) {
	rate := c.quota.MessagesPerSecond
	if rate == 0 {
		return
	}
	window := 1
	if rate < 1 {
		window = int(math.Ceil(1 / rate))
	}
	per := strconv.Itoa(window)
	h := c.w.Header()
	h["Ratelimit-Policy"] = []string{`"messages";q=` + strconv.Itoa(int(max(rate, 1))) + ";w=" + per}
	h["Ratelimit"] = []string{`"messages";r=` + strconv.Itoa(int(s.messages)) + ";t=" + strconv.Itoa(max(1, int(math.Ceil(s.wait.Seconds()))))}
}
