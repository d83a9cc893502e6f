//go:build unix

package amqpserver

import (
	"net"
	"syscall"
)

// tcpTryWriter writes what the kernel takes at once. The function and what it works on are kept here, so that a call allocates nothing.
type tcpTryWriter struct {
	raw  syscall.RawConn
	once func(fd uintptr) (done bool)
	b    []byte
	n    int
	err  error
}

func tryWriterOfTCP(nc *net.TCPConn) tryWriter {
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil
	}
	w := &tcpTryWriter{raw: raw}
	w.once = w.write
	return w
}

func (w *tcpTryWriter) write(fd uintptr) (done bool) {
	for w.err = syscall.EINTR; w.err == syscall.EINTR; {
		w.n, w.err = syscall.Write(int(fd), w.b)
	}
	return true // false would have it wait
}

func (w *tcpTryWriter) TryWrite(b []byte) (int, error) {
	w.b = b
	err := w.raw.Write(w.once)
	w.b = nil
	switch {
	case err != nil:
		return 0, err
	case w.err == syscall.EAGAIN:
		return 0, nil
	case w.err != nil:
		return 0, w.err
	}
	return w.n, nil
}
