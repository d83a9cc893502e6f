package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/evhub-dev/evhub/notify"
)

const partitions = 4

// rig is a cluster with the topic "orders", a client of it, and a Notifier over that.
type rig struct {
	t       testing.TB
	cluster *kfake.Cluster
	client  *kgo.Client
	n       *Notifier
	network *kfake.VirtualNetwork // in a bubble; nil: the loopback
}

func newRig(t testing.TB, opts ...kgo.Opt) *rig { return (&rig{t: t}).start(nil, opts...) }

// newBubbleRig is for synctest: everything goes over pipes. close ends it, and has to be called within the bubble.
func newBubbleRig(t testing.TB, opts ...kgo.Opt) *rig {
	return (&rig{t: t, network: new(kfake.VirtualNetwork)}).start(nil, opts...)
}

func (r *rig) start(cluster []kfake.Opt, opts ...kgo.Opt) *rig {
	r.t.Helper()
	cluster = append(cluster, kfake.NumBrokers(1), kfake.SeedTopics(partitions, "orders"))
	if r.network != nil {
		cluster = append(cluster, kfake.ListenFn(r.network.Listen), kfake.Ports(9092))
	}
	var err error
	if r.cluster, err = kfake.NewCluster(cluster...); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.close)
	r.client = r.dial(append([]kgo.Opt{kgo.RecordPartitioner(Partitioner()), kgo.UnknownTopicRetries(0)}, opts...)...)
	r.n = New(r.client)
	return r
}

func (r *rig) dial(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)}, opts...)
	if r.network != nil {
		opts = append(opts, kgo.Dialer(r.network.DialContext))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

func (r *rig) close() {
	if r.n != nil { // its further clients are its own
		ended, end := context.WithCancel(context.Background())
		end()
		_ = r.n.Close(ended)
	}
	if r.client != nil {
		r.client.Close()
	}
	r.cluster.Close()
}

func (r *rig) send(ctx context.Context, messages ...notify.Message) []notify.Result {
	r.t.Helper()
	results := r.n.Send(ctx, "orders", messages...)
	if len(results) != len(messages) {
		r.t.Fatalf("%d results for %d messages", len(results), len(messages))
	}
	return results
}

// count is how many records the topic's partitions hold.
func (r *rig) count() (n int64) {
	for _, p := range r.cluster.PartitionInfos("orders") {
		n += p.HighWatermark
	}
	return n
}

// stored reads all records of the topic, by partition and offset.
func (r *rig) stored() [partitions][]*kgo.Record {
	r.t.Helper()
	reader := r.dial(kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer reader.Close()
	var list [partitions][]*kgo.Record
	for left := r.count(); left > 0; {
		fetches := reader.PollFetches(r.t.Context())
		if err := fetches.Err(); err != nil {
			r.t.Fatal(err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			list[record.Partition] = append(list[record.Partition], record)
			left--
		})
	}
	return list
}

// hold makes the cluster keep produce requests without an answer. arrived hears of each one; release lets all go on.
func (r *rig) hold() (arrived <-chan struct{}, release func()) {
	came, open := make(chan struct{}, 1000), make(chan struct{})
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		came <- struct{}{}
		r.cluster.SleepControl(func() { <-open })
		return nil, nil, false
	})
	return came, sync.OnceFunc(func() { close(open) })
}

// lossyDialer makes connections that end instead of giving the answers to the next few produce requests.
type lossyDialer struct{ lose atomic.Int32 }

func (d *lossyDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	return &lossyConn{Conn: conn, dialer: d}, err
}

type lossyConn struct {
	net.Conn
	dialer *lossyDialer
	lost   atomic.Bool
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if len(b) > 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == kmsg.Produce && c.dialer.lose.Load() > 0 {
		c.dialer.lose.Add(-1)
		c.lost.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.lost.Load() {
		return 0, io.EOF
	}
	return n, err
}

func wantReason(t testing.TB, what string, got notify.Result, want notify.Reason) {
	t.Helper()
	if got.Err == nil || notify.ReasonOf(got.Err) != want {
		t.Errorf("%s: %v (%v), want %v", what, got.Err, notify.ReasonOf(got.Err), want)
	}
	if got.Placed {
		t.Errorf("%s: failed and placed", what)
	}
}

func wantStored(t testing.TB, what string, got notify.Result) {
	t.Helper()
	if got.Err != nil || !got.Placed {
		t.Errorf("%s: %+v, want it stored", what, got)
	}
}

func at(result notify.Result) string { return fmt.Sprint(result.Partition, "/", result.Sequence) }

func headersOf(r *kgo.Record) (list []string) {
	for _, h := range r.Headers {
		list = append(list, h.Key+"="+string(h.Value))
	}
	return slices.Clip(list)
}

func text(body string) notify.Message { return notify.Message{Body: []byte(body)} }
