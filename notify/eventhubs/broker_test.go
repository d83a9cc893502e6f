package eventhubs

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
)

const hubName = "orders"

// fourPartitions is the hub that Notifiers here send to.
var fourPartitions = evhubtest.Hub(hubName, 4)

// broker is the test kit's, with a recorder of all that its hub gets.
type broker struct {
	*evhubtest.Broker
	t   testing.TB
	rec *evhubtest.Recorder

	mu    sync.Mutex // guards conns
	conns []net.Conn // all that were dialed, the clients' ends
}

func newBroker(t testing.TB, kit *evhubtest.Broker) *broker {
	t.Helper()
	return &broker{Broker: kit, t: t, rec: kit.Record(t, hubName)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *broker) must(err error) {
	b.t.Helper()
	must(b.t, err)
}

// dial is the SDK's hook for connections of one's own.
func (b *broker) dial(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
	nc, err := b.Dial(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, nc)
	return nc, nil
}

func (b *broker) dialed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

// cut closes all connections under their clients' hands.
func (b *broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, nc := range b.conns {
		nc.Close()
	}
}

// client is a producer client as our documentation asks for.
func (b *broker) client(connectionString, hub string) *azeventhubs.ProducerClient {
	b.t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(connectionString, hub,
		&azeventhubs.ProducerClientOptions{NewWebSocketConn: b.dial, RetryOptions: azeventhubs.RetryOptions{MaxRetries: -1}})
	b.must(err)
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		p.Close(ctx)
	})
	return p
}

// withBroker runs f in fake time with a broker and a Notifier to its hub, and closes the Notifier.
func withBroker(t *testing.T, o Options, f func(t *testing.T, b *broker, n *Notifier)) {
	t.Helper()
	evhubtest.Bubble(t, func(t *testing.T, kit *evhubtest.Broker) {
		b := newBroker(t, kit)
		n := NewWithOptions(b.client(b.DialString(""), hubName), o)
		f(t, b, n)
		b.must(n.Close(t.Context()))
		if now := n.Stats(); now.Messages != 0 || now.Bytes != 0 || now.Lanes != 0 {
			t.Errorf("left behind: %+v", now)
		}
	}, fourPartitions)
}

// stored gives what is stored once nothing is under way any more.
func (b *broker) stored() []evhubtest.Event {
	b.t.Helper()
	b.must(b.Quiesce(context.Background()))
	return b.rec.All()
}

// counts tells how often each body is stored.
func (b *broker) counts() map[string]int {
	n := map[string]int{}
	for _, e := range b.stored() {
		n[string(e.Body)]++
	}
	return n
}

// attached counts the links that clients have asked for.
func (b *broker) attached() (n int) {
	for _, e := range b.Timeline() {
		if e.Op == evhubtest.Attach.String() {
			n++
		}
	}
	return n
}
