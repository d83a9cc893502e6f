package amqpserver

import (
	"log/slog"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
)

const (
	frameBytesMin    = 512       // every peer must take frames of this size [2.4.1]
	burstBytesMax    = 256 << 10 // what one write to the socket may hold before the writer stops collecting
	promptBytesMax   = 16 << 10  // the same for who is not the writer; one event may exceed it
	turnBytesMax     = 64 << 10  // what one link may put out before the next one has its turn
	pendingBytesMax  = 64 << 10  // encoded answers waiting for the writer, above which the reader stops
	settlementsMax   = 1 << 10   // settlement ranges waiting for the writer, above which the reader stops
	partialBytesMax  = 16 << 20  // deliveries that are still arriving, all links of a connection together
	overrunMax       = 300       // deliveries beyond the granted credit before a link is detached: pyamqp sends before it is granted any
	creditMax        = 1<<31 - 1 // deliveries; a client that grants more means that, and the difference of two counts stays positive
	unsettledMax     = 1000      // outgoing deliveries a peer may leave unsettled before we settle the oldest ourselves
	unsettledTime    = time.Minute
	lingerTime       = 2 * time.Second // how long the reader waits for the peer's end of stream after the last byte was written
	sessionWindow    = 5000            // incoming-window; never enforced, since pyamqp counts deliveries where it should count frames
	saslWelcome      = "Welcome!"
	settleModeMixed  = 2
	settleModeFirst  = 0
	availableUnknown = 1<<32 - 1 // what the service shows for a peer whose flow left available null (recorded)
)

// Options configure a Server. Handler is required; every other field's zero value means the default named beside it.
type Options struct {
	Handler Handler
	Clock   clock.Clock  // clock.System
	Log     *slog.Logger // slog.DiscardHandler

	ContainerID func() string // of each open we send; "evhub"

	FrameBytesMax uint32        // 65536, advertised and enforced; at least 512 and at most 131072
	ChannelMax    uint16        // 4999
	LinksMax      uint32        // 255 a session
	IdleTimeout   time.Duration // 120 s, advertised; a peer that sends nothing for twice as long is closed. At least 1 ms.

	// HandshakeTimeout is how long a client may take from connecting to its open. 30 s
	HandshakeTimeout time.Duration

	// InflightBytesMax bounds what one connection has delivered to sinks and not settled yet. 8 MiB
	InflightBytesMax int64

	// FirstOutgoingID and FirstDeliveryID start the session counters. Tests start them just below the wrap. 1 and 0, as recorded; a
	// FirstOutgoingID of 0 means 1.
	FirstOutgoingID uint32
	FirstDeliveryID uint32
}

func (o Options) withDefaults() Options {
	if o.Handler == nil {
		panic("BUG: amqpserver.Options.Handler is nil")
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ContainerID == nil {
		o.ContainerID = func() string { return "evhub" }
	}
	o.FrameBytesMax = min(max(orDefault(o.FrameBytesMax, 64<<10), frameBytesMin), readLarge)
	o.ChannelMax = orDefault(o.ChannelMax, 4999)
	o.LinksMax = orDefault(o.LinksMax, 255)
	o.IdleTimeout = max(orDefault(o.IdleTimeout, 2*time.Minute), time.Millisecond)
	o.HandshakeTimeout = orDefault(o.HandshakeTimeout, 30*time.Second)
	o.InflightBytesMax = orDefault(o.InflightBytesMax, 8<<20)
	o.FirstOutgoingID = orDefault(o.FirstOutgoingID, 1)
	return o
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Handler makes the Container for each connection. It is safe for concurrent use.
type Handler interface {
	// Accept is called by the connection's reader before it reads the first byte.
	Accept(*Conn) Container
}

// Container is what one connection's client finds on our side. All methods run on the connection's reader, one at a time, and must not
// block.
type Container interface {
	// Plain checks a SASL PLAIN user and password.
	Plain(user, password string) bool

	// Open takes the client's open. An error closes the connection. To answer later or never, it calls Conn.HoldOpen or Conn.Ignore.
	Open(*amqp.Open) *amqp.Error

	// Attach takes a new link. It leads to Link.AcceptSink, Link.AcceptSource or Link.Refuse, now or later and from any goroutine.
	Attach(*Link)

	// Closed is called once, after every Detached of the connection's links.
	Closed()
}

// Sink takes what a client sends on one link. Deliver, Flush and Detached run on the connection's reader and must not block.
type Sink interface {
	// Deliver takes one whole message. It must lead to exactly one Link.Settle that covers the delivery, from any goroutine, now or later.
	// d is valid until Deliver returns, and its Payload until Flush does.
	Deliver(d *Delivery)

	// Flush follows one or more Delivers, once everything that arrived with them has been delivered: the place to hand a burst on.
	Flush()

	// Detached is called once, when the link is gone. No Deliver and no Flush follows; settlements may, and are dropped.
	Detached()
}

// Delivery is one message from a client.
type Delivery struct {
	ID      uint32
	Format  uint32 // message-format
	Settled bool   // the client wants no answer
	Bytes   int    // size of the message
	Payload []byte // nil if Bytes exceeds the link's limit: the rest was read and dropped
}

// Source gives what a client receives on one link. Fill runs on the connection's writer or inside Link.ReadyNow, never twice at a time.
type Source interface {
	// Fill puts deliveries into out while out.Room is positive and there is anything to send. If it returns with room left, it has
	// arranged that Link.Ready is called once there is more.
	Fill(out *Outbox)

	// Credit tells how many further deliveries the client asked for. It runs on the reader, or inside Link.AcceptSource for what was asked
	// before that, perhaps while Fill runs, and must not block.
	Credit(n uint32)

	// Detached is called once, when the link is gone and the last Fill has returned.
	Detached()
}
