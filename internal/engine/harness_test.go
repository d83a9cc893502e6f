package engine

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
)

const (
	hubName = "orders"
	ns      = "emulatorns1"
)

// The broker's policies. Each key is nowhere else, so that one in a log line is found.
const (
	rootKey   = "root-KEY-3f1c8a"
	listenKey = "listen-KEY-77ab21"
	sendKey   = "send-KEY-90cc4e"
)

func policies() []auth.Policy {
	return []auth.Policy{
		{Name: "root", Key: rootKey, Rights: auth.Manage, Namespace: ns},
		{Name: "listen", Key: listenKey, Rights: auth.Listen, Namespace: ns},
		{Name: "send", Key: sendKey, Rights: auth.Send, Namespace: ns},
	}
}

// broker is an engine with a hub of four partitions and the group cg1.
type broker struct {
	t    testing.TB
	e    *Engine
	addr string // "" without a listener

	mu    sync.Mutex
	log   bytes.Buffer
	conns []net.Conn // the server's ends
}

// newBroker makes one without a listener.
func newBroker(t testing.TB, o Options) *broker {
	t.Helper()
	b := &broker{t: t}
	o.Policies = policies()
	o.Log = slog.New(slog.NewTextHandler(logWriter{b}, nil))
	e, err := New(o)
	b.must(err)
	b.e = e
	namespace, err := e.Hall.CreateNamespace(ns)
	b.must(err)
	_, err = namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 4, Groups: []string{"cg1"}})
	b.must(err)
	t.Cleanup(func() {
		b.must(e.Close())
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, key := range []string{rootKey, listenKey, sendKey, "sig="} {
			if bytes.Contains(b.log.Bytes(), []byte(key)) {
				t.Errorf("the log holds %q:\n%s", key, b.log.String())
			}
		}
	})
	return b
}

// listen makes a broker on a free port of the loopback address.
func listen(t testing.TB, o Options) *broker {
	t.Helper()
	b := newBroker(t, o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	b.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- b.e.Serve(recorder{ln, b}) }()
	t.Cleanup(func() {
		b.must(b.e.Close())
		<-served
	})
	return b
}

type logWriter struct{ b *broker }

func (w logWriter) Write(p []byte) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	return w.b.log.Write(p)
}

// recorder keeps what was accepted, so that a test can cut it.
type recorder struct {
	net.Listener
	b *broker
}

func (r recorder) Accept() (net.Conn, error) {
	nc, err := r.Listener.Accept()
	if err == nil {
		r.b.keep(nc)
	}
	return nc, err
}

func (b *broker) keep(nc net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, nc)
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

func (b *broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) hub() *hub.Hub {
	b.t.Helper()
	h, err := b.e.Hall.Namespace(ns).Hub(hubName)
	b.must(err)
	return h
}

// connectionString is for a policy.
func (b *broker) connectionString(policy, key string) string {
	host := b.addr
	if host == "" {
		host = "broker.local"
	}
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true;", host, policy, key)
}

func (b *broker) root() string { return b.connectionString("root", rootKey) }

// signed is a connection string with a ready-made token.
func (b *broker) signed(policy, key string, end time.Time) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessSignature=%s;UseDevelopmentEmulator=true;", b.addr,
		auth.SignSAS("sb://"+b.addr+"/"+hubName, policy, key, end))
}

// impatient clients try once; eager ones try again at once.
var (
	impatient = azeventhubs.RetryOptions{MaxRetries: -1}
	eager     = azeventhubs.RetryOptions{MaxRetries: 10, RetryDelay: time.Millisecond, MaxRetryDelay: 20 * time.Millisecond}
)

func (b *broker) producer(cs string, o *azeventhubs.ProducerClientOptions) *azeventhubs.ProducerClient {
	b.t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(cs, hubName, o)
	b.must(err)
	b.t.Cleanup(func() { b.close(p) })
	return p
}

func (b *broker) consumer(cs, group string, o *azeventhubs.ConsumerClientOptions) *azeventhubs.ConsumerClient {
	b.t.Helper()
	c, err := azeventhubs.NewConsumerClientFromConnectionString(cs, hubName, group, o)
	b.must(err)
	b.t.Cleanup(func() { b.close(c) })
	return c
}

// partition opens a partition from its beginning, unless o says otherwise.
func (b *broker) partition(c *azeventhubs.ConsumerClient, id string, o azeventhubs.PartitionClientOptions) *azeventhubs.PartitionClient {
	b.t.Helper()
	if o.StartPosition == (azeventhubs.StartPosition{}) {
		o.StartPosition.Earliest = ptr(true)
	}
	p, err := c.NewPartitionClient(id, &o)
	b.must(err)
	b.t.Cleanup(func() { b.close(p) })
	return p
}

func (b *broker) close(c interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		b.t.Errorf("close: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }

// patience is how long a test waits for what must come.
const patience = time.Minute

func withPatience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// send sends events with these bodies as one batch.
func (b *broker) send(p *azeventhubs.ProducerClient, o *azeventhubs.EventDataBatchOptions, bodies ...string) {
	b.t.Helper()
	ctx := withPatience(b.t)
	batch, err := p.NewEventDataBatch(ctx, o)
	b.must(err)
	for _, body := range bodies {
		b.must(batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil))
	}
	b.must(p.SendEventDataBatch(ctx, batch, nil))
}

func to(partition string) *azeventhubs.EventDataBatchOptions {
	return &azeventhubs.EventDataBatchOptions{PartitionID: &partition}
}

// receive takes n events.
func (b *broker) receive(p *azeventhubs.PartitionClient, n int) []*azeventhubs.ReceivedEventData {
	b.t.Helper()
	events, err := p.ReceiveEvents(withPatience(b.t), n, nil)
	b.must(err)
	if len(events) != n {
		b.t.Fatalf("%d events were received, want %d", len(events), n)
	}
	return events
}

// bodies takes as many events as there are words, and compares.
func (b *broker) bodies(p *azeventhubs.PartitionClient, want string) {
	b.t.Helper()
	var got []string
	for _, e := range b.receive(p, len(strings.Fields(want))) {
		got = append(got, string(e.Body))
	}
	if s := strings.Join(got, " "); s != want {
		b.t.Errorf("received %q, want %q", s, want)
	}
}

// stored counts the events of all partitions.
func (b *broker) stored() (n int64) {
	for i := range b.hub().PartitionCount() {
		n += b.hub().PartitionAt(i).State().Next.Seq
	}
	return n
}

// waitReaders waits until so many readers are attached and have credit.
func (b *broker) waitReaders(n int) {
	b.t.Helper()
	changed := make(chan struct{}, 1)
	stop := b.e.Hall.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for late := time.After(patience); ; {
		ready := 0
		for _, l := range b.e.Hall.Links() {
			if l.Kind == hub.Reader && l.Credit > 0 {
				ready++
			}
		}
		if ready == n {
			return
		}
		select {
		case <-changed:
		case <-late:
			b.t.Fatalf("%d readers are ready, want %d", ready, n)
		}
	}
}

func wantError(t testing.TB, what string, err error, code azeventhubs.ErrorCode, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: error %v, want one with %q", what, err, part)
		return
	}
	if e, ok := asError(err); code != "" && (!ok || e.Code != code) {
		t.Errorf("%s: error %v, want code %s", what, err, code)
	}
}
