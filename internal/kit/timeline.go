package kit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// Entry is something that happened on the wire.
type Entry struct {
	Order     uint64    `json:"order"` // rises with each entry of the kit
	At        time.Time `json:"at"`    // of the last one, if there are several
	Op        string    `json:"op"`    // connect, auth, attach, send, deliver, manage
	Hub       string    `json:"hub,omitempty"`
	Partition string    `json:"partition,omitempty"`
	Group     string    `json:"group,omitempty"`  // readers only
	Client    string    `json:"client,omitempty"` // container id
	Agent     string    `json:"agent,omitempty"`  // what the client calls its software
	Link      string    `json:"link,omitempty"`
	Records   int       `json:"records,omitempty"`   // events sent or delivered
	Fault     string    `json:"fault,omitempty"`     // id of the fault that answered
	Did       string    `json:"did,omitempty"`       // what it did
	Refused   string    `json:"refused,omitempty"`   // what the peer was told
	Kind      string    `json:"kind,omitempty"`      // of the refusal, in the hall's words
	Condition string    `json:"condition,omitempty"` // the same in the protocol's, if it has a word for it

	hint    string // of the refusal
	times   int    // how many operations
	awaited int    // refusals by Fault that were not reported yet
}

// String is the entry as a line of a listing.
func (e *Entry) String() string {
	parts := []string{e.At.UTC().Format("15:04:05.000"), e.Op, e.who()}
	if e.Hub != "" {
		at := e.Hub
		if e.Partition != "" {
			at += "/" + e.Partition
		}
		if e.Group != "" {
			at += " group " + e.Group
		}
		parts = append(parts, at)
	}
	if e.Records > 0 {
		parts = append(parts, plural(e.Records, "event"))
	}
	switch {
	case e.Fault != "": // what it does says what the peer was told
		parts = append(parts, "-> fault "+e.Fault+": "+e.Did)
	case e.Refused != "":
		parts = append(parts, "-> refused ("+e.why()+"): "+e.Refused)
	}
	return strings.Join(parts, " ")
}

func (e *Entry) who() string { return shown(e.Client) }

func (e *Entry) why() string { return cmp.Or(e.Condition, e.Kind) }

// ring keeps the last entries.
type ring struct {
	list []Entry
	head int // of the oldest, once the ring is full
}

const ringMax = 1024

// add keeps an entry, or adds it to the last one if that is of the same kind: a thousand deliveries are one line.
func (r *ring) add(e Entry) {
	if last := r.last(); last != nil && last.goesOnWith(e) {
		last.Order, last.At = e.Order, e.At
		last.Records, last.times, last.awaited = last.Records+e.Records, last.times+e.times, last.awaited+e.awaited
		return
	}
	if len(r.list) < ringMax {
		r.list = append(r.list, e)
		return
	}
	r.list[r.head] = e
	r.head = (r.head + 1) % ringMax
}

// goesOnWith says whether both entries are the same but for what is counted. What came of a fault's answer is in the first of them only.
func (e *Entry) goesOnWith(next Entry) bool {
	if e.Op != Send.String() && e.Op != Deliver.String() {
		return false
	}
	same := *e
	same.Order, same.At, same.Records, same.times, same.awaited = next.Order, next.At, next.Records, next.times, next.awaited
	if e.Fault != "" {
		same.refused(&next)
	}
	return same == next
}

// refused takes over what the peer was told.
func (e *Entry) refused(told *Entry) {
	e.Refused, e.Kind, e.Condition, e.hint = told.Refused, told.Kind, told.Condition, told.hint
}

// join adds a refusal to the entry of the operation, if a fault has answered that: it is not long ago.
func (r *ring) join(e *Entry) bool {
	const back = 64
	n := len(r.list)
	for i := 1; i <= min(n, back); i++ {
		asked := &r.list[(r.head+n-i)%n]
		if asked.awaited > 0 && asked.Op == e.Op && asked.Client == e.Client && asked.Link == e.Link {
			asked.awaited--
			asked.refused(e)
			return true
		}
	}
	return false
}

func (r *ring) last() *Entry {
	if len(r.list) == 0 {
		return nil
	}
	return &r.list[(r.head+len(r.list)-1)%len(r.list)]
}

func (r *ring) all() []Entry {
	return append(slices.Clone(r.list[r.head:]), r.list[:r.head]...)
}

// Trace keeps the timeline of the space from now on, until every stop that Trace gave was called. Each operation of the broker costs a
// little more meanwhile. Without it a Miss has fewer hints.
func (s *Space) Trace() (stop func()) {
	add := func(n int) {
		k := s.kit
		k.mu.Lock()
		defer k.mu.Unlock()
		if s.gone {
			return
		}
		if s.traced += n; s.traced == 0 {
			s.entries = ring{}
		}
		k.installLocked()
	}
	add(1)
	return sync.OnceFunc(func() { add(-1) })
}

// Timeline is what happened in the space while it was traced, oldest first: the last thousand entries. Connects and wrong credentials, whose
// namespace nobody knows, are there if their client did something in this space, or nothing in any other.
func (s *Space) Timeline() []Entry {
	k := s.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	list := s.entries.all()
	ours := make(map[string]bool)
	for i := range list {
		ours[list[i].Client] = true
	}
	theirs := make(map[string]bool)
	for _, other := range k.spaces {
		if other == s {
			continue
		}
		for i := range other.entries.list {
			theirs[other.entries.list[i].Client] = true
		}
	}
	if s.traced > 0 {
		for _, e := range k.stray.all() {
			if ours[e.Client] || !theirs[e.Client] {
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Order, b.Order) })
	return list
}

// noteLocked keeps what a door asked about, and the fault that answered.
func (k *Kit) noteLocked(q *hub.Subject, f *Fault, now time.Time) {
	if !k.tracing || q.Op == hub.Stored && f == nil { // the send is noted already
		return
	}
	e := entryOf(q, now)
	if f != nil {
		e.Fault, e.Did = f.id, f.do.String()
		if f.do.refuses(q) {
			e.awaited = 1
		}
	}
	k.keepLocked(q.Namespace, e)
}

func entryOf(q *hub.Subject, now time.Time) Entry {
	e := Entry{At: now, Op: opOf(q.Op).String(), Hub: q.Hub, Group: q.Group, Client: q.Client, Agent: q.Agent, Link: q.Link, Records: q.Records, times: 1}
	if q.Partition >= 0 {
		e.Partition = strconv.Itoa(q.Partition)
	}
	return e
}

func (k *Kit) keepLocked(namespace string, e Entry) {
	k.order++
	e.Order = k.order
	if r := k.ringLocked(namespace); r != nil {
		r.add(e)
	}
}

// ringLocked is where entries of a namespace go, nil if nobody wants them.
func (k *Kit) ringLocked(namespace string) *ring {
	if namespace == "" {
		return &k.stray
	}
	if s := k.spaceLocked(namespace); s != nil && s.traced > 0 {
		return &s.entries
	}
	return nil
}

// told hears from the doors what became of operations. What was done is known from the question before. What a fault has refused is joined
// to the question it answered.
func (k *Kit) told(r *hub.Report) {
	if r.Err == nil {
		return
	}
	e := entryOf(&r.Subject, k.clock.Now())
	e.Refused, e.Kind, e.Condition, e.hint = r.Err.Text, r.Err.Kind.String(), r.Condition, r.Err.Hint
	k.mu.Lock()
	defer k.mu.Unlock()
	if ring := k.ringLocked(r.Namespace); ring != nil && !ring.join(&e) {
		k.keepLocked(r.Namespace, e)
	}
}

// refusals are hints about what was refused since a moment: one for each client, place and reason. Of what faults have refused, the faults
// have hints.
func refusals(entries []Entry, since time.Time) (hints []string) {
	type refusal struct{ who, place, why string }
	var order []refusal
	count := make(map[refusal]int)
	for i := range entries {
		e := &entries[i]
		if e.Refused == "" || e.Fault != "" || e.At.Before(since) {
			continue
		}
		r := refusal{e.role() + " " + e.who(), e.Op, "(" + e.why() + ")"}
		if e.Hub != "" {
			r.place = fmt.Sprintf("hub %q", e.Hub)
		}
		if e.hint != "" {
			r.why += "; " + e.hint
		}
		if count[r] == 0 {
			order = append(order, r)
		}
		count[r] += e.times
	}
	for _, r := range order {
		times := ""
		if n := count[r]; n > 1 {
			times = fmt.Sprintf(" %d times", n)
		}
		hints = append(hints, fmt.Sprintf("%s was refused%s at %s %s", r.who, times, r.place, r.why))
	}
	return hints
}

// role says what the client is, as far as the entry shows it.
func (e *Entry) role() string {
	switch {
	case e.Group != "":
		return "reader"
	case e.Op == Send.String() || e.Op == Attach.String():
		return "sender"
	}
	return "client"
}
