package local

import (
	"context"
	"fmt"
	"testing"

	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/notify"
)

// TestAllocations is what a Send leaves to the collector: its results. It is not parallel: it counts allocations.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		return // pools forget at random there
	}
	r := newRig(t, memlog.New(memlog.Options{BytesMax: 4 << 20}), Options{})
	messages := []notify.Message{{Body: make([]byte, 512), ContentType: "application/json", Key: "device-1"}}
	ctx := context.Background()
	r.n.Send(ctx, "orders", messages...)
	if got := testing.AllocsPerRun(1000, func() { r.n.Send(ctx, "orders", messages...) }); got > 1 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkSend(b *testing.B) {
	for _, each := range []int{1, 100} {
		for _, key := range []string{"", "device-1"} {
			b.Run(fmt.Sprintf("%d/key=%s", each, key), func(b *testing.B) {
				r := newRig(b, memlog.New(memlog.Options{BytesMax: 16 << 20}), Options{})
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					messages := make([]notify.Message, each)
					for i := range messages {
						messages[i] = notify.Message{Body: make([]byte, 512), ContentType: "application/json", Key: key}
					}
					ctx := context.Background()
					for pb.Next() {
						if results := r.n.Send(ctx, "orders", messages...); results[0].Err != nil {
							b.Fatal(results[0].Err)
						}
					}
				})
			})
		}
	}
}
