package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// ordersHub is what all tests start with. Some do in a bubble, where the minutes of a busy hub take no time.
var ordersHub = evhubtest.Hub("orders", 4)

// newAPI wires the application as main does, but for the connection, which is in memory.
func newAPI(t *testing.T, b *evhubtest.Broker) http.Handler {
	t.Helper()
	producer, hub, err := dial(b.DialString("orders"), "", &azeventhubs.ProducerClientOptions{NewWebSocketConn: azclient.Dial(b)})
	if err != nil {
		t.Fatal(err)
	}
	notifier := eventhubs.NewWithOptions(producer, eventhubs.Options{Hub: hub})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := notifier.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := producer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return newOrders(notifier, hub, slog.New(slog.DiscardHandler))
}

func post(t *testing.T, api http.Handler, body string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(body)))
	return w.Result()
}

// text is an order as a caller posts it.
func text(id, customer string) string {
	return fmt.Sprintf(`{"id":%q,"customer":%q,"item":"tea","quantity":2}`, id, customer)
}

func TestOrderIsPublished(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, ordersHub)
	rec := b.Record(t, "orders")
	if got := post(t, newAPI(t, b), text("7", "ada")); got.StatusCode != http.StatusCreated {
		t.Fatal(got.Status)
	}
	got := rec.WantExactly(t, 1, evhubtest.Body(order{"7", "ada", "tea", 2}), evhubtest.Key("ada"), evhubtest.Prop("schema", "order.v1"))
	if got[0].ID != "order-7" || got[0].ContentType != "application/json" {
		t.Errorf("id %q, content type %q", got[0].ID, got[0].ContentType)
	}
}

func TestOrdersOfACustomerStayInOrder(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, ordersHub, evhubtest.Seed(1))
	rec, api := b.Record(t, "orders"), newAPI(t, b)
	for n := range 10 {
		if got := post(t, api, text(fmt.Sprint(n), []string{"ada", "bob"}[n%2])); got.StatusCode != http.StatusCreated {
			t.Fatal(got.Status)
		}
	}
	rec.WantInOrder(t, evhubtest.Path("id", "0"), evhubtest.Path("id", "2"), evhubtest.Path("id", "8"))
	rec.WantInOrder(t, evhubtest.Path("id", "1"), evhubtest.Path("id", "9"))
}

// TestThrottledOnce: a hub that is busy for a moment is felt as a delay only.
func TestThrottledOnce(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		busy := b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Throttle())
		rec, begun := b.Record(t, "orders"), time.Now()
		if got := post(t, newAPI(t, b), text("7", "ada")); got.StatusCode != http.StatusCreated {
			t.Error(got.Status)
		}
		rec.WantExactly(t, 1)
		if took := time.Since(begun); busy.Hits() != 1 || took < time.Second || took > publishTime {
			t.Errorf("%d refusals, answered after %s", busy.Hits(), took)
		}
	}, ordersHub)
}

// TestThrottledForLong: the caller is told in time, nothing is stored, and what is sent again later is.
func TestThrottledForLong(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		busy := b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Throttle())
		rec, api, begun := b.Record(t, "orders"), newAPI(t, b), time.Now()
		got := post(t, api, text("7", "ada"))
		if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || time.Since(begun) > publishTime {
			t.Errorf("%s, Retry-After %q, after %s", got.Status, got.Header.Get("Retry-After"), time.Since(begun))
		}
		rec.WantNone(t)
		busy.Remove()
		time.Sleep(time.Minute)
		if got := post(t, api, text("7", "ada")); got.StatusCode != http.StatusCreated {
			t.Error(got.Status)
		}
		rec.WantExactly(t, 1)
	}, ordersHub)
}

// TestLostAcknowledgement: the order is in the hub, and nobody knows. The caller is not told that it failed; it sends the order again, and
// readers can tell that both are one.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.AckLost())
		rec, api := b.Record(t, "orders"), newAPI(t, b)
		if got := post(t, api, text("7", "ada")); got.StatusCode != http.StatusGatewayTimeout {
			t.Error(got.Status)
		}
		rec.WantExactly(t, 1)
		if got := post(t, api, text("7", "ada")); got.StatusCode != http.StatusCreated {
			t.Error(got.Status)
		}
		if both := rec.WantExactly(t, 2); both[0].ID != "order-7" || both[1].ID != both[0].ID {
			t.Errorf("ids %q and %q", both[0].ID, both[1].ID)
		}
	}, ordersHub)
}

func TestHubRefuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, condition string
		status          int
	}{
		{"the hub was deleted", "amqp:not-found", http.StatusBadGateway},
		{"our key was revoked", "amqp:unauthorized-access", http.StatusBadGateway},
		{"too large for the hub", "amqp:link:message-size-exceeded", http.StatusRequestEntityTooLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
				b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Reject(row.condition, "refused"))
				rec := b.Record(t, "orders")
				if got := post(t, newAPI(t, b), text("7", "ada")); got.StatusCode != row.status {
					t.Errorf("%s, want %d", got.Status, row.status)
				}
				rec.WantNone(t)
			}, ordersHub)
		})
	}
}

func TestBadOrders(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, ordersHub)
	rec, api := b.Record(t, "orders"), newAPI(t, b)
	for name, body := range map[string]string{
		"no JSON":        `{`,
		"another object": `{"hello":"world"}`,
		"no id":          text("", "ada"),
		"none of it":     strings.Replace(text("7", "ada"), "2", "0", 1),
		"too long":       text(strings.Repeat("7", orderBytesMax), "ada"),
	} {
		if got := post(t, api, body); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", name, got.Status)
		}
	}
	rec.WantNone(t)
}

// TestProgram is the whole program, over real sockets.
func TestProgram(t *testing.T) {
	t.Parallel()
	b := evhubtest.Start(t, ordersHub)
	rec := b.Record(t, "orders")
	settings := map[string]string{"EVENTHUB_CONNECTION_STRING": b.ConnectionString("orders"), "LISTEN": "127.0.0.1:0"}
	ctx, stop := context.WithCancel(t.Context())
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- run(ctx, func(name string) string { return settings[name] }, slog.New(slog.DiscardHandler), func(a string) { address <- a })
	}()
	select {
	case at := <-address:
		got, err := http.Post("http://"+at+"/orders", "application/json", strings.NewReader(text("7", "ada")))
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != http.StatusCreated {
			t.Error(got.Status)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	rec.WantExactly(t, 1, evhubtest.Path("id", "7"))
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"EVENTHUB_CONNECTION_STRING": "Endpoint=nowhere"}
	err := run(t.Context(), func(name string) string { return settings[name] }, slog.New(slog.DiscardHandler), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "EVENTHUB_CONNECTION_STRING") {
		t.Errorf("%v does not name the setting", err)
	}
}
