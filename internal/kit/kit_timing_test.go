package kit

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// BenchmarkWake is from an event's acknowledgement to the answer of an expectation that waited for it.
func BenchmarkWake(b *testing.B) {
	r := newRoom(b)
	s := r.space("s1")
	waits := make([]time.Duration, 0, b.N)
	for b.Loop() {
		since := s.Mark()
		ready, answered := make(chan struct{}), make(chan time.Time)
		go func() {
			close(ready)
			if _, err := s.Expect(context.Background(), "orders", since, Request{Expect: []Expectation{AtLeast(1, Body("a"))}}); err != nil {
				b.Error(err)
			}
			answered <- time.Now()
		}()
		<-ready
		runtime.Gosched() // most rounds find it waiting
		r.publish(s, "orders", text("a", "1"))
		acked := time.Now()
		waits = append(waits, (<-answered).Sub(acked))
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkExpect looks at a thousand events with two matchers.
func BenchmarkExpect(b *testing.B) {
	r := newRoom(b)
	s := r.space("s1")
	var events []Event
	for range 1000 {
		events = append(events, order("1", "paid", "2"))
	}
	r.publish(s, "orders", events...)
	request := Request{Expect: []Expectation{Exactly(1000, state("paid"), Prop("schema", "order.v1"))}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Expect(context.Background(), "orders", Mark{}, request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAsk is what an operation pays while another space has a fault.
func BenchmarkAsk(b *testing.B) {
	r := newRoom(b)
	r.fault(r.space("s1"), On{Op: Send, Hub: "orders", Client: "x*", Times: -1}, Throttle())
	rules := r.hall.Rules()
	for _, c := range []struct{ name, namespace string }{{"same space", "s1"}, {"other space", "s2"}} {
		b.Run(c.name, func(b *testing.B) {
			q := sending()
			q.Namespace = c.namespace
			b.ReportAllocs()
			for b.Loop() {
				if v := rules.Ask(&q); v.Action != hub.Pass {
					b.Fatal(v)
				}
			}
		})
	}
}

// BenchmarkCreate makes and deletes a space.
func BenchmarkCreate(b *testing.B) {
	r := newRoom(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := r.kit.Create(SpaceSpec{Name: "s1", Hubs: []HubSpec{{Name: "orders", Partitions: 4}}})
		r.must(err)
		r.must(s.Delete())
	}
}
