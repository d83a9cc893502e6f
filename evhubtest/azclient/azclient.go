// Package azclient joins evhubtest to the official Go SDK, azeventhubs: clients that dial the broker in memory and close with the test, and
// a checkpoint store.
//
//	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
//		rec := b.Record(t, "orders")
//		notify(azclient.Producer(t, b, "orders"))
//		rec.WantExactly(t, 1)
//	}, evhubtest.Hub("orders", 4))
//
// In memory means: through ClientOptions.NewWebSocketConn, which takes any net.Conn, so that no port is opened and the SDK works in a
// testing/synctest bubble with its real back-off in fake time.
//
// Importing the package also gives evhubtest.Target a way to an emulator or Azure.
package azclient

import (
	"context"
	"net"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
)

// Producer makes a producer client of a hub and closes it when the test ends. It connects when it is first used.
func Producer(t testing.TB, b *evhubtest.Broker, hub string) *azeventhubs.ProducerClient {
	t.Helper()
	o := &azeventhubs.ProducerClientOptions{NewWebSocketConn: Dial(b)}
	client, err := azeventhubs.NewProducerClientFromConnectionString(b.DialString(hub), "", o)
	if err != nil {
		t.Fatal("azclient: ", err)
	}
	closeWith(t, b, client)
	return client
}

// Consumer makes a consumer client of a hub and group and closes it when the test ends, which comes after the end of its partition clients
// if they are closed by the test or by a t.Cleanup. It connects when it is first used.
func Consumer(t testing.TB, b *evhubtest.Broker, hub, group string) *azeventhubs.ConsumerClient {
	t.Helper()
	o := &azeventhubs.ConsumerClientOptions{NewWebSocketConn: Dial(b)}
	client, err := azeventhubs.NewConsumerClientFromConnectionString(b.DialString(hub), "", group, o)
	if err != nil {
		t.Fatal("azclient: ", err)
	}
	closeWith(t, b, client)
	return client
}

func closeWith(t testing.TB, b *evhubtest.Broker, client interface{ Close(context.Context) error }) {
	t.Cleanup(func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), b.WaitMax())
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error("azclient: closing a client: ", err)
		}
	})
}

// Dial is NewWebSocketConn for clients with options of their own; their connection string is b.DialString. It is nil, which is the SDK's
// own way, where the broker is an emulator or Azure.
//
//	azeventhubs.NewProducerClientFromConnectionString(b.DialString("orders"), "", &azeventhubs.ProducerClientOptions{
//		NewWebSocketConn: azclient.Dial(b),
//		RetryOptions:     azeventhubs.RetryOptions{MaxRetries: -1},
//	})
func Dial(b *evhubtest.Broker) func(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error) {
	if !b.InProcess() {
		return nil
	}
	return func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) { return b.Dial(ctx) }
}
