package azclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

// scene is a broker with the hub orders and the SDK's clients, in a bubble.
type scene struct {
	t        *testing.T
	b        *evhubtest.Broker
	rec      *evhubtest.Recorder
	producer *azeventhubs.ProducerClient
	consumer *azeventhubs.ConsumerClient
}

func play(t *testing.T, f func(*scene)) {
	t.Helper()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		f(&scene{t: t, b: b, rec: b.Record(t, "orders"),
			producer: azclient.Producer(t, b, "orders"), consumer: azclient.Consumer(t, b, "orders", "$Default")})
	}, evhubtest.Hub("orders", 2), evhubtest.Seed(0))
}

// send sends one event to partition 0.
func (s *scene) send(body string) error { return s.sendWithin(context.Background(), body) }

func (s *scene) sendWithin(ctx context.Context, body string) error {
	zero := "0"
	batch, err := s.producer.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionID: &zero})
	if err != nil {
		return err
	}
	if err := batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil); err != nil {
		return err
	}
	return s.producer.SendEventDataBatch(ctx, batch, nil)
}

func (s *scene) mustSend(bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		if err := s.send(body); err != nil {
			s.t.Fatalf("sending %q: %v", body, err)
		}
	}
}

// reader reads partition 0 from its beginning.
func (s *scene) reader(o azeventhubs.PartitionClientOptions) *azeventhubs.PartitionClient {
	s.t.Helper()
	earliest := true
	o.StartPosition.Earliest = &earliest
	reader, err := s.consumer.NewPartitionClient("0", &o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := reader.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return reader
}

func receive(r *azeventhubs.PartitionClient, n int, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var got []string
	for len(got) < n {
		events, err := r.ReceiveEvents(ctx, n-len(got), nil)
		for _, e := range events {
			got = append(got, string(e.Body))
		}
		if err != nil {
			return strings.Join(got, " "), err
		}
	}
	return strings.Join(got, " "), nil
}

func (s *scene) wantReceived(r *azeventhubs.PartitionClient, want string) {
	s.t.Helper()
	if got, err := receive(r, len(strings.Fields(want)), time.Hour); err != nil || got != want {
		s.t.Errorf("received %q, %v; want %q", got, err, want)
	}
}

func (s *scene) wantStored(n int) {
	s.t.Helper()
	s.rec.WantExactly(s.t, n)
}

// wantElapsed fails unless f takes about so much fake time.
func (s *scene) wantElapsed(least, most time.Duration, f func()) {
	s.t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d < least || d > most {
		s.t.Errorf("it took %v, want %v to %v", d, least, most)
	}
}

func (s *scene) connections() (n int) {
	for _, e := range s.b.Timeline() {
		if e.Op == "connect" {
			n++
		}
	}
	return n
}

func code(err error) azeventhubs.ErrorCode {
	if e, ok := errors.AsType[*azeventhubs.Error](err); ok {
		return e.Code
	}
	return ""
}

func ptr[T any](v T) *T { return &v }

// TestEffects has each deed of a fault felt by the SDK: what it does with it is the proof that the fault is what it says.
func TestEffects(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		play func(*scene)
	}{
		{"throttled sends are tried again after a while", func(s *scene) {
			f := s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send, Times: 3}, evhubtest.Throttle())
			s.wantElapsed(12*time.Second, 3*time.Minute, func() { s.mustSend("a") })
			s.wantStored(1)
			if f.Hits() != 3 {
				s.t.Errorf("%d refusals, want 3", f.Hits())
			}
		}},
		{"a throttled question about properties is asked again", func(s *scene) {
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Manage}, evhubtest.Throttle())
			s.wantElapsed(time.Second, time.Minute, func() {
				if p, err := s.consumer.GetEventHubProperties(context.Background(), nil); err != nil || len(p.PartitionIDs) != 2 {
					s.t.Errorf("properties: %v, %v", p, err)
				}
			})
		}},
		{"a rejected send fails with the condition", func(s *scene) {
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Reject("amqp:not-allowed", "not on Sundays"))
			if err := s.send("a"); err == nil || !strings.Contains(err.Error(), "amqp:not-allowed") || !strings.Contains(err.Error(), "not on Sundays") {
				s.t.Errorf("the SDK says %v", err)
			}
			s.wantStored(0)
		}},
		{"a rejected link fails with the condition", func(s *scene) {
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Attach, Group: "$Default"}, evhubtest.Reject("amqp:unauthorized-access", "no reading today"))
			_, err := receive(s.reader(azeventhubs.PartitionClientOptions{}), 1, time.Hour)
			if code(err) != azeventhubs.ErrorCodeUnauthorizedAccess || !strings.Contains(err.Error(), "no reading today") {
				s.t.Errorf("the SDK says %v", err)
			}
		}},
		{"a detached sender attaches again on its connection", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Detach("amqp:link:detach-forced", "idle"))
			s.mustSend("b")
			s.wantStored(2)
			if n := s.connections(); n != 1 {
				s.t.Errorf("%d connections, want the same one", n)
			}
		}},
		{"a detached reader goes on where it was", func(s *scene) {
			s.mustSend("a", "b")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Deliver, After: 1}, evhubtest.Detach("amqp:link:detach-forced", "idle"))
			s.wantReceived(s.reader(azeventhubs.PartitionClientOptions{}), "a b")
		}},
		{"a closed connection is made again", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.CloseConn(""))
			s.mustSend("b")
			s.wantStored(2)
			if n := s.connections(); n != 2 {
				s.t.Errorf("%d connections, want 2", n)
			}
		}},
		{"a socket that drops before the send loses nothing", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Drop())
			s.mustSend("b")
			s.wantStored(2)
		}},
		{"a socket that drops at once is dialed again", func(s *scene) {
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Connect, Times: 2}, evhubtest.Drop())
			s.mustSend("a")
			s.wantStored(1)
		}},
		{"a lost acknowledgement stores the event twice", func(s *scene) {
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.AckLost())
			s.mustSend("a")
			s.wantStored(2)
		}},
		{"a send into a black hole ends with its deadline", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Blackhole())
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			s.wantElapsed(30*time.Second, 31*time.Second, func() {
				if err := s.sendWithin(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
					s.t.Errorf("the SDK says %v, want the deadline", err)
				}
			})
			s.wantStored(1)
		}},
		{"a reader at a black hole gets nothing", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Deliver}, evhubtest.Blackhole())
			if got, err := receive(s.reader(azeventhubs.PartitionClientOptions{}), 1, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
				s.t.Errorf("received %q, %v; want the deadline", got, err)
			}
		}},
		{"a delayed send takes that long", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Delay(20*time.Second, 0))
			s.wantElapsed(20*time.Second, 20*time.Second, func() { s.mustSend("b") })
			s.wantStored(2)
		}},
		{"a delayed event comes that late, and the next one behind it", func(s *scene) {
			s.mustSend("a", "b")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Deliver}, evhubtest.Delay(10*time.Second, 10*time.Second))
			s.wantElapsed(10*time.Second, 20*time.Second, func() { s.wantReceived(s.reader(azeventhubs.PartitionClientOptions{}), "a b") })
		}},
		{"a token that ran out is put again", func(s *scene) {
			s.mustSend("a")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send}, evhubtest.ExpireToken())
			s.mustSend("b")
			s.wantStored(2)
		}},
		{"a stolen partition is lost", func(s *scene) {
			s.mustSend("a", "b")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Deliver, After: 1}, evhubtest.StealEpoch(9))
			reader := s.reader(azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(1)), Prefetch: -1})
			s.wantReceived(reader, "a")
			if _, err := receive(reader, 1, time.Hour); code(err) != azeventhubs.ErrorCodeOwnershipLost {
				s.t.Errorf("the SDK says %v, want %s", err, azeventhubs.ErrorCodeOwnershipLost)
			}
		}},
		{"a partition that somebody owns is asked for again, and then refused", func(s *scene) {
			on := evhubtest.On{Op: evhubtest.Attach, Partition: "0", Group: "$Default", Times: -1}
			f := s.b.Fault(s.t, on, evhubtest.StealEpoch(9))
			reader := s.reader(azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(1))})
			if _, err := receive(reader, 1, time.Hour); err == nil || !strings.Contains(err.Error(), "amqp:link:stolen") || f.Hits() != 4 {
				s.t.Errorf("the SDK says %v after %d refusals", err, f.Hits())
			}
		}},
		{"redelivered events come again", func(s *scene) {
			s.mustSend("a", "b", "c")
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Deliver, After: 2}, evhubtest.Redeliver(2))
			s.wantReceived(s.reader(azeventhubs.PartitionClientOptions{}), "a b a b c")
		}},
		{"a client is met by its name", func(s *scene) {
			s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send, Client: "nobody*"}, evhubtest.Drop()).Optional()
			s.mustSend("a")
			if n := s.connections(); n != 1 {
				s.t.Errorf("%d connections, want 1", n)
			}
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			play(t, row.play)
		})
	}
}

// TestFaultWait: a test can wait for a fault, and a fault can be taken back.
func TestFaultWait(t *testing.T) {
	t.Parallel()
	play(t, func(s *scene) {
		f := s.b.Fault(s.t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Throttle())
		sent := make(chan error, 1)
		go func() { sent <- s.send("a") }()
		if err := f.Wait(s.t.Context(), 2); err != nil {
			s.t.Fatal(err)
		}
		f.Remove()
		if err := <-sent; err != nil {
			s.t.Error(err)
		}
		s.wantStored(1)
		if err := f.Wait(s.t.Context(), 100); err == nil {
			s.t.Error("a fault that was removed can still fire a hundred times")
		}
	})
}

// TestADay: a client that renews its tokens for a day keeps its connection.
func TestADay(t *testing.T) {
	t.Parallel()
	play(t, func(s *scene) {
		reader := s.reader(azeventhubs.PartitionClientOptions{})
		for hour := range 24 {
			s.mustSend(fmt.Sprint(hour))
			s.wantReceived(reader, fmt.Sprint(hour))
			time.Sleep(time.Hour)
		}
		s.wantStored(24) // and all are still there
		if n := s.connections(); n != 2 {
			s.t.Errorf("%d connections, want one of each client", n)
		}
	})
}

// TestForgottenRenewal: a consumer that asked for properties leaves a goroutine behind when it closes; the bubble ends all the same.
func TestForgottenRenewal(t *testing.T) {
	t.Parallel()
	play(t, func(s *scene) {
		if _, err := s.consumer.GetEventHubProperties(context.Background(), nil); err != nil {
			s.t.Error(err)
		}
	})
}
