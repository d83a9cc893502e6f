package eventhubs

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	var b breaker
	refuses := func(s float64, want time.Duration) {
		t.Helper()
		if wait, yes := b.refuses(at(s)); wait != want || yes != (want > 0) {
			t.Errorf("at %v: refuses for %v (%v), want %v", s, wait, yes, want)
		}
	}
	pass := func(s float64, want string) {
		t.Helper()
		probe, ok := b.pass(at(s))
		if got := map[bool]string{true: "probe", false: "yes"}[probe]; ok && got != want || !ok && want != "no" {
			t.Errorf("at %v: passes: %v as %s, want %s", s, ok, got, want)
		}
	}
	busy := func(s float64, probe bool, wantPause time.Duration, wantAgain bool) {
		t.Helper()
		if pause, again := b.busy(at(s), probe); pause != wantPause || again != wantAgain {
			t.Errorf("at %v: a pause of %v, again %v; want %v, %v", s, pause, again, wantPause, wantAgain)
		}
	}
	refuses(0, 0)
	pass(0, "yes")
	busy(0, false, time.Second, false)
	busy(0.5, false, 0, false) // sent before the pause
	refuses(0.5, 500*time.Millisecond)
	pass(0.9, "no")
	refuses(1, 0) // the next may be the probe
	pass(1, "probe")
	pass(1.1, "no")
	refuses(1.1, 100*time.Millisecond)
	busy(2, true, time.Second, true)
	pass(3, "probe")
	b.unused()
	pass(3, "probe")
	busy(20, true, 5*time.Second, true)
	pass(25, "probe")
	busy(1000, true, 30*time.Second, true)
	pass(1030, "probe")
	b.answered()
	refuses(1030, 0)
	pass(1030, "yes")
	busy(1031, false, time.Second, false)
}

// TestStorm: the hub is busy for a while, and callers keep coming. All are answered at once while it is known to be busy, one batch a pause
// finds out, and soon after the storm everything goes again.
func TestStorm(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 7 * time.Second} {
		t.Run(length.String(), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex // guards probes
			probes := 0
			start := time.Now()
			s := &fake{rtt: 5 * time.Millisecond, answer: func(context.Context, target, []string) error {
				if since := time.Since(start); since < length {
					mu.Lock()
					defer mu.Unlock()
					if since > 10*time.Millisecond { // what was sent before the first refusal
						probes++
					}
					return failure(notify.Busy)
				}
				return nil
			}}
			bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
				start = time.Now()
				var all []*later
				const every = 10 * time.Millisecond
				for i := range int((length + 2*time.Second) / every) {
					all = append(all, n.later(t.Context(), time.Duration(i)*every, keyed(fmt.Sprint(i%20), fmt.Sprint(i))...))
				}
				recovered := time.Duration(0)
				for i, l := range all {
					at := time.Duration(i) * every
					switch text := l.reasons(); {
					case text == "busy" && l.results[0].Err.(*notify.Error).RetryAfter <= 0:
						t.Errorf("at %v: busy, without a time to wait", at)
					case text == "busy" && at > every && l.took > 5*time.Millisecond && l.took < time.Second-2*every:
						t.Errorf("at %v: busy after %v, want at once, unless it was kept for a probe", at, l.took)
					case text == "busy":
						recovered = 0
					case recovered == 0:
						recovered = at + l.took
					}
				}
				if recovered == 0 || recovered > length+2*time.Second {
					t.Errorf("a storm of %v was over at %v, want within 2s", length, recovered)
				}
				if limit := int(length/time.Second) + 1; probes > limit {
					t.Errorf("%d batches went into a storm of %v, want %d at most", probes, length, limit)
				}
				if now := n.Stats(); now.BreakerOpen || now.Throttled == 0 {
					t.Errorf("after the storm: %+v", now)
				}
			})
		})
	}
}

// TestHiccup: one refusal is kept from callers that can wait, and what else waits is not lost.
func TestHiccup(t *testing.T) {
	t.Parallel()
	s := &fake{rtt: time.Millisecond, answer: failTimes(2, notify.Busy)}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		a := n.later(t.Context(), 0, keyed("k", "a")...)
		b := n.later(t.Context(), 500*time.Microsecond, keyed("k", "b")...)
		hurried := n.later(within(t, 500*time.Millisecond), 0, keyed("other", "c")...)
		time.Sleep(2 * time.Millisecond)
		want(t, "breaker is open", n.Stats().BreakerOpen, true)
		late := n.later(t.Context(), 0, keyed("k", "d")...)
		want(t, "late", late.reasons(), "busy")
		want(t, "it waits", late.results[0].Err.(*notify.Error).RetryAfter, 999*time.Millisecond)
		want(t, "kept", a.reasons()+" "+b.reasons(), "stored stored")
		want(t, "hurried", hurried.reasons(), "busy")
		want(t, "hurried is told", hurried.took, s.rtt)
		want(t, "it took", a.took, time.Second+2*time.Millisecond)
	})
}

// TestProbeThatLeaves: a probe whose caller goes leaves its place to another.
func TestProbeThatLeaves(t *testing.T) {
	t.Parallel()
	s := &fake{rtt: 10 * time.Millisecond, answer: failTimes(2, notify.Busy)}
	s.opened = func(target) error { time.Sleep(50 * time.Millisecond); return nil }
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		ctx, cancel := context.WithCancel(t.Context())
		a := n.later(ctx, 0, keyed("a", "a")...)
		b := n.later(t.Context(), 55*time.Millisecond, keyed("b", "b")...) // under way when the first is refused
		time.Sleep(1070 * time.Millisecond)                                // the probe opens
		cancel()
		want(t, "left", a.reasons(), "expired")
		want(t, "other", b.reasons(), "stored")
		if n.Stats().BreakerOpen {
			t.Error("the breaker is open after an answer")
		}
	})
}
