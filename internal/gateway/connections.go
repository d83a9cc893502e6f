package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// quietTime is how long nothing must have come before a connection is closed at the end: longer than a request is on its way, so that none
// meets a connection that was closed under it. The listener stays open no longer than that, whoever still knocks: a connection that is
// refused sends clients elsewhere, and nothing was sent that could be lost.
const quietTime = 500 * time.Millisecond

// Connections is a listener whose connections can be ended without cutting a request off. http.Server.Shutdown closes every connection that
// has no request in full, at once: also one on which the next request is just coming in. It is safe for concurrent use.
type Connections struct {
	net.Listener

	changed chan struct{} // capacity 1: a connection is in another state
	ending  atomic.Bool

	mu       sync.Mutex // guards what follows
	open     map[*connection]struct{}
	accepted time.Time // the last one
	ended    time.Time // when End was first called; zero: not yet
	shut     bool      // the listener is closed
}

// connection is one of them, plain or below TLS.
type connection struct {
	net.Conn
	of *Connections

	waits atomic.Int64 // when it began to wait for a request, nanoseconds since 1970; 0: it has one
	came  atomic.Bool  // something came since
}

// Follow gives the listener to serve with. The server's ConnState is taken for that.
func Follow(server *http.Server, ln net.Listener) *Connections {
	c := &Connections{Listener: ln, changed: make(chan struct{}, 1), open: make(map[*connection]struct{})}
	server.ConnState = c.note
	return c
}

// Accept is net.Listener's.
func (c *Connections) Accept() (net.Conn, error) {
	nc, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	one := &connection{Conn: nc, of: c}
	one.waits.Store(now.UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[one], c.accepted = struct{}{}, now
	return one, nil
}

// note is http.Server.ConnState.
func (c *Connections) note(nc net.Conn, state http.ConnState) {
	if secured, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = secured.NetConn()
	}
	one, ok := nc.(*connection)
	if !ok {
		return // of another listener
	}
	switch state {
	case http.StateActive:
		one.waits.Store(0)
	case http.StateIdle:
		one.came.Store(false)
		one.waits.Store(time.Now().UnixNano())
	case http.StateClosed, http.StateHijacked:
		c.forget(one)
	}
	if c.ending.Load() {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
}

func (c *Connections) forget(one *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, one)
}

// Read is net.Conn's.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.came.Store(true)
	}
	return n, err
}

// CloseWrite lets net/http wait for a client to read its answer before it closes.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// End closes the listener and the connections, each as soon as that cuts nothing off, and returns when all are gone. It is called when the
// server answers with "Connection: close": after Gateway.Drain. The error says how many connections were left when the context ended; it may
// be called again. The listener is closed in any case.
func (c *Connections) End(ctx context.Context) error {
	c.ending.Store(true)
	for {
		next, left := c.sweep(time.Now())
		if left == 0 && next.IsZero() {
			return nil
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-c.changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			c.shutDoor()
			return fmt.Errorf("gateway: %d connections had a request or an answer under way: %w", left, context.Cause(ctx))
		}
		timer.Stop()
	}
}

// Cut closes what End has left, whatever it is doing. It does so below TLS, whose farewell waits 5 s for a peer that does not read.
func (c *Connections) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		one.Close()
	}
	clear(c.open)
}

func (c *Connections) shutDoor() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shut {
		c.shut = true
		c.Listener.Close()
	}
}

// sweep closes what is quiet. It tells how many connections are left, and when to look again, at the latest: zero if nothing is left.
func (c *Connections) sweep(now time.Time) (next time.Time, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.IsZero() {
		c.ended = now
	}
	soonest := func(due time.Time) {
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	if !c.shut {
		due := c.accepted.Add(quietTime)
		if last := c.ended.Add(quietTime); due.After(last) {
			due = last
		}
		if c.shut = !due.After(now); c.shut {
			c.Listener.Close()
		} else {
			soonest(due)
		}
	}
	for one := range c.open {
		due, waits := one.quietAt(c.ended)
		if waits && !due.After(now) {
			delete(c.open, one) // its goroutine ends by itself
			one.Close()
			continue
		}
		if left++; !waits {
			due = now.Add(time.Minute) // note tells when it is another
		}
		soonest(due)
	}
	return next, left
}

// quietAt is when a connection that waits for a request may be closed. One on which something came has as long as a header may take; that
// is also enough for HTTP/2, which says things without a request.
func (c *connection) quietAt(ended time.Time) (due time.Time, waits bool) {
	since := c.waits.Load()
	if since == 0 {
		return due, false
	}
	if c.came.Load() {
		return ended.Add(headerTime + quietTime), true
	}
	return time.Unix(0, since).Add(quietTime), true
}
