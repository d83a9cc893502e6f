package eventhubs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// fake is a sender into memory. Its answers take rtt, and are what answer says.
type fake struct {
	rtt    time.Duration
	limit  int                                                         // bytes of bodies in a batch; 0: any
	answer func(ctx context.Context, to target, bodies []string) error // nil: stored
	opened func(to target) error                                       // nil: it opens
	adding func(m *notify.Message)                                     // called within add, if set
	quiet  bool                                                        // keeps nothing, for benchmarks

	mu       sync.Mutex // guards all below
	stored   []sent
	tried    []sent
	flying   int
	most     int // flying at once
	mostBy   map[target]int
	flyingBy map[target]int
}

// sent is a batch.
type sent struct {
	to     target
	bodies []string
	at     time.Time // of its answer
}

func (s *fake) open(_ context.Context, to target) (batch, error) {
	if s.opened != nil {
		if err := s.opened(to); err != nil {
			return nil, err
		}
	}
	return &fakeBatch{s: s, to: to}, nil
}

func (s *fake) hub(context.Context) (string, error) { return "orders", nil }

type fakeBatch struct {
	s      *fake
	to     target
	bodies []string
	size   int
}

func (b *fakeBatch) add(m *notify.Message) error {
	if b.s.quiet {
		return nil
	}
	if b.s.adding != nil {
		b.s.adding(m)
	}
	if b.size+len(m.Body) > b.s.limit && b.s.limit > 0 {
		return errFull
	}
	b.size += len(m.Body)
	b.bodies = append(b.bodies, string(m.Body))
	return nil
}

func (b *fakeBatch) send(ctx context.Context) error {
	s := b.s
	s.count(b.to, 1)
	defer s.count(b.to, -1)
	if s.rtt > 0 {
		time.Sleep(s.rtt)
	}
	if s.quiet {
		return nil
	}
	var err error
	if s.answer != nil {
		err = s.answer(ctx, b.to, b.bodies)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = append(s.tried, sent{b.to, b.bodies, time.Now()})
	if err == nil {
		s.stored = append(s.stored, sent{b.to, b.bodies, time.Now()})
	}
	return err
}

func (s *fake) count(to target, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flyingBy == nil {
		s.flyingBy, s.mostBy = map[target]int{}, map[target]int{}
	}
	s.flying += by
	s.flyingBy[to] += by
	s.most = max(s.most, s.flying)
	s.mostBy[to] = max(s.mostBy[to], s.flyingBy[to])
}

// text is what was stored, batches apart: "a b|c".
func (s *fake) text() string { return joined(s.take(&s.stored)) }

// tries is what was handed over.
func (s *fake) tries() string { return joined(s.take(&s.tried)) }

func (s *fake) take(list *[]sent) []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *list
}

func joined(list []sent) string {
	var batches []string
	for _, b := range list {
		batches = append(batches, strings.Join(b.bodies, " "))
	}
	return strings.Join(batches, "|")
}

// counts tells how often each body was stored.
func (s *fake) counts() map[string]int {
	n := map[string]int{}
	for _, b := range s.take(&s.stored) {
		for _, body := range b.bodies {
			n[body]++
		}
	}
	return n
}

// bubble runs f in fake time with a Notifier over s, and sees that nothing is left of it in the end.
func bubble(t *testing.T, s *fake, o Options, f func(t *testing.T, n *Notifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier(s, o)
		f(t, n)
		if err := n.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		synctest.Wait()
		if now := n.Stats(); now.Messages != 0 || now.Bytes != 0 || now.Lanes != 0 || now.Flying != 0 {
			t.Errorf("left behind: %+v", now)
		}
		if !n.ready.empty() {
			t.Error("lanes are ready though nothing waits")
		}
	})
}

func keyed(key string, bodies ...string) []notify.Message {
	var list []notify.Message
	for _, body := range bodies {
		list = append(list, notify.Message{Body: []byte(body), Key: key})
	}
	return list
}

func plain(bodies ...string) []notify.Message { return keyed("", bodies...) }

// later sends on a goroutine of its own, after a while, and gives the results when they are there.
type later struct {
	done    chan struct{}
	results []notify.Result
	took    time.Duration
}

func (n *Notifier) later(ctx context.Context, after time.Duration, messages ...notify.Message) *later {
	l := &later{done: make(chan struct{})}
	go func() {
		time.Sleep(after)
		start := time.Now()
		l.results = n.Send(ctx, "", messages...)
		l.took = time.Since(start)
		close(l.done)
	}()
	return l
}

// reasons is the results as text: "stored", or the reason.
func (l *later) reasons() string {
	<-l.done
	return reasonsOf(l.results)
}

func reasonsOf(results []notify.Result) string {
	var list []string
	for _, r := range results {
		if r.Err == nil {
			list = append(list, "stored")
		} else {
			list = append(list, notify.ReasonOf(r.Err).String())
		}
	}
	return strings.Join(list, ", ")
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func failure(reason notify.Reason) error {
	return &notify.Error{Reason: reason, Text: "the fake says so"}
}

// failTimes fails the first so many batches.
func failTimes(times int, reason notify.Reason) func(context.Context, target, []string) error {
	var mu sync.Mutex
	return func(context.Context, target, []string) error {
		mu.Lock()
		defer mu.Unlock()
		if times == 0 {
			return nil
		}
		times--
		return failure(reason)
	}
}
