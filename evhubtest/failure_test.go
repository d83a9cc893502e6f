package evhubtest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

var update = flag.Bool("update", false, "write the texts of failures to testdata")

// TestFailureTexts: what a person reads when a test fails.
func TestFailureTexts(t *testing.T) {
	t.Parallel()
	paid := evhubtest.Event{Body: []byte(`{"ID":"7","State":"paid"}`), Partition: "1", ID: "a1", Properties: map[string]any{"schema": "order.v2"}}
	rows := []struct {
		name string
		test func(t *fake, b *evhubtest.Broker)
	}{
		{"near", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Publish(t, "orders", paid, evhubtest.Event{Body: []byte("hello"), PartitionKey: "k"})
			rec.Want(t, 1, evhubtest.Body(order{"7", "paid"}), evhubtest.Prop("schema", "order.v1"))
		}},
		{"nothing", func(t *fake, b *evhubtest.Broker) { b.Record(t, "orders").Want(t, 2) }},
		{"next", func(t *fake, b *evhubtest.Broker) { b.Record(t, "orders").Next(t) }},
		{"other hub", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Publish(t, "billing", paid)
			rec.Want(t, 1)
		}},
		{"misspelled hub", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			producer := openProducer(t, b, strings.Replace(b.DialString("orders"), "EntityPath=orders", "EntityPath=order", 1))
			defer producer.Close(context.Background())
			if err := (&notifier{producer: producer}).Notify(context.Background(), order{"7", "paid"}); err == nil {
				t.Error("the hub order is there")
			}
			rec.Want(t, 1)
		}},
		{"throttled", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Throttle())
			if err := (&notifier{producer: azclient.Producer(t, b, "orders")}).Notify(context.Background(), order{"7", "paid"}); err == nil {
				t.Error("the send got through")
			}
			rec.Want(t, 1)
		}},
		{"too many", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Publish(t, "orders", paid, paid)
			rec.WantExactly(t, 1, evhubtest.Subset(map[string]string{"ID": "7"}))
		}},
		{"none", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Publish(t, "orders", paid)
			rec.WantNone(t)
		}},
		{"order", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Publish(t, "orders", evhubtest.Event{Body: []byte("2"), Partition: "0"}, evhubtest.Event{Body: []byte("1"), Partition: "0"})
			rec.WantInOrder(t, evhubtest.Body("1"), evhubtest.Body("2"))
		}},
		{"duplicates", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			twice := evhubtest.Event{ID: "b1", Partition: "0"}
			b.Publish(t, "orders", paid, paid, twice, twice, evhubtest.Event{ID: "c1"})
			rec.WantUnique(t, func(e evhubtest.Event) string { return e.ID })
		}},
		{"no key", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			bare := evhubtest.Event{Body: []byte("bare"), Partition: "1"}
			b.Publish(t, "orders", evhubtest.Event{ID: "a1", Partition: "0"}, bare, bare)
			rec.WantUnique(t, func(e evhubtest.Event) string { return e.ID })
		}},
		{"readers", func(t *fake, b *evhubtest.Broker) { b.WaitReaders(t, "orders", "$Default", 2) }},
		{"checkpoint", func(t *fake, b *evhubtest.Broker) {
			store := azclient.Checkpoints(b)
			sequence, offset := int64(9), "9"
			theirs := azeventhubs.Checkpoint{
				FullyQualifiedNamespace: "n", EventHubName: "billing", ConsumerGroup: "$Default", PartitionID: "0", SequenceNumber: &sequence, Offset: &offset,
			}
			if err := store.SetCheckpoint(context.Background(), theirs, nil); err != nil {
				t.Error(err)
			}
			store.Of("Billing").Want(t, "$default", "0", 9)
			store.Of("orders").Want(t, "$Default", "0", 5)
		}},
		{"checkpoint of any hub", func(t *fake, b *evhubtest.Broker) { azclient.Checkpoints(b).Want(t, "$Default", "0", 5) }},
		{"checkpoint of no hub", func(t *fake, b *evhubtest.Broker) { azclient.Checkpoints(b).Of("order").Want(t, "$Default", "0", 5) }},
		{"stale", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			for range 5 {
				b.Publish(t, "orders", paid)
			}
			rec.Want(t, 1)
		}},
		{"unfired fault", func(t *fake, b *evhubtest.Broker) {
			b.Fault(t, evhubtest.On{Op: evhubtest.Send, Hub: "orders", Times: 3}, evhubtest.Throttle())
		}},
		{"fault that fired too seldom", func(t *fake, b *evhubtest.Broker) {
			b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: 3}, evhubtest.Delay(time.Second, 0))
			if err := (&notifier{producer: azclient.Producer(t, b, "orders")}).Notify(context.Background(), order{"7", "paid"}); err != nil {
				t.Error(err)
			}
		}},
		{"fault for another client", func(t *fake, b *evhubtest.Broker) {
			b.Fault(t, evhubtest.On{Op: evhubtest.Send, Client: "billing-*"}, evhubtest.Drop())
			if err := (&notifier{producer: azclient.Producer(t, b, "orders")}).Notify(context.Background(), order{"7", "paid"}); err != nil {
				t.Error(err)
			}
		}},
		{"unreadable matcher", func(t *fake, b *evhubtest.Broker) {
			b.Record(t, "orders").WantNone(t, evhubtest.Path("lines[0.sku", "x"))
		}},
		{"matcher of no JSON", func(t *fake, b *evhubtest.Broker) {
			b.Record(t, "orders").WantExactly(t, 0, evhubtest.Body(make(chan int)))
		}},
		{"matcher for no partition", func(t *fake, b *evhubtest.Broker) { b.Record(t, "orders").WantNone(t, evhubtest.Partition("01")) }},
		{"fewer than none", func(t *fake, b *evhubtest.Broker) { b.Record(t, "orders").WantExactly(t, -1) }},
		{"one event for two steps", func(t *fake, b *evhubtest.Broker) {
			rec := b.Record(t, "orders")
			b.Publish(t, "orders", paid)
			rec.WantInOrder(t, evhubtest.Path("State", "paid"), evhubtest.Path("State", "paid"))
		}},
		{"no steps", func(t *fake, b *evhubtest.Broker) { b.Record(t, "orders").WantInOrder(t) }},
		{"senseless fault", func(t *fake, b *evhubtest.Broker) {
			b.Fault(t, evhubtest.On{Op: evhubtest.Manage}, evhubtest.AckLost())
		}},
		{"fault for no hub", func(t *fake, b *evhubtest.Broker) { b.Fault(t, evhubtest.On{Hub: "order"}, evhubtest.Drop()) }},
		{"recorder of no hub", func(t *fake, b *evhubtest.Broker) { b.Record(t, "order") }},
		{"string for no hub", func(t *fake, b *evhubtest.Broker) { b.ConnectionString("Ordrs") }},
		{"mark of no hub", func(t *fake, b *evhubtest.Broker) { b.Mark("clicks") }},
		{"publish to no hub", func(t *fake, b *evhubtest.Broker) { b.Publish(t, "order", paid) }},
		{"publish to no partition", func(t *fake, b *evhubtest.Broker) { b.Publish(t, "orders", evhubtest.Event{Partition: "2"}) }},
		{"forgotten producer", func(t *fake, b *evhubtest.Broker) {
			producer := openProducer(t, b, b.DialString("orders"))
			if err := (&notifier{producer: producer}).Notify(context.Background(), order{"7", "paid"}); err != nil {
				t.Error(err)
			}
		}},
		{"forgotten connection", func(t *fake, b *evhubtest.Broker) {
			if _, err := b.Dial(context.Background()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				said := run(func(f *fake) {
					b := evhubtest.Start(f, evhubtest.Hub("orders", 2), evhubtest.Hub("billing", 1), evhubtest.Seed(1), evhubtest.Keep(4))
					row.test(f, b)
				})
				if !said.Failed() {
					t.Error("it did not fail")
				}
				wantText(t, row.name, said.String())
				time.Sleep(3 * time.Hour) // for what the SDK forgets
			})
		})
	}
}

// openProducer makes a client that dials in memory and that nobody closes.
func openProducer(t testing.TB, b *evhubtest.Broker, connectionString string) *azeventhubs.ProducerClient {
	o := &azeventhubs.ProducerClientOptions{NewWebSocketConn: azclient.Dial(b)}
	producer, err := azeventhubs.NewProducerClientFromConnectionString(connectionString, "", o)
	if err != nil {
		t.Fatal(err)
	}
	return producer
}

// varying is what differs from run to run.
var varying = []struct {
	is   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`[-_\w]{54}`), "CLIENT"},
	{regexp.MustCompile(`TrackingId:\w+`), "TrackingId:ID"},
	{regexp.MustCompile(`_test\.go:\d+`), "_test.go:LINE"},
	{regexp.MustCompile(`(\d\d:){2}\d\d\.\d{3}|\b\d+(\.\d+)?s\b|Timestamp:\S+`), "TIME"}, // the SDK's back-off has jitter
}

func wantText(t *testing.T, name, got string) {
	t.Helper()
	for _, v := range varying {
		got = v.is.ReplaceAllString(got, v.text)
	}
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: it says\n%s\nwant\n%s", file, got, want)
	}
}

// TestForeignBubble: a broker and its client in different bubbles are told apart before the runtime ends the process.
func TestForeignBubble(t *testing.T) {
	t.Parallel()
	outside := evhubtest.Start(t, evhubtest.Hub("orders", 1))
	recorder := outside.Record(t, "orders")
	fault := outside.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Drop()).Optional()
	var other *evhubtest.Broker
	uses := []struct {
		name string
		use  func(t *fake, b *evhubtest.Broker)
	}{
		{"Record", func(t *fake, b *evhubtest.Broker) { b.Record(t, "orders") }},
		{"Publish", func(t *fake, b *evhubtest.Broker) { b.Publish(t, "orders", evhubtest.Event{}) }},
		{"WaitReaders", func(t *fake, b *evhubtest.Broker) { b.WaitReaders(t, "orders", "$Default", 1) }},
		{"Want", func(t *fake, _ *evhubtest.Broker) { recorder.Want(t, 1) }},
		{"WantUnique", func(t *fake, _ *evhubtest.Broker) { recorder.WantUnique(t, func(evhubtest.Event) string { return "" }) }},
		{"Next", func(t *fake, _ *evhubtest.Broker) { recorder.Next(t) }},
		{"Wait", func(t *fake, _ *evhubtest.Broker) {
			_, err := recorder.Wait(context.Background(), 1)
			t.Error(err)
		}},
		{"Quiesce", func(t *fake, b *evhubtest.Broker) { t.Error(b.Quiesce(context.Background())) }},
		{"Fault.Wait", func(t *fake, _ *evhubtest.Broker) { t.Error(fault.Wait(context.Background(), 1)) }},
		{"Dial", func(t *fake, b *evhubtest.Broker) {
			_, err := b.Dial(context.Background())
			t.Error(err)
		}},
	}
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		other = b
		for _, use := range uses {
			if said := run(func(f *fake) { use.use(f, outside) }); len(said.lines("outside of this synctest bubble")) != 1 {
				t.Errorf("%s in a foreign bubble: %s", use.name, said)
			}
		}
	}, evhubtest.Hub("orders", 1))
	if _, err := other.Dial(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot be used outside") {
		t.Errorf("dialing into a bubble: %v", err)
	}
	evhubtest.Bubble(t, func(t *testing.T, _ *evhubtest.Broker) {
		if _, err := other.Dial(context.Background()); err == nil || !strings.Contains(err.Error(), "another synctest bubble") {
			t.Errorf("dialing into another bubble: %v", err)
		}
	})
}

// TestBrokersThatCross: a broker of no test, outside of the bubble or inside, says so where there would be a crash or a wait without end.
func TestBrokersThatCross(t *testing.T) {
	t.Parallel()
	outside, err := evhubtest.New(evhubtest.Hub("orders", 1))
	if err != nil {
		t.Fatal(err)
	}
	fault := outside.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Drop())
	const notIn = "outside of this synctest bubble"
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, notIn) {
				t.Errorf("%s: panic %s", what, text)
			}
		}()
		f()
	}
	var inside *evhubtest.Broker
	synctest.Test(t, func(t *testing.T) {
		panics("ConnectionString", func() { outside.ConnectionString("orders") })
		panics("Fault.Remove", fault.Remove)
		if err := outside.Close(); err == nil || !strings.Contains(err.Error(), notIn) {
			t.Errorf("Close: %v", err)
		}
		if inside, err = evhubtest.New(evhubtest.Hub("orders", 1)); err != nil {
			t.Fatal(err)
		}
		nc, err := inside.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	})
	if err := inside.Close(); err == nil || !strings.Contains(err.Error(), "cannot be used outside") {
		t.Errorf("Close of a bubble's broker: %v", err)
	}
	fault.Remove()
	if err := outside.Close(); err != nil {
		t.Error(err)
	}
	said := run(func(f *fake) { // Start with the test around the bubble
		synctest.Test(t, func(*testing.T) { evhubtest.Start(f, evhubtest.Hub("orders", 1)) })
	})
	if len(said.lines("cannot be used outside")) != 1 {
		t.Errorf("a broker that outlives its bubble: %s", said)
	}
}

// TestFaultsEndWithTheirTest: on a broker that tests share, a fault reaches no further than the test that set it, which hears of what it has
// not done.
func TestFaultsEndWithTheirTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := evhubtest.Start(t, evhubtest.Hub("orders", 1))
		send := func(f *fake) {
			if err := (&notifier{producer: azclient.Producer(f, b, "orders")}).Notify(context.Background(), order{"7", "paid"}); err != nil {
				f.Error(err)
			}
		}
		never := evhubtest.Reject("amqp:not-allowed", "left behind")
		for _, row := range []struct {
			name string
			test func(f *fake)
			says string // "": it passes
		}{
			{"unfired", func(f *fake) { b.Fault(f, evhubtest.On{Op: evhubtest.Send, Times: -1}, never) }, "never fired: nothing that it could meet"},
			{"after it", send, ""},
			{"optional", func(f *fake) { b.Fault(f, evhubtest.On{Op: evhubtest.Send}, never).Optional() }, ""},
			{"after that", send, ""},
			{"removed", func(f *fake) { b.Fault(f, evhubtest.On{Op: evhubtest.Send}, never).Remove() }, ""},
			{"fired, with more to come", func(f *fake) {
				b.Fault(f, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Delay(time.Second, 0))
				send(f)
			}, ""},
			{"too seldom", func(f *fake) {
				b.Fault(f, evhubtest.On{Op: evhubtest.Send, Times: 2}, evhubtest.Delay(time.Second, 0))
				send(f)
			}, "fired 1 of 2 times"},
			{"by chance", func(f *fake) {
				b.Fault(f, evhubtest.On{Op: evhubtest.Send, Times: 2, Prob: 1}, evhubtest.Delay(time.Second, 0))
				send(f)
			}, ""},
			{"failed anyway", func(f *fake) {
				b.Fault(f, evhubtest.On{Op: evhubtest.Send}, never)
				f.Fatal("of itself")
			}, "of itself"},
			{"after all", send, ""},
		} {
			start := time.Now()
			said := run(row.test)
			if said.Failed() != (row.says != "") || len(said.lines("error"))+len(said.lines("fatal")) > 1 || !strings.Contains(said.String(), row.says) {
				t.Errorf("%s: it says %q, want %q", row.name, said, row.says)
			}
			if row.says == "" && strings.HasPrefix(row.name, "after") && time.Since(start) > 0 {
				t.Errorf("%s: a fault was left behind", row.name)
			}
		}
		time.Sleep(3 * time.Hour) // for what the SDK forgets
	})
}

// TestForgottenClient: over TCP as well a client that nobody closed fails its test, with the address it came from, and the test ends.
func TestForgottenClient(t *testing.T) {
	t.Setenv("EVHUBTEST_WAIT", "50ms")
	var producer *azeventhubs.ProducerClient
	said := run(func(f *fake) {
		b := evhubtest.Start(f, evhubtest.Hub("orders", 1))
		var err error
		if producer, err = azeventhubs.NewProducerClientFromConnectionString(b.ConnectionString("orders"), "", nil); err != nil {
			f.Fatal(err)
		}
		if err := (&notifier{producer: producer}).Notify(context.Background(), order{"7", "paid"}); err != nil {
			f.Error(err)
		}
	})
	defer producer.Close(context.Background())
	if len(said.lines("a connection from 127.0.0.1:")) != 1 || len(said.lines("is still open")) != 2 {
		t.Errorf("it says\n%s", said)
	}
}

// TestWaitVariable: a time to wait that is none is said so, and one that is counts.
func TestWaitVariable(t *testing.T) {
	for _, text := range []string{"five", "-1s", "0"} {
		t.Setenv("EVHUBTEST_WAIT", text)
		if _, err := evhubtest.New(); err == nil || !strings.Contains(err.Error(), "EVHUBTEST_WAIT=\""+text) {
			t.Errorf("EVHUBTEST_WAIT=%s: %v", text, err)
		}
	}
	t.Setenv("EVHUBTEST_WAIT", "20ms")
	b := evhubtest.Start(t, evhubtest.Hub("orders", 1))
	said := run(func(f *fake) { b.Record(f, "orders").Want(f, 1) })
	if b.WaitMax() != 20*time.Millisecond || len(said.lines("matched 0 of 0 seen in 2")) != 1 {
		t.Errorf("it waits %v: %s", b.WaitMax(), said)
	}
}

// TestNewWithoutTest: a broker that belongs to no test panics where it cannot fail one, and Close says what was left behind.
func TestNewWithoutTest(t *testing.T) {
	t.Setenv("EVHUBTEST_WAIT", "50ms")
	b, err := evhubtest.New(evhubtest.Hub("orders", 1))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, "did you mean 'orders'?") {
				t.Errorf("panic: %s", text)
			}
		}()
		b.ConnectionString("order")
	}()
	said := run(func(f *fake) { b.Record(f, "orders").Want(f, 1) })
	if len(said.lines("seed ")) != 1 {
		t.Errorf("it does not say its seed: %s", said)
	}
	b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Drop())
	nc, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	err = b.Close()
	if err == nil || !strings.Contains(err.Error(), "never fired") || !strings.Contains(err.Error(), "failure_test.go") {
		t.Errorf("Close says %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("the second Close says %v", err)
	}
	if _, err := b.Dial(t.Context()); err == nil {
		t.Error("a closed broker can be dialed")
	}
	for name, options := range map[string][]evhubtest.Option{
		"Keep(-1)":       {evhubtest.Keep(-1)},
		"partitions":     {evhubtest.Hub("orders", 0)},
		"already exists": {evhubtest.Hub("orders", 1), evhubtest.Hub("Orders", 1)},
	} {
		if _, err := evhubtest.New(options...); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWaitGivesMiss: a test with assertions of its own gets the miss as an error.
func TestWaitGivesMiss(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		rec := b.Record(t, "orders")
		b.Publish(t, "orders", evhubtest.Event{Body: []byte("a")})
		if events, err := rec.Wait(t.Context(), 1, evhubtest.Body("a")); err != nil || len(events) != 1 {
			t.Errorf("%d events, %v", len(events), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := rec.Wait(ctx, 1, evhubtest.Body("b"))
		if miss, ok := errors.AsType[*evhubtest.Miss](err); !ok || len(miss.Near) != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%T: %v", err, err)
		}
	}, evhubtest.Hub("orders", 1))
}
