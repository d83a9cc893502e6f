package eventhubs

import (
	"sync"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
)

// fate is what a verdict of the rules can do to an operation. A nil function means that the action makes no sense here and lets it pass.
type fate struct {
	pass   func()         // runs unless another action was taken
	late   func()         // in place of pass after a delay, on another goroutine; nil: pass
	refuse func(*refusal) // reports it as well
	detach func(*refusal) // the same; nil: refuse
	give   func()         // there will be no answer: free what the operation holds

	line  *delayLine // where it waits behind what was put off before; nil: by itself
	count *hub.Link  // where it counts as unsettled while it waits; nil: nowhere
}

// obey asks the rules about an operation and does what they say, after the delay they wish. It says whether the operation was let pass at
// once. Without rules it is one atomic load.
func (c *conn) obey(s hub.Subject, f fate) bool {
	rules := c.svc.o.Hall.Rules()
	if rules == nil {
		if f.pass != nil {
			f.pass()
		}
		return true
	}
	v := rules.Ask(&s)
	if v.Delay > 0 {
		c.putOff(s, v, f)
		return false
	}
	return c.act(s, v, f)
}

func (c *conn) putOff(s hub.Subject, v hub.Verdict, f fate) {
	if f.late != nil {
		f.pass = f.late
	}
	if f.line == nil {
		f.line = newDelayLine(c.svc.o.Clock)
	}
	if f.count != nil {
		f.count.AddUnsettled(1)
	}
	f.line.add(v.Delay, func() {
		c.act(s, v, f)
		if f.count != nil {
			f.count.AddUnsettled(-1)
		}
	})
}

// act does what a verdict says and tells whether that was to let the operation pass.
func (c *conn) act(s hub.Subject, v hub.Verdict, f fate) bool {
	if f.detach == nil {
		f.detach = f.refuse
	}
	if f.give == nil {
		f.give = func() {}
	}
	switch {
	case v.Action == hub.Refuse && f.refuse != nil:
		f.refuse(c.fault(s, v))
	case (v.Action == hub.Detach || v.Action == hub.Expire) && f.detach != nil:
		f.detach(c.fault(s, v))
	case v.Action == hub.CloseConn:
		e := c.fault(s, v)
		c.report(s, e)
		c.c.Close(e.Error)
		f.give()
	case v.Action == hub.Drop:
		c.c.Drop()
		f.give()
	case v.Action == hub.Swallow:
		f.give()
	default:
		if f.pass != nil {
			f.pass()
		}
		return true
	}
	return false
}

// fault is the refusal a verdict wishes.
func (c *conn) fault(s hub.Subject, v hub.Verdict) *refusal {
	if v.Action == hub.Expire {
		return c.errorf(amqp.CondUnauthorizedAccess, noSystem, "ExpiredToken: The token is expired.")
	}
	e := v.Err
	if e == nil {
		e = &hub.Error{Kind: hub.Busy, Text: "The request was terminated by a rule."}
	}
	system := noSystem
	if s.Hub != "" {
		system = s.Namespace + ":eventhub:" + s.Hub
	}
	r := c.refusal(e, system)
	if v.Condition != "" {
		r.Condition = amqp.Symbol(v.Condition)
	}
	return r
}

// delayLine runs what was put off: each not before its time, in the order in which they were put off, one at a time. So what has to wait
// longer holds up what was put off after it. It is safe for concurrent use.
type delayLine struct {
	clock clock.Clock

	mu      sync.Mutex // guards what follows; not held while anything runs
	waiting []delayed  // at never falls along it
	timer   clock.Timer
	busy    bool // the timer is set, or its call is running
}

type delayed struct {
	at  time.Time
	run func()
}

func newDelayLine(c clock.Clock) *delayLine { return &delayLine{clock: c} }

func (d *delayLine) add(wait time.Duration, run func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now()
	at := now.Add(wait)
	if n := len(d.waiting); n > 0 && at.Before(d.waiting[n-1].at) {
		at = d.waiting[n-1].at
	}
	d.waiting = append(d.waiting, delayed{at, run})
	if !d.busy {
		d.busy = true
		d.armLocked(now)
	}
}

func (d *delayLine) armLocked(now time.Time) {
	wait := d.waiting[0].at.Sub(now)
	if d.timer == nil {
		d.timer = d.clock.AfterFunc(wait, d.fire)
		return
	}
	d.timer.Reset(wait)
}

// fire runs the first, whose time has come, and those behind it that are due as well.
func (d *delayLine) fire() {
	for run := d.next(true); run != nil; run = d.next(false) {
		run()
	}
}

// next takes the first out if it is due. If it is not, the timer is set for it.
func (d *delayLine) next(due bool) (run func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		d.waiting, d.busy = nil, false
		return nil
	}
	first := &d.waiting[0]
	if now := d.clock.Now(); !due && first.at.After(now) {
		d.armLocked(now)
		return nil
	}
	run, first.run = first.run, nil
	d.waiting = d.waiting[1:]
	return run
}
