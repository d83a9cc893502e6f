package admin

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/kit"
)

// BenchmarkWake is the time from an event's being stored to the answer of a request that has waited for it, over loopback: of events and of
// expect, and of bare, a handler that waits at a channel, which is what the machine and net/http take. They take turns, so that what else the
// machine does meets all of them.
func BenchmarkWake(b *testing.B) {
	s := startBroker(b).space(4)
	space, err := s.admin.o.Kit.Space(s.Space)
	s.must(err)
	waiting := func() bool { return len(s.admin.waiters) > 0 }
	publish := func() {
		_, err := space.Publish(b.Context(), "orders", kit.Event{Body: []byte("wake up")})
		s.must(err)
	}
	handler := newBareHandler()
	bare := httptest.NewServer(handler)
	defer bare.Close()

	mark, path := s.Mark, s.path+"/hubs/orders/"
	wakes := []*wakeup{
		{name: "events", waiting: waiting, wake: publish, wait: func() error {
			return s.call("GET", path+"events?timeout=60s&since="+mark, "", nil)
		}},
		{name: "expect", waiting: waiting, wake: publish, wait: func() error {
			return s.call("POST", path+"expect", `{"timeout":"60s","since":"`+mark+`","expect":[{"where":{"text":"wake up"}}]}`, nil)
		}},
		{name: "bare", waiting: func() bool { return len(handler.waiting) > 0 }, wake: func() { handler.wake <- struct{}{} }, wait: func() error {
			return (&brokerOf{t: b, base: bare.URL}).call("GET", "", "", nil)
		}},
	}
	for b.Loop() {
		for _, w := range wakes {
			s.must(s.call("POST", s.path+"/marks", "", s)) // into s.Mark
			mark = s.Mark
			w.round(b)
		}
	}
	for _, w := range wakes {
		slices.Sort(w.took)
		b.ReportMetric(float64(w.took[len(w.took)/2].Microseconds()), w.name+"-p50-µs")
		b.ReportMetric(float64(w.took[len(w.took)*99/100].Microseconds()), w.name+"-p99-µs")
	}
}

// bareHandler answers once it is woken.
type bareHandler struct{ waiting, wake chan struct{} }

func newBareHandler() *bareHandler {
	return &bareHandler{waiting: make(chan struct{}, 1), wake: make(chan struct{})}
}

func (h *bareHandler) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.waiting <- struct{}{}
	<-h.wake
	<-h.waiting
	w.Write([]byte("{}"))
}

// wakeup is one way to wait and to be woken.
type wakeup struct {
	name    string
	wait    func() error
	waiting func() bool // the request has come, and is about to wait
	wake    func()
	took    []time.Duration
}

func (w *wakeup) round(b *testing.B) {
	type end struct {
		at  time.Time
		err error
	}
	ended := make(chan end, 1)
	go func() {
		err := w.wait()
		ended <- end{time.Now(), err}
	}()
	const rest = 200 * time.Microsecond
	for !w.waiting() {
		time.Sleep(rest)
	}
	time.Sleep(rest) // it waits, and all else has come to rest
	w.wake()
	woken := time.Now()
	got := <-ended
	must(b, got.err)
	w.took = append(w.took, got.at.Sub(woken))
}
