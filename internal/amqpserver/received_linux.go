//go:build linux && !386 && !s390x

package amqpserver

import (
	"encoding/binary"
	"net"
	"syscall"
	"unsafe"
)

// receivedAt is where struct tcp_info of linux/tcp.h has tcpi_bytes_received, since Linux 4.1: "RFC4898 tcpEStatsAppHCThruOctetsReceived".
const receivedAt = 128

// receivedTCP asks the kernel how many bytes have come in, read or not. 0: it does not tell. The end of the peer's stream may count as one;
// it is looked at as well. (Two ports of Linux have no system call for getsockopt alone.)
func receivedTCP(nc *net.TCPConn) int64 {
	if several, err := nc.MultipathTCP(); err != nil || several {
		return 0 // the kernel tells of the first path only
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		return 0
	}
	var info [receivedAt + 8]byte
	raw.Control(func(fd uintptr) { // fails only when the connection is closed; then nothing waits
		size := uint32(len(info))
		syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) // an older kernel leaves zeros
	})
	return int64(binary.NativeEndian.Uint64(info[receivedAt:]))
}
