// Command api takes orders over HTTP and publishes each to an event hub. It is an example of an application that uses package notify:
// orders.go is the application and knows no hub, main.go chooses Azure Event Hubs, and the tests run the same wiring against a broker in
// their own process.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// local is the public connection string of evhub serve and of the official emulator.
const local = "Endpoint=sb://localhost:5672;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	err := run(ctx, os.Getenv, log, func(address string) { fmt.Println("listening on http://" + address) })
	if err != nil {
		log.Error("api", "err", err)
		os.Exit(1)
	}
}

const (
	drainTime = 20 * time.Second // for requests under way, and then for what they have sent
	localHub  = "eh1"
)

// run serves until ctx is done, and returns when what was taken is answered. listening is called once, with the address.
func run(ctx context.Context, getenv func(string) string, log *slog.Logger, listening func(address string)) error {
	producer, hub, err := dial(or(getenv("EVENTHUB_CONNECTION_STRING"), local), getenv("EVENTHUB_NAME"), nil)
	if err != nil {
		return err
	}
	notifier := eventhubs.NewWithOptions(producer, eventhubs.Options{Hub: hub})
	server := &http.Server{
		Handler:           newOrders(notifier, hub, log),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	ln, err := net.Listen("tcp", or(getenv("LISTEN"), "127.0.0.1:8085"))
	if err != nil {
		return err
	}
	fell := make(chan error, 1)
	go func() { fell <- server.Serve(ln) }()
	listening(ln.Addr().String())
	select {
	case err = <-fell:
	case <-ctx.Done():
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	// In this order: no new requests, the answers of the hub, the connection.
	return errors.Join(err, server.Shutdown(leaving), notifier.Close(leaving), producer.Close(leaving))
}

// dial makes a client for the hub, which connects when it is first used. A hub's own connection string names it (EntityPath); with that of a
// namespace the name is ours to say.
func dial(connection, hub string, o *azeventhubs.ProducerClientOptions) (*azeventhubs.ProducerClient, string, error) {
	p, err := azeventhubs.ParseConnectionString(connection)
	if err != nil {
		return nil, "", fmt.Errorf("EVENTHUB_CONNECTION_STRING: %w", err)
	}
	if o == nil {
		o = &azeventhubs.ProducerClientOptions{}
	}
	o.RetryOptions.MaxRetries = -1 // trying again is the notifier's business: it knows what may be stored twice
	if p.EntityPath != nil {
		producer, err := azeventhubs.NewProducerClientFromConnectionString(connection, "", o)
		return producer, *p.EntityPath, err
	}
	hub = or(hub, localHub)
	producer, err := azeventhubs.NewProducerClientFromConnectionString(connection, hub, o)
	return producer, hub, err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
