package gateway

import (
	"container/list"
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// keyStore remembers what became of requests with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), in the memory of this
// process, for a time and up to a number of them. A key belongs to one caller and one hub.
//
// What is given again is only what would come out the same: messages that were stored, and those that no retry can help. Where some of a
// batch were stored and others may yet be, a repetition sends the others alone. A request that was refused before anything was sent leaves
// its key unused. The bounds are for all callers together: one with very many keys can make the store forget the keys of others early, whose
// retries then store a message twice, with the same id.
type keyStore struct {
	keysMax, bytesMax int
	age               time.Duration

	mu    sync.Mutex // guards all below
	by    map[[sha256.Size]byte]*list.Element
	order *list.List // of *attempt, oldest first
	bytes int        // of all answers
}

// attempt is what is known of one key. While running it belongs to the request that claimed it.
type attempt struct {
	scope, print [sha256.Size]byte
	begun        time.Time
	running      bool
	answer       answer          // once final
	stored       map[int]outcome // of a batch that is not: what need not be sent again, by index
}

const attemptBytes = 512 // what an attempt takes beside its answer, about

func (a *attempt) bytes() int {
	return attemptBytes + len(a.answer.body) + len(a.stored)*attemptBytes/2
}

func newKeyStore(l Limits) keyStore {
	return keyStore{
		keysMax: l.IdempotencyKeysMax, bytesMax: l.IdempotencyBytesMax, age: l.IdempotencyAge,
		by: make(map[[sha256.Size]byte]*list.Element), order: list.New(),
	}
}

// claim starts an attempt, and from then on it must be settled. A problem says that the key is taken; an answer that it was all done
// before.
func (s *keyStore) claim(now time.Time, scope, print [sha256.Size]byte) (*attempt, *answer, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked(now)
	e := s.by[scope]
	if e == nil {
		a := &attempt{scope: scope, print: print, begun: now, running: true}
		s.by[scope] = s.order.PushBack(a)
		s.bytes += a.bytes()
		return a, nil, nil
	}
	a := e.Value.(*attempt)
	switch {
	case a.print != print:
		return nil, nil, problemOf(keyUsedForElse, "this Idempotency-Key came with another request before: use a new key for each new request")
	case a.running:
		return nil, nil, problemOf(keyInUse, "wait for its answer, or send this again after the seconds in Retry-After to get the same")
	case a.answer.status != 0:
		return nil, &a.answer, nil
	}
	a.running = true
	return a, nil, nil
}

// settle ends an attempt: with the answer that repetitions get, or, if that has no status, with what they need not send again.
func (s *keyStore) settle(a *attempt, final answer, stored map[int]outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= a.bytes()
	a.running, a.answer, a.stored = false, final, stored
	s.bytes += a.bytes()
	if final.status == 0 && len(stored) == 0 {
		s.removeLocked(s.by[a.scope])
		return
	}
	s.shrinkLocked()
}

// expireLocked forgets what is too old.
func (s *keyStore) expireLocked(now time.Time) {
	for e := s.order.Front(); e != nil; e = s.order.Front() {
		if a := e.Value.(*attempt); a.running || now.Sub(a.begun) < s.age {
			return
		}
		s.removeLocked(e)
	}
}

// shrinkLocked forgets the oldest until the rest is within bounds. Requests under way stay; the budget for those bounds them.
func (s *keyStore) shrinkLocked() {
	for e := s.order.Front(); e != nil && (len(s.by) > s.keysMax || s.bytes > s.bytesMax); {
		next := e.Next()
		if !e.Value.(*attempt).running {
			s.removeLocked(e)
		}
		e = next
	}
}

func (s *keyStore) removeLocked(e *list.Element) {
	a := s.order.Remove(e).(*attempt)
	delete(s.by, a.scope)
	s.bytes -= a.bytes()
}

func (s *keyStore) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.by)
}

// fingerprint tells requests with one key apart: by path, by what the header says about the messages, and by the body. Headers that may
// differ between two tries of one request, as the trace context does, are not in it.
func (c *call) fingerprint(h *head) [sha256.Size]byte {
	parts := []string{c.r.URL.Path, strconv.Itoa(int(h.form)), h.contentType, h.key, h.partition, strconv.Itoa(len(h.properties))}
	for _, name := range slices.Sorted(maps.Keys(h.properties)) {
		value, _ := h.properties[name].(string)
		parts = append(parts, name, value)
	}
	slices.SortFunc(h.attributes, func(a, b eventAttribute) int { return strings.Compare(a.name, b.name) })
	for _, a := range h.attributes {
		parts = append(parts, a.name, a.value)
	}
	ofHead, ofBody := digest(parts...), sha256.Sum256(c.body)
	return sha256.Sum256(append(ofHead[:], ofBody[:]...))
}

// claimKey claims the request's key, if it has one. It tells whether the request is answered already.
func (c *call) claimKey(h *head) (a *attempt, answered bool, p *problem) {
	if h.idempotencyKey == "" {
		return nil, false, nil
	}
	scope := digest(ofKey, c.principalID, c.hub, h.idempotencyKey)
	a, before, p := c.g.keys.claim(c.g.o.Clock.Now(), scope, c.fingerprint(h))
	if before == nil {
		return a, false, p
	}
	c.replayed = true
	c.w.Header()["Idempotency-Replayed"] = valueTrue
	c.answer(*before)
	return nil, true, nil
}

// settleKey remembers what a repetition of the request gets.
func (c *call) settleKey(a *attempt, outcomes []outcome, given answer) {
	stored := make(map[int]outcome)
	final := true
	for i := range outcomes {
		if outcomes[i].stored {
			stored[i] = outcomes[i]
		}
		final = final && outcomes[i].final()
	}
	if !final {
		given = answer{}
	} else {
		stored = nil
	}
	c.g.keys.settle(a, given, stored)
}
