package load

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Options describe a load.
type Options struct {
	Peer     Peer
	Events   int  // in a transfer; above 1 they are Event Hubs batches
	Bytes    int  // of an event's body, 8 at least
	Settled  bool // sent settled: nothing is acknowledged
	Readers  int  // each in a group of its own
	InFlight int  // transfers between send and completion
	PerSec   int  // go-amqp only: transfers are sent by schedule, whatever is in flight, and latency counts from the schedule. 0: closed loop
}

const stampBytes = 8 // at the end of each message: big-endian nanoseconds since Run.began

// Run is a load under way. Its methods may be called from any goroutine.
type Run struct {
	o     Options
	began time.Time

	sent   atomic.Int64 // transfers
	lanes  []*lane      // what has to happen to a transfer before it is complete
	reads  []*lane      // those of them that are readers
	record atomic.Bool
	room   chan struct{} // capacity 1: something was completed, or credit came

	stopping atomic.Bool
	stopped  chan struct{}
	hangUp   []func() // makes goroutines that wait for the peer return
	close    []func() // what can go only when they have returned
	running  sync.WaitGroup

	mu  sync.Mutex
	err error
}

// lane counts what one reader got, or what was accepted.
type lane struct {
	n       atomic.Int64 // transfers
	latency Histogram    // of the reader's goroutine until the run has ended
}

func newRun(o Options) (*Run, error) {
	if o.Bytes < stampBytes || o.Events < 1 || o.InFlight < 1 || o.Settled && o.Readers == 0 {
		return nil, fmt.Errorf("load: %d events of %d bytes, %d readers, %d in flight: the loop cannot close", o.Events, o.Bytes, o.Readers, o.InFlight)
	}
	return &Run{o: o, began: time.Now(), room: make(chan struct{}, 1), stopped: make(chan struct{})}, nil
}

func (r *Run) lane(reader bool) *lane {
	l := &lane{}
	r.lanes = append(r.lanes, l)
	if reader {
		r.reads = append(r.reads, l)
	}
	return l
}

func (r *Run) now() int64 { return int64(time.Since(r.began)) }

// add counts n more transfers on a lane.
func (r *Run) add(l *lane, n int) {
	l.n.Add(int64(n))
	r.wake()
}

func (r *Run) wake() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}

func (r *Run) completed() int64 {
	n := int64(math.MaxInt64)
	for _, l := range r.lanes {
		n = min(n, l.n.Load())
	}
	return n
}

// wait blocks until n more transfers may be in flight and ok agrees. It is false when the run ends.
func (r *Run) wait(n int, ok func() bool) bool {
	for !r.stopping.Load() {
		if r.sent.Load()-r.completed()+int64(n) <= int64(r.o.InFlight) && ok() {
			return true
		}
		select {
		case <-r.room:
		case <-r.stopped:
		}
	}
	return false
}

// spawn runs f on a goroutine of the run. Its error ends the run, unless that is ending anyway.
func (r *Run) spawn(f func() error) {
	r.running.Add(1)
	go func() {
		defer r.running.Done()
		if err := f(); err != nil {
			r.end(err)
		}
	}()
}

func (r *Run) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping.Swap(true) {
		return
	}
	r.err = err
	close(r.stopped)
	for _, f := range r.hangUp {
		f()
	}
}

// Progress is how far a run has come.
type Progress struct {
	Completed int64 // events every reader has, and the peer accepted if it was to
	Delivered int64 // events that readers have, all together
}

// Progress is now.
func (r *Run) Progress() Progress {
	p := Progress{Completed: r.completed() * int64(r.o.Events)}
	for _, l := range r.reads {
		p.Delivered += l.n.Load() * int64(r.o.Events)
	}
	return p
}

// Record starts keeping latencies.
func (r *Run) Record() { r.record.Store(true) }

// Wait returns when something has ended the run: the error that did.
func (r *Run) Wait() error {
	<-r.stopped
	_, err := r.Stop()
	return err
}

const stopTime = 10 * time.Second

// Stop ends the run and gives the latencies that were recorded, of all readers together. The error is what ended it before.
func (r *Run) Stop() (*Histogram, error) {
	r.end(nil)
	ended := make(chan struct{})
	go func() {
		r.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopTime):
		return nil, fmt.Errorf("load: a call to the client has not returned %s after it was told to", stopTime)
	}
	for _, f := range r.close {
		f()
	}
	all := &Histogram{}
	for _, l := range r.reads {
		all.Merge(&l.latency)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return all, r.err
}
