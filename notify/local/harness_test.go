package local

import (
	"context"
	"math"
	"sync"
	"testing"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
	"github.com/evhub-dev/evhub/notify"
)

// rig is a hall with the hub "Orders" of 4 partitions, and a Notifier into it.
type rig struct {
	t         testing.TB
	store     eventlog.Store
	hall      *hub.Hall
	namespace *hub.Namespace
	hub       *hub.Hub
	space     *kit.Space // of the namespace, to look at
	start     kit.Mark
	n         *Notifier
}

func newRig(t testing.TB, store eventlog.Store, o Options) *rig {
	t.Helper()
	r := &rig{t: t, store: store}
	var err error
	if r.hall, err = hub.New(hub.Options{Store: store}); err != nil {
		t.Fatal(err)
	}
	if r.namespace, err = r.hall.CreateNamespace("ns"); err != nil {
		t.Fatal(err)
	}
	r.create()
	if r.space, err = kit.New(kit.Options{Hall: r.hall}).Open("ns"); err != nil {
		t.Fatal(err)
	}
	r.start = r.space.Mark()
	r.n = New(r.hall, r.namespace, o)
	t.Cleanup(func() {
		r.n.Close(context.Background())
		r.hall.Close()
		store.Close()
	})
	return r
}

func (r *rig) create() {
	r.t.Helper()
	var err error
	if r.hub, err = r.namespace.CreateHub(hub.Spec{Name: "Orders", Partitions: 4}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) send(ctx context.Context, messages ...notify.Message) []notify.Result {
	r.t.Helper()
	results := r.n.Send(ctx, "orders", messages...)
	if len(results) != len(messages) {
		r.t.Fatalf("%d results for %d messages", len(results), len(messages))
	}
	return results
}

// stored gives what a partition holds.
func (r *rig) stored(partition int) (list []kit.Event) {
	r.t.Helper()
	for _, e := range r.all() {
		if e.Partition == r.hub.PartitionAt(partition).ID() {
			list = append(list, e)
		}
	}
	return list
}

func (r *rig) storedCount() int {
	r.t.Helper()
	return len(r.all())
}

// all gives what the hub got since the rig was made.
func (r *rig) all() []kit.Event {
	r.t.Helper()
	events, _, err := r.space.Events(r.hub.Name(), r.start, math.MaxInt)
	if err != nil {
		r.t.Fatal(err)
	}
	return events
}

func wantReason(t testing.TB, what string, got notify.Result, want notify.Reason) {
	t.Helper()
	if got.Err == nil || notify.ReasonOf(got.Err) != want {
		t.Errorf("%s: %v (%v), want %v", what, got.Err, notify.ReasonOf(got.Err), want)
	}
	if got.Placed {
		t.Errorf("%s: failed and placed", what)
	}
}

func wantStored(t testing.TB, what string, got notify.Result) {
	t.Helper()
	if got.Err != nil || !got.Placed {
		t.Errorf("%s: %+v, want it stored", what, got)
	}
}

func text(body string) notify.Message { return notify.Message{Body: []byte(body)} }

// script is rules that give one verdict at one point, and remember what they were asked.
type script struct {
	op hub.Op
	v  hub.Verdict

	mu    sync.Mutex
	asked []hub.Subject
}

func (s *script) Ask(q *hub.Subject) hub.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, *q)
	if q.Op != s.op {
		return hub.Verdict{}
	}
	return s.v
}

// lateStore holds back every append until release, or fails it with err.
type lateStore struct {
	eventlog.Store
	err error

	mu     sync.Mutex
	parked []func()
}

func newLateStore() *lateStore { return &lateStore{Store: memlog.New(memlog.Options{})} }

func (s *lateStore) Open(id eventlog.HubID, partition int, o eventlog.Options) (eventlog.Log, error) {
	log, err := s.Store.Open(id, partition, o)
	return &lateLog{log, s}, err
}

// release lets the appends that came until now through, in their order.
func (s *lateStore) release() int {
	s.mu.Lock()
	parked := s.parked
	s.parked = nil
	s.mu.Unlock()
	for _, run := range parked {
		run()
	}
	return len(parked)
}

type lateLog struct {
	eventlog.Log
	store *lateStore
}

func (l *lateLog) Append(b *eventlog.Batch) {
	if l.store.err != nil {
		b.Err = l.store.err
		b.Done(b)
		return
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.store.parked = append(l.store.parked, func() { l.Log.Append(b) })
}
