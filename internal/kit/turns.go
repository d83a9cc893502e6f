package kit

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// turns tell which of two events of a hub came first where the log's time, which counts milliseconds, does not: one that was acknowledged
// before the other was sent has an earlier turn. Doors ask about each batch between storing and acknowledging it while the space is traced or
// has faults, and Publish notes its own; of events that nobody noted only time and partition tell. It is safe for concurrent use.
type turns struct {
	id eventlog.HubID // immutable

	mu     sync.Mutex // guards what follows
	count  int64
	latest string            // partition of turn count
	noted  map[string][]turn // by partition, ascending
}

// turn is a run of acknowledgements in one partition, with none in another between them.
type turn struct {
	number int64
	end    int64 // the partition's next sequence number after it
}

// turnsMax bounds the turns of a partition that are kept: the last ones. Events before them have the first that is kept.
const turnsMax = 1 << 14

// note says that what a partition has before the sequence number end is about to be acknowledged.
func (t *turns) note(partition string, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.noted[partition]
	last := len(list) - 1
	switch {
	case last >= 0 && list[last].end >= end:
		return
	case last >= 0 && t.latest == partition:
		list[last].end = end
		return
	case len(list) == turnsMax:
		list = slices.Delete(list, 0, turnsMax/2)
	}
	if t.noted == nil {
		t.noted = make(map[string][]turn)
	}
	t.count++
	t.latest = partition
	t.noted[partition] = append(list, turn{t.count, end})
}

// of gives the turn of an event. One that is not acknowledged yet comes last.
func (t *turns) of(partition string, seq int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ofLocked(partition, seq)
}

func (t *turns) ofLocked(partition string, seq int64) int64 {
	list := t.noted[partition]
	i := sort.Search(len(list), func(i int) bool { return list[i].end > seq })
	if i == len(list) {
		return math.MaxInt64
	}
	return list[i].number
}

// sort orders events by when they were stored, then by turn, then by where they are.
func (t *turns) sort(events []Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(events, func(a, b Event) int {
		if a.Partition != b.Partition && a.EnqueuedAt.Equal(b.EnqueuedAt) {
			if c := cmp.Compare(t.ofLocked(a.Partition, a.SequenceNumber), t.ofLocked(b.Partition, b.SequenceNumber)); c != 0 {
				return c
			}
		}
		return stored(a, b)
	})
}

// turnsOf gives the turns of a hub, from now on if there are none yet.
func (s *Space) turnsOf(h *hub.Hub) *turns {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	name := h.ID().Name
	t := s.turns[name]
	if t == nil || t.id != h.ID() {
		t = &turns{id: h.ID()}
		if s.turns == nil {
			s.turns = make(map[string]*turns)
		}
		s.turns[name] = t
	}
	return t
}

// noteTurn hears from a door that it is about to acknowledge.
func (k *Kit) noteTurn(q *hub.Subject) {
	k.mu.Lock()
	s := k.spaceLocked(q.Namespace)
	k.mu.Unlock()
	if s == nil {
		return
	}
	if h, err := s.ns.Hub(q.Hub); err == nil && q.Partition >= 0 && q.Partition < h.PartitionCount() {
		p := h.PartitionAt(q.Partition)
		s.turnsOf(h).note(p.ID(), p.State().Next.Seq)
	}
}
