package kit

import (
	"context"
	"fmt"

	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// eventBytesMax is the service's limit for one event.
const eventBytesMax = 1 << 20

// Publish stores events in a hub, past all faults, and gives them back with their places. An event with a Partition goes there, else its
// PartitionKey chooses; one with neither goes where the hub's turn is. Events of one partition are stored in the order given, and together.
//
// All are looked at before any is stored. Kinds: NotFound, OutOfRange, Invalid, TooLarge, and those of the log: after these, and when the
// context ends, events of other partitions may be stored.
func (s *Space) Publish(ctx context.Context, hubName string, events ...Event) ([]Event, error) {
	h, err := s.ns.Hub(hubName)
	if err != nil {
		return nil, err
	}
	var loads []*load
	for i := range events {
		p, err := target(h, &events[i])
		if err != nil {
			return nil, err
		}
		l := loadFor(&loads, p)
		if err := l.add(i, &events[i]); err != nil {
			return nil, err
		}
	}
	for _, l := range loads {
		l.store()
	}
	stored := make([]Event, len(events))
	for _, l := range loads {
		if err := l.wait(ctx, events, stored); err != nil {
			return nil, err
		}
	}
	turns := s.turnsOf(h)
	for _, l := range loads {
		turns.note(l.p.ID(), l.p.State().Next.Seq)
	}
	return stored, nil
}

func target(h *hub.Hub, e *Event) (*hub.Partition, error) {
	switch {
	case e.Partition != "":
		return h.Partition(e.Partition)
	case e.PartitionKey != "":
		return h.PartitionAt(h.Place([]byte(e.PartitionKey))), nil
	}
	return h.PartitionAt(h.Next()), nil
}

// load is what goes into one partition.
type load struct {
	eventlog.Batch
	p     *hub.Partition
	index []int // of each record in what was published
	done  chan struct{}
}

func loadFor(loads *[]*load, p *hub.Partition) *load {
	for _, l := range *loads {
		if l.p == p {
			return l
		}
	}
	l := &load{p: p, done: make(chan struct{})}
	*loads = append(*loads, l)
	return l
}

func (l *load) add(index int, e *Event) error {
	plain := event.Plain{ID: e.ID, ContentType: e.ContentType, Body: e.Body, Key: e.PartitionKey, Properties: e.Properties}
	encoded, err := plain.AppendMessage(nil)
	if err != nil {
		return &hub.Error{Kind: hub.Invalid, Text: fmt.Sprintf("Event %d cannot be sent: %v.", index, err)}
	}
	if len(encoded) > eventBytesMax {
		return &hub.Error{Kind: hub.TooLarge, Text: fmt.Sprintf("Event %d has %d bytes; an event may have %d.", index, len(encoded), eventBytesMax)}
	}
	var m event.Message
	if err := m.Scan(encoded); err != nil {
		panic("BUG: an encoded event does not scan: " + err.Error())
	}
	l.Records = append(l.Records, eventlog.Record{Step: event.Step(m.Length()), Data: m.Append(nil, nil)})
	l.index = append(l.index, index)
	return nil
}

func (l *load) store() {
	l.Done = func(*eventlog.Batch) { close(l.done) }
	l.p.Append(&l.Batch)
}

func (l *load) wait(ctx context.Context, events, stored []Event) error {
	select {
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.Err != nil {
		text := fmt.Sprintf("%d events for partition %s of hub '%s' were not stored.", len(l.Records), l.p.ID(), l.p.Hub().Name())
		return &hub.Error{Kind: hub.KindOf(l.Err), Text: text, Err: l.Err}
	}
	at := l.First
	for i := range l.Records {
		e := events[l.index[i]]
		e.Partition = l.p.ID()
		e.place(at)
		stored[l.index[i]] = e
		at.Seq++
		at.Offset += l.Records[i].Step
	}
	return nil
}
