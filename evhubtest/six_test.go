package evhubtest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

func TestNotifierPublishes(t *testing.T) { // no container, no sleep, no queue
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 4))
	rec := b.Record(t, "orders")
	if err := newNotifier(t, b.ConnectionString("orders")).Notify(t.Context(), order{"7", "paid"}); err != nil {
		t.Fatal(err)
	}
	rec.WantExactly(t, 1, evhubtest.Body(order{"7", "paid"}), evhubtest.Prop("schema", "order.v1"))
}

func TestOrderByPartitionKey(t *testing.T) { // two keys interleave; one key stays in order in one partition
	t.Parallel()
	b := evhubtest.Start(t, evhubtest.Hub("orders", 4), evhubtest.Seed(1))
	rec, n := b.Record(t, "orders"), newNotifier(t, b.ConnectionString("orders"))
	for i := range 20 {
		if err := n.Notify(t.Context(), order{fmt.Sprint(i % 2), fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got := rec.WantInOrder(t, evhubtest.Path("State", "0"), evhubtest.Path("State", "2"), evhubtest.Path("State", "18"))
	if got[0].Partition != got[2].Partition {
		t.Error("key 0 moved between partitions")
	}
}

func TestConsumerCheckpoints(t *testing.T) { // the default balancing claims one partition in ten seconds, which are free in a bubble
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		events := b.Publish(t, "orders", evhubtest.Event{Body: []byte("a"), Partition: "0"}, evhubtest.Event{Body: []byte("b"), Partition: "0"})
		ctx, stop := context.WithCancel(t.Context())
		store, done := azclient.Checkpoints(b), make(chan error, 1)
		go func() { done <- runConsumer(ctx, azclient.Consumer(t, b, "orders", "$Default"), store) }()
		store.Want(t, "$Default", "0", events[1].SequenceNumber)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}, evhubtest.Hub("orders", 4))
}

func TestRetriesWhenThrottled(t *testing.T) { // the SDK's real back-off, no real waiting
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		busy := b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: 3}, evhubtest.Throttle())
		rec, start := b.Record(t, "orders"), time.Now()
		n := &notifier{producer: azclient.Producer(t, b, "orders")}
		if err := n.Notify(t.Context(), order{"7", "paid"}); err != nil {
			t.Fatal(err)
		}
		rec.WantExactly(t, 1)
		if waited := time.Since(start); busy.Hits() != 3 || waited < 12*time.Second {
			t.Errorf("%d refusals, waited %v", busy.Hits(), waited)
		}
	}, evhubtest.Hub("orders", 1))
}

func TestDuplicatesShareAnID(t *testing.T) { // Notify returns nil, the hub holds two copies
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.AckLost())
		rec := b.Record(t, "orders")
		n := &notifier{producer: azclient.Producer(t, b, "orders")}
		if err := n.Notify(t.Context(), order{"7", "paid"}); err != nil {
			t.Fatal(err)
		}
		if two := rec.WantExactly(t, 2); two[0].ID == "" || two[0].ID != two[1].ID {
			t.Errorf("a retry cannot be told from a second order: %q %q", two[0].ID, two[1].ID)
		}
	}, evhubtest.Hub("orders", 1))
}

func TestAnywhere(t *testing.T) { // EVHUBTEST_TARGET=azure go test -run Anywhere: same assertions, real service
	t.Parallel()
	b := evhubtest.Target(t, evhubtest.Hub("orders", 4))
	rec := b.Record(t, "orders")
	if err := newNotifier(t, b.ConnectionString("orders")).Notify(t.Context(), order{"7", "paid"}); err != nil {
		t.Fatal(err)
	}
	rec.Want(t, 1, evhubtest.Subset(map[string]any{"ID": "7"}))
}
