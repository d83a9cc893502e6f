//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package evhubtest

import (
	"net"
	"sync"
)

// socket is an accepted connection. What the kernel holds is not known here, so Quiesce misses bytes that no Read has taken yet.
type socket struct {
	*net.TCPConn
	looked func()

	mu     sync.Mutex // guards what follows
	taken  int64      // bytes read so far
	before int64      // of these, what had been read when the last Read began
}

func newSocket(nc *net.TCPConn, looked func()) *socket { return &socket{TCPConn: nc, looked: looked} }

func (s *socket) Read(p []byte) (int, error) {
	s.mu.Lock()
	s.before = s.taken
	s.mu.Unlock()
	s.looked()
	n, err := s.TCPConn.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken += int64(n)
	return n, err
}

func (s *socket) Received() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *socket) seen() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before
}
