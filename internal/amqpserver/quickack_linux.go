package amqpserver

import (
	"net"
	"syscall"
)

// quickAckOf gives what has the kernel acknowledge at once what has come in, and for a while what comes, or nil for a connection that is
// no TCP socket. The kernel goes back to delaying by itself, so that it has to be told again.
func quickAckOf(nc net.Conn) func() {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	set := func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) }
	return func() { raw.Control(set) } // fails only when the connection is closed
}
