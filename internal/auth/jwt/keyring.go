package jwt

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

const (
	setAgeMax   = 24 * time.Hour   // of a set that cannot be fetched again
	askPauseMin = 30 * time.Second // between refreshes for unknown kids
	absentTime  = 2 * time.Minute  // for which a kid that was looked for in vain is not looked for again
	absentMax   = 64               // such kids remembered
	retryMin    = 2 * time.Second  // after a first failure, then doubled
	retryMax    = time.Minute
)

// keyring holds the keys of one issuer. Its goroutine, run, is the only one that uses the source and stores the set. Requests read the set,
// and may ask for a look at the source and wait for its end.
type keyring struct {
	issuer  string
	source  source // nil: the set is fixed, and there is no goroutine
	clock   clock.Clock
	log     *slog.Logger
	changed func() // called after another set is in use
	wake    chan struct{}

	set      atomic.Pointer[keySet] // nil before the first load
	loaded   atomic.Int64           // time of the last load that succeeded, nanoseconds since 1970
	loads    atomic.Uint64
	failures atomic.Uint64

	mu       sync.Mutex    // guards what follows; never held while loading
	pending  chan struct{} // a load that runs or is about to; closed at its end. nil: none
	failed   int           // failures since the last success
	failure  error         // of the last load
	next     time.Time     // when the next load is due
	timer    clock.Timer   // for that
	asked    time.Time     // when an unknown kid last led to a load
	absent   [absentMax]absence
	absentAt int // index of the oldest
	closed   bool
}

// absence is a kid that a load did not find.
type absence struct {
	kid   string
	until time.Time
}

// start begins the first load.
func (r *keyring) start(ctx context.Context, running *sync.WaitGroup) {
	r.wake = make(chan struct{}, 1)
	r.timer = r.clock.AfterFunc(freshMax, r.due)
	r.due()
	running.Go(func() { r.run(ctx) })
}

func (r *keyring) run(ctx context.Context) {
	defer r.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.load(ctx)
		}
	}
}

func (r *keyring) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.timer.Stop()
	if r.pending != nil {
		close(r.pending)
		r.pending = nil
	}
}

// due asks for a load because it is time.
func (r *keyring) due() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.askLocked()
}

func (r *keyring) askLocked() {
	if r.pending == nil && !r.closed {
		r.pending = make(chan struct{})
		r.wake <- struct{}{} // has room: it is empty while no load is pending
	}
}

func (r *keyring) load(ctx context.Context) {
	set, fresh, err := r.source.load(ctx)
	if ctx.Err() != nil {
		return
	}
	r.loads.Add(1)
	if err == nil {
		err = r.adopt(set, r.clock.Now())
	}
	if err != nil {
		r.failures.Add(1)
	}
	retry, wasFailing := r.settle(fresh, err)
	switch {
	case err != nil:
		r.log.Warn("keys of an issuer cannot be loaded", "issuer", r.issuer, "err", err, "usable", r.current() != nil, "retry", retry)
	case wasFailing:
		r.log.Info("keys of an issuer can be loaded again", "issuer", r.issuer)
	}
}

// settle ends a load: it says when the next is due, and wakes those who wait.
func (r *keyring) settle(fresh time.Duration, err error) (next time.Time, wasFailing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wasFailing = r.failed > 0
	r.failure = err
	if err == nil {
		r.failed = 0
	} else {
		fresh = min(retryMin<<min(r.failed, 10), retryMax)
		r.failed++
	}
	fresh += rand.N(fresh / 10) // so that replicas do not come all at once
	r.next = r.clock.Now().Add(fresh)
	r.timer.Reset(fresh)
	close(r.pending)
	r.pending = nil
	return r.next, wasFailing
}

// adopt puts a set into use. A later set without usable keys is taken as the issuer's word that none is good any more.
func (r *keyring) adopt(set *keySet, now time.Time) error {
	before := r.set.Load()
	if before == nil {
		if err := set.checkUsable(); err != nil {
			return err
		}
	}
	if r.source != nil {
		set.until = now.Add(setAgeMax)
		r.loaded.Store(now.UnixNano())
	}
	r.set.Store(set)
	if before != nil && before.document == set.document {
		return nil
	}
	r.changed()
	for _, why := range set.ignored {
		r.log.Warn("a key of an issuer is passed over", "issuer", r.issuer, "why", why)
	}
	level := slog.LevelInfo
	if r.source == nil {
		level = slog.LevelDebug // given with the options: whoever gave them knows
	}
	r.log.Log(context.Background(), level, "keys of an issuer are loaded", "issuer", r.issuer, "keys", set.size())
	return nil
}

// current is the set in use, nil before the first load and after the last good one became too old.
func (r *keyring) current() *keySet {
	set := r.set.Load()
	if set != nil && !set.until.IsZero() && r.clock.Now().After(set.until) {
		return nil
	}
	return set
}

// find gives the set that has keys for a kid. It waits only where there is none: for a load that runs, and for one of its own, since what
// ran before may have begun before the key was published.
func (r *keyring) find(ctx context.Context, kid string) (*keySet, *Error) {
	for {
		set := r.current()
		if set != nil && len(set.keys(kid)) > 0 {
			return set, nil
		}
		wait, own := r.ask(kid, set != nil)
		if wait == nil {
			if r.current() != set {
				continue // a load ended since this looked
			}
			return nil, r.missing(kid, set != nil)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, unavailable(time.Second, ctx.Err(), "the request ended while the keys of the token's issuer were fetched")
		}
		if own {
			r.noteAbsent(kid)
		}
	}
}

// ask gives a channel that is closed at the end of a load, and tells whether that load is for this kid; nil: none is to be had now. Without
// a usable set loads run by their own schedule, which no request can hurry.
func (r *keyring) ask(kid string, usable bool) (wait <-chan struct{}, own bool) {
	if r.source == nil {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending != nil {
		return r.pending, false
	}
	now := r.clock.Now()
	if r.closed || !usable || kid == "" || now.Sub(r.asked) < askPauseMin || r.isAbsentLocked(kid, now) {
		return nil, false
	}
	r.asked = now
	r.askLocked()
	return r.pending, true
}

// noteAbsent remembers a kid that a load made for it did not bring.
func (r *keyring) noteAbsent(kid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if set := r.set.Load(); r.failure != nil || set != nil && len(set.keys(kid)) > 0 {
		return
	}
	r.absent[r.absentAt] = absence{kid, r.clock.Now().Add(absentTime)}
	r.absentAt = (r.absentAt + 1) % absentMax
}

func (r *keyring) isAbsentLocked(kid string, now time.Time) bool {
	for i := range r.absent {
		if r.absent[i].kid == kid && now.Before(r.absent[i].until) {
			return true
		}
	}
	return false
}

// missing says why there is no key: a token is refused only if its issuer, asked a short time ago, does not know the key.
func (r *keyring) missing(kid string, usable bool) *Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	switch {
	case r.closed:
		return unavailable(0, http.ErrServerClosed, "this service is shutting down")
	case r.failure != nil && usable:
		return unavailable(r.next.Sub(now), r.failure, "the token is signed with a key that is not known, and its issuer cannot be asked at present")
	case !usable:
		return unavailable(r.next.Sub(now), r.failure, "the keys of the token's issuer could not be fetched yet")
	case r.source != nil && kid != "" && now.Sub(r.asked) < askPauseMin && !r.isAbsentLocked(kid, now):
		return unavailable(askPauseMin-now.Sub(r.asked), nil, "the token is signed with a key that is not known, and its issuer was asked for another a moment ago")
	}
	return refuse(UnknownKey, "the token is signed with a key that its issuer does not publish, or names none; get a new one")
}

// ready says why the keys were never loaded.
func (r *keyring) ready() error {
	if r.set.Load() != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		return fmt.Errorf("the keys of issuer %s are being fetched", r.issuer)
	}
	return fmt.Errorf("the keys of issuer %s could not be fetched: %w", r.issuer, r.failure)
}
