package amqpserver

import (
	"context"
	"maps"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Fence returns once everything that had come in when it was called has been looked at: handed to its container or sink, and flushed. What
// those do with it later is theirs to know. It fails with the context's error only.
//
// What has come in is what was read, and where that can be told what waits to be read: on a connection with a method Received() int64,
// which counts all bytes that came in until now, read or not; and on TCP without TLS on Linux, where the kernel counts. It waits as long as
// a reader that has more to read: while an open is held (Conn.HoldOpen), or too much of a connection is pending.
func (s *Server) Fence(ctx context.Context) error {
	upTo := make(map[*Conn]int64)
	for _, c := range s.connections() {
		upTo[c] = c.in.received()
	}
	told, forget := s.looked.listen()
	defer forget()
	for {
		maps.DeleteFunc(upTo, func(c *Conn, bytes int64) bool { return c.in.looked.Load() >= bytes })
		if len(upTo) == 0 {
			return nil
		}
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Gone returns once there is no connection: each that there was has ended, and its links have been told. It fails with the context's error
// only.
func (s *Server) Gone(ctx context.Context) error {
	told, forget := s.looked.listen()
	defer forget()
	for len(s.connections()) > 0 {
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *Server) connections() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

// progress is how far a connection's reader is. Only the reader writes it.
type progress struct {
	taken  atomic.Int64 // bytes read from the socket
	looked atomic.Int64 // of these, what has been looked at
	bell   *bell        // rung when looked has grown
}

// caughtUp notes that nothing more can be done with what was read.
func (p *progress) caughtUp() {
	taken := p.taken.Load()
	if p.looked.Load() == taken {
		return
	}
	p.looked.Store(taken)
	p.bell.ring()
}

// over notes that nothing of what may yet come will be looked at.
func (p *progress) over() {
	p.looked.Store(math.MaxInt64)
	p.bell.ring()
}

// received is how many bytes have come in, as far as that can be told. Asking the connection for all of them rather than for those that
// wait leaves no moment at which bytes that are just being read are in neither count.
func (f *frameReader) received() int64 {
	n := f.taken.Load()
	switch nc := f.nc.(type) {
	case interface{ Received() int64 }:
		n = max(n, nc.Received())
	case *net.TCPConn:
		n = max(n, receivedTCP(nc))
	}
	return n
}

// bell wakes those who wait for something to change. To ring it costs an atomic load while nobody does. The zero value is ready.
type bell struct {
	listeners atomic.Int32

	mu   sync.Mutex // guards told
	told map[chan struct{}]struct{}
}

// listen gives a channel that gets a value after each change; several changes may be one value. Listen first, then look, then wait.
func (b *bell) listen() (told <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told == nil {
		b.told = make(map[chan struct{}]struct{})
	}
	b.told[c] = struct{}{}
	b.listeners.Add(1)
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.told, c)
		b.listeners.Add(-1)
	}
}

func (b *bell) ring() {
	if b.listeners.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.told {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
