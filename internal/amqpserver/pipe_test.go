package amqpserver

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pipe is a connection in memory that behaves like a TCP socket where that matters here: each direction buffers up to bytesMax, each can
// end by itself, deadlines work, and an end that is closed with unread bytes resets the other, which then loses what it had not read.
func pipe(bytesMax int) (server, client *pipeEnd) {
	up, down := newStream(bytesMax), newStream(bytesMax)
	return &pipeEnd{in: up, out: down}, &pipeEnd{in: down, out: up}
}

type pipeEnd struct{ in, out *stream }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (e *pipeEnd) LocalAddr() net.Addr                { return pipeAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr               { return pipeAddr{} }
func (e *pipeEnd) Read(b []byte) (int, error)         { return e.in.read(b) }
func (e *pipeEnd) Write(b []byte) (int, error)        { return e.out.write(b, true) }
func (e *pipeEnd) TryWrite(b []byte) (int, error)     { return e.out.write(b, false) }
func (e *pipeEnd) SetReadDeadline(t time.Time) error  { e.in.readBy.set(e.in, t); return nil }
func (e *pipeEnd) SetWriteDeadline(t time.Time) error { e.out.writeBy.set(e.out, t); return nil }
func (e *pipeEnd) CloseWrite() error                  { e.out.end(); return nil }

// Received counts what has come in, read or not.
func (e *pipeEnd) Received() int64 {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.put
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	e.SetWriteDeadline(t)
	return nil
}

func (e *pipeEnd) Close() error {
	e.SetDeadline(time.Time{})
	e.out.end()
	if unread := e.in.abandon(); unread {
		e.out.resetByPeer()
	}
	return nil
}

// arrived takes the bytes that are there, without waiting. ended says that the other end will send no more.
func (e *pipeEnd) arrived() (b []byte, ended bool) { return e.in.takeAll() }

// stream is one direction of a pipe.
type stream struct {
	mu        sync.Mutex // guards the fields below
	changed   *sync.Cond
	bytesMax  int
	buf       []byte
	off       int // buf before it was read
	put       int64
	ended     bool
	abandoned bool // the reader has closed
	reset     bool
	readBy    deadline
	writeBy   deadline
}

func newStream(bytesMax int) *stream {
	s := &stream{bytesMax: bytesMax}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// deadline belongs to the stream whose waiters it wakes; guarded by its mu.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(s *stream, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = t, nil
	if !t.IsZero() && !s.abandoned {
		d.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.abandoned:
			return 0, net.ErrClosed
		case s.reset:
			return 0, syscall.ECONNRESET
		case s.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case s.off < len(s.buf):
			n := copy(b, s.buf[s.off:])
			s.off += n
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte, wait bool) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.off == len(s.buf) {
			s.buf, s.off = s.buf[:0], 0
		}
		switch {
		case s.ended:
			return n, net.ErrClosed
		case s.abandoned:
			return n, syscall.EPIPE
		case n == len(b):
			return n, nil
		case s.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		}
		room := min(s.bytesMax-(len(s.buf)-s.off), len(b)-n)
		if room <= 0 {
			if !wait {
				return n, nil
			}
			s.changed.Wait()
			continue
		}
		if s.off > s.bytesMax {
			s.buf, s.off = append(s.buf[:0], s.buf[s.off:]...), 0
		}
		s.buf = append(s.buf, b[n:n+room]...)
		n += room
		s.put += int64(room)
		s.changed.Broadcast()
	}
}

func (s *stream) resize(bytesMax int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytesMax = bytesMax
	s.changed.Broadcast()
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

func (s *stream) abandon() (unread bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unread = s.off < len(s.buf) && !s.abandoned
	s.abandoned = true
	s.changed.Broadcast()
	return unread
}

func (s *stream) resetByPeer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset, s.buf, s.off = true, nil, 0
	s.changed.Broadcast()
}

func (s *stream) takeAll() (b []byte, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b = append(b, s.buf[s.off:]...)
	s.buf, s.off = nil, 0
	s.changed.Broadcast()
	return b, s.ended || s.reset
}

// held is how many bytes were written and not read.
func (s *stream) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buf) - s.off
}

// tcpPipe is a pair of sockets, closed with the test.
func tcpPipe(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in.(*net.TCPConn), out.(*net.TCPConn)
}
