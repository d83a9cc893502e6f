package evhubtest

import (
	"context"
	"slices"
	"testing"

	"github.com/evhub-dev/evhub/internal/kit"
)

// Event is an event as a test sees it. What Publish and recorders give is a copy of what is stored, which the test may change.
//
//	type Event struct {
//		Body           []byte // of one whose AMQP body is neither data nor text nor binary: the value as JSON
//		PartitionKey   string
//		Partition      string // a decimal number
//		Offset         string // a decimal number
//		ID             string // message-id
//		ContentType    string
//		SequenceNumber int64
//		EnqueuedAt     time.Time // UTC, in whole milliseconds
//		Properties     map[string]any
//	}
type Event = kit.Event

// Entry is a line of a Timeline: something a client did, and what it was answered.
//
//	type Entry struct {
//		Order     uint64 // rises with each entry
//		At        time.Time
//		Op        string // connect, auth, attach, send, deliver, manage
//		Hub       string
//		Partition string
//		Group     string // readers only
//		Client    string // container id
//		Agent     string // what the client calls its software
//		Link      string // name of the receiver, if it gave one
//		Records   int    // events sent or delivered
//		Fault     string // id of the fault that answered, "f1"
//		Did       string // what it did
//		Refused   string // what the peer was told
//		Kind      string // of the refusal, "busy" say
//		Condition string // the same in AMQP, if it has a word for it
//	}
//
//	func (e *Entry) String() string // one line
type Entry = kit.Entry

// Publish stores events and returns once they are stored, past all faults. It gives them back with their places. An event with a Partition
// goes there, else its PartitionKey chooses; one with neither goes where the hub's turn is.
//
// On an emulator or Azure they are sent over AMQP and come back as they were given: nobody says where they were stored.
func (b *Broker) Publish(t testing.TB, hub string, events ...Event) []Event {
	t.Helper()
	b.mustBeHere(t)
	ctx, cancel := b.within()
	defer cancel()
	if b.remote != nil {
		if err := b.remote.publish(ctx, hub, events); err != nil {
			t.Fatal("evhubtest: publish: " + err.Error())
		}
		return slices.Clone(events)
	}
	stored, err := b.space.Publish(ctx, hub, events...)
	if err != nil {
		t.Fatal("evhubtest: publish: " + explain(err))
	}
	return stored
}

func (b *Broker) mustBeHere(t testing.TB) {
	if b.remote != nil {
		return
	}
	if err := b.foreign(); err != nil {
		t.Helper()
		t.Fatal("evhubtest: " + explain(err))
	}
}

// Mark is a moment in the life of a hub: for each partition the sequence number that its next event gets. What is stored from then on is
// after the mark, however late anybody looks, so that a test needs no pause between listening and acting. It never changes.
type Mark struct {
	hub  string
	at   kit.Mark // in process
	next []int64
}

// Positions are the sequence numbers that come next, by partition.
func (m Mark) Positions() []int64 { return slices.Clone(m.next) }

// Mark takes a mark of a hub: what was acknowledged before is before it, what is sent after is after it.
func (b *Broker) Mark(hub string) Mark {
	if b.t != nil {
		b.t.Helper()
	}
	m, err := b.mark(hub)
	if err != nil {
		b.fail(err)
	}
	return m
}

func (b *Broker) mark(name string) (Mark, error) {
	if b.remote != nil {
		ctx, cancel := b.within()
		defer cancel()
		next, err := b.remote.positions(ctx, name)
		return Mark{hub: name, next: next}, err
	}
	h, err := b.hub(name)
	if err != nil {
		return Mark{}, err
	}
	m := Mark{hub: name, at: b.space.Mark(), next: make([]int64, h.PartitionCount())}
	for id, next := range m.at.Positions()[h.Name()] {
		p, err := h.Partition(id)
		if err != nil {
			return Mark{}, err
		}
		m.next[p.Index()] = next
	}
	return m, nil
}

// WaitReaders waits until n readers of a group, or more, are attached to the hub with credit: from then on they miss nothing, and no sleep
// is needed before the test acts. On an emulator or Azure, which do not tell, it skips the test.
func (b *Broker) WaitReaders(t testing.TB, hub, group string, n int) {
	t.Helper()
	b.inProcess(t, "WaitReaders")
	b.mustBeHere(t)
	ctx, cancel := b.within()
	defer cancel()
	if _, err := b.space.WaitReaders(ctx, hub, group, n); err != nil {
		t.Fatal("evhubtest: " + explain(err))
	}
}

// inProcess skips the test where the broker is somebody else's.
func (b *Broker) inProcess(t testing.TB, what string) {
	if b.remote != nil {
		t.Helper()
		t.Skipf("evhubtest: %s needs the broker in process, not EVHUBTEST_TARGET=%s", what, b.remote.target)
	}
}

// Quiesce waits until the broker has looked at every byte it has received and has settled every delivery. In a bubble it waits for more:
// until every other goroutine waits. It sees bytes, not intentions: outside of a bubble, what a client has not written yet it cannot know.
// On an emulator or Azure it does nothing.
//
// It fails only with ctx. A goroutine of a bubble that calls it, or a Want that proves absence, may not do so while another is in
// synctest.Wait.
func (b *Broker) Quiesce(ctx context.Context) error {
	if b.remote != nil {
		return nil
	}
	if err := b.foreign(); err != nil {
		return err
	}
	return b.space.Quiesce(ctx)
}

// Timeline is what happened on the wire, oldest first: connections, credentials, links that were attached, events that were sent and
// delivered, properties that were asked for, and what was refused. It has the last thousand entries; equal ones that follow each other
// are one. On an emulator or Azure it is empty.
func (b *Broker) Timeline() []Entry {
	if b.remote != nil {
		return nil
	}
	return b.space.Timeline()
}
