package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// checkpoints is a checkpoint store in memory: ownerships with tags that must match, and the latest checkpoint of each partition.
type checkpoints struct {
	mu     sync.Mutex
	owners map[string]azeventhubs.Ownership
	latest map[string]azeventhubs.Checkpoint
	tags   int
}

func newCheckpoints() *checkpoints {
	return &checkpoints{owners: make(map[string]azeventhubs.Ownership), latest: make(map[string]azeventhubs.Checkpoint)}
}

func (s *checkpoints) ClaimOwnership(_ context.Context, wanted []azeventhubs.Ownership,
	_ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var claimed []azeventhubs.Ownership
	for _, o := range wanted {
		have, taken := s.owners[o.PartitionID]
		if taken && (o.ETag == nil || *o.ETag != *have.ETag) || !taken && o.ETag != nil {
			continue
		}
		s.tags++
		o.ETag, o.LastModifiedTime = tag(o.ETag, s.tags), time.Now().UTC()
		s.owners[o.PartitionID] = o
		claimed = append(claimed, o)
	}
	return claimed, nil
}

// tag makes a tag of the SDK's type, which a package of its own has that we need for nothing else.
func tag[T ~string](_ *T, n int) *T { return ptr(T(fmt.Sprint(n))) }

func (s *checkpoints) ListOwnership(context.Context, string, string, string, *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership,
	error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.owners)), nil
}

func (s *checkpoints) ListCheckpoints(context.Context, string, string, string,
	*azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.latest)), nil
}

func (s *checkpoints) SetCheckpoint(_ context.Context, c azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest[c.PartitionID] = c
	return nil
}

// worker runs a processor and reads every partition that it is given until it loses it.
type worker struct {
	t    *testing.T
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	holds map[string]bool // partitions it reads now
	got   map[string]int  // bodies, and how often each came
}

func (b *broker) work(t *testing.T, store *checkpoints) *worker {
	t.Helper()
	processor, err := azeventhubs.NewProcessor(b.bubbleConsumer("$Default"), store, &azeventhubs.ProcessorOptions{
		StartPositions: azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: ptr(true)}},
	})
	b.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{t: t, stop: cancel, holds: make(map[string]bool), got: make(map[string]int)}
	w.done.Go(func() {
		if err := processor.Run(ctx); err != nil {
			t.Errorf("processor: %v", err)
		}
	})
	w.done.Go(func() {
		for client := processor.NextPartitionClient(ctx); client != nil; client = processor.NextPartitionClient(ctx) {
			w.done.Go(func() { w.read(ctx, client) })
		}
	})
	return w
}

func (w *worker) hold(id string, holds bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if holds {
		w.holds[id] = true
	} else {
		delete(w.holds, id)
	}
}

func (w *worker) read(ctx context.Context, client *azeventhubs.ProcessorPartitionClient) {
	w.hold(client.PartitionID(), true)
	defer w.hold(client.PartitionID(), false)
	defer client.Close(context.Background())
	for ctx.Err() == nil {
		turn, cancel := context.WithTimeout(ctx, 5*time.Second)
		events, err := client.ReceiveEvents(turn, 100, nil)
		cancel()
		if e, ok := asError(err); ok && e.Code == azeventhubs.ErrorCodeOwnershipLost {
			return
		}
		if ctx.Err() != nil && err != nil {
			return // a Processor that is stopped closes its clients, whoever is about to call them
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			w.t.Errorf("partition %s: %v", client.PartitionID(), err)
			return
		}
		w.mu.Lock()
		for _, e := range events {
			w.got[string(e.Body)]++
		}
		w.mu.Unlock()
		if len(events) > 0 {
			if err := client.UpdateCheckpoint(context.Background(), events[len(events)-1], nil); err != nil {
				w.t.Errorf("checkpoint: %v", err)
			}
		}
	}
}

func (w *worker) partitions() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(w.holds)), " ")
}

// TestProcessor: one processor takes all four partitions, two share them, and each event is worked on once.
func TestProcessor(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		store := newCheckpoints()
		p := b.bubbleProducer()
		publish := func(round int) {
			t.Helper()
			for i := range 4 {
				for n := range 5 {
					b.send(p, to(fmt.Sprint(i)), fmt.Sprintf("%d/%d/%d", round, i, n))
				}
			}
		}
		one := b.work(t, store)
		publish(1)
		time.Sleep(2 * time.Minute)
		if got := one.partitions(); got != "0 1 2 3" {
			t.Errorf("after two minutes one processor has partitions %q", got)
		}
		two := b.work(t, store)
		time.Sleep(5 * time.Minute)
		if x, y := one.partitions(), two.partitions(); len(x) != 3 || len(y) != 3 {
			t.Errorf("two processors have partitions %q and %q, want two each", x, y)
		}
		publish(2)
		time.Sleep(time.Minute)
		one.stop()
		one.done.Wait()
		time.Sleep(5 * time.Minute)
		if got := two.partitions(); got != "0 1 2 3" {
			t.Errorf("after the other has stopped a processor has partitions %q", got)
		}
		publish(3)
		time.Sleep(time.Minute)
		two.stop()
		two.done.Wait()

		if len(two.got) == 0 || len(one.got)+len(two.got) != 60 {
			t.Errorf("%d and %d events were worked on, want 60 together", len(one.got), len(two.got))
		}
		for _, w := range []*worker{one, two} {
			for body, n := range w.got {
				if n != 1 {
					t.Errorf("%s was worked on %d times", body, n)
				}
			}
		}
		for id, c := range store.latest {
			if *c.SequenceNumber != 14 {
				t.Errorf("the checkpoint of partition %s is %d, want 14", id, *c.SequenceNumber)
			}
		}
	})
}
