package engine

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe makes a connection in memory that takes 256 KiB each way before it blocks, as a socket does: two ends that both write before they
// read do not wait for each other, as they would on net.Pipe. All waiting is on condition variables and timers, so that in a
// testing/synctest bubble the clock can go on; deadlines follow it. Give one end to ServeConn.
func Pipe() (client, server *PipeEnd) {
	up, down := newStream(), newStream()
	return &PipeEnd{in: down, out: up}, &PipeEnd{in: up, out: down}
}

const streamBytesMax = 256 << 10

// stream carries bytes one way.
type stream struct {
	mu      sync.Mutex // guards what follows
	changed sync.Cond
	buf     []byte
	closed  bool  // by either end
	put     int64 // bytes written so far
	read    deadline
	write   deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) set(d *deadline, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.at = at
	if !at.IsZero() && !s.closed {
		d.timer = time.AfterFunc(time.Until(at), s.wake)
	}
	s.changed.Broadcast()
}

func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.read.stop()
	s.write.stop()
	s.changed.Broadcast()
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 && !s.closed && !s.read.passed() {
		s.changed.Wait()
	}
	switch {
	case s.read.passed():
		return 0, os.ErrDeadlineExceeded
	case len(s.buf) == 0:
		return 0, io.EOF
	}
	n := copy(p, s.buf)
	if s.buf = s.buf[n:]; len(s.buf) == 0 {
		s.buf = nil // an idle connection holds nothing
	}
	s.changed.Broadcast()
	return n, nil
}

// Write waits for room, unless it only tries: then it takes what there is room for.
func (s *stream) Write(p []byte, try bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for done := 0; ; {
		for !try && len(s.buf) >= streamBytesMax && !s.closed && !s.write.passed() {
			s.changed.Wait()
		}
		switch {
		case s.closed:
			return done, net.ErrClosed
		case s.write.passed():
			return done, os.ErrDeadlineExceeded
		}
		n := min(len(p)-done, streamBytesMax-len(s.buf))
		s.buf = append(s.buf, p[done:done+n]...)
		s.put += int64(n)
		s.changed.Broadcast()
		if done += n; done == len(p) || try {
			return done, nil
		}
	}
}

// PipeEnd is one end of a connection in memory, a net.Conn that can be closed one way.
type PipeEnd struct{ in, out *stream }

func (e *PipeEnd) Read(p []byte) (int, error)  { return e.in.Read(p) }
func (e *PipeEnd) Write(p []byte) (int, error) { return e.out.Write(p, false) }

// TryWrite takes as much of p as there is room for, without waiting.
func (e *PipeEnd) TryWrite(p []byte) (int, error) { return e.out.Write(p, true) }

// CloseWrite lets the other end read what was written before, and then its end.
func (e *PipeEnd) CloseWrite() error {
	e.out.close()
	return nil
}

// Close lets the other end read what was written before.
func (e *PipeEnd) Close() error {
	e.out.close()
	e.in.close()
	return nil
}

func (e *PipeEnd) SetDeadline(at time.Time) error {
	e.in.set(&e.in.read, at)
	e.out.set(&e.out.write, at)
	return nil
}

func (e *PipeEnd) SetReadDeadline(at time.Time) error {
	e.in.set(&e.in.read, at)
	return nil
}

func (e *PipeEnd) SetWriteDeadline(at time.Time) error {
	e.out.set(&e.out.write, at)
	return nil
}

func (e *PipeEnd) LocalAddr() net.Addr  { return pipeAddr{} }
func (e *PipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "memory" }
func (pipeAddr) String() string  { return "memory" }

// Received counts what has come in, read or not.
func (e *PipeEnd) Received() int64 {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.put
}
