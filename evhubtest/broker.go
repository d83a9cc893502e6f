package evhubtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
)

// Option is something about a broker that is settled when it starts.
type Option func(*options)

type options struct {
	hubs   []kit.HubSpec
	seed   uint64
	keep   int
	mirror *mirror
}

// Hub adds an event hub with so many partitions, numbered from 0, and the group $Default beside the ones that are named. A name has up to
// 256 letters, digits, '.', '-' and '_'. A client that asks for any other hub is refused, as in Azure.
func Hub(name string, partitions int, groups ...string) Option {
	return func(o *options) {
		o.hubs = append(o.hubs, kit.HubSpec{Name: name, Partitions: partitions, Groups: groups, Retention: forever})
	}
}

// forever is a retention without end: tests that sleep through days of a bubble's time keep their events. Keep forgets some.
const forever = -1

// Seed chooses what is left open: the first sequence numbers and offsets of each hub, the partition that the first event without key goes
// to, and what faults draw. 0 begins everything at 0. Without Seed each broker draws one of its own; a test that fails prints it.
func Seed(n uint64) Option { return func(o *options) { o.seed = n } }

// Keep has each partition keep its newest events only, so many of them: older ones go as soon as newer ones are stored. A recorder that
// needs one that is gone says so. Without Keep all are kept, up to 1 GiB for the broker.
func Keep(events int) Option { return func(o *options) { o.keep = events } }

// Broker is an event hubs namespace for one test: hubs, a key of its own, faults and recorders. It is safe for concurrent use.
type Broker struct {
	t      testing.TB // nil: made by New
	seed   uint64
	grace  time.Duration // for clients to go: EVHUBTEST_WAIT
	wait   time.Duration // for a Want
	bubble string        // where it was born, "" outside of any
	remote *remote       // nil: the broker is in this process, and what follows is set

	engine *engine.Engine
	store  *logStore // nil: the engine's own
	space  *kit.Space
	visits visits
	traced sync.Once
	turn   chan struct{} // capacity 1: whoever is in synctest.Wait, which takes one at a time
	mirror *mirror       // nil, unless the broker holds what is read from another one

	mu     sync.Mutex // guards what follows
	addr   string     // "" until a port is open
	closed bool
}

// Start runs a broker for one test and stops it in t.Cleanup. It takes some 50 microseconds, starts no goroutine, and opens no port before
// ConnectionString is called.
//
// Cleanup fails the test if a client was left open: each is named, with the place where it was dialed, as far as that can be known. Clients
// have EVHUBTEST_WAIT to go. Of a test that failed it prints the seed and what happened on the wire.
//
// It looks at connections, not at goroutines. Whose those are cannot be told where tests run in parallel, and the official SDK leaves one of
// its own behind whenever a consumer client has asked for properties, however well it is closed. In a bubble all can be told apart: there the
// runtime fails the test that leaves one, see Bubble.
func Start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	b, err := New(opts...)
	if err != nil {
		t.Fatal("evhubtest: " + explain(err))
	}
	b.t = t
	t.Cleanup(b.finish)
	return b
}

// New runs a broker that belongs to no test: for TestMain, fuzz targets and examples. Close it. Where a method has no testing.TB to tell
// of a mistake, such as a hub that does not exist, it panics.
//
// The error says what is wrong with an option, or with EVHUBTEST_WAIT, a duration like 500ms.
func New(opts ...Option) (*Broker, error) {
	o := options{seed: 1 + rand.Uint64N(1_000_000)}
	for _, option := range opts {
		option(&o)
	}
	wait, err := waitMax()
	if err != nil {
		return nil, err
	}
	b := &Broker{seed: o.seed, grace: wait, wait: wait, bubble: bubble(), mirror: o.mirror}
	if b.bubble != "" {
		b.turn = make(chan struct{}, 1)
		b.wait = max(wait, bubbleWait)
	}
	if err := b.start(&o); err != nil {
		return nil, err
	}
	return b, nil
}

// bubbleWait is what a Want waits in a bubble, where it takes no time to fail: long enough for a processor that balances its load.
const bubbleWait = 10 * time.Minute

// spaceName is the broker's only namespace.
const spaceName = "evhubtest"

func (b *Broker) start(o *options) error {
	var config engine.Options
	switch {
	case o.keep < 0:
		return fmt.Errorf("Keep(%d): a partition keeps 1 event or more", o.keep)
	case o.mirror != nil:
		b.store = o.mirror.store()
	case o.keep > 0:
		b.store = keepStore(o.keep)
	}
	if b.store != nil {
		config.Store = b.store
	}
	var err error
	if b.engine, err = engine.New(config); err != nil {
		return err
	}
	k := kit.New(kit.Options{Hall: b.engine.Hall, Policies: b.engine.Policies, Fence: b.fence})
	if b.space, err = k.Create(kit.SpaceSpec{Name: spaceName, Hubs: o.hubs, Seed: o.seed}); err != nil {
		return errors.Join(err, b.stop())
	}
	return nil
}

func waitMax() (time.Duration, error) {
	const variable, otherwise = "EVHUBTEST_WAIT", 5 * time.Second
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s=%.40q is no time to wait; it is a duration like 500ms or 30s", variable, text)
	}
	return d, nil
}

// WaitMax is the longest that a Want may wait: EVHUBTEST_WAIT, or 5 s. In a bubble it is at least 10 minutes of its fake time, which pass at
// once when nothing else happens.
func (b *Broker) WaitMax() time.Duration { return b.wait }

// InProcess says whether the broker is in this process. It is not if Target found an emulator or Azure.
func (b *Broker) InProcess() bool { return b.remote == nil }

// Hubs are the names of the broker's hubs. On an emulator or Azure, which do not tell, there are none.
func (b *Broker) Hubs() (names []string) {
	if b.remote != nil {
		return nil
	}
	for _, h := range b.space.Namespace().Hubs() {
		names = append(names, h.Name())
	}
	return names
}

// Close stops a broker that was made by New: it waits up to EVHUBTEST_WAIT for clients to go, cuts those that have not, and returns what
// they and faults that did not fire have left behind. Closing twice is allowed. Brokers of Start, Bubble and Target are closed by their test.
func (b *Broker) Close() error {
	if b.remote != nil || b.isClosed() {
		return nil
	}
	if err := b.foreign(); err != nil {
		return err
	}
	var problems []error
	for _, text := range b.leftovers() {
		problems = append(problems, errors.New(text))
	}
	return errors.Join(errors.Join(problems...), b.stop())
}

func (b *Broker) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// finish is the test's Cleanup.
func (b *Broker) finish() {
	b.t.Helper()
	if err := b.foreign(); err != nil { // Start was given the test around the bubble
		b.t.Error(err)
		return
	}
	if !b.t.Failed() && !b.t.Skipped() && !b.isClosed() {
		for _, text := range b.leftovers() {
			b.t.Error("evhubtest: " + text)
		}
	}
	if b.t.Failed() {
		b.t.Log(b.story())
	}
	if err := b.stop(); err != nil {
		b.t.Error("evhubtest: ", err)
	}
}

// leftovers gives clients time to go and says what is wrong then, a sentence each.
func (b *Broker) leftovers() []string {
	open := b.visits.untilEmpty(b.grace)
	if len(open) == 0 { // their sockets are closed, their links perhaps not yet
		ctx, cancel := context.WithTimeout(context.Background(), b.grace)
		defer cancel()
		b.engine.Gone(ctx) // those that are left are told below
	}
	problems := b.space.Verify()
	for _, v := range open {
		problems = append(problems, v.String()+" is still open; close its client before the test ends")
	}
	return problems
}

func (b *Broker) stop() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if !first {
		return nil
	}
	err := b.engine.Close()
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	return err
}

// story is what helps to understand a test that failed.
func (b *Broker) story() string {
	const entriesMax = 40
	var s strings.Builder
	s.WriteString("evhubtest: " + b.seedText())
	list := b.Timeline()
	if len(list) == 0 {
		s.WriteString("; nothing happened on the wire")
		return s.String()
	}
	s.WriteString("; what happened on the wire:")
	if n := len(list) - entriesMax; n > 0 {
		fmt.Fprintf(&s, "\n  (%d earlier entries)", n)
		list = list[n:]
	}
	for i := range list {
		s.WriteString("\n  " + list[i].String())
	}
	return s.String()
}

func (b *Broker) seedText() string { return fmt.Sprintf("seed %d", b.seed) }

// within is the time that a Want has.
func (b *Broker) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), b.wait)
}

// fail ends the test, or panics where there is none.
func (b *Broker) fail(err error) {
	text := "evhubtest: " + explain(err)
	if b.t == nil {
		panic(text)
	}
	b.t.Helper()
	b.t.Fatal(text)
}

// explain is an error for the person who wrote the test. The hall's texts name our namespace, which says nothing here.
func explain(err error) string {
	text := strings.TrimPrefix(err.Error(), "evhubtest: ")
	return strings.ReplaceAll(text, "'"+spaceName+":eventhub:", "'")
}

// hub finds a hub of the broker by its name in any case.
func (b *Broker) hub(name string) (*hub.Hub, error) { return b.space.Hub(name) }

// ConnectionString is for a client that dials: with EntityPath, or without if hub is "". The first call opens a random port of the loopback
// address, which every client of an SDK that honours a port in the endpoint can use; clients that can be given a connection need none, see
// Dial.
//
// No port is opened in a bubble, where a network would stop the clock: there it is what DialString gives. On an emulator or Azure it is
// EVHUBTEST_CONNECTION_STRING with the hub.
func (b *Broker) ConnectionString(hub string) string {
	if b.t != nil {
		b.t.Helper()
	}
	if b.remote != nil {
		return b.DialString(hub)
	}
	if err := b.foreign(); err != nil {
		b.fail(err)
	}
	if b.bubble != "" {
		return b.DialString(hub)
	}
	if err := b.check(hub); err != nil {
		b.fail(err)
	}
	addr, err := b.listen()
	if err != nil {
		b.fail(err)
	}
	return b.connectionString(addr, hub)
}

// DialString is the connection string for a client whose connections come from Dial. It opens no port: its endpoint is the name of no
// machine.
func (b *Broker) DialString(hub string) string {
	if b.t != nil {
		b.t.Helper()
	}
	if b.remote != nil {
		text, err := b.remote.connectionString(hub)
		if err != nil {
			b.fail(err)
		}
		return text
	}
	if err := b.check(hub); err != nil {
		b.fail(err)
	}
	return b.connectionString(nowhere, hub)
}

// nowhere is what a client looks up that was to be given a connection and was not.
const nowhere = "give-the-client-evhubtest-Broker-Dial.invalid"

func (b *Broker) check(hub string) error {
	if hub == "" {
		return nil
	}
	_, err := b.hub(hub)
	return err
}

func (b *Broker) connectionString(host, hub string) string {
	return auth.ConnectionString{Host: host, KeyName: b.space.Name(), Key: b.space.Key(), EntityPath: hub, Emulator: true}.Encode()
}

// listen opens the port if it is not open yet.
func (b *Broker) listen() (addr string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return "", overError{}
	}
	if b.addr != "" {
		return b.addr, nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = net.Listen("tcp6", "[::1]:0"); err != nil {
			return "", fmt.Errorf("no port of the loopback address can be opened: %w", err)
		}
	}
	b.addr = ln.Addr().String()
	b.trace()
	go b.engine.Serve(&listener{Listener: ln, visits: &b.visits}) // ends with the engine, which closes the listener
	return b.addr, nil
}

// trace keeps the timeline from the first connection on: before, there is nothing to keep.
func (b *Broker) trace() { b.traced.Do(func() { b.space.Trace() }) }

// Dial connects to the broker in memory, for clients that can be given a connection: what speaks AMQP without TLS and takes a net.Conn
// may use it. The connection takes 256 KiB each way before it blocks. It works in a testing/synctest bubble, and only in the one in
// which the broker was started.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) {
	if b.remote != nil {
		return nil, errors.New("evhubtest: the broker is not in this process and cannot be dialed in memory; use ConnectionString")
	}
	if err := b.foreign(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.isClosed() {
		return nil, overError{}
	}
	b.trace()
	client, server := engine.Pipe()
	b.engine.ServeConn(b.visits.dialed(server))
	return client, nil
}

// overError is what a client gets that dials after its test. Azure's SDKs for Go know the method of the name: clients that were never
// closed give up then, where else they would try again for as long as their process, or their bubble, lives.
type overError struct{}

func (overError) Error() string { return "evhubtest: the broker is closed; its test is over" }

// NonRetriable says that another try leads nowhere.
func (overError) NonRetriable() {}
