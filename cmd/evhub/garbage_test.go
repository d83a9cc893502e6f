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
	byDefault(t)
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

// TestServersHaveRoomForGarbage: each server holds a block of its own while it runs.
func TestServersHaveRoomForGarbage(t *testing.T) {
	byDefault(t)
	none := goal()
	s := serve(t)
	one := goal()
	g := startGateway(t, gatewayTo(t, s, ""))
	two := goal()
	g.stop()
	<-g.ended
	if one < none+garbageBytes || two < one+garbageBytes {
		t.Errorf("goals of %d bytes, %d with a broker and %d with a service beside it, want %d more each time", none, one, two, garbageBytes)
	}
}

// byDefault has the collector do as it does where no variable is set, until the test ends.
func byDefault(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

// goal is how large the heap may grow before it is collected.
func goal() uint64 {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
