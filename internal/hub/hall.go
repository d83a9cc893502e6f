// Package hub is the hall: the rules of the product, where all doors meet. It knows namespaces, hubs, partitions, groups and epochs,
// where a key lands, how long events stay, and who reads what; it knows no protocol, no socket and no encoding.
//
// What its users need: a hub is found by namespace and name only, so that two namespaces never see each other; readers of a group and
// partition obey the epoch rules whatever door they came through; what was created on a lasting store is there again after a restart;
// and nothing a connection calls ever waits for storage. Creating and deleting may wait, and belongs to no connection's goroutines.
//
// What could break it, and the rule that keeps it whole:
//   - Locks. manage serializes creating and deleting and is held across calls of the Store; mu guards everything that is looked up and
//     is held for a few map operations. manage comes before mu; the locks of Link, trimmer and watches come last. Under mu nothing
//     foreign is called: no Store, no Log, no Clock timer, no cut, no Watch. Under manage no cut and no Watch is called. So a Log may
//     call Evicted under a lock of its own, and cut may take a lock of its door, if the door never calls the hall while it holds that.
//   - Deleting goes through the store's Meta first: once the record is gone so is the hub, and New finishes what was cut short. Logs that
//     no record speaks of are never deleted. Creating writes the record before it opens the first log.
package hub

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

const (
	retentionDefault     = 24 * time.Hour
	readersMaxDefault    = 5    // the service's limit
	partitionsMaxDefault = 2000 // the service's highest, for a dedicated cluster
)

// Options are for New. Only Store is needed.
type Options struct {
	Store         eventlog.Store // the caller's, who closes it after the Hall
	Clock         clock.Clock    // nil: clock.System
	Log           *slog.Logger   // nil: silence
	Retention     time.Duration  // of hubs that name none; 0: 24 h; negative: for as long as the store has room
	ReadersMax    int            // readers without epoch per group and partition; 0: 5
	PartitionsMax int            // per hub; 0: 2000; at most 32767
	StealDelay    time.Duration  // how long an evicted reader keeps its link; the service was recorded to take 4.9 s

	// Ephemeral says that Store is new and ends with the Hall: its Meta is left alone, since no later hall will ask what there was.
	Ephemeral bool
}

// Hall holds all namespaces of one broker. It is safe for concurrent use.
type Hall struct {
	store         eventlog.Store
	meta          eventlog.KV // nil: ephemeral, no record is kept or looked for
	clock         clock.Clock
	log           *slog.Logger
	retention     time.Duration
	readersMax    int
	partitionsMax int
	stealDelay    time.Duration

	rules   atomic.Pointer[Rules]
	reports atomic.Pointer[func(*Report)]
	watches watches

	manage sync.Mutex // see the package comment; comes before mu

	mu         sync.RWMutex // guards what follows and what Namespace, Hub and Link say it guards
	namespaces []*Namespace // by name
	linkID     uint64
	closed     bool
}

// New takes up what the store keeps: namespaces, hubs and groups, with all their logs opened, so that a log that cannot be opened is
// found at the start and not by the first client. It fails if a record or a log is unreadable.
func New(o Options) (*Hall, error) {
	h := &Hall{
		store:         o.Store,
		clock:         o.Clock,
		log:           o.Log,
		retention:     cmp.Or(o.Retention, retentionDefault),
		readersMax:    cmp.Or(o.ReadersMax, readersMaxDefault),
		partitionsMax: cmp.Or(o.PartitionsMax, partitionsMaxDefault),
		stealDelay:    o.StealDelay,
	}
	if h.store == nil {
		return nil, errors.New("hub: Options.Store is nil")
	}
	if h.readersMax < 1 {
		return nil, fmt.Errorf("hub: Options.ReadersMax: %d is less than 1", h.readersMax)
	}
	if h.partitionsMax < 1 || h.partitionsMax > logicalCount {
		return nil, fmt.Errorf("hub: Options.PartitionsMax: %d is not between 1 and %d", h.partitionsMax, logicalCount)
	}
	if h.clock == nil {
		h.clock = clock.System
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if o.Ephemeral {
		return h, nil
	}
	h.meta = h.store.Meta()
	if err := h.restore(); err != nil {
		return nil, fmt.Errorf("hub: taking up what the store keeps: %w", err)
	}
	for _, b := range h.hubsLocked() { // nobody else has h yet
		b.trim.resume()
	}
	return h, nil
}

// Close cuts every link with kind Closed and stops all timers. The logs stay open: they belong to the store. A second Close does nothing.
func (h *Hall) Close() error {
	h.manage.Lock() // so that no hub comes up behind our back
	h.mu.Lock()
	h.closed = true
	hubs := h.hubsLocked()
	var cuts []pendingCut
	for _, b := range hubs {
		cuts = b.cutAllLocked(cuts, errClosed())
	}
	h.mu.Unlock()
	h.manage.Unlock()
	for _, b := range hubs {
		b.trim.stop()
	}
	h.run(cuts)
	return nil
}

// Namespace gives the namespace of that name in any case, or nil.
func (h *Hall) Namespace(name string) *Namespace {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.namespaceLocked(fold(name))
}

// findLocked gives the place of a namespace, or where it would have to be. The name is folded.
func (h *Hall) findLocked(name string) (int, bool) {
	return slices.BinarySearchFunc(h.namespaces, name, func(n *Namespace, name string) int { return strings.Compare(n.name, name) })
}

// namespaceLocked gives the namespace of that name, folded, or nil.
func (h *Hall) namespaceLocked(name string) *Namespace {
	if i, there := h.findLocked(name); there {
		return h.namespaces[i]
	}
	return nil
}

// addLocked makes a namespace known. There is none of its name.
func (h *Hall) addLocked(n *Namespace) {
	i, _ := h.findLocked(n.name)
	h.namespaces = slices.Insert(h.namespaces, i, n)
}

// Namespaces lists all namespaces by name.
func (h *Hall) Namespaces() []*Namespace {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.namespaces)
}

func (h *Hall) hubsLocked() []*Hub {
	var list []*Hub
	for _, n := range h.namespaces {
		list = append(list, n.hubs...)
	}
	return list
}

// CreateNamespace makes an empty namespace. Kinds: Invalid, Exists, Closed, and those of the store.
func (h *Hall) CreateNamespace(name string) (*Namespace, error) {
	if err := checkName("namespace", name, nameBytesMax); err != nil {
		return nil, err
	}
	h.manage.Lock()
	defer h.manage.Unlock()
	n := h.newNamespace(name)
	h.mu.RLock()
	_, taken := h.findLocked(n.name)
	closed := h.closed
	h.mu.RUnlock()
	if closed {
		return nil, errClosed()
	}
	if taken {
		return nil, errorf(Exists, "The namespace '%s' already exists.", n.name)
	}
	if err := n.keep(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.addLocked(n)
	h.mu.Unlock()
	return n, nil
}

// DeleteNamespace deletes the namespace with its hubs, and cuts their links with kind Updated. Kinds: NotFound, and those of the store,
// after which some of the hubs may be gone.
func (h *Hall) DeleteNamespace(name string) error {
	h.manage.Lock()
	dropped, cuts, err := h.dropNamespace(fold(name))
	h.manage.Unlock()
	h.run(cuts)
	for _, b := range dropped {
		err = errors.Join(err, h.forget(b.id))
	}
	return err
}

// dropNamespace takes away hub by hub, then the namespace. The caller holds manage, and runs cuts and forgets logs without it.
func (h *Hall) dropNamespace(name string) (dropped []*Hub, cuts []pendingCut, err error) {
	n := h.Namespace(name)
	if n == nil {
		return nil, nil, errorf(NotFound, "The namespace '%s' could not be found.", name)
	}
	why := errorf(Updated, "Entity was updated. The namespace '%s' was deleted.", n.name)
	for _, b := range n.Hubs() {
		if cuts, err = b.drop(cuts, why); err != nil {
			return dropped, cuts, err
		}
		dropped = append(dropped, b)
	}
	if err := h.unkeep(n.key(), n.name); err != nil {
		return dropped, cuts, err
	}
	h.mu.Lock()
	h.namespaces = slices.DeleteFunc(h.namespaces, func(other *Namespace) bool { return other == n })
	n.gone = true
	h.mu.Unlock()
	return dropped, cuts, nil
}

func errClosed() *Error {
	return errorf(Closed, "The broker is shutting down. Connect again once it is back.")
}
