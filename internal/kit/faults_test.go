package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// ask is what a door would.
func (r *room) ask(q hub.Subject) hub.Verdict {
	if rules := r.hall.Rules(); rules != nil {
		return rules.Ask(&q)
	}
	return hub.Verdict{}
}

func (r *room) fault(s *Space, on On, do Do) *Fault {
	r.t.Helper()
	f, err := s.Fault(on, do)
	r.must(err)
	return f
}

// sending is the question about one send of space s1.
func sending() hub.Subject {
	return hub.Subject{Op: hub.Send, Namespace: "s1", Hub: "orders", Partition: -1, Client: "notifier-1", Link: "l", Records: 1}
}

func TestFaultCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		on   On
		want string // of ten sends, x for those that were answered
	}{
		{"once", On{Op: Send}, "x........."},
		{"three times", On{Op: Send, Times: 3}, "xxx......."},
		{"after two", On{Op: Send, After: 2, Times: 2}, "..xx......"},
		{"always", On{Op: Send, Times: -1}, "xxxxxxxxxx"},
		{"always, later", On{Op: Send, After: 7, Times: -1}, ".......xxx"},
		{"any operation", On{Times: 2}, "xx........"},
		{"another operation", On{Op: Attach, Times: -1}, ".........."},
		{"certain", On{Op: Send, Times: -1, Prob: 1}, "xxxxxxxxxx"},
	} {
		r := newRoom(t)
		s := r.space("s1")
		f := r.fault(s, c.on, Throttle())
		got := ""
		for range 10 {
			if r.ask(sending()).Action == hub.Refuse {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want || f.Hits() != strings.Count(c.want, "x") || f.Live() != (r.hall.Rules() != nil) {
			t.Errorf("%s: %s with %d hits, want %s", c.name, got, f.Hits(), c.want)
		}
	}
}

// TestFaultChance: chance is drawn from the seed, for each fault its own, whatever other faults draw.
func TestFaultChance(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, others bool) (hits [2]string) {
		r := newRoom(t)
		s, err := r.kit.Create(SpaceSpec{Name: "s1", Seed: seed, Hubs: []HubSpec{{Name: "orders", Partitions: 1}}})
		r.must(err)
		for i, client := range []string{"a", "b"} {
			r.fault(s, On{Op: Send, Client: client, Prob: 0.5, Times: -1}, Delay(time.Second, time.Second))
			for range 50 {
				q := sending()
				q.Client = client
				v := r.ask(q)
				hits[i] += fmt.Sprint(v.Delay, " ")
				if v.Delay != 0 && (v.Delay < time.Second || v.Delay > 2*time.Second) {
					t.Errorf("a delay of %v", v.Delay)
				}
				if q.Client = "a"; others && i == 1 {
					r.ask(q)
				}
			}
		}
		return hits
	}
	one := run(1, false)
	if same := run(1, true); one != same {
		t.Error("the same seed gives other hits")
	}
	if other := run(2, false); one == other || one[0] == one[1] {
		t.Error("two seeds, or two faults, draw alike")
	}
	if n := strings.Count(one[0], "0s "); n < 10 || n > 40 {
		t.Errorf("%d of 50 passed at even chances", n)
	}
}

// TestFaultMeets: which operations a fault meets.
func TestFaultMeets(t *testing.T) {
	t.Parallel()
	reader := hub.Subject{Op: hub.Deliver, Namespace: "s1", Hub: "orders", Partition: 2, Group: "$default", Client: "processor-17", Link: "l", Records: 1}
	attach := reader
	attach.Op, attach.Records = hub.Attach, 0
	connect := hub.Subject{Op: hub.Connect, Partition: -1, Client: "notifier-1"}
	auth := hub.Subject{Op: hub.Auth, Partition: -1, Client: "notifier-1", Link: "sb://localhost/orders"}
	manage := hub.Subject{Op: hub.Manage, Hub: "orders", Partition: -1, Client: "notifier-1"}
	stored := sending()
	stored.Op, stored.Partition = hub.Stored, 3
	toPartition := sending()
	toPartition.Partition = 3
	app := sending()
	app.Client, app.Agent = "0b1ff2d0", "shop azsdk-go-azeventhubs/v2.0 (go1.26; linux)"
	for _, c := range []struct {
		name string
		on   On
		do   Do
		q    hub.Subject
		want bool
	}{
		{"send", On{Op: Send}, Drop(), sending(), true},
		{"hub in other letters", On{Op: Send, Hub: "ORDERS"}, Drop(), sending(), true},
		{"other hub", On{Op: Send, Hub: "billing"}, Drop(), sending(), false},
		{"partition of the hub's own address", On{Op: Send, Partition: "3"}, Drop(), sending(), false},
		{"partition", On{Op: Send, Partition: "3"}, Drop(), toPartition, true},
		{"other partition", On{Op: Send, Partition: "2"}, Drop(), toPartition, false},
		{"client", On{Op: Send, Client: "notifier*"}, Drop(), sending(), true},
		{"other client", On{Op: Send, Client: "processor*"}, Drop(), sending(), false},
		{"group", On{Op: Deliver, Group: "$Default"}, Drop(), reader, true},
		{"other group", On{Op: Deliver, Group: "audit"}, Drop(), reader, false},
		{"group of any operation", On{Group: "$Default"}, Drop(), attach, true},
		{"group, and a sender", On{Group: "$Default"}, Drop(), sending(), false},
		{"stored, by what acts before", On{Op: Send}, Drop(), stored, false},
		{"stored", On{Op: Send}, AckLost(), stored, true},
		{"stored, any operation", On{}, AckLost(), stored, true},
		{"stored in a partition", On{Op: Send, Partition: "3"}, AckLost(), stored, true},
		{"not stored yet", On{Op: Send}, AckLost(), toPartition, false},
		{"any operation, without effect", On{}, Redeliver(1), sending(), false},
		{"any operation, with effect", On{}, Redeliver(1), reader, true},
		{"epoch of a reader", On{Op: Attach}, StealEpoch(1), attach, true},
		{"epoch of a sender", On{Op: Attach}, StealEpoch(1), hub.Subject{Op: hub.Attach, Namespace: "s1", Hub: "orders", Partition: -1}, false},
		{"connect", On{Op: Connect}, Drop(), connect, true},
		{"auth", On{Op: Auth}, Drop(), auth, true},
		{"manage", On{Op: Manage, Hub: "orders"}, Drop(), manage, true},
		{"any operation, at connect", On{}, Blackhole(), connect, true},
		{"any operation, without effect at connect", On{}, Redeliver(1), connect, false},
		{"application", On{Client: "shop"}, Drop(), app, true},
		{"application and version", On{Client: "shop/*"}, Drop(), app, false},
		{"sdk", On{Client: "azsdk-go-*/v2.?"}, Drop(), app, true},
		{"whole user agent", On{Client: "shop azsdk*linux)"}, Drop(), app, true},
		{"part of a word of the user agent", On{Client: "sho"}, Drop(), app, false},
		{"other application", On{Client: "till*"}, Drop(), app, false},
		{"any client, without user agent", On{Client: "*"}, Drop(), sending(), true},
	} {
		r := newRoom(t)
		f := r.fault(r.space("s1"), c.on, c.do)
		r.ask(c.q)
		if got := f.Hits() == 1; got != c.want {
			t.Errorf("%s: met %v, want %v", c.name, got, c.want)
		}
	}
}

// TestFaultsOfSpaces: no fault reaches another space.
func TestFaultsOfSpaces(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s1 := r.space("s1")
	connect := hub.Subject{Op: hub.Connect, Partition: -1, Client: "notifier-1"}
	any := r.fault(s1, On{Times: -1}, Drop())
	r.ask(connect)
	if any.Hits() != 1 {
		t.Error("the only space does not meet a connect")
	}
	s2 := r.space("s2")
	theirs := sending()
	theirs.Namespace = "s2"
	r.ask(theirs)
	r.ask(connect)
	theirs.Namespace = "elsewhere"
	r.ask(theirs)
	if any.Hits() != 1 {
		t.Errorf("a fault of one space met another's client: %d hits", any.Hits())
	}
	_, err := s2.Fault(On{Op: Connect}, Drop())
	wantKind(t, "connect, several spaces", err, hub.Invalid, "Name a Client that is this test's alone")
	for _, pattern := range []string{"*", "notifier*", "notifier-?"} {
		_, err := s2.Fault(On{Op: Connect, Client: pattern}, Drop())
		wantKind(t, "connect of "+pattern+", several spaces", err, hub.Invalid, "without * and ?")
	}
	r.fault(s1, On{Client: "notifier-1", Times: -1}, Drop()) // on any operation, which a connect of nobody is not
	named := r.fault(s2, On{Op: Connect, Client: "notifier-1"}, Drop())
	if v := r.ask(connect); v.Action != hub.Drop || named.Hits() != 1 {
		t.Errorf("a client that is named: %+v", v)
	}
	connect.Namespace = "s2" // after SASL PLAIN
	plain := r.fault(s2, On{}, Drop())
	if v := r.ask(connect); v.Action != hub.Drop || plain.Hits() != 1 || any.Hits() != 1 {
		t.Errorf("a client that has come with its key: %+v", v)
	}
	auth := hub.Subject{Op: hub.Auth, Partition: -1, Client: "notifier-1"}
	proof := r.fault(s2, On{Op: Auth}, Drop())
	for namespace, want := range map[string]int{"s1": 0, "": 0, "s2": 1} {
		before := proof.Hits()
		auth.Namespace = namespace
		if r.ask(auth); proof.Hits()-before != want {
			t.Errorf("a credential of %q: %d hits, want %d", namespace, proof.Hits()-before, want)
		}
	}
}

// TestFaultOrder: of several faults the one that was set first answers, until it is over.
func TestFaultOrder(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	first := r.fault(s, On{Op: Send, Times: 2}, Throttle())
	second := r.fault(s, On{Op: Send, Times: -1}, Drop())
	var got []hub.Action
	for range 4 {
		got = append(got, r.ask(sending()).Action)
	}
	if !slices.Equal(got, []hub.Action{hub.Refuse, hub.Refuse, hub.Drop, hub.Drop}) || first.ID() != "f1" || second.ID() != "f2" {
		t.Errorf("verdicts %v by %v and %v", got, first, second)
	}
	if got, err := s.FaultNamed("f2"); got != second || err != nil {
		t.Errorf("f2 is %v, %v", got, err)
	}
	second.Remove()
	if v := r.ask(sending()); v != (hub.Verdict{}) || r.hall.Rules() != nil || len(s.Faults()) != 1 || second.Live() {
		t.Errorf("after all are over: %+v", v)
	}
	_, err := s.FaultNamed("f2")
	wantKind(t, "a removed fault", err, hub.NotFound, "has no fault 'f2'")
}

// TestVerdicts: what the doors are told.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	attach := hub.Subject{Op: hub.Attach, Namespace: "s1", Hub: "orders", Partition: 1, Group: "$default", Link: "me"}
	deliver := attach
	deliver.Op = hub.Deliver
	stored := sending()
	stored.Op = hub.Stored
	for _, c := range []struct {
		do   Do
		q    hub.Subject
		name string
		want hub.Verdict
		text string // of its error
	}{
		{Throttle(), sending(), "throttle", hub.Verdict{Action: hub.Refuse}, "namespace s1 is being throttled. Error code : 50009."},
		{Reject("x:y", "No."), sending(), "reject x:y", hub.Verdict{Action: hub.Refuse, Condition: "x:y"}, "No."},
		{Detach("x:y", "Go."), sending(), "detach x:y", hub.Verdict{Action: hub.Detach, Condition: "x:y"}, "Go."},
		{CloseConn(""), sending(), "close-connection amqp:connection:forced", hub.Verdict{Action: hub.CloseConn, Condition: "amqp:connection:forced"}, "by a fault"},
		{CloseConn("x:y"), sending(), "close-connection x:y", hub.Verdict{Action: hub.CloseConn, Condition: "x:y"}, "by a fault"},
		{Drop(), sending(), "drop", hub.Verdict{Action: hub.Drop}, ""},
		{AckLost(), stored, "ack-lost", hub.Verdict{Action: hub.Drop}, ""},
		{Blackhole(), sending(), "blackhole", hub.Verdict{Action: hub.Swallow}, ""},
		{Delay(time.Second, 0), sending(), "delay 1s", hub.Verdict{Delay: time.Second}, ""},
		{Delay(time.Second, 1), sending(), "delay 1s to 1.000000001s", hub.Verdict{Delay: time.Second}, ""},
		{ExpireToken(), sending(), "expire-token", hub.Verdict{Action: hub.Expire}, ""},
		{StealEpoch(9), attach, "steal-epoch 9", hub.Verdict{Action: hub.Refuse}, "higher epoch '9' already exists. Receiver 'me'"},
		{Redeliver(3), deliver, "redeliver 3", hub.Verdict{Action: hub.Rewind, Back: 3}, ""},
	} {
		r := newRoom(t)
		r.fault(r.space("s1"), On{}, c.do)
		v := r.ask(c.q)
		if (v.Err != nil) != (c.text != "") || v.Err != nil && !strings.Contains(v.Err.Text, c.text) {
			t.Errorf("%s: error %v, want %q", c.name, v.Err, c.text)
		}
		v.Err = nil
		if v.Delay == time.Second+1 { // its jitter
			v.Delay--
		}
		if v != c.want || c.do.String() != c.name {
			t.Errorf("%s, called %s: %+v, want %+v", c.name, c.do, v, c.want)
		}
	}
}

func TestFaultErrors(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	for _, c := range []struct {
		on   On
		do   Do
		kind hub.Kind
		want string
	}{
		{On{}, Do{}, hub.Invalid, "not what it does"},
		{On{Op: 99}, Drop(), hub.Invalid, "none of any, connect"},
		{On{After: -1}, Drop(), hub.Invalid, "After is -1"},
		{On{Times: -2}, Drop(), hub.Invalid, "Times is -2"},
		{On{Prob: 1.5}, Drop(), hub.Invalid, "between 0 and 1"},
		{On{Op: Connect}, StealEpoch(1), hub.Invalid, "steal-epoch has no effect on connect; it acts on attach, deliver."},
		{On{Op: Attach}, AckLost(), hub.Invalid, "ack-lost has no effect on attach; it acts on send."},
		{On{Op: Send}, Redeliver(1), hub.Invalid, "it acts on deliver."},
		{On{}, Redeliver(0), hub.Invalid, "go back 1 event or more, not 0"},
		{On{}, Delay(0, 0), hub.Invalid, "give a time above 0"},
		{On{}, Delay(-time.Second, 2*time.Second), hub.Invalid, "give a time above 0"},
		{On{}, StealEpoch(-1), hub.Invalid, "cannot be negative"},
		{On{}, Reject("", "x"), hub.Invalid, "1 to 128 characters"},
		{On{}, Detach("a b", "x"), hub.Invalid, "visible ASCII"},
		{On{}, CloseConn(strings.Repeat("x", 129)), hub.Invalid, "1 to 128 characters"},
		{On{Op: Auth, Hub: "orders"}, Drop(), hub.Invalid, "On auth neither hub nor partition"},
		{On{Op: Send, Group: "audit"}, Drop(), hub.Invalid, "a Group the operation is attach or deliver, not send"},
		{On{Op: Manage, Partition: "1"}, Drop(), hub.Invalid, "leave out the Partition"},
		{On{Partition: "01"}, Drop(), hub.Invalid, "not a decimal number"},
		{On{Partition: "x"}, Drop(), hub.Invalid, "not a decimal number"},
		{On{Hub: "order"}, Drop(), hub.NotFound, "did you mean 'orders'?"},
		{On{Hub: "orders", Partition: "4"}, Drop(), hub.OutOfRange, "between 0 and 3"},
		{On{Hub: "orders", Group: "odit"}, Drop(), hub.NotFound, "groups here: $default, audit"},
	} {
		_, err := s.Fault(c.on, c.do)
		wantKind(t, fmt.Sprintf("%+v %v", c.on, c.do), err, c.kind, c.want)
	}
	if len(s.Faults()) != 0 || r.hall.Rules() != nil {
		t.Error("a wrong fault was set")
	}
}

func TestFaultWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := r.space("s1")
		f := r.fault(s, On{Op: Send, Times: 2}, Throttle())
		waiting := make(chan error, 2)
		go func() { waiting <- f.Wait(context.Background(), 2) }()
		go func() { waiting <- f.Wait(context.Background(), 3) }()
		for range 2 {
			time.Sleep(time.Second)
			synctest.Wait()
			if len(waiting) != 0 {
				t.Error("a wait ended before its hits")
			}
			r.ask(sending())
		}
		var texts []string
		for range 2 {
			texts = append(texts, fmt.Sprint(<-waiting))
		}
		slices.Sort(texts)
		if want := []string{"<nil>", "fault f1 (throttle on send) is over after 2 hits; 3 can never be"}; !slices.Equal(texts, want) {
			t.Errorf("waits end with %q", texts)
		}
		if err := f.Wait(context.Background(), 1); err != nil {
			t.Errorf("hits of before: %v", err)
		}
		other := r.fault(s, On{Op: Send}, Throttle())
		err := other.Wait(within(t, time.Second), 1)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "fault f2 (throttle on send) has 0 hits, want 1") {
			t.Errorf("in vain: %v", err)
		}
		go func() { waiting <- other.Wait(context.Background(), 1) }()
		synctest.Wait()
		other.Remove()
		if err := <-waiting; err == nil || !strings.Contains(err.Error(), "is over after 0 hits") {
			t.Errorf("removed: %v", err)
		}
		last := r.fault(s, On{Op: Send}, Throttle())
		go func() { waiting <- last.Wait(context.Background(), 1) }()
		synctest.Wait()
		r.must(s.Delete())
		if err := <-waiting; err == nil {
			t.Error("a wait outlives its space's faults")
		}
		if n := len(f.waiters); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

func TestFaultJSON(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	f := r.fault(r.space("s1"), On{Op: Send, Client: "a*"}, Delay(2*time.Second, time.Millisecond))
	b, err := json.Marshal(f)
	const want = `{"fault":"f1","on":{"op":"send","client":"a*"},"do":{"type":"delay","duration":"2s","jitter":"1ms"},"hits":0,"live":true}`
	if string(b) != want || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}

// TestVerify: what a test has left behind.
func TestVerify(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	r.fault(s, On{Op: Deliver}, Drop())
	r.fault(s, On{Op: Send, After: 5}, Drop())
	r.fault(s, On{Op: Send, Prob: 1e-300}, Drop())
	r.fault(s, On{Op: Attach}, Drop()).Optional()
	fired := r.fault(s, On{Op: Send, After: 1}, Drop())
	r.fault(s, On{Op: Send}, Drop()).Remove()
	r.ask(sending())
	r.ask(sending())
	h, _ := s.Hub("orders")
	for _, info := range []hub.LinkInfo{
		{Kind: hub.Reader, Partition: 2, Group: "AUDIT", Client: "processor-17"}, {Kind: hub.Sender, Partition: -1},
	} {
		l, err := h.OpenLink(info, nil)
		r.must(err)
		t.Cleanup(l.Close)
	}
	want := []string{
		"fault f1 (drop on deliver) never fired: nothing that it could meet has happened",
		"fault f2 (drop on send) never fired: it met 2 operations and lets 5 pass",
		"fault f3 (drop on send) never fired: it met 2 operations, and chance (Prob 1e-300) let all pass",
		"reader processor-17 of orders/2 in group audit is still open",
		`sender "" of orders is still open`,
	}
	if got := s.Verify(); !slices.Equal(got, want) || fired.Hits() != 1 {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestShortfall: what a fault has not done, and who came in place of whom it waits for.
func TestShortfall(t *testing.T) {
	t.Parallel()
	elsewhere := sending()
	elsewhere.Client, elsewhere.Agent, elsewhere.Partition = "notifier-2", "sdk/1.0 app", 0
	reader := hub.Subject{Op: hub.Deliver, Namespace: "s1", Hub: "orders", Partition: 1, Group: "$default", Client: "processor-1"}
	foreign := sending()
	foreign.Namespace = "s2"
	for _, c := range []struct {
		name string
		on   On
		asks []hub.Subject
		want string
	}{
		{"all done", On{Op: Send, Times: 2}, []hub.Subject{sending(), sending()}, ""},
		{"once of always", On{Op: Send, Times: -1}, []hub.Subject{sending()}, ""},
		{"never of always", On{Op: Send, Times: -1}, nil, "never fired: nothing that it could meet has happened"},
		{"once of three", On{Op: Send, Times: 3}, []hub.Subject{sending(), reader}, "fired 1 of 3 times: nothing more that it could meet has happened"},
		{"another operation", On{Op: Send, Client: "x"}, []hub.Subject{reader, foreign}, "never fired: nothing that it could meet has happened"},
		{"another client", On{Op: Send, Client: "notifier-9"}, []hub.Subject{sending(), sending(), elsewhere},
			"never fired: client notifier-9 was meant, and there came send by notifier-1 at orders, send by notifier-2 (sdk/1.0 app) at orders/0"},
		{"another partition", On{Op: Send, Hub: "orders", Partition: "3"}, []hub.Subject{elsewhere},
			"never fired: hub orders, partition 3 was meant, and there came send by notifier-2 at orders/0"},
		{"another group", On{Op: Deliver, Group: "audit"}, []hub.Subject{reader},
			"never fired: group audit was meant, and there came deliver by processor-1 at orders/1 in group $default"},
		{"one of two clients", On{Op: Send, Client: "notifier-1", Times: 2}, []hub.Subject{sending(), elsewhere},
			"fired 1 of 2 times: client notifier-1 was meant, and there came send by notifier-2 (sdk/1.0 app) at orders/0"},
		{"after more than came", On{Op: Send, After: 1}, []hub.Subject{sending()}, "never fired: it met 1 operation and lets 1 pass"},
	} {
		r := newRoom(t)
		s := r.space("s1")
		f := r.fault(s, c.on, Drop())
		for _, q := range c.asks {
			r.ask(q)
		}
		_, got, _ := strings.Cut(f.Shortfall(), ") ")
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	r := newRoom(t)
	f := r.fault(r.space("s1"), On{Op: Send, Client: "x"}, Drop())
	for i := range 10 {
		q := sending()
		q.Client = fmt.Sprint("c", i)
		r.ask(q)
	}
	if got := f.Shortfall(); !strings.HasSuffix(got, "send by c3 at orders, ...") {
		t.Errorf("many others: %s", got)
	}
}

// TestStealEpochInHall: at a delivery the readers of the place lose it to a thief that goes again.
func TestStealEpochInHall(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	h, _ := s.Hub("orders")
	q := hub.Subject{Op: hub.Deliver, Namespace: "s1", Hub: "orders", Partition: 1, Group: "$default", Records: 1}
	var why *hub.Error
	open := func(epoch int64) *hub.Link {
		l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Reader, Partition: 1, Group: "$default", Name: "victim", Epoch: epoch, HasEpoch: epoch > 0}, func(e *hub.Error) { why = e })
		r.must(err)
		return l
	}
	f := r.fault(s, On{Op: Deliver}, StealEpoch(5))
	strong := open(9)
	if v := r.ask(q); v != (hub.Verdict{}) || f.Hits() != 0 || !f.Live() {
		t.Errorf("a stronger reader: %+v, %d hits", v, f.Hits())
	}
	if got := s.Verify()[0]; !strings.Contains(got, "never fired: Receiver 'victim' with a higher epoch '9' already exists") {
		t.Errorf("unfired: %s", got)
	}
	strong.Close()
	open(0)
	if v := r.ask(q); v.Action != hub.Swallow || f.Hits() != 1 || why == nil || why.Kind != hub.Stolen || len(s.Links()) != 0 {
		t.Errorf("a weaker reader: %+v, %v, %d hits, links %+v", v, why, f.Hits(), s.Links())
	}
	if v := r.ask(q); v != (hub.Verdict{}) {
		t.Errorf("a fault that is over: %+v", v)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"ab", "a", false}, {"*", "", true}, {"*", "x/y", true}, {"a*", "abc", true}, {"*c", "abc", true},
		{"a*c", "abcc", true}, {"a*c", "abcd", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"**", "a", true}, {"*a*b*", "xaxbx", true}, {"*a*b*", "xbxax", false},
		{"a[b]", "a[b]", true}, {"?", "", false},
	} {
		if got := glob(c.pattern, c.text); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.text, got)
		}
	}
}

// TestAskAtOnce: many doors ask while faults come and go.
func TestAskAtOnce(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	r.fault(s, On{Op: Send, Times: 500}, Throttle())
	var refused sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			n := 0
			for range 200 {
				if r.ask(sending()).Action == hub.Refuse {
					n++
				}
				f, err := s.Fault(On{Op: Attach}, Drop())
				if err != nil {
					t.Error(err)
				}
				stop := s.Trace()
				s.Timeline()
				stop()
				f.Remove()
			}
			refused.Store(i, n)
		})
	}
	all.Wait()
	sum := 0
	refused.Range(func(_, n any) bool { sum += n.(int); return true })
	if sum != 500 || r.hall.Rules() != nil {
		t.Errorf("%d sends were refused, want 500", sum)
	}
}
