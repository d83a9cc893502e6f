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
// its key unused. A full store forgets the oldest keys of callers who hold more than their share first, then the oldest of all: a retry with
// a forgotten key stores a message twice, with the same id.
type keyStore struct {
	keysMax, bytesMax     int
	keysShare, bytesShare int // of one caller
	age                   time.Duration

	mu      sync.Mutex // guards all below
	by      map[[sha256.Size]byte]*attempt
	order   *list.List            // of *attempt, oldest first
	bytes   int                   // of all attempts
	holders map[string]*keyHolder // those with attempts, by principal
	above   map[*keyHolder]bool   // those with more than their share
}

// keyHolder is what one caller has in the store, guarded by the store's lock.
type keyHolder struct {
	principal string
	order     *list.List // of *attempt, oldest first
	bytes     int        // its own included
}

// attempt is what is known of one key. While running it belongs to the request that claimed it.
type attempt struct {
	scope, print [sha256.Size]byte
	begun        time.Time
	running      bool
	answer       answer          // once final
	stored       map[int]outcome // of a batch that is not: what need not be sent again, by index

	holder          *keyHolder
	ofAll, ofHolder *list.Element
}

// What they take beside an answer and a name, about; measured with a full store.
const (
	attemptBytes = 576
	holderBytes  = 256
)

func (a *attempt) bytes() int {
	return attemptBytes + len(a.answer.body) + len(a.stored)*attemptBytes/2
}

func newKeyStore(l Limits) keyStore {
	return keyStore{
		keysMax: l.IdempotencyKeysMax, bytesMax: l.IdempotencyBytesMax, age: l.IdempotencyAge,
		keysShare:  max(1, int(float64(l.IdempotencyKeysMax)*l.PrincipalShare)),
		bytesShare: int(float64(l.IdempotencyBytesMax) * l.PrincipalShare),
		by:         make(map[[sha256.Size]byte]*attempt), order: list.New(),
		holders: make(map[string]*keyHolder), above: make(map[*keyHolder]bool),
	}
}

// claim starts a caller's attempt, and from then on it must be settled. A problem says that the key is taken; an answer that it was all done
// before.
func (s *keyStore) claim(now time.Time, principal string, scope, print [sha256.Size]byte) (*attempt, *answer, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked(now)
	a := s.by[scope]
	switch {
	case a == nil:
		a = s.addLocked(principal, scope)
		a.print, a.begun = print, now
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
	before := a.bytes()
	a.running, a.answer, a.stored = false, final, stored
	s.countLocked(a.holder, a.bytes()-before)
	if final.status == 0 && len(stored) == 0 {
		s.removeLocked(a)
		return
	}
	s.shrinkLocked()
}

// expireLocked forgets what is too old, up to the first request under way; what is behind that waits for it.
func (s *keyStore) expireLocked(now time.Time) {
	for e := s.order.Front(); e != nil; e = s.order.Front() {
		a := e.Value.(*attempt)
		if a.running || now.Sub(a.begun) < s.age {
			return
		}
		s.removeLocked(a)
	}
}

// shrinkLocked forgets until the rest is within bounds. Requests under way stay; the budget for those bounds them.
func (s *keyStore) shrinkLocked() {
	for len(s.by) > s.keysMax || s.bytes > s.bytesMax {
		a := s.dispensableLocked()
		if a == nil {
			return
		}
		s.removeLocked(a)
	}
}

// dispensableLocked chooses what is forgotten next; nil: nothing can be.
func (s *keyStore) dispensableLocked() *attempt {
	for h := range s.above {
		if a := oldest(h.order); a != nil {
			return a
		}
	}
	return oldest(s.order)
}

// oldest gives the first attempt that is not under way, or nil.
func oldest(order *list.List) *attempt {
	for e := order.Front(); e != nil; e = e.Next() {
		if a := e.Value.(*attempt); !a.running {
			return a
		}
	}
	return nil
}

func (s *keyStore) addLocked(principal string, scope [sha256.Size]byte) *attempt {
	h := s.holders[principal]
	if h == nil {
		h = &keyHolder{principal: principal, order: list.New()}
		s.holders[principal] = h
		s.countLocked(h, holderBytes+len(principal))
	}
	a := &attempt{scope: scope, holder: h}
	s.by[scope] = a
	a.ofAll, a.ofHolder = s.order.PushBack(a), h.order.PushBack(a)
	s.countLocked(h, a.bytes())
	return a
}

func (s *keyStore) removeLocked(a *attempt) {
	h := a.holder
	delete(s.by, a.scope)
	s.order.Remove(a.ofAll)
	h.order.Remove(a.ofHolder)
	s.countLocked(h, -a.bytes())
	if h.order.Len() == 0 {
		s.countLocked(h, -h.bytes)
		delete(s.holders, h.principal)
	}
}

// countLocked adds to what a caller holds, after its attempts became more or fewer, or larger.
func (s *keyStore) countLocked(h *keyHolder, bytes int) {
	s.bytes += bytes
	h.bytes += bytes
	if h.order.Len() > s.keysShare || h.bytes > s.bytesShare {
		s.above[h] = true
	} else {
		delete(s.above, h)
	}
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
	a, before, p := c.g.keys.claim(c.g.o.Clock.Now(), c.principalID, scope, c.fingerprint(h))
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
