package post

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/bench/load"
)

// Options describe a load.
type Options struct {
	Addr   string   // host:port
	Path   string   // with the leading slash
	Tokens []string // the connections use them in turn; "" is none
	Body   []byte
	Events int // in a request
	Conns  int
	PerSec float64 // requests, of all connections together; 0: closed loop

	// Check says what is wrong with an answer. It is called on many goroutines. nil: only 201 is right.
	Check func(Answer) error
}

// Run is a load under way. Its methods may be called from any goroutine.
type Run struct {
	o         Options
	completed atomic.Int64 // requests
	record    atomic.Bool
	stopping  chan struct{}
	running   sync.WaitGroup
	workers   []*worker

	mu  sync.Mutex // guards err, and that stopping is closed once
	err error      // the first one
}

// worker is a connection, and the goroutine that reads from it.
type worker struct {
	run     *Run
	c       *Conn
	request []byte
	due     chan time.Time // of paced runs, capacity 1: when the request that was sent should have been
	latency load.Histogram
}

// Start connects and begins.
func Start(o Options) (*Run, error) {
	if o.Conns < 1 || len(o.Tokens) < 1 {
		return nil, fmt.Errorf("post: %d connections with %d tokens send nothing", o.Conns, len(o.Tokens))
	}
	if o.Check == nil {
		o.Check = created
	}
	r := &Run{o: o, stopping: make(chan struct{})}
	for i := range o.Conns {
		c, err := Dial(o.Addr)
		if err != nil {
			r.hangUp()
			return nil, err
		}
		r.workers = append(r.workers, &worker{
			run: r, c: c, request: Request(o.Addr, o.Path, o.Tokens[i%len(o.Tokens)], o.Body), due: make(chan time.Time, 1),
		})
	}
	if o.PerSec > 0 {
		r.pace()
		return r, nil
	}
	for _, w := range r.workers {
		r.spawn(w.loop)
	}
	return r, nil
}

func created(a Answer) error {
	if a.Status != http.StatusCreated {
		return fmt.Errorf("answered %d: %s", a.Status, a.Body)
	}
	return nil
}

// spawn runs f on a goroutine of the run. Its error ends the run.
func (r *Run) spawn(f func() error) {
	r.running.Go(func() {
		if err := f(); err != nil {
			r.end(fmt.Errorf("POST %s: %w", r.o.Path, err))
		}
	})
}

func (r *Run) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	if !r.ended() {
		close(r.stopping)
	}
}

func (r *Run) ended() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

func (r *Run) hangUp() {
	for _, w := range r.workers {
		w.c.Close()
	}
}

// loop keeps one request under way.
func (w *worker) loop() error {
	for !w.run.ended() {
		begun := time.Now()
		a, err := w.c.Do(w.request)
		if err == nil {
			err = w.done(a, begun)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) done(a Answer, since time.Time) error {
	if err := w.run.o.Check(a); err != nil {
		return err
	}
	w.run.completed.Add(1)
	if w.run.record.Load() {
		w.latency.Add(int64(time.Since(since)))
	}
	return nil
}

// pace starts one goroutine that sends by schedule, on whatever connection is free, and one that reads for each connection. What is late
// goes at once.
func (r *Run) pace() {
	free := make(chan *worker, len(r.workers))
	for _, w := range r.workers {
		free <- w
		r.spawn(func() error { return w.read(free) })
	}
	r.spawn(func() error {
		defer func() {
			for _, w := range r.workers {
				close(w.due)
			}
		}()
		return r.send(free)
	})
}

func (r *Run) send(free <-chan *worker) error {
	sleep, stop, err := load.Precise()
	if err != nil {
		return err
	}
	defer stop()
	begin := time.Now()
	for n := 0; ; n++ {
		at := begin.Add(time.Duration(float64(n) / r.o.PerSec * float64(time.Second)))
		sleep(time.Until(at))
		select {
		case <-r.stopping:
			return nil
		case w := <-free:
			w.due <- at
			if _, err := w.c.nc.Write(w.request); err != nil {
				return err
			}
		}
	}
}

// read takes the answer of each request that was sent.
func (w *worker) read(free chan<- *worker) error {
	for at := range w.due {
		a, err := w.c.answer()
		if err == nil {
			err = w.done(a, at)
		}
		if err != nil {
			return err
		}
		free <- w
	}
	return nil
}

// Progress is how many events went through.
func (r *Run) Progress() load.Progress {
	return load.Progress{Completed: r.completed.Load() * int64(r.o.Events)}
}

// Record starts keeping latencies.
func (r *Run) Record() { r.record.Store(true) }

// Wait returns when something has ended the run.
func (r *Run) Wait() { <-r.stopping }

// Stop ends the run once what is under way is answered, and gives the latencies that were recorded. The error is what ended it before.
func (r *Run) Stop() (*load.Histogram, error) {
	r.end(nil)
	late := time.AfterFunc(answerTime, r.hangUp)
	defer late.Stop()
	r.running.Wait()
	r.hangUp()
	all := &load.Histogram{}
	for _, w := range r.workers {
		all.Merge(&w.latency)
	}
	return all, r.err
}
