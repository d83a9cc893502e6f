package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
)

// gate counts the requests inside and lets none in once it is closed.
type gate struct {
	leaving atomic.Bool // Drain has begun: not ready, and connections end with their answer

	mu     sync.Mutex // guards all below
	inside int
	closed bool
	empty  chan struct{} // closed when the last one leaves a closed gate; nil until someone waits
}

func (g *gate) isDraining() bool { return g.leaving.Load() }

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}

// close lets none in any more, and gives a channel that is closed once none is inside.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.inside == 0 {
		none := make(chan struct{})
		close(none)
		return none
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	return g.empty
}

// Drain ends the service: /readyz says no, for DrainNotice requests are still taken, then they get 503, and Drain waits for those
// under way. All answers say "Connection: close". It is followed by closing the notifiers and by Connections.End. There is no way back. The error
// says how many requests were under way when the context ended.
func (g *Gateway) Drain(ctx context.Context) error {
	g.gate.leaving.Store(true)
	if err := g.waitNotice(ctx); err != nil {
		return err
	}
	select {
	case <-g.gate.close():
	case <-ctx.Done():
		if n := g.gate.count(); n > 0 {
			return fmt.Errorf("gateway: %d requests were under way when draining had to end: %w", n, context.Cause(ctx))
		}
	}
	return nil
}

func (g *Gateway) waitNotice(ctx context.Context) error {
	if g.o.Limits.DrainNotice == 0 {
		return nil
	}
	over := make(chan struct{})
	timer := g.o.Clock.AfterFunc(g.o.Limits.DrainNotice, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		g.gate.close()
		return fmt.Errorf("gateway: draining had to end before it began: %w", context.Cause(ctx))
	}
}

// Probes is for a port of its own, which callers cannot reach: /livez, /readyz and /metrics, without credentials.
func (g *Gateway) Probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", g.ready)
	mux.HandleFunc("GET /metrics", g.serveMetrics)
	return mux
}

// ready tells whether to send requests here. That this process lives does not depend on it.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	err := g.o.Ready(ctx)
	if g.gate.isDraining() {
		err = errors.New("draining")
	}
	if err != nil {
		say(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	say(w, http.StatusOK, "ready\n")
}

func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text))
}
