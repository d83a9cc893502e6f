package evhubtest_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

// elsewhere is a broker that Target takes for the emulator.
func elsewhere(t *testing.T) *evhubtest.Broker {
	t.Helper()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 4), evhubtest.Seed(5))
	t.Setenv("EVHUBTEST_TARGET", "emulator")
	t.Setenv("EVHUBTEST_CONNECTION_STRING", b.ConnectionString(""))
	return b
}

// TestTargetEmulator: a recorder works on a broker that it can reach by AMQP only, and gives events as they are stored there.
func TestTargetEmulator(t *testing.T) {
	there := elsewhere(t)
	there.Publish(t, "orders", evhubtest.Event{Body: []byte("old"), Partition: "0"})
	b := evhubtest.Target(t, evhubtest.Hub("orders", 4))
	if b.InProcess() {
		t.Fatal("the emulator is in this process")
	}
	truth, mark := there.Record(t, "orders"), b.Mark("orders")
	if got, want := mark.Positions(), there.Mark("orders").Positions(); len(got) != 4 || got[0] != want[0] || got[3] != 0 {
		// Of a partition that never had an event AMQP does not tell what the first one gets.
		t.Errorf("positions %v, want %v", got, want)
	}
	rec := b.Record(t, "orders")
	rec.WantNone(t)
	sent := evhubtest.Event{Body: []byte("x"), Partition: "3", ID: "i", ContentType: "text/plain", Properties: map[string]any{"n": int64(7)}}
	b.Publish(t, "orders", sent, evhubtest.Event{Body: []byte("y"), PartitionKey: "k"})
	if err := newNotifier(t, b.ConnectionString("orders")).Notify(t.Context(), order{"7", "paid"}); err != nil {
		t.Fatal(err)
	}
	n := &notifier{producer: azclient.Producer(t, b, "orders")} // over TCP as well
	if err := n.Notify(t.Context(), order{"8", "paid"}); err != nil {
		t.Fatal(err)
	}
	rec.WantExactly(t, 4)
	rec.WantExactly(t, 1, evhubtest.Body("x"), evhubtest.Prop("n", 7), evhubtest.Partition("3"))
	rec.WantInOrder(t, evhubtest.Subset(order{"7", "paid"}))
	rec.WantUnique(t, func(e evhubtest.Event) string { return string(e.Body) })
	// AMQP tells when an event was stored to the millisecond: across partitions the order within one is not known.
	inPartitions := func(list []evhubtest.Event) []evhubtest.Event {
		return slices.SortedFunc(slices.Values(list), func(a, b evhubtest.Event) int {
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.SequenceNumber, b.SequenceNumber))
		})
	}
	want := inPartitions(truth.All())
	for _, r := range []*evhubtest.Recorder{rec, b.RecordFrom(t, mark)} {
		r.Want(t, 4)
		got := r.All()
		if !slices.IsSortedFunc(got, func(a, b evhubtest.Event) int { return a.EnqueuedAt.Compare(b.EnqueuedAt) }) {
			t.Errorf("not by time: %+v", got)
		}
		got = inPartitions(got)
		for i := range want {
			g, w := got[i], want[i]
			if string(g.Body) != string(w.Body) || g.Partition != w.Partition || g.SequenceNumber != w.SequenceNumber || g.Offset != w.Offset ||
				!g.EnqueuedAt.Equal(w.EnqueuedAt) || g.PartitionKey != w.PartitionKey || g.ID != w.ID || g.ContentType != w.ContentType {
				t.Errorf("event %d is\n%+v, want\n%+v", i, g, w)
			}
		}
	}
	if e, first := rec.Next(t), rec.All()[0]; e.Partition != first.Partition || e.SequenceNumber != first.SequenceNumber {
		t.Errorf("the next one is %+v", e)
	}
	if err := b.Quiesce(t.Context()); err != nil || b.Timeline() != nil {
		t.Errorf("quiesce: %v, timeline: %v", err, b.Timeline())
	}
	if err := b.Close(); err != nil { // which is its test's
		t.Error(err)
	}
	if _, err := b.Dial(t.Context()); err == nil || azclient.Dial(b) != nil {
		t.Error("the emulator can be dialed in memory")
	}
}

// TestTargetSkips: what only a broker of our own can do skips the test elsewhere.
func TestTargetSkips(t *testing.T) {
	elsewhere(t)
	for _, row := range []struct {
		name string
		use  func(t *fake, b *evhubtest.Broker)
	}{
		{"Fault", func(t *fake, b *evhubtest.Broker) { b.Fault(t, evhubtest.On{}, evhubtest.Drop()) }},
		{"WaitReaders", func(t *fake, b *evhubtest.Broker) { b.WaitReaders(t, "orders", "$Default", 1) }},
	} {
		said := run(func(f *fake) { row.use(f, evhubtest.Target(f)) })
		if !said.Skipped() || said.Failed() || len(said.lines(row.name+" needs the broker in process")) != 1 {
			t.Errorf("%s says %s", row.name, said)
		}
	}
}

// TestTargetMistakes: what is wrong is said.
func TestTargetMistakes(t *testing.T) {
	good := evhubtest.Start(t, evhubtest.Hub("orders", 1))
	rows := []struct{ target, connectionString, part string }{
		{"mars", "", "there are inproc, emulator and azure"},
		{"azure", "", "needs EVHUBTEST_CONNECTION_STRING"},
		{"azure", "nonsense", "EVHUBTEST_TARGET=azure"},
		{"azure", good.ConnectionString("orders"), `for the hub "orders" only`},
		{"azure", good.ConnectionString(""), "could not be found"},
	}
	for _, row := range rows {
		t.Setenv("EVHUBTEST_TARGET", row.target)
		t.Setenv("EVHUBTEST_CONNECTION_STRING", row.connectionString)
		said := run(func(f *fake) { evhubtest.Target(f).Record(f, "clicks") })
		if !said.Failed() || !strings.Contains(said.String(), row.part) {
			t.Errorf("%s at %q says %s, want %s", row.target, row.connectionString, said, row.part)
		}
	}
}

// TestTargetGone: a hub that cannot be read any further is why a recorder waits in vain.
func TestTargetGone(t *testing.T) {
	t.Setenv("EVHUBTEST_WAIT", "300ms")
	there, err := evhubtest.New(evhubtest.Hub("orders", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("EVHUBTEST_TARGET", "emulator")
	t.Setenv("EVHUBTEST_CONNECTION_STRING", there.ConnectionString(""))
	fault := there.Fault(t, evhubtest.On{Op: evhubtest.Attach, Group: "$Default", Times: -1}, evhubtest.Reject("amqp:unauthorized-access", "no"))
	said := run(func(f *fake) {
		rec := evhubtest.Target(f).Record(f, "orders")
		if err := fault.Wait(context.Background(), 1); err != nil {
			f.Error(err)
		}
		rec.Want(f, 1)
	})
	if len(said.lines("the hub could not be read any further: partition 0")) != 1 {
		t.Errorf("it says %s", said)
	}
	if err := there.Close(); err != nil {
		t.Error(err)
	}
}

// TestMirrorMissesNothing: what is stored between Record and the moment its reader is there is read all the same.
func TestMirrorMissesNothing(t *testing.T) {
	there := elsewhere(t)
	for range 20 {
		t.Run("", func(t *testing.T) { // whose readers go at its end: five may read at once
			rec := evhubtest.Target(t).Record(t, "orders")
			there.Publish(t, "orders", evhubtest.Event{Partition: "2"})
			rec.WantExactly(t, 1)
		})
	}
}
