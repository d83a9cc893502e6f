package eventhubs

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

const (
	hubName = "orders"
	rootKey = "root-KEY-3f1c8a"
	sendKey = "send-KEY-90cc4e"
	readKey = "read-KEY-77ab21"
)

// broker is evhub's own, with a hub of four partitions, reached through pipes.
type broker struct {
	t testing.TB
	e *engine.Engine

	mu    sync.Mutex // guards conns
	conns []net.Conn // the broker's ends
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	b := &broker{t: t}
	var err error
	b.e, err = engine.New(engine.Options{Policies: []auth.Policy{
		{Name: "root", Key: rootKey, Rights: auth.Manage, Namespace: "ns"},
		{Name: "send", Key: sendKey, Rights: auth.Send, Namespace: "ns"},
		{Name: "read", Key: readKey, Rights: auth.Listen, Namespace: "ns"},
	}})
	b.must(err)
	t.Cleanup(func() { b.e.Close() })
	namespace, err := b.e.Hall.CreateNamespace("ns")
	b.must(err)
	_, err = namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 4})
	b.must(err)
	return b
}

func (b *broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) hub() *hub.Hub {
	b.t.Helper()
	h, err := b.e.Hall.Namespace("ns").Hub(hubName)
	b.must(err)
	return h
}

// dial is the SDK's hook for connections of one's own.
func (b *broker) dial(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error) {
	client, server := engine.Pipe()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, server)
	b.e.ServeConn(server)
	return client, nil
}

// cut closes all connections under their clients' hands.
func (b *broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, nc := range b.conns {
		nc.Close()
	}
	b.conns = nil
}

// client is a producer client as our documentation asks for.
func (b *broker) client(policy, key, hub string) *azeventhubs.ProducerClient {
	b.t.Helper()
	cs := "Endpoint=sb://broker.local;SharedAccessKeyName=" + policy + ";SharedAccessKey=" + key + ";UseDevelopmentEmulator=true;"
	p, err := azeventhubs.NewProducerClientFromConnectionString(cs, hub,
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
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(3 * time.Hour) }) // the SDK's last timers
		b := newBroker(t)
		n := NewWithOptions(b.client("send", sendKey, hubName), o)
		f(t, b, n)
		b.must(n.Close(t.Context()))
		if now := n.Stats(); now.Messages != 0 || now.Bytes != 0 || now.Lanes != 0 {
			t.Errorf("left behind: %+v", now)
		}
	})
}

// stored gives what a partition holds.
func (b *broker) stored(partition int) (list []event.Plain) {
	b.t.Helper()
	var records eventlog.Records
	defer records.Release()
	log := b.hub().PartitionAt(partition).Log()
	for from := int64(0); from < log.State().Next.Seq; from += int64(len(records.List)) {
		records.Release()
		b.must(log.Read(from, 1<<20, &records))
		for _, r := range records.List {
			s, err := event.Open(r.Data)
			b.must(err)
			p, err := s.Plain()
			b.must(err)
			list = append(list, p)
		}
	}
	return list
}

// counts tells how often each body is stored.
func (b *broker) counts() map[string]int {
	n := map[string]int{}
	for i := range b.hub().PartitionCount() {
		for _, p := range b.stored(i) {
			n[string(bytes.Clone(p.Body))]++
		}
	}
	return n
}

// fault is rules that answer one kind of question with one verdict, so many times.
type fault struct {
	op    hub.Op
	v     hub.Verdict
	after int // so many go well first
	times int // -1: always

	mu    sync.Mutex // guards after, times and asked
	asked map[hub.Op]int
}

func (f *fault) Ask(q *hub.Subject) hub.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[hub.Op]int{}
	}
	f.asked[q.Op]++
	if q.Op != f.op || f.times == 0 {
		return hub.Verdict{}
	}
	if f.after > 0 {
		f.after--
		return hub.Verdict{}
	}
	f.times--
	return f.v
}

func (f *fault) count(op hub.Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[op]
}
