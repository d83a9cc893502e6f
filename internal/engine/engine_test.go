package engine

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

func asError(err error) (*azeventhubs.Error, bool) { return errors.AsType[*azeventhubs.Error](err) }

// brokenStore cannot list what it has.
type brokenStore struct{ eventlog.Store }

var errBroken = errors.New("broken")

func (brokenStore) List() ([]eventlog.HubID, error) { return nil, errBroken }

func TestNewErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"policy without a key", Options{Policies: []auth.Policy{{Name: "p", Namespace: "n", Rights: auth.Send}}}, "has no key"},
		{"negative readers", Options{ReadersMax: -1}, "ReadersMax"},
		{"store that fails", Options{Store: brokenStore{memlog.New(memlog.Options{})}}, "broken"},
	} {
		e, err := New(c.o)
		if e != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.name, e, err, c.want)
		}
	}
}

// TestZeroOptions: an engine without policies lets nobody in.
func TestZeroOptions(t *testing.T) {
	t.Parallel()
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := e.Hall.CreateNamespace(ns)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(ln) }()
	b := &broker{t: t, e: e, addr: ln.Addr().String()}
	_, err = b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: impatient}).GetEventHubProperties(withPatience(t), nil)
	wantError(t, "no policy", err, "", "InvalidSignature")

	if err := e.Policies.Add(policies()[0]); err != nil { // policies come and go while it runs
		t.Fatal(err)
	}
	if _, err = b.producer(b.root(), nil).GetEventHubProperties(withPatience(t), nil); err != nil {
		t.Errorf("with a policy: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-served; !errors.Is(err, amqpserver.ErrClosed) {
		t.Errorf("Serve ends with %v, want ErrClosed", err)
	}
}

// TestCallersStore: a store that was handed in is not closed, and what it holds is there again.
func TestCallersStore(t *testing.T) {
	t.Parallel()
	store := memlog.New(memlog.Options{})
	defer store.Close()
	for i := range 2 {
		e, err := New(Options{Store: store, Policies: policies()})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			namespace, err := e.Hall.CreateNamespace(ns)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 1}); err != nil {
				t.Fatal(err)
			}
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go e.Serve(ln)
		b := &broker{t: t, e: e, addr: ln.Addr().String()}
		p := b.producer(b.root(), nil)
		if i == 0 {
			b.send(p, nil, "first", "second")
		}
		b.bodies(b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), "first second")
		b.close(p)
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// TestOverBudget: an engine's memory has a bound; the oldest events go first, and the hall hears of it.
func TestOverBudget(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{MemoryBytes: 1 << 20})
	p := b.producer(b.root(), nil)
	for range 40 {
		b.send(p, to("0"), strings.Repeat("x", 100_000))
	}
	if first := b.hub().PartitionAt(0).State().First; first == 0 {
		t.Error("4 MB of events fit into 1 MiB")
	}
	var evicted int64
	for _, totals := range b.e.Hall.Totals() {
		evicted += totals.Evicted
	}
	if evicted == 0 {
		t.Error("the hall did not hear of it")
	}
	last := b.hub().PartitionAt(0).State().Last.Seq
	c := b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{})
	for e := b.receive(c, 1)[0]; e.SequenceNumber != last; e = b.receive(c, 1)[0] {
	}
}

// TestStealDelay: a reader that is evicted keeps its link for as long as the options say.
func TestStealDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, Options{StealDelay: 4900 * time.Millisecond})
		p := b.bubbleProducer()
		old := b.partition(b.bubbleConsumer("$Default"), "0", azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(1))})
		b.send(p, to("0"), "a")
		b.bodies(old, "a")
		start := time.Now()
		thief := b.partition(b.bubbleConsumer("$Default"), "0", azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(2))})
		b.bodies(thief, "a")
		_, err := old.ReceiveEvents(withPatience(t), 1, nil)
		wantError(t, "evicted", err, azeventhubs.ErrorCodeOwnershipLost, "")
		if d := time.Since(start); d != 4900*time.Millisecond {
			t.Errorf("evicted after %v", d)
		}
	})
}

// TestFence: what a client has written before is stored behind it, though nobody has acknowledged anything.
func TestFence(t *testing.T) {
	t.Parallel()
	b := newBroker(t, Options{})
	ctx := withPatience(t)
	client, server := Pipe()
	b.e.ServeConn(server)
	conn, err := amqp.NewConn(ctx, client, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("root", rootKey)})
	b.must(err)
	defer conn.Close()
	session, err := conn.NewSession(ctx, nil)
	b.must(err)
	sender, err := session.NewSender(ctx, hubName+"/Partitions/0", &amqp.SenderOptions{SettlementMode: amqp.SenderSettleModeSettled.Ptr()})
	b.must(err)
	for n := range int64(500) {
		b.must(sender.Send(ctx, amqp.NewMessage([]byte("x")), nil)) // returns once it is written
		b.must(b.e.Fence(ctx))
		if next := b.hub().PartitionAt(0).State().Next.Seq; next != n+1 {
			t.Fatalf("%d events are stored of %d", next, n+1)
		}
	}
}

// TestShutdown: clients are asked to go, and those that do not are cut when time is up.
func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("clients go", func(t *testing.T) {
		t.Parallel()
		b := listen(t, Options{})
		p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: impatient})
		b.send(p, nil, "a")
		if s := b.e.Connections(); s.Open != 1 || s.Accepted != 1 {
			t.Errorf("connections: %+v, want one", s)
		}
		if err := b.e.Shutdown(withPatience(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if s := b.e.Connections(); s.Open != 0 {
			t.Errorf("connections after shutdown: %+v", s)
		}
		_, err := p.GetEventHubProperties(withPatience(t), nil)
		wantError(t, "after shutdown", err, "", "")
	})
	t.Run("a client stays", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, Options{})
			client, server := Pipe()
			defer client.Close()
			b.e.ServeConn(server)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := b.e.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("shutdown: %v", err)
			}
			if s := b.e.Connections(); s.Open != 0 || s.Accepted != 1 {
				t.Errorf("connections: %+v", s)
			}
			late, server := Pipe()
			b.e.ServeConn(server)
			if _, err := late.Read(make([]byte, 1)); err == nil {
				t.Error("a connection is served after shutdown")
			}
		})
	})
}
