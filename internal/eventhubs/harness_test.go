package eventhubs

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// The rig's policies. Each has a key that is nowhere else, so that a key in a log line is found.
const (
	rootKey   = "root-KEY-3f1c8a"
	listenKey = "listen-KEY-77ab21"
	sendKey   = "send-KEY-90cc4e"
	otherKey  = "other-KEY-5d02f7"
	hubKey    = "hub-KEY-b81e6d"
)

func policies() []auth.Policy {
	return []auth.Policy{
		{Name: "root", Key: rootKey, Rights: auth.Manage, Namespace: "ns1"},
		{Name: "listen", Key: listenKey, Rights: auth.Listen, Namespace: "ns1"},
		{Name: "send", Key: sendKey, Rights: auth.Send, Namespace: "ns1"},
		{Name: "hubonly", Key: hubKey, Rights: auth.Manage, Namespace: "ns1", Hub: "hub1"},
		{Name: "other", Key: otherKey, Rights: auth.Manage, Namespace: "ns2"},
	}
}

// rig is a broker whose clients speak to it over pipes. Hub hub1 with two partitions and the group cg1 is in both namespaces, ns1 and ns2.
type rig struct {
	t      testing.TB
	hall   *hub.Hall
	svc    *Service
	server *amqpserver.Server
	rules  *script // nil: none

	mu      sync.Mutex
	log     bytes.Buffer // every log line
	sent    bytes.Buffer // every byte that any client got
	secrets []string
}

type rigOptions struct {
	memoryBytes   int64
	eventBytesMax int
	inflight      int64
}

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, secrets: []string{rootKey, listenKey, sendKey, otherKey, hubKey}}
	log := slog.New(slog.NewTextHandler(lockedWriter{r}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	store := memlog.New(memlog.Options{BytesMax: o.memoryBytes})
	hall, err := hub.New(hub.Options{Store: store, Log: log})
	r.must(err)
	r.hall = hall
	for _, name := range []string{"ns1", "ns2"} {
		ns, err := hall.CreateNamespace(name)
		r.must(err)
		_, err = ns.CreateHub(hub.Spec{Name: "hub1", Partitions: 2, Groups: []string{"cg1"}})
		r.must(err)
	}
	ps, err := auth.NewPolicies(policies()...)
	r.must(err)
	r.svc = New(Options{Hall: hall, Auth: ps, Log: log, EventBytesMax: o.eventBytesMax})
	r.server = amqpserver.New(amqpserver.Options{Handler: r.svc, Log: log, InflightBytesMax: o.inflight,
		ContainerID: func() string { return "b9b47ad5cc10432aaa4be86a07f482b8_G9" }})
	t.Cleanup(func() {
		r.server.Close()
		r.must(hall.Close())
		r.must(store.Close())
		r.wantNoSecret()
	})
	return r
}

// lockedWriter is where the log goes.
type lockedWriter struct{ r *rig }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return w.r.log.Write(p)
}

// wantNoSecret sees that no key and no signature of any token was logged or sent to a client.
func (r *rig) wantNoSecret() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.secrets {
		if bytes.Contains(r.log.Bytes(), []byte(s)) {
			r.t.Errorf("the log holds the secret %q:\n%s", s, r.log.String())
		}
		if bytes.Contains(r.sent.Bytes(), []byte(s)) {
			r.t.Errorf("a client was sent the secret %q", s)
		}
	}
}

func (r *rig) logged(part string) bool { return r.loggedTimes(part) > 0 }

func (r *rig) loggedTimes(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Count(r.log.Bytes(), []byte(part))
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) hub(ns string) *hub.Hub {
	r.t.Helper()
	h, err := r.hall.Namespace(ns).Hub("hub1")
	r.must(err)
	return h
}

// waitLinks waits until the hall sees so many links: it may hear of a link's end a moment after the client does.
func (r *rig) waitLinks(n int) []hub.LinkState {
	r.t.Helper()
	changed := make(chan struct{}, 1)
	stop := r.hall.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for late := time.After(20 * time.Second); ; {
		links := r.hall.Links()
		if len(links) == n {
			return links
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("the hall sees %d links, want %d: %+v", len(links), n, links)
		}
	}
}

// token signs one for resource that lasts an hour, and remembers its signature as a secret.
func (r *rig) token(resource, policy, key string) string {
	return r.tokenUntil(resource, policy, key, time.Now().Add(time.Hour))
}

func (r *rig) tokenUntil(resource, policy, key string, end time.Time) string {
	token := auth.SignSAS(resource, policy, key, end)
	_, sig, _ := strings.Cut(token, "sig=")
	sig, _, _ = strings.Cut(sig, "&")
	plain, err := url.QueryUnescape(sig)
	r.must(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, sig, plain)
	return token
}

// frame is one frame from the server.
type frame struct {
	channel uint16
	typ     uint8
	code    amqp.Code
	raw     []byte // with its header
	body    []byte
}

// client is a scripted AMQP client. Its reader takes in all that comes, so that the server never waits for the script.
type client struct {
	t      testing.TB
	r      *rig
	nc     net.Conn
	frames chan frame // closed at the end of the stream
	held   []frame    // transfers that came before the disposition a script waited for

	handles uint32            // next free handle of ours
	ids     map[uint16]uint32 // next delivery-id of each channel
}

const channel1 = 1

// testAgent is what every client calls its software.
const testAgent = "app/1 sdk/2"

// connect starts a connection without a word.
func (r *rig) connect() *client {
	r.t.Helper()
	ours, theirs := net.Pipe()
	r.server.Go(theirs)
	c := &client{t: r.t, r: r, nc: ours, frames: make(chan frame, 1<<14), ids: make(map[uint16]uint32)}
	go c.read()
	r.t.Cleanup(func() { ours.Close() })
	return c
}

func (c *client) read() {
	defer close(c.frames)
	head := make([]byte, 8)
	for {
		if _, err := io.ReadFull(c.nc, head); err != nil {
			return
		}
		if string(head[:4]) == "AMQP" {
			continue
		}
		h, err := amqp.ParseFrameHeader(head)
		if err != nil {
			c.t.Errorf("the server sent no frame: %x", head)
			return
		}
		raw := append([]byte(nil), head...)
		raw = append(raw, make([]byte, int(h.Size)-len(head))...)
		if _, err := io.ReadFull(c.nc, raw[len(head):]); err != nil {
			return
		}
		c.r.mu.Lock()
		c.r.sent.Write(raw)
		c.r.mu.Unlock()
		f := frame{channel: h.Channel, typ: h.Type, raw: raw, body: raw[h.BodyBytesAt():]}
		if len(f.body) > 0 {
			if f.code, err = amqp.PeekCode(f.body); err != nil {
				c.t.Errorf("the server sent %x: %v", raw, err)
			}
			c.frames <- f
		}
	}
}

type performative interface{ Append([]byte) []byte }

func encode(typ uint8, channel uint16, p performative, payload []byte) []byte {
	b, mark := amqp.BeginFrame(nil, typ, channel)
	return amqp.EndFrame(append(p.Append(b), payload...), mark)
}

// write sends bytes as they are. A server that has hung up does not matter here: the script sees that in what it reads.
func (c *client) write(b []byte) { _, _ = c.nc.Write(b) }

func (c *client) send(channel uint16, p performative, payload ...byte) {
	c.write(encode(amqp.FrameAMQP, channel, p, payload))
}

// next is the next frame, whatever it is.
func (c *client) next() frame {
	c.t.Helper()
	if len(c.held) > 0 {
		f := c.held[0]
		c.held = c.held[1:]
		return f
	}
	return c.arrival()
}

func (c *client) arrival() frame {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if !ok {
			c.t.Fatal("the connection ended where a frame was expected")
		}
		return f
	case <-time.After(20 * time.Second):
		c.t.Fatal("no frame came")
		panic("unreachable")
	}
}

type decoder interface {
	Decode([]byte) ([]byte, error)
}

// want takes the next frame, which must be of p's kind, and gives its payload.
func (c *client) want(code amqp.Code, p decoder) (payload []byte, f frame) {
	c.t.Helper()
	f = c.next()
	if f.code != code {
		c.t.Fatalf("a frame %v (%x) came where %v is expected", f.code, f.raw, code)
	}
	return c.decode(f, p), f
}

func (c *client) decode(f frame, p decoder) (payload []byte) {
	c.t.Helper()
	payload, err := p.Decode(f.body)
	if err != nil {
		c.t.Fatalf("%x: %v", f.raw, err)
	}
	return payload
}

// fence has the server answer two echoes and gives all frames that came before: what was on its way is then here.
func (c *client) fence() (before []frame) {
	c.t.Helper()
	for range 2 {
		c.send(channel1, &amqp.Flow{IncomingWindow: 1 << 30, OutgoingWindow: 1 << 30, Echo: amqp.Some(true)})
		for {
			f := c.next()
			if f.code == amqp.CodeFlow {
				var p amqp.Flow
				if c.decode(f, &p); !p.Handle.Set {
					break
				}
			}
			before = append(before, f)
		}
	}
	return before
}

// wantQuiet sees that nothing was on its way.
func (c *client) wantQuiet() {
	c.t.Helper()
	for _, f := range c.fence() {
		c.t.Errorf("a frame %v (%x) came where none is expected", f.code, f.raw)
	}
}

// dial goes through SASL ANONYMOUS and open, and begins a session.
func (r *rig) dial() *client {
	r.t.Helper()
	c := r.connect()
	if code := c.sasl(amqp.SASLInit{Mechanism: "ANONYMOUS"}); code != amqp.SASLOk {
		r.t.Fatalf("ANONYMOUS is answered with %d", code)
	}
	c.open()
	c.begin(channel1)
	return c
}

func (c *client) sasl(init amqp.SASLInit) (code uint8) {
	c.t.Helper()
	c.write(amqp.AppendProtocolHeader(nil, amqp.ProtocolSASL))
	c.want(amqp.CodeSASLMechanisms, &amqp.SASLMechanisms{})
	c.write(encode(amqp.FrameSASL, 0, &init, nil))
	var outcome amqp.SASLOutcome
	c.want(amqp.CodeSASLOutcome, &outcome)
	return outcome.Code
}

func (c *client) open() {
	c.t.Helper()
	c.write(amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP))
	c.send(0, &amqp.Open{ContainerID: "client-1", Hostname: amqp.Some("localhost"), Properties: amqp.Map{{Key: amqp.Symbol("user-agent"), Value: testAgent}}})
	c.want(amqp.CodeOpen, &amqp.Open{})
}

func (c *client) begin(channel uint16) {
	c.t.Helper()
	c.send(channel, &amqp.Begin{IncomingWindow: 65536, OutgoingWindow: 65536, HandleMax: amqp.Some[uint32](255)})
	c.want(amqp.CodeBegin, &amqp.Begin{})
}

// link is one end of a link, ours.
type link struct {
	c       *client
	channel uint16
	handle  uint32 // ours
	theirs  uint32
	answer  amqp.Attach
	frame   frame // of the answer
	flow    amqp.Flow
}

// sending and receiving are the attaches that most clients send.
func sending(target string) amqp.Attach {
	return amqp.Attach{Role: amqp.RoleSender, Source: &amqp.Source{Address: amqp.Some("sender-link-1")},
		Target:        &amqp.Target{Address: amqp.Some(target)},
		SndSettleMode: amqp.Some(amqp.SndUnsettled), RcvSettleMode: amqp.Some(amqp.RcvFirst), InitialDeliveryCount: amqp.Some[uint32](0)}
}

func receiving(source string) amqp.Attach {
	return amqp.Attach{Role: amqp.RoleReceiver, Source: &amqp.Source{Address: amqp.Some(source)},
		Target:        &amqp.Target{Address: amqp.Some("receiver-link-1")},
		SndSettleMode: amqp.Some(amqp.SndUnsettled), RcvSettleMode: amqp.Some(amqp.RcvFirst)}
}

// offer sends an attach under the next handle, and a name if it has none.
func (c *client) offer(channel uint16, a amqp.Attach) *link {
	a.Handle = c.handles
	c.handles++
	if a.Name == "" {
		a.Name = fmt.Sprintf("6d9ce0a5-5d2a-4d0e-8c1b-%012d", a.Handle)
	}
	c.send(channel, &a)
	return &link{c: c, channel: channel, handle: a.Handle}
}

// attach offers a link that must be accepted, and takes the credit that comes with it.
func (c *client) attach(a amqp.Attach) *link {
	c.t.Helper()
	return c.attachOn(channel1, a)
}

func (c *client) attachOn(channel uint16, a amqp.Attach) *link {
	c.t.Helper()
	l := c.offer(channel, a)
	l.accepted(a.Role)
	return l
}

func (l *link) accepted(role amqp.Role) {
	l.c.t.Helper()
	_, l.frame = l.c.want(amqp.CodeAttach, &l.answer)
	if l.answer.Source == nil || l.answer.Target == nil {
		var d amqp.Detach
		l.c.want(amqp.CodeDetach, &d)
		l.c.t.Fatalf("the link was refused: %v", d.Error)
	}
	l.theirs = l.answer.Handle
	if role == amqp.RoleSender {
		l.c.want(amqp.CodeFlow, &l.flow)
	}
}

// refused offers a link that must be refused: an attach with neither end, and a detach with the error.
func (c *client) refused(a amqp.Attach) *amqp.Error {
	c.t.Helper()
	l := c.offer(channel1, a)
	var answer amqp.Attach
	c.want(amqp.CodeAttach, &answer)
	if answer.Source != nil || answer.Target != nil {
		c.t.Fatalf("the link was accepted: %+v", answer)
	}
	e := c.wantDetach(answer.Handle)
	c.send(channel1, &amqp.Detach{Handle: l.handle, Closed: amqp.Some(true)})
	return e
}

func (c *client) wantDetach(handle uint32) *amqp.Error {
	c.t.Helper()
	var d amqp.Detach
	c.want(amqp.CodeDetach, &d)
	if d.Handle != handle || !d.Closed.V || d.Error == nil {
		c.t.Fatalf("detach %+v, want handle %d closed with an error", d, handle)
	}
	return d.Error
}

// credit lets the server send n more deliveries.
func (l *link) credit(count, n uint32) {
	l.c.send(l.channel, &amqp.Flow{IncomingWindow: 1 << 30, OutgoingWindow: 1 << 30, Handle: amqp.Some(l.handle),
		DeliveryCount: amqp.Some(count), LinkCredit: amqp.Some(n)})
}

// detach ends a link and takes the answer.
func (l *link) detach() {
	l.c.t.Helper()
	l.c.send(l.channel, &amqp.Detach{Handle: l.handle, Closed: amqp.Some(true)})
	l.c.want(amqp.CodeDetach, &amqp.Detach{})
}

// transfer sends one delivery and gives its id.
func (l *link) transfer(format uint32, settled bool, payload []byte) (id uint32) {
	id = l.c.ids[l.channel]
	l.c.ids[l.channel]++
	t := amqp.Transfer{Handle: l.handle, DeliveryID: amqp.Some(id), DeliveryTag: []byte{byte(id)}, MessageFormat: amqp.Some(format)}
	if settled {
		t.Settled = amqp.Some(true)
	}
	l.c.send(l.channel, &t, payload...)
	return id
}

// transferInPieces sends one delivery in frames of so many bytes of payload.
func (l *link) transferInPieces(payload []byte, piece int) (id uint32) {
	id = l.c.ids[l.channel]
	l.c.ids[l.channel]++
	t := amqp.Transfer{Handle: l.handle, DeliveryID: amqp.Some(id), DeliveryTag: []byte{byte(id)}, MessageFormat: amqp.Some(amqp.FormatMessage)}
	for {
		n := min(piece, len(payload))
		t.More = n < len(payload)
		l.c.send(l.channel, &t, payload[:n]...)
		if payload = payload[n:]; !t.More {
			return id
		}
		t = amqp.Transfer{Handle: l.handle}
	}
}

// publish sends an event and takes its outcome.
func (l *link) publish(payload []byte) amqp.DeliveryState {
	l.c.t.Helper()
	return l.outcome(l.transfer(amqp.FormatMessage, false, payload))
}

// outcome takes a disposition of one delivery. What the delivery led to, a reply or an event on its way to a reader, may come first.
func (l *link) outcome(id uint32) amqp.DeliveryState {
	l.c.t.Helper()
	var d amqp.Disposition
	f := l.c.arrival()
	for ; f.code == amqp.CodeTransfer; f = l.c.arrival() {
		l.c.held = append(l.c.held, f)
	}
	if f.code != amqp.CodeDisposition {
		l.c.t.Fatalf("a frame %v (%x) came where a disposition is expected", f.code, f.raw)
	}
	l.c.decode(f, &d)
	if d.Role != amqp.RoleReceiver || d.First != id || d.Last.Set || !d.Settled.V {
		l.c.t.Fatalf("disposition %+v, want one that settles %d", d, id)
	}
	return d.State
}

func (l *link) wantAccepted(s amqp.DeliveryState) {
	l.c.t.Helper()
	if s.Code != amqp.CodeAccepted {
		l.c.t.Fatalf("outcome %v %v, want accepted", s.Code, s.Error)
	}
}

// receive takes one delivery.
func (l *link) receive() *amqp.Message {
	l.c.t.Helper()
	var t amqp.Transfer
	payload, f := l.c.want(amqp.CodeTransfer, &t)
	if t.Handle != l.theirs || f.channel != l.frame.channel {
		l.c.t.Fatalf("a transfer on channel %d, handle %d, want %d and %d", f.channel, t.Handle, l.frame.channel, l.theirs)
	}
	m, err := amqp.DecodeMessage(payload)
	if err != nil {
		l.c.t.Fatal(err)
	}
	return m
}

// bodies takes n deliveries and gives their bodies, separated by blanks.
func (l *link) bodies(n int) string {
	l.c.t.Helper()
	var list []string
	for range n {
		list = append(list, string(l.receive().Data[0]))
	}
	return strings.Join(list, " ")
}

// plain is a message with a body.
func plain(body string) []byte { return (&amqp.Message{Data: [][]byte{[]byte(body)}}).Append(nil) }

func keyed(key, body string) []byte {
	return (&amqp.Message{MessageAnnotations: amqp.Map{{Key: amqp.Symbol("x-opt-partition-key"), Value: key}},
		Data: [][]byte{[]byte(body)}}).Append(nil)
}

// batch is a delivery of format 0x80013700.
func batch(messages ...[]byte) []byte { return (&amqp.Message{Data: messages}).Append(nil) }

// unhex reads hex digits with blanks between them as one likes, and text in double quotes as it is.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("hex %q: %v", part, err)
		}
		out = append(out, b...)
	}
	return out
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\n     %q\nwant %x\n     %q", what, got, got, want, want)
	}
}

var ids = regexp.MustCompile(`TrackingId:[0-9a-f]{32}_G0|Timestamp:\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d|[0-9A-F]{32}_G0`)

// masked replaces the ids in a text, keeping its length.
func masked[T string | []byte](text T) T {
	return T(ids.ReplaceAllStringFunc(string(text), func(id string) string {
		switch id[0] {
		case 'T':
			name, _, _ := strings.Cut(id, ":")
			if name == "Timestamp" {
				return "Timestamp:0000-00-00T00:00:00"
			}
			return "TrackingId:" + strings.Repeat("0", 32) + "_G0"
		}
		return strings.Repeat("0", 32) + "_G0"
	}))
}

// trackers is the tail of an error text, masked.
func trackers(system string) string {
	return masked(" TrackingId:" + strings.Repeat("0", 32) + "_G0, SystemTracker:" + system + ", Timestamp:0000-00-00T00:00:00")
}

func wantRefusal(t testing.TB, what string, e *amqp.Error, cond amqp.Symbol, text string) {
	t.Helper()
	if e.Condition != cond || masked(e.Description) != text || e.Info != nil {
		t.Errorf("%s:\n got %s: %s (info %v)\nwant %s: %s", what, e.Condition, masked(e.Description), e.Info, cond, text)
	}
}

func decimal(v int64) string { return strconv.FormatInt(v, 10) }
