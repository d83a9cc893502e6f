package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// What the hall keeps in the store's Meta, as JSON:
//
//	ns/<namespace>                          {}
//	ns/<namespace>/hub/<name>               hubRecord
//	gone/<namespace>/<name>/<incarnation>   {}: the logs are to be deleted, unless the hub still has its record
//
// Names in keys are folded, and escaped, since they may hold a '/'.
const (
	keyPrefix = "ns/"
	keyHub    = "/hub/"
	keyGone   = "gone/"
)

// emptyRecord says all with its key.
type emptyRecord struct{}

type hubRecord struct {
	Name           string        `json:"name"` // as created, not folded
	Incarnation    string        `json:"incarnation"`
	Created        time.Time     `json:"created"`
	Partitions     int           `json:"partitions"`
	Groups         []string      `json:"groups,omitempty"`    // without $default
	Retention      time.Duration `json:"retention,omitempty"` // nanoseconds; 0: the hall's
	FirstSeq       int64         `json:"firstSeq,omitempty"`
	FirstOffset    int64         `json:"firstOffset,omitempty"`
	FirstPartition int           `json:"firstPartition,omitempty"`
}

func (n *Namespace) key() string { return keyPrefix + url.PathEscape(n.name) }

func hubKey(id eventlog.HubID) string {
	return keyPrefix + url.PathEscape(id.Namespace) + keyHub + url.PathEscape(id.Name)
}

func goneKey(id eventlog.HubID) string {
	return keyGone + url.PathEscape(id.Namespace) + "/" + url.PathEscape(id.Name) + "/" + id.Incarnation
}

// unescapeKey splits what follows a key's prefix into names.
func unescapeKey(key string) ([]string, error) {
	names := strings.Split(key, "/")
	for i := range names {
		var err error
		if names[i], err = url.PathUnescape(names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// restore takes up what an earlier hall kept.
func (h *Hall) restore() error {
	keys, err := h.meta.Keys(keyPrefix)
	if err != nil {
		return fmt.Errorf("listing records: %w", err)
	}
	for _, key := range keys { // ascending, so a namespace comes before its hubs
		if err := h.restoreKey(key); err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
	}
	if err := h.finishDeletes(); err != nil {
		return err
	}
	return h.reportUnknown()
}

func (h *Hall) restoreKey(key string) error {
	names, err := unescapeKey(strings.TrimPrefix(key, keyPrefix)) // namespace, or namespace, "hub", hub
	if err != nil || len(names) != 1 && len(names) != 3 {
		return errors.New("it names no namespace and no hub")
	}
	nsName := names[0]
	n := h.namespaceLocked(nsName) // nobody else has h yet
	if n == nil {
		n = h.newNamespace(nsName)
		h.addLocked(n)
	}
	if len(names) == 1 {
		return nil
	}
	hubName := names[2]
	value, _, err := h.meta.Get(key)
	if err != nil {
		return err
	}
	var rec hubRecord
	if err := json.Unmarshal(value, &rec); err != nil {
		return err
	}
	if fold(rec.Name) != hubName {
		return fmt.Errorf("it describes hub %q", rec.Name)
	}
	b, err := n.newHub(rec)
	if err != nil {
		return err
	}
	n.addLocked(b)
	return nil
}

// finishDeletes deletes the logs of hubs whose deletion was cut short. A hub that still has its record was not deleted.
func (h *Hall) finishDeletes() error {
	keys, err := h.meta.Keys(keyGone)
	if err != nil {
		return fmt.Errorf("listing records: %w", err)
	}
	for _, key := range keys {
		names, err := unescapeKey(strings.TrimPrefix(key, keyGone))
		if err != nil || len(names) != 3 {
			return fmt.Errorf("record %q: it names no hub", key)
		}
		id := eventlog.HubID{Namespace: names[0], Name: names[1], Incarnation: names[2]}
		if h.find(id, 0) != nil {
			err = h.unkeep(key, id.Name)
		} else {
			err = h.forget(id)
		}
		if err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
	}
	return nil
}

// reportUnknown names logs that no record speaks of. They are left alone: it may be the records that were lost.
func (h *Hall) reportUnknown() error {
	stored, err := h.store.List()
	if err != nil {
		return fmt.Errorf("listing logs: %w", err)
	}
	for _, id := range stored {
		if h.find(id, 0) == nil {
			h.log.Warn("the store has logs of a hub that it has no record of; they are kept and cannot be read",
				"ns", id.Namespace, "hub", id.Name, "incarnation", id.Incarnation)
		}
	}
	return nil
}

// keep stores the record of a new namespace.
func (n *Namespace) keep() error {
	if n.hall.meta == nil {
		return nil
	}
	return n.hall.keepNew(n.key(), emptyRecord{}, n.name)
}

// keepHub stores the record of a new hub.
func (n *Namespace) keepHub(rec hubRecord) error {
	if n.hall.meta == nil {
		return nil
	}
	return n.hall.keepNew(hubKey(n.hubID(rec)), rec, rec.Name)
}

// keepNew stores a record that must not exist yet.
func (h *Hall) keepNew(key string, rec any, name string) error {
	_, err := h.meta.Put(key, encode(rec), 0)
	if errors.Is(err, eventlog.ErrConflict) {
		return &Error{Kind: Exists, Text: fmt.Sprintf("The name '%s' is taken already.", name), Err: err}
	}
	if err != nil {
		return storeError(err, "'%s' could not be created", name)
	}
	return nil
}

// unkeep removes a record. One that is not there is removed.
func (h *Hall) unkeep(key, name string) error {
	if h.meta == nil {
		return nil
	}
	_, version, err := h.meta.Get(key)
	if err == nil && version != 0 {
		err = h.meta.Delete(key, version)
	}
	if err != nil {
		return storeError(err, "'%s' could not be deleted", name)
	}
	return nil
}

// unkeepHub removes a hub's record; from then on the hub does not exist. Its logs are marked first, so that whatever happens they are
// deleted with it. The caller holds manage, and calls forget without it.
func (h *Hall) unkeepHub(id eventlog.HubID) error {
	if h.meta == nil {
		return nil
	}
	_, err := h.meta.Put(goneKey(id), encode(emptyRecord{}), 0)
	if err != nil && !errors.Is(err, eventlog.ErrConflict) { // marked by an earlier attempt
		return storeError(err, "'%s' could not be deleted", id.Name)
	}
	return h.unkeep(hubKey(id), id.Name)
}

// forget deletes the logs of a hub that has no record any more.
func (h *Hall) forget(id eventlog.HubID) error {
	if err := h.store.Delete(id); err != nil {
		return storeError(err, "'%s' is deleted, but not all of its space could be freed", id.Name)
	}
	return h.unkeep(goneKey(id), id.Name)
}

// keepGroups rewrites the hub's record with these groups, $default first. The caller holds manage.
func (b *Hub) keepGroups(groups []string) error {
	meta := b.namespace.hall.meta
	if meta == nil {
		return nil
	}
	value, version, err := meta.Get(hubKey(b.id))
	if err == nil && version == 0 {
		return b.namespace.errNotFound(b.name) // another process on the same store deleted it
	}
	var rec hubRecord
	if err == nil {
		err = json.Unmarshal(value, &rec)
	}
	if err != nil {
		return storeError(err, "the groups of '%s' could not be changed", b.name)
	}
	rec.Groups = groups[1:] // without $default
	if _, err := meta.Put(hubKey(b.id), encode(rec), version); err != nil {
		return storeError(err, "the groups of '%s' could not be changed", b.name)
	}
	return nil
}

func encode(rec any) []byte {
	value, err := json.Marshal(rec)
	if err != nil {
		panic("BUG: record cannot be encoded: " + err.Error())
	}
	return value
}

// storeError wraps a failure of the store.
func storeError(err error, format string, args ...any) *Error {
	return &Error{Kind: KindOf(err), Text: fmt.Sprintf(format, args...), Err: err}
}
