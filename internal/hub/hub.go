package hub

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// defaultGroup is always there and cannot be deleted.
const defaultGroup = "$default"

// Hub is one incarnation of an event hub: deleting it and creating it again gives another. It is safe for concurrent use.
type Hub struct {
	namespace  *Namespace
	id         eventlog.HubID // Name is folded
	name       string         // as created
	created    time.Time
	partitions []Partition
	next       atomic.Uint64 // round robin
	trim       trimmer

	// Guarded by hall.mu.
	groups []string // as created, by folded name; $default is the first, as '$' sorts before all that a name may begin with
	links  map[*Link]struct{}
	seats  map[seat][]*Link // readers by what they read, oldest first
	gone   bool             // deleted
}

func (n *Namespace) hubID(rec hubRecord) eventlog.HubID {
	return eventlog.HubID{Namespace: n.name, Name: fold(rec.Name), Incarnation: rec.Incarnation}
}

// newHub opens the logs of the hub that rec describes; who can see it is the caller's business.
func (n *Namespace) newHub(rec hubRecord) (*Hub, error) {
	if rec.Partitions < 1 || rec.Partitions > logicalCount {
		return nil, fmt.Errorf("it has %d partitions", rec.Partitions)
	}
	b := &Hub{
		namespace:  n,
		id:         n.hubID(rec),
		name:       rec.Name,
		created:    rec.Created,
		partitions: make([]Partition, rec.Partitions),
		groups:     []string{defaultGroup},
	}
	b.next.Store(uint64(rec.FirstPartition))
	for _, g := range rec.Groups {
		if i, found := b.findGroup(g); !found {
			b.groups = slices.Insert(b.groups, i, g)
		}
	}
	o := eventlog.Options{First: eventlog.Position{Seq: rec.FirstSeq, Offset: rec.FirstOffset}, Clock: n.hall.clock}
	for i := range b.partitions {
		log, err := n.hall.store.Open(b.id, i, o)
		if err != nil {
			return nil, fmt.Errorf("opening partition %d: %w", i, err)
		}
		b.partitions[i].init(b, i, log)
	}
	b.trim.init(b, rec.Retention)
	return b, nil
}

// Name is the hub's name as it was created.
func (b *Hub) Name() string { return b.name }

// Namespace is where the hub is, or was.
func (b *Hub) Namespace() *Namespace { return b.namespace }

// ID names this incarnation in the store.
func (b *Hub) ID() eventlog.HubID { return b.id }

// Created is in UTC, in whole milliseconds.
func (b *Hub) Created() time.Time { return b.created }

// PartitionCount never changes.
func (b *Hub) PartitionCount() int { return len(b.partitions) }

// PartitionAt gives partition i, which must be below PartitionCount.
func (b *Hub) PartitionAt(i int) *Partition { return &b.partitions[i] }

// Partition finds a partition by its id, a plain decimal number. Kind: OutOfRange.
func (b *Hub) Partition(id string) (*Partition, error) {
	i, err := strconv.ParseUint(id, 10, 31)
	if err != nil || int(i) >= len(b.partitions) || id != b.partitions[i].id {
		return nil, b.errPartition()
	}
	return &b.partitions[i], nil
}

func (b *Hub) errPartition() *Error {
	return errorf(OutOfRange,
		"The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and %d.", len(b.partitions)-1)
}

// Place gives the partition that a key, UTF-8, lands in, as the service places it.
func (b *Hub) Place(key []byte) int { return placeKey(key, len(b.partitions)) }

// Next gives the partition for the next event or batch without key: strictly one after the other.
func (b *Hub) Next() int { return int((b.next.Add(1) - 1) % uint64(len(b.partitions))) }

// Groups lists the groups by folded name, $default first, each as it was created.
func (b *Hub) Groups() []string {
	b.namespace.hall.mu.RLock()
	defer b.namespace.hall.mu.RUnlock()
	return slices.Clone(b.groups)
}

// HasGroup finds a group by its name in any case.
func (b *Hub) HasGroup(name string) bool {
	b.namespace.hall.mu.RLock()
	defer b.namespace.hall.mu.RUnlock()
	_, found := b.findGroup(name)
	return found
}

// findGroup gives the place of a group, or where it would have to be. The caller holds hall.mu or is alone.
func (b *Hub) findGroup(name string) (int, bool) {
	return slices.BinarySearchFunc(b.groups, fold(name), func(have, folded string) int { return strings.Compare(fold(have), folded) })
}

// CreateGroup adds a consumer group. Kinds: Invalid, Exists, NotFound (the hub is gone), and those of the store.
func (b *Hub) CreateGroup(name string) error {
	h := b.namespace.hall
	h.manage.Lock()
	defer h.manage.Unlock()
	if err := b.alive(); err != nil {
		return err
	}
	groups := b.Groups()
	i, found := b.findGroup(name) // groups change under manage only
	if found {
		return errorf(Exists, "The messaging entity '%s' already exists.", b.entity(0, name))
	}
	if err := checkName("consumer group", name, groupNameBytesMax); err != nil {
		return err
	}
	groups = slices.Insert(groups, i, name)
	if err := b.keepGroups(groups); err != nil {
		return err
	}
	h.mu.Lock()
	b.groups = groups
	h.mu.Unlock()
	return nil
}

// DeleteGroup deletes a consumer group and cuts its readers with kind Updated. Kinds: Invalid ($default), NotFound, and those of the
// store.
func (b *Hub) DeleteGroup(name string) error {
	h := b.namespace.hall
	h.manage.Lock()
	cuts, err := b.dropGroup(name)
	h.manage.Unlock()
	h.run(cuts)
	return err
}

// dropGroup is DeleteGroup up to the cuts. The caller holds manage.
func (b *Hub) dropGroup(name string) ([]pendingCut, error) {
	if fold(name) == defaultGroup {
		return nil, errorf(Invalid, "The consumer group '%s' of event hub '%s' cannot be deleted.", defaultGroup, b.name)
	}
	if err := b.alive(); err != nil {
		return nil, err
	}
	groups := b.Groups()
	i, found := b.findGroup(name) // groups change under manage only
	if !found {
		return nil, b.errGroup(0, name, groups)
	}
	group := groups[i]
	groups = slices.Delete(groups, i, i+1)
	if err := b.keepGroups(groups); err != nil {
		return nil, err
	}
	h := b.namespace.hall
	h.mu.Lock()
	defer h.mu.Unlock()
	b.groups = groups
	why := errorf(Updated, "Entity was updated. The consumer group '%s' of event hub '%s' was deleted.", group, b.name)
	return b.cutLocked(nil, why, func(l *Link) bool { return l.info.Kind == Reader && l.info.Group == group }), nil
}

// alive says NotFound once the hub is deleted.
func (b *Hub) alive() error {
	b.namespace.hall.mu.RLock()
	defer b.namespace.hall.mu.RUnlock()
	if b.gone {
		return b.namespace.errNotFound(b.name)
	}
	return nil
}

func (b *Hub) errGroup(partition int, group string, have []string) *Error {
	err := errorf(NotFound, "The messaging entity '%s' could not be found.", b.entity(partition, group))
	err.Hint = suggest("consumer groups", group, have)
	return err
}

// entity names a group at a partition as the service's texts do.
func (b *Hub) entity(partition int, group string) string {
	return fmt.Sprintf("%s:eventhub:%s~%d|%.256s", b.namespace.name, b.id.Name, b.partitions[partition].Label(), fold(group))
}

// drop takes the hub out of sight for good and appends the cuts of its links to cuts. The caller holds manage; it runs the cuts and
// then deletes the logs without it, in this order, so that a peer hears of the deletion and not of a closed log.
func (b *Hub) drop(cuts []pendingCut, why *Error) ([]pendingCut, error) {
	h := b.namespace.hall
	if err := h.unkeepHub(b.id); err != nil {
		return cuts, err
	}
	b.trim.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	b.namespace.hubs = slices.DeleteFunc(b.namespace.hubs, func(other *Hub) bool { return other == b })
	b.gone = true
	return b.cutAllLocked(cuts, why), nil
}
