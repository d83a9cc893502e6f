//go:build unix && (!linux || race)

package amqpserver

import "syscall"

// On Linux these are for the race detector, which sees what syscall's functions touch.
func sysRead(fd uintptr, b []byte) (int, error)  { return syscall.Read(int(fd), b) }
func sysWrite(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }
