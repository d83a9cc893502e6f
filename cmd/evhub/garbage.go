package main

import (
	"runtime"
	"runtime/debug"
)

const (
	garbageBytes = 32 << 20  // how much a server allocates, at least, from one collection to the next
	scarceBytes  = 256 << 20 // a GOMEMLIMIT below this leaves no room for that
)

// roomForGarbage has a server collect its garbage once it is worth it, until the function that it gives is called. Go collects whenever as
// much was allocated as is in use, or 4 MiB: at 5,000 requests a second that is ten times a second, for a millisecond each, and one request
// in a hundred waits for that. So a block of memory is held that counts as used. It is never touched, so it takes none: only the collector
// counts it (and a heap profile, and GOMEMLIMIT). Who sets GOGC decides alone, and under a small GOMEMLIMIT the block would have the garbage
// collected more often, not less.
func (a *app) roomForGarbage() (end func()) {
	if a.getenv("GOGC") != "" || debug.SetMemoryLimit(-1) < scarceBytes {
		return func() {}
	}
	room := make([]byte, garbageBytes)
	return func() { runtime.KeepAlive(room) }
}
