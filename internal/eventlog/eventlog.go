// Package eventlog is the contract of evhub's logs: ordered records that survive.
//
// A Store holds the logs of many partitions and what they share; a Log is one partition's records in order. The contract is written so
// that nothing under a connection ever waits for storage: Append and Watch take a callback, Read gives only what is in memory.
// Package logtest puts the contract to every implementation.
//
// What a user needs of a log is that an acknowledged event is there, once, in order, under the same sequence number, for as long as its
// retention says; what could break that is listed at each method.
package eventlog

import (
	"errors"
	"fmt"
	"math"

	"github.com/evhub-dev/evhub/internal/clock"
)

// Position is where a record stands in its partition.
type Position struct {
	Seq    int64 // from Options.First.Seq, rising by 1; a log on a foreign cluster may leave gaps
	Offset int64 // grows with Seq by Record.Step
	TimeMs int64 // when the log took the record: Unix milliseconds, never falling within a partition
}

// Record is one event as the log sees it: a position and opaque bytes.
type Record struct {
	Position        // set by Read; on the way in Batch.First says it
	Step     int64  // how far the next record's offset lies beyond this one's; set by the door, at least 1
	Data     []byte // the envelope (package event)
	Tail     []byte // on the way in, bytes that follow Data: a door need not bring together what it has in two places; nil from Read
}

// Size is how many bytes the record is stored as.
func (r *Record) Size() int { return len(r.Data) + len(r.Tail) }

// ProducerStamp identifies a batch of an idempotent producer. The zero value means none.
type ProducerStamp struct {
	ID    int64
	Epoch int16
	Seq   int32 // number of the batch's first record
	Set   bool
}

// Batch is a group of records that become visible together. It is owned, and usually pooled, by the caller; it belongs to the log from
// Append until Done.
type Batch struct {
	Records  []Record
	Producer ProducerStamp
	More     bool         // the caller is about to append further batches: no Wake is told to be the last
	Done     func(*Batch) // bound once for each pooled Batch, so that an append needs no closure
	First    Position     // of the first record; set before Done
	Err      error        // set before Done; ErrUnknown: may yet turn out stored; any other: never will be
}

// Records is what a Read gave. The zero value is ready; it may be used for one Read after the other.
type Records struct {
	List []Record

	hold    func(any) // gives the log its memory back; set with holder by the log
	holders []any
}

// Hold is for logs: it keeps h, a piece of the log's memory, until Release calls give(h).
func (r *Records) Hold(h any, give func(any)) {
	r.hold = give
	r.holders = append(r.holders, h)
}

// Release gives the memory behind List back to the log. The Data read until now must not be used any more.
func (r *Records) Release() {
	for i, h := range r.holders {
		r.hold(h)
		r.holders[i] = nil
	}
	r.holders = r.holders[:0]
	clear(r.List)
	r.List = r.List[:0]
}

// Watcher is one waiting reader. A Watcher waits at one log at a time; Wake is set once, before its first Watch.
type Watcher struct {
	// Wake may not block. It may use its goroutine for a moment, as for a write to a socket that takes it at once, if it is the last: then no
	// other callback waits behind it. A log never has to say so.
	Wake func(last bool)

	// From and Slot belong to the log while the Watcher is registered there, and are guarded by the log's lock.
	From int64
	Slot int // index+1 in the log's list, 0 if not registered
}

// Log is one partition's records in order. It is safe for concurrent use.
type Log interface {
	// Append adds the batch at the end. It never blocks and copies every Data and Tail before it returns. The order of calls is the order of Seq is
	// the order of Done. A batch becomes visible whole, and before its Done. Done runs exactly once, perhaps before Append returns and
	// perhaps on another goroutine, while no lock of the log is held; it may not block. After a failed batch every later one that is not
	// yet durable fails too. Over budget the error is ErrBusy, on a full disk ErrFull, after Close ErrClosed.
	Append(*Batch)

	// Ahead says where the next Append will probably copy to. A log that knows of no such place gives the zero value.
	Ahead() Ahead

	// Read appends to into what is visible from sequence number from on and in memory: at least one record if there is any, and further
	// ones only while all Data together is within bytesMax bytes. No record and no error means: Watch. Data stays as it is until
	// into.Release.
	// Errors: *TrimmedError (from is no longer kept), *BeyondError (from > State().Next), *CorruptError, ErrClosed.
	Read(from int64, bytesMax int, into *Records) error

	// Watch calls w.Wake once, without blocking, as soon as Read(from) would give records or an error; at once if it already would. It is
	// also what starts a read of cold records from a disk or a cluster. Wake may run inside Watch and inside Append, while no lock of
	// the log is held. Watching again replaces the earlier wish.
	Watch(from int64, w *Watcher)

	// Unwatch takes the wish back. No Wake begins after it returns: it waits for one that is under way, except when it is called from a
	// Done or a Wake. So the caller may not hold a lock that Wake takes.
	Unwatch(w *Watcher)

	// Seek finds the first record that matches q and calls done with its position, perhaps before it returns. Where no record matches
	// yet, the position is that of the next record to come, with TimeMs 0.
	Seek(q Query, done func(Position, error))

	State() State

	// Trim forgets every record with a sequence number below before, at most all there are. Readers there get a TrimmedError.
	Trim(before int64)

	// Close refuses further appends, runs every Done, and wakes every watcher, whose Read then says ErrClosed. It returns when that is
	// done, except when it is called from a Done or a Wake. Closing again is no error.
	Close() error
}

// By is what a Query compares.
type By uint8

const (
	BySeq By = iota
	ByOffset
	ByTime // Unix milliseconds
)

// Query asks for the first record at or after a value, or only after it.
type Query struct {
	By    By
	Value int64
	After bool // strictly after Value
}

// State is a snapshot of a log. All of it comes from one moment.
type State struct {
	First  int64    // sequence number of the first kept record; Next if none is kept
	Next   Position // what the next record will get; TimeMs is 0
	Last   Position // of the last record ever stored, kept or not; Seq is First's start - 1 and Offset -1 if there was none
	Bytes  int64    // memory or disk taken by the kept records
	Failed error    // why the log refuses appends, or nil
}

// Empty says whether no record is kept.
func (s State) Empty() bool { return s.First == s.Next.Seq }

// HubID names one incarnation of a hub: deleting a hub and creating it again under the same name gives another one.
type HubID struct {
	Namespace   string
	Name        string
	Incarnation string
}

// Options are for opening one partition's log.
type Options struct {
	First Position    // what the first record of a new log gets; TimeMs is ignored
	Clock clock.Clock // nil: the store's, which is clock.System if it was given none
}

// Store owns what partitions share: the durability level, the memory budget, the directory lock, small state. Safe for concurrent use.
type Store interface {
	Open(hub HubID, partition int, o Options) (Log, error) // the same Log for the same arguments until it is deleted
	Delete(HubID) error                                    // closes and forgets all logs of the hub, if there are any
	List() ([]HubID, error)                                // hubs that have logs, in a stable order
	Meta() KV
	Close() error // closes every log; Open says ErrClosed then, and closing again is no error
}

// KV is small state with compare-and-swap: hubs, groups, policies. Safe for concurrent use.
type KV interface {
	// Get gives a copy of the value and its version, or version 0 if there is none.
	Get(key string) (value []byte, version int64, err error)
	// Put stores value if the current version is still the given one (0: there is none), else it fails with ErrConflict. No key gets
	// the same version twice.
	Put(key string, value []byte, version int64) (newVersion int64, err error)
	// Delete removes key if its version is still the given one, else it fails with ErrConflict.
	Delete(key string, version int64) error
	// Keys lists the keys with a prefix in ascending order.
	Keys(prefix string) ([]string, error)
}

var (
	ErrBusy     = errors.New("eventlog: over budget, try again")
	ErrFull     = errors.New("eventlog: disk full")
	ErrClosed   = errors.New("eventlog: closed")
	ErrUnknown  = errors.New("eventlog: outcome unknown, the records may yet turn out stored")
	ErrConflict = errors.New("eventlog: version conflict")
)

// TrimmedError says that records were asked for that are no longer kept.
type TrimmedError struct{ First int64 } // the first sequence number that is

func (e *TrimmedError) Error() string {
	return fmt.Sprintf("eventlog: trimmed, first kept sequence number is %d", e.First)
}

// BeyondError says that records were asked for beyond the next one to come.
type BeyondError struct{ Next int64 }

func (e *BeyondError) Error() string {
	return fmt.Sprintf("eventlog: beyond the end, next sequence number is %d", e.Next)
}

// CorruptError says which bytes of which file are not what was written.
type CorruptError struct {
	File   string
	Offset int64
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("eventlog: corrupt: %s at byte %d: %s", e.File, e.Offset, e.Detail)
}

// OffsetNone is the offset before the first record.
const OffsetNone = -1

// SeqMax bounds sequence numbers and offsets.
const SeqMax = math.MaxInt64 / 2
