package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// TestRoomForGarbage: the collector's next goal lies beyond what a server may allocate first, if nobody said otherwise.
func TestRoomForGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	goal := func() uint64 {
		runtime.GC()
		s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := goal()
	for _, row := range []struct {
		name, gogc string
		limit      int64
		room       bool
	}{
		{"by default", "", math.MaxInt64, true},
		{"GOGC is set", "50", math.MaxInt64, false},
		{"much memory", "", 1 << 30, true},
		{"little memory", "", scarceBytes - 1, false},
	} {
		debug.SetMemoryLimit(row.limit)
		a := &app{getenv: env{"GOGC": row.gogc}.get}
		end := a.roomForGarbage()
		if during := goal(); during >= before+garbageBytes != row.room {
			t.Errorf("%s: a goal of %d bytes became %d, want %d more: %v", row.name, before, during, garbageBytes, row.room)
		}
		end()
	}
}
