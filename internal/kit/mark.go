package kit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// Mark is a moment in a space: for each partition of each hub the sequence number that its next event would have got. What is stored
// from then on counts as after the mark, however late anybody looks. It never changes.
type Mark struct {
	Name string    // "m0" and so on if the space keeps it, or ""
	At   time.Time // by the kit's clock

	at *snapshot // nil: of no hub
}

// snapshot is where all hubs of a space stood. Marks between which nothing happened share it, and others what did not change.
type snapshot struct {
	hubs []*hubMark // by id.Name
	kept int        // guarded by kit.mu: how many of the marks that the space keeps have it
}

type hubMark struct {
	id   eventlog.HubID
	name string // as created
	next []int64
	kept int // guarded by kit.mu: how many of the snapshots that are kept have it
}

// hubs are those that the mark knows.
func (m Mark) hubs() []*hubMark {
	if m.at == nil {
		return nil
	}
	return m.at.hubs
}

// Positions are the next sequence numbers by hub and partition, for people and JSON.
func (m Mark) Positions() map[string]map[string]int64 {
	all := make(map[string]map[string]int64, len(m.hubs()))
	for _, h := range m.hubs() {
		parts := make(map[string]int64, len(h.next))
		for i, next := range h.next {
			parts[strconv.Itoa(i)] = next
		}
		all[h.name] = parts
	}
	return all
}

// text names the mark in a sentence.
func (m Mark) text() string {
	if m.Name == "" {
		return "the mark"
	}
	return m.Name
}

// Mark takes a mark of all hubs. Partitions are looked at one after the other: events that are stored while it runs may fall on either
// side, but what was acknowledged before it was called is before the mark, and what is sent after it returns is after it.
func (s *Space) Mark() Mark {
	s.kit.mu.Lock()
	last := Mark{at: s.latest}
	s.kit.mu.Unlock()
	hubs := s.ns.Hubs() // by id.Name
	at := &snapshot{hubs: make([]*hubMark, len(hubs))}
	same := len(hubs) == len(last.hubs())
	var next []int64
	for i, h := range hubs {
		next = next[:0]
		for p := range h.PartitionCount() {
			next = append(next, h.PartitionAt(p).State().Next.Seq)
		}
		if at.hubs[i] = last.like(h, next); at.hubs[i] == nil {
			at.hubs[i], same = &hubMark{id: h.ID(), name: h.Name(), next: slices.Clone(next)}, false
		}
	}
	if same && last.at != nil {
		at = last.at
	}
	s.kit.mu.Lock()
	s.latest = at
	s.kit.mu.Unlock()
	return Mark{At: s.kit.clock.Now(), at: at}
}

// find gives the place of a hub, or where it would have to be.
func (m Mark) find(h *hub.Hub) (int, bool) {
	return slices.BinarySearchFunc(m.hubs(), h.ID().Name, func(at *hubMark, name string) int { return strings.Compare(at.id.Name, name) })
}

// like is what the mark has of a hub if that stands at next, or nil.
func (m Mark) like(h *hub.Hub, next []int64) *hubMark {
	if i, known := m.find(h); known && m.at.hubs[i].id == h.ID() && slices.Equal(m.at.hubs[i].next, next) {
		return m.at.hubs[i]
	}
	return nil
}

// with is the mark with a hub as far as next.
func (m Mark) with(h *hub.Hub, next []int64) Mark {
	if m.like(h, next) != nil {
		return m
	}
	at := &hubMark{id: h.ID(), name: h.Name(), next: next}
	i, known := m.find(h)
	hubs := slices.Clone(m.hubs())
	if known {
		hubs[i] = at
	} else {
		hubs = slices.Insert(hubs, i, at)
	}
	m.at = &snapshot{hubs: hubs}
	return m
}

const (
	marksMax      = 10_000   // marks that a space keeps beside its first: the last ones,
	marksBytesMax = 16 << 20 // and fewer if they need more memory than this
	hubMarkBytes  = 112      // of a hubMark without its positions; its names are the hub's
)

// keptMarks are the marks that a space keeps. It is guarded by kit.mu.
type keptMarks struct {
	first Mark   // m0
	last  []Mark // the latest
	from  int    // number of last[0]
	bytes int    // of all, what they share counted once
}

func (k *keptMarks) add(m Mark) Mark {
	if k.from == 0 {
		m.Name = "m0"
		k.first, k.from = m, 1
		k.hold(m.at)
		return m
	}
	m.Name = "m" + strconv.Itoa(k.from+len(k.last))
	k.last = append(k.last, m)
	k.hold(m.at)
	for len(k.last) > marksMax || k.bytes > marksBytesMax && len(k.last) > 1 {
		k.release(k.last[0].at)
		k.last[0] = Mark{}
		k.last = k.last[1:]
		k.from++
	}
	return m
}

func (at *hubMark) bytes() int { return hubMarkBytes + 8*len(at.next) }

func (at *snapshot) bytes() int { return 8 * len(at.hubs) }

func (k *keptMarks) hold(at *snapshot) {
	if at == nil {
		return
	}
	if at.kept++; at.kept > 1 {
		return
	}
	k.bytes += at.bytes()
	for _, h := range at.hubs {
		if h.kept++; h.kept == 1 {
			k.bytes += h.bytes()
		}
	}
}

func (k *keptMarks) release(at *snapshot) {
	if at == nil {
		return
	}
	if at.kept--; at.kept > 0 {
		return
	}
	k.bytes -= at.bytes()
	for _, h := range at.hubs {
		if h.kept--; h.kept == 0 {
			k.bytes -= h.bytes()
		}
	}
}

// KeepMark keeps a mark of the space and names it: m0, m1 and so on. m0 is there from the space's beginning. Of the others the last 10,000 are
// kept, as far as they need no more than 16 MiB.
func (s *Space) KeepMark(m Mark) Mark {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	return s.marks.add(m)
}

// KeptMark finds a mark by its name; "" is m0. Kind: NotFound; *StaleError if it was kept once.
func (s *Space) KeptMark(name string) (Mark, error) {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	k := &s.marks
	if name == "" {
		name = "m0"
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "m"))
	end := k.from + len(k.last)
	switch {
	case err != nil || n < 0 || n >= end || name != "m"+strconv.Itoa(n):
		text := fmt.Sprintf("The space '%s' has no mark '%.32s'.", s.name, name)
		return Mark{}, &hub.Error{Kind: hub.NotFound, Text: text, Hint: fmt.Sprintf("the latest is m%d", end-1)}
	case n == 0:
		return k.first, nil
	case n < k.from:
		return Mark{}, &StaleError{Mark: name, First: int64(k.from)}
	}
	return k.last[n-k.from], nil
}

// StaleError says that a mark is older than what the hub still keeps, so that events after it may be gone, or than the marks that the space
// still keeps.
type StaleError struct {
	Mark      string // one that is not kept any more, and First is the number of the first that is; "": what follows
	Hub       string
	Partition string
	Next      int64 // the sequence number that was to be read
	First     int64 // the first that is kept; -1: the hub is another one than that of the mark
}

func (e *StaleError) Error() string {
	if e.Mark != "" {
		return fmt.Sprintf("mark %s is not kept any more, since very many came after it; there are m0 and m%d and those that follow", e.Mark, e.First)
	}
	if e.First < 0 {
		return fmt.Sprintf("hub %s was deleted and created again after the mark was taken; take a new mark", e.Hub)
	}
	return fmt.Sprintf("events after the mark are gone: partition %s of hub %s was to be read from sequence number %d on and begins with %d; "+
		"take the mark later, or give the hub more retention or the broker more memory", e.Partition, e.Hub, e.Next, e.First)
}

// start says where to read the hub from: at the mark, or from its beginning if it is younger.
func (m Mark) start(h *hub.Hub) ([]int64, error) {
	i, known := m.find(h)
	if known && m.at.hubs[i].id != h.ID() {
		return nil, &StaleError{Hub: h.Name(), First: -1}
	}
	if known {
		return m.at.hubs[i].next, nil
	}
	next := make([]int64, h.PartitionCount())
	for i := range next {
		next[i] = h.PartitionAt(i).State().First
	}
	return next, nil
}
