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
	Group     string    `json:"group,omitempty"` // readers only
	Client    string    `json:"client,omitempty"`
	Link      string    `json:"link,omitempty"`
	Records   int       `json:"records,omitempty"` // events sent or delivered
	Fault     string    `json:"fault,omitempty"`   // id of the fault that answered
	Did       string    `json:"did,omitempty"`     // what it did
	Refused   string    `json:"refused,omitempty"` // what the peer was told
	Kind      string    `json:"kind,omitempty"`    // of the refusal, in the hall's words

	hint string // of the refusal
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
	if e.Fault != "" {
		parts = append(parts, "-> fault "+e.Fault+": "+e.Did)
	}
	if e.Refused != "" {
		parts = append(parts, "-> refused ("+e.Kind+"): "+e.Refused)
	}
	return strings.Join(parts, " ")
}

func (e *Entry) who() string { return shown(e.Client) }

// ring keeps the last entries.
type ring struct {
	list []Entry
	head int // of the oldest, once the ring is full
}

const ringMax = 1024

// add keeps an entry, or adds it to the last one if that is of the same kind: a thousand deliveries are one line.
func (r *ring) add(e Entry) {
	if last := r.last(); last != nil && (e.Op == "send" || e.Op == "deliver") {
		same := *last
		same.Order, same.At, same.Records = e.Order, e.At, e.Records
		if same == e {
			last.Order, last.At, last.Records = e.Order, e.At, last.Records+e.Records
			return
		}
	}
	if len(r.list) < ringMax {
		r.list = append(r.list, e)
		return
	}
	r.list[r.head] = e
	r.head = (r.head + 1) % ringMax
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

// Timeline is what happened in the space while it was traced, oldest first: the last thousand entries. Connects and credentials, which
// have no namespace yet, are there if their client did something in this space, or nothing in any other.
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
	}
	k.keepLocked(q.Namespace, e)
}

func entryOf(q *hub.Subject, now time.Time) Entry {
	e := Entry{At: now, Op: opOf(q.Op).String(), Hub: q.Hub, Group: q.Group, Client: q.Client, Link: q.Link, Records: q.Records}
	if q.Partition >= 0 {
		e.Partition = strconv.Itoa(q.Partition)
	}
	return e
}

func (k *Kit) keepLocked(namespace string, e Entry) {
	k.order++
	e.Order = k.order
	if namespace == "" {
		k.stray.add(e)
	} else if s := k.spaces[strings.ToLower(namespace)]; s != nil && s.traced > 0 {
		s.entries.add(e)
	}
}

// told hears from the doors what became of operations. What was done is known from the question before.
func (k *Kit) told(r *hub.Report) {
	if r.Err == nil {
		return
	}
	e := entryOf(&r.Subject, k.clock.Now())
	e.Refused, e.Kind, e.hint = r.Err.Text, r.Err.Kind.String(), r.Err.Hint
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keepLocked(r.Namespace, e)
}

// refusals are hints about what was refused since a moment: one for each client, place and kind.
func refusals(entries []Entry, since time.Time) (hints []string) {
	type refusal struct{ who, place, why string }
	var order []refusal
	count := make(map[refusal]int)
	for i := range entries {
		e := &entries[i]
		if e.Refused == "" || e.At.Before(since) {
			continue
		}
		r := refusal{e.role() + " " + e.who(), e.Op, "(" + e.Kind + ")"}
		if e.Hub != "" {
			r.place = fmt.Sprintf("hub %q", e.Hub)
		}
		if e.hint != "" {
			r.why += "; " + e.hint
		}
		if count[r]++; count[r] == 1 {
			order = append(order, r)
		}
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
