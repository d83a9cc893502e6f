package replay

import (
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// Names of the lengths that were recorded, so that sizes can be compared.
const (
	namespace = "evhub-test"
	host      = namespace + ".servicebus.windows.net"
	hubName   = "ehfecbf681-a8dd-4c93-ba1e-d154046f1005"
)

// world is a broker with its clients, alone in a bubble of time.
type world struct {
	t      *testing.T
	engine *engine.Engine
	hub    *hub.Hub
	clock  *serviceClock
	conns  map[string]*client
}

// newWorld sets up what an exchange asks for: clock, the service's time at the start; partitions; first-partition, the one that gets the
// first event without a key; first-sequence and first-offset, of the first event in each; groups beside $default; event-bytes-max.
func newWorld(t *testing.T, o map[string]string) *world {
	t.Helper()
	w := &world{t: t, clock: newServiceClock(t, o["clock"]), conns: map[string]*client{}}
	policies := append(auth.DevelopmentPolicies(namespace),
		auth.Policy{Name: "listener", Key: "listener-key", Rights: auth.Listen, Namespace: namespace},
		auth.Policy{Name: "sender", Key: "sender-key", Rights: auth.Send, Namespace: namespace})
	e, err := engine.New(engine.Options{Clock: w.clock, Policies: policies, EventBytesMax: numberOr(t, o["event-bytes-max"], 0)})
	if err != nil {
		t.Fatal(err)
	}
	w.engine = e
	ns, err := e.Hall.CreateNamespace(namespace)
	if err != nil {
		t.Fatal(err)
	}
	spec := hub.Spec{Name: hubName, Partitions: numberOr(t, o["partitions"], 2), FirstPartition: numberOr(t, o["first-partition"], 0)}
	spec.First = eventlog.Position{Seq: int64(numberOr(t, o["first-sequence"], 0)), Offset: int64(numberOr(t, o["first-offset"], 0))}
	if g := o["groups"]; g != "" {
		spec.Groups = strings.Split(g, ",")
	}
	if w.hub, err = ns.CreateHub(spec); err != nil {
		t.Fatal(err)
	}
	return w
}

func numberOr(t *testing.T, s string, def int) int {
	t.Helper()
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// close ends clients and broker. Nothing may be left of them, which is the bubble's own check.
func (w *world) close() {
	for _, c := range w.conns {
		c.nc.Close()
	}
	if err := w.engine.Close(); err != nil {
		w.t.Error(err)
	}
}

// serviceClock shows the time at the service when the exchange was recorded. It runs as the bubble's does.
type serviceClock struct {
	clock.Clock
	ahead time.Duration
}

const usualClock = "2025-04-30T21:13:52.150Z"

func newServiceClock(t *testing.T, start string) *serviceClock {
	t.Helper()
	if start == "" {
		start = usualClock
	}
	at, err := time.Parse(timeForm, start)
	if err != nil {
		t.Fatal(err)
	}
	return &serviceClock{Clock: clock.System, ahead: time.Until(at)}
}

func (c *serviceClock) Now() time.Time { return time.Now().Add(c.ahead) }

// sleepUntil lets the bubble's time pass until the service's clock shows at.
func (c *serviceClock) sleepUntil(t *testing.T, at string) {
	t.Helper()
	end, err := time.Parse(timeForm, at)
	if err != nil {
		t.Fatal(err)
	}
	d := end.Sub(c.Now())
	if d < 0 {
		t.Fatalf("the clock is past %s already", at)
	}
	time.Sleep(d)
}

// client is a client's end of a connection. It does what the exchange says and nothing by itself.
type client struct {
	t  *testing.T
	nc net.Conn

	mu  sync.Mutex // guards in and read
	in  []byte
	got []arrival

	streams  streams
	messages map[uint32][]byte // by handle: payloads of a delivery whose last frame has not come
	bound    map[string]string // what masked parts were
}

// arrival is the end of what had come by some moment.
type arrival struct {
	end int
	at  time.Time
}

func (w *world) client(name string) *client {
	if c := w.conns[name]; c != nil {
		return c
	}
	server, nc := net.Pipe()
	c := &client{t: w.t, nc: nc, streams: newStreams(), messages: map[uint32][]byte{}, bound: map[string]string{}}
	w.conns[name] = c
	w.engine.ServeConn(server)
	go c.receive()
	return c
}

func (c *client) receive() {
	b := make([]byte, 64<<10)
	for {
		n, err := c.nc.Read(b)
		c.mu.Lock()
		c.in = append(c.in, b[:n]...)
		c.got = append(c.got, arrival{len(c.in), time.Now()})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes a burst in one go.
func (c *client) send(b []byte) {
	if _, err := c.nc.Write(b); err != nil && err != io.ErrClosedPipe {
		c.t.Fatal(err)
	}
}

// take gives the frames that have come since it was last asked.
func (c *client) take(burst time.Time) (frames []*frame) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	start := 0
	for start < len(c.in) {
		f, n := c.cut(c.in[start:])
		start += n
		for c.got[0].end < start {
			c.got = c.got[1:]
		}
		f.at = c.got[0].at.Sub(burst)
		frames = append(frames, f)
	}
	c.in, c.got = nil, nil
	return frames
}

// cut reads the frame that b begins with.
func (c *client) cut(b []byte) (f *frame, size int) {
	c.t.Helper()
	if strings.HasPrefix(string(b), "AMQP") {
		return &frame{head: b[:8]}, 8
	}
	r := reader{b: b}
	size = r.uint(4)
	if r.err != nil || size < 8 || size > len(b) || b[4] != 2 {
		c.t.Fatalf("no whole frame: %x", b[:min(len(b), 64)])
	}
	f = &frame{typ: b[5], channel: uint16(b[6])<<8 | uint16(b[7]), size: size}
	if size > 8 {
		r = reader{b: b[8:size]}
		body := r.value()
		f.body, f.payload = &body, r.b
	}
	if r.err != nil || string(f.encode()) != string(b[:size]) {
		c.t.Fatalf("frame not understood (%v): %x", r.err, b[:min(size, 256)])
	}
	if f.kind() == "transfer" {
		c.join(f)
	}
	return f, size
}

// join gives the last frame of a delivery its message.
func (c *client) join(f *frame) {
	c.t.Helper()
	h := uint32(f.get("handle").number())
	whole := append(c.messages[h], f.payload...)
	if f.get("more").number() == 1 {
		c.messages[h] = whole
		return
	}
	delete(c.messages, h)
	var err error
	if f.message, err = readMessage(whole); err != nil {
		c.t.Fatalf("message not understood: %v: %x", err, whole[:min(len(whole), 256)])
	}
}

const clientFrameBytesMax = 65536 // what the service takes

// encodeSplit is the bytes of a frame that a client sends, in several frames if its message is large.
func (w *world) encodeSplit(f *frame) []byte {
	w.t.Helper()
	whole := *f
	whole.payload = w.resolve(f).encodeMessage()
	if b := whole.encode(); len(b) <= clientFrameBytesMax {
		return b
	}
	var out []byte
	rest := whole.payload
	next := *whole.body
	for len(rest) > 0 {
		whole.body, whole.payload = &next, nil
		setMore(whole.body, true)
		room := min(clientFrameBytesMax-len(whole.encode()), len(rest))
		setMore(whole.body, room < len(rest))
		whole.payload, rest = rest[:room], rest[room:]
		out = append(out, whole.encode()...)
		next = compositeNamed("transfer").make(map[string]value{"handle": f.get("handle")})
	}
	return out
}

func setMore(transfer *value, more bool) {
	t := compositeNamed("transfer")
	given := map[string]value{}
	for _, f := range t.fields {
		given[f.name] = transfer.get(f.name)
	}
	given["more"] = boolean(more)
	*transfer = t.make(given)
}

// resolve puts a token where the exchange names one. It is for the audience that the request names.
func (w *world) resolve(f *frame) *frame {
	w.t.Helper()
	resolved := *f
	resolved.message = nil
	var audience string
	for _, s := range f.message {
		if compositeOf(s.code()).name == "application-properties" {
			v, _ := lookup(s.kids[1], []byte("name"))
			audience = string(v.data)
		}
		if kind := s.kids[1].token; kind != "" {
			s = describe(s.code(), text("string", []byte(w.token(kind, audience))))
		}
		resolved.message = append(resolved.message, s)
	}
	return &resolved
}

func (w *world) token(kind, audience string) string {
	w.t.Helper()
	later := w.clock.Now().Add(time.Hour)
	switch kind {
	case "valid":
		return auth.SignSAS(audience, auth.RootKeyName, auth.RootKey, later)
	case "wrong-key":
		return auth.SignSAS(audience, auth.RootKeyName, "another key", later)
	case "unknown-policy":
		return auth.SignSAS(audience, "nobody", auth.RootKey, later)
	case "expired":
		return auth.SignSAS(audience, auth.RootKeyName, auth.RootKey, time.Date(2020, 6, 17, 19, 35, 26, 0, time.UTC))
	case "listener", "sender":
		return auth.SignSAS(audience, kind, kind+"-key", later)
	}
	w.t.Fatalf("there is no token %q", kind)
	return ""
}

// publish puts an event into a partition.
func (w *world) publish(where, words string) {
	w.t.Helper()
	id, sections, _ := strings.Cut(words, " ")
	payload := parseFrame(w.t, where, "transfer "+sections).encodeMessage()
	partition, err := w.hub.Partition(id)
	if err != nil {
		w.t.Fatal(err)
	}
	var m event.Message
	if err := m.Scan(payload); err != nil {
		w.t.Fatalf("%s: %v", where, err)
	}
	done := make(chan error, 1)
	partition.Append(&eventlog.Batch{
		Records: []eventlog.Record{{Data: m.Append(nil, nil), Step: event.Step(len(payload))}},
		Done:    func(b *eventlog.Batch) { done <- b.Err },
	})
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// settle lets time pass until the last of the recorded frames is due, and everybody has done what there is to do.
func (w *world) settle(last time.Duration) {
	if last > 0 {
		time.Sleep(last + timeSlack)
	}
	synctest.Wait()
}
