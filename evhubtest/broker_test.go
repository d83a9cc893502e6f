package evhubtest_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

var roundTrips = flag.Int("roundtrips", 200, "how many brokers TestRoundTrips starts")

// TestRoundTrips starts many brokers, many at once, each for one event over TCP or in memory. None may fail. The way to look for a flake:
//
//	go test -race ./evhubtest -run RoundTrips -roundtrips 10000 -timeout 1h
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	turns := make(chan int)
	for range min(64, *roundTrips) {
		running.Go(func() {
			for i := range turns {
				if said := run(func(f *fake) { roundTrip(f, i) }); said.Failed() {
					t.Errorf("round trip %d: %s", i, said)
				}
			}
		})
	}
	for i := range *roundTrips {
		turns <- i
	}
	close(turns)
	running.Wait()
}

func roundTrip(t testing.TB, i int) {
	b := evhubtest.Start(t, evhubtest.Hub("orders", 2))
	rec := b.Record(t, "orders")
	var n *notifier
	if i%2 == 0 {
		n = newNotifier(t, b.ConnectionString("orders"))
	} else {
		n = &notifier{producer: azclient.Producer(t, b, "orders")}
	}
	if err := n.Notify(context.Background(), order{"7", "paid"}); err != nil {
		t.Fatal(err)
	}
	rec.WantExactly(t, 1, evhubtest.Body(order{"7", "paid"}), evhubtest.Key("7"))
	rec.WantNone(t, evhubtest.Path("State", "new"))
}

// TestSettleSleep: a reader that WaitReaders saw misses nothing that is stored at once.
func TestSettleSleep(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 1, "audit"))
	consumer := azclient.Consumer(t, b, "orders", "audit")
	latest := true
	for i := range 20 {
		reader, err := consumer.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Latest: &latest}})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			events, err := reader.ReceiveEvents(t.Context(), 1, nil)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- string(events[0].Body)
		}()
		b.WaitReaders(t, "orders", "Audit", 1)
		b.Publish(t, "orders", evhubtest.Event{Body: []byte(fmt.Sprint(i))})
		if s := <-got; s != fmt.Sprint(i) {
			t.Fatalf("reader %d got %s", i, s)
		}
		if err := reader.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProcessorBalances: a processor with the default strategy takes four partitions, one in ten seconds.
func TestProcessorBalances(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		ctx, stop := context.WithCancel(t.Context())
		store, done, start := azclient.Checkpoints(b), make(chan error, 1), time.Now()
		go func() { done <- runConsumer(ctx, azclient.Consumer(t, b, "orders", "$Default"), store) }()
		b.WaitReaders(t, "orders", "$Default", 4)
		if d := time.Since(start); d < 20*time.Second || d > 2*time.Minute {
			t.Errorf("it took %v of fake time", d)
		}
		for i, e := range b.Publish(t, "orders", to(0), to(1), to(2), to(3)) {
			store.Want(t, "$Default", fmt.Sprint(i), e.SequenceNumber)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}, evhubtest.Hub("orders", 4))
}

func to(partition int) evhubtest.Event { return evhubtest.Event{Partition: fmt.Sprint(partition)} }

// TestSeed: the same seed gives the same places, and another one others.
func TestSeed(t *testing.T) {
	t.Parallel()
	first := func(opts ...evhubtest.Option) evhubtest.Event {
		return evhubtest.Start(t, append(opts, evhubtest.Hub("orders", 32))...).Publish(t, "orders", evhubtest.Event{})[0]
	}
	at := func(e evhubtest.Event) string {
		return e.Partition + "/" + fmt.Sprint(e.SequenceNumber) + "/" + e.Offset
	}
	if a, b := at(first(evhubtest.Seed(3))), at(first(evhubtest.Seed(3))); a != b {
		t.Errorf("seed 3 gives %s and %s", a, b)
	}
	if a, b := at(first(evhubtest.Seed(3))), at(first(evhubtest.Seed(4))); a == b {
		t.Errorf("seeds 3 and 4 give %s", a)
	}
	if a := at(first(evhubtest.Seed(0))); a != "0/0/0" {
		t.Errorf("seed 0 gives %s", a)
	}
	if a, b := at(first()), at(first()); a == b {
		t.Errorf("two brokers without seed give %s", a)
	}
}

// TestKeep: each partition keeps so many events, whether they come one by one or together, and nobody who was told sees more.
func TestKeep(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 2), evhubtest.Keep(3))
	for i := range 10 {
		b.Publish(t, "orders", to(0), to(1))
		if n := kept(t, b); i >= 3 && n != 6 {
			t.Errorf("%d events are kept, want 6", n)
		}
	}
	b.Publish(t, "orders", to(0), to(0), to(0), to(0), to(0))
	if n := kept(t, b); n != 6 {
		t.Errorf("after a batch %d events are kept, want 6", n)
	}
}

// kept counts what readers of the hub from its beginning get.
func kept(t *testing.T, b *evhubtest.Broker) (n int) {
	t.Helper()
	consumer := azclient.Consumer(t, b, "orders", "$Default")
	for _, id := range []string{"0", "1"} {
		p, err := consumer.GetPartitionProperties(t.Context(), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		n += int(p.LastEnqueuedSequenceNumber - p.BeginningSequenceNumber + 1)
	}
	return n
}

// TestOwnEvents: what a recorder gives is the test's, and what it looks at stays as it is stored.
func TestOwnEvents(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 1))
	rec := b.Record(t, "orders")
	sent := evhubtest.Event{Body: []byte("abc"), Properties: map[string]any{"a": "b"}}
	b.Publish(t, "orders", sent)
	sent.Body[0], sent.Properties["a"] = 'X', "X"
	got := rec.Want(t, 1)[0]
	got.Body[1], got.Properties["a"] = 'Y', "Y"
	rec.Want(t, 1, evhubtest.Body("abc"), evhubtest.Prop("a", "b"))
}

// TestRecorders: the ways to look at a hub.
func TestRecorders(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 2))
	before := b.Record(t, "orders")
	b.Publish(t, "orders", evhubtest.Event{Body: []byte("1"), Partition: "0"})
	mark := b.Mark("Orders") // names count in any case
	b.Publish(t, "orders", evhubtest.Event{Body: []byte("2"), Partition: "1"}, evhubtest.Event{Body: []byte("3"), Partition: "1", PartitionKey: "k"})
	after := b.RecordFrom(t, mark)
	if got := after.WantExactly(t, 2); string(got[0].Body) != "2" || string(got[1].Body) != "3" {
		t.Errorf("after the mark: %+v", got)
	}
	if all := before.All(); len(all) != 3 {
		t.Errorf("%d events, want 3", len(all))
	}
	for _, want := range []string{"2", "3"} {
		if e := after.Next(t); string(e.Body) != want {
			t.Errorf("next is %s, want %s", e.Body, want)
		}
	}
	ahead := mark.Positions()
	ahead[0] = -1 // a copy
	if p := mark.Positions(); p[0] == -1 || b.Mark("orders").Positions()[1] != p[1]+2 {
		t.Errorf("positions %v, then %v", p, b.Mark("orders").Positions())
	}
	after.WantNone(t, evhubtest.Key("other"))
	after.Want(t, 1, evhubtest.Key("k"), evhubtest.Partition("1"))
	after.Want(t, 1, evhubtest.That("three", func(e evhubtest.Event) error {
		if string(e.Body) != "3" {
			return fmt.Errorf("it is %s", e.Body)
		}
		return nil
	}))
	b.Publish(t, "orders", evhubtest.Event{Properties: map[string]any{
		"cloudEvents:specversion": "1.0", "cloudEvents:id": "1", "cloudEvents:type": "paid", "cloudEvents:source": "shop"}})
	after.Want(t, 1, evhubtest.CloudEvent("paid", "shop"))
	before.Want(t, 3, evhubtest.That("any", func(evhubtest.Event) error { return nil }))
}

// TestWantWaits: a Want that is early returns with the event, not before and not later.
func TestWantWaits(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		rec, start := b.Record(t, "orders"), time.Now()
		go func() {
			time.Sleep(3 * time.Minute)
			b.Publish(t, "orders", evhubtest.Event{Body: []byte("a")})
		}()
		rec.WantNone(t)
		rec.Want(t, 1)
		if d := time.Since(start); d != 3*time.Minute {
			t.Errorf("it took %v", d)
		}
		next := make(chan evhubtest.Event)
		for range 2 { // two wait for the next one at once
			go func() { next <- rec.Next(t) }()
		}
		time.Sleep(time.Second)
		b.Publish(t, "orders", evhubtest.Event{Body: []byte("b")})
		if a, b := string((<-next).Body), string((<-next).Body); a == b {
			t.Errorf("both got %s", a)
		}
	}, evhubtest.Hub("orders", 2))
}

// TestQuiesceSeesBytes: what a client has written is looked at before Quiesce returns, in memory and over TCP, though nobody waits for an
// answer.
func TestQuiesceSeesBytes(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 1))
	dials := map[string]func() (net.Conn, error){
		"memory": func() (net.Conn, error) { return b.Dial(t.Context()) },
		"TCP": func() (net.Conn, error) {
			_, rest, _ := strings.Cut(b.ConnectionString("orders"), "sb://")
			addr, _, _ := strings.Cut(rest, ";")
			return net.Dial("tcp", addr)
		},
	}
	for name, dial := range dials {
		for i := range 100 {
			nc, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			before := len(b.Timeline())
			if _, err := nc.Write([]byte(saslOpen)); err != nil {
				t.Fatal(err)
			}
			var answer [8]byte
			if _, err := nc.Read(answer[:]); err != nil { // else a socket may still be waiting to be accepted
				t.Fatal(err)
			}
			if _, err := nc.Write([]byte(amqpOpen)); err != nil {
				t.Fatal(err)
			}
			if err := b.Quiesce(t.Context()); err != nil {
				t.Fatal(err)
			}
			if after := len(b.Timeline()); after != before+1 {
				t.Errorf("%s, try %d: %d entries, then %d: the open was not looked at", name, i, before, after)
			}
			if err := nc.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// What a client writes at once when it connects as ANONYMOUS: the headers, its choice of mechanism, and an open.
const (
	saslOpen = "AMQP\x03\x01\x00\x00" + "\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUS"
	amqpOpen = "AMQP\x00\x01\x00\x00" + "\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01c"
)

// TestManyAtOnce: brokers of one process do not see each other.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	var brokers []*evhubtest.Broker
	for range 50 {
		b := evhubtest.Start(t, evhubtest.Hub("orders", 1))
		brokers = append(brokers, b)
		b.Fault(t, evhubtest.On{Op: evhubtest.Connect}, evhubtest.Drop()).Optional()
	}
	rec := brokers[0].Record(t, "orders")
	for _, b := range brokers[1:] {
		b.Publish(t, "orders", evhubtest.Event{})
	}
	rec.WantNone(t)
	if own, other := brokers[0].DialString("orders"), brokers[1].DialString("orders"); own == other {
		t.Error("two brokers have one key")
	}
}

// TestOrderOfAll: in a bubble all events have the same time, and are still listed as the client's sends were acknowledged.
func TestOrderOfAll(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		rec, producer := b.Record(t, "orders"), azclient.Producer(t, b, "orders")
		var want, got []string
		for i, partition := range []string{"3", "0", "2", "0", "1", "3"} {
			batch, err := producer.NewEventDataBatch(t.Context(), &azeventhubs.EventDataBatchOptions{PartitionID: &partition})
			must(t, err)
			body := fmt.Sprint(i)
			must(t, batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil))
			must(t, producer.SendEventDataBatch(t.Context(), batch, nil))
			want = append(want, body)
		}
		for _, e := range rec.All() {
			got = append(got, string(e.Body))
		}
		if !slices.Equal(got, want) {
			t.Errorf("events are listed as %v, were sent as %v", got, want)
		}
	}, evhubtest.Hub("orders", 4))
}
