package kit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

func TestWaitReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s, other := r.space("s1"), r.space("s2")
		open := func(s *Space, partition int, group, client string) *hub.Link {
			h, _ := s.Hub("orders")
			l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Reader, Partition: partition, Group: group, Client: client}, nil)
			r.must(err)
			return l
		}
		open(other, 0, "$default", "theirs").SetCredit(1)
		open(s, 0, "audit", "auditor").SetCredit(1)
		first := open(s, 0, "$default", "a")
		n, err := s.WaitReaders(within(t, time.Second), "orders", "$Default", 2)
		const want = "readers of group $Default at hub orders that wait for events: 0, want 2; attached: reader a of orders/0 in group $default (without credit): " +
			"context deadline exceeded"
		if n != 0 || !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("%d, %v; want\n%s", n, err, want)
		}
		go func() {
			time.Sleep(time.Second)
			first.SetCredit(1)
			time.Sleep(time.Second)
			open(s, 1, "$default", "b").SetCredit(300)
		}()
		start := time.Now()
		n, err = s.WaitReaders(context.Background(), "orders", "$Default", 2)
		if d := time.Since(start); n != 2 || err != nil || d != 2*time.Second {
			t.Errorf("%d, %v after %v", n, err, d)
		}
		if n, err = s.WaitReaders(context.Background(), "orders", "$Default", 1); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		_, err = s.WaitReaders(context.Background(), "order", "$Default", 1)
		wantKind(t, "unknown hub", err, hub.NotFound, "did you mean 'orders'?")
		_, err = s.WaitReaders(context.Background(), "orders", "odit", 1)
		wantKind(t, "unknown group", err, hub.NotFound, "groups here: $default, audit")
		_, err = s.WaitReaders(within(t, time.Second), "billing", "$Default", 1)
		if !strings.Contains(fmt.Sprint(err), "none is attached") {
			t.Errorf("nobody: %v", err)
		}
		billing, _ := s.Hub("billing")
		go func() {
			time.Sleep(time.Second)
			appendRaw(billing.PartitionAt(0), nil) // which is not its end
			time.Sleep(time.Second)
			r.must(s.Namespace().DeleteHub("billing"))
		}()
		start = time.Now()
		_, err = s.WaitReaders(context.Background(), "billing", "$Default", 1)
		wantKind(t, "a hub that goes", err, hub.Updated, "The hub 'billing' was deleted")
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("it went after 2s, which was heard after %v", d)
		}
		for i := range 9 {
			open(s, i/3, "audit", fmt.Sprint("c", i))
		}
		_, err = s.WaitReaders(within(t, time.Second), "orders", "audit", 99)
		if !strings.Contains(fmt.Sprint(err), "that wait for events: 1, want 99") || !strings.Contains(err.Error(), ", ...: context") {
			t.Errorf("many: %v", err)
		}
	})
}

// TestTimeline: what doors ask and report is there once, in order, with the fault that answered, and without what belongs to others.
func TestTimeline(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	clock := &standing{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	r.kit.clock = clock
	s, other := r.space("s1"), r.space("s2")
	stop := s.Trace()
	other.Trace()
	ask := func(q hub.Subject) {
		clock.now = clock.now.Add(time.Millisecond)
		r.ask(q)
	}
	ask(hub.Subject{Op: hub.Connect, Partition: -1, Client: "notifier-1"})
	ask(hub.Subject{Op: hub.Connect, Partition: -1, Client: "theirs"})
	ask(hub.Subject{Op: hub.Attach, Namespace: "s2", Hub: "orders", Partition: -1, Client: "theirs"})
	ask(hub.Subject{Op: hub.Attach, Namespace: "s1", Hub: "orders", Partition: -1, Client: "notifier-1"})
	r.hall.Reports()(&hub.Report{Subject: hub.Subject{Op: hub.Attach, Namespace: "s1", Hub: "order", Partition: -1, Client: "notifier-1"},
		Err: &hub.Error{Kind: hub.NotFound, Text: "Not here.", Hint: "hubs here: orders"}, Condition: "amqp:not-found"})
	r.hall.Reports()(&hub.Report{Subject: sending()})
	for range 3 {
		ask(sending())
	}
	f := r.fault(s, On{Op: Send}, AckLost())
	stored := sending()
	stored.Op, stored.Partition = hub.Stored, 2
	ask(stored)
	ask(stored) // by then the fault is over, and the send is there already
	ask(hub.Subject{Op: hub.Deliver, Namespace: "s1", Hub: "orders", Partition: 2, Group: "audit", Client: "p\n", Records: 1})
	ask(hub.Subject{Op: hub.Connect, Partition: -1})
	want := []string{
		`03:04:05.001 connect notifier-1`,
		`03:04:05.004 attach notifier-1 orders`,
		`03:04:05.004 attach notifier-1 order -> refused (amqp:not-found): Not here.`,
		`03:04:05.007 send notifier-1 orders 3 events`,
		`03:04:05.008 send notifier-1 orders/2 1 event -> fault f1: ack-lost`,
		`03:04:05.010 deliver "p\n" orders/2 group audit 1 event`,
		`03:04:05.011 connect ""`,
	}
	var got []string
	for _, e := range s.Timeline() {
		got = append(got, e.String())
	}
	if !slices.Equal(got, want) || f.Hits() != 1 {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	stop()
	if n := len(s.Timeline()); n != 0 {
		t.Errorf("%d entries are left of a timeline that was stopped", n)
	}
}

// TestTimelineJoins: what a fault refuses is one entry, with the answer and what the peer was told; what is refused for another reason is one of
// its own. A thousand of the same are one line.
func TestTimelineJoins(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.kit.clock = &standing{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s := r.space("s1")
	s.Trace()
	tell := func(q hub.Subject, kind hub.Kind, condition, text string) {
		r.hall.Reports()(&hub.Report{Subject: q, Err: &hub.Error{Kind: kind, Text: text}, Condition: condition})
	}
	other := sending()
	other.Client = "notifier-2"
	connect := hub.Subject{Op: hub.Connect, Partition: -1, Client: "notifier-1"}
	r.fault(s, On{Op: Connect}, Throttle())
	r.ask(connect)
	tell(connect, hub.Busy, "com.microsoft:server-busy", "Too much.")
	r.fault(s, On{Op: Send, Times: 3}, Throttle())
	for range 3 {
		r.ask(sending())
		tell(other, hub.TooLarge, "", "Too large.") // of another client
		tell(sending(), hub.Busy, "com.microsoft:server-busy", "Too much.")
	}
	tell(sending(), hub.TooLarge, "", "Too large.") // the fault has told all it had to
	tell(sending(), hub.TooLarge, "", "Too large.")
	r.fault(s, On{Op: Send, Times: 2}, Reject("x:y", "No."))
	for range 2 {
		r.ask(sending())
		tell(sending(), hub.Busy, "x:y", "No.")
	}
	r.fault(s, On{Op: Send}, Delay(time.Second, 0))
	r.ask(sending())
	tell(sending(), hub.Invalid, "", "What?") // not by the fault
	want := []string{
		`03:04:05.000 connect notifier-1 -> fault f1: throttle`,
		`03:04:05.000 send notifier-1 orders 1 event -> fault f2: throttle`,
		`03:04:05.000 send notifier-2 orders 1 event -> refused (too large): Too large.`,
		`03:04:05.000 send notifier-1 orders 1 event -> fault f2: throttle`,
		`03:04:05.000 send notifier-2 orders 1 event -> refused (too large): Too large.`,
		`03:04:05.000 send notifier-1 orders 1 event -> fault f2: throttle`,
		`03:04:05.000 send notifier-2 orders 1 event -> refused (too large): Too large.`,
		`03:04:05.000 send notifier-1 orders 2 events -> refused (too large): Too large.`,
		`03:04:05.000 send notifier-1 orders 2 events -> fault f3: reject x:y`,
		`03:04:05.000 send notifier-1 orders 1 event -> fault f4: delay 1s`,
		`03:04:05.000 send notifier-1 orders 1 event -> refused (invalid): What?`,
	}
	var got []string
	told := ""
	for _, e := range s.Timeline() {
		got = append(got, e.String())
		if e.Fault != "" {
			told += e.Refused + " " + e.Condition + "; "
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	const busy = "Too much. com.microsoft:server-busy; "
	if want := strings.Repeat(busy, 4) + "No. x:y;  ; "; told != want {
		t.Errorf("faults have told %q, want %q", told, want)
	}
	wantHints := []string{
		`sender notifier-2 was refused 3 times at hub "orders" (too large)`,
		`sender notifier-1 was refused 2 times at hub "orders" (too large)`,
		`sender notifier-1 was refused at hub "orders" (invalid)`,
	}
	if hints := refusals(s.Timeline(), time.Time{}); !slices.Equal(hints, wantHints) {
		t.Errorf("hints\n%s\nwant\n%s", strings.Join(hints, "\n"), strings.Join(wantHints, "\n"))
	}
}

// TestTimelineBounded: the last entries count.
func TestTimelineBounded(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	s.Trace()
	for i := range ringMax + 5 {
		q := sending()
		q.Client = fmt.Sprint("c", i)
		for range 2 {
			r.ask(q)
		}
	}
	all := s.Timeline()
	if len(all) != ringMax || all[0].Client != "c5" || all[0].Records != 2 || all[ringMax-1].Client != fmt.Sprint("c", ringMax+4) {
		t.Errorf("%d entries from %v to %v", len(all), all[0], all[len(all)-1])
	}
}

// TestHints: what a miss tells beside the events.
func TestHints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := r.space("s1")
		s.Trace()
		report := func(op hub.Op, hubName, group string, times int) {
			for range times {
				r.hall.Reports()(&hub.Report{Subject: hub.Subject{Op: op, Namespace: "s1", Hub: hubName, Group: group, Partition: -1, Client: "c1"},
					Err: &hub.Error{Kind: hub.NotFound, Text: "x", Hint: "hubs here: orders"}, Condition: map[hub.Op]string{hub.Attach: "amqp:not-found"}[op]})
			}
		}
		report(hub.Attach, "before", "", 1)
		old := r.fault(s, On{Op: Send}, Throttle())
		r.ask(sending())
		time.Sleep(time.Second)
		m := s.KeepMark(s.Mark())
		h, _ := s.Hub("orders")
		l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Sender, Partition: -1, Client: "notifier-1"}, nil)
		r.must(err)
		defer l.Close()
		report(hub.Attach, "order", "", 3)
		report(hub.Attach, "order", "audit", 1)
		report(hub.Manage, "", "", 1)
		r.fault(s, On{Op: Send, Times: 2}, Reject("x:y", "z"))
		r.fault(s, On{Times: 2}, Drop())
		for range 3 {
			r.ask(sending())
		}
		r.publish(s, "billing", text("a", ""), text("b", ""))
		_, err = s.Expect(within(t, 5*time.Second), "orders", m, Request{Expect: []Expectation{AtLeast(1)}})
		const want = `want at least 1 event in orders since m1, matched 0 of 0 seen in 5s
  hint: sender c1 was refused 3 times at hub "order" (amqp:not-found); hubs here: orders
  hint: reader c1 was refused at hub "order" (amqp:not-found); hubs here: orders
  hint: client c1 was refused at manage (not found); hubs here: orders
  hint: fault f2 (reject x:y) answered 2 sends, the last 5s ago
  hint: fault f3 (drop) answered 1 operation, the last 5s ago
  hint: hub "billing" got 2 events meanwhile
  hint: sender notifier-1 of orders is attached and has sent 0 events so far`
		if err.Error() != want || old.Hits() != 1 {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	})
}
