package evhubtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// order and notifier are the code under test: a service that tells the world what became of orders.
type order struct{ ID, State string }

type notifier struct {
	producer *azeventhubs.ProducerClient
	sent     int
}

// newNotifier connects by itself, as the service does.
func newNotifier(t testing.TB, connectionString string) *notifier {
	t.Helper()
	producer, err := azeventhubs.NewProducerClientFromConnectionString(connectionString, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := producer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &notifier{producer: producer}
}

// Notify publishes an order's state: orders keep their own order, and each event has an id by which a copy can be told.
func (n *notifier) Notify(ctx context.Context, o order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	batch, err := n.producer.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionKey: &o.ID})
	if err != nil {
		return err
	}
	n.sent++
	id := fmt.Sprintf("%s-%d", o.ID, n.sent)
	event := &azeventhubs.EventData{Body: body, MessageID: &id, Properties: map[string]any{"schema": "order.v1"}}
	if err := batch.AddEventData(event, nil); err != nil {
		return err
	}
	return n.producer.SendEventDataBatch(ctx, batch, nil)
}

// runConsumer reads all partitions it can get until ctx ends, and checkpoints after each batch.
func runConsumer(ctx context.Context, consumer *azeventhubs.ConsumerClient, store azeventhubs.CheckpointStore) error {
	earliest := true
	processor, err := azeventhubs.NewProcessor(consumer, store, &azeventhubs.ProcessorOptions{
		StartPositions: azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: &earliest}},
	})
	if err != nil {
		return err
	}
	go func() {
		for partition := processor.NextPartitionClient(ctx); partition != nil; partition = processor.NextPartitionClient(ctx) {
			go consume(ctx, partition)
		}
	}()
	return processor.Run(ctx)
}

func consume(ctx context.Context, partition *azeventhubs.ProcessorPartitionClient) {
	defer partition.Close(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		turn, done := context.WithTimeout(ctx, 5*time.Second)
		events, err := partition.ReceiveEvents(turn, 100, nil)
		done()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if len(events) > 0 && partition.UpdateCheckpoint(ctx, events[len(events)-1], nil) != nil {
			return
		}
	}
}
