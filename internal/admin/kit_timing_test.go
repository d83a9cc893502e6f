package admin

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/kit"
)

// BenchmarkWake is the time from an event's being stored to the answer of a request that has waited for it, over loopback. "bare" is the
// same with a handler that waits at a channel: what the machine and net/http take.
func BenchmarkWake(b *testing.B) {
	b.Run("kit", func(b *testing.B) {
		s := startBroker(b).space(1)
		space, err := s.admin.o.Kit.Space(s.Space)
		s.must(err)
		mark := s.Mark
		measure(b, func() error {
			var next struct{ Mark string }
			err := s.call("GET", s.path+"/hubs/orders/events?timeout=60s&since="+mark, "", &next)
			mark = next.Mark
			return err
		}, func() {
			_, err := space.Publish(b.Context(), "orders", kit.Event{Body: []byte("wake up")})
			s.must(err)
		})
	})
	b.Run("bare", func(b *testing.B) {
		wake := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-wake
			w.Write([]byte("{}"))
		}))
		defer server.Close()
		s := &brokerOf{t: b, base: server.URL}
		measure(b, func() error { return s.call("GET", "", "", nil) }, func() { wake <- struct{}{} })
	})
}

// measure reports how long after wake the call of wait returns.
func measure(b *testing.B, wait func() error, wake func()) {
	type end struct {
		at  time.Time
		err error
	}
	ended := make(chan end, 1)
	var took []time.Duration
	for b.Loop() {
		go func() {
			err := wait()
			ended <- end{time.Now(), err}
		}()
		time.Sleep(300 * time.Microsecond) // the request is under way; if it comes late its way is measured as well
		wake()
		woken := time.Now()
		got := <-ended
		must(b, got.err)
		took = append(took, got.at.Sub(woken))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
