package evhubtest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// newPipe makes a connection in memory that takes some bytes before it blocks, as a socket does: two ends that both write before they
// read do not wait for each other, as they would on net.Pipe. All waiting is on condition variables and timers, so that in a bubble the
// clock can go on; deadlines follow it. looked is called whenever the server begins to read.
func newPipe(looked func()) (client, server *pipeEnd) {
	up, down := newStream(), newStream()
	up.looked = looked
	return &pipeEnd{in: down, out: up}, &pipeEnd{in: up, out: down}
}

const streamBytesMax = 256 << 10

// stream carries bytes one way.
type stream struct {
	looked func() // nil: nobody wants to know

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	buf     []byte
	closed  bool  // by either end
	put     int64 // bytes written so far
	seen    int64 // of these, what had been taken when the last Read began
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

// begin notes that everything taken before has been looked at.
func (s *stream) begin() {
	s.mu.Lock()
	s.seen = s.put - int64(len(s.buf))
	s.mu.Unlock()
	if s.looked != nil {
		s.looked()
	}
}

func (s *stream) Read(p []byte) (int, error) {
	s.begin()
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

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for done := 0; ; {
		for len(s.buf) >= streamBytesMax && !s.closed && !s.write.passed() {
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
		if done += n; done == len(p) {
			return done, nil
		}
	}
}

// pipeEnd is one end of a connection in memory.
type pipeEnd struct{ in, out *stream }

func (e *pipeEnd) Read(p []byte) (int, error)  { return e.in.Read(p) }
func (e *pipeEnd) Write(p []byte) (int, error) { return e.out.Write(p) }

func (e *pipeEnd) CloseWrite() error {
	e.out.close()
	return nil
}

// Close lets the other end read what was written before.
func (e *pipeEnd) Close() error {
	e.out.close()
	e.in.close()
	return nil
}

func (e *pipeEnd) SetDeadline(at time.Time) error {
	e.in.set(&e.in.read, at)
	e.out.set(&e.out.write, at)
	return nil
}

func (e *pipeEnd) SetReadDeadline(at time.Time) error {
	e.in.set(&e.in.read, at)
	return nil
}

func (e *pipeEnd) SetWriteDeadline(at time.Time) error {
	e.out.set(&e.out.write, at)
	return nil
}

func (e *pipeEnd) LocalAddr() net.Addr  { return pipeAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "memory" }
func (pipeAddr) String() string  { return "memory" }

func (e *pipeEnd) Received() int64 {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.put
}

func (e *pipeEnd) seen() int64 {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.seen
}
