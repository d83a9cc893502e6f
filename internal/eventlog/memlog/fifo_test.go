package memlog

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFifo(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var q fifo[int]
	var want []int
	for i := range 5000 {
		switch growing := i / 500 % 2; {
		case rnd.IntN(5) < 2+growing:
			q.push(i)
			want = append(want, i)
		case len(want) > 0 && rnd.IntN(4) > 0:
			if got := q.pop(); got != want[0] {
				t.Fatalf("step %d: popped %d, want %d", i, got, want[0])
			}
			want = want[1:]
		default:
			v := rnd.IntN(i + 1)
			at := slices.Index(want, v)
			if got := q.remove(v); got != (at >= 0) {
				t.Fatalf("step %d: remove says %v of one at %d", i, got, at)
			}
			if at >= 0 {
				want = slices.Delete(want, at, at+1)
			}
		}
		if q.len() != len(want) {
			t.Fatalf("step %d: length %d, want %d", i, q.len(), len(want))
		}
		for j, v := range want {
			if q.at(j) != v {
				t.Fatalf("step %d: item %d is %d, want %d", i, j, q.at(j), v)
			}
		}
	}
}

func TestFifoStaysSmall(t *testing.T) {
	t.Parallel()
	var q fifo[int]
	for i := range 100_000 {
		q.push(i)
		if q.len() > 100 {
			q.pop()
		}
	}
	if got := cap(q.items); got > 512 {
		t.Errorf("room for %d, though there were never more than 101", got)
	}
	for q.len() > 0 {
		q.pop()
	}
	if q.items != nil {
		t.Errorf("room for %d when empty", cap(q.items))
	}
}
