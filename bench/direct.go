package main

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/internal/auth"
)

const (
	asDirect      = "direct" // the service that is written in an hour: each body goes to the broker by a call of the official SDK
	directBodyMax = 1 << 20
)

// runDirect starts one before the broker at the address. What it adds to an answer is what waiting for this broker takes by this SDK; it
// looks at no credential, and its callers wait for each other's calls where the SDK has them do so.
func runDirect(broker string, r *ready, failed chan<- error) error {
	connection := auth.ConnectionString{Host: broker, KeyName: auth.RootKeyName, Key: auth.RootKey, Emulator: true}
	producer, err := azeventhubs.NewProducerClientFromConnectionString(connection.Encode(), hubName, nil)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.API = ln.Addr().String()
	go func() {
		failed <- http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, err := io.ReadAll(io.LimitReader(req.Body, directBodyMax))
			if err == nil {
				err = sendDirect(req.Context(), producer, body)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusCreated)
		}))
	}()
	return nil
}

func sendDirect(ctx context.Context, producer *azeventhubs.ProducerClient, body []byte) error {
	batch, err := producer.NewEventDataBatch(ctx, nil)
	if err != nil {
		return err
	}
	if err := batch.AddEventData(&azeventhubs.EventData{Body: body}, nil); err != nil {
		return err
	}
	return producer.SendEventDataBatch(ctx, batch, nil)
}

// startDirect starts one before a broker of its own.
func (l *lab) startDirect() (*server, error) {
	broker, err := l.startService(evhubName)
	if err != nil {
		return nil, err
	}
	s, err := l.startOwn(asDirect, l.self, asDirect, "-broker", broker.peer.Addr, "-pprof", "127.0.0.1:0")
	if err != nil {
		broker.stop()
		return nil, err
	}
	s.below = broker
	return s, nil
}
