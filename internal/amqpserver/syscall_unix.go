//go:build unix && (!linux || race || msan || asan)

package amqpserver

import "syscall"

// On Linux these are for the detectors of races and of stray memory, which see what syscall's functions touch.
func sysRead(fd uintptr, b []byte) (int, error)  { return syscall.Read(int(fd), b) }
func sysWrite(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }
