package eventhubs

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

const receiver0 = "hub1/ConsumerGroups/$default/Partitions/0"

// fill publishes events to partition 0, one at a time.
func (c *client) fill(bodies ...string) {
	c.t.Helper()
	s := c.attach(sending("hub1/Partitions/0"))
	for _, b := range bodies {
		s.wantAccepted(s.publish(plain(b)))
	}
	s.detach()
}

// TestTransferBytes: an event goes out settled, with an empty tag, and with the service's annotations in front, as recorded.
func TestTransferBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // at midnight of 2000-01-01
		r := newRig(t, rigOptions{})
		w, c := r.root(), r.root() // c has two links, and got one delivery
		w.fill("Event Number 0", "Event Number 1")
		l := c.attach(receiving(receiver0))
		l.credit(0, 2)
		const annotations = `a31b"x-opt-sequence-number-epoch"54ff a315"x-opt-sequence-number"`
		wantBytes(t, "first", c.next().raw, unhex(t, `0000009c 02000000 005314c00f0b 5202 5201 a000 43 41 42 40404040 41
			005372c16808 `+annotations+`5500 a30c"x-opt-offset"a101"0" a313"x-opt-enqueued-time"83000000dc6acfac00 005375a00e"Event Number 0"`))
		wantBytes(t, "second", c.next().raw, unhex(t, `0000009d 02000000 005314c00f0b 5202 5202 a000 43 41 42 40404040 41
			005372c16908 `+annotations+`5501 a30c"x-opt-offset"a102"80" a313"x-opt-enqueued-time"83000000dc6acfac00 005375a00e"Event Number 1"`))
		c.wantQuiet()
	})
}

// TestStart has a row for each place where a receiver may begin. The events e0 to e4 stand at offsets 0, 64, ... and come a second apart.
func TestStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.root()
		s := c.attach(sending("hub1/Partitions/0"))
		epoch := time.Now().UnixMilli()
		for i := range 5 {
			s.wantAccepted(s.publish(plain(fmt.Sprint("e", i))))
			time.Sleep(time.Second)
		}
		sel := func(annotation, rest string) string { return "amqp.annotation.x-opt-" + annotation + " " + rest }
		for _, row := range []struct{ name, selector, want string }{
			{"no selector", "", "e0 e1 e2 e3 e4"},
			{"earliest", sel("offset", "> '-1'"), "e0 e1 e2 e3 e4"},
			{"earliest, .NET", sel("offset", "> -1"), "e0 e1 e2 e3 e4"},
			{"earliest, inclusive", sel("offset", ">= '-1'"), "e0 e1 e2 e3 e4"},
			{"offset", sel("offset", "> '128'"), "e3 e4"},
			{"offset, inclusive", sel("offset", ">= '128'"), "e2 e3 e4"},
			{"offset between events", sel("offset", "> '130'"), "e3 e4"},
			{"offset between events, inclusive", sel("offset", ">= '130'"), "e3 e4"},
			{"offset of the last", sel("offset", "> '256'"), ""},
			{"offset of the last, inclusive", sel("offset", ">= '256'"), "e4"},
			{"offset of the next, inclusive", sel("offset", ">= '320'"), ""},
			{"sequence number", sel("sequence-number", "> '1'"), "e2 e3 e4"},
			{"sequence number, inclusive", sel("sequence-number", ">= '1'"), "e1 e2 e3 e4"},
			{"sequence number, first, inclusive", sel("sequence-number", ">= '0'"), "e0 e1 e2 e3 e4"},
			{"sequence number -1", sel("sequence-number", "> '-1'"), "e0 e1 e2 e3 e4"},
			{"sequence number, last", sel("sequence-number", "> '4'"), ""},
			{"sequence number, next, inclusive", sel("sequence-number", ">= '5'"), ""},
			{"time", sel("enqueued-time", fmt.Sprintf("> '%d'", epoch+2000)), "e3 e4"},
			{"time, inclusive", sel("enqueued-time", fmt.Sprintf(">= '%d'", epoch+2000)), "e2 e3 e4"},
			{"time, unquoted", sel("enqueued-time", fmt.Sprintf("> %d", epoch+2000)), "e3 e4"},
			{"time between events", sel("enqueued-time", fmt.Sprintf("> '%d'", epoch+1500)), "e2 e3 e4"},
			{"time of the year one", sel("enqueued-time", "> '-62135596800000'"), "e0 e1 e2 e3 e4"},
			{"time to come", sel("enqueued-time", fmt.Sprintf("> '%d'", epoch+3_600_000)), ""},
			{"latest", sel("offset", "> '@latest'"), ""},
			{"latest, unquoted", sel("offset", "> @latest"), ""},
			{"latest, inclusive", sel("offset", ">= '@latest'"), "e4"},
		} {
			a := receiving(receiver0)
			if row.selector != "" {
				a = filtered(a, row.selector)
			}
			l := c.attach(a)
			l.credit(0, 100)
			n := len(strings.Fields(row.want))
			if got := l.bodies(n); got != row.want {
				t.Errorf("%s: %q, want %q", row.name, got, row.want)
			}
			c.wantQuiet()
			l.detach()
		}
	})
}

// TestStartInAnEmptyPartition: every start that makes sense waits for the first event.
func TestStartInAnEmptyPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	var links []*link
	for _, selector := range []string{"amqp.annotation.x-opt-offset > '-1'", "amqp.annotation.x-opt-offset > '@latest'",
		"amqp.annotation.x-opt-offset >= '@latest'",
		"amqp.annotation.x-opt-sequence-number >= '0'", "amqp.annotation.x-opt-sequence-number > '-1'"} {
		l := c.attach(filtered(receiving(receiver0), selector))
		l.credit(0, 10)
		links = append(links, l)
	}
	c.wantQuiet()
	r.root().fill("first")
	got := make(map[uint32]bool)
	for range links {
		var tr amqp.Transfer
		c.want(amqp.CodeTransfer, &tr)
		got[tr.Handle] = true
	}
	if len(got) != len(links) {
		t.Errorf("%d of %d receivers got the event", len(got), len(links))
	}
	c.wantQuiet()
}

// TestTrimmedStart: who asks for what is gone, or falls behind, goes on with the first event that is kept.
func TestTrimmedStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	w, c := r.root(), r.root()
	w.fill("e0", "e1", "e2", "e3")
	behind := c.attach(receiving(receiver0))
	behind.credit(0, 1)
	if got := behind.bodies(1); got != "e0" {
		t.Fatalf("received %q", got)
	}
	r.hub("ns1").PartitionAt(0).Log().Trim(3)
	behind.credit(1, 10)
	if got := behind.bodies(1); got != "e3" {
		t.Errorf("a reader that fell behind receives %q, want e3", got)
	}
	if !r.logged("reader fell behind") {
		t.Error("the log does not tell of it")
	}
	l := c.attach(filtered(receiving(receiver0), "amqp.annotation.x-opt-sequence-number >= '1'"))
	l.credit(0, 10)
	if got := l.bodies(1); got != "e3" {
		t.Errorf("a reader that asks for what is gone receives %q, want e3", got)
	}
	c.wantQuiet()
}

// TestReceiverCredit: as many events as asked for, and no more.
func TestReceiverCredit(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	w, c := r.root(), r.root()
	w.fill("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	l := c.attach(receiving(receiver0))
	for _, step := range []struct {
		count, credit uint32
		want          string
	}{{0, 0, ""}, {0, 3, "0 1 2"}, {3, 0, ""}, {3, 1, "3"}, {0, 6, "4 5"}, {6, 1, "6"}, {7, 100, "7 8 9"}} {
		l.credit(step.count, step.credit)
		if got := l.bodies(len(strings.Fields(step.want))); got != step.want {
			t.Errorf("count %d and credit %d: %q, want %q", step.count, step.credit, got, step.want)
		}
		c.wantQuiet()
	}
	if got := r.hall.Links(); len(got) != 1 || got[0].Credit != 97 || got[0].Records != 10 || got[0].Kind != hub.Reader ||
		got[0].Group != "$default" {
		t.Errorf("the hall sees %+v", got)
	}
	w.fill("live")
	if got := l.bodies(1); got != "live" {
		t.Errorf("a live event: %q", got)
	}
	l.detach()
	r.waitLinks(0)
}

// TestDrain: a drain sends what there is and then uses up the credit.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	w, c := r.root(), r.root()
	w.fill("a", "b")
	l := c.attach(receiving(receiver0))
	c.send(channel1, &amqp.Flow{IncomingWindow: 1 << 30, OutgoingWindow: 1 << 30, Handle: amqp.Some(l.handle),
		DeliveryCount: amqp.Some[uint32](0), LinkCredit: amqp.Some[uint32](10), Drain: amqp.Some(true)})
	if got := l.bodies(2); got != "a b" {
		t.Errorf("received %q", got)
	}
	var f amqp.Flow
	c.want(amqp.CodeFlow, &f)
	if f.Handle.V != l.theirs || f.DeliveryCount.V != 10 || f.LinkCredit.V != 0 || !f.Drain.V {
		t.Errorf("flow %+v, want the credit used up", f)
	}
	w.fill("c")
	c.wantQuiet()
	l.credit(10, 1)
	if got := l.bodies(1); got != "c" {
		t.Errorf("received %q after the drain", got)
	}
}

// TestRuntimeMetric: a receiver that asked for it is told the end of the partition with each event.
func TestRuntimeMetric(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		w, c := r.root(), r.root()
		w.fill("a", "b", "c")
		written := amqp.Timestamp(time.Now().UnixMilli())
		time.Sleep(5 * time.Second)
		a := receiving(receiver0)
		a.DesiredCapabilities = []amqp.Symbol{"com.microsoft:georeplication", capabilityRuntime}
		l, without := c.attach(a), c.attach(receiving(receiver0))
		check := func(want amqp.Map) {
			t.Helper()
			m := l.receive()
			if len(m.DeliveryAnnotations) != len(want) {
				t.Fatalf("delivery annotations %v, want %v", m.DeliveryAnnotations, want)
			}
			for i, p := range want {
				if m.DeliveryAnnotations[i] != p {
					t.Errorf("delivery annotation %v, want %v", m.DeliveryAnnotations[i], p)
				}
			}
		}
		end := func(seq int64, offset string, at amqp.Timestamp) amqp.Map {
			return amqp.Map{
				{Key: amqp.Symbol("last_enqueued_sequence_number_epoch"), Value: int32(-1)}, {Key: amqp.Symbol("last_enqueued_sequence_number"),
					Value: seq},
				{Key: amqp.Symbol("last_enqueued_offset"), Value: offset}, {Key: amqp.Symbol("last_enqueued_time_utc"), Value: at},
				{Key: amqp.Symbol("runtime_info_retrieval_time_utc"), Value: amqp.Timestamp(time.Now().UnixMilli())},
			}
		}
		l.credit(0, 10)
		for range 3 { // of one read
			check(end(2, "128", written))
		}
		time.Sleep(time.Second)
		w.fill("d")
		check(end(3, "192", amqp.Timestamp(time.Now().UnixMilli())))
		without.credit(0, 1)
		if m := without.receive(); m.DeliveryAnnotations != nil {
			t.Errorf("a receiver that did not ask is told %v", m.DeliveryAnnotations)
		}
	})
}

// TestLargeEvents: an event of the largest size goes through, in frames as small as a client may wish.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	for _, frameMax := range []uint32{512, 4096, 65536, 1 << 20} {
		r := newRig(t, rigOptions{})
		w := r.root()
		body := strings.Repeat("0123456789abcdef", 1<<16)[:1<<20-100]
		if frameMax == 512 {
			body = body[:1<<17]
		}
		s := w.attach(sending("hub1/Partitions/0"))
		s.wantAccepted(s.outcome(s.transferInPieces(plain(body), 60_000)))
		s.wantAccepted(s.publish(plain("small")))

		c := r.connect()
		c.sasl(amqp.SASLInit{Mechanism: "ANONYMOUS"})
		c.write(amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP))
		c.send(0, &amqp.Open{ContainerID: "client-1", MaxFrameSize: amqp.Some(frameMax)})
		c.want(amqp.CodeOpen, &amqp.Open{})
		c.begin(channel1)
		c.pair(nodeCBS).mustPut("sb://localhost/", r.token("sb://localhost/", "root", rootKey))
		l := c.attach(receiving(receiver0))
		l.credit(0, 10)
		var whole []byte
		for more := true; more; {
			var tr amqp.Transfer
			payload, f := c.want(amqp.CodeTransfer, &tr)
			if len(f.raw) > int(min(frameMax, 65536)) {
				t.Fatalf("a frame of %d bytes, the client takes %d", len(f.raw), frameMax)
			}
			whole, more = append(whole, payload...), tr.More
			if len(whole)%(1<<15) < len(payload) { // the window
				l.credit(0, 10)
			}
		}
		m, err := amqp.DecodeMessage(whole)
		if err != nil || string(m.Data[0]) != body {
			t.Fatalf("frames of %d: the event is not what was sent: %v", frameMax, err)
		}
		if got := l.bodies(1); got != "small" {
			t.Errorf("frames of %d: %q behind the large event", frameMax, got)
		}
	}
}

// TestManyReceivers: links of one connection are served side by side, each from its own place.
func TestManyReceivers(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	w, c := r.root(), r.root()
	w.fill("0", "1", "2", "3")
	one := c.attach(receiving(receiver0))
	two := c.attach(filtered(receiving("hub1/ConsumerGroups/cg1/Partitions/0"), "amqp.annotation.x-opt-sequence-number > '1'"))
	idle := c.attach(receiving("hub1/ConsumerGroups/cg1/Partitions/1"))
	idle.credit(0, 5)
	one.credit(0, 2)
	if got := one.bodies(2); got != "0 1" {
		t.Errorf("the first receives %q", got)
	}
	two.credit(0, 9)
	if got := two.bodies(2); got != "2 3" {
		t.Errorf("the second receives %q", got)
	}
	one.credit(2, 2)
	if got := one.bodies(2); got != "2 3" {
		t.Errorf("the first receives %q", got)
	}
	c.wantQuiet()
}

// TestDispositionsOfReceivers: some clients settle what came settled, which does no harm.
func TestDispositionsOfReceivers(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	w, c := r.root(), r.root()
	w.fill("a", "b")
	l := c.attach(receiving(receiver0))
	l.credit(0, 1)
	l.receive()
	for _, state := range []amqp.DeliveryState{amqp.Accepted(), amqp.Released(), amqp.Rejected(&amqp.Error{Condition: "x"})} {
		c.send(channel1, &amqp.Disposition{Role: amqp.RoleReceiver, First: 1, State: state})
		c.send(channel1, &amqp.Disposition{Role: amqp.RoleReceiver, First: 0, Last: amqp.Some[uint32](9), Settled: amqp.Some(true), State: state})
	}
	l.credit(1, 5)
	if got := l.bodies(1); got != "b" {
		t.Errorf("received %q, want b once", got)
	}
}

// TestFew: the goroutine that stored events delivers up to four of them, and no large ones.
func TestFew(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		events, bytes int
		want          bool
	}{{0, 0, true}, {1, 100, true}, {1, 16_000, true}, {1, 17_000, false}, {1, 1 << 20, false}, {4, 1000, true}, {4, 5000, false}, {5, 1, false}} {
		log, err := memlog.New(memlog.Options{}).Open(eventlog.HubID{Name: "h"}, 0, eventlog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		add := func(n int) {
			for range n {
				data := make([]byte, row.bytes)
				log.Append(&eventlog.Batch{Done: func(*eventlog.Batch) {}, Records: []eventlog.Record{{Step: event.Step(len(data)), Data: data}}})
			}
		}
		add(3)
		var p waitPoint
		p.set(log.State().Next.Seq, log.State().Next.Offset)
		add(row.events)
		if got := p.few(log); got != row.want {
			t.Errorf("%d events of %d bytes are few: %t, want %t", row.events, row.bytes, got, row.want)
		}
	}
}
