package azclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
)

func init() { evhubtest.RegisterRemote(openRemote) }

// remote is an evhubtest.Remote over the SDK. One client for each hub and direction serves all recorders.
type remote struct {
	connectionString string

	mu        sync.Mutex // guards what follows
	producers map[string]*azeventhubs.ProducerClient
	consumers map[string]*azeventhubs.ConsumerClient
}

func openRemote(connectionString string) (evhubtest.Remote, error) {
	if _, err := azeventhubs.ParseConnectionString(connectionString); err != nil {
		return nil, err
	}
	return &remote{
		connectionString: connectionString,
		producers:        make(map[string]*azeventhubs.ProducerClient),
		consumers:        make(map[string]*azeventhubs.ConsumerClient),
	}, nil
}

func (r *remote) producer(hub string) (*azeventhubs.ProducerClient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.producers[hub]; p != nil {
		return p, nil
	}
	p, err := azeventhubs.NewProducerClientFromConnectionString(r.connectionString, hub, nil)
	if err == nil {
		r.producers[hub] = p
	}
	return p, err
}

func (r *remote) consumer(hub string) (*azeventhubs.ConsumerClient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.consumers[hub]; c != nil {
		return c, nil
	}
	c, err := azeventhubs.NewConsumerClientFromConnectionString(r.connectionString, hub, azeventhubs.DefaultConsumerGroup, nil)
	if err == nil {
		r.consumers[hub] = c
	}
	return c, err
}

func (r *remote) Positions(ctx context.Context, hub string) ([]int64, error) {
	client, err := r.consumer(hub)
	if err != nil {
		return nil, err
	}
	properties, err := client.GetEventHubProperties(ctx, nil)
	if err != nil {
		return nil, err
	}
	next := make([]int64, len(properties.PartitionIDs))
	for _, id := range properties.PartitionIDs {
		p, err := client.GetPartitionProperties(ctx, id, nil)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(id)
		if err != nil || n < 0 || n >= len(next) {
			return nil, fmt.Errorf("azclient: hub %s has a partition %q; they should count from 0 to %d", hub, id, len(next)-1)
		}
		next[n] = p.LastEnqueuedSequenceNumber + 1
	}
	return next, nil
}

func (r *remote) Read(ctx context.Context, hub string, partition int, from int64, take func(evhubtest.Event) error) error {
	client, err := r.consumer(hub)
	if err != nil {
		return err
	}
	// After the last event before the mark: services refuse a start at an event that is not there yet.
	start := azeventhubs.StartPosition{Earliest: pointer(true)}
	if from > 0 {
		start = azeventhubs.StartPosition{SequenceNumber: pointer(from - 1)}
	}
	reader, err := client.NewPartitionClient(strconv.Itoa(partition), &azeventhubs.PartitionClientOptions{StartPosition: start})
	if err != nil {
		return err
	}
	defer reader.Close(context.WithoutCancel(ctx))
	for {
		events, err := reader.ReceiveEvents(ctx, 1, nil)
		for _, e := range events {
			if err := take(eventOf(e, partition)); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func eventOf(e *azeventhubs.ReceivedEventData, partition int) evhubtest.Event {
	event := evhubtest.Event{
		Body: e.Body, Partition: strconv.Itoa(partition), Offset: e.Offset, SequenceNumber: e.SequenceNumber, Properties: e.Properties,
		PartitionKey: value(e.PartitionKey), ID: value(e.MessageID), ContentType: value(e.ContentType),
	}
	if e.EnqueuedTime != nil {
		event.EnqueuedAt = e.EnqueuedTime.UTC()
	}
	return event
}

func (r *remote) Publish(ctx context.Context, hub string, events []evhubtest.Event) error {
	client, err := r.producer(hub)
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		var to azeventhubs.EventDataBatchOptions
		switch {
		case e.Partition != "":
			to.PartitionID = &e.Partition
		case e.PartitionKey != "":
			to.PartitionKey = &e.PartitionKey
		}
		batch, err := client.NewEventDataBatch(ctx, &to)
		if err != nil {
			return err
		}
		data := &azeventhubs.EventData{Body: e.Body, Properties: e.Properties, MessageID: orNil(e.ID), ContentType: orNil(e.ContentType)}
		if err := batch.AddEventData(data, nil); err != nil {
			return err
		}
		if err := client.SendEventDataBatch(ctx, batch, nil); err != nil {
			return err
		}
	}
	return nil
}

func (r *remote) Close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, p := range r.producers {
		errs = append(errs, p.Close(ctx))
	}
	for _, c := range r.consumers {
		errs = append(errs, c.Close(ctx))
	}
	return errors.Join(errs...)
}

func pointer[T any](v T) *T { return &v }

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
