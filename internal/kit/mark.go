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

	hubs []hubMark // by id.Name
}

type hubMark struct {
	id   eventlog.HubID
	name string // as created
	next []int64
}

// Positions are the next sequence numbers by hub and partition, for people and JSON.
func (m Mark) Positions() map[string]map[string]int64 {
	all := make(map[string]map[string]int64, len(m.hubs))
	for _, h := range m.hubs {
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
	hubs := s.ns.Hubs() // by id.Name
	m := Mark{At: s.kit.clock.Now(), hubs: make([]hubMark, len(hubs))}
	for i, h := range hubs {
		at := hubMark{id: h.ID(), name: h.Name(), next: make([]int64, h.PartitionCount())}
		for p := range at.next {
			at.next[p] = h.PartitionAt(p).State().Next.Seq
		}
		m.hubs[i] = at
	}
	return m
}

// find gives the place of a hub, or where it would have to be.
func (m Mark) find(h *hub.Hub) (int, bool) {
	return slices.BinarySearchFunc(m.hubs, h.ID().Name, func(at hubMark, name string) int { return strings.Compare(at.id.Name, name) })
}

// with is the mark with a hub as far as next.
func (m Mark) with(h *hub.Hub, next []int64) Mark {
	at := hubMark{id: h.ID(), name: h.Name(), next: next}
	i, known := m.find(h)
	m.hubs = slices.Clone(m.hubs)
	if known {
		m.hubs[i] = at
	} else {
		m.hubs = slices.Insert(m.hubs, i, at)
	}
	return m
}

// marksMax bounds how many marks a space keeps beside its first: the last ones.
const marksMax = 10_000

// KeepMark keeps a mark and names it: m0, m1 and so on. m0 is there from the space's beginning.
func (s *Space) KeepMark(m Mark) Mark {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	n := len(s.marks)
	m.Name = "m" + strconv.Itoa(n)
	s.marks = append(s.marks, m)
	if n > marksMax {
		s.marks[n-marksMax] = Mark{}
	}
	return m
}

// KeptMark finds a mark by its name; "" is m0. Kind: NotFound.
func (s *Space) KeptMark(name string) (Mark, error) {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	if name == "" {
		name = "m0"
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "m"))
	if err != nil || n < 0 || n >= len(s.marks) || s.marks[n].Name != name {
		text := fmt.Sprintf("The space '%s' has no mark '%.32s'.", s.name, name)
		return Mark{}, &hub.Error{Kind: hub.NotFound, Text: text, Hint: fmt.Sprintf("the latest is m%d", len(s.marks)-1)}
	}
	return s.marks[n], nil
}

// StaleError says that a mark is older than what the hub still keeps, so that events after it may be gone.
type StaleError struct {
	Hub       string
	Partition string
	Next      int64 // the sequence number that was to be read
	First     int64 // the first that is kept; -1: the hub is another one than that of the mark
}

func (e *StaleError) Error() string {
	if e.First < 0 {
		return fmt.Sprintf("hub %s was deleted and created again after the mark was taken; take a new mark", e.Hub)
	}
	return fmt.Sprintf("events after the mark are gone: partition %s of hub %s was to be read from sequence number %d on and begins with %d; "+
		"take the mark later, or give the hub more retention or the broker more memory", e.Partition, e.Hub, e.Next, e.First)
}

// start says where to read the hub from: at the mark, or from its beginning if it is younger.
func (m Mark) start(h *hub.Hub) ([]int64, error) {
	i, known := m.find(h)
	if known && m.hubs[i].id != h.ID() {
		return nil, &StaleError{Hub: h.Name(), First: -1}
	}
	if known {
		return m.hubs[i].next, nil
	}
	next := make([]int64, h.PartitionCount())
	for i := range next {
		next[i] = h.PartitionAt(i).State().First
	}
	return next, nil
}
