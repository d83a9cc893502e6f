package engine

import (
	"context"
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/internal/hub"
)

// BenchmarkStartStop is what a test pays for a broker of its own.
func BenchmarkStartStop(b *testing.B) {
	list := policies()
	b.ReportAllocs()
	for b.Loop() {
		e, err := New(Options{Policies: list})
		if err != nil {
			b.Fatal(err)
		}
		namespace, err := e.Hall.CreateNamespace(ns)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 4}); err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrip is one event through the broker in memory, from a send to its receipt, one at a time.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprint("go-amqp/", size), func(b *testing.B) {
			k := newBroker(b, Options{})
			client, server := Pipe()
			k.e.ServeConn(server)
			ctx := context.Background()
			conn, err := amqp.NewConn(ctx, client, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("root", rootKey)})
			k.must(err)
			defer conn.Close()
			session, err := conn.NewSession(ctx, nil)
			k.must(err)
			sender, err := session.NewSender(ctx, hubName+"/Partitions/0", nil)
			k.must(err)
			receiver, err := session.NewReceiver(ctx, readerAddress, &amqp.ReceiverOptions{Credit: 100})
			k.must(err)
			m := amqp.NewMessage(make([]byte, size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				k.must(sender.Send(ctx, m, nil))
				_, err := receiver.Receive(ctx, nil)
				k.must(err)
			}
		})
		b.Run(fmt.Sprint("azeventhubs/", size), func(b *testing.B) {
			k := newBroker(b, Options{})
			p := k.bubbleProducer()
			reader := k.partition(k.bubbleConsumer("$Default"), "0", azeventhubs.PartitionClientOptions{})
			ctx := context.Background()
			body := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				batch, err := p.NewEventDataBatch(ctx, to("0"))
				k.must(err)
				k.must(batch.AddEventData(&azeventhubs.EventData{Body: body}, nil))
				k.must(p.SendEventDataBatch(ctx, batch, nil))
				_, err = reader.ReceiveEvents(ctx, 1, nil)
				k.must(err)
			}
		})
	}
}
