package eventhubs

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
)

// TestDelayLine: what waits keeps its order, whatever each was to wait.
func TestDelayLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDelayLine(clock.System)
		start := time.Now()
		var got []string
		note := func(name string) func() {
			return func() { got = append(got, fmt.Sprint(name, time.Since(start).Seconds())) }
		}
		put := func(name string, seconds int) { d.add(time.Duration(seconds)*time.Second, note(name)) }
		put("a", 3)
		put("b", 1)
		put("c", 3)
		put("d", 5)
		time.Sleep(time.Second)
		put("e", 1)
		d.add(5*time.Second, func() {
			note("f")()
			put("g", 1)
			put("h", 0)
		})
		time.Sleep(time.Minute)
		put("i", 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := "a3 b3 c3 d5 e5 f6 g7 h7 i62"; strings.Join(got, " ") != want {
			t.Errorf("ran %q, want %s", got, want)
		}
		if len(d.waiting) != 0 || d.busy {
			t.Errorf("left: %+v, busy %v", d.waiting, d.busy)
		}
	})
}

// TestDelayLineHurry: many add at once, and each keeps its own order.
func TestDelayLineHurry(t *testing.T) {
	t.Parallel()
	d := newDelayLine(clock.System)
	const adders, each = 8, 500
	var ran [adders][]int // one runs at a time
	var all sync.WaitGroup
	all.Add(adders * each)
	for i := range adders {
		go func() {
			for n := range each {
				d.add(time.Duration(n%3)*time.Microsecond, func() { ran[i] = append(ran[i], n); all.Done() })
			}
		}()
	}
	all.Wait()
	for i := range ran {
		if len(ran[i]) != each || !slices.IsSorted(ran[i]) {
			t.Errorf("adder %d: %d ran, in order: %v", i, len(ran[i]), slices.IsSorted(ran[i]))
		}
	}
}

// shrinking are rules that put off each send for a shorter time than the one before.
type shrinking struct {
	mu   sync.Mutex
	op   hub.Op
	wait time.Duration
}

func (s *shrinking) Ask(q *hub.Subject) hub.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Op != s.op {
		return hub.Verdict{}
	}
	s.wait -= time.Second
	return hub.Verdict{Delay: s.wait}
}

// TestDelayedSends: what a link sends stays in order while it waits, and counts as unsettled until it is acknowledged.
func TestDelayedSends(t *testing.T) {
	t.Parallel()
	const n, wait = 30, 40 * time.Second // before the service settles replies that nobody has taken
	for op, kept := range map[hub.Op]int64{hub.Send: 0, hub.Stored: n} {
		for name, rules := range map[string]hub.Rules{
			"all as long":       &script{op: op, v: hub.Verdict{Delay: wait}, times: -1},
			"each not as long":  &shrinking{op: op, wait: wait + time.Second},
			"the first of them": &script{op: op, v: hub.Verdict{Delay: wait}, times: 1},
		} {
			t.Run(fmt.Sprint(op, "/", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{})
					c := r.root()
					s := c.attach(sending("hub1/Partitions/0"))
					p := r.hub("ns1").PartitionAt(0)
					r.hall.SetRules(rules)
					var want []string
					for i := range n {
						want = append(want, fmt.Sprint(i))
						s.transfer(amqp.FormatMessage, false, plain(want[i]))
						synctest.Wait() // a burst of its own
					}
					waiting := int64(n)
					if name == "the first of them" {
						waiting, want = 1, append(want[1:], "0")
						if op == hub.Stored {
							want = append([]string{"0"}, want[:n-1]...)
						}
					}
					if l := r.hall.Links()[0]; l.Unsettled != waiting {
						t.Errorf("%d are unsettled while %d wait", l.Unsettled, waiting)
					}
					if got := p.State().Next.Seq; got != max(kept, n-waiting) {
						t.Errorf("%d are stored", got)
					}
					time.Sleep(wait - 1)
					if l := r.hall.Links()[0]; l.Unsettled != waiting {
						t.Errorf("%d are unsettled before the time", l.Unsettled)
					}
					time.Sleep(1)
					synctest.Wait()
					if l := r.hall.Links()[0]; l.Unsettled != 0 {
						t.Errorf("%d are unsettled in the end", l.Unsettled)
					}
					if got, _ := stored(t, p); !slices.Equal(got, want) {
						t.Errorf("stored %q", got)
					}
					outcomes := s.settled(1, n) // 0 was the token's
					for id, state := range outcomes {
						if state.Code != amqp.CodeAccepted {
							t.Errorf("%d: %v", id, state)
						}
					}
				})
			})
		}
	}
}

// TestUnsettledByRules: whatever rules do, at once or later, nothing counts as unsettled in the end.
func TestUnsettledByRules(t *testing.T) {
	t.Parallel()
	for _, op := range []hub.Op{hub.Send, hub.Stored} {
		for _, action := range []hub.Action{hub.Pass, hub.Refuse, hub.Detach, hub.CloseConn, hub.Drop, hub.Swallow, hub.Expire, hub.Rewind} {
			for _, delay := range []time.Duration{0, time.Minute} {
				t.Run(fmt.Sprint(op, "/", action, "/", delay), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, rigOptions{})
						c := r.root()
						s := c.attach(sending("hub1/Partitions/0"))
						var mu sync.Mutex
						var unsettled, least int64
						stop := r.hall.Watch(func() {
							links := r.hall.Links()
							mu.Lock()
							defer mu.Unlock()
							unsettled = 0 // of a link that is gone
							for _, l := range links {
								unsettled = l.Unsettled
							}
							least = min(least, unsettled)
						})
						defer stop()
						r.hall.SetRules(&script{op: op, v: hub.Verdict{Action: action, Delay: delay}, times: -1})
						for _, body := range []string{"a", "b"} {
							s.transfer(amqp.FormatMessage, false, plain(body))
							synctest.Wait() // a burst of its own
						}
						mu.Lock()
						if delay > 0 && unsettled != 2 {
							t.Errorf("%d are unsettled while two wait", unsettled)
						}
						mu.Unlock()
						time.Sleep(delay)
						synctest.Wait()
						mu.Lock()
						defer mu.Unlock()
						if unsettled != 0 || least < 0 {
							t.Errorf("%d are unsettled in the end, %d at the least", unsettled, least)
						}
					})
				})
			}
		}
	}
}
