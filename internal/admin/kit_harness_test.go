package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
	"github.com/evhub-dev/evhub/internal/pipes"
)

// ownNamespace is the namespace of the default space, whose hub eh1 has two partitions and the group cg1.
const ownNamespace = "emulatorNs1"

// newKit is an admin with a test kit, without a door. Its policies are those of its hall; nobody is asked for one.
func newKit(t testing.TB, o Options) (*Admin, *auth.Policies) {
	t.Helper()
	o.Hall = newHall(t)
	ns, err := o.Hall.CreateNamespace(ownNamespace)
	must(t, err)
	_, err = ns.CreateHub(hub.Spec{Name: "eh1", Partitions: 2, Groups: []string{"cg1"}})
	must(t, err)
	policies, err := auth.NewPolicies(auth.DevelopmentPolicies(strings.ToLower(ownNamespace))...)
	must(t, err)
	o.Kit = kit.New(kit.Options{Hall: o.Hall, Policies: policies})
	o.Default = ownNamespace
	o.Health = func(context.Context) error { return nil }
	o.Connection = func() auth.ConnectionString {
		return auth.ConnectionString{Host: "localhost:5672", KeyName: auth.RootKeyName, Key: auth.RootKey, Emulator: true}
	}
	return New(o), policies
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request is one to the test kit, from this machine.
func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:5300"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// tell sends a request that must be answered with this status, and gives the answer's body.
func tell(t testing.TB, a *Admin, status int, method, path, body string) string {
	t.Helper()
	w := ask(a, onThisMachine, request(method, path, body))
	if w.Code != status {
		t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	return w.Body.String()
}

// brokerOf is a broker on loopback ports: AMQP and HTTP.
type brokerOf struct {
	t     testing.TB
	admin *Admin
	base  string // of the calls
}

func startBroker(t testing.TB) *brokerOf {
	t.Helper()
	e, err := engine.New(engine.Options{Policies: auth.DevelopmentPolicies(strings.ToLower(ownNamespace))})
	must(t, err)
	ns, err := e.Hall.CreateNamespace(ownNamespace)
	must(t, err)
	_, err = ns.CreateHub(hub.Spec{Name: "eh1", Partitions: 2})
	must(t, err)
	door, face := listen(t), listen(t)
	b := &brokerOf{t: t, base: "http://" + face.Addr().String() + kitRoot}
	b.admin = New(Options{
		Hall: e.Hall, Health: func(context.Context) error { return nil }, Default: ownNamespace,
		Kit: kit.New(kit.Options{Hall: e.Hall, Policies: e.Policies}),
		Connection: func() auth.ConnectionString {
			return auth.ConnectionString{Host: door.Addr().String(), KeyName: auth.RootKeyName, Key: auth.RootKey, Emulator: true}
		},
	})
	server := b.admin.Server()
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(face) })
	serving.Go(func() { e.Serve(door) })
	t.Cleanup(func() {
		server.Close()
		must(t, e.Close())
		serving.Wait()
	})
	return b
}

// brokerAnywhere is the broker whose HTTP face is at EVHUBTEST_URL, or one of the test's own.
func brokerAnywhere(t testing.TB) *brokerOf {
	t.Helper()
	if face := os.Getenv("EVHUBTEST_URL"); face != "" {
		return &brokerOf{t: t, base: strings.TrimRight(face, "/") + kitRoot}
	}
	return startBroker(t)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return ln
}

// call sends a request and reads the answer into to, unless that is nil. A status of 400 and more is an error with what people read.
func (b *brokerOf) call(method, path, body string, to any) error {
	r, err := http.NewRequest(method, b.base+path, strings.NewReader(body))
	must(b.t, err)
	r.Header.Set("Content-Type", "application/json")
	w, err := http.DefaultClient.Do(r)
	must(b.t, err)
	defer w.Body.Close()
	data, err := io.ReadAll(w.Body)
	must(b.t, err)
	if w.StatusCode >= 400 {
		var failed struct{ Text, Detail string }
		must(b.t, json.Unmarshal(data, &failed))
		if failed.Text == "" {
			failed.Text = failed.Detail
		}
		return fmt.Errorf("%d %s", w.StatusCode, failed.Text)
	}
	if to != nil {
		must(b.t, json.Unmarshal(data, to))
	}
	return nil
}

// spaceOf is a space as the fixtures of other languages have it.
type spaceOf struct {
	*brokerOf
	path              string
	Space             string
	Mark              string
	ConnectionStrings map[string]string
}

// space makes one with the hub orders.
func (b *brokerOf) space(partitions int) *spaceOf {
	b.t.Helper()
	s := &spaceOf{brokerOf: b}
	must(b.t, b.call("POST", "spaces", fmt.Sprintf(`{"hubs":{"orders":{"partitions":%d}},"seed":1,"ttl":"5m"}`, partitions), s))
	s.path = "spaces/" + s.Space
	return s
}

// eventOf is an event in an answer.
type eventOf struct {
	Partition string
	Sequence  int64
	ID, Key   string
	Body      json.RawMessage
	Props     map[string]any
}

// expect asks for what the hub orders got since the space was made.
func (s *spaceOf) expect(body string) ([]eventOf, error) {
	var got struct{ Events []eventOf }
	err := s.call("POST", s.path+"/hubs/orders/expect", body, &got)
	return got.Events, err
}

func (s *spaceOf) must(err error) {
	s.t.Helper()
	must(s.t, err)
}

// eager clients try again at once.
var eager = azeventhubs.RetryOptions{MaxRetries: 10, RetryDelay: time.Millisecond, MaxRetryDelay: 20 * time.Millisecond}

func (s *spaceOf) producer() *azeventhubs.ProducerClient {
	s.t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(s.ConnectionStrings["orders"], "",
		&azeventhubs.ProducerClientOptions{RetryOptions: eager, ApplicationID: "notifier"})
	s.must(err)
	s.t.Cleanup(func() { leave(s.t, p) })
	return p
}

func leave(t testing.TB, c interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// patience is how long a test waits for what must come.
const patience = time.Minute

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// order is what the program under test sends.
type order struct{ ID, State string }

// notify is the program under test: it sends an order under its id.
func (s *spaceOf) notify(p *azeventhubs.ProducerClient, o order) {
	s.t.Helper()
	ctx := within(s.t)
	batch, err := p.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionKey: &o.ID})
	s.must(err)
	body, err := json.Marshal(o)
	s.must(err)
	id := o.ID + "-" + o.State
	s.must(batch.AddEventData(&azeventhubs.EventData{Body: body, MessageID: &id, Properties: map[string]any{"schema": "order.v1"}}, nil))
	s.must(p.SendEventDataBatch(ctx, batch, nil))
}

// bubbleServer runs an admin's server in a bubble.
type bubbleServer struct {
	t      testing.TB
	admin  *Admin
	server *http.Server
	pipes  *pipes.Listener
	client *http.Client
	served chan error
}

func newBubbleServer(t testing.TB) *bubbleServer {
	a, _ := newKit(t, Options{})
	b := &bubbleServer{t: t, admin: a, server: a.Server(), pipes: pipes.Listen(), served: make(chan error, 1)}
	b.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return b.pipes.Dial(ctx) }}}
	go func() { b.served <- b.server.Serve(b.pipes) }()
	t.Cleanup(func() {
		b.server.Close()
		<-b.served
		b.client.CloseIdleConnections()
	})
	return b
}

// answered is what a client got.
type answered struct {
	status int
	body   string
	header http.Header
	took   time.Duration
	err    error
}

// do sends a request and waits for its answer.
func (b *bubbleServer) do(ctx context.Context, method, path string, body io.Reader) answered {
	start := time.Now()
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost:5300"+path, body)
	must(b.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	w, err := b.client.Do(r)
	if err != nil {
		return answered{err: err, took: time.Since(start)}
	}
	defer w.Body.Close()
	var data bytes.Buffer
	_, err = data.ReadFrom(w.Body)
	return answered{w.StatusCode, data.String(), w.Header, time.Since(start), err}
}

// begin is do on a goroutine of its own.
func (b *bubbleServer) begin(ctx context.Context, method, path, body string) <-chan answered {
	got := make(chan answered, 1)
	go func() { got <- b.do(ctx, method, path, strings.NewReader(body)) }()
	return got
}
