//go:build linux && !race && !msan && !asan

package amqpserver

import (
	"syscall"
	"unsafe"
)

// sysRead and sysWrite are made without telling the runtime. The sockets do not block, so a call lasts as long as the kernel needs to copy
// callBytesMax and, within one machine, to hand them to the other end. The runtime would look after 20 us whether it is to take the
// processor away from the goroutine that calls, and go on looking each 20 us; large reads and writes last that long, and a server that does
// little else spent a tenth of its time on being looked at.
func sysRead(fd uintptr, b []byte) (int, error)  { return rawCall(syscall.SYS_READ, fd, b) }
func sysWrite(fd uintptr, b []byte) (int, error) { return rawCall(syscall.SYS_WRITE, fd, b) }

func rawCall(trap, fd uintptr, b []byte) (int, error) {
	n, _, e := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
