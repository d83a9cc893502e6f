package logtest

import (
	"sync"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// bell is a Watcher that counts its Wakes, and rings for the test that waits.
type bell struct {
	eventlog.Watcher
	rung  atomic.Int64
	last  atomic.Int64 // times it was told to be the last
	rings chan struct{}
}

func newBell() *bell {
	b := &bell{rings: make(chan struct{}, 100)}
	b.Wake = func(last bool) {
		b.rung.Add(1)
		if last {
			b.last.Add(1)
		}
		b.rings <- struct{}{}
	}
	return b
}

// wantRung closes the log, so that every Wake that is due has run, and fails the test unless there were just so many.
func (s *scene) wantRung(b *bell, want int64) {
	s.Helper()
	s.log.Unwatch(&b.Watcher)
	s.ok(s.log.Close())
	if got := b.rung.Load(); got != want {
		s.Fatalf("the watcher was woken %d times, want %d", got, want)
	}
}

func testWatchAtOnce(s *scene) {
	s.append("a", "b", "c")
	all := s.readAll(s.start.Seq)
	s.log.Trim(all[1].Seq)
	end := s.log.State().Next.Seq
	b := newBell()
	rows := []struct {
		name string
		from int64
	}{
		{"trimmed", all[0].Seq},
		{"below everything", -1 << 63},
		{"first", all[1].Seq},
		{"last", all[2].Seq},
		{"beyond", end + 1},
		{"beyond everything", 1<<63 - 1},
	}
	for _, row := range rows {
		s.log.Watch(row.from, &b.Watcher)
		s.wait(b.rings, "watch from "+row.name)
	}
	s.ok(s.log.Close())
	s.log.Watch(end, &b.Watcher)
	s.wait(b.rings, "watch a closed log")
	s.wantRung(b, int64(len(rows))+1)
}

func testWatchLater(s *scene) {
	bells := make([]*bell, 20)
	for i := range bells {
		bells[i] = newBell()
		s.log.Watch(s.start.Seq, &bells[i].Watcher)
		if bells[i].rung.Load() != 0 {
			s.Fatal("woken before there was anything")
		}
	}
	s.append("x")
	for _, b := range bells {
		s.wait(b.rings, "append wakes a watcher")
	}
	s.wantData(s.readAll(s.start.Seq), "x")
	lasts := int64(0)
	for _, b := range bells {
		lasts += b.last.Load()
		s.log.Watch(s.log.State().Next.Seq, &b.Watcher)
	}
	if lasts > 1 {
		s.Errorf("%d of %d watchers were told that none is woken behind them", lasts, len(bells))
	}
	s.ok(s.log.Close())
	for _, b := range bells {
		s.wait(b.rings, "close wakes a watcher")
		s.wantRung(b, 2)
	}
}

func testWatchOnce(s *scene) {
	b := newBell()
	s.log.Watch(s.start.Seq, &b.Watcher)
	for range 50 {
		s.append("x", "y")
	}
	s.wait(b.rings, "append wakes a watcher")
	s.log.Trim(s.log.State().Next.Seq)
	s.wantRung(b, 1)
}

func testWatchReplaced(s *scene) {
	b := newBell()
	for range 5 {
		s.log.Watch(s.start.Seq, &b.Watcher)
	}
	s.append("x")
	s.wait(b.rings, "append wakes a watcher that watched again")
	s.append("y")
	end := s.log.State().Next.Seq
	s.log.Watch(end, &b.Watcher)
	s.log.Watch(end-1, &b.Watcher) // can be read at once
	s.wait(b.rings, "a wish for what is there replaces one for the end")
	s.append("z")
	s.wantRung(b, 2)
}

// A Wake may watch again, both where there is something and at the end.
func testWatchFromWake(s *scene) {
	const records = 500
	for range records / 2 {
		s.append("x")
	}
	seqs := make(chan int64, records)
	finished := make(chan struct{})
	w := &eventlog.Watcher{}
	next, count := s.start.Seq, 0
	w.Wake = func(bool) { // one at a time: each is due to the Watch in the one before
		var into eventlog.Records
		if err := s.log.Read(next, 0, &into); err != nil {
			s.Error(err)
		}
		for _, r := range into.List {
			seqs <- r.Seq
			next = r.Seq + 1
			count++
		}
		into.Release()
		if count == records {
			close(finished)
			return
		}
		s.log.Watch(next, w)
	}
	s.log.Watch(next, w)
	for range records / 2 {
		s.append("x")
	}
	s.wait(finished, "a reader that lives in its Wake")
	for _, r := range s.readAll(s.start.Seq) {
		if got := <-seqs; got != r.Seq {
			s.Fatalf("got record %d, want %d", got, r.Seq)
		}
	}
}

func testWatchTrimmedEnd(s *scene) {
	s.append("x")
	end := s.log.State().Next.Seq
	b := newBell()
	s.log.Watch(end, &b.Watcher)
	s.log.Trim(end)
	s.append("y")
	s.wait(b.rings, "append wakes a watcher at the end of a log that was trimmed")
	s.wantData(s.readAll(end), "y")
	s.wantRung(b, 1)
}

func testUnwatch(s *scene) {
	gone, stays := newBell(), newBell()
	s.log.Unwatch(&gone.Watcher) // never watched
	s.log.Watch(s.start.Seq, &gone.Watcher)
	s.log.Watch(s.start.Seq, &stays.Watcher)
	s.log.Unwatch(&gone.Watcher)
	s.log.Unwatch(&gone.Watcher)
	s.append("x")
	s.wait(stays.rings, "append wakes the watcher that stayed")
	s.log.Watch(s.start.Seq, &gone.Watcher)
	s.wait(gone.rings, "watch after unwatch")
	s.log.Watch(s.log.State().Next.Seq, &gone.Watcher)
	s.log.Unwatch(&gone.Watcher)
	s.wantRung(gone, 1)
	s.wantRung(stays, 1)
}

func testUnwatchFromWake(s *scene) {
	own, other := &eventlog.Watcher{}, newBell()
	woken := make(chan struct{})
	own.Wake = func(bool) {
		s.log.Unwatch(own)
		s.log.Watch(s.log.State().Next.Seq, own)
		s.log.Unwatch(own)
		s.log.Unwatch(&other.Watcher)
		close(woken) // a second Wake would panic
	}
	s.log.Watch(s.start.Seq, own)
	s.append("x")
	s.wait(woken, "Unwatch inside the Wake returns")
	s.log.Watch(s.log.State().Next.Seq, &other.Watcher)
	s.append("y")
	s.wait(other.rings, "watch of a watcher that another one's Wake unwatched")
}

// Watchers come and go while records do. A Wake that begins after Unwatch has returned finds that its reader is gone.
func testUnwatchRace(s *scene) {
	const readers, rounds = 4, 1500
	var over atomic.Bool
	var appending, reading sync.WaitGroup
	appending.Go(func() {
		for !over.Load() {
			if err := appendAndWait(s.log, batchOf("x")); err != nil {
				s.Error(err)
				return
			}
			s.log.Trim(s.log.State().Next.Seq - 10)
		}
	})
	for range readers {
		reading.Go(func() {
			for i := range rounds {
				var gone atomic.Bool
				var wakes atomic.Int64
				w := &eventlog.Watcher{Wake: func(bool) {
					if gone.Load() || wakes.Add(1) > 1 {
						s.Error("a Wake too many")
					}
				}}
				from := s.log.State().Next.Seq
				if i%4 == 0 {
					from-- // perhaps there, perhaps trimmed
				}
				s.log.Watch(from, w)
				if i%2 == 0 {
					s.log.State() // a moment of time
				}
				s.log.Unwatch(w)
				gone.Store(true)
			}
		})
	}
	reading.Wait()
	over.Store(true)
	appending.Wait()
}
