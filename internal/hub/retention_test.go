package hub

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// countingClock knows how many calls are still to come, and how many came.
type countingClock struct {
	clock.Clock

	mu      sync.Mutex
	pending int
	fired   int
}

func (c *countingClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.add(1, 0)
	return countingTimer{c, c.Clock.AfterFunc(d, func() { c.add(-1, 1); f() })}
}

func (c *countingClock) add(pending, fired int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending += pending
	c.fired += fired
}

func (c *countingClock) state() (pending, fired int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending, c.fired
}

type countingTimer struct {
	c *countingClock
	clock.Timer
}

func (t countingTimer) Stop() bool {
	was := t.Timer.Stop()
	if was {
		t.c.add(-1, 0)
	}
	return was
}

func (t countingTimer) Reset(d time.Duration) bool {
	was := t.Timer.Reset(d)
	if !was {
		t.c.add(1, 0)
	}
	return was
}

// after lets fake time pass, and all that happens in it be done.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantKept(t *testing.T, when string, p *Partition, want int64) {
	t.Helper()
	if s := p.State(); s.Next.Seq-s.First != want {
		t.Errorf("%s: partition %s keeps %d records, want %d", when, p.ID(), s.Next.Seq-s.First, want)
	}
}

func wantPending(t *testing.T, when string, c *countingClock, want int) {
	t.Helper()
	if got, _ := c.state(); got != want {
		t.Errorf("%s: %d timers, want %d", when, got, want)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &countingClock{Clock: clock.System}
		h := newHall(t, Options{Clock: c, Retention: time.Hour})
		b := newHub(t, h, Spec{Name: "orders", Partitions: 3})
		after(48 * time.Hour)
		wantPending(t, "before the first append", c, 0)

		p, q := b.PartitionAt(0), b.PartitionAt(2)
		if err := errors.Join(appendN(p, 3), appendN(q, 1)); err != nil {
			t.Fatal(err)
		}
		wantPending(t, "after two appends", c, 1)
		after(30 * time.Minute)
		if err := appendN(p, 2); err != nil {
			t.Fatal(err)
		}
		after(30*time.Minute - time.Millisecond)
		wantKept(t, "just before the time is over", p, 5)
		wantKept(t, "just before the time is over", q, 1)
		after(time.Millisecond)
		wantKept(t, "when the time is over", p, 2)
		wantKept(t, "when the time is over", q, 0)
		wantPending(t, "while records are left", c, 1)
		after(30 * time.Minute)
		wantKept(t, "when the second time is over", p, 0)
		after(3 * time.Hour)
		wantPending(t, "when nothing is left", c, 0)
		if _, fired := c.state(); fired > 4 {
			t.Errorf("%d calls of the clock for two moments", fired)
		}

		if err := appendN(q, 1); err != nil {
			t.Fatal(err)
		}
		wantPending(t, "after an append long after", c, 1)
		after(time.Hour)
		wantKept(t, "at the end", q, 0)
		if next := q.State().Next.Seq; next != 2 {
			t.Errorf("next sequence number %d, want 2", next)
		}
	})
}

// TestRetentionEnds looks for timers that outlive what they are for.
func TestRetentionEnds(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		end  func(h *Hall) error
	}{
		{"hub deleted", func(h *Hall) error { return h.Namespace("ns").DeleteHub("orders") }},
		{"namespace deleted", func(h *Hall) error { return h.DeleteNamespace("ns") }},
		{"hall closed", func(h *Hall) error { return h.Close() }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &countingClock{Clock: clock.System}
				h := newHall(t, Options{Clock: c})
				b := newHub(t, h, Spec{Name: "orders", Partitions: 1})
				if err := appendN(b.PartitionAt(0), 1); err != nil {
					t.Fatal(err)
				}
				wantPending(t, "before", c, 1)
				if err := row.end(h); err != nil {
					t.Fatal(err)
				}
				_ = appendN(b.PartitionAt(0), 1)
				wantPending(t, "after", c, 0)
			})
		})
	}
}

func TestRetentionOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &countingClock{Clock: clock.System}
		h := newHall(t, Options{Clock: c, Retention: -1})
		forever := newHub(t, h, Spec{Name: "forever", Partitions: 1})
		short := newHub(t, h, Spec{Name: "short", Partitions: 1, Retention: time.Minute})
		if err := errors.Join(appendN(forever.PartitionAt(0), 1), appendN(short.PartitionAt(0), 1)); err != nil {
			t.Fatal(err)
		}
		wantPending(t, "one hub has a retention", c, 1)
		after(10000 * time.Hour)
		wantKept(t, "after long", forever.PartitionAt(0), 1)
		wantKept(t, "after long", short.PartitionAt(0), 0)
	})
}

// TestRetentionResumes has time run out while no hall is there.
func TestRetentionResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		h := newHall(t, Options{Store: store, Retention: time.Hour})
		p := newHub(t, h, Spec{Name: "orders", Partitions: 2}).PartitionAt(1)
		newHub(t, h, Spec{Name: "empty", Partitions: 1})
		if err := appendN(p, 2); err != nil {
			t.Fatal(err)
		}
		after(59 * time.Minute)
		if err := appendN(p, 1); err != nil {
			t.Fatal(err)
		}
		h.Close()
		after(31 * time.Minute)
		c := &countingClock{Clock: clock.System}
		h = newHall(t, Options{Store: store, Retention: time.Hour, Clock: c})
		wantPending(t, "only the hub with records needs one", c, 1)
		synctest.Wait()
		b, err := h.Namespace("ns").Hub("orders")
		if err != nil {
			t.Fatal(err)
		}
		wantKept(t, "at once", b.PartitionAt(1), 1)
		after(29 * time.Minute)
		wantKept(t, "later", b.PartitionAt(1), 0)
	})
}

// TestRetentionIsNotRecordByRecord appends a record each 10 ms: passes come no faster than the slack.
func TestRetentionIsNotRecordByRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &countingClock{Clock: clock.System}
		h := newHall(t, Options{Clock: c})
		p := newHub(t, h, Spec{Name: "orders", Partitions: 1, Retention: time.Minute}).PartitionAt(0)
		for range 12000 { // 2 minutes
			if err := appendN(p, 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, fired := c.state(); fired < 59 || fired > 61 {
			t.Errorf("%d passes in a minute of records running out, want one a second", fired)
		}
		if s := p.State(); s.Next.Seq-s.First < 5999 || s.Next.Seq-s.First > 6100 {
			t.Errorf("%d records kept, want those of the last minute and at most a second more", s.Next.Seq-s.First)
		}
	})
}

// oddLog is a log that shows what is appended only later, or whose Seek fails.
type oddLog struct {
	eventlog.Log

	mu      sync.Mutex
	late    bool
	held    []*eventlog.Batch
	seekErr error
}

func (l *oddLog) Append(b *eventlog.Batch) {
	l.mu.Lock()
	late := l.late
	if late {
		l.held = append(l.held, b)
	}
	l.mu.Unlock()
	if !late {
		l.Log.Append(b)
	}
}

func (l *oddLog) show() {
	l.mu.Lock()
	held := l.held
	l.held, l.late = nil, false
	l.mu.Unlock()
	for _, b := range held {
		l.Log.Append(b)
	}
}

func (l *oddLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seekErr = err
}

func (l *oddLog) Seek(q eventlog.Query, done func(eventlog.Position, error)) {
	l.mu.Lock()
	err := l.seekErr
	l.mu.Unlock()
	if err != nil {
		go done(eventlog.Position{}, err) // as a disk would: not on the caller's goroutine
		return
	}
	l.Log.Seek(q, done)
}

type oddStore struct {
	eventlog.Store
	log oddLog
}

func (s *oddStore) Open(hub eventlog.HubID, partition int, o eventlog.Options) (eventlog.Log, error) {
	log, err := s.Store.Open(hub, partition, o)
	s.log.Log = log
	return &s.log, err
}

// TestRetentionOfLateRecords: a pass that comes between an append and its becoming visible must not be the last.
func TestRetentionOfLateRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &oddStore{Store: newStore(t)}
		store.log.late = true
		h := newHall(t, Options{Store: store, Retention: time.Hour})
		p := newHub(t, h, Spec{Name: "orders", Partitions: 1}).PartitionAt(0)
		p.Append(&eventlog.Batch{Records: []eventlog.Record{{Step: 64, Data: []byte("x")}}, Done: func(*eventlog.Batch) {}})
		after(time.Hour + time.Minute)
		store.log.show()
		wantKept(t, "when it shows", p, 1)
		after(2 * time.Hour)
		wantKept(t, "in the end", p, 0)
	})
}

// TestRetentionSurvivesErrors: a partition that cannot be searched now is searched again.
func TestRetentionSurvivesErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &oddStore{Store: newStore(t)}
		h := newHall(t, Options{Store: store, Retention: time.Hour})
		p := newHub(t, h, Spec{Name: "orders", Partitions: 1}).PartitionAt(0)
		store.log.fail(errBroken)
		if err := appendN(p, 1); err != nil {
			t.Fatal(err)
		}
		after(5 * time.Hour)
		wantKept(t, "while it fails", p, 1)
		store.log.fail(nil)
		after(time.Hour)
		wantKept(t, "afterwards", p, 0)
	})
}
