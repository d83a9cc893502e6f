package evhubtest_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

func startIdle(t testing.TB) *evhubtest.Broker {
	b, err := evhubtest.New(evhubtest.Hub("orders", 4))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// BenchmarkStartStop is what a test pays for a broker of its own.
func BenchmarkStartStop(b *testing.B) {
	b.ReportAllocs()
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := startIdle(b).Close(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	reportPercentiles(b, times)
}

func reportPercentiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100])/1e3, "p99-µs")
}

// BenchmarkIdle is what a broker holds while nobody uses it.
func BenchmarkIdle(b *testing.B) {
	bytes, allocs := idle(b, 1000)
	for b.Loop() { // measured above
	}
	b.ReportMetric(bytes, "B/broker")
	b.ReportMetric(allocs, "allocs/broker")
}

// idle measures how much a broker holds, and how much it took to make it.
func idle(t testing.TB, n int) (bytesHeld, allocs float64) {
	brokers := make([]*evhubtest.Broker, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range brokers {
		brokers[i] = startIdle(t)
	}
	runtime.ReadMemStats(&after)
	allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	bytesHeld = float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(n)
	for _, b := range brokers {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	return bytesHeld, allocs
}

// BenchmarkFirstEvent is a whole test: a broker, two clients of the SDK, an event there and back, and the end of all.
func BenchmarkFirstEvent(b *testing.B) {
	for _, way := range []string{"TCP", "memory"} {
		b.Run(way, func(b *testing.B) {
			b.ReportAllocs()
			var times []time.Duration
			for b.Loop() {
				start := time.Now()
				firstEvent(b, way == "TCP")
				times = append(times, time.Since(start))
			}
			reportPercentiles(b, times)
		})
	}
}

func firstEvent(t testing.TB, tcp bool) {
	ctx := context.Background()
	b := startIdle(t)
	cs, dial := b.DialString("orders"), azclient.Dial(b)
	if tcp {
		cs, dial = b.ConnectionString("orders"), nil
	}
	producer, err := azeventhubs.NewProducerClientFromConnectionString(cs, "", &azeventhubs.ProducerClientOptions{NewWebSocketConn: dial})
	must(t, err)
	consumer, err := azeventhubs.NewConsumerClientFromConnectionString(cs, "", "$Default", &azeventhubs.ConsumerClientOptions{NewWebSocketConn: dial})
	must(t, err)
	zero, earliest := "0", true
	batch, err := producer.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionID: &zero})
	must(t, err)
	must(t, batch.AddEventData(&azeventhubs.EventData{Body: []byte("hello")}, nil))
	must(t, producer.SendEventDataBatch(ctx, batch, nil))
	reader, err := consumer.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: &earliest}})
	must(t, err)
	_, err = reader.ReceiveEvents(ctx, 1, nil)
	must(t, err)
	must(t, reader.Close(ctx))
	must(t, producer.Close(ctx))
	must(t, consumer.Close(ctx))
	must(t, b.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkWake is from an event's being stored to a waiting Want's return.
func BenchmarkWake(b *testing.B) {
	broker := startIdle(b)
	ctx := context.Background()
	stored := make(chan time.Time, 1)
	var times []time.Duration
	for b.Loop() {
		rec := broker.Record(b, "orders")
		go func() {
			broker.Publish(b, "orders", evhubtest.Event{})
			stored <- time.Now()
		}()
		_, err := rec.Wait(ctx, 1)
		must(b, err)
		times = append(times, max(0, time.Since(<-stored)))
	}
	reportPercentiles(b, times)
	must(b, broker.Close())
}

// TestIdleIsSmall guards what a broker costs that nobody uses. It takes 39 allocations, and 43 under the race detector; other tests may run
// beside.
func TestIdleIsSmall(t *testing.T) {
	const bytesMax, allocsMax = 4 << 10, 48
	bytesHeld, allocs := idle(t, 200)
	if bytesHeld > bytesMax || allocs > allocsMax {
		t.Errorf("an idle broker holds %.0f bytes and took %.0f allocations, want %d and %d at most", bytesHeld, allocs, bytesMax, allocsMax)
	}
}

// TestNoGoroutines: a broker has none while nobody uses it, and leaves none behind.
func TestNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	var brokers []*evhubtest.Broker
	for range 20 {
		brokers = append(brokers, startIdle(t))
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines for 20 idle brokers", n-before)
	}
	for _, b := range brokers {
		b.ConnectionString("orders")
		nc, err := b.Dial(t.Context())
		must(t, err)
		must(t, nc.Close())
		must(t, b.Close())
	}
	// Close waits until the last statement of each goroutine; that it is gone then from the count as well is up to the scheduler.
	n := runtime.NumGoroutine()
	for giveUp := time.Now().Add(5 * time.Second); n > before && time.Now().Before(giveUp); n = runtime.NumGoroutine() {
		runtime.Gosched()
	}
	if n > before {
		t.Errorf("%d goroutines are left of 20 brokers", n-before)
	}
}
