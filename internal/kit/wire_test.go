package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/engine"
)

// These tests have an official client feel what each fault does, in a bubble and with the client's own patience.

// wire is a kit on a broker, for clients in this process.
type wire struct {
	t   *testing.T
	e   *engine.Engine
	kit *Kit
}

// bubble runs f with a broker. It ends after the clients' last timers: the SDK leaves some behind.
func bubble(t *testing.T, f func(*wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Hour)
		})
		f(&wire{t, e, New(Options{Hall: e.Hall, Policies: e.Policies, Fence: e.Fence})})
	})
}

func (w *wire) space(name string) *Space {
	w.t.Helper()
	s, err := w.kit.Create(SpaceSpec{Name: name, Hubs: []HubSpec{{Name: "orders", Partitions: 1}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *wire) dial(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error) {
	up, down := newStream(), newStream()
	w.e.ServeConn(&streamConn{in: up, out: down})
	return &streamConn{in: down, out: up}, nil
}

func (w *wire) connectionString(s *Space) string {
	return fmt.Sprintf("Endpoint=sb://broker.local;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true;", s.Name(), s.Key())
}

// The clients' patience, in the bubble's time.
var retries = azeventhubs.RetryOptions{MaxRetries: 3}

func (w *wire) producer(s *Space) *azeventhubs.ProducerClient {
	p, err := azeventhubs.NewProducerClientFromConnectionString(w.connectionString(s), "orders",
		&azeventhubs.ProducerClientOptions{NewWebSocketConn: w.dial, RetryOptions: retries})
	if err != nil {
		w.t.Fatal(err)
	}
	w.closing(p)
	return p
}

func (w *wire) consumer(s *Space) *azeventhubs.ConsumerClient {
	c, err := azeventhubs.NewConsumerClientFromConnectionString(w.connectionString(s), "orders", "$Default",
		&azeventhubs.ConsumerClientOptions{NewWebSocketConn: w.dial, RetryOptions: retries})
	if err != nil {
		w.t.Fatal(err)
	}
	w.closing(c)
	return c
}

func (w *wire) closing(c interface{ Close(context.Context) error }) {
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c.Close(ctx) // a client that a fault has cut may say so
	})
}

// send publishes one event with an id.
func (w *wire) send(ctx context.Context, p *azeventhubs.ProducerClient) error {
	batch, err := p.NewEventDataBatch(ctx, nil)
	if err != nil {
		return err
	}
	id := "id1"
	if err := batch.AddEventData(&azeventhubs.EventData{Body: []byte("sent"), MessageID: &id}, nil); err != nil {
		return err
	}
	return p.SendEventDataBatch(ctx, batch, nil)
}

// receive takes n events from the beginning.
func (w *wire) receive(ctx context.Context, c *azeventhubs.ConsumerClient, n int) (string, error) {
	earliest, level := true, int64(1)
	p, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: &earliest}, OwnerLevel: &level})
	if err != nil {
		return "", err
	}
	w.closing(p)
	var got []string
	for len(got) < n {
		events, err := p.ReceiveEvents(ctx, 1, nil)
		if err != nil {
			return strings.Join(got, " "), err
		}
		for _, e := range events {
			got = append(got, string(e.Body))
		}
	}
	return strings.Join(got, " "), nil
}

// TestFaultsOnTheWire: each fault has its effect. A producer sends one event, a reader reads three that are there, or somebody asks for
// properties.
func TestFaultsOnTheWire(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, c := range []struct {
		on   On
		do   Do
		want string // what the client gets, or a part of its error
		wait [2]time.Duration
		hits int
		kept int // events stored
	}{
		{On{Op: Connect, Times: 2}, Throttle(), "ok", [2]time.Duration{4 * second, 30 * second}, 2, 1},
		{On{Op: Connect, Times: 2}, Drop(), "ok", [2]time.Duration{0, 30 * second}, 2, 1},
		{On{Op: Connect}, CloseConn(""), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Connect, Times: -1}, Reject("amqp:unauthorized-access", "Not you."), "Not you.", [2]time.Duration{0, 60 * second}, 1, 0},
		{On{Op: Connect, Times: -1}, ExpireToken(), "ExpiredToken", [2]time.Duration{0, 60 * second}, 1, 0},
		{On{Op: Connect}, Delay(2*second, 0), "ok", [2]time.Duration{2 * second, 2 * second}, 1, 1},
		{On{Op: Connect}, Blackhole(), "deadline exceeded", [2]time.Duration{120 * second, 120 * second}, 1, 0},
		{On{Op: Auth}, Throttle(), "ok", [2]time.Duration{second, 30 * second}, 1, 1},
		{On{Op: Auth}, Reject("amqp:unauthorized-access", "Not you."), "Not you.", [2]time.Duration{0, 0}, 1, 0},
		{On{Op: Auth}, ExpireToken(), "ExpiredToken", [2]time.Duration{0, 0}, 1, 0},
		{On{Op: Auth}, Drop(), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Auth}, CloseConn("amqp:connection:forced"), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Auth}, Delay(2*second, 0), "ok", [2]time.Duration{2 * second, 2 * second}, 1, 1},
		{On{Op: Auth}, Blackhole(), "deadline exceeded", [2]time.Duration{120 * second, 120 * second}, 1, 0},
		{On{Op: Attach}, Throttle(), "ok", [2]time.Duration{second, 30 * second}, 1, 1},
		{On{Op: Attach}, Reject("com.microsoft:entity-disabled", "Off."), "Off.", [2]time.Duration{0, 60 * second}, 1, 0},
		{On{Op: Attach}, Detach("amqp:link:detach-forced", "Again."), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Attach}, Delay(2*second, 0), "ok", [2]time.Duration{2 * second, 2 * second}, 1, 1},
		{On{Op: Attach}, Blackhole(), "deadline exceeded", [2]time.Duration{120 * second, 120 * second}, 1, 0},
		{On{Op: Attach}, Drop(), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Send, Times: 3}, Throttle(), "ok", [2]time.Duration{12 * second, 60 * second}, 3, 1},
		{On{Op: Send}, Reject("amqp:link:message-size-exceeded", "Too much."), "Too much.", [2]time.Duration{0, 0}, 1, 0},
		{On{Op: Send}, Detach("amqp:link:detach-forced", "Again."), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Send}, CloseConn(""), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Send}, Drop(), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Send}, AckLost(), "ok", [2]time.Duration{0, 30 * second}, 1, 2},
		{On{Op: Send}, Blackhole(), "deadline exceeded", [2]time.Duration{120 * second, 120 * second}, 1, 0},
		{On{Op: Send}, Delay(2*second, 0), "ok", [2]time.Duration{2 * second, 2 * second}, 1, 1},
		{On{Op: Send}, ExpireToken(), "ok", [2]time.Duration{0, 30 * second}, 1, 1},
		{On{Op: Attach, Group: "$Default", Times: -1}, StealEpoch(9), "higher epoch '9' already exists", [2]time.Duration{0, 60 * second}, 1, 3},
		{On{Op: Attach, Group: "$Default", Partition: "0"}, Throttle(), "a b c", [2]time.Duration{second, 30 * second}, 1, 3},
		{On{Op: Deliver, After: 1}, StealEpoch(9), "higher epoch of '9' is created hence current receiver", [2]time.Duration{0, 0}, 1, 3},
		{On{Op: Deliver, After: 2}, Redeliver(2), "a b a", [2]time.Duration{0, 0}, 1, 3},
		{On{Op: Deliver, After: 1}, Throttle(), "a b c", [2]time.Duration{0, 30 * second}, 1, 3},
		{On{Op: Deliver, After: 1}, Detach("amqp:link:detach-forced", "Again."), "a b c", [2]time.Duration{0, 30 * second}, 1, 3},
		{On{Op: Deliver, After: 1}, CloseConn(""), "a b c", [2]time.Duration{0, 30 * second}, 1, 3},
		{On{Op: Deliver, After: 1}, Drop(), "a b c", [2]time.Duration{0, 30 * second}, 1, 3},
		{On{Op: Deliver, After: 1}, ExpireToken(), "a b c", [2]time.Duration{0, 30 * second}, 1, 3},
		{On{Op: Deliver, Times: 2}, Delay(2*second, 0), "a b c", [2]time.Duration{4 * second, 4 * second}, 2, 3},
		{On{Op: Deliver, After: 1}, Blackhole(), "deadline exceeded", [2]time.Duration{120 * second, 120 * second}, 1, 3},
		{On{Op: Manage}, Throttle(), "1 partitions", [2]time.Duration{0, 30 * second}, 1, 0},
		{On{Op: Manage}, Reject("amqp:not-found", "Not here."), "Not here.", [2]time.Duration{0, 60 * second}, 1, 0},
		{On{Op: Manage}, Drop(), "1 partitions", [2]time.Duration{0, 30 * second}, 1, 0},
		{On{Op: Manage, Hub: "orders"}, Delay(2*second, 0), "1 partitions", [2]time.Duration{2 * second, 2 * second}, 1, 0},
	} {
		t.Run(fmt.Sprintf("%s %s at %d", c.on.Op, c.do, c.on.After), func(t *testing.T) {
			bubble(t, func(w *wire) {
				s := w.space("s1")
				play := w.send1
				switch {
				case c.on.Op == Deliver || c.on.Group != "":
					if _, err := s.Publish(context.Background(), "orders", text("a", ""), text("b", ""), text("c", "")); err != nil {
						t.Fatal(err)
					}
					play = w.receive3
				case c.on.Op == Manage:
					play = w.ask
				}
				f, err := s.Fault(c.on, c.do)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				start := time.Now()
				got, err := play(ctx, s)
				waited := time.Since(start)
				if err != nil {
					got = err.Error()
				}
				if err == nil && got != c.want || !strings.Contains(got, c.want) {
					t.Errorf("the client gets %q, want %q", got, c.want)
				}
				if waited < c.wait[0] || waited > c.wait[1] {
					t.Errorf("it took %v, want %v to %v", waited, c.wait[0], c.wait[1])
				}
				if f.Hits() != c.hits && !(c.on.Times < 0 && f.Hits() > c.hits) {
					t.Errorf("%d hits, want %d", f.Hits(), c.hits)
				}
				stored, _, err := s.Events("orders", Mark{}, 10)
				if len(stored) != c.kept || err != nil {
					t.Errorf("%d events are stored, want %d; %v", len(stored), c.kept, err)
				}
				if c.do == AckLost() && (stored[0].ID != "id1" || stored[1].ID != "id1") {
					t.Errorf("the copies have the ids %q and %q", stored[0].ID, stored[1].ID)
				}
				f.Remove()
			})
		})
	}
}

func (w *wire) send1(ctx context.Context, s *Space) (string, error) {
	return "ok", w.send(ctx, w.producer(s))
}

func (w *wire) receive3(ctx context.Context, s *Space) (string, error) {
	return w.receive(ctx, w.consumer(s), 3)
}

func (w *wire) ask(ctx context.Context, s *Space) (string, error) {
	p, err := w.producer(s).GetEventHubProperties(ctx, nil)
	return fmt.Sprint(len(p.PartitionIDs), " partitions"), err
}

// TestStolenCode: the code by which the SDK's users know a stolen partition. The thief does not stay.
func TestStolenCode(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		if _, err := s.Publish(context.Background(), "orders", text("a", "")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Fault(On{Op: Deliver}, StealEpoch(9)); err != nil {
			t.Fatal(err)
		}
		_, err := w.receive(context.Background(), w.consumer(s), 1)
		if e, ok := errors.AsType[*azeventhubs.Error](err); !ok || e.Code != azeventhubs.ErrorCodeOwnershipLost {
			t.Errorf("stolen: %v", err)
		}
		if got, err := w.receive(context.Background(), w.consumer(s), 1); got != "a" || err != nil {
			t.Errorf("after that: %q, %v", got, err)
		}
	})
}

// TestSpacesOnOneBroker: clients of two spaces, the one with all the faults, and the other with none of them.
func TestSpacesOnOneBroker(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s1, s2 := w.space("s1"), w.space("s2")
		s1.Trace()
		for _, do := range []Do{Drop(), Throttle(), AckLost(), Redeliver(1)} {
			if _, err := s1.Fault(On{Times: -1}, do); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := w.send(ctx, w.producer(s2)); err != nil {
			t.Errorf("send: %v", err)
		}
		if got, err := w.receive(ctx, w.consumer(s2), 1); got != "sent" || err != nil {
			t.Errorf("receive: %q, %v", got, err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the space without faults waited %v", d)
		}
		if err := w.send(ctx, w.producer(s1)); err == nil {
			t.Error("the space with the faults does not feel them")
		}
		if hits := s1.Faults()[0].Hits(); hits == 0 {
			t.Error("no hits")
		}
		for _, e := range s1.Timeline() {
			if e.Op == "send" || e.Op == "deliver" {
				t.Errorf("the timeline has another space's %s", e.String())
			}
		}
	})
}

// TestWireTimeline: what a client does is in the timeline.
func TestWireTimeline(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		s.Trace()
		if err := w.send(context.Background(), w.producer(s)); err != nil {
			t.Fatal(err)
		}
		var ops []string
		for _, e := range s.Timeline() {
			ops = append(ops, e.Op)
		}
		if got := strings.Join(ops, " "); got != "connect auth attach send" {
			t.Errorf("timeline: %s", got)
		}
		if got := s.Verify(); len(got) != 1 || !strings.Contains(got[0], "of orders is still open") {
			t.Errorf("left behind: %q", got)
		}
		if err := s.Quiesce(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestWaitForAReader: what is sent after WaitReaders is not missed by a reader that begins at the end.
func TestWaitForAReader(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		latest := true
		p, err := w.consumer(s).NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Latest: &latest}})
		if err != nil {
			t.Fatal(err)
		}
		w.closing(p)
		got := make(chan int, 1)
		go func() {
			events, err := p.ReceiveEvents(context.Background(), 1, nil)
			if err != nil {
				t.Error(err)
			}
			got <- len(events)
		}()
		if n, err := s.WaitReaders(context.Background(), "orders", "$Default", 1); n != 1 || err != nil {
			t.Errorf("%d readers, %v", n, err)
		}
		if err := w.send(context.Background(), w.producer(s)); err != nil {
			t.Error(err)
		}
		if n := <-got; n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// stream is one way of a connection in memory. It takes any number of bytes, so that two ends that write before they read do not block.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	buf     []byte
	put     int64 // bytes written so far
	closed  bool
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// streamConn has no deadlines: every test ends by closing.
type streamConn struct{ in, out *stream }

func (c *streamConn) Read(b []byte) (int, error) {
	s := c.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 {
		if s.closed {
			return 0, io.EOF
		}
		s.changed.Wait()
	}
	n := copy(b, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

func (c *streamConn) Write(b []byte) (int, error) {
	s := c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	s.buf = append(s.buf, b...)
	s.put += int64(len(b))
	s.changed.Broadcast()
	return len(b), nil
}

// Received counts what has come in, read or not.
func (c *streamConn) Received() int64 {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.put
}

func (c *streamConn) Close() error {
	for _, s := range []*stream{c.in, c.out} {
		s.mu.Lock()
		s.closed = true
		s.changed.Broadcast()
		s.mu.Unlock()
	}
	return nil
}

func (c *streamConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *streamConn) RemoteAddr() net.Addr             { return c.LocalAddr() }
func (c *streamConn) SetDeadline(time.Time) error      { return nil }
func (c *streamConn) SetReadDeadline(time.Time) error  { return nil }
func (c *streamConn) SetWriteDeadline(time.Time) error { return nil }
