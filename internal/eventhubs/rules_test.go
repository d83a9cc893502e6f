package eventhubs

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/hub"
)

// script is rules that answer one kind of question with one verdict, and remember what they were asked.
type script struct {
	mu    sync.Mutex
	op    hub.Op
	v     hub.Verdict
	times int // how often; -1: always
	asked []hub.Subject
}

func (s *script) Ask(q *hub.Subject) hub.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, *q)
	if q.Op != s.op || s.times == 0 {
		return hub.Verdict{}
	}
	s.times--
	return s.v
}

// subjects are what was asked about at one point.
func (s *script) subjects(op hub.Op) (list []hub.Subject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		if q.Op == op {
			list = append(list, q)
		}
	}
	return list
}

// scene is what a client does that makes a door ask at one point.
type scene struct {
	op     hub.Op
	play   func(*rig) *client
	pass   string // what the client sees when nothing is in the way
	refuse string // what it sees when the operation is refused
	detach string // what it sees when the link is ended
}

const busy, denied = "com.microsoft:server-busy", "amqp:unauthorized-access"

func scenes() map[string]scene {
	// Each gets everything ready, sets the rules on, and takes the last step.
	return map[string]scene{
		"auth": {op: hub.Auth, pass: "reply 202", refuse: "reply 503 E", detach: "reply 503 E", play: func(r *rig) *client {
			c := r.dial()
			p := c.pair(nodeCBS)
			r.ruled()
			p.send.transfer(amqp.FormatMessage, true, putToken(hubURL, r.token(signedHub1, "root", rootKey)).Append(nil))
			return c
		}},
		"manage": {op: hub.Manage, pass: "reply 200", refuse: "reply 503 E", detach: "reply 503 E", play: func(r *rig) *client {
			c := r.root()
			p := c.pair(nodeManagement)
			r.ruled()
			p.send.transfer(amqp.FormatMessage, true, read(typeHub, "hub1", "").Append(nil))
			return c
		}},
		"attach sender": {op: hub.Attach, pass: "attach, flow", refuse: "refused, detach E", detach: "refused, detach E", play: func(r *rig) *client {
			c := r.root()
			r.ruled()
			c.offer(channel1, sending("hub1/Partitions/1"))
			return c
		}},
		"attach receiver": {op: hub.Attach, pass: "attach", refuse: "refused, detach E", detach: "refused, detach E", play: func(r *rig) *client {
			c := r.root()
			r.ruled()
			c.offer(channel1, receiving(receiver0))
			return c
		}},
		"send": {op: hub.Send, pass: "accepted", refuse: "rejected E", detach: "detach E", play: func(r *rig) *client {
			c := r.root()
			s := c.attach(sending("hub1/Partitions/0"))
			r.ruled()
			s.transfer(amqp.FormatBatch, false, batch(plain("hi"), plain("ho")))
			return c
		}},
		"stored": {op: hub.Stored, pass: "accepted", refuse: "rejected E", detach: "detach E", play: func(r *rig) *client {
			c := r.root()
			s := c.attach(sending("hub1/Partitions/0"))
			r.ruled()
			s.transfer(amqp.FormatBatch, false, batch(plain("hi"), plain("ho")))
			return c
		}},
		"deliver": {op: hub.Deliver, pass: "hi", refuse: "detach E", detach: "detach E", play: func(r *rig) *client {
			r.root().fill("hi")
			c := r.root()
			l := c.attach(receiving(receiver0))
			r.ruled()
			l.credit(0, 1)
			return c
		}},
	}
}

// ruled puts the rig's rules in charge.
func (r *rig) ruled() {
	if r.rules != nil {
		r.hall.SetRules(r.rules)
	}
}

// seen says what has arrived, in a few words.
func (c *client) seen() string {
	c.t.Helper()
	synctest.Wait()
	var words []string
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				return strings.Join(append(words, "end"), ", ")
			}
			words = append(words, c.describe(f))
			continue
		default:
		}
		return strings.Join(words, ", ")
	}
}

func (c *client) describe(f frame) string {
	c.t.Helper()
	word := f.code.String()
	var e *amqp.Error
	switch f.code {
	case amqp.CodeAttach:
		var p amqp.Attach
		if c.decode(f, &p); p.Source == nil {
			return "refused"
		}
	case amqp.CodeDetach:
		var p amqp.Detach
		c.decode(f, &p)
		e = p.Error
	case amqp.CodeClose:
		var p amqp.Close
		c.decode(f, &p)
		e = p.Error
	case amqp.CodeDisposition:
		var p amqp.Disposition
		c.decode(f, &p)
		word, e = p.State.Code.String(), p.State.Error
	case amqp.CodeTransfer:
		m, err := amqp.DecodeMessage(c.decode(f, &amqp.Transfer{}))
		if err != nil {
			c.t.Fatal(err)
		}
		if m.Data != nil {
			return string(m.Data[0])
		}
		code, _, condition := statusOf(m)
		return strings.TrimSpace(fmt.Sprint("reply ", code, " ", condition))
	}
	if e != nil {
		return word + " " + string(e.Condition)
	}
	return word
}

// effect is what a client sees at once, within ten seconds, and then.
type effect struct{ now, soon, then string }

func (c *client) effect() (e effect) {
	c.t.Helper()
	e.now = c.seen()
	time.Sleep(10*time.Second - 1)
	e.soon = c.seen()
	time.Sleep(1)
	e.then = c.seen()
	return e
}

var ended = effect{"end", "end", "end"}

// TestRules has each action at each point.
func TestRules(t *testing.T) {
	t.Parallel()
	const wait = 10 * time.Second
	for name, s := range scenes() {
		told := func(pattern, condition string) string { return strings.Replace(pattern, "E", condition, 1) }
		for _, row := range []struct {
			name string
			v    hub.Verdict
			want effect
		}{
			{"pass", hub.Verdict{}, effect{now: s.pass}},
			{"refuse", hub.Verdict{Action: hub.Refuse}, effect{now: told(s.refuse, busy)}},
			{"refuse in other words", hub.Verdict{Action: hub.Refuse, Err: &hub.Error{Kind: hub.Disabled, Text: "Off."}, Condition: "x:y"},
				effect{now: told(s.refuse, "x:y")}},
			{"detach", hub.Verdict{Action: hub.Detach}, effect{now: told(s.detach, busy)}},
			{"detach, disabled", hub.Verdict{Action: hub.Detach, Err: &hub.Error{Kind: hub.Disabled, Text: "Off."}},
				effect{now: told(s.detach, "com.microsoft:entity-disabled")}},
			{"close", hub.Verdict{Action: hub.CloseConn}, effect{"close " + busy, "end", "end"}},
			{"drop", hub.Verdict{Action: hub.Drop}, ended},
			{"swallow", hub.Verdict{Action: hub.Swallow}, effect{}},
			{"expire", hub.Verdict{Action: hub.Expire}, effect{now: strings.Replace(told(s.detach, denied), "503", "401", 1)}},
			{"rewind", hub.Verdict{Action: hub.Rewind, Back: 3}, effect{now: s.pass}},
			{"delay", hub.Verdict{Delay: wait}, effect{then: s.pass}},
			{"delay and refuse", hub.Verdict{Delay: wait, Action: hub.Refuse}, effect{then: told(s.refuse, busy)}},
			{"delay and detach", hub.Verdict{Delay: wait, Action: hub.Detach}, effect{then: told(s.detach, busy)}},
			{"delay and close", hub.Verdict{Delay: wait, Action: hub.CloseConn}, effect{then: "close " + busy}},
			{"delay and drop", hub.Verdict{Delay: wait, Action: hub.Drop}, effect{then: "end"}},
			{"delay and swallow", hub.Verdict{Delay: wait, Action: hub.Swallow}, effect{}},
			{"delay and rewind", hub.Verdict{Delay: wait, Action: hub.Rewind, Back: 3}, effect{then: s.pass}},
		} {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{})
					r.rules = &script{op: s.op, v: row.v, times: -1}
					c := s.play(r)
					if got := c.effect(); got != row.want {
						t.Errorf("the client sees %q, want %q", got, row.want)
					}
					if len(r.rules.subjects(s.op)) == 0 {
						t.Error("the rules were not asked")
					}
					if got, want := r.hub("ns1").PartitionAt(0).State().Next.Seq, s.stored(row.v); got != want {
						t.Errorf("%d events are stored, want %d", got, want)
					}
				})
			})
		}
	}
}

// stored is how many events are stored in the end.
func (s scene) stored(v hub.Verdict) int64 {
	switch {
	case s.op == hub.Stored, s.op == hub.Send && (v.Action == hub.Pass || v.Action == hub.Rewind):
		return 2
	case s.op == hub.Deliver: // the one that is there before
		return 1
	}
	return 0
}

// TestRulesAtConnect: there is nothing to end but the connection.
func TestRulesAtConnect(t *testing.T) {
	t.Parallel()
	const wait = 10 * time.Second
	closed := effect{"open, close " + busy, "end", "end"}
	for _, row := range []struct {
		name string
		v    hub.Verdict
		want effect
	}{
		{"pass", hub.Verdict{}, effect{now: "open"}},
		{"refuse", hub.Verdict{Action: hub.Refuse}, closed},
		{"refuse in other words", hub.Verdict{Action: hub.Refuse, Condition: "x:y"}, effect{"open, close x:y", "end", "end"}},
		{"detach", hub.Verdict{Action: hub.Detach}, closed},
		{"close", hub.Verdict{Action: hub.CloseConn}, closed},
		{"expire", hub.Verdict{Action: hub.Expire}, effect{"open, close " + denied, "end", "end"}},
		{"drop", hub.Verdict{Action: hub.Drop}, ended},
		{"swallow", hub.Verdict{Action: hub.Swallow}, effect{}},
		{"rewind", hub.Verdict{Action: hub.Rewind}, effect{now: "open"}},
		{"delay", hub.Verdict{Delay: wait}, effect{then: "open"}},
		{"delay and refuse", hub.Verdict{Delay: wait, Action: hub.Refuse}, effect{then: "open, close " + busy}},
		{"delay and close", hub.Verdict{Delay: wait, Action: hub.CloseConn}, effect{then: "open, close " + busy}},
		{"delay and drop", hub.Verdict{Delay: wait, Action: hub.Drop}, effect{then: "end"}},
		{"delay and swallow", hub.Verdict{Delay: wait, Action: hub.Swallow}, effect{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{})
				r.rules = &script{op: hub.Connect, v: row.v, times: -1}
				c := r.connect()
				c.sasl(amqp.SASLInit{Mechanism: "ANONYMOUS"})
				r.ruled()
				c.write(amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP))
				c.send(0, &amqp.Open{ContainerID: "client-1"})
				if got := c.effect(); got != row.want {
					t.Errorf("the client sees %q, want %q", got, row.want)
				}
				if got := r.rules.subjects(hub.Connect); len(got) != 1 || got[0].Client != "client-1" || got[0].Partition != -1 {
					t.Errorf("asked about %+v", got)
				}
			})
		})
	}
}

// TestRuleSubjects: what the rules are told at each point.
func TestRuleSubjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	rules := &script{}
	r.hall.SetRules(rules)
	c := r.root()
	c.pair(nodeManagement).ask(read(typeHub, "hub1", ""))
	s, p := sending("hub1"), sending("hub1/Partitions/1")
	s.Name, p.Name = "any", "one"
	ls, lp := c.attach(s), c.attach(p)
	ls.wantAccepted(ls.publish(plain("a")))
	lp.wantAccepted(lp.outcome(lp.transfer(amqp.FormatBatch, false, batch(plain("b"), plain("c"), plain("d")))))
	a := receiving("hub1/ConsumerGroups/CG1/Partitions/1")
	a.Name = "reader"
	l := c.attach(a)
	l.credit(0, 2)
	l.bodies(2)
	base := hub.Subject{Namespace: "ns1", Hub: "hub1", Client: "client-1", Agent: testAgent}
	with := func(q hub.Subject, op hub.Op, partition int, group, link string, records int) hub.Subject {
		q.Op, q.Partition, q.Group, q.Link, q.Records = op, partition, group, link, records
		return q
	}
	for op, want := range map[hub.Op][]hub.Subject{
		hub.Connect: {{Op: hub.Connect, Partition: -1, Client: "client-1", Agent: testAgent}},
		hub.Auth:    {{Op: hub.Auth, Namespace: "ns1", Partition: -1, Client: "client-1", Agent: testAgent, Link: "sb://localhost/"}},
		hub.Manage:  {with(base, hub.Manage, -1, "", "", 0)},
		hub.Attach: {with(base, hub.Attach, -1, "", "any", 0), with(base, hub.Attach, 1, "", "one", 0),
			with(base, hub.Attach, 1, "cg1", "reader", 0)},
		hub.Send:    {with(base, hub.Send, -1, "", "any", 1), with(base, hub.Send, 1, "", "one", 3)},
		hub.Stored:  {with(base, hub.Stored, 0, "", "any", 1), with(base, hub.Stored, 1, "", "one", 3)},
		hub.Deliver: {with(base, hub.Deliver, 1, "cg1", "reader", 1), with(base, hub.Deliver, 1, "cg1", "reader", 1)},
	} {
		if got := rules.subjects(op); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", op, got, want)
		}
	}
}

// TestRuleSubjectsOfOneToken: the rules know the namespace of whoever proves it first, by PLAIN before the open, or by a token in the request
// itself. A credential that proves nothing is no business of theirs.
func TestRuleSubjectsOfOneToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	rules := &script{}
	r.hall.SetRules(rules)
	c := r.connect()
	c.sasl(amqp.SASLInit{Mechanism: "PLAIN", InitialResponse: []byte("\x00other\x00" + otherKey)})
	c.open()
	if got := rules.subjects(hub.Connect); len(got) != 1 || got[0].Namespace != "ns2" {
		t.Errorf("connect: %+v", got)
	}
	c = r.dial()
	p := c.pair(nodeManagement)
	m := read(typeHub, "hub1", "")
	m.ApplicationProperties = append(m.ApplicationProperties, amqp.Pair{Key: "security_token", Value: r.token(signedHub1, "other", otherKey)})
	p.ask(m)
	if got := rules.subjects(hub.Manage); len(got) != 1 || got[0].Namespace != "ns2" {
		t.Errorf("manage: %+v", got)
	}
	r.dial().pair(nodeCBS).ask(putToken(hubURL, r.token(signedHub1, "root", "guess")))
	r.dial().pair(nodeManagement).ask(read(typeHub, "hub1", ""))
	if got := append(rules.subjects(hub.Auth), rules.subjects(hub.Manage)...); len(got) != 1 {
		t.Errorf("asked about %+v", got)
	}
}

// TestRewind: events are delivered again, and a rule that always rewinds is held by the client's credit.
func TestRewind(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		rules *script
		at    int // events the reader has before the rules come
		want  string
	}{
		{"once", &script{op: hub.Deliver, v: hub.Verdict{Action: hub.Rewind, Back: 2}, times: 1}, 2, "a b a b c"},
		{"beyond the first", &script{op: hub.Deliver, v: hub.Verdict{Action: hub.Rewind, Back: 100}, times: 1}, 1, "a a b c"},
		{"by nothing", &script{op: hub.Deliver, v: hub.Verdict{Action: hub.Rewind}, times: 1}, 1, "a b c"},
		{"always by nothing", &script{op: hub.Deliver, v: hub.Verdict{Action: hub.Rewind}, times: -1}, 1, "a b c"},
		{"always by one", &script{op: hub.Deliver, v: hub.Verdict{Action: hub.Rewind, Back: 1}, times: -1}, 1, "a a a a a a a a"},
		{"after a delay", &script{op: hub.Deliver, v: hub.Verdict{Action: hub.Rewind, Back: 1, Delay: time.Millisecond}, times: 1}, 2, "a b b c"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{})
				r.root().fill("a", "b", "c")
				c := r.root()
				l := c.attach(receiving(receiver0))
				l.credit(0, uint32(row.at))
				got := l.bodies(row.at)
				r.hall.SetRules(row.rules)
				l.credit(uint32(row.at), uint32(8-row.at))
				time.Sleep(time.Second)
				for _, f := range c.arrived() {
					got += " " + c.describe(f)
				}
				if got != row.want {
					t.Errorf("received %q, want %q", got, row.want)
				}
			})
		})
	}
}

// TestDelayedDelivery: each event waits, in order; rules that go leave nothing behind.
func TestDelayedDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		r.root().fill("a", "b", "c", "d")
		c := r.root()
		l := c.attach(receiving(receiver0))
		rules := &script{op: hub.Deliver, v: hub.Verdict{Delay: 10 * time.Second}, times: -1}
		r.hall.SetRules(rules)
		l.credit(0, 10)
		for i, want := range []effect{{"", "", "a"}, {"", "", "b"}} {
			if got := c.effect(); got != want {
				t.Errorf("ten seconds %d: %q, want %q", i, got, want)
			}
		}
		r.hall.SetRules(nil)
		if got, want := c.effect(), (effect{"", "", "c, d"}); got != want { // c was asked about already
			t.Errorf("after the rules went: %q, want %q", got, want)
		}
		if n := len(rules.subjects(hub.Deliver)); n != 3 {
			t.Errorf("the rules were asked %d times, want 3", n)
		}
	})
}

// TestGoneBeforeAnswer: a client that gives up a link before it is answered leaves nothing behind.
func TestGoneBeforeAnswer(t *testing.T) {
	t.Parallel()
	for _, a := range []amqp.Attach{sending("hub1"), epoch(receiving(receiver0), int64(1))} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			c := r.root()
			r.hall.SetRules(&script{op: hub.Attach, v: hub.Verdict{Delay: 20 * time.Second}, times: 2})
			l := c.offer(channel1, a)
			c.send(channel1, &amqp.Detach{Handle: l.handle, Closed: amqp.Some(true)})
			if got := c.seen(); got != "refused, detach" {
				t.Errorf("the client sees %q", got)
			}
			dying := r.root()
			dying.offer(channel1, a)
			dying.nc.Close()
			time.Sleep(30 * time.Second)
			if links := r.hall.Links(); len(links) != 0 {
				t.Errorf("links: %+v", links)
			}
			c.attach(a)
		})
	}
}

// TestRulesGiveBytesBack: whatever becomes of an event, its bytes count as unsettled once and are given back once. A bound that was given
// back too much would let a client fill our memory.
func TestRulesGiveBytesBack(t *testing.T) {
	t.Parallel()
	const size, bound = 1000, 4
	for _, op := range []hub.Op{hub.Send, hub.Stored} {
		for _, action := range []hub.Action{hub.Pass, hub.Refuse, hub.Swallow, hub.Detach} {
			t.Run(fmt.Sprint(op, "/", action), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{inflight: bound * size})
					c := r.root()
					s := c.attach(sending("hub1/Partitions/0"))
					event := plain(strings.Repeat("x", size))
					r.hall.SetRules(&script{op: op, v: hub.Verdict{Action: action}, times: -1})
					for range 20 {
						s.transfer(amqp.FormatMessage, false, event)
						if action == hub.Detach {
							c.wantDetach(s.theirs)
							c.send(channel1, &amqp.Detach{Handle: s.handle, Closed: amqp.Some(true)})
							s = c.attach(sending("hub1/Partitions/0"))
						}
					}
					synctest.Wait()
					held := &script{op: hub.Send, v: hub.Verdict{Delay: time.Hour}, times: -1}
					r.hall.SetRules(held)
					go func() {
						for range 20 {
							s.transfer(amqp.FormatMessage, false, event)
						}
					}()
					synctest.Wait()
					if n := len(held.subjects(hub.Send)); n != bound {
						t.Errorf("%d events of %d bytes were taken in, want %d", n, len(event), bound)
					}
				})
			})
		}
	}
}
