package eventhubs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// stored reads the bodies and positions of all events in a partition.
func stored(t testing.TB, p *hub.Partition) (bodies []string, records []eventlog.Record) {
	t.Helper()
	for from := p.State().First; ; {
		var into eventlog.Records
		if err := p.Log().Read(from, 1<<30, &into); err != nil {
			t.Fatal(err)
		}
		if len(into.List) == 0 {
			return bodies, records
		}
		for _, rec := range into.List {
			bodies = append(bodies, string(bodyOf(t, rec.Data)))
			rec.Data = append([]byte(nil), rec.Data...)
			records = append(records, rec)
			from = rec.Seq + 1
		}
		into.Release()
	}
}

// bodyOf finds the data section of an envelope: the tests' events end with it.
func bodyOf(t testing.TB, envelope []byte) []byte {
	t.Helper()
	at := bytes.Index(envelope, []byte{0, 0x53, 0x75})
	if at < 0 {
		t.Fatalf("no data in %x", envelope)
	}
	body, _, err := amqp.ReadBinary(envelope[at+3:])
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// settled takes dispositions, and the credit between them, until each of these deliveries has its outcome.
func (l *link) settled(first, last uint32) map[uint32]amqp.DeliveryState {
	l.c.t.Helper()
	outcomes := make(map[uint32]amqp.DeliveryState)
	for len(outcomes) < int(last-first)+1 {
		f := l.c.next()
		if f.code == amqp.CodeFlow {
			continue
		}
		if f.code != amqp.CodeDisposition {
			l.c.t.Fatalf("a frame %v (%x) came where dispositions are expected", f.code, f.raw)
		}
		var d amqp.Disposition
		l.c.decode(f, &d)
		for id := d.First; ; id++ {
			if _, twice := outcomes[id]; twice || id < first || id > last {
				l.c.t.Fatalf("delivery %d is settled twice, or was never sent", id)
			}
			outcomes[id] = d.State
			if id == d.Last.Or(d.First) {
				break
			}
		}
	}
	return outcomes
}

// TestAckAndRefillBytes follows a recording: the ack of each event, and the flow that restores the credit after the hundredth.
func TestAckAndRefillBytes(t *testing.T) {
	t.Parallel()
	c := newRig(t, rigOptions{}).root() // two links and one delivery each way
	s := c.attach(sending("hub1"))
	c.send(channel1, &amqp.Flow{IncomingWindow: 65535, OutgoingWindow: 65536, NextIncomingID: amqp.Some[uint32](2), NextOutgoingID: 1,
		Handle: amqp.Some(s.handle), DeliveryCount: amqp.Some[uint32](0), LinkCredit: amqp.Some[uint32](10000)})
	for i := range 100 {
		id := s.transfer(amqp.FormatMessage, false, plain("hi"))
		if id != uint32(i)+1 {
			t.Fatalf("delivery-id %d, want %d", id, i+1)
		}
		f := c.next()
		wantBytes(t, "ack", f.raw, unhex(t, fmt.Sprintf(`00000018 02000000 005315c00b06 41 52%02x 40 41 00532445 40`, id)))
	}
	wantBytes(t, "refill", c.next().raw,
		unhex(t, `0000002d 02000000 005313c0200b 5265 7000001388 5202 700000ffff 5202 5264 700000012c 70ffffffff 40 42 40`))
	c.wantQuiet()
}

// TestRefill: credit comes back after each hundred deliveries, long before it runs out.
func TestRefill(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		target        string
		credit, after uint32
	}{
		{"hub1", 300, 100},
		{"hub1/Partitions/0", 1000, 500},
	} {
		c := newRig(t, rigOptions{}).root()
		s := c.attach(sending(row.target))
		for n := uint32(1); n < 3*row.after; n++ {
			s.transfer(amqp.FormatMessage, true, plain("hi"))
			if n%row.after != 0 {
				continue
			}
			var f amqp.Flow
			c.want(amqp.CodeFlow, &f)
			if f.LinkCredit.V != row.credit || f.DeliveryCount.V != n || f.Handle.V != s.theirs {
				t.Errorf("%s: flow %+v after %d deliveries, want credit %d", row.target, f, n, row.credit)
			}
		}
		c.wantQuiet()
	}
}

// TestSettledSends: an event that comes settled is stored and not answered.
func TestSettledSends(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	s.transfer(amqp.FormatMessage, true, plain("one"))
	s.transfer(amqp.FormatMessage, true, []byte("nonsense")) // nobody hears of it but the log
	s.transfer(amqp.FormatBatch, true, batch(plain("two"), plain("three")))
	c.wantQuiet()
	if got, _ := stored(t, r.hub("ns1").PartitionAt(0)); strings.Join(got, " ") != "one two three" {
		t.Errorf("stored: %q", got)
	}
	if !r.logged("event refused") {
		t.Error("the log does not tell of the event that was dropped")
	}
}

// TestMixedBurst: in one burst, only those deliveries are answered that came unsettled.
func TestMixedBurst(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	first := c.ids[channel1]
	var burst []byte
	for i := range uint32(20) {
		tr := amqp.Transfer{Handle: s.handle, DeliveryID: amqp.Some(first + i), DeliveryTag: []byte{1}, Settled: amqp.Some(i%2 == 1)}
		burst = append(burst, encode(amqp.FrameAMQP, channel1, &tr, plain("hi"))...)
	}
	c.write(burst)
	answered := make(map[uint32]bool)
	for _, f := range c.fence() {
		var d amqp.Disposition
		if f.code != amqp.CodeDisposition {
			t.Fatalf("a frame %v came", f.code)
		}
		c.decode(f, &d)
		for id := d.First; id <= d.Last.Or(d.First); id++ {
			answered[id-first] = true
		}
	}
	for i := range uint32(20) {
		if answered[i] != (i%2 == 0) {
			t.Errorf("delivery %d: answered %t", i, answered[i])
		}
	}
	if n := r.hub("ns1").PartitionAt(0).State().Next.Seq; n != 20 {
		t.Errorf("%d events are stored, want 20", n)
	}
}

// TestPipelinedSends: whatever a burst holds, each delivery gets its own outcome, once.
func TestPipelinedSends(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	any, zero := c.attach(sending("hub1")), c.attach(sending("hub1/Partitions/0"))
	var burst []byte
	first := c.ids[channel1]
	const n = 200
	bad := make(map[uint32]bool)
	for i := range uint32(n) {
		l, format, payload := any, amqp.FormatMessage, plain(fmt.Sprint("e", i))
		switch i % 5 {
		case 1:
			l = zero
		case 2:
			payload = keyed(fmt.Sprint("key", i), fmt.Sprint("e", i))
		case 3:
			format, payload = amqp.FormatBatch, batch(plain(fmt.Sprint("e", i)), plain(fmt.Sprint("e", i, "b")))
		case 4: // the second of its messages is cut off
			l, format, payload, bad[first+i] = zero, amqp.FormatBatch, batch(plain("bad"), payload[:len(payload)-1]), true
		}
		tr := amqp.Transfer{Handle: l.handle, DeliveryID: amqp.Some(first + i), DeliveryTag: []byte{1}, MessageFormat: amqp.Some(format)}
		burst = append(burst, encode(amqp.FrameAMQP, channel1, &tr, payload)...)
	}
	go c.write(burst)
	for id, state := range any.settled(first, first+n-1) {
		if want := map[bool]amqp.Code{false: amqp.CodeAccepted, true: amqp.CodeRejected}[bad[id]]; state.Code != want {
			t.Errorf("delivery %d: %v %v, want %v", id, state.Code, state.Error, want)
		}
	}
	var all []string
	for i := range 2 {
		bodies, records := stored(t, r.hub("ns1").PartitionAt(i))
		all = append(all, bodies...)
		for j, rec := range records {
			if rec.Seq != int64(j) {
				t.Errorf("partition %d: record %d has sequence number %d", i, j, rec.Seq)
			}
		}
	}
	if len(all) != n { // a fifth is refused, a fifth counts twice
		t.Errorf("%d events are stored, want %d", len(all), n)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != n {
		t.Error("events are stored twice")
	}
}

// TestLargeBurst: a burst that is larger than one append should be goes into several, in order.
func TestLargeBurst(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	first := c.ids[channel1]
	var burst []byte
	for i := range uint32(6) {
		payload := plain(fmt.Sprint(i, strings.Repeat("x", burstBytesMax*int(i%2))))
		tr := amqp.Transfer{Handle: s.handle, DeliveryID: amqp.Some(first + i), DeliveryTag: []byte{1}, MessageFormat: amqp.Some(amqp.FormatMessage)}
		for len(payload) > 0 {
			n := min(60_000, len(payload))
			tr.More = n < len(payload)
			burst = append(burst, encode(amqp.FrameAMQP, channel1, &tr, payload[:n])...)
			payload, tr = payload[n:], amqp.Transfer{Handle: s.handle}
		}
	}
	go c.write(burst)
	for id, state := range s.settled(first, first+5) {
		if state.Code != amqp.CodeAccepted {
			t.Errorf("delivery %d: %v %v", id, state.Code, state.Error)
		}
	}
	bodies, _ := stored(t, r.hub("ns1").PartitionAt(0))
	for i, b := range bodies {
		if b[:1] != fmt.Sprint(i) {
			t.Errorf("event %d begins with %q", i, b[:1])
		}
	}
	if len(bodies) != 6 {
		t.Errorf("%d events are stored, want 6", len(bodies))
	}
}

// TestPlacement: keys land where the service puts them, one by one, in a batch, and in a batch that has the key on its envelope only.
func TestPlacement(t *testing.T) {
	t.Parallel()
	counts := []int{2, 3, 4, 5, 8, 32}
	rows := []struct {
		key  string
		want []int // of so many partitions
	}{
		{"test_partition_a", []int{0, 0, 0, 0, 0, 3}},
		{"test_partition_b", []int{0, 1, 1, 2, 3, 14}},
		{"test_partition_c", []int{0, 0, 0, 0, 0, 0}},
		{"test_partition_d", []int{1, 2, 3, 4, 6, 27}},
		{"test_partition_e", []int{1, 2, 2, 3, 5, 23}},
		{"test_partition_f", []int{1, 1, 2, 2, 4, 19}},
		{"a", []int{1, 1, 2, 2, 4, 18}},
		{"pk", []int{0, 0, 1, 1, 2, 10}},
		{"order-42", []int{0, 1, 1, 2, 3, 12}},
		{"device-1", []int{0, 0, 0, 1, 1, 7}},
		{"Device-1", []int{0, 0, 0, 1, 1, 7}},
		{"customer/7", []int{1, 2, 3, 4, 7, 30}},
		{"0123456789ab", []int{1, 2, 2, 3, 5, 21}},
		{"0123456789abc", []int{0, 0, 0, 0, 0, 3}},
	}
	r := newRig(t, rigOptions{})
	c := r.root()
	for i, n := range counts {
		h, err := r.hall.Namespace("ns1").CreateHub(hub.Spec{Name: fmt.Sprint("place", n), Partitions: n})
		r.must(err)
		s := c.attach(sending(h.Name()))
		for _, row := range rows {
			envelope := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol("x-opt-partition-key"), Value: row.key}},
				Data: [][]byte{plain("c"), plain("d")}}).Append(nil)
			withBoth := (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol("x-opt-partition-key"), Value: row.key}},
				Data: [][]byte{keyed(row.key, "e"), keyed(row.key, "f")}}).Append(nil)
			p := h.PartitionAt(row.want[i])
			before := p.State().Next.Seq
			for _, send := range []struct {
				format  uint32
				payload []byte
			}{{amqp.FormatMessage, keyed(row.key, "a")}, {amqp.FormatBatch, envelope}, {amqp.FormatBatch, withBoth}} {
				id := s.transfer(send.format, false, send.payload)
				s.wantAccepted(s.settled(id, id)[id])
			}
			if got := p.State().Next.Seq - before; got != 5 {
				t.Errorf("%q: %d of 5 events are in partition %d of %d", row.key, got, row.want[i], n)
			}
		}
	}
}

// TestKeylessAlternate: deliveries without a key go to one partition after the other, a batch as one.
func TestKeylessAlternate(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1"))
	for i := range 10 {
		s.wantAccepted(s.publish(plain(fmt.Sprint(i))))
	}
	id := s.transfer(amqp.FormatBatch, false, batch(plain("b1"), plain("b2"), plain("b3")))
	s.wantAccepted(s.outcome(id))
	s.wantAccepted(s.publish(plain("last")))
	for i, want := range []string{"0 2 4 6 8 b1 b2 b3", "1 3 5 7 9 last"} {
		if got, _ := stored(t, r.hub("ns1").PartitionAt(i)); strings.Join(got, " ") != want {
			t.Errorf("partition %d holds %q, want %q", i, got, want)
		}
	}
}

// TestBatchIsOne: the events of a batch have one enqueued time, consecutive numbers, and offsets that step by their length as sent.
func TestBatchIsOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/1"))
	withHeader := (&amqp.Message{Header: &amqp.MessageHeader{Durable: amqp.Some(true)}, Data: [][]byte{[]byte("x")}}).Append(nil)
	messages := [][]byte{plain("a"), plain(strings.Repeat("b", 1000)), withHeader, plain("c")}
	wantBytes(t, "ack", func() []byte {
		s.transfer(amqp.FormatBatch, false, batch(messages...))
		return c.next().raw
	}(), unhex(t, `00000018 02000000 005315c00b06 41 5201 40 41 00532445 40`))
	_, records := stored(t, r.hub("ns1").PartitionAt(1))
	if len(records) != len(messages) {
		t.Fatalf("%d records, want %d", len(records), len(messages))
	}
	offset := int64(0)
	for i, rec := range records {
		if rec.Seq != int64(i) || rec.Offset != offset || rec.TimeMs != records[0].TimeMs {
			t.Errorf("record %d is at %+v, want offset %d and the time of the first", i, rec.Position, offset)
		}
		offset += int64(56+len(messages[i])+7) / 8 * 8
	}
	if next := r.hub("ns1").PartitionAt(1).State().Next.Offset; next != offset {
		t.Errorf("the next offset is %d, want %d", next, offset)
	}
}

// TestRejectedEvents: what cannot be stored is rejected with the reason, and the link goes on.
func TestRejectedEvents(t *testing.T) {
	t.Parallel()
	const limit = 2000
	r := newRig(t, rigOptions{eventBytesMax: limit, memoryBytes: 64 << 10})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	tooLarge := func(id, size, limit int) string {
		return fmt.Sprintf("The received message (delivery-id:%d, size:%d bytes) exceeds the limit (%d bytes) currently allowed on the link.",
			id, size, limit)
	}
	whole := plain("hi")
	noAnnotations := unhex(t, `00537245 005375a000`)
	large := plain(strings.Repeat("x", limit))
	const decode = "The message is not valid AMQP: "
	for _, row := range []struct {
		name    string
		format  uint32
		payload []byte
		cond    amqp.Symbol
		text    string // how it begins
		system  string
	}{
		{"cut off", amqp.FormatMessage, whole[:len(whole)-1], amqp.CondDecodeError, decode + "data: ", "ns1:eventhub:hub1~16383"},
		{"no message", amqp.FormatMessage, []byte("hello"), amqp.CondDecodeError, decode + "message: ", "ns1:eventhub:hub1~16383"},
		{"annotations that are a list", amqp.FormatMessage, noAnnotations, amqp.CondDecodeError, decode + "message-annotations: ",
			"ns1:eventhub:hub1~16383"},
		{"too large", amqp.FormatMessage, large, amqp.CondMessageSizeExceeded, tooLarge(4, len(large), limit), noSystem},
		{"batch too large", amqp.FormatBatch, batch(whole, large), amqp.CondMessageSizeExceeded, tooLarge(5, len(batch(whole, large)), limit),
			noSystem},
		{"batch of a value", amqp.FormatBatch, (&amqp.Message{Value: "x", HasValue: true}).Append(nil), amqp.CondDecodeError,
			decode + "batch: the body of a batch must be data sections", "ns1:eventhub:hub1~16383"},
		{"batch with one bad message", amqp.FormatBatch, batch(whole, whole, whole[:3], whole), amqp.CondDecodeError, decode + "data: ",
			"ns1:eventhub:hub1~16383"},
		{"batch that is cut off", amqp.FormatBatch, batch(whole, whole)[:14], amqp.CondDecodeError, decode + "batch: ", "ns1:eventhub:hub1~16383"},
	} {
		state := s.outcome(s.transfer(row.format, false, row.payload))
		if state.Code != amqp.CodeRejected || state.Error == nil {
			t.Errorf("%s: %v, want rejected with an error", row.name, state)
			continue
		}
		text := masked(state.Error.Description)
		if state.Error.Condition != row.cond || !strings.HasPrefix(text, row.text) || !strings.HasSuffix(text, "."+trackers(row.system)) {
			t.Errorf("%s:\n got %s: %s\nwant %s: %s...", row.name, state.Error.Condition, text, row.cond, row.text)
		}
	}
	s.wantAccepted(s.publish(whole))
	if got, _ := stored(t, r.hub("ns1").PartitionAt(0)); strings.Join(got, " ") != "hi" {
		t.Errorf("stored: %q; a batch is stored whole or not at all", got)
	}

	small := sending("hub1")
	small.MaxMessageSize = amqp.Some[uint64](100)
	l := c.attach(small)
	state := l.publish(plain(strings.Repeat("x", 100)))
	if state.Code != amqp.CodeRejected || !strings.HasPrefix(state.Error.Description, tooLarge(10, 105, 100)) {
		t.Errorf("an event above the link's own limit: %v %v", state.Code, state.Error)
	}
}

// TestTooLargeInPieces: an event that comes in many frames and is too large is read to its end, and dropped.
func TestTooLargeInPieces(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{eventBytesMax: 10_000})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	payload := plain(strings.Repeat("x", 1<<20))
	state := s.outcome(s.transferInPieces(payload, 60_000))
	if state.Code != amqp.CodeRejected || state.Error.Condition != amqp.CondMessageSizeExceeded ||
		!strings.Contains(state.Error.Description, fmt.Sprintf("size:%d bytes) exceeds the limit (10000 bytes)", len(payload))) {
		t.Errorf("outcome %v %v", state.Code, state.Error)
	}
	state = s.outcome(s.transferInPieces(plain(strings.Repeat("y", 9_000)), 1_000))
	s.wantAccepted(state)
	if got, _ := stored(t, r.hub("ns1").PartitionAt(0)); len(got) != 1 || got[0] != strings.Repeat("y", 9_000) {
		t.Errorf("%d events are stored", len(got))
	}
}

// TestOverBudget: an event for which there is no memory is refused as busy, so that clients try again.
func TestOverBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{memoryBytes: 64 << 10})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	state := s.outcome(s.transferInPieces(plain(strings.Repeat("x", 200_000)), 60_000))
	if state.Code != amqp.CodeRejected {
		t.Fatalf("outcome %v", state.Code)
	}
	wantRefusal(t, "over budget", state.Error, amqp.CondServerBusy, "The request was terminated because the server is out of memory for events "+
		"that are not stored yet. Please wait 2 seconds and try again."+trackers("ns1:eventhub:hub1~16383"))
	s.wantAccepted(s.publish(plain("hi")))
}

// TestEmptyDeliveries: a batch without events, and an event without a section, are taken.
func TestEmptyDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/0"))
	s.wantAccepted(s.outcome(s.transfer(amqp.FormatBatch, false, nil)))
	s.wantAccepted(s.outcome(s.transfer(amqp.FormatBatch, false, batch())))
	s.wantAccepted(s.outcome(s.transfer(amqp.FormatMessage, false, nil)))
	if n := r.hub("ns1").PartitionAt(0).State().Next.Seq; n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

// TestPublisher: a publisher's name is the key of all its events.
func TestPublisher(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Publishers/test_partition_d"))
	s.wantAccepted(s.publish(plain("one")))
	s.wantAccepted(s.publish(plain("two")))
	s.wantAccepted(s.outcome(s.transfer(amqp.FormatBatch, false, batch(plain("three"), plain("four")))))
	if got, _ := stored(t, r.hub("ns1").PartitionAt(1)); strings.Join(got, " ") != "one two three four" {
		t.Errorf("stored: %q", got)
	}
	l := c.attach(receiving("hub1/ConsumerGroups/$default/Partitions/1"))
	l.credit(0, 10)
	for range 4 {
		if key, _ := l.receive().MessageAnnotations.Lookup("x-opt-partition-key"); key != "test_partition_d" {
			t.Errorf("the key is %v", key)
		}
	}
}

// TestSenderLink: the hall knows of the link, and hears of its end.
func TestSenderLink(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/1"))
	s.wantAccepted(s.publish(plain("hi")))
	links := r.hall.Links()
	if len(links) != 1 {
		t.Fatalf("links: %+v", links)
	}
	l := links[0]
	if l.Kind != hub.Sender || l.Partition != 1 || l.Client != "client-1" || l.Principal != "root" || l.Records != 1 || l.Unsettled != 0 ||
		l.Hub != "hub1" {
		t.Errorf("link: %+v", l)
	}
	s.detach()
	r.waitLinks(0)
	c.attach(sending("hub1"))
	r.waitLinks(1)
	c.send(channel1, &amqp.End{})
	c.want(amqp.CodeEnd, &amqp.End{})
	r.waitLinks(0)
	c.begin(2)
	c.attachOn(2, sending("hub1"))
	c.nc.Close()
	r.waitLinks(0)
}
