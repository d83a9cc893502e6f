package hub

import (
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// evictedQuietMs ends a burst of evictions: after so many milliseconds without one, the next is logged again.
const evictedQuietMs = 60_000

// Totals are a partition's counters since this hall took it up.
type Totals struct {
	Namespace  string
	Hub        string
	Partition  int
	RecordsIn  int64 // offered to the log, those it refused included
	BytesIn    int64 // of the same, as stored
	RecordsOut int64 // sent to readers
	BytesOut   int64
	Evicted    int64 // records that went before their time, over budget
	Readers    int   // links that read here now
}

// Totals is a snapshot for metrics, by namespace, hub and partition.
func (h *Hall) Totals() []Totals {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var list []Totals
	for _, b := range h.hubsLocked() {
		first := len(list)
		for i := range b.partitions {
			list = append(list, b.partitions[i].totalsLocked())
		}
		for l := range b.links {
			if l.info.Kind == Reader {
				t := &list[first+l.info.Partition]
				t.Readers++
				t.RecordsOut += l.records.Load()
				t.BytesOut += l.bytes.Load()
			}
		}
	}
	return list
}

func (p *Partition) totalsLocked() Totals {
	return Totals{
		Namespace: p.hub.namespace.name, Hub: p.hub.name, Partition: p.index,
		RecordsIn: p.recordsIn.Load(), BytesIn: p.bytesIn.Load(),
		RecordsOut: p.recordsOut, BytesOut: p.bytesOut, Evicted: p.evicted.Load(),
	}
}

// Evicted is for stores: over budget, so many records of a partition, beginning with sequence number first, were forgotten before their
// time. It may be called under a lock of the store. One line is logged for each burst.
func (h *Hall) Evicted(id eventlog.HubID, partition int, first, records int64) {
	p := h.find(id, partition)
	if p == nil {
		return // deleted meanwhile
	}
	p.evicted.Add(records)
	now := h.clock.Now().UnixMilli()
	if last := p.evictedMs.Swap(now); last == 0 || now-last > evictedQuietMs {
		h.log.Warn("over budget: the oldest events go before their time",
			"ns", id.Namespace, "hub", p.hub.name, "part", partition, "seq", first, "records", records)
	}
}

func (h *Hall) find(id eventlog.HubID, partition int) *Partition {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := h.namespaceLocked(id.Namespace)
	if n == nil {
		return nil
	}
	b := n.hubLocked(id.Name)
	if b == nil || b.id != id || partition < 0 || partition >= len(b.partitions) {
		return nil
	}
	return &b.partitions[partition]
}
