//go:build unix

package amqpserver

import (
	"io"
	"net"
	"os"
	"syscall"
)

// tcpSocket reads and writes by system calls of its own (sysRead, sysWrite), and waits by the runtime's poller where there is nothing to
// read or no room: the socket must be one that does not block, as package net makes them. One goroutine may read while another writes. The
// functions and what they work on are kept, so that a call allocates nothing.
type tcpSocket struct {
	raw                   syscall.RawConn
	in, out               systemCall
	read, write, tryWrite func(fd uintptr) (done bool)
}

// systemCall is a call's buffer and result.
type systemCall struct {
	b   []byte
	n   int
	err error
}

func tcpSocketOf(nc *net.TCPConn) *tcpSocket {
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &tcpSocket{raw: raw}
	s.read = func(fd uintptr) bool { return s.in.run(sysRead, fd) }
	s.write = func(fd uintptr) bool { return s.out.run(sysWrite, fd) }
	s.tryWrite = func(fd uintptr) bool {
		s.out.run(sysWrite, fd)
		return true
	}
	return s
}

// callBytesMax bounds a call, which nothing else may use the processor beside: the kernel goes on taking bytes while the peer reads them.
const callBytesMax = 256 << 10

// run makes the call. It is not done if that would have to wait.
func (c *systemCall) run(call func(fd uintptr, b []byte) (int, error), fd uintptr) (done bool) {
	for c.err = syscall.EINTR; c.err == syscall.EINTR; {
		c.n, c.err = call(fd, c.b[:min(len(c.b), callBytesMax)])
	}
	return c.err != syscall.EAGAIN
}

// Read is net.Conn's.
func (s *tcpSocket) Read(b []byte) (int, error) {
	s.in.b = b
	err := s.raw.Read(s.read)
	s.in.b = nil
	switch {
	case err != nil:
		return 0, err
	case s.in.err != nil:
		return 0, os.NewSyscallError("read", s.in.err)
	case s.in.n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// Write is net.Conn's.
func (s *tcpSocket) Write(b []byte) (written int, err error) {
	for written < len(b) && err == nil {
		var n int
		n, err = s.send(b[written:], s.write)
		written += n
		if n == 0 && err == nil {
			err = io.ErrShortWrite // a kernel does not do that; if it did, it would be asked for ever
		}
	}
	return written, err
}

func (s *tcpSocket) TryWrite(b []byte) (int, error) {
	n, err := s.send(b, s.tryWrite)
	if err == syscall.EAGAIN {
		return 0, nil
	}
	return n, err
}

func (s *tcpSocket) send(b []byte, by func(fd uintptr) bool) (int, error) {
	s.out.b = b
	err := s.raw.Write(by)
	s.out.b = nil
	switch {
	case err != nil:
		return 0, err
	case s.out.err != nil:
		return 0, s.out.err
	}
	return s.out.n, nil
}
