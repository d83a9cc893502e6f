package local

import (
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

const groupKeepMax = 512 << 10

// The states of a group say who has it. It passes from one to the next once, by compare-and-swap, so that exactly one side takes it back:
//
//	held  the sender fills it, or a rule delays it: nothing is handed over yet
//	open  the log or a rule has it, and will make it done, or never will
//	done  its outcome is set; the sender reads it and puts it back
//	left  the sender went; who has the group puts it back
const (
	held uint32 = iota
	open
	done
	left
)

// group is the messages of one Send that go to one partition.
type group struct {
	eventlog.Batch
	n         *Notifier
	call      *call // touched by others only after they made the group done
	out       *outlet
	partition *hub.Partition
	buf       []byte // the envelopes, one behind the other
	ends      []int  // where each ends
	at        []int  // the place of each among the messages of the Send
	state     atomic.Uint32

	// The outcome, set before done: stored at First if err is nil.
	err  *hub.Error
	lost bool // err does not say whether it was stored
}

func (n *Notifier) takeGroup(c *call, p *hub.Partition) *group {
	g, ok := n.groups.Get().(*group)
	if !ok {
		g = &group{n: n}
		g.Done = g.stored
	}
	g.call, g.out, g.partition = c, c.out, p
	return g
}

func (g *group) recycle() {
	if cap(g.buf) > groupKeepMax {
		return
	}
	clear(g.Records)
	g.Records, g.ends, g.at, g.buf = g.Records[:0], g.ends[:0], g.at[:0], g.buf[:0]
	g.call, g.out, g.partition, g.err, g.lost = nil, nil, nil, nil, false
	g.First, g.Err = eventlog.Position{}, nil
	g.state.Store(held)
	g.n.groups.Put(g)
}

func (g *group) pass(from, to uint32) bool { return g.state.CompareAndSwap(from, to) }

func (g *group) add(at int, m *event.Message) {
	g.buf = m.Append(g.buf, nil)
	g.ends = append(g.ends, len(g.buf))
	g.at = append(g.at, at)
	g.Records = append(g.Records, eventlog.Record{Step: event.Step(m.Length())})
}

func (g *group) subject(op hub.Op) hub.Subject {
	h := g.out.hub
	return hub.Subject{Op: op, Namespace: h.Namespace().Name(), Hub: h.Name(), Partition: g.partition.Index(), Client: g.n.o.Client, Records: len(g.at)}
}

func (g *group) ask(rules hub.Rules, op hub.Op) hub.Verdict {
	s := g.subject(op)
	return rules.Ask(&s)
}

// send hands the group over, if the rules let it pass.
func (g *group) send() {
	rules := g.n.hall.Rules()
	if rules == nil {
		g.state.Store(open) // nobody else has it yet
		g.append()
		return
	}
	v := g.ask(rules, hub.Send)
	g.n.after(v.Delay, func() { g.sendBy(v) })
}

func (g *group) sendBy(v hub.Verdict) {
	if !g.pass(held, open) {
		g.recycle() // the sender went during the delay
		return
	}
	switch v.Action {
	case hub.Refuse, hub.Detach, hub.CloseConn:
		g.finish(wished(v), false)
	case hub.Expire:
		g.finish(&hub.Error{Kind: hub.Unauthorized, Text: "The token is expired."}, false)
	case hub.Drop:
		g.finish(&hub.Error{Kind: hub.Unavailable, Text: "The connection was cut before the message was stored. Try again."}, false)
	case hub.Swallow: // no outcome: it stays open
	default:
		g.append()
	}
}

// wished is the error of a verdict.
func wished(v hub.Verdict) *hub.Error {
	if v.Err != nil {
		return v.Err
	}
	return &hub.Error{Kind: hub.Busy, Text: "The request was terminated by a rule. Try again."}
}

// append gives the group to the log. It may be stored, told and in use again before append returns.
func (g *group) append() {
	start := 0
	for i, end := range g.ends {
		g.Records[i].Data = g.buf[start:end:end]
		start = end
	}
	g.partition.Append(&g.Batch)
}

// stored is the batch's Done: it runs inside Append or later, on any goroutine, and may not block.
func (g *group) stored(*eventlog.Batch) {
	if g.Err != nil {
		g.finish(g.failure(), unknown(g.Err))
		return
	}
	g.out.link.Sent(len(g.at), len(g.buf))
	rules := g.n.hall.Rules()
	if rules == nil {
		g.finish(nil, false)
		return
	}
	v := g.ask(rules, hub.Stored)
	g.n.after(v.Delay, func() { g.answerBy(v) })
}

// failure is why the log did not take the batch. Logs are closed after links are cut, and the cut knows why.
func (g *group) failure() *hub.Error {
	switch why := g.out.why.Load(); {
	case unknown(g.Err):
		return errLost(g.Err)
	case why != nil && hub.KindOf(g.Err) == hub.Closed:
		return why
	}
	return hubError(g.Err)
}

func (g *group) answerBy(v hub.Verdict) {
	switch v.Action {
	case hub.Refuse:
		g.finish(wished(v), false)
	case hub.Detach, hub.CloseConn:
		g.finish(errLost(wished(v)), true)
	case hub.Drop, hub.Expire:
		g.finish(errLost(nil), true)
	case hub.Swallow: // no outcome: it stays open
	default:
		g.finish(nil, false)
	}
}

// finish sets the outcome and gives the group back to the sender, or takes it if the sender went.
func (g *group) finish(err *hub.Error, lost bool) {
	g.err, g.lost = err, lost
	c, report := g.call, g.report() // what is ours no more behind pass
	if !g.pass(open, done) {
		g.recycle()
		return
	}
	report()
	if c.open.Add(-1) == 0 {
		c.done <- struct{}{}
	}
}

// report gives what tells the hall of the outcome.
func (g *group) report() func() {
	tell := g.n.hall.Reports()
	if tell == nil {
		return func() {}
	}
	r := &hub.Report{Subject: g.subject(hub.Send), Err: g.err}
	return func() { tell(r) }
}

// tell writes the outcome to the results of the group's messages.
func (g *group) tell(results []notify.Result) {
	switch {
	case g.lost:
		g.fail(results, &notify.Error{Reason: notify.Unknown, Text: g.err.Text, Err: g.err.Err})
	case g.err != nil:
		g.fail(results, errorOf(g.err))
	default:
		for i, at := range g.at {
			results[at] = notify.Result{Placed: true, Partition: g.partition.ID(), Sequence: g.First.Seq + int64(i)}
		}
	}
}

func (g *group) fail(results []notify.Result, err *notify.Error) {
	for _, at := range g.at {
		results[at].Err = err
	}
}
