package hub

import (
	"strconv"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// Partition is one partition of a hub. It is safe for concurrent use.
type Partition struct {
	hub   *Hub
	index int
	id    string
	log   eventlog.Log

	recordsIn atomic.Int64
	bytesIn   atomic.Int64
	evicted   atomic.Int64 // records that went before their time
	evictedMs atomic.Int64 // when last, by the clock

	// Guarded by hall.mu: what links that are gone took out. Live links are added in Totals.
	recordsOut int64
	bytesOut   int64
}

func (p *Partition) init(b *Hub, i int, log eventlog.Log) {
	p.hub, p.index, p.id, p.log = b, i, strconv.Itoa(i), log
}

// Index counts from 0.
func (p *Partition) Index() int { return p.index }

// ID is Index as text.
func (p *Partition) ID() string { return p.id }

// Hub is the hub the partition belongs to.
func (p *Partition) Hub() *Hub { return p.hub }

// Label is the number that the service's trackers and texts name this partition by.
func (p *Partition) Label() int { return bucketLast(p.index, len(p.hub.partitions)) }

// Log is where the records are. Append through the partition, not through the log: else nothing is counted and retention may sleep.
func (p *Partition) Log() eventlog.Log { return p.log }

// State is the log's.
func (p *Partition) State() eventlog.State { return p.log.State() }

// Append passes the batch to the log, under the log's contract. It counts what is offered, whether or not the log then takes it.
func (p *Partition) Append(batch *eventlog.Batch) {
	var bytes int64
	for i := range batch.Records {
		bytes += int64(batch.Records[i].Size())
	}
	p.recordsIn.Add(int64(len(batch.Records)))
	p.bytesIn.Add(bytes)
	p.log.Append(batch) // the batch is not ours any more
	p.hub.trim.appended()
}

// Seek is the log's Seek, except that it refuses a start beyond the end with kind PositionBeyond: an offset or sequence number that
// even the next record to come would not match. After the last record, and at the next one, is allowed: so clients resume. A value
// before the first kept record finds that one. done runs once, perhaps before Seek returns.
func (p *Partition) Seek(q eventlog.Query, done func(eventlog.Position, error)) {
	s := p.log.State()
	switch {
	case q.By == eventlog.ByOffset && beyond(q, s.Next.Offset):
		done(eventlog.Position{}, errorf(PositionBeyond, "The supplied offset '%d' is invalid. The last offset in the system is '%d'",
			q.Value, s.Last.Offset))
	case q.By == eventlog.BySeq && beyond(q, s.Next.Seq):
		done(eventlog.Position{}, errorf(PositionBeyond,
			"The supplied sequence number '%d' is invalid. The last sequence number in the system is '%d'", q.Value, s.Last.Seq))
	default:
		p.log.Seek(q, done)
	}
}

func beyond(q eventlog.Query, next int64) bool {
	return q.Value > next || q.After && q.Value == next
}
