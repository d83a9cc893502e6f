package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Precise gives a sleep for one goroutine that is late by microseconds, and what ends its use. time.Sleep may be late by a millisecond in
// a process that is idle otherwise, since the runtime then waits in epoll, which counts milliseconds. A nanosleep would keep one of the
// scheduler's processors for as long as it lasts: with as many sleepers as processors the answers that come meanwhile wait to be seen for
// up to 10 ms. A timer to read from does neither.
func Precise() (sleep func(time.Duration), stop func() error, err error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("timerfd_create", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	sleep = func(d time.Duration) {
		if d <= 0 {
			return
		}
		due := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
		if err := unix.TimerfdSettime(fd, 0, &due, nil); err != nil {
			panic("BUG: timerfd_settime: " + err.Error())
		}
		var expired [8]byte
		if _, err := timer.Read(expired[:]); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	return sleep, timer.Close, nil
}
