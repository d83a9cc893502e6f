package load_test

import (
	"net"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/bench/evhubd"
	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/toy"
	"github.com/evhub-dev/evhub/internal/auth"
)

func peer(addr string) load.Peer {
	return load.Peer{
		Addr: addr, User: auth.RootKeyName, Password: auth.RootKey, Token: true,
		Target: "bench/Partitions/0",
		Source: func(group int) string {
			return "bench/ConsumerGroups/" + []string{"$Default", "g1"}[group] + "/Partitions/0"
		},
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func startToy(t *testing.T, sink bool) load.Peer {
	ln := listen(t)
	s := &toy.Server{Sink: sink}
	go s.Serve(ln)
	return peer(ln.Addr().String())
}

func startEngine(t *testing.T) load.Peer {
	e, err := evhubd.Start(16<<20, evhubd.Hub{Name: "bench", Partitions: 1, Groups: []string{"g1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	ln := listen(t)
	go e.Serve(ln)
	p := peer(ln.Addr().String())
	p.Latest = true
	return p
}

// Every load gets through every server that the bench has of its own, far enough for credit and windows to be restored many times.
func TestLoads(t *testing.T) {
	t.Parallel()
	const enough = 20_000
	loads := map[string]struct {
		o    load.Options
		sink bool
	}{
		"pre-settled":   {o: load.Options{Events: 1, Bytes: 1024, Settled: true, Readers: 1, InFlight: 1000}},
		"acknowledged":  {o: load.Options{Events: 1, Bytes: 1024, Readers: 1, InFlight: 1000}},
		"one in flight": {o: load.Options{Events: 1, Bytes: 8, Readers: 1, InFlight: 1}},
		"two groups":    {o: load.Options{Events: 1, Bytes: 100, Settled: true, Readers: 2, InFlight: 1000}},
		"batches":       {o: load.Options{Events: 100, Bytes: 100, InFlight: 100}, sink: true},
	}
	for name, c := range loads {
		servers := map[string]func(*testing.T) load.Peer{
			"toy":    func(t *testing.T) load.Peer { return startToy(t, c.sink) },
			"engine": startEngine,
		}
		for server, start := range servers {
			t.Run(name+" through the "+server, func(t *testing.T) {
				t.Parallel()
				o, target := c.o, int64(enough)
				o.Peer = start(t)
				if o.InFlight == 1 {
					target = enough / 20
				}
				check(t, o, target)
			})
		}
	}
}

// await lets a run go on until it has done so much.
func await(t *testing.T, r *load.Run, events int64) {
	t.Helper()
	for until := time.Now().Add(time.Minute); r.Progress().Completed < events; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d events in a minute, want %d", r.Progress().Completed, events)
		}
	}
}

func check(t *testing.T, o load.Options, target int64) {
	r, err := load.StartRaw(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Record()
	await(t, r, target)
	p := r.Progress()
	latency, err := r.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if want := p.Completed * int64(o.Readers); p.Delivered < want {
		t.Errorf("%d deliveries, want %d at least", p.Delivered, want)
	}
	if o.Readers > 0 && (latency.Count() == 0 || latency.Quantile(1) <= 0 || latency.Quantile(1) > 2*time.Minute) {
		t.Errorf("%d latencies up to %v: the stamps are not where they are looked for", latency.Count(), latency.Quantile(1))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p := startEngine(t)
	o := load.Options{Events: 1, Bytes: 100, Settled: true, Readers: 1, InFlight: 10}
	bad := map[string]func(*load.Options){
		"no such hub":     func(o *load.Options) { o.Peer.Target = "other/Partitions/0" },
		"wrong key":       func(o *load.Options) { o.Peer.Password = "wrong" },
		"wrong key, SASL": func(o *load.Options) { o.Peer.Password, o.Peer.Token = "wrong", false },
		"nobody listens":  func(o *load.Options) { o.Peer.Addr = "127.0.0.1:1" },
		"an open loop":    func(o *load.Options) { o.Readers = 0 },
	}
	for name, change := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.Peer = p
			change(&o)
			if r, err := load.StartRaw(o); err == nil {
				r.Stop()
				t.Error("it started")
			}
		})
	}
}

// A server that goes away ends the run with an error, not with a low figure.
func TestServerGone(t *testing.T) {
	t.Parallel()
	e, err := evhubd.Start(16<<20, evhubd.Hub{Name: "bench", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	ln := listen(t)
	go e.Serve(ln)
	r, err := load.StartRaw(load.Options{Peer: peer(ln.Addr().String()), Events: 1, Bytes: 100, Settled: true, Readers: 1, InFlight: 10})
	if err != nil {
		t.Fatal(err)
	}
	await(t, r, 1)
	e.Close()
	if err := r.Wait(); err == nil {
		t.Error("no error")
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	p := startEngine(t)
	var h load.Idle
	defer h.Close()
	for range 5 {
		if err := h.Add(&p); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Add(&p); err == nil {
		t.Error("a sixth reader of one partition and group was let in")
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h, more load.Histogram
	for i := range int64(1000) {
		h.Add(i * 1000)
	}
	more.Add(-1)
	more.Add(1 << 62)
	h.Merge(&more)
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0, 0}, {0.5, 500_000}, {0.99, 990_000}, {1, 1 << 62}} {
		if got := h.Quantile(c.q); got < c.want || got > c.want+c.want/30+1 {
			t.Errorf("quantile %v: %v, want %v", c.q, got, c.want)
		}
	}
	if got := h.Count(); got != 1002 {
		t.Errorf("count %d, want 1002", got)
	}
	if got := (&load.Histogram{}).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
