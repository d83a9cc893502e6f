package load

import (
	"runtime"
	"syscall"
	"time"
)

// Precise gives a sleep for the calling goroutine that is late by microseconds. time.Sleep may be late by a millisecond in a process
// that is idle otherwise, since the runtime then waits in epoll, which counts milliseconds.
func Precise() func(time.Duration) {
	const setTimerSlack = 29 // PR_SET_TIMERSLACK
	runtime.LockOSThread()   // never unlocked: the slack goes with the thread, which ends with the goroutine
	syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
	return func(d time.Duration) {
		if d <= 0 {
			return
		}
		t := syscall.NsecToTimespec(int64(d))
		syscall.Nanosleep(&t, nil)
	}
}
