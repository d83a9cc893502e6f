package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/evhub-dev/evhub/bench/load"
)

// The limits of the gate. They are no goals: a change that passes them has broken something, on whatever machine and beside whatever
// neighbours the gate runs. Goals are measured by hand, on a quiet machine.
const (
	// gatePerCoreMin is how many events evhub moves with a core-second, as a share of what the relay moves beside it. A ratio within
	// seconds takes most of the machine out of it, but not all: beside busy neighbours it was seen anywhere from 0.35 to 0.50, since the
	// server with more memory to touch suffers more. The limit leaves as much again below that.
	gatePerCoreMin = 0.20

	// gateAllocationsMax is allocations for each event from socket to socket, of the whole process. The way of an event does not
	// allocate; what is left is timers, pools that a collection emptied and the measuring itself, a few hundred a second among hundreds
	// of thousands of events. One allocation an event, or one in twenty, is a fault.
	gateAllocationsMax = 0.05

	gateRounds  = 3
	gateSeconds = 1500 * time.Millisecond
)

// gate runs the pre-settled case for a short time and fails if a limit is passed.
func (l *lab) gate(ctx context.Context, out io.Writer) error {
	l.o.run, l.o.warmup, l.o.memory = gateSeconds, 300*time.Millisecond, 64<<20
	l.evhub = "" // the engine can be asked for its allocations
	c := &benchCases[0]
	var own, relay []sample
	var allocations []float64
	for range gateRounds {
		r, err := l.sample(ctx, c, c.yardstick)
		if err != nil {
			return fmt.Errorf("%s: %w", c.yardstick, err)
		}
		e, err := l.sample(ctx, c, evhubName)
		if err != nil {
			return fmt.Errorf("%s: %w", evhubName, err)
		}
		a, err := l.allocations(ctx, c)
		if err != nil {
			return err
		}
		own, relay, allocations = append(own, *e), append(relay, *r), append(allocations, a)
	}
	ratio, allocated := summarize(evhubName, own, relay, nil).RatioPerCore, median(allocations)
	fmt.Fprintf(out, "gate: %s, %.0f events a core-second, %.2f of the relay (limit %.2f), %.4f allocations an event (limit %.2f)\n",
		c.title, medianOf(own, func(s sample) float64 { return s.PerCoreSecond }), ratio, gatePerCoreMin, allocated, gateAllocationsMax)
	if ratio > 0 && ratio < gatePerCoreMin {
		return fmt.Errorf("gate: evhub moves %.2f of the relay's events with a core-second, the limit is %.2f", ratio, gatePerCoreMin)
	}
	if allocated > gateAllocationsMax {
		return fmt.Errorf("gate: %.4f allocations an event, the limit is %.2f", allocated, gateAllocationsMax)
	}
	return nil
}

// allocations counts them, for each event of a run that is not measured for speed, since asking collects garbage.
func (l *lab) allocations(ctx context.Context, c *benchCase) (float64, error) {
	s, err := l.startEngine()
	if err != nil {
		return 0, err
	}
	defer s.stop()
	o := c.load
	o.Peer = s.peer
	r, err := load.StartRaw(o)
	if err != nil {
		return 0, err
	}
	defer r.Stop()
	if err := sleep(ctx, l.o.warmup); err != nil {
		return 0, err
	}
	before, err := s.memory()
	from := r.Progress()
	if err == nil {
		err = sleep(ctx, time.Second)
	}
	if err != nil {
		return 0, err
	}
	after, err := s.memory()
	events := r.Progress().Completed - from.Completed
	if err == nil && events == 0 {
		err = fmt.Errorf("not one event came through: %s", s.log)
	}
	if err != nil {
		return 0, err
	}
	return float64(after.Mallocs-before.Mallocs) / float64(events), nil
}
