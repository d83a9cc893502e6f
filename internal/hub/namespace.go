package hub

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// Namespace is a set of hubs that no other namespace sees. It is safe for concurrent use.
type Namespace struct {
	hall *Hall
	name string // folded

	// Guarded by hall.mu.
	hubs []*Hub // by id.Name
	gone bool   // deleted
}

// Spec describes a new hub.
type Spec struct {
	Name           string            // up to 256 letters, digits, '.', '-' and '_'
	Partitions     int               // 1 to Options.PartitionsMax
	Groups         []string          // besides $default, which is always there
	Retention      time.Duration     // 0: Options.Retention; negative: for as long as the store has room
	First          eventlog.Position // what the first record of each partition gets
	FirstPartition int               // where the round robin for events without key begins
}

func (h *Hall) newNamespace(name string) *Namespace {
	return &Namespace{hall: h, name: fold(name)}
}

// Name is in lower case.
func (n *Namespace) Name() string { return n.name }

// Hub finds a hub by its name in any case. Kind: NotFound, with a Hint about what there is.
func (n *Namespace) Hub(name string) (*Hub, error) {
	n.hall.mu.RLock()
	b := n.hubLocked(fold(name))
	n.hall.mu.RUnlock()
	if b != nil {
		return b, nil
	}
	var have []string
	for _, b := range n.Hubs() {
		have = append(have, b.name)
	}
	err := n.errNotFound(name)
	err.Hint = suggest("hubs", name, have)
	return nil, err
}

func (n *Namespace) errNotFound(hub string) *Error {
	return errorf(NotFound, "The messaging entity '%s:eventhub:%.256s' could not be found.", n.name, fold(hub))
}

// Hubs lists all hubs by name.
func (n *Namespace) Hubs() []*Hub {
	n.hall.mu.RLock()
	defer n.hall.mu.RUnlock()
	return slices.Clone(n.hubs)
}

// findLocked gives the place of a hub, or where it would have to be. The name is folded.
func (n *Namespace) findLocked(name string) (int, bool) {
	return slices.BinarySearchFunc(n.hubs, name, func(b *Hub, name string) int { return strings.Compare(b.id.Name, name) })
}

// hubLocked gives the hub of that name, folded, or nil.
func (n *Namespace) hubLocked(name string) *Hub {
	if i, there := n.findLocked(name); there {
		return n.hubs[i]
	}
	return nil
}

// addLocked makes a hub known. There is none of its name.
func (n *Namespace) addLocked(b *Hub) {
	i, _ := n.findLocked(b.id.Name)
	n.hubs = slices.Insert(n.hubs, i, b)
}

// CreateHub makes a hub and opens its logs. Kinds: Invalid, Exists, NotFound (the namespace is gone), Closed, and those of the store.
func (n *Namespace) CreateHub(s Spec) (*Hub, error) {
	if err := n.check(s); err != nil {
		return nil, err
	}
	n.hall.manage.Lock()
	defer n.hall.manage.Unlock()
	if err := n.vacant(s.Name); err != nil {
		return nil, err
	}
	rec := hubRecord{
		Name:           s.Name,
		Incarnation:    strconv.FormatUint(rand.Uint64(), 16),
		Created:        n.hall.clock.Now().UTC().Truncate(time.Millisecond),
		Partitions:     s.Partitions,
		Groups:         s.Groups,
		Retention:      s.Retention,
		FirstSeq:       s.First.Seq,
		FirstOffset:    s.First.Offset,
		FirstPartition: s.FirstPartition,
	}
	if err := n.keepHub(rec); err != nil {
		return nil, err
	}
	b, err := n.newHub(rec)
	if err != nil {
		n.undo(n.hubID(rec))
		return nil, storeError(err, "'%s' could not be created", s.Name)
	}
	n.hall.mu.Lock()
	n.addLocked(b)
	n.hall.mu.Unlock()
	return b, nil
}

// vacant says whether a hub of that name can be created now. The caller holds manage.
func (n *Namespace) vacant(name string) error {
	n.hall.mu.RLock()
	defer n.hall.mu.RUnlock()
	switch {
	case n.hall.closed:
		return errClosed()
	case n.gone:
		return errorf(NotFound, "The namespace '%s' could not be found.", n.name)
	case n.hubLocked(fold(name)) != nil:
		return errorf(Exists, "The messaging entity '%s:eventhub:%s' already exists.", n.name, fold(name))
	}
	return nil
}

// undo takes back a hub whose logs could not all be opened. If that fails as well, the next New finds the hub, or deletes the rest.
func (n *Namespace) undo(id eventlog.HubID) {
	err := n.hall.unkeepHub(id)
	if err == nil {
		err = n.hall.forget(id)
	}
	if err != nil {
		n.hall.log.Error("a hub that could not be created could not be taken back either", "ns", id.Namespace, "hub", id.Name, "err", err)
	}
}

func (n *Namespace) check(s Spec) error {
	if err := checkName("hub", s.Name, nameBytesMax); err != nil {
		return err
	}
	if s.Partitions < 1 || s.Partitions > n.hall.partitionsMax {
		return errorf(Invalid, "The hub '%s' cannot have %d partitions; it must have between 1 and %d.",
			s.Name, s.Partitions, n.hall.partitionsMax)
	}
	if s.FirstPartition < 0 || s.FirstPartition >= s.Partitions {
		return errorf(Invalid, "The hub '%s' cannot begin with partition %d; it has partitions 0 to %d.",
			s.Name, s.FirstPartition, s.Partitions-1)
	}
	if f := s.First; f.Seq < 0 || f.Seq > eventlog.SeqMax || f.Offset < 0 || f.Offset > eventlog.SeqMax {
		return errorf(Invalid, "The hub '%s' cannot begin at sequence number %d and offset %d; both must be between 0 and %d.",
			s.Name, f.Seq, f.Offset, int64(eventlog.SeqMax))
	}
	for _, g := range s.Groups {
		if fold(g) == defaultGroup {
			continue
		}
		if err := checkName("consumer group", g, groupNameBytesMax); err != nil {
			return err
		}
	}
	return nil
}

// DeleteHub deletes the hub with its events, and cuts its links with kind Updated. Kinds: NotFound, and those of the store.
func (n *Namespace) DeleteHub(name string) error {
	n.hall.manage.Lock()
	b, err := n.Hub(name)
	if err != nil {
		n.hall.manage.Unlock()
		return err
	}
	cuts, err := b.drop(nil, errorf(Updated, "Entity was updated. The event hub '%s' was deleted.", b.name))
	n.hall.manage.Unlock()
	if err != nil {
		return err
	}
	n.hall.run(cuts)
	return n.hall.forget(b.id)
}
