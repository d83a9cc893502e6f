package kit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
)

// application is the id that the programs of these tests give themselves. The SDK makes up a container id for each connection.
const application = "notifier"

// to makes a producer of an application for a hub, with any connection string.
func (w *wire) to(connectionString, hubName, application string) *azeventhubs.ProducerClient {
	p, err := azeventhubs.NewProducerClientFromConnectionString(connectionString, hubName,
		&azeventhubs.ProducerClientOptions{NewWebSocketConn: w.dial, RetryOptions: retries, ApplicationID: application})
	if err != nil {
		w.t.Fatal(err)
	}
	w.closing(p)
	return p
}

// TestRefusalsOnTheWire: what an official client was refused is in the hints of what did not come, in the protocol's words and with the
// hall's advice.
func TestRefusalsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		play func(context.Context, *wire, *Space) error
		want []string // parts of one hint
	}{
		{"unknown hub", func(ctx context.Context, w *wire, s *Space) error {
			return w.send(ctx, w.to(w.connectionString(s), "order", application))
		}, []string{`client `, ` was refused at hub "order" (amqp:not-found); did you mean 'orders'?`}},
		{"wrong key", func(ctx context.Context, w *wire, s *Space) error {
			wrong := strings.Replace(w.connectionString(s), "SharedAccessKey=", "SharedAccessKey=x", 1)
			return w.send(ctx, w.to(wrong, "orders", application))
		}, []string{`client `, ` was refused at hub "orders" (com.microsoft:auth-failed); wrong key for policy`}},
		{"no right to send", func(ctx context.Context, w *wire, s *Space) error {
			if err := w.e.Policies.Add(auth.Policy{Name: "reader", Key: "k", Rights: auth.Listen, Namespace: s.Name()}); err != nil {
				return err
			}
			return w.send(ctx, w.to("Endpoint=sb://broker.local;SharedAccessKeyName=reader;SharedAccessKey=k;UseDevelopmentEmulator=true;", "orders", application))
		}, []string{`sender `, ` was refused at hub "orders" (amqp:unauthorized-access)`}},
		{"unknown partition", func(ctx context.Context, w *wire, s *Space) error {
			_, err := w.to(w.connectionString(s), "orders", application).GetPartitionProperties(ctx, "9", nil)
			return err
		}, []string{`client `, ` was refused 4 times at hub "orders" (com.microsoft:argument-out-of-range)`}},
		{"unknown group", func(ctx context.Context, w *wire, s *Space) error {
			c, err := azeventhubs.NewConsumerClientFromConnectionString(w.connectionString(s), "orders", "odit",
				&azeventhubs.ConsumerClientOptions{NewWebSocketConn: w.dial, RetryOptions: retries})
			if err != nil {
				return err
			}
			w.closing(c)
			_, err = w.receive(ctx, c, 1)
			return err
		}, []string{`reader `, ` was refused at hub "orders" (amqp:not-found)`}},
		{"reader with a low epoch", func(ctx context.Context, w *wire, s *Space) error {
			h, err := s.Hub("orders")
			if err != nil {
				return err
			}
			l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Reader, Group: "$default", Epoch: 9, HasEpoch: true}, nil)
			if err != nil {
				return err
			}
			w.t.Cleanup(l.Close)
			_, err = w.receive(ctx, w.consumer(s), 1)
			return err
		}, []string{`reader `, ` at hub "orders" (amqp:link:stolen)`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(w *wire) {
				s, other := w.space("s1"), w.space("s2")
				s.Trace()
				other.Trace()
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
				defer cancel()
				if err := row.play(ctx, w, s); err == nil {
					t.Error("nothing was refused")
				}
				gone, cancel := context.WithCancel(ctx)
				cancel()
				_, err := s.Expect(gone, "orders", s.KeepMark(Mark{}), Request{Expect: []Expectation{AtLeast(1)}})
				m := wantMiss(t, "nothing came", err, TooFew)
				if !slices.ContainsFunc(m.Hints, func(hint string) bool {
					return !slices.ContainsFunc(row.want, func(part string) bool { return !strings.Contains(hint, part) })
				}) {
					t.Errorf("hints:\n%s\nwant one with %q", strings.Join(m.Hints, "\n"), row.want)
				}
				for _, e := range other.Timeline() {
					if e.Op != "connect" && row.name != "wrong key" { // nobody knows whose key that was to be
						t.Errorf("another space's timeline has %s", e.String())
					}
				}
			})
		})
	}
}

// TestRefusedByFault: the timeline has what a client was told in the same line as the fault that did it.
func TestRefusedByFault(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		s.Trace()
		for _, on := range []On{{Op: Connect}, {Op: Auth}, {Op: Attach}, {Op: Send}, {Op: Send}} {
			if _, err := s.Fault(on, Throttle()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.send(context.Background(), w.producer(s)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range s.Timeline() {
			line := e.Op
			if e.Fault != "" {
				line += " " + e.Fault
			}
			if e.Condition != "" {
				line += " " + e.Condition
			}
			got = append(got, line)
			if e.Condition != "" && e.Fault == "" {
				t.Errorf("a line of its own: %s", e.String())
			}
		}
		const busy = " com.microsoft:server-busy"
		for _, want := range []string{"connect f1" + busy, "auth f2" + busy, "attach f3" + busy, "send f4" + busy, "send f5" + busy, "send"} {
			if !slices.Contains(got, want) {
				t.Errorf("timeline %q, want %q in it", got, want)
			}
		}
	})
}

// TestFaultOfApplication: an application is met by the id it gives itself, and nobody else is.
func TestFaultOfApplication(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		w.space("s2")
		for _, op := range []Op{Connect, Auth, Attach, Send} {
			client := "noti*"
			if op == Connect {
				client = application // where nobody's space is known yet, a name must be whole
			}
			if _, err := s.Fault(On{Op: op, Client: client}, Delay(time.Second, 0)); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]time.Duration{"till": 0, "not": 0, application: 4 * time.Second} {
			start := time.Now()
			if err := w.send(context.Background(), w.to(w.connectionString(s), "orders", name)); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d != want {
				t.Errorf("%s waits %v, want %v", name, d, want)
			}
		}
		for _, l := range s.Links() {
			if !strings.Contains(l.Agent, " azsdk-go-azeventhubs/") {
				t.Errorf("link of %q", l.Agent)
			}
		}
	})
}

// TestAuthOfSpace: of several spaces on one broker each has its own faults on credentials, without a client's name.
func TestAuthOfSpace(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s1, s2 := w.space("s1"), w.space("s2")
		s1.Trace()
		s2.Trace()
		f, err := s1.Fault(On{Op: Auth}, Reject("amqp:unauthorized-access", "Not you."))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s1.Fault(On{Op: Manage, Times: -1}, Reject("x:y", "Not that.")); err != nil {
			t.Fatal(err)
		}
		if err := w.send(context.Background(), w.producer(s2)); err != nil || f.Hits() != 0 {
			t.Errorf("the space without faults: %v, %d hits", err, f.Hits())
		}
		if got, err := w.ask(context.Background(), s2); got != "1 partitions" || err != nil {
			t.Errorf("the space without faults is told %s, %v", got, err)
		}
		if err := w.send(context.Background(), w.producer(s1)); err == nil || !strings.Contains(err.Error(), "Not you.") {
			t.Errorf("the space with the fault: %v", err)
		}
		for _, e := range s1.Timeline() {
			if e.Op == "send" || e.Op == "manage" {
				t.Errorf("the timeline has another space's %s", e.String())
			}
		}
		if n := len(s2.Timeline()); n < 4 {
			t.Errorf("%d entries of the other space", n)
		}
	})
}

// TestQuiesceWaitsForDelays: what a fault delays is under way until it is stored, in the order it was sent.
func TestQuiesceWaitsForDelays(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		p := w.producer(s)
		ctx := context.Background()
		if err := w.send(ctx, p); err != nil { // the link is there
			t.Fatal(err)
		}
		m := s.KeepMark(s.Mark())
		if _, err := s.Fault(On{Op: Send, Times: 5}, Delay(time.Second, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 5)
		for range 5 {
			go func() { sent <- w.send(ctx, p) }()
			synctest.Wait()
		}
		start := time.Now()
		_, err := s.Expect(ctx, "orders", m, Request{Expect: []Expectation{None()}})
		miss, ok := errors.AsType[*Miss](err)
		if !ok || miss.Reason != TooMany || time.Since(start) < time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := s.Quiesce(ctx); err != nil {
			t.Error(err)
		}
		if stored, _, err := s.Events("orders", m, 10); len(stored) != 5 || err != nil {
			t.Errorf("%d events behind Quiesce, %v", len(stored), err)
		}
		for range 5 {
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestQuiesceFence: bytes that have come in and were not looked at are under way.
func TestQuiesceFence(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *wire) {
		s := w.space("s1")
		hold, err := s.Fault(On{Op: Connect}, Delay(time.Minute, 0))
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() { sent <- w.send(context.Background(), w.producer(s)) }()
		if err := hold.Wait(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		for _, want := range []error{context.DeadlineExceeded, nil} {
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			if err := s.Quiesce(ctx); !errors.Is(err, want) {
				t.Errorf("quiesce: %v, want %v", err, want)
			}
			cancel()
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}
