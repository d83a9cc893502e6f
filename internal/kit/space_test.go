package kit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("S1")
	if s.Name() != "s1" || s.Namespace() != r.hall.Namespace("s1") || s.Key() == "" {
		t.Errorf("space %q with key %q in %v", s.Name(), s.Key(), s.Namespace())
	}
	grant, err := r.policies.Authenticate(auth.KindPlain, s.Key(), "s1", time.Now())
	if err != nil || grant.Namespace != "s1" || grant.Rights != auth.Manage {
		t.Errorf("the space's policy gives %+v, %v", grant, err)
	}
	h, err := s.Hub("ORDERS")
	r.must(err)
	if h.PartitionCount() != 4 || !h.HasGroup("audit") {
		t.Errorf("hub of %d partitions with groups %q", h.PartitionCount(), h.Groups())
	}
	made, err := r.kit.Create(SpaceSpec{})
	r.must(err)
	other, err := r.kit.Create(SpaceSpec{Key: "own"})
	r.must(err)
	if made.Name() == other.Name() || len(made.Name()) != 9 || other.Key() != "own" {
		t.Errorf("made up names %q and %q, key %q", made.Name(), other.Name(), other.Key())
	}
	if got, err := r.kit.Space("S1"); got != s || err != nil {
		t.Errorf("found %v, %v", got, err)
	}
	_, err = r.kit.Space("s2")
	wantKind(t, "unknown space", err, hub.NotFound, "There is no space 's2'")
	_, err = r.kit.Create(SpaceSpec{Name: "s1"})
	wantKind(t, "name taken", err, hub.Exists, "'s1' already exists")
	_, err = r.kit.Create(SpaceSpec{Name: "-"})
	wantKind(t, "bad name", err, hub.Invalid, "must consist of")
	_, err = r.kit.Create(SpaceSpec{Name: "s3", Hubs: []HubSpec{{Name: "a", Partitions: 1}, {Name: "b"}}})
	wantKind(t, "bad hub", err, hub.Invalid, "cannot have 0 partitions")
	if r.hall.Namespace("s3") != nil || len(r.kit.Spaces()) != 3 {
		t.Errorf("what could not be created is there: %v", r.kit.Spaces())
	}
}

// TestPolicyTaken: a policy that cannot be added takes the space with it.
func TestPolicyTaken(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.must(r.policies.Add(auth.Policy{Name: "s1", Key: "k", Namespace: "other", Rights: auth.Send}))
	if _, err := r.kit.Create(SpaceSpec{Name: "s1", Key: "k"}); err == nil || !strings.Contains(err.Error(), "share a key") {
		t.Errorf("error %v", err)
	}
	if r.hall.Namespace("s1") != nil {
		t.Error("the namespace is left")
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	_, err := s.Fault(On{Op: Send}, Drop())
	r.must(err)
	s.Trace()
	r.must(s.Delete())
	r.must(s.Delete())
	if r.hall.Namespace("s1") != nil || len(r.kit.Spaces()) != 0 || r.hall.Rules() != nil || r.hall.Reports() != nil {
		t.Error("something of a deleted space is left")
	}
	if _, err := r.policies.Authenticate(auth.KindPlain, s.Key(), "s1", time.Now()); err == nil {
		t.Error("its policy still opens")
	}
	_, err = s.Fault(On{Op: Send}, Drop())
	wantKind(t, "fault in a deleted space", err, hub.Closed, "is deleted")
	s.Trace()()
	if r.hall.Rules() != nil || len(s.Timeline()) != 0 || len(s.Faults()) != 0 {
		t.Error("a deleted space came to life")
	}
	r.space("s1") // the name is free again
}

// TestOpen: a space over a namespace that somebody else owns.
func TestOpen(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	_, err := r.kit.Open("ns")
	wantKind(t, "unknown namespace", err, hub.NotFound, "'ns' could not be found")
	ns, err := r.hall.CreateNamespace("ns")
	r.must(err)
	s, err := r.kit.Open("NS")
	r.must(err)
	if again, err := r.kit.Open("ns"); again != s || err != nil {
		t.Errorf("opened again: %v, %v", again, err)
	}
	r.must(s.Delete())
	if r.hall.Namespace("ns") != ns || s.Key() != "" {
		t.Error("the space took the namespace with it, or had a policy")
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	first := func(name string, seed uint64) string {
		s, err := r.kit.Create(SpaceSpec{Name: name, Seed: seed, Hubs: []HubSpec{{Name: "a", Partitions: 8}, {Name: "b", Partitions: 8}}})
		r.must(err)
		a, b := r.publish(s, "a", text("x", ""))[0], r.publish(s, "b", text("x", ""))[0]
		return fmt.Sprint(a.at(), " ", a.Offset, " ", b.at(), " ", b.Offset)
	}
	one, same, two, none := first("s1", 1), first("s2", 1), first("s3", 2), first("s4", 0)
	if one != same || one == two || none != "0/0 0 0/0 0" {
		t.Errorf("seed 1: %s and %s; seed 2: %s; none: %s", one, same, two, none)
	}
}

func TestTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		_, err := r.kit.Create(SpaceSpec{Name: "short", TTL: time.Minute})
		r.must(err)
		kept, err := r.kit.Create(SpaceSpec{Name: "kept", TTL: time.Minute})
		r.must(err)
		r.must(kept.Delete())
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if r.hall.Namespace("short") == nil {
			t.Error("the space went before its time")
		}
		time.Sleep(1)
		synctest.Wait()
		if r.hall.Namespace("short") != nil || len(r.kit.Spaces()) != 0 {
			t.Error("the space outlives its time")
		}
	})
}

func TestPublish(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	h, _ := s.Hub("orders")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := r.publish(s, "orders",
		Event{Body: []byte("a"), Partition: "2"},
		Event{Body: []byte("b"), PartitionKey: "key"},
		Event{Body: []byte("c"), Partition: "2", PartitionKey: "k2", ID: "id", ContentType: "text/plain", Properties: map[string]any{"n": 1, "at": at}},
		Event{Body: []byte("d")})
	if got[0].at() != "2/0" || got[0].Offset != "0" || got[2].at() != "2/1" || got[2].Offset != "64" || got[1].Partition != fmt.Sprint(h.Place([]byte("key"))) {
		t.Errorf("stored at %s, %s, %s, %s", got[0].at(), got[1].at(), got[2].at(), got[3].at())
	}
	stored, _, err := s.Events("orders", Mark{}, 10)
	r.must(err)
	if len(stored) != 4 {
		t.Fatalf("%d events are stored", len(stored))
	}
	i := slices.IndexFunc(stored, func(e Event) bool { return e.ID == "id" })
	e := stored[i]
	if string(e.Body) != "c" || e.PartitionKey != "k2" || e.ContentType != "text/plain" || e.EnqueuedAt != got[2].EnqueuedAt || e.EnqueuedAt.IsZero() ||
		e.Properties["n"] != int64(1) || Prop("at", at).Diff(e) != nil {
		t.Errorf("stored as %+v", e)
	}
}

func TestPublishErrors(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	for _, c := range []struct {
		name string
		hub  string
		e    Event
		kind hub.Kind
		want string
	}{
		{"unknown hub", "order", Event{}, hub.NotFound, "did you mean 'orders'?"},
		{"unknown partition", "orders", Event{Partition: "4"}, hub.OutOfRange, "between 0 and 3"},
		{"no number", "orders", Event{Partition: "x"}, hub.OutOfRange, "between 0 and 3"},
		{"property", "orders", Event{Properties: map[string]any{"p": struct{}{}}}, hub.Invalid, `Event 1 cannot be sent: property "p"`},
		{"too large", "orders", Event{Body: make([]byte, 1<<20)}, hub.TooLarge, "an event may have 1048576"},
	} {
		_, err := s.Publish(context.Background(), c.hub, text("fine", "0"), c.e)
		wantKind(t, c.name, err, c.kind, c.want)
	}
	if all, _, err := s.Events("orders", Mark{}, 10); len(all) != 0 || err != nil {
		t.Errorf("%d events were stored beside those that cannot be, %v", len(all), err)
	}
	h, _ := s.Hub("orders")
	r.must(s.Namespace().DeleteHub("orders"))
	l := &load{p: h.PartitionAt(0), done: make(chan struct{})}
	r.must(l.add(0, &Event{}))
	l.store()
	wantKind(t, "a hub that goes", l.wait(context.Background(), []Event{{}}, make([]Event, 1)), hub.Closed, "1 events for partition 0 of hub 'orders' were not stored")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (&load{}).wait(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	r.publish(s, "orders", text("a", "1"), text("b", "1"))
	m1 := s.KeepMark(s.Mark())
	r.publish(s, "orders", text("c", "1"))
	if m1.Name != "m1" || fmt.Sprint(m1.Positions()) != "map[billing:map[0:0] orders:map[0:0 1:2 2:0 3:0]]" {
		t.Errorf("mark %s: %v", m1.Name, m1.Positions())
	}
	for _, c := range []struct{ name, want string }{{"m0", "a b c"}, {"", "a b c"}, {"m1", "c"}} {
		m, err := s.KeptMark(c.name)
		r.must(err)
		all, behind, err := s.Events("orders", m, 10)
		if got := bodies(all); got != c.want || err != nil {
			t.Errorf("since %q: %q, %v; want %q", c.name, got, err, c.want)
		}
		if rest, _, err := s.Events("orders", behind, 10); len(rest) != 0 || err != nil {
			t.Errorf("behind what came since %q: %q, %v", c.name, bodies(rest), err)
		}
	}
	for _, name := range []string{"m2", "m", "x", "m-1", "m01", "m+1"} {
		_, err := s.KeptMark(name)
		wantKind(t, name, err, hub.NotFound, "the latest is m1")
	}
	two, behind, err := s.Events("orders", s.marks.first, 2)
	if bodies(two) != "a b" || err != nil {
		t.Errorf("two events: %q, %v", bodies(two), err)
	}
	if rest, _, err := s.Events("orders", behind, 2); bodies(rest) != "c" || err != nil {
		t.Errorf("the rest: %q, %v", bodies(rest), err)
	}
}

// TestKeptMarksBounded: a space forgets old marks, but not its first.
func TestKeptMarksBounded(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	m := s.Mark()
	for range marksMax + 1 {
		s.KeepMark(m)
	}
	for name, want := range map[string]bool{"m0": true, "m1": false, "m2": true, fmt.Sprint("m", marksMax+1): true} {
		if _, err := s.KeptMark(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := s.KeptMark("m1")
	if e, ok := errors.AsType[*StaleError](err); !ok || !strings.Contains(e.Error(), "mark m1 is not kept any more") || !strings.Contains(e.Error(), "m0 and m2") {
		t.Errorf("one that was kept: %v", err)
	}
	_, err = s.KeptMark(fmt.Sprint("m", marksMax+2))
	wantKind(t, "one that will be", err, hub.NotFound, fmt.Sprint("the latest is m", marksMax+1))
}

// TestMarksShare: marks of many hubs take the memory of what has changed between them, and no more than there may be.
func TestMarksShare(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	spec := SpaceSpec{Name: "wide"}
	const hubs, partitions = 500, 32
	for i := range hubs {
		spec.Hubs = append(spec.Hubs, HubSpec{Name: fmt.Sprint("h", i), Partitions: partitions})
	}
	s, err := r.kit.Create(spec)
	r.must(err)
	one := s.marks.bytes
	if one < hubs*partitions*8 || one > hubs*(partitions*8+128) {
		t.Errorf("a mark of %d hubs with %d partitions counts as %d bytes", hubs, partitions, one)
	}
	for range 20 {
		s.KeepMark(s.Mark())
	}
	if s.marks.bytes != one {
		t.Errorf("twenty marks between which nothing happens take %d bytes, one takes %d", s.marks.bytes, one)
	}
	m0, _ := s.KeptMark("m0")
	const more = 5000
	for i := range more {
		r.publish(s, "h7", text("a", "1"))
		if i%500 == 0 || i == more-2 {
			s.KeepMark(s.Mark())
			continue
		}
		_, behind, err := s.Events("h7", m0, 1+i%9)
		r.must(err)
		s.KeepMark(behind)
	}
	if n := len(s.marks.last); s.marks.bytes > marksBytesMax || n < more/2 || n >= more {
		t.Errorf("%d marks with %d bytes", n, s.marks.bytes)
	}
	counted, seen := 0, make(map[any]bool)
	for _, m := range append([]Mark{s.marks.first}, s.marks.last...) {
		if !seen[m.at] {
			seen[m.at] = true
			counted += m.at.bytes()
		}
		for _, h := range m.at.hubs {
			if !seen[h] {
				seen[h] = true
				counted += h.bytes()
			}
		}
	}
	if counted != s.marks.bytes {
		t.Errorf("%d bytes are counted, %d are there", s.marks.bytes, counted)
	}
	last, err := s.KeptMark(fmt.Sprint("m", s.marks.from+len(s.marks.last)-2)) // taken after all but the last event
	r.must(err)
	if all, _, err := s.Events("h7", last, 10); len(all) != 1 || err != nil {
		t.Errorf("%d events after the last mark that was taken, %v", len(all), err)
	}
	if _, err := s.KeptMark("m1"); err == nil {
		t.Error("the oldest is still there")
	}
}

// TestStaleMarks: what a mark cannot give any more is an error of its own.
func TestStaleMarks(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	m := s.Mark()
	r.publish(s, "orders", text("a", "1"), text("b", "1"))
	h, _ := s.Hub("orders")
	h.PartitionAt(1).Log().Trim(1)
	_, _, err := s.Events("orders", m, 10)
	if e, ok := errors.AsType[*StaleError](err); !ok || *e != (StaleError{Hub: "orders", Partition: "1", First: 1}) || !strings.Contains(err.Error(), "begins with 1") {
		t.Errorf("trimmed: %v", err)
	}
	if _, err := s.Expect(context.Background(), "orders", m, Request{Expect: []Expectation{AtLeast(1)}}); !strings.Contains(fmt.Sprint(err), "begins with 1") {
		t.Errorf("trimmed, expecting: %v", err)
	}
	r.must(s.Namespace().DeleteHub("orders"))
	_, _, err = s.Events("orders", m, 10)
	wantKind(t, "deleted", err, hub.NotFound, "could not be found")
	_, err = s.Namespace().CreateHub(hub.Spec{Name: "orders", Partitions: 2})
	r.must(err)
	_, _, err = s.Events("orders", m, 10)
	if e, ok := errors.AsType[*StaleError](err); !ok || e.First != -1 || !strings.Contains(err.Error(), "created again") {
		t.Errorf("another hub of that name: %v", err)
	}
	if hints := (&Space{kit: r.kit, ns: s.ns}).elsewhere(&Reader{from: m}); len(hints) != 0 {
		t.Errorf("hints about another hub: %q", hints)
	}
}

// TestYoungHub: a hub that is younger than the mark is read from its beginning.
func TestYoungHub(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	m := s.Mark()
	_, err := s.Namespace().CreateHub(hub.Spec{Name: "young", Partitions: 2})
	r.must(err)
	r.publish(s, "young", text("a", "1"))
	if all, _, err := s.Events("young", m, 10); bodies(all) != "a" || err != nil {
		t.Errorf("%q, %v", bodies(all), err)
	}
}

func TestReaderWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := r.space("s1")
		reader, err := s.Reader("orders", s.Mark())
		r.must(err)
		defer reader.Close()
		got := make(chan string, 1)
		next := func(ctx context.Context) {
			e, err := reader.Next(ctx)
			got <- fmt.Sprint(string(e.Body), err)
		}
		go next(context.Background())
		time.Sleep(time.Hour)
		select {
		case s := <-got:
			t.Errorf("%s came from nowhere", s)
		default:
		}
		before := time.Now()
		r.publish(s, "orders", text("a", "3"))
		time.Sleep(2 * time.Millisecond)
		r.publish(s, "orders", text("b", "0"))
		if s := <-got; s != "a<nil>" || time.Since(before) > 2*time.Millisecond {
			t.Errorf("%s after %v", s, time.Since(before))
		}
		r.publish(s, "orders", text("c", "3"))
		for _, want := range []string{"b<nil>", "c<nil>"} { // b was stored first
			if next(context.Background()); true {
				if s := <-got; s != want {
					t.Errorf("%s, want %s", s, want)
				}
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := reader.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in vain: %v", err)
		}
		go next(context.Background())
		synctest.Wait()
		r.must(s.Namespace().DeleteHub("orders"))
		if s := <-got; !strings.Contains(s, "was deleted") {
			t.Errorf("a deleted hub: %s", s)
		}
	})
}

// TestOddEvents: what is no data section shows as JSON, what is no event is an error that says where.
func TestOddEvents(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	h, _ := s.Hub("orders")
	appendMessage(t, h.PartitionAt(0), &amqp.Message{HasValue: true, Value: amqp.Map{{Key: "a", Value: int32(1)}}})
	appendMessage(t, h.PartitionAt(1), &amqp.Message{HasValue: true, Value: "text"})
	appendMessage(t, h.PartitionAt(3), &amqp.Message{})
	all, behind, err := s.Events("orders", Mark{}, 10)
	if len(all) != 3 || string(all[0].Body) != `{"a":1}` || string(all[1].Body) != "text" || len(all[2].Body) != 0 || err != nil {
		t.Errorf("%q, %v", bodies(all), err)
	}
	appendRaw(h.PartitionAt(2), []byte("no envelope"))
	_, _, err = s.Events("orders", behind, 10)
	if err == nil || !strings.Contains(err.Error(), "event 2/0 of hub orders cannot be shown") {
		t.Errorf("error %v", err)
	}
	_, err = s.Expect(context.Background(), "orders", behind, Request{Expect: []Expectation{AtLeast(1)}})
	if err == nil || !strings.Contains(err.Error(), "event 2/0 of hub orders cannot be shown") {
		t.Errorf("expecting: error %v", err)
	}
}

// TestIdleKit: a kit that nobody uses sets nothing and is small.
func TestIdleKit(t *testing.T) {
	r := newRoom(t)
	if r.hall.Rules() != nil || r.hall.Reports() != nil {
		t.Error("a new kit set something")
	}
	if n := testing.AllocsPerRun(100, func() { New(Options{Hall: r.hall}) }); n > 1 {
		t.Errorf("a kit takes %v allocations", n)
	}
	s := r.space("s1")
	if _, err := s.Expect(context.Background(), "orders", s.Mark(), Request{Expect: []Expectation{None()}}); err != nil {
		t.Error(err)
	}
	if r.hall.Rules() != nil || r.hall.Reports() != nil {
		t.Error("a space without faults set something")
	}
	stop1, stop2 := s.Trace(), s.Trace()
	f, err := s.Fault(On{Op: Send}, Drop())
	r.must(err)
	stop1()
	stop1()
	if r.hall.Rules() == nil || r.hall.Reports() == nil {
		t.Error("one of two tracers switched the timeline off")
	}
	stop2()
	if r.hall.Rules() == nil || r.hall.Reports() != nil {
		t.Error("a fault needs rules and no reports")
	}
	f.Remove()
	f.Remove()
	if r.hall.Rules() != nil {
		t.Error("rules are left")
	}
}
