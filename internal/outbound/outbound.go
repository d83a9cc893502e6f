// Package outbound makes the way out of the notification service: from a target of its configuration, a notify.Notifier for each of the
// target's hubs, with credentials, transport, proxy and private authorities as the configuration says.
//
// What its users need: that a wrong configuration says so before the first message, with the target's name and what to check; that a key
// which is replaced in its file is taken up without a lost message; that Close loses nothing that was taken. What could break that, and
// what keeps it whole:
//   - The SDK's own retries would make callers wait for a minute, so its clients try once. Trying again is the notifier's business.
//   - A client of the SDK cannot change its key. So a new key means a new client, and the old one goes once what it has is answered.
//   - The SDK asks for a token without any end of its patience, and holds locks meanwhile. So the credential gives up after a while.
//   - A WebSocket lives longer than the call that opened it. So it does not have that call's context.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// Options are for Open.
type Options struct {
	Batching gatewayfile.Batching // zero: the adapters' own settings

	Log     *slog.Logger        // slog.DiscardHandler
	Clock   clock.Clock         // says when to look at a secret again. clock.System
	Getenv  func(string) string // for HTTPS_PROXY, HTTP_PROXY and NO_PROXY; the Azure SDK looks up its variables itself. os.Getenv
	Version string              // of this program, which targets are told. "dev"
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Batching.SendTime == 0 {
		o.Batching.SendTime = 30 * time.Second
	}
	if o.Batching.Memory == 0 {
		o.Batching.Memory = 64 << 20
	}
	return o
}

// userAgent is what targets are told this is.
func (o Options) userAgent() string { return "evhub/" + o.Version }

// Target is the way to one namespace of Event Hubs, broker or Kafka cluster. It is safe for concurrent use.
type Target struct {
	name string
	way  way
}

// way is what kinds of targets have in common. Its errors do not name the target.
type way interface {
	system() string
	notifier(hub string) (notify.Notifier, error)
	ready(context.Context) error
	close(context.Context) error
	stats() map[string]eventhubs.Stats
	waiting() map[string]Waiting
}

var errClosed = &notify.Error{Reason: notify.Closed, Text: "the service is shutting down: nothing was sent"}

// Open prepares the way to a target of a checked configuration. It reads what the target refers to and sends nothing yet. The context is
// for the time that it takes.
func Open(ctx context.Context, t gatewayfile.Target, o Options) (*Target, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	o = o.withDefaults()
	o.Log = o.Log.With("target", t.Name)
	var w way
	var err error
	switch {
	case t.Kafka != nil:
		w, err = openKafka(t.Kafka, o)
	case t.EventHubs != nil, t.Broker != nil:
		w, err = openNamespace(t, o)
	default:
		err = errors.New("is nothing")
	}
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return &Target{name: t.Name, way: w}, nil
}

// Notifier gives the notifier for one hub of the target, the same each time. It is for messages to that hub alone, and lives until Close.
func (t *Target) Notifier(hub string) (notify.Notifier, error) {
	n, err := t.way.notifier(hub)
	if err != nil {
		return nil, fmt.Errorf("target %s: hub %s: %w", t.name, hub, err)
	}
	return n, nil
}

// Ready opens the connection and the link of each hub that there is a Notifier for, which proves address, credentials and rights. The error
// names target and hubs, says what to check, and wraps a *notify.Error for each hub.
func (t *Target) Ready(ctx context.Context) error {
	if err := t.way.ready(ctx); err != nil {
		return fmt.Errorf("target %s: %w", t.name, err)
	}
	return nil
}

// Close takes no more messages, waits until all that were taken have their answer, and closes the connections. When ctx ends first, what is
// left is given up, and the error says so.
func (t *Target) Close(ctx context.Context) error {
	if err := t.way.close(ctx); err != nil {
		return fmt.Errorf("target %s: %w", t.name, err)
	}
	return nil
}

// Name is the target's, as the configuration has it.
func (t *Target) Name() string { return t.name }

// System is what the target is in traces (messaging.system): "eventhubs" or "kafka".
func (t *Target) System() string { return t.way.system() }

// Stats gives the numbers of each hub of an Event Hubs or broker target. A Kafka client has none of these.
func (t *Target) Stats() map[string]eventhubs.Stats { return t.way.stats() }

// Waiting is what waits to be sent or is under way.
type Waiting struct {
	Messages int
	Bytes    int64
	BytesMax int64 // what Bytes are held to
}

// Waiting gives what each hub has in hand. All topics of a Kafka cluster share one client, which is under "".
func (t *Target) Waiting() map[string]Waiting { return t.way.waiting() }

func waitingOf(stats map[string]eventhubs.Stats) map[string]Waiting {
	of := make(map[string]Waiting, len(stats))
	for hub, s := range stats {
		of[hub] = Waiting{s.Messages, s.Bytes, s.BytesMax}
	}
	return of
}
