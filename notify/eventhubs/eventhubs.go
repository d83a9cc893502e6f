// Package eventhubs is the notify.Notifier for Azure Event Hubs, and for every broker that the official Go SDK takes for it. The SDK's
// client does the talking and stays its owner's; here is what the SDK leaves to its user: batching across callers, bounded memory,
// retries inside a caller's patience, and the truth about what became of each message.
//
// Messages wait in lanes, one for each key, one for each partition, and one for all that have neither. A lane sends as soon as it has
// a slot free, and what comes while its slots are busy goes with the next batch: at low load nothing waits, at high load batches grow by
// themselves. Lanes with an order have one slot, so a retry holds back what comes after it. When more lanes could send than batches may be
// under way, calls are served in turn: see turns.
//
//	Send -> check -> admit -> lane -> open, take, encode, send -> settle -> Send returns
//	                  ^ full, throttled       ^ what expired goes     v
//	                                          +------ retry, split ---+
//
// What its users need is that nothing is stored twice unless a Result said Unknown (or Options.Resend was asked for), that nothing is
// called stored which is not, and that one caller's hurry or absence costs no other anything. What could break that, and what keeps it:
//   - The SDK sends a batch again by itself when its link is detached, whatever its RetryOptions say. See handover.
//   - The same error may come before a batch is handed over and after. Only an error that the hub answered that very transfer with counts
//     as "not stored" after it. See outcome.
//   - A caller's context must not end a batch that others are part of: batches have contexts of their own.
//   - A caller that leaves may change its bodies at once: so it waits while they are being encoded, and the SDK is given copies of what it
//     would read later.
//
// One gap is the SDK's: it takes the outcomes "released" and "modified" for success. Event Hubs answers with neither.
package eventhubs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/notify"
)

// Options are for NewWithOptions. The zero value is what New takes.
type Options struct {
	// Hub is the client's hub. Messages for another are then NotFound, and Ready compares it with what the hub calls itself. "": the
	// SDK's client does not tell its hub, so all messages go there, whatever hub they are for.
	Hub string

	MemoryBytes int64         // what may wait or be under way, 512 bytes a message included; beyond it messages are Busy. 0: 64 MiB
	Slots       int           // batches without key under way at once, 1 to 8. 0: 4
	Linger      time.Duration // how long a lane that begins waits for company, up to 2 ms; it is added to every lone message's way. 0: not
	SendTimeout time.Duration // how long one batch may take, whoever still waits for it; what is lost holds its slot so long. 0: 30 s

	// Resend has batches sent again when the connection was lost under them, which may store them twice. Without it they are Unknown.
	Resend bool
}

const (
	memoryBytesDefault = 64 << 20
	slotsDefault       = 4
	slotsMax           = 8
	lingerMax          = 2 * time.Millisecond
	sendTimeoutDefault = 30 * time.Second

	messageOverheadBytes = 512  // an item, its share of a call, and a lane
	eventsMax            = 1000 // of one batch
	flyingMax            = 256  // batches under way at once, below the credit that the service gives a link (300)
)

func (o Options) withDefaults() Options {
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = memoryBytesDefault
	}
	if o.Slots <= 0 {
		o.Slots = slotsDefault
	}
	if o.SendTimeout <= 0 {
		o.SendTimeout = sendTimeoutDefault
	}
	o.Slots = min(o.Slots, slotsMax)
	o.Linger = min(o.Linger, lingerMax)
	return o
}

// Notifier sends to one hub. It is safe for concurrent use.
type Notifier struct {
	o      Options
	sender sender

	ctx    context.Context // of all batches
	cancel context.CancelFunc
	cutoff chan struct{} // closed when Close waits no longer
	cut    func()        // closes it, once

	outcomes [notify.Unknown + 2]atomic.Int64 // messages answered: stored, then by Reason

	mu       sync.Mutex // guards all below, and the state of lanes, calls and items; never held across a call of sender
	closed   bool
	resting  bool          // drained is closed
	drained  chan struct{} // closed when closed is set, and messages and flying are 0
	lanes    map[target]*lane
	ready    turns
	shared   turn // of the lane without order
	breaker  breaker
	flying   int   // batches under way
	messages int   // waiting or under way, those whose callers have left included
	bytes    int64 // of the same
	total    totals
}

var _, _ notify.Notifier = (*Notifier)(nil), Hubs(nil)

// totals only grow.
type totals struct{ batches, events, retried, lost, throttled int64 }

// New gives a Notifier over a client, which stays the caller's and must be open until Close has returned. Make it with
// azeventhubs.RetryOptions{MaxRetries: -1}: a client that tries again by itself does not get to send anything twice, but turns what would
// be Busy into Unknown, and late.
func New(client *azeventhubs.ProducerClient) *Notifier { return NewWithOptions(client, Options{}) }

// NewWithOptions is New with other settings than the usual.
func NewWithOptions(client *azeventhubs.ProducerClient, o Options) *Notifier {
	if client == nil {
		panic("BUG: eventhubs.New without a client")
	}
	return newNotifier(&sdk{client}, o)
}

func newNotifier(s sender, o Options) *Notifier {
	n := &Notifier{o: o.withDefaults(), sender: s, cutoff: make(chan struct{}), drained: make(chan struct{}), lanes: make(map[target]*lane)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.cut = sync.OnceFunc(func() { close(n.cutoff) })
	return n
}

// Send is notify.Notifier's. What MemoryBytes has no room for is Busy at once, and so is what follows it in the same Send, so that of one
// key a beginning is taken or nothing. While the hub throttles, everything new is Busy at once, with the time until it is asked again.
func (n *Notifier) Send(ctx context.Context, hub string, messages ...notify.Message) []notify.Result {
	c := newCall(ctx, messages)
	switch {
	case hub != "" && n.o.Hub != "" && !strings.EqualFold(hub, n.o.Hub):
		c.refuse(0, &notify.Error{Reason: notify.NotFound, Text: "this service sends to another hub: check the hub's name"})
	case ctx.Err() != nil:
		c.refuse(0, expired(ctx))
	default:
		c.check()
		if n.admit(c) {
			n.await(c)
		}
	}
	n.count(c.results)
	return c.results
}

func expired(ctx context.Context) *notify.Error {
	return &notify.Error{Reason: notify.Expired, Text: "the request ended before its message was sent", Err: context.Cause(ctx)}
}

func (n *Notifier) await(c *call) {
	select {
	case <-c.done:
	case <-c.ctx.Done():
		n.leave(c, expired(c.ctx))
	case <-n.cutoff:
		n.leave(c, errClosed)
	}
}

var errClosed = &notify.Error{Reason: notify.Closed, Text: "the service is shutting down: nothing was sent"}

func (n *Notifier) count(results []notify.Result) {
	for _, r := range results {
		if r.Err == nil {
			n.outcomes[0].Add(1)
		} else {
			n.outcomes[1+notify.ReasonOf(r.Err)].Add(1)
		}
	}
}

// Ready tells whether messages could be sent now: it opens the connection and link of a first send, which proves the token, and asks the
// hub its name, which proves that the connection lives. The error is an *Error.
func (n *Notifier) Ready(ctx context.Context) error {
	n.mu.Lock()
	closed := n.closed
	n.mu.Unlock()
	if closed {
		return errClosed
	}
	if _, err := n.sender.open(ctx, target{}); err != nil {
		return err
	}
	name, err := n.sender.hub(ctx)
	if err != nil {
		return err
	}
	if n.o.Hub != "" && !strings.EqualFold(name, n.o.Hub) {
		return &notify.Error{Reason: notify.NotFound, Text: fmt.Sprintf("the client was made for the hub %q, and %q was expected", name, n.o.Hub)}
	}
	return nil
}

// Close takes no more messages and waits until all that were taken have their answer. When ctx ends first, what was not handed over is
// Closed and what was is Unknown, and Close gives the context's error. It may be called again.
func (n *Notifier) Close(ctx context.Context) error {
	drained := n.drain()
	defer n.cut()
	defer n.cancel() // before callers are told to go: nothing more is handed over for them
	select {
	case <-drained:
	case <-ctx.Done():
	}
	select {
	case <-drained: // also if time was up before anybody looked
		return nil
	default:
		return fmt.Errorf("not everything that waited could be sent: %w", ctx.Err())
	}
}

// drain gives a channel that is closed when nothing waits or is under way.
func (n *Notifier) drain() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.rest()
	return n.drained
}

// rest notices that a Notifier that takes no more has nothing left.
func (n *Notifier) rest() {
	if n.closed && !n.resting && n.messages == 0 && n.flying == 0 {
		n.resting = true
		close(n.drained)
	}
}

// Stats is a Notifier at one moment. Counters begin at 0 with the Notifier and only grow.
type Stats struct {
	Messages    int   // waiting or under way
	Bytes       int64 // of the same, as MemoryBytes counts them
	BytesMax    int64 // Options.MemoryBytes
	Lanes       int   // keys and partitions among them, and one for all without
	Flying      int   // batches under way
	BreakerOpen bool  // the hub throttles; new messages are Busy

	Batches   int64 // tried and over, well or not
	Events    int64 // in them; a message counts again in each batch it was in
	Retried   int64 // messages that went back to be sent again
	Lost      int64 // batches whose answer never came
	Throttled int64 // batches that the hub refused because it was busy

	Stored int64                     // messages answered so
	Failed [notify.Unknown + 1]int64 // messages answered so, by Reason
}

// Stats gives a snapshot.
func (n *Notifier) Stats() Stats {
	n.mu.Lock()
	_, refuses := n.breaker.refuses(time.Now())
	s := Stats{
		Messages: n.messages, Bytes: n.bytes, BytesMax: n.o.MemoryBytes, Lanes: len(n.lanes), Flying: n.flying, BreakerOpen: refuses,
		Batches: n.total.batches, Events: n.total.events, Retried: n.total.retried, Lost: n.total.lost, Throttled: n.total.throttled,
	}
	n.mu.Unlock()
	s.Stored = n.outcomes[0].Load()
	for i := range s.Failed {
		s.Failed[i] = n.outcomes[1+i].Load()
	}
	return s
}
