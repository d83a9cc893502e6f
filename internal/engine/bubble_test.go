package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
)

// bubble runs f with a broker and its clients in fake time. It ends after the clients' last timers: the SDK leaves some behind.
func bubble(t *testing.T, f func(*testing.T, *broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(3 * time.Hour) })
		f(t, newBroker(t, Options{}))
	})
}

// dial is the SDK's hook for connections of one's own.
func (b *broker) dial(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error) {
	client, server := Pipe()
	b.keep(server)
	b.e.ServeConn(server)
	return client, nil
}

func (b *broker) bubbleProducer() *azeventhubs.ProducerClient {
	return b.producer(b.root(), &azeventhubs.ProducerClientOptions{NewWebSocketConn: b.dial})
}

func (b *broker) bubbleConsumer(group string) *azeventhubs.ConsumerClient {
	return b.consumer(b.root(), group, &azeventhubs.ConsumerClientOptions{NewWebSocketConn: b.dial})
}

// TestADay: clients renew their tokens for a day, each on its one connection, and every hour's event comes through.
func TestADay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		counter := &fault{}
		b.e.Hall.SetRules(counter)
		p := b.bubbleProducer()
		reader := b.partition(b.bubbleConsumer("$Default"), "0", azeventhubs.PartitionClientOptions{})
		start := time.Now()
		for hour := range 24 {
			b.send(p, to("0"), fmt.Sprint("hour", hour))
			b.bodies(reader, fmt.Sprint("hour", hour))
			time.Sleep(time.Hour)
		}
		if d := time.Since(start); d < 24*time.Hour || d > 25*time.Hour {
			t.Errorf("the day took %v", d)
		}
		if s := b.e.Connections(); s.Accepted != 2 || s.Open != 2 {
			t.Errorf("connections: %+v, want the same two all day", s)
		}
		if n := counter.count(hub.Auth); n < 2*24*4 { // a link renews every quarter of an hour
			t.Errorf("%d tokens were put, want %d and more", n, 2*24*4)
		}
		if n := counter.count(hub.Attach); n != 2 {
			t.Errorf("%d links were attached, want 2", n)
		}
	})
}

// TestTokenEnds: a ready-made token cannot be renewed; when it ends, so do the links, and the client is told why.
func TestTokenEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		token := auth.SignSAS("sb://broker.local/"+hubName, "root", rootKey, time.Now().Add(time.Hour))
		cs := "Endpoint=sb://broker.local;SharedAccessSignature=" + token + ";UseDevelopmentEmulator=true;"
		p := b.producer(cs, &azeventhubs.ProducerClientOptions{NewWebSocketConn: b.dial})
		b.send(p, to("0"), "a")
		reader := b.partition(b.consumer(cs, "$Default", &azeventhubs.ConsumerClientOptions{NewWebSocketConn: b.dial}), "0",
			azeventhubs.PartitionClientOptions{})
		b.bodies(reader, "a")
		time.Sleep(time.Hour - time.Second)
		b.send(p, to("0"), "b")
		b.bodies(reader, "b")
		time.Sleep(time.Second)
		_, err := reader.ReceiveEvents(context.Background(), 1, nil)
		wantError(t, "reader", err, azeventhubs.ErrorCodeUnauthorizedAccess, "ExpiredToken")
		batch, err := p.NewEventDataBatch(context.Background(), to("0"))
		if err == nil {
			b.must(batch.AddEventData(&azeventhubs.EventData{Body: []byte("late")}, nil))
			err = p.SendEventDataBatch(context.Background(), batch, nil)
		}
		wantError(t, "producer", err, azeventhubs.ErrorCodeUnauthorizedAccess, "ExpiredToken")
	})
}

// TestThrottle: a client that is told to wait waits, and the event arrives once.
func TestThrottle(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		p := b.bubbleProducer()
		b.e.Hall.SetRules(&fault{op: hub.Send, v: hub.Verdict{Action: hub.Refuse, Err: &hub.Error{Kind: hub.Busy, Text: "Slow down."}}, times: 3})
		start := time.Now()
		b.send(p, to("0"), "a")
		if waited := time.Since(start); waited < 10*time.Second { // about 4, 8 and 16 seconds
			t.Errorf("three refusals held the client for %v only", waited)
		}
		if n := b.stored(); n != 1 {
			t.Errorf("%d events are stored, want 1", n)
		}
	})
}

// TestAckLost: an event that is stored and whose ack never arrives is sent again.
func TestAckLost(t *testing.T) {
	t.Parallel()
	for _, action := range []hub.Action{hub.Drop, hub.CloseConn} {
		bubble(t, func(t *testing.T, b *broker) {
			p := b.bubbleProducer()
			b.e.Hall.SetRules(&fault{op: hub.Stored, v: hub.Verdict{Action: action}, times: 1})
			b.send(p, to("0"), "a")
			if n := b.stored(); n != 2 {
				t.Errorf("%d events are stored, want the same one twice", n)
			}
		})
	}
}

// TestCutInBubble: recovery with the client's own patience, in no time.
func TestCutInBubble(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		p := b.bubbleProducer()
		reader := b.partition(b.bubbleConsumer("$Default"), "0", azeventhubs.PartitionClientOptions{})
		for _, body := range []string{"a", "b", "c"} {
			b.send(p, to("0"), body)
			b.bodies(reader, body)
			b.cut()
		}
		if n := b.stored(); n != 3 {
			t.Errorf("%d events are stored, want 3", n)
		}
	})
}

// TestSilentServer: a client that hears nothing for a minute leaves; heartbeats keep it.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		p := b.bubbleProducer()
		b.send(p, nil, "a")
		time.Sleep(14 * time.Minute) // before the first renewal
		b.send(p, nil, "b")
		if s := b.e.Connections(); s.Accepted != 1 {
			t.Errorf("%d connections were made, want 1", s.Accepted)
		}
	})
}

// TestNothingToReceive: a reader that waits in vain gets its context's error, and goes on later.
func TestNothingToReceive(t *testing.T) {
	t.Parallel()
	for _, prefetch := range []int32{0, -1} {
		bubble(t, func(t *testing.T, b *broker) {
			p := b.bubbleProducer()
			reader := b.partition(b.bubbleConsumer("$Default"), "3", azeventhubs.PartitionClientOptions{Prefetch: prefetch,
				StartPosition: azeventhubs.StartPosition{Latest: ptr(true)}})
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if _, err := reader.ReceiveEvents(ctx, 10, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("prefetch %d: %v, want the deadline", prefetch, err)
			}
			b.send(p, to("3"), "a", "b")
			ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			events, err := reader.ReceiveEvents(ctx, 10, nil) // fewer than asked for
			if err != nil || len(events) != 2 || string(events[0].Body) != "a" {
				t.Errorf("prefetch %d: %d events, %v; want 2", prefetch, len(events), err)
			}
		})
	}
}

// TestDeliveryAtOnce: an event reaches a waiting reader in no time at all.
func TestDeliveryAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *broker) {
		p := b.bubbleProducer()
		b.send(p, to("0"), "warm")
		reader := b.partition(b.bubbleConsumer("$Default"), "0", azeventhubs.PartitionClientOptions{})
		b.bodies(reader, "warm")
		arrived := make(chan time.Time, 1)
		go func() {
			_, err := reader.ReceiveEvents(context.Background(), 1, nil)
			if err != nil {
				t.Error(err)
			}
			arrived <- time.Now()
		}()
		time.Sleep(time.Minute)
		sent := time.Now()
		b.send(p, to("0"), "a")
		if at := <-arrived; !at.Equal(sent) {
			t.Errorf("it took %v", at.Sub(sent))
		}
	})
}
