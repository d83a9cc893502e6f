package evhubtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/kit"
)

// mirror copies a remote hub, from a mark on, into a broker of our own, under the same places and times: so a Recorder works on it as on
// any other hub.
type mirror struct {
	hub  string
	wire Remote
	next []int64 // of the mark
	grew bell    // an event came, or why none will

	mu   sync.Mutex // guards what follows
	logs []*mirrorLog
	err  error // why a partition is not read any more
}

// record begins a mirror that ends with the test.
func (r *remote) record(t testing.TB, m Mark) *Recorder {
	t.Helper()
	mir := &mirror{hub: m.hub, wire: r.wire, next: m.next, logs: make([]*mirrorLog, len(m.next))}
	b, err := New(Hub(m.hub, len(m.next)), Seed(0), func(o *options) { o.mirror = mir })
	if err != nil {
		t.Fatal("evhubtest: " + explain(err))
	}
	ctx, stop := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for p := range m.next {
		readers.Go(func() { mir.read(ctx, b.space, p) })
	}
	t.Cleanup(func() {
		t.Helper()
		stop()
		readers.Wait()
		if err := b.stop(); err != nil {
			t.Error("evhubtest: ", err)
		}
	})
	return newRecorder(b, m.hub, b.space.Mark())
}

func (m *mirror) read(ctx context.Context, space *kit.Space, partition int) {
	err := m.wire.Read(ctx, m.hub, partition, m.next[partition], func(e Event) error {
		defer m.grew.ring()
		return m.take(ctx, space, partition, e)
	})
	if ctx.Err() != nil {
		return // the test is over
	}
	if err == nil {
		err = errors.New("it ended")
	}
	m.mu.Lock()
	if m.err == nil {
		m.err = fmt.Errorf("partition %d: %w", partition, err)
	}
	m.mu.Unlock()
	m.grew.ring()
}

func (m *mirror) take(ctx context.Context, space *kit.Space, partition int, e Event) error {
	if err := m.log(partition).note(e); err != nil {
		return err
	}
	e.Partition = strconv.Itoa(partition)
	_, err := space.Publish(ctx, m.hub, e)
	return err
}

func (m *mirror) log(partition int) *mirrorLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logs[partition]
}

func (m *mirror) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// catchUp waits until everything is here that the remote hub had when it was called.
func (m *mirror) catchUp(ctx context.Context) error {
	ends, err := m.wire.Positions(ctx, m.hub)
	if err != nil {
		return err
	}
	err = m.grew.until(ctx, func() bool {
		if m.failed() != nil {
			return true
		}
		for p, end := range ends {
			if p < len(m.next) && m.log(p).State().Next.Seq < end {
				return false
			}
		}
		return true
	})
	return errors.Join(m.failed(), err)
}

// store has logs that show events where and when the remote hub stored them.
func (m *mirror) store() *logStore {
	return &logStore{Store: memlog.New(memlog.Options{}), open: func(inner *memlog.Store, hub eventlog.HubID, partition int,
		o eventlog.Options) (eventlog.Log, error) {
		l, err := inner.Open(hub, partition, o)
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.logs[partition] = &mirrorLog{Log: l, start: m.next[partition]}
		return m.logs[partition], nil
	}}
}

// mirrorLog has the positions of another log. Its own counts from 0 without gaps; the other may have gaps, or begin later than it was
// thought to: a partition that never had an event does not say what number the first one gets.
type mirrorLog struct {
	eventlog.Log
	start int64 // sequence number to begin with

	mu     sync.Mutex
	places []eventlog.Position // of each event, the one that is about to be appended included; guarded by mu
}

// note keeps the place of the next event that is to be appended.
func (l *mirrorLog) note(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := l.nextLocked(len(l.places)); e.SequenceNumber < next {
		return fmt.Errorf("sequence number %d came where %d or more was to come", e.SequenceNumber, next)
	}
	offset, _ := strconv.ParseInt(e.Offset, 10, 64) // one that is no number is 0: a service may have other offsets
	l.places = append(l.places, eventlog.Position{Seq: e.SequenceNumber, Offset: offset, TimeMs: e.EnqueuedAt.UnixMilli()})
	return nil
}

// nextLocked is the least sequence number that may come after the first n events.
func (l *mirrorLog) nextLocked(n int) int64 {
	if n == 0 {
		return l.start
	}
	return l.places[n-1].Seq + 1
}

// local is our own sequence number of the first event at or after one of theirs.
func (l *mirrorLog) local(from int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, _ := slices.BinarySearchFunc(l.places, from, func(at eventlog.Position, from int64) int { return cmp.Compare(at.Seq, from) })
	return int64(n)
}

func (l *mirrorLog) Read(from int64, bytesMax int, into *eventlog.Records) error {
	before := len(into.List)
	err := l.Log.Read(l.local(from), bytesMax, into)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := before; i < len(into.List); i++ {
		r := &into.List[i]
		r.Position = l.places[r.Seq]
	}
	return err
}

func (l *mirrorLog) Watch(from int64, w *eventlog.Watcher) { l.Log.Watch(l.local(from), w) }

// State counts what can be read.
func (l *mirrorLog) State() eventlog.State {
	s := l.Log.State()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.First, s.Next.Seq = l.start, l.nextLocked(int(s.Next.Seq))
	return s
}
