package logtest

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// wantClosed fails the test unless every call to the log says that it is closed.
func (s *scene) wantClosed() {
	s.Helper()
	s.wantErr(appendAndWait(s.log, batchOf("late")), eventlog.ErrClosed)
	for _, from := range []int64{-1, 0, s.start.Seq, 1 << 40} {
		s.wantErr(s.log.Read(from, 1<<20, &eventlog.Records{}), eventlog.ErrClosed)
	}
	_, err := s.seek(eventlog.Query{})
	s.wantErr(err, eventlog.ErrClosed)
	s.wantErr(s.log.State().Failed, eventlog.ErrClosed)
	b := newBell()
	s.log.Watch(s.start.Seq, &b.Watcher)
	s.wait(b.rings, "watch a closed log")
	s.log.Unwatch(&b.Watcher)
	s.log.Trim(1)
}

func testClose(s *scene) {
	var dones atomic.Int64
	for range 100 {
		b := batchOf("x")
		b.Done = func(*eventlog.Batch) { dones.Add(1) }
		s.log.Append(b)
	}
	b := newBell()
	s.log.Watch(s.log.State().Next.Seq+1000, &b.Watcher)
	s.wait(b.rings, "watch beyond the end")
	s.ok(s.log.Close())
	if got := dones.Load(); got != 100 {
		s.Fatalf("%d of 100 Dones have run when Close returns", got)
	}
	s.wantClosed()
	s.ok(s.log.Close())
	s.wantClosed()
}

// Appenders go on until they are refused. What was called before Close is done when Close returns, and nothing is stored after the
// first refusal.
func testCloseUnderLoad(s *scene) {
	var called, done, failed, watched atomic.Int64
	var running, warm sync.WaitGroup
	warm.Add(4)
	for range 4 {
		running.Go(func() {
			for i := 0; ; i++ {
				b := batchOf("x")
				refused := make(chan bool, 1)
				b.Done = func(b *eventlog.Batch) {
					if b.Err != nil {
						failed.Add(1)
					} else if failed.Load() > 0 {
						s.Error("a batch is stored after one was refused")
					}
					refused <- b.Err != nil
					done.Add(1)
				}
				s.log.Append(b)
				called.Add(1)
				if i == 20 {
					warm.Done()
				}
				if i >= 20 && <-refused {
					return
				}
			}
		})
		running.Go(func() {
			if err := readUntilError(s); !errors.Is(err, eventlog.ErrClosed) {
				s.Errorf("a reader of a log that was closed got %v", err)
			}
			watched.Add(1)
		})
	}
	warm.Wait()
	before := called.Load()
	s.ok(s.log.Close())
	if got := done.Load(); got < before {
		s.Errorf("%d Dones have run when Close returns, for %d batches before it", got, before)
	}
	running.Wait()
	if done.Load() != called.Load() || failed.Load() < 1 || watched.Load() != 4 {
		s.Errorf("%d Dones for %d batches, %d of them refused; %d of 4 readers ended", done.Load(), called.Load(), failed.Load(), watched.Load())
	}
}

func readUntilError(s *scene) error {
	r := newReader(s.log)
	var into eventlog.Records
	for seq := s.start.Seq; ; {
		if err := r.read(seq, 1000, &into); err != nil {
			return err
		}
		seq = into.List[len(into.List)-1].Seq + 1
		into.Release()
	}
}

func testCloseFromCallbacks(s *scene) {
	fromDone := s.log
	b := batchOf("x")
	done := make(chan struct{})
	b.Done = func(*eventlog.Batch) {
		if err := fromDone.Close(); err != nil {
			s.Error(err)
		}
		close(done)
	}
	fromDone.Append(b)
	s.wait(done, "Close inside a Done returns")
	s.wantClosed()

	s.log = s.open(hub, 1, eventlog.Options{})
	fromWake := s.log
	woken := make(chan struct{})
	w := &eventlog.Watcher{Wake: func(bool) {
		if err := fromWake.Close(); err != nil {
			s.Error(err)
		}
		close(woken)
	}}
	fromWake.Watch(fromWake.State().Next.Seq, w)
	s.append("y")
	s.wait(woken, "Close inside a Wake returns")
	s.wantClosed()
}

func testOpen(s *scene) {
	others := []struct {
		name      string
		hub       eventlog.HubID
		partition int
	}{
		{"another partition", hub, 1},
		{"another incarnation", eventlog.HubID{Namespace: "ns", Name: "hub", Incarnation: "2"}, 0},
		{"another name", eventlog.HubID{Namespace: "ns", Name: "hub2", Incarnation: "1"}, 0},
		{"another namespace", eventlog.HubID{Namespace: "ns2", Name: "hub", Incarnation: "1"}, 0},
		{"names that run together", eventlog.HubID{Namespace: "nsh", Name: "ub", Incarnation: "1"}, 0},
	}
	s.append("x")
	for _, o := range others {
		l := s.open(o.hub, o.partition, eventlog.Options{})
		if l == s.log || !l.State().Empty() {
			s.Errorf("%s: not a log of its own", o.name)
		}
		if again := s.open(o.hub, o.partition, eventlog.Options{First: eventlog.Position{Seq: 7}}); again != l {
			s.Errorf("%s: opened again it is another log", o.name)
		}
	}
	logs := make([]eventlog.Log, 8)
	var opening sync.WaitGroup
	for i := range logs {
		opening.Go(func() { logs[i], _ = s.store.Open(hub, 5, eventlog.Options{}) })
	}
	opening.Wait()
	for _, l := range logs {
		if l == nil || l != logs[0] {
			s.Fatal("opened by several at once it is several logs")
		}
	}
	s.wantData(s.readAll(s.start.Seq), "x")
}

func testDelete(s *scene) {
	other := hub
	other.Incarnation = "2"
	survivor := s.open(other, 0, eventlog.Options{})
	s.append("x")
	second := s.open(hub, 1, eventlog.Options{})
	b := newBell()
	s.log.Watch(s.log.State().Next.Seq, &b.Watcher)
	s.ok(s.store.Delete(hub))
	s.wait(b.rings, "delete wakes a watcher")
	s.wantClosed()
	s.log = second
	s.wantClosed()
	s.ok(s.store.Delete(hub))

	s.log = s.open(hub, 0, eventlog.Options{})
	if state := s.log.State(); !state.Empty() || state.Next != s.start || state.Failed != nil {
		s.Fatalf("opened again after its deletion the log is %+v, want a new one", state)
	}
	s.append("y")
	s.wantData(s.readAll(s.start.Seq), "y")
	s.log = survivor
	s.append("z")
	s.wantData(s.readAll(s.start.Seq), "z")
}

func testList(s *scene) {
	want := []eventlog.HubID{hub}
	for _, name := range []string{"b", "a", "c"} {
		for _, incarnation := range []string{"2", "1"} {
			id := eventlog.HubID{Namespace: "ns" + strings.Repeat("x", len(want)%3), Name: name, Incarnation: incarnation}
			want = append(want, id)
			s.open(id, 0, eventlog.Options{})
			s.open(id, 1, eventlog.Options{})
		}
	}
	list := func() []eventlog.HubID {
		s.Helper()
		hubs, err := s.store.List()
		s.ok(err)
		again, err := s.store.List()
		s.ok(err)
		if !slices.Equal(hubs, again) {
			s.Fatalf("List gives %v and then %v", hubs, again)
		}
		return hubs
	}
	wantList := func(want []eventlog.HubID) {
		s.Helper()
		byAll := func(a, b eventlog.HubID) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Incarnation, b.Incarnation))
		}
		got := slices.SortedFunc(slices.Values(list()), byAll)
		if !slices.Equal(got, slices.SortedFunc(slices.Values(want), byAll)) {
			s.Fatalf("List gives %v, want %v in some order", got, want)
		}
	}
	wantList(want)
	s.ok(s.store.Delete(want[3]))
	wantList(slices.Delete(want, 3, 4))
}

func testStoreClose(s *scene) {
	s.append("x")
	second := s.open(hub, 1, eventlog.Options{})
	b := newBell()
	s.log.Watch(s.log.State().Next.Seq, &b.Watcher)
	s.ok(s.store.Close())
	s.wait(b.rings, "closing the store wakes a watcher")
	s.wantClosed()
	s.log = second
	s.wantClosed()
	_, err := s.store.Open(hub, 0, eventlog.Options{})
	s.wantErr(err, eventlog.ErrClosed)
	s.ok(s.store.Close())
}

// reopen closes the store and opens what it left.
func (s *scene) reopen() {
	s.Helper()
	s.ok(s.store.Close())
	s.store = s.Reopen(s.T, s.store)
	s.log = s.open(hub, 0, eventlog.Options{Clock: s.clock})
}

func testReopenLog(s *scene) {
	s.append("a", "b", "c")
	s.append("d")
	s.log.Trim(s.readAll(s.start.Seq)[1].Seq)
	for range 3 {
		state := s.log.State()
		before := s.readAll(state.First)
		s.reopen()
		got := s.log.State()
		got.Bytes = state.Bytes // may be laid out otherwise
		if got != state {
			s.Fatalf("reopened the state is %+v, want %+v", got, state)
		}
		records := s.readAll(got.First)
		for i, r := range records {
			if r.Position != before[i].Position || r.Step != before[i].Step || string(r.Data) != string(before[i].Data) {
				s.Fatalf("reopened record %d is %+v, want %+v", i, r, before[i])
			}
		}
		if len(records) != len(before) {
			s.Fatalf("reopened the log has %d records, want %d", len(records), len(before))
		}
		s.clock.ms.Add(-1000)
		s.append("e", "f")
		s.wantChain(records[0].Position, s.readAll(got.First))
	}
	s.log.Trim(s.log.State().Next.Seq)
	state := s.log.State()
	s.reopen()
	if got := s.log.State(); got.Last != state.Last || got.Next != state.Next || !got.Empty() {
		s.Fatalf("reopened with no record the state is %+v, want %+v", got, state)
	}
}

func testReopenKV(s *scene) {
	kv := s.store.Meta()
	a, err := kv.Put("a", []byte("1"), 0)
	s.ok(err)
	b, err := kv.Put("b", []byte("2"), 0)
	s.ok(err)
	s.ok(kv.Delete("b", b))
	s.reopen()
	kv = s.store.Meta()
	s.wantValue(kv, "a", "1", a)
	s.wantValue(kv, "b", "", 0)
	again, err := kv.Put("b", []byte("3"), 0)
	s.ok(err)
	if again == b {
		s.Fatalf("version %d was given twice for one key", b)
	}
}
