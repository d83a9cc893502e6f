package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// TestRoomForGarbage: the collector's next goal lies beyond what a server may allocate first; where GOGC is set it is left as it is.
func TestRoomForGarbage(t *testing.T) {
	goal := func() uint64 {
		runtime.GC()
		s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := goal()
	a := &app{getenv: func(string) string { return "" }}
	end := a.roomForGarbage()
	if during := goal(); during < before+garbageBytes {
		t.Errorf("a goal of %d bytes became %d, want %d more at least", before, during, garbageBytes)
	}
	end()
	a.getenv = func(name string) string { return map[string]string{"GOGC": "50"}[name] }
	end = a.roomForGarbage()
	if after := goal(); after >= before+garbageBytes {
		t.Errorf("with GOGC set, a goal of %d bytes became %d", before, after)
	}
	end()
}
