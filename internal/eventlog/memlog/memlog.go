// Package memlog keeps logs in memory: an eventlog.Store that forgets everything with its process.
//
// # Memory
//
// Records lie in chunks of 2 KiB to 1 MiB, with 24 bytes for each beside its Data; chunks grow with what their log holds, and a record
// larger than a chunk gets one of its own. The log refers to a chunk, and so does each Read that has not been released. A chunk that
// nobody refers to is kept for reuse (up to an eighth of the budget or 2 MiB; those above 1 MiB go to the collector), so that steady
// appending and reading allocates nothing. An empty log has no chunk, and no log has a goroutine or a timer.
//
// In a store of less than 64 MiB chunks are smaller, a 64th to a 32nd of the budget at most; and above 256 KiB a chunk is an eighth of its
// log at most, since a budget that many logs share loses what they have not filled.
//
// Most of the memory of a full store is in no cache of the processor, so the next place is told ahead (eventlog.Ahead) and fetched while
// the next events are being looked at. What is told ends with the chunk: large ones are for that, too.
//
// # Budget
//
// What counts towards Options.BytesMax is the size of every chunk, full or not, and 128 bytes for its bookkeeping: chunks of the logs,
// chunks that were dropped but are held by readers, chunks kept for reuse. That sum never exceeds BytesMax. What does not count: Meta,
// some hundred bytes a log, 8 bytes a chunk, and what the collector has not yet swept up.
//
// When an append needs a chunk that the budget has no room for, the oldest first chunk of all logs is dropped, again and again. A chunk
// is as old as its newest record, and age is the order in which the store took the records, whatever the clocks say. So the last events of
// a quiet partition survive a flood in another one until all that is older is gone; records go from the front of their partition only, and
// one chunk at a time. Readers there get an *eventlog.TrimmedError. An append fails with eventlog.ErrBusy if the chunks it needs do not
// fit into the budget beside those that readers hold: a reader that does not release takes memory from everyone.
//
// # Callbacks
//
// Done and Wake run inside whatever call to the log makes them due, or on the goroutine that is already running callbacks of that log.
// They may call the log. A call of Unwatch from a callback does not wait for a Wake that another goroutine is just about to begin.
package memlog

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// Options are for New. The zero value is ready for use.
type Options struct {
	BytesMax int64       // budget for the whole store; 0: 1 GiB. Below a few KiB every append fails.
	Clock    clock.Clock // for logs that are opened without one; nil: clock.System

	// OnEvict is told after records were dropped for want of memory: so many, beginning with sequence number first. It runs inside an
	// Append to some log of the store, perhaps on several goroutines at once, while no lock is held. It may not block.
	OnEvict func(hub eventlog.HubID, partition int, first int64, records int64)
}

// Store is an eventlog.Store.
type Store struct {
	mem     *memory
	meta    kv
	clock   clock.Clock
	onEvict func(eventlog.HubID, int, int64, int64)

	mu     sync.Mutex // guards hubs and closed
	hubs   []*hubLogs // by id
	closed bool
}

// hubLogs are the logs of one hub.
type hubLogs struct {
	store *Store
	id    eventlog.HubID
	logs  []*log // by partition; guarded by store.mu
}

// New gives an empty store. It takes no memory yet.
func New(o Options) *Store {
	return &Store{
		mem:     newMemory(cmp.Or(o.BytesMax, 1<<30)),
		clock:   clockOr(o.Clock, clock.System),
		onEvict: o.OnEvict,
	}
}

func clockOr(c, otherwise clock.Clock) clock.Clock {
	if c == nil {
		return otherwise
	}
	return c
}

// Open gives the log of a partition, a new one if there is none. The options count for a new one only.
func (s *Store) Open(hub eventlog.HubID, partition int, o eventlog.Options) (eventlog.Log, error) {
	if partition < 0 {
		return nil, fmt.Errorf("memlog: partition %d is negative", partition)
	}
	if o.First.Seq < 0 || o.First.Seq > eventlog.SeqMax || o.First.Offset < 0 || o.First.Offset > eventlog.SeqMax {
		return nil, fmt.Errorf("memlog: first sequence number %d or offset %d is not in 0..%d", o.First.Seq, o.First.Offset, int64(eventlog.SeqMax))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, eventlog.ErrClosed
	}
	i, there := s.find(hub)
	if !there {
		s.hubs = slices.Insert(s.hubs, i, &hubLogs{store: s, id: hub, logs: make([]*log, 0, 4)})
	}
	h := s.hubs[i]
	at, there := slices.BinarySearchFunc(h.logs, partition, func(l *log, partition int) int { return cmp.Compare(l.partition, partition) })
	if !there {
		h.logs = slices.Insert(h.logs, at, newLog(h, partition, o.First, clockOr(o.Clock, s.clock)))
	}
	return h.logs[at], nil
}

// find gives the place of a hub, or where it would have to be. The caller holds mu.
func (s *Store) find(id eventlog.HubID) (int, bool) {
	return slices.BinarySearchFunc(s.hubs, id, func(h *hubLogs, id eventlog.HubID) int {
		return cmp.Or(cmp.Compare(h.id.Namespace, id.Namespace), cmp.Compare(h.id.Name, id.Name), cmp.Compare(h.id.Incarnation, id.Incarnation))
	})
}

// Delete closes and forgets all logs of the hub. It is no error if there are none.
func (s *Store) Delete(hub eventlog.HubID) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return eventlog.ErrClosed
	}
	i, there := s.find(hub)
	if !there {
		s.mu.Unlock()
		return nil
	}
	h := s.hubs[i]
	s.hubs = slices.Delete(s.hubs, i, i+1)
	s.mu.Unlock()
	h.close()
	return nil
}

// List gives the hubs that have logs, in the order of namespace, name and incarnation.
func (s *Store) List() ([]eventlog.HubID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, eventlog.ErrClosed
	}
	ids := make([]eventlog.HubID, len(s.hubs))
	for i, h := range s.hubs {
		ids[i] = h.id
	}
	return ids, nil
}

// Meta gives the store's small state. It is not part of the budget, and says ErrClosed once the store is closed.
func (s *Store) Meta() eventlog.KV { return &s.meta }

// Close closes every log and forgets everything.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	hubs := s.hubs
	s.hubs = nil
	s.mu.Unlock()
	for _, h := range hubs {
		h.close()
	}
	s.meta.close()
	return nil
}

// close closes the logs of a hub that the store has forgotten.
func (h *hubLogs) close() {
	for _, l := range h.logs {
		l.Close() // never fails
	}
}
