//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package evhubtest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// socket is an accepted connection. It reads by itself, so that what was read and what the kernel still holds can be told at one moment.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn // nil: the connection was over before it began

	mu    sync.Mutex // guards taken; held across calls of the kernel, none of which waits
	taken int64      // bytes read so far
}

func newSocket(nc *net.TCPConn) *socket {
	raw, err := nc.SyscallConn()
	if err != nil {
		return &socket{TCPConn: nc}
	}
	return &socket{TCPConn: nc, raw: raw}
}

func (s *socket) Read(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, net.ErrClosed
	}
	waited := s.raw.Read(func(fd uintptr) (ready bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n, err = uninterrupted(func() (int, error) { return syscall.Read(int(fd), p) }); err == syscall.EAGAIN {
			return false // the network poller wakes us
		}
		s.taken += int64(max(n, 0))
		return true
	})
	switch {
	case waited != nil:
		return 0, waited // closed, or past the deadline
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func uninterrupted(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != syscall.EINTR {
			return n, err
		}
	}
}

// Received counts what the kernel holds as well, up to 64 KiB, which is more than a test leaves lying.
func (s *socket) Received() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := 0
	if s.raw != nil {
		var buf [64 << 10]byte
		s.raw.Control(func(fd uintptr) { // fails only when the connection is closed; then nothing waits
			waiting, _ = uninterrupted(func() (int, error) {
				n, _, err := syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK)
				return n, err
			})
		})
	}
	return s.taken + int64(max(waiting, 0))
}
