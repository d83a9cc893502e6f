package evhubtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/evhub-dev/evhub/internal/kit"
)

// Recorder says what is in a hub since a mark. It stores nothing: it reads the hub's own log, so that it misses nothing and an event it
// gives is one that every reader gets. Nothing is consumed: each call looks at all events since the mark.
//
// Calls that want events return with the one that completes them, and wait up to WaitMax. One that fails ends the test with
// the events that came closest, what differs in them, and what else was seen that may explain it. All matchers of a call must hold for one
// event. A Recorder is safe for concurrent use.
type Recorder struct {
	b    *Broker
	hub  string
	from kit.Mark

	mu   sync.Mutex // guards next
	next kit.Mark   // where Next goes on
}

// Record gives a recorder of what is stored from now on.
func (b *Broker) Record(t testing.TB, hub string) *Recorder {
	t.Helper()
	b.mustBeHere(t)
	m, err := b.mark(hub)
	if err != nil {
		t.Fatal("evhubtest: " + explain(err))
	}
	return b.RecordFrom(t, m)
}

// RecordFrom gives a recorder of what is stored since a mark.
func (b *Broker) RecordFrom(t testing.TB, m Mark) *Recorder {
	t.Helper()
	if b.remote != nil {
		return b.remote.record(t, m)
	}
	return newRecorder(b, m.hub, m.at)
}

func newRecorder(b *Broker, hub string, from kit.Mark) *Recorder {
	return &Recorder{b: b, hub: hub, from: from, next: from}
}

// Want waits for n events that match, and gives the first n in the order of All.
func (r *Recorder) Want(t testing.TB, n int, m ...Match) []Event {
	t.Helper()
	return r.expect(t, kit.Request{Expect: []kit.Expectation{kit.AtLeast(n, m...)}})
}

// WantExactly waits for n events that match, then until nothing is under way any more (Quiesce), and wants no further one.
func (r *Recorder) WantExactly(t testing.TB, n int, m ...Match) []Event {
	t.Helper()
	return r.expect(t, kit.Request{Expect: []kit.Expectation{kit.Exactly(n, m...)}})
}

// WantNone waits until nothing is under way any more (Quiesce), and wants no event that matches. In a bubble that is proof that none comes
// before time goes on. Outside of one, a client that has not written yet is not seen.
func (r *Recorder) WantNone(t testing.TB, m ...Match) {
	t.Helper()
	r.expect(t, kit.Request{Expect: []kit.Expectation{kit.None(m...)}})
}

// WantInOrder waits for an event for each matcher, another one for each, and gives them in that order. Of two that are in one partition, the
// one wanted first must have been stored first; events of different partitions have no order. Others may come in between. There may be 1000
// matchers.
func (r *Recorder) WantInOrder(t testing.TB, m ...Match) []Event {
	t.Helper()
	request := kit.Request{Ordered: true}
	for _, step := range m {
		request.Expect = append(request.Expect, kit.AtLeast(1, step))
	}
	return r.expect(t, request)
}

// WantUnique waits until nothing is under way any more (Quiesce), and wants another key for each event since the mark. "" is no key, and an
// event without one fails as well, since it cannot be told from its copies: SDKs set no ID by themselves. It lists every key that came twice,
// and the events that have none.
func (r *Recorder) WantUnique(t testing.TB, key func(Event) string) {
	t.Helper()
	ctx, cancel := r.b.within()
	defer cancel()
	_, err := r.try(ctx, kit.Request{UniqueBy: "key", Unique: func(e Event) (string, bool) {
		k := key(e)
		return k, k != ""
	}})
	if err == nil {
		return
	}
	text := r.b.failure(err)
	if miss, ok := errors.AsType[*kit.Miss](err); ok && (miss.Reason == kit.Duplicate || miss.Reason == kit.NoKey) {
		text += r.duplicates(key)
	}
	t.Fatal(text)
}

// duplicates lists each key that several events have, and the events without a key.
func (r *Recorder) duplicates(key func(Event) string) string {
	events, err := r.all()
	if err != nil {
		return ""
	}
	var order []string
	places := make(map[string][]string)
	for _, e := range events {
		k := key(e)
		if places[k] == nil {
			order = append(order, k)
		}
		places[k] = append(places[k], fmt.Sprintf("%s/%d", e.Partition, e.SequenceNumber))
	}
	var s strings.Builder
	for _, k := range order {
		switch list := places[k]; {
		case k == "":
			fmt.Fprintf(&s, "\n  without a key: %s", strings.Join(list, " "))
		case len(list) > 1:
			fmt.Fprintf(&s, "\n  %q is at %s", k, strings.Join(list, " "))
		}
	}
	return s.String()
}

// Next waits for the next event since the mark, or since the last Next: of those that are there the first in the order of All.
func (r *Recorder) Next(t testing.TB) Event {
	t.Helper()
	ctx, cancel := r.b.within()
	defer cancel()
	for {
		r.mu.Lock()
		next := r.next
		r.mu.Unlock()
		if _, err := r.trySince(ctx, next, kit.Request{Expect: []kit.Expectation{kit.AtLeast(1)}}); err != nil {
			t.Fatal(r.b.failure(err))
		}
		e, ok, err := r.take()
		if err != nil {
			t.Fatal(r.b.failure(err))
		}
		if ok {
			return e
		}
	}
}

// take gives the next event if there is one.
func (r *Recorder) take() (e Event, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events, next, err := r.b.space.Events(r.hub, r.next, 1)
	if err != nil || len(events) == 0 {
		return Event{}, false, err
	}
	r.next = next
	return events[0], true, nil
}

// All gives what is there since the mark, without waiting, by the time it was stored. Of events of the same millisecond in two partitions,
// one that was acknowledged before the other was sent comes first. That is what this broker saw: a hub promises the order of each
// partition only, and so does WantInOrder.
func (r *Recorder) All() []Event {
	if r.b.t != nil {
		r.b.t.Helper()
	}
	events, err := r.all()
	if err != nil {
		r.b.fail(err)
	}
	return events
}

func (r *Recorder) all() ([]Event, error) {
	events, _, err := r.b.space.Events(r.hub, r.from, math.MaxInt)
	return events, err
}

// Wait is Want for assertions of one's own: it waits as long as ctx lets it, and its error is a *Miss if events were missing.
func (r *Recorder) Wait(ctx context.Context, n int, m ...Match) ([]Event, error) {
	return r.try(ctx, kit.Request{Expect: []kit.Expectation{kit.AtLeast(n, m...)}})
}

// expect ends the test if the request does not hold in time.
func (r *Recorder) expect(t testing.TB, request kit.Request) []Event {
	t.Helper()
	ctx, cancel := r.b.within()
	defer cancel()
	events, err := r.try(ctx, request)
	if err != nil {
		t.Fatal(r.b.failure(err))
	}
	return events
}

func (r *Recorder) try(ctx context.Context, request kit.Request) ([]Event, error) {
	return r.trySince(ctx, r.from, request)
}

func (r *Recorder) trySince(ctx context.Context, since kit.Mark, request kit.Request) ([]Event, error) {
	if err := r.b.foreign(); err != nil {
		return nil, err
	}
	result, err := r.b.space.Expect(ctx, r.hub, since, request)
	if err == nil {
		return result.Events, nil
	}
	if miss, ok := errors.AsType[*kit.Miss](err); ok && r.b.mirror != nil {
		miss.Hints = nil // they would speak of the mirror's clients
	}
	return nil, err
}

// failure is the message of a Want that did not get what it wanted.
func (b *Broker) failure(err error) string {
	text := "evhubtest: " + explain(err)
	if b.mirror == nil {
		if b.t == nil { // nobody tells its story in the end
			text += "\n  " + b.seedText()
		}
		return text
	}
	if why := b.mirror.failed(); why != nil {
		text += "\n  the hub could not be read any further: " + why.Error()
	}
	return text
}
