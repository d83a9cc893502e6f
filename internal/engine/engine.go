// Package engine joins the small core of evhub: a hall, a log in memory, shared access policies, and Event Hubs over AMQP. It is what a
// test kit starts inside a test, so it imports nothing beyond the standard library and opens, spawns and listens on nothing by itself;
// starting one takes microseconds.
package engine

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventhubs"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// Options configure an Engine. The zero value is a broker in memory that knows no policy: nobody gets in.
type Options struct {
	Clock    clock.Clock  // clock.System
	Log      *slog.Logger // slog.DiscardHandler
	Policies []auth.Policy

	Store       eventlog.Store // nil: a log in memory of MemoryBytes, which the engine then closes itself
	MemoryBytes int64          // 1 GiB

	Retention     time.Duration // 24 h, for hubs that set none
	ReadersMax    int           // 5 readers without epoch at a partition and group
	EventBytesMax int           // 1 MiB, one event or batch
	IdleTimeout   time.Duration // 120 s advertised; a silent client is closed after twice as long
	StealDelay    time.Duration // 0: a reader that is evicted loses its link at once; the service was recorded to take 4.9 s
}

// Engine is a running broker without doors: give it listeners or connections. Safe for concurrent use.
type Engine struct {
	Hall     *hub.Hall
	Policies *auth.Policies

	amqp  *amqpserver.Server
	store eventlog.Store // nil if the caller owns it
}

// New makes an engine.
func New(o Options) (*Engine, error) {
	policies, err := auth.NewPolicies(o.Policies...)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler) // one for all rooms
	}
	e := &Engine{Policies: policies}
	store := o.Store
	if store == nil {
		store = memlog.New(memlog.Options{BytesMax: o.MemoryBytes, Clock: o.Clock, OnEvict: e.evicted})
		e.store = store
	}
	e.Hall, err = hub.New(hub.Options{
		Store: store, Ephemeral: o.Store == nil, Clock: o.Clock, Log: o.Log,
		Retention: o.Retention, ReadersMax: o.ReadersMax, StealDelay: o.StealDelay,
	})
	if err != nil {
		return nil, err
	}
	service := eventhubs.New(eventhubs.Options{Hall: e.Hall, Auth: policies, Clock: o.Clock, Log: o.Log, EventBytesMax: o.EventBytesMax})
	e.amqp = amqpserver.New(amqpserver.Options{Handler: service, Clock: o.Clock, Log: o.Log, ContainerID: containerID, IdleTimeout: o.IdleTimeout})
	return e, nil
}

func (e *Engine) evicted(id eventlog.HubID, partition int, first, records int64) {
	e.Hall.Evicted(id, partition, first, records)
}

// Serve accepts AMQP connections until the listener fails or the engine is shut down.
func (e *Engine) Serve(ln net.Listener) error { return e.amqp.Serve(ln) }

// ServeConn runs one AMQP connection on goroutines of its own.
func (e *Engine) ServeConn(nc net.Conn) { e.amqp.Go(nc) }

// Connections counts the AMQP connections.
func (e *Engine) Connections() amqpserver.Stats { return e.amqp.Stats() }

// Fence returns once everything that had come in on any connection when it was called has been looked at: each event is then with its log, or
// counts as unsettled in Hall.Links. It fails with the context's error only. A connection in memory tells what waits to be read by a method
// Received() int64, which counts all bytes that came in until now, read or not; TCP tells it on Linux; of others what was read counts.
func (e *Engine) Fence(ctx context.Context) error { return e.amqp.Fence(ctx) }

// Gone returns once there is no AMQP connection, and no link in the hall that was one's. It fails with the context's error only.
func (e *Engine) Gone(ctx context.Context) error { return e.amqp.Gone(ctx) }

// Shutdown ends in order: listeners, connections, hall, log. Clients are asked to go; those that have not when ctx is done are cut.
func (e *Engine) Shutdown(ctx context.Context) error {
	err := e.amqp.Shutdown(ctx)
	if closed := e.closeRooms(); err == nil {
		err = closed
	}
	return err
}

// Close is Shutdown without asking.
func (e *Engine) Close() error {
	e.amqp.Close()
	return e.closeRooms()
}

func (e *Engine) closeRooms() error {
	err := e.Hall.Close()
	if e.store != nil {
		if closed := e.store.Close(); err == nil {
			err = closed
		}
	}
	return err
}
