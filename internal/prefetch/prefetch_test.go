package prefetch

import (
	"bytes"
	"fmt"
	"testing"
)

// TestLines: whatever part of a buffer is asked for, nothing changes and nothing is allocated.
func TestLines(t *testing.T) {
	b := bytes.Repeat([]byte("x"), 1<<10)
	want := bytes.Clone(b)
	Lines(nil)
	for from := range 130 {
		for n := range 130 {
			Lines(b[from : from+n])
		}
	}
	Lines(b)
	if !bytes.Equal(b, want) {
		t.Error("the memory that was asked for has changed")
	}
	if n := testing.AllocsPerRun(100, func() { Lines(b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCopy copies 1 KiB at a time into more memory than a cache holds, behind as much other work as a broker has for an event.
func BenchmarkCopy(b *testing.B) {
	const size, work = 256 << 20, 150
	for _, ahead := range []bool{false, true} {
		b.Run(fmt.Sprintf("ahead=%t", ahead), func(b *testing.B) {
			to, from := make([]byte, size), make([]byte, 128<<10)
			x, at := uint64(1), 0
			for b.Loop() {
				for i := range len(from) / 1024 {
					for range work {
						x = x*6364136223846793005 + 1442695040888963407
					}
					if ahead {
						Lines(to[at+i*1024:][:1024])
					}
				}
				copy(to[at:], from)
				at = (at + len(from)) % size
			}
			from[0] = byte(x)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(from)/1024), "ns/KiB")
		})
	}
}
