package eventhubs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
	"github.com/evhub-dev/evhub/notify"
)

// BenchmarkSend: the way of messages through the lanes, with a sender that does nothing.
func BenchmarkSend(b *testing.B) {
	for _, row := range []struct {
		name    string
		keys    int
		each    int // messages of one Send
		callers int // for each processor
		rtt     time.Duration
	}{
		{"alone", 0, 1, 1, 0},
		{"64 callers", 0, 1, 64, 0},
		{"64 callers, 100 keys", 100, 1, 64, 0},
		{"512 callers, 5ms away", 0, 1, 512, 5 * time.Millisecond},
		{"512 callers, 100 keys, 5ms away", 100, 1, 512, 5 * time.Millisecond},
		{"100 messages each", 0, 100, 1, 0},
	} {
		b.Run(row.name, func(b *testing.B) {
			n := newNotifier(&fake{quiet: true, rtt: row.rtt}, Options{})
			defer n.Close(context.Background())
			keys := []string{""}
			for i := range row.keys {
				keys = append(keys[:i], fmt.Sprint(i))
			}
			b.ReportAllocs()
			b.SetParallelism(row.callers)
			b.RunParallel(func(pb *testing.PB) {
				messages := make([]notify.Message, row.each)
				for i := 0; pb.Next(); i++ {
					for j := range messages {
						messages[j].Key = keys[i%len(keys)]
					}
					for _, r := range n.Send(b.Context(), "", messages...) {
						if r.Err != nil {
							b.Error(r.Err)
						}
					}
				}
			})
			events := float64(n.Stats().Stored)
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(events/float64(n.Stats().Batches), "events/batch")
		})
	}
}

// BenchmarkBroker: the same over the official SDK to a broker in this process.
func BenchmarkBroker(b *testing.B) {
	for _, row := range []struct{ each, callers int }{{1, 1}, {1, 64}, {1, 512}, {100, 8}} {
		b.Run(fmt.Sprintf("%d callers, %d each", row.callers, row.each), func(b *testing.B) {
			kit := evhubtest.Start(b, fourPartitions)
			client, err := azeventhubs.NewProducerClientFromConnectionString(kit.DialString(hubName), "",
				&azeventhubs.ProducerClientOptions{NewWebSocketConn: azclient.Dial(kit)})
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close(context.Background())
			n := New(client)
			defer n.Close(context.Background())
			body := make([]byte, 512)
			b.ReportAllocs()
			b.SetParallelism(row.callers)
			b.RunParallel(func(pb *testing.PB) {
				messages := make([]notify.Message, row.each)
				for i := range messages {
					messages[i].Body = body
				}
				for pb.Next() {
					for _, r := range n.Send(b.Context(), "", messages...) {
						if r.Err != nil {
							b.Error(r.Err)
						}
					}
				}
			})
			events := float64(n.Stats().Stored)
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(events/float64(n.Stats().Batches), "events/batch")
		})
	}
}
