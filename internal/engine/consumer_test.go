package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/hub"
)

func TestStartPositions(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p, c := b.producer(b.root(), nil), b.consumer(b.root(), "$Default", nil)
	b.send(p, to("0"), "e0", "e1")
	middle, err := p.GetPartitionProperties(withPatience(t), "0", nil)
	b.must(err)
	for time.Now().UnixMilli() <= middle.LastEnqueuedOn.UnixMilli()+1 { // the next events have a later millisecond
		time.Sleep(time.Millisecond)
	}
	b.send(p, to("0"), "e2", "e3")
	time1 := middle.LastEnqueuedOn
	for _, row := range []struct {
		name string
		at   azeventhubs.StartPosition
		want string
	}{
		{"earliest", azeventhubs.StartPosition{Earliest: ptr(true)}, "e0 e1 e2 e3"},
		{"offset", azeventhubs.StartPosition{Offset: &middle.LastEnqueuedOffset}, "e2 e3"},
		{"offset, inclusive", azeventhubs.StartPosition{Offset: &middle.LastEnqueuedOffset, Inclusive: true}, "e1 e2 e3"},
		{"sequence number", azeventhubs.StartPosition{SequenceNumber: ptr(int64(0))}, "e1 e2 e3"},
		{"sequence number, inclusive", azeventhubs.StartPosition{SequenceNumber: ptr(int64(0)), Inclusive: true}, "e0 e1 e2 e3"},
		{"time", azeventhubs.StartPosition{EnqueuedTime: &time1}, "e2 e3"},
		{"time, inclusive", azeventhubs.StartPosition{EnqueuedTime: &time1, Inclusive: true}, "e0 e1 e2 e3"}, // a batch has one time
		{"latest, inclusive", azeventhubs.StartPosition{Latest: ptr(true), Inclusive: true}, "e3"},
	} {
		o := azeventhubs.PartitionClientOptions{StartPosition: row.at}
		partition := b.partition(c, "0", o)
		var got []string
		for _, e := range b.receive(partition, len(strings.Fields(row.want))) {
			got = append(got, string(e.Body))
		}
		if s := strings.Join(got, " "); s != row.want {
			t.Errorf("%s: %q, want %q", row.name, s, row.want)
		}
		b.close(partition)
	}
	_, err = b.partition(b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{RetryOptions: impatient}), "0",
		azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{SequenceNumber: ptr(int64(488))}}).ReceiveEvents(withPatience(t), 1, nil)
	wantError(t, "beyond the end", err, "", "The supplied sequence number '488' is invalid. The last sequence number in the system is '3'")
}

// TestLatest: the default start is the end of the partition at the moment the reader is attached.
func TestLatest(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), nil)
	b.send(p, to("0"), "old")
	reader := b.partition(b.consumer(b.root(), "$Default", nil), "0",
		azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Latest: ptr(true)}})
	got := make(chan string, 1)
	go func() {
		events, err := reader.ReceiveEvents(context.Background(), 2, nil)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(events[0].Body) + " " + string(events[1].Body)
	}()
	b.waitReaders(1)
	b.send(p, to("0"), "new1", "new2")
	select {
	case s := <-got:
		if s != "new1 new2" {
			t.Errorf("received %q", s)
		}
	case <-time.After(patience):
		t.Error("nothing was received")
	}
}

// TestPrefetch: with credit given by hand and in advance.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p, c := b.producer(b.root(), nil), b.consumer(b.root(), "$Default", nil)
	b.send(p, to("0"), "e1", "e2", "e3", "e4")
	for _, row := range []struct {
		name  string
		count int32
	}{{"off", -1}, {"default", 0}, {"lowest", 1}, {"more than asked for", 5}} {
		partition := b.partition(c, "0", azeventhubs.PartitionClientOptions{Prefetch: row.count})
		b.bodies(partition, "e1 e2")
		b.bodies(partition, "e3")
		if row.count < 0 {
			for _, l := range b.e.Hall.Links() {
				if l.Kind == hub.Reader && (l.Credit != 0 || l.Records != 3) {
					t.Errorf("prefetch off: %d events were sent and credit %d is left, want 3 and none", l.Records, l.Credit)
				}
			}
		}
		b.bodies(partition, "e4")
		b.close(partition)
	}
}

// TestFiveReaders: five without epoch read side by side, and the sixth is refused.
func TestFiveReaders(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	b.send(b.producer(b.root(), nil), to("0"), "a", "b")
	for i := range 5 {
		c := b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{InstanceID: fmt.Sprint("reader", i)})
		b.bodies(b.partition(c, "0", azeventhubs.PartitionClientOptions{}), "a b")
	}
	sixth := b.consumer(b.root(), "$Default", nil)
	_, err := b.partition(sixth, "0", azeventhubs.PartitionClientOptions{}).ReceiveEvents(withPatience(t), 1, nil)
	wantError(t, "sixth reader", err, "", "amqp:resource-limit-exceeded")
	wantError(t, "sixth reader", err, "", "which is 5. List of connected receivers - reader0, reader1, reader2, reader3, reader4.")
	b.bodies(b.partition(b.consumer(b.root(), "cg1", nil), "0", azeventhubs.PartitionClientOptions{}), "a b")
}

// TestSameEpochSteals: the newcomer wins, and the one before is told who took the partition.
func TestSameEpochSteals(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), nil)
	b.send(p, to("0"), "a", "b")
	level := azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(2))}
	open := func(instance string) *azeventhubs.PartitionClient {
		return b.partition(b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{InstanceID: instance, RetryOptions: impatient}),
			"0", level)
	}
	owner, thief := open("owner-1"), open("thief-2")
	b.bodies(owner, "a b")
	b.bodies(thief, "a b")
	_, err := owner.ReceiveEvents(withPatience(t), 1, nil)
	wantError(t, "owner", err, azeventhubs.ErrorCodeOwnershipLost, "amqp:link:stolen")
	wantError(t, "owner", err, "",
		"New receiver 'thief-2' with higher epoch of '2' is created hence current receiver 'owner-1' with epoch '2' is getting disconnected.")
	b.send(p, to("0"), "c")
	b.bodies(thief, "c")
}

// TestLowerEpochs: no epoch and a lower one are refused, and the owner does not notice.
func TestLowerEpochs(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	b.send(b.producer(b.root(), nil), to("0"), "a", "b")
	ownerClient := b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{RetryOptions: impatient})
	owner := b.partition(ownerClient, "0", azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(2))})
	b.bodies(owner, "a")
	for _, row := range []struct {
		level *int64
		want  string
	}{
		{nil, "At least one receiver for the endpoint is created with epoch of '2', and so non-epoch receiver is not allowed."},
		{ptr(int64(1)), fmt.Sprintf("Description: Receiver '%s' with a higher epoch '2' already exists. Receiver 'LosesBecauseOfLowOwnerLevel' with "+
			"epoch 1 cannot be created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch "+
			"receivers are closed or disconnected", ownerClient.InstanceID())},
	} {
		c := b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{InstanceID: "LosesBecauseOfLowOwnerLevel", RetryOptions: impatient})
		_, err := b.partition(c, "0", azeventhubs.PartitionClientOptions{OwnerLevel: row.level}).ReceiveEvents(withPatience(t), 1, nil)
		wantError(t, "late", err, "", "amqp:link:stolen")
		wantError(t, "late", err, "", row.want)
	}
	b.bodies(owner, "b")
}

// TestSlowReader: one that takes its time holds up neither the fast ones beside it nor those that publish.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const batches, perBatch = 8, 100
	b := listen(t, Options{})
	p := b.producer(b.root(), nil)
	slow := b.partition(b.consumer(b.root(), "cg1", nil), "0", azeventhubs.PartitionClientOptions{Prefetch: 1})
	b.send(p, to("0"), "first")
	b.bodies(slow, "first") // and now it does something else
	c := b.consumer(b.root(), "$Default", nil)
	done := make(chan error, 3)
	for range 3 {
		fast := b.partition(c, "0", azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{SequenceNumber: ptr(int64(0))}})
		go func() {
			for n := 0; n < batches*perBatch; {
				events, err := fast.ReceiveEvents(context.Background(), 100, nil)
				if err != nil {
					done <- err
					return
				}
				for _, e := range events {
					if n++; e.SequenceNumber != int64(n) {
						done <- fmt.Errorf("event %d came where %d is next", e.SequenceNumber, n)
						return
					}
				}
			}
			done <- nil
		}()
	}
	body := strings.Repeat("x", 500)
	bodies := make([]string, perBatch)
	for i := range bodies {
		bodies[i] = body
	}
	for range batches {
		b.send(p, to("0"), bodies...)
	}
	for range 3 {
		b.must(<-done)
	}
	for n := 1; n <= batches*perBatch; n += perBatch {
		if e := b.receive(slow, perBatch)[0]; e.SequenceNumber != int64(n) {
			t.Fatalf("the slow reader gets %d, want %d", e.SequenceNumber, n)
		}
	}
}
