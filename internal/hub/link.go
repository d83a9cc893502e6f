package hub

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// LinkKind says which way events go.
type LinkKind uint8

const (
	Sender LinkKind = iota // events come in
	Reader                 // events go out
)

func (k LinkKind) String() string {
	if k == Reader {
		return "reader"
	}
	return "sender"
}

// LinkInfo says who wants to do what.
type LinkInfo struct {
	Kind      LinkKind
	Partition int    // index; -1, senders only: any
	Group     string // readers only; Link.Info has it as it was created
	Name      string // the receiver's name as given by its client, or ""
	Client    string // container id
	Agent     string // what the client calls its software (user-agent), or ""
	Principal string // who the rights belong to
	Epoch     int64
	HasEpoch  bool
}

// Link is a sender or reader that a door has told the hall of. Its methods are safe for concurrent use.
type Link struct {
	hub   *Hub
	info  LinkInfo
	id    uint64
	since time.Time
	cut   func(*Error)

	credit    atomic.Uint32
	unsettled atomic.Int64
	records   atomic.Int64
	bytes     atomic.Int64

	down bool // guarded by hall.mu: closed, or to be cut

	// running is locked from the moment a cut is decided, under hall.mu, until the cut has run. Close waits for it.
	running sync.Mutex
}

// pendingCut is a link that is down already and whose door has to hear of it.
type pendingCut struct {
	link *Link
	why  *Error
}

// OpenLink tells the hall of a new link, or is told why there cannot be one. Kinds: OutOfRange, NotFound (group, or the hub is gone),
// EpochTooLow, EpochExists, TooManyReaders, Closed.
//
// cut is called when the hall ends the link: a reader with the same or a higher epoch came (Stolen), hub, group or namespace is deleted
// (Updated), the hall closes (Closed). It runs at most once, on a goroutine of whoever caused that or of the clock, perhaps before
// OpenLink returns, and while neither manage nor mu is held. It must not block, and must not close a link, this or another: Close waits
// for the cut of its link, and links that go together are cut one after the other. Once Close has returned, cut has either finished or
// will never run. A link that was cut is gone from Links and has given up its place among the readers; closing it does nothing more. cut
// may be nil.
func (b *Hub) OpenLink(info LinkInfo, cut func(*Error)) (*Link, error) {
	if info.Partition >= len(b.partitions) || info.Partition < -1 || info.Kind == Reader && info.Partition < 0 {
		return nil, b.errPartition()
	}
	h := b.namespace.hall
	l := &Link{hub: b, info: info, since: h.clock.Now(), cut: cut}
	evicted, err := b.admit(l)
	if err == errNoGroup {
		err = b.errGroup(info.Partition, info.Group, b.Groups())
	}
	if err != nil {
		return nil, err
	}
	if h.stealDelay > 0 && len(evicted) > 0 {
		h.clock.AfterFunc(h.stealDelay, func() { h.endEvicted(evicted, l) })
		h.watches.changed()
		return l, nil
	}
	h.endEvicted(evicted, l)
	return l, nil
}

// errNoGroup stands for errGroup, whose hint takes longer to find than mu should be held.
var errNoGroup = errors.New("no such group")

// admit puts the link into the tables if the rules allow it, and says which readers must give way to it.
func (b *Hub) admit(l *Link) (evicted []*Link, err error) {
	h := b.namespace.hall
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, errClosed()
	case b.gone:
		return nil, b.namespace.errNotFound(b.name)
	}
	if l.info.Kind == Reader {
		i, found := b.findGroup(l.info.Group)
		if !found {
			return nil, errNoGroup
		}
		l.info.Group = b.groups[i]
		if evicted, err = b.takeSeatLocked(l); err != nil {
			return nil, err
		}
	}
	h.linkID++
	l.id = h.linkID
	if b.links == nil {
		b.links = make(map[*Link]struct{})
	}
	b.links[l] = struct{}{}
	return evicted, nil
}

// Close takes the link down. It waits for a cut that is running. Closing twice is allowed.
func (l *Link) Close() {
	h := l.hub.namespace.hall
	h.mu.Lock()
	first := !l.down
	if first {
		l.leaveLocked()
	}
	h.mu.Unlock()
	if first {
		h.watches.changed()
		return
	}
	l.running.Lock()
	l.running.Unlock() //nolint:staticcheck // SA2001: locked only to wait
}

// leaveLocked takes the link out of all tables.
func (l *Link) leaveLocked() {
	l.down = true
	delete(l.hub.links, l)
	if l.info.Kind == Reader {
		l.hub.leaveSeatLocked(l)
		p := l.Partition()
		p.recordsOut += l.records.Load()
		p.bytesOut += l.bytes.Load()
	}
}

// cutLocked takes down the hub's links that which picks, in the order they came, and appends what remains to be run to cuts.
func (b *Hub) cutLocked(cuts []pendingCut, why *Error, which func(*Link) bool) []pendingCut {
	var picked []*Link
	for l := range b.links {
		if which(l) {
			picked = append(picked, l)
		}
	}
	slices.SortFunc(picked, func(x, y *Link) int { return cmp.Compare(x.id, y.id) })
	for _, l := range picked {
		cuts = append(cuts, l.cutLocked(why))
	}
	return cuts
}

func (b *Hub) cutAllLocked(cuts []pendingCut, why *Error) []pendingCut {
	return b.cutLocked(cuts, why, func(*Link) bool { return true })
}

// cutLocked takes down a link that is up.
func (l *Link) cutLocked(why *Error) pendingCut {
	l.leaveLocked()
	l.running.Lock() // nobody else has it: Close only waits for links that are down
	return pendingCut{l, why}
}

// run tells the doors of cut links. The caller holds no lock.
func (h *Hall) run(cuts []pendingCut) {
	for _, c := range cuts {
		if c.link.cut != nil {
			c.link.cut(c.why)
		}
		c.link.running.Unlock()
	}
	h.watches.changed()
}

// Info is what the link was opened with.
func (l *Link) Info() LinkInfo { return l.info }

// Hub is the hub the link was opened at.
func (l *Link) Hub() *Hub { return l.hub }

// Partition is the link's partition, or nil if it sends to any.
func (l *Link) Partition() *Partition {
	if l.info.Partition < 0 {
		return nil
	}
	return &l.hub.partitions[l.info.Partition]
}

// SetCredit says how many events the receiving side may still be sent.
func (l *Link) SetCredit(n uint32) {
	l.credit.Store(n)
	l.hub.namespace.hall.watches.changed()
}

// AddUnsettled counts deliveries that came in and are not settled yet, by a positive or negative difference.
func (l *Link) AddUnsettled(delta int) {
	l.unsettled.Add(int64(delta))
	l.hub.namespace.hall.watches.changed()
}

// Sent counts events that went over the link, either way. What is told after Close is lost to Totals.
func (l *Link) Sent(records, bytes int) {
	l.records.Add(int64(records))
	l.bytes.Add(int64(bytes))
	l.hub.namespace.hall.watches.changed()
}

// LinkState is a link as it was at one moment; its counters are read one after the other.
type LinkState struct {
	ID uint64 // rises with each link of the hall
	LinkInfo
	Namespace string
	Hub       string
	Credit    uint32
	Unsettled int64
	Records   int64
	Bytes     int64
	Since     time.Time
}

func (l *Link) state() LinkState {
	return LinkState{
		ID: l.id, LinkInfo: l.info, Namespace: l.hub.namespace.name, Hub: l.hub.name,
		Credit: l.credit.Load(), Unsettled: l.unsettled.Load(),
		Records: l.records.Load(), Bytes: l.bytes.Load(), Since: l.since,
	}
}

// Links is a snapshot of all links that are up, in the order they came.
func (h *Hall) Links() []LinkState {
	var list []LinkState
	h.mu.RLock()
	for _, n := range h.namespaces {
		for _, b := range n.hubs {
			for l := range b.links {
				list = append(list, l.state())
			}
		}
	}
	h.mu.RUnlock()
	slices.SortFunc(list, func(a, b LinkState) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
