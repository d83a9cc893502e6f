package engine

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/hub"
)

// TestProducerRecovers: a producer whose connection is cut makes another, and nothing is stored twice that was acknowledged.
func TestProducerRecovers(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: eager})
	for _, body := range []string{"a", "b", "c"} {
		b.send(p, to("0"), body)
		b.cut()
	}
	b.bodies(b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), "a b c")
	if n := b.stored(); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
	if s := b.e.Connections(); s.Accepted < 4 {
		t.Errorf("%d connections were made, want one more after each cut", s.Accepted)
	}
}

// TestConsumerRecovers: a consumer whose connection is cut goes on behind the last event it gave out.
func TestConsumerRecovers(t *testing.T) {
	t.Parallel()
	for _, prefetch := range []int32{0, -1} {
		b := listen(t, Options{})
		p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: eager})
		reader := b.partition(b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{RetryOptions: eager}), "0",
			azeventhubs.PartitionClientOptions{Prefetch: prefetch})
		b.send(p, to("0"), "a", "b", "c")
		b.bodies(reader, "a b")
		b.cut()
		b.bodies(reader, "c")
		waiting := make(chan error, 1)
		go func() {
			events, err := reader.ReceiveEvents(context.Background(), 1, nil)
			if err == nil && string(events[0].Body) != "d" {
				t.Errorf("received %q, want d", events[0].Body)
			}
			waiting <- err
		}()
		b.waitReaders(1)
		b.cut() // under a call that waits
		b.send(p, to("0"), "d")
		select {
		case err := <-waiting:
			b.must(err)
		case <-time.After(patience):
			t.Fatal("nothing was received after the cut")
		}
	}
}

// TestLinkRecovers: a link that is ended is attached again, on the same connection where its error allows.
func TestLinkRecovers(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: eager})
	b.send(p, to("0"), "a")
	b.e.Hall.SetRules(&fault{op: hub.Send, v: hub.Verdict{Action: hub.Detach, Err: &hub.Error{Kind: hub.Closed,
		Text: "The link is force detached."}}, times: 2})
	b.send(p, to("0"), "b")
	b.bodies(b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), "a b")
	if s := b.e.Connections(); s.Accepted != 2 {
		t.Errorf("%d connections were made, want one for each client", s.Accepted)
	}
}

// TestDisabledHub: sending fails while the hub is disabled, and works again after.
func TestDisabledHub(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: eager})
	b.send(p, nil, "fine")
	disabled := hub.Verdict{Action: hub.Detach, Err: &hub.Error{Kind: hub.Disabled, Text: "Messaging entity is currently disabled."}}
	b.e.Hall.SetRules(&fault{op: hub.Send, v: disabled, times: -1})
	ctx := withPatience(t)
	batch, err := p.NewEventDataBatch(ctx, nil)
	b.must(err)
	b.must(batch.AddEventData(&azeventhubs.EventData{Body: []byte("refused")}, nil))
	wantError(t, "disabled", p.SendEventDataBatch(ctx, batch, nil), "", "com.microsoft:entity-disabled")
	b.e.Hall.SetRules(nil)
	b.send(p, nil, "fine again")
	if n := b.stored(); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
}

// TestDeletedHub: clients of a hub that is deleted are told, and one of the same name starts afresh.
func TestDeletedHub(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: eager})
	b.send(p, to("0"), "a", "b")
	reader := b.partition(b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{RetryOptions: impatient}), "0",
		azeventhubs.PartitionClientOptions{})
	b.bodies(reader, "a b")
	namespace := b.e.Hall.Namespace(ns)
	b.must(namespace.DeleteHub(hubName))
	_, err := reader.ReceiveEvents(withPatience(t), 1, nil)
	wantError(t, "reader", err, "", "could not be found") // it looked for the hub again when its link was ended
	_, err = p.NewEventDataBatch(withPatience(t), to("1"))
	wantError(t, "producer", err, "", "could not be found")
	_, err = namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 1})
	b.must(err)
	b.send(p, to("0"), "c")
	b.bodies(b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), "c")
}
