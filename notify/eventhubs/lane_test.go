package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// TestGroupCommit: who finds a slot free waits for nobody, and who finds none goes with the next batch.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		key  string
		o    Options
		want string
	}{
		{"key: one slot", "k", Options{}, "a|b c d e f"},
		{"no key: four slots", "", Options{}, "a|b|c|d|e f"},
		{"no key: as many slots as asked for", "", Options{Slots: 2}, "a|b|c d e f"},
		{"no key: but not more than eight", "", Options{Slots: 100}, "a|b|c|d|e|f"},
		{"linger", "k", Options{Linger: 2 * time.Millisecond}, "a b c|d e f"},
		{"linger is two milliseconds at most", "k", Options{Linger: time.Hour}, "a b c|d e f"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &fake{rtt: 10 * time.Millisecond}
			bubble(t, s, row.o, func(t *testing.T, n *Notifier) {
				var all []*later
				for i, body := range []string{"a", "b", "c", "d", "e", "f"} { // one each 900 us
					all = append(all, n.later(t.Context(), time.Duration(i)*900*time.Microsecond, keyed(row.key, body)...))
				}
				for _, l := range all {
					want(t, "result", l.reasons(), "stored")
				}
				want(t, "batches", s.text(), row.want)
				if row.o.Linger == 0 {
					want(t, "the first waited", all[0].took, s.rtt)
				}
			})
		})
	}
}

// TestOneSend: messages that come together go together, by key, and the results are in their order.
func TestOneSend(t *testing.T) {
	t.Parallel()
	s := &fake{answer: func(_ context.Context, to target, _ []string) error {
		if to.key == "bad" {
			return failure(notify.Denied)
		}
		return nil
	}}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		results := n.Send(t.Context(), "", notify.Message{Body: []byte("a"), Key: "x"}, notify.Message{Body: []byte("b"), Key: "bad"},
			notify.Message{Body: []byte("c"), Key: "x", Partition: "1"}, notify.Message{Body: []byte("d"), Key: "x"},
			notify.Message{Body: []byte("e"), Partition: "1"}, notify.Message{Body: []byte("f")})
		want(t, "results", reasonsOf(results), "stored, denied, invalid, stored, stored, stored")
		got := map[target]string{}
		for _, b := range s.take(&s.stored) {
			got[b.to] += joined([]sent{b}) + "|"
		}
		want(t, "batches", got, map[target]string{{key: "x"}: "a d|", {partition: "1"}: "e|", {}: "f|"})
		if n.Send(t.Context(), "") == nil {
			t.Error("no messages: no results, want an empty list")
		}
		stats := n.Stats()
		if stats.Stored != 4 || stats.Failed[notify.Denied] != 1 || stats.Failed[notify.Invalid] != 1 || stats.Batches != 4 || stats.Events != 5 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

// TestBatchLimits: by number and by bytes.
func TestBatchLimits(t *testing.T) {
	t.Parallel()
	many := make([]notify.Message, 2500)
	for i := range many {
		many[i] = notify.Message{Body: []byte("12345678"), Key: "k"}
	}
	for _, row := range []struct {
		name  string
		limit int
		want  string
	}{
		{"events", 0, "[1000 1000 500]"},
		{"bytes", 8 * 900, "[900 900 700]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &fake{limit: row.limit}
			bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
				for _, r := range n.Send(t.Context(), "", many...) {
					if r.Err != nil {
						t.Fatal(r.Err)
					}
				}
				var sizes []int
				for _, b := range s.take(&s.stored) {
					sizes = append(sizes, len(b.bodies))
				}
				want(t, "batches", sizes, row.want)
			})
		})
	}
}

// TestPoison: an event that is too large, or that the hub does not like, fails alone, found here or there.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		limit  int
		reason notify.Reason // of the hub; Internal: none
		want   notify.Reason
	}{
		{"too large for a batch", 8, notify.Internal, notify.TooLarge},
		{"too large for the hub", 0, notify.TooLarge, notify.TooLarge},
		{"invalid for the hub", 0, notify.Invalid, notify.Invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, key := range []string{"", "k"} {
				s := &fake{limit: row.limit, rtt: time.Millisecond}
				if row.reason != notify.Internal {
					s.answer = func(_ context.Context, _ target, bodies []string) error {
						if strings.Contains(strings.Join(bodies, ""), "poison") {
							return failure(row.reason)
						}
						return nil
					}
				}
				bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
					results := n.Send(t.Context(), "", keyed(key, "a", "b", "poison---", "d", "e", "f", "g")...)
					want(t, "results", reasonsOf(results), strings.Replace("stored, stored, ?, stored, stored, stored, stored", "?", row.want.String(), 1))
					if got := strings.ReplaceAll(s.text(), "|", " "); key != "" && got != "a b d e f g" {
						t.Errorf("stored %q, want them in order", got)
					}
				})
			}
		})
	}
}

// TestRetry: what was certainly not stored is tried three times in all, and what follows it in its lane waits.
func TestRetry(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		fails   int
		reason  notify.Reason
		resend  bool
		stored  string
		tried   string
		first   string
		retries int64
	}{
		{"once", 1, notify.Unavailable, false, "a b", "a|a b", "stored", 1},
		{"twice", 2, notify.Unavailable, false, "a b", "a|a b|a b", "stored", 3},
		{"three times", 3, notify.Unavailable, false, "b", "a|a b|a b|b", "unavailable", 4},
		{"lost", 1, notify.Unknown, false, "b", "a|b", "unknown", 0},
		{"lost, resend", 1, notify.Unknown, true, "a b", "a|a b", "stored", 1},
		{"lost three times, resend", 3, notify.Unknown, true, "b", "a|a b|a b|b", "unknown", 4},
		{"denied", 1, notify.Denied, false, "b", "a|b", "denied", 0},
		{"not found", 1, notify.NotFound, false, "b", "a|b", "not found", 0},
		{"invalid and alone", 1, notify.Invalid, false, "b", "a|b", "invalid", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &fake{rtt: time.Millisecond, answer: failTimes(row.fails, row.reason)}
			bubble(t, s, Options{Resend: row.resend}, func(t *testing.T, n *Notifier) {
				a := n.later(t.Context(), 0, keyed("k", "a")...)
				b := n.later(t.Context(), 500*time.Microsecond, keyed("k", "b")...)
				want(t, "first", a.reasons(), row.first)
				want(t, "second", b.reasons(), "stored")
				want(t, "stored", s.text(), row.stored)
				want(t, "tried", s.tries(), row.tried)
				want(t, "retries", n.Stats().Retried, row.retries)
				if limit := time.Second; a.took > limit {
					t.Errorf("the first took %v, want less than %v", a.took, limit)
				}
			})
		})
	}
}

// TestRetryWaits: the pauses are between nothing and 100 ms, then 200 ms, each lane for itself.
func TestRetryWaits(t *testing.T) {
	t.Parallel()
	var longest [2]time.Duration
	for range 30 {
		s := &fake{answer: failTimes(2, notify.Unavailable)}
		bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
			start := time.Now()
			want(t, "result", reasonsOf(n.Send(t.Context(), "", keyed("k", "a")...)), "stored")
			for i, before := range []time.Time{start, s.tried[1].at} {
				longest[i] = max(longest[i], s.tried[i+1].at.Sub(before))
			}
			start = time.Now()
			n.Send(t.Context(), "", keyed("another", "b")...)
			want(t, "another lane waited", time.Since(start), time.Duration(0))
		})
	}
	for i, limit := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
		if longest[i] >= limit || longest[i] < limit/2 { // the chance that all 30 are below the half is one in a billion
			t.Errorf("pause %d was up to %v, want some below %v", i, longest[i], limit)
		}
	}
}

// TestRetryEndsWithDeadline: who could not wait for the next try is told at once.
func TestRetryEndsWithDeadline(t *testing.T) {
	t.Parallel()
	s := &fake{answer: failTimes(-1, notify.Unavailable)}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		for range 20 {
			start := time.Now()
			results := n.Send(within(t, 20*time.Millisecond), "", keyed("k", "a")...)
			if r := reasonsOf(results); r != "unavailable" && r != "expired" {
				t.Errorf("result: %s", r)
			}
			if took := time.Since(start); took > 20*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		}
	})
}

// TestMaybeStays: after a try that may have been stored, no failure sounds as if it was not.
func TestMaybeStays(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		then notify.Reason
	}{
		{"denied", notify.Denied}, {"too large", notify.TooLarge}, {"unavailable", notify.Unavailable}, {"busy", notify.Busy},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			first := true
			s := &fake{answer: func(context.Context, target, []string) error {
				if first {
					first = false
					return failure(notify.Unknown)
				}
				return failure(row.then)
			}}
			bubble(t, s, Options{Resend: true}, func(t *testing.T, n *Notifier) {
				results := n.Send(t.Context(), "", keyed("k", "a")...)
				want(t, "result", reasonsOf(results), "unknown")
				if row.then == notify.Denied && notify.ReasonOf(errors.Unwrap(results[0].Err)) != notify.Denied {
					t.Errorf("%v does not say what came last", results[0].Err)
				}
			})
		})
	}
	t.Run("a caller that leaves before the next try", func(t *testing.T) {
		t.Parallel()
		s := &fake{answer: failTimes(1, notify.Unknown)}
		bubble(t, s, Options{Resend: true}, func(t *testing.T, n *Notifier) {
			ctx, cancel := context.WithCancel(t.Context())
			l := n.later(ctx, 0, keyed("k", "a")...)
			synctest.Wait()
			cancel()
			want(t, "result", l.reasons(), "unknown")
		})
	})
}

// TestExpiry: before the message is handed over its caller hears Expired and nothing is sent, after that Unknown; at its time in any case.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := &fake{rtt: 100 * time.Millisecond}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		flying := n.later(within(t, 10*time.Millisecond), 0, keyed("k", "flying")...)
		behind := n.later(within(t, 10*time.Millisecond), time.Millisecond, keyed("k", "behind", "it")...)
		patient := n.later(t.Context(), 2*time.Millisecond, keyed("k", "patient")...)
		want(t, "flying", flying.reasons(), "unknown")
		want(t, "behind it", behind.reasons(), "expired, expired")
		want(t, "patient", patient.reasons(), "stored")
		want(t, "flying waited", flying.took, 10*time.Millisecond)
		want(t, "handed over", s.tries(), "flying|patient")
		if !errors.Is(flying.results[0].Err, context.DeadlineExceeded) || !errors.Is(behind.results[0].Err, context.DeadlineExceeded) {
			t.Errorf("%v and %v do not tell the cause", flying.results[0].Err, behind.results[0].Err)
		}
		before, cancel := context.WithCancel(t.Context())
		cancel()
		want(t, "late from the start", reasonsOf(n.Send(before, "", plain("a")...)), "expired")
		want(t, "handed over", s.tries(), "flying|patient")
	})
}

// TestLeaving: of 100 callers in one batch half leave, and the others have their answers.
func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		when  time.Duration // the batch is under way from 10 to 20 ms
		gone  string
		count int
	}{
		{"while it waits", 5 * time.Millisecond, "expired", 51},
		{"while it is under way", 15 * time.Millisecond, "unknown", 101},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &fake{rtt: 10 * time.Millisecond}
			bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
				first := n.later(t.Context(), 0, keyed("k", "first")...)
				leaving, leave := context.WithCancel(t.Context())
				var all []*later
				for i := range 100 {
					ctx := t.Context()
					if i%2 == 0 {
						ctx = leaving
					}
					all = append(all, n.later(ctx, time.Millisecond, keyed("k", fmt.Sprint(i))...))
				}
				time.Sleep(row.when)
				leave()
				for i, l := range all {
					if i%2 == 0 {
						want(t, "one that left", l.reasons(), row.gone)
					} else {
						want(t, "one that stayed", l.reasons(), "stored")
					}
				}
				want(t, "first", first.reasons(), "stored")
				want(t, "stored", len(s.counts()), row.count)
			})
		})
	}
}

// TestLeavingWaitsForEncoding: a caller's bodies are its own again when Send returns, so Send does not return while they are read.
func TestLeavingWaitsForEncoding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := &fake{adding: func(*notify.Message) { <-hold }}
		n := newNotifier(s, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		l := n.later(ctx, 0, plain("a", "b")...)
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case <-l.done:
			t.Error("Send returned while its message was being encoded")
		default:
		}
		close(hold)
		want(t, "result", l.reasons(), "unknown, unknown")
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestOrder: 100 writers with three keys each, through failures that are certain, and each one's messages are stored once and in order.
func TestOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(1, 2))
	s := &fake{limit: 200, answer: func(context.Context, target, []string) error {
		mu.Lock()
		p, d := dice.Float64(), time.Duration(dice.Int64N(20e6))
		mu.Unlock()
		time.Sleep(d)
		if p < 0.2 {
			return failure(notify.Unavailable)
		}
		return nil
	}}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		var all sync.WaitGroup
		results := map[string]bool{}
		for w := range 100 {
			all.Go(func() {
				for i := range 20 {
					key := fmt.Sprint("key", (w+i)%3)
					bodies := []string{fmt.Sprintf("%s/%d/%03d", key, w, 2*i), fmt.Sprintf("%s/%d/%03d", key, w, 2*i+1)}
					for j, r := range n.Send(t.Context(), "", keyed(key, bodies...)...) {
						mu.Lock()
						results[bodies[j]] = r.Err == nil
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		last := map[string]string{}
		for _, b := range s.take(&s.stored) {
			for _, body := range b.bodies {
				writer := body[:strings.LastIndex(body, "/")]
				if body <= last[writer] {
					t.Errorf("%s is stored after %s", body, last[writer])
				}
				last[writer] = body
			}
		}
		counts := s.counts()
		for body, stored := range results {
			if stored != (counts[body] == 1) || counts[body] > 1 {
				t.Errorf("%s: reported as stored: %v, and it is there %d times", body, stored, counts[body])
			}
		}
		for to, most := range s.mostBy {
			if most != 1 {
				t.Errorf("%d batches of %v at once, want 1", most, to)
			}
		}
	})
}

// TestManyKeys: lanes come and go with their messages, and not more than flyingMax batches are under way.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	const keys = 5000
	s := &fake{rtt: 10 * time.Millisecond}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		messages := make([]notify.Message, keys)
		for i := range messages {
			messages[i] = notify.Message{Body: []byte("a"), Key: fmt.Sprint(i)}
		}
		l := n.later(t.Context(), 0, messages...)
		time.Sleep(time.Millisecond)
		want(t, "lanes", n.Stats().Lanes, keys)
		<-l.done
		synctest.Wait()
		want(t, "lanes, after", n.Stats().Lanes, 0)
		want(t, "batches at once", s.most, flyingMax)
		want(t, "stored", len(s.take(&s.stored)), keys)
		want(t, "it took", l.took, (keys+flyingMax-1)/flyingMax*s.rtt)
	})
}

// TestMemory: ten times more than fits, for a minute. What waits stays below the limit, and what is refused is refused at once.
func TestMemory(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	s := &fake{rtt: time.Second}
	bubble(t, s, Options{MemoryBytes: limit}, func(t *testing.T, n *Notifier) {
		body := strings.Repeat("x", 10<<10)
		var all []*later
		for i := range 600 { // ten a second take 500 KiB each, and 4 batches a second leave
			all = append(all, n.later(t.Context(), time.Duration(i)*100*time.Millisecond,
				keyed(fmt.Sprint(i%50), strings.Split(strings.Repeat(body+" ", 49)+body, " ")...)...))
		}
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if now := n.Stats(); now.Bytes > limit {
				t.Errorf("%d bytes wait, want %d at most", now.Bytes, limit)
			}
		}
		refused := 0
		for i, l := range all {
			text := l.reasons()
			if strings.Contains(text, "busy, stored") {
				t.Errorf("send %d: %s; want nothing taken after what was refused", i, text)
			}
			if strings.HasPrefix(text, "busy") {
				refused++
				want(t, "a refusal took", l.took, time.Duration(0))
			}
		}
		if refused < 300 {
			t.Errorf("%d sends were refused whole, want most", refused)
		}
		want(t, "larger than all", reasonsOf(n.Send(t.Context(), "", plain(strings.Repeat("x", limit), "small")...)), "too large, stored")
	})
}

// TestClose: what was taken is sent, what comes later is not.
func TestClose(t *testing.T) {
	t.Parallel()
	s := &fake{rtt: 10 * time.Millisecond, answer: failTimes(1, notify.Unavailable)}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		a := n.later(t.Context(), 0, keyed("k", "a")...)
		b := n.later(t.Context(), time.Millisecond, keyed("k", "b")...)
		time.Sleep(2 * time.Millisecond)
		closing := make(chan error, 2)
		go func() { closing <- n.Close(t.Context()) }()
		go func() { closing <- n.Close(t.Context()) }()
		synctest.Wait()
		want(t, "after Close began", reasonsOf(n.Send(t.Context(), "", plain("late")...)), "closed")
		want(t, "ready", notify.ReasonOf(n.Ready(t.Context())), notify.Closed)
		want(t, "results", a.reasons()+" "+b.reasons(), "stored stored")
		want(t, "Close", <-closing, nil)
		want(t, "the other Close", <-closing, nil)
	})
}

// TestCloseOfNothing: what has nothing left is closed without an error, also with no time for it.
func TestCloseOfNothing(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // a choice at random would pass some of them
		bubble(t, &fake{}, Options{}, func(t *testing.T, n *Notifier) { want(t, "Close", n.Close(over), nil) })
	}
}

// TestCloseCut: a Close that may not wait answers everyone at once.
func TestCloseCut(t *testing.T) {
	t.Parallel()
	s := &fake{answer: func(ctx context.Context, _ target, _ []string) error {
		<-ctx.Done()
		return failure(notify.Unknown)
	}}
	bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
		a := n.later(t.Context(), 0, keyed("k", "a")...)
		b := n.later(t.Context(), time.Millisecond, keyed("k", "b")...)
		time.Sleep(2 * time.Millisecond)
		if err := n.Close(within(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v, want the deadline's error", err)
		}
		want(t, "under way", a.reasons(), "unknown")
		want(t, "waiting", b.reasons(), "closed")
		synctest.Wait()
		want(t, "handed over", s.tries(), "a")
	})
}

// TestSendTimeout: a batch that is never answered gives its slot back, though its caller would wait for ever.
func TestSendTimeout(t *testing.T) {
	t.Parallel()
	first := true
	s := &fake{answer: func(ctx context.Context, _ target, _ []string) error {
		if first {
			first = false
			<-ctx.Done()
			return failure(notify.Unknown)
		}
		return nil
	}}
	bubble(t, s, Options{SendTimeout: 5 * time.Second}, func(t *testing.T, n *Notifier) {
		a := n.later(t.Context(), 0, keyed("k", "a")...)
		b := n.later(t.Context(), time.Second, keyed("k", "b")...)
		want(t, "results", a.reasons()+" "+b.reasons(), "unknown stored")
		want(t, "the second waited", b.took, 4*time.Second)
	})
}

// TestOpening: a link that cannot be opened fails those who wait for it, and what comes while it opens goes with the first batch.
func TestOpening(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason notify.Reason
		want   string
	}{
		{notify.NotFound, "not found"}, {notify.Denied, "denied"}, {notify.Unavailable, "stored"},
	} {
		t.Run(row.reason.String(), func(t *testing.T) {
			t.Parallel()
			first := true
			s := &fake{opened: func(target) error {
				time.Sleep(time.Second)
				if !first {
					return nil
				}
				first = false
				return failure(row.reason)
			}}
			bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
				a, b := n.later(t.Context(), 0, plain("a")...), n.later(t.Context(), 999*time.Millisecond, plain("b")...)
				want(t, "results", a.reasons()+", "+b.reasons(), row.want+", "+row.want)
				if row.want == "stored" {
					want(t, "stored", s.text(), "a b")
				}
			})
		})
	}
}

// TestLeadWithLeast: without an order, the event with the smallest properties goes first; with one, the first.
func TestLeadWithLeast(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ key, want string }{{"", "b a c"}, {"k", "a b c"}} {
		s := &fake{}
		bubble(t, s, Options{}, func(t *testing.T, n *Notifier) {
			messages := keyed(row.key, "a", "b", "c")
			for i, size := range []int{1000, 10, 100} {
				messages[i].Properties = map[string]any{"p": strings.Repeat("x", size)}
			}
			n.Send(t.Context(), "", messages...)
			want(t, "stored", s.text(), row.want)
		})
	}
}

func TestHubName(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ own, asked, want string }{
		{"", "", "stored"}, {"", "any", "stored"}, {"orders", "", "stored"}, {"orders", "Orders", "stored"}, {"orders", "bills", "not found"},
	} {
		bubble(t, &fake{}, Options{Hub: row.own}, func(t *testing.T, n *Notifier) {
			want(t, row.own+" asked for "+row.asked, reasonsOf(n.Send(t.Context(), row.asked, plain("a")...)), row.want)
		})
	}
	bubble(t, &fake{}, Options{Hub: "bills"}, func(t *testing.T, n *Notifier) {
		want(t, "ready", notify.ReasonOf(n.Ready(t.Context())), notify.NotFound)
	})
	bubble(t, &fake{}, Options{Hub: "ORDERS"}, func(t *testing.T, n *Notifier) {
		want(t, "ready", n.Ready(t.Context()), nil)
		hubs := Hubs{"orders": n}
		want(t, "hubs", reasonsOf(hubs.Send(t.Context(), "orders", plain("a")...)), "stored")
		want(t, "hubs", reasonsOf(hubs.Send(t.Context(), "bills", plain("a", "b")...)), "not found, not found")
		want(t, "hubs are ready", hubs.Ready(t.Context()), nil)
		want(t, "hubs close", hubs.Close(t.Context()), nil)
		want(t, "hubs are closed", notify.ReasonOf(hubs.Ready(t.Context())), notify.Closed)
	})
}
