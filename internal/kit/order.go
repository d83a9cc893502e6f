package kit

import (
	"slices"
	"strings"
)

// ordering finds for each step an event, so that of two steps in one partition the earlier one's event was stored before the later one's.
//
// Which partition a step takes may decide whether a later one can follow, so it may have to go back. Within a partition the first event
// that may follow is always the best choice. The state of a search is thus the step and how far each partition is used; states that led
// nowhere are not tried again.
type ordering struct {
	steps []int          // the expectation of each
	lanes []lane         // one for each partition that has an event that counts
	keyed map[string]int // lane by partition

	stale  bool // events came since the last search
	found  bool
	chosen []Event // by step, if found
}

// lane is one partition.
type lane struct {
	events [][]Event // by expectation, in the order stored
}

// searchMax bounds a search. Wishes that need more are ambiguous beyond what a person could check.
const searchMax = 100_000

func newOrdering(expect []Expectation) *ordering {
	o := &ordering{keyed: make(map[string]int), stale: true}
	for i := range expect {
		for range expect[i].Min {
			o.steps = append(o.steps, i)
		}
	}
	return o
}

func (o *ordering) add(expectation int, e Event) {
	i, known := o.keyed[e.Partition]
	if !known {
		i = len(o.lanes)
		o.keyed[e.Partition] = i
		o.lanes = append(o.lanes, lane{})
	}
	l := &o.lanes[i]
	for len(l.events) <= expectation {
		l.events = append(l.events, nil)
	}
	l.events[expectation] = append(l.events[expectation], e)
	o.stale = true
}

func (o *ordering) solved() bool {
	if !o.stale || o.found {
		return o.found
	}
	o.stale = false
	s := search{ordering: o, used: make([]int64, len(o.lanes)), dead: make(map[string]struct{})}
	for i := range s.used {
		s.used[i] = -1
	}
	o.found = s.from(0, 0)
	if o.found {
		o.chosen = s.chosen
	}
	return o.found
}

// firsts are the first events of the steps' expectations, to show what came in which order.
func (o *ordering) firsts() []Event {
	var list []Event
	for _, l := range o.lanes {
		for _, x := range slices.Compact(slices.Clone(o.steps)) {
			if x < len(l.events) && len(l.events[x]) > 0 {
				list = append(list, l.events[x][0])
			}
		}
	}
	slices.SortStableFunc(list, stored)
	return slices.CompactFunc(list, func(a, b Event) bool { return stored(a, b) == 0 })
}

// search is one search.
type search struct {
	*ordering
	used   []int64 // sequence number of the last event chosen, by lane
	chosen []Event
	dead   map[string]struct{} // states from which nothing follows
	tried  int
}

// from chooses events for all steps from one on. It begins with the lane of the step before, since events in one partition are what an
// order is about.
func (s *search) from(step, lane int) bool {
	if step == len(s.steps) {
		return true
	}
	state := s.state(step)
	if _, dead := s.dead[state]; dead || s.tried >= searchMax {
		return false
	}
	s.tried++
	for n := range s.lanes {
		i := (lane + n) % len(s.lanes)
		e, ok := s.next(i, s.steps[step])
		if !ok {
			continue
		}
		before := s.used[i]
		s.used[i] = e.SequenceNumber
		s.chosen = append(s.chosen, e)
		if s.from(step+1, i) {
			return true
		}
		s.used[i] = before
		s.chosen = s.chosen[:len(s.chosen)-1]
	}
	s.dead[state] = struct{}{}
	return false
}

// next is the first event of an expectation that may follow in a lane.
func (s *search) next(lane, expectation int) (Event, bool) {
	if expectation >= len(s.lanes[lane].events) {
		return Event{}, false
	}
	events := s.lanes[lane].events[expectation]
	i, _ := slices.BinarySearchFunc(events, s.used[lane]+1, func(e Event, seq int64) int { return int(max(-1, min(1, e.SequenceNumber-seq))) })
	if i == len(events) {
		return Event{}, false
	}
	return events[i], true
}

func (s *search) state(step int) string {
	var b strings.Builder
	put := func(n int64) {
		for range 8 {
			b.WriteByte(byte(n))
			n >>= 8
		}
	}
	put(int64(step))
	for _, seq := range s.used {
		put(seq)
	}
	return b.String()
}
