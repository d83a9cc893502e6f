package amqpserver

import (
	"net"
	"syscall"
	"testing"
)

// TestQuickAck: a socket that delays its acknowledgements does so no more.
func TestQuickAck(t *testing.T) {
	t.Parallel()
	_, nc := tcpPipe(t)
	raw, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func() (on int) {
		raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK) })
		if err != nil {
			t.Fatal(err)
		}
		return on
	}
	raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0) })
	if err != nil || option() != 0 {
		t.Fatalf("the socket does not delay: %v", err)
	}
	quickAckOf(nc)()
	if on := option(); on != 1 {
		t.Errorf("the option is %d", on)
	}
	if quickAckOf(struct{ net.Conn }{nc}) != nil {
		t.Error("there is a way for what is no TCP socket")
	}
}
