package amqpserver

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// Server runs AMQP connections. Make one with New. Safe for concurrent use.
type Server struct {
	o       Options
	buffers bufferPool

	accepted atomic.Int64
	looked   bell // a connection's reader has caught up, or a connection has gone

	mu        sync.Mutex // guards the fields below
	closed    bool
	listeners map[net.Listener]struct{} // these two are made with their first member
	conns     map[*Conn]struct{}
	running   sync.WaitGroup // connections and Serve calls; Add only under mu while !closed
}

// New makes a server. It opens nothing and starts nothing.
func New(o Options) *Server {
	return &Server{o: o.withDefaults()}
}

// ErrClosed is what Serve and ServeConn return after Close or Shutdown.
var ErrClosed = errors.New("amqpserver: closed")

// Serve accepts connections until the listener fails or the server is closed, which closes the listener.
func (s *Server) Serve(ln net.Listener) error {
	if !s.begin(func() { s.listeners = with(s.listeners, ln) }) {
		ln.Close()
		return ErrClosed
	}
	defer s.end(func() { delete(s.listeners, ln) })
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 0
			s.Go(nc)
			continue
		}
		if s.isClosed() {
			return ErrClosed
		}
		// Out of descriptors, or a client gone before it was accepted: the listener is still good.
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() && errors.Is(err, net.ErrClosed) {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.o.Log.Warn("accept failed, trying again", "err", err, "in", pause)
		time.Sleep(pause)
	}
}

// Go runs one connection on goroutines of its own.
func (s *Server) Go(nc net.Conn) {
	c := newConn(s, nc)
	if !s.begin(func() { s.conns = with(s.conns, c) }) {
		nc.Close()
		return
	}
	go func() {
		defer s.end(func() { delete(s.conns, c) })
		c.run()
	}()
}

// Shutdown stops listening, asks every client to go (close with amqp:connection:forced) and waits for their connections to end. When ctx
// is done first, it cuts those that are left and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.stop() {
		c.Close(&amqp.Error{Condition: amqp.CondConnectionForced, Description: "The server is shutting down."})
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.stop() {
		c.Drop()
	}
	<-done
	return ctx.Err()
}

// Close stops listening, cuts every connection and waits until their goroutines have ended.
func (s *Server) Close() {
	for _, c := range s.stop() {
		c.Drop()
	}
	s.running.Wait()
}

// Stats counts the server's connections.
type Stats struct {
	Accepted int64 // since the start
	Open     int
}

func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Accepted: s.accepted.Load(), Open: len(s.conns)}
}

// stop refuses new work and returns the connections that are left.
func (s *Server) stop() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for ln := range s.listeners {
		ln.Close()
	}
	left := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		left = append(left, c)
	}
	return left
}

func (s *Server) begin(add func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	add()
	return true
}

// with adds a member to a set, which it makes if there is none yet.
func with[T comparable](set map[T]struct{}, member T) map[T]struct{} {
	if set == nil {
		set = make(map[T]struct{})
	}
	set[member] = struct{}{}
	return set
}

func (s *Server) end(remove func()) {
	s.mu.Lock()
	remove()
	s.mu.Unlock()
	s.looked.ring()
	s.running.Done()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
