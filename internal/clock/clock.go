// Package clock is the only source of time in evhub.
//
// Rooms take a Clock instead of calling package time, so that a broker can be started with a clock of its own (one that a test kit moves
// forward, say) and several brokers with different clocks can live in one process. Tests of a single room use System inside a
// testing/synctest bubble.
package clock

import "time"

// Clock tells the time and calls back later. It is safe for concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed. f must not block for long.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending call of an AfterFunc. Both methods mean what they mean for time.Timer.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// System is the clock of the machine.
var System Clock = system{}

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
