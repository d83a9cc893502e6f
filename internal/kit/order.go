package kit

import (
	"cmp"
	"slices"
)

// ordering finds for each step an event, so that of two steps in one partition the earlier one's event was stored before the later one's.
//
// What is to be found out is which partition each step takes: within one the first event that may follow is always the best choice. A step
// that few events fit comes first, since it leaves the least to choose. There are wishes for which no way is known but to try all choices, so a
// search is bounded; one that comes to its bound has found out nothing.
type ordering struct {
	steps []int          // the expectation of each
	lanes []lane         // one for each partition that has an event that counts
	keyed map[string]int // lane by partition
	count int            // events

	searched int     // what count was at the last search, -1 before the first
	found    bool    // and what came of it: for each step there is an event,
	chosen   []Event // by step;
	scarce   []int   // or there are fewer events than steps that only they fit: these steps;
	unknown  bool    // or it came to its bound
}

// lane is one partition.
type lane struct {
	events [][]Event // by expectation, in the order stored
}

const (
	stepsMax = 1000
	workMax  = 5_000_000 // events that one search looks up: some tenths of a second
)

func newOrdering(expect []Expectation) *ordering {
	o := &ordering{keyed: make(map[string]int), searched: -1}
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
	o.count++
}

// pays says whether enough has come since the last search to try again while more is there to be read.
func (o *ordering) pays() bool {
	const part = 4
	return o.searched < 0 || o.count-o.searched > o.searched/part
}

func (o *ordering) solved() bool {
	if o.found || o.searched == o.count {
		return o.found
	}
	o.searched, o.unknown = o.count, false
	if o.scarce = o.shortage(); o.scarce != nil {
		return false
	}
	s := search{ordering: o, taken: make([]int, len(o.steps)), plans: make([][]int, len(o.lanes))}
	for step := range o.steps {
		s.turn = append(s.turn, step)
		s.taken[step] = -1
	}
	slices.SortStableFunc(s.turn, func(a, b int) int { return cmp.Compare(o.fitting(a), o.fitting(b)) })
	o.found = s.from(0)
	o.unknown = !o.found && s.work >= workMax
	if o.found {
		o.chosen = s.choice()
	}
	return o.found
}

// fitting counts the events that fit a step.
func (o *ordering) fitting(step int) (n int) {
	for i := range o.lanes {
		n += len(o.lanes[i].of(o.steps[step]))
	}
	return n
}

func (l *lane) of(expectation int) []Event {
	if expectation >= len(l.events) {
		return nil
	}
	return l.events[expectation]
}

// place is an event's.
type place struct {
	lane int
	seq  int64
}

// shortage finds steps that fit fewer events than they are, whatever the order, or gives nil. It gives each step an event of its own as
// long as it can, and has others move to another event for that (Kuhn's algorithm for matchings).
func (o *ordering) shortage() []int {
	owner := make(map[place]int)
	var seen map[place]bool
	var settle func(step int) bool
	settle = func(step int) bool {
		for i := range o.lanes {
			for _, e := range o.lanes[i].of(o.steps[step]) {
				at := place{i, e.SequenceNumber}
				if seen[at] {
					continue
				}
				seen[at] = true
				if other, owned := owner[at]; !owned || settle(other) {
					owner[at] = step
					return true
				}
			}
		}
		return false
	}
	for step := range o.steps {
		if o.fitting(step) >= len(o.steps) {
			continue // it finds one whatever the others take
		}
		if seen = make(map[place]bool); settle(step) {
			continue
		}
		steps := []int{step}
		for at := range seen {
			steps = append(steps, owner[at])
		}
		slices.Sort(steps)
		return steps
	}
	return nil
}

// fit are the events that fit any of these steps.
func (o *ordering) fit(steps []int) (list []Event) {
	for i := range o.lanes {
		for _, step := range steps {
			list = append(list, o.lanes[i].of(o.steps[step])...)
		}
	}
	return distinct(list)
}

// firsts are the first events of the steps' expectations, to show what came in which order.
func (o *ordering) firsts() (list []Event) {
	for i := range o.lanes {
		for _, x := range slices.Compact(slices.Clone(o.steps)) {
			if events := o.lanes[i].of(x); len(events) > 0 {
				list = append(list, events[0])
			}
		}
	}
	return distinct(list)
}

// search is one search.
type search struct {
	*ordering
	turn  []int   // the steps in the order in which they choose
	taken []int   // lane of each step that has chosen, or -1
	plans [][]int // by lane: its steps, ascending
	work  int
}

// from has the steps from one on choose. Each begins with the lane of the step before it, since events in one partition are what an order is
// about.
func (s *search) from(n int) bool {
	if n == len(s.turn) {
		return true
	}
	step := s.turn[n]
	first := s.before(step)
	for k := range s.lanes {
		i := (first + k) % len(s.lanes)
		if s.work >= workMax {
			return false
		}
		at, _ := slices.BinarySearch(s.plans[i], step)
		s.plans[i] = slices.Insert(s.plans[i], at, step)
		if s.taken[step] = i; s.follow(i, nil) && s.from(n+1) {
			return true
		}
		s.plans[i], s.taken[step] = slices.Delete(s.plans[i], at, at+1), -1
	}
	return false
}

// before is the lane of the nearest step before one that has chosen.
func (s *search) before(step int) int {
	for step--; step >= 0; step-- {
		if s.taken[step] >= 0 {
			return s.taken[step]
		}
	}
	return 0
}

// follow says whether there is an event for each step of a lane, and gives them to take.
func (s *search) follow(lane int, take func(step int, e Event)) bool {
	used := int64(-1)
	for _, step := range s.plans[lane] {
		s.work++
		events := s.lanes[lane].of(s.steps[step])
		i, _ := slices.BinarySearchFunc(events, used+1, func(e Event, seq int64) int { return cmp.Compare(e.SequenceNumber, seq) })
		if i == len(events) {
			return false
		}
		used = events[i].SequenceNumber
		if take != nil {
			take(step, events[i])
		}
	}
	return true
}

func (s *search) choice() []Event {
	chosen := make([]Event, len(s.steps))
	for i := range s.lanes {
		s.follow(i, func(step int, e Event) { chosen[step] = e })
	}
	return chosen
}
