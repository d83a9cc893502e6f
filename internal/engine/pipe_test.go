package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipe is a connection in memory that takes some bytes before it blocks, as a socket does: two ends that both write before they read do
// not wait for each other. Within a testing/synctest bubble its deadlines follow the bubble's clock.
func pipe() (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &pipeEnd{in: down, out: up}, &pipeEnd{in: up, out: down}
}

const streamBytesMax = 256 << 10

// stream carries bytes one way.
type stream struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	put     int64 // bytes written so far
	closed  bool  // by either end
	read    deadline
	write   deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) set(d *deadline, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, d := range []*deadline{&s.read, &s.write} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	s.changed.Broadcast()
}

type pipeEnd struct {
	in, out *stream
	closed  sync.Once
}

func (e *pipeEnd) Read(p []byte) (int, error) {
	s := e.in
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
		s.buf = nil
	}
	s.changed.Broadcast()
	return n, nil
}

var errPipeClosed = errors.New("write on a closed pipe")

func (e *pipeEnd) Write(p []byte) (int, error) {
	s := e.out
	s.mu.Lock()
	defer s.mu.Unlock()
	for done := 0; ; {
		for len(s.buf) >= streamBytesMax && !s.closed && !s.write.passed() {
			s.changed.Wait()
		}
		switch {
		case s.closed:
			return done, errPipeClosed
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

// Received counts what has come in, read or not.
func (e *pipeEnd) Received() int64 {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.put
}

func (e *pipeEnd) CloseWrite() error { e.out.close(); return nil }

func (e *pipeEnd) Close() error {
	e.closed.Do(func() {
		e.out.close()
		e.in.close()
	})
	return nil
}

func (e *pipeEnd) SetDeadline(at time.Time) error {
	e.in.set(&e.in.read, at)
	e.out.set(&e.out.write, at)
	return nil
}

func (e *pipeEnd) SetReadDeadline(at time.Time) error  { e.in.set(&e.in.read, at); return nil }
func (e *pipeEnd) SetWriteDeadline(at time.Time) error { e.out.set(&e.out.write, at); return nil }
func (e *pipeEnd) LocalAddr() net.Addr                 { return pipeAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr                { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
