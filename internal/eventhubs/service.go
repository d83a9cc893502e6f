// Package eventhubs is Event Hubs on the AMQP engine: the nodes $cbs and $management, senders to hubs and partitions, receivers from
// partitions.
//
// What its users need: that an unmodified SDK of any language takes it for Azure, in what works and in what is refused. What breaks that
// is detail: a missing null, a list where an array belongs, a number of another width, a text that an SDK matches on. So answers follow
// what the real service was recorded to send; where an SDK cannot live with that, the SDK wins, and the place says so.
//
// A connection's rights come from the tokens put to $cbs (or SASL PLAIN) and are kept per connection; the first one binds the connection
// to its namespace. Nothing is reachable without.
package eventhubs

import (
	"log/slog"

	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
)

// Options configure a Service. Hall and Auth are required; every other field's zero value means the default named beside it.
type Options struct {
	Hall  *hub.Hall
	Auth  auth.Authenticator
	Clock clock.Clock  // clock.System
	Log   *slog.Logger // slog.DiscardHandler

	// EventBytesMax bounds one event or batch as sent. 1 MiB, as the service does.
	EventBytesMax int
}

// Service is the Event Hubs side of an AMQP server. It is safe for concurrent use.
type Service struct {
	o       Options
	batches batchPool
}

// New makes a Service. It starts nothing.
func New(o Options) *Service {
	if o.Hall == nil || o.Auth == nil {
		panic("BUG: eventhubs.Options without Hall or Auth")
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.EventBytesMax == 0 {
		o.EventBytesMax = 1 << 20
	}
	return &Service{o: o}
}

// Accept makes the connection's container.
func (s *Service) Accept(c *amqpserver.Conn) amqpserver.Container {
	return &conn{svc: s, c: c, log: c.Log()}
}
