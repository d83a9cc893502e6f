package eventhubs

import (
	"maps"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

// lookAt says what has to be compared when the SDK's errors have changed.
const lookAt = `rejection does not read this SDK's errors: every answer to a batch would be told as "unknown", or what may be stored as "not stored".
After an upgrade of azeventhubs or go-amqp look at
  - internal/amqpwrap/error.go: Error, a struct with LinkName string and Err error, which holds the *amqp.Error of a rejected transfer;
  - internal/amqpwrap/amqpwrap.go: that Send wraps with the link's name, and that what opens a link does not know one;
  - internal/exported/error.go: Error, whose innerErr holds such an Error for some conditions (internal/errors.go: TransformError);
  - go-amqp's Sender.Send and LinkError: a rejection is an *amqp.Error, a link's end is not.
Then change rejection, in sdk.go, to match.`

// TestRejection has the SDK itself make the errors that rejection reads by the names of fields that nobody promises.
func TestRejection(t *testing.T) {
	t.Parallel()
	conditions := append(slices.Sorted(maps.Keys(answers)), "com.microsoft:timeout", amqp.ErrCondInternalError, "com.example:never-heard-of")
	for _, condition := range conditions {
		text := string(condition)
		for _, row := range []struct {
			name  string
			fault evhubtest.Do
			at    evhubtest.Op
			want  amqp.ErrCond
		}{
			{"a batch is rejected", evhubtest.Reject(text, "A fault."), evhubtest.Send, condition},
			{"the link ends under a batch", evhubtest.Detach(text, "A fault."), evhubtest.Send, ""},
			{"the connection ends under a batch", evhubtest.CloseConn(text), evhubtest.Send, ""},
			{"a link is refused", evhubtest.Reject(text, "A fault."), evhubtest.Attach, ""},
		} {
			t.Run(text+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
					b.Fault(t, evhubtest.On{Op: row.at, Hub: hubName, Times: -1}, row.fault)
					err := sendBySDK(t, b)
					if got := rejection(err); got != row.want {
						t.Errorf("the SDK's error is %v\n%#v\nread as %q, want %q\n%s", err, err, got, row.want, lookAt)
					}
				}, evhubtest.Hub(hubName, 1))
			})
		}
	}
}

// sendBySDK sends a batch, and gives the error as the SDK made it.
func sendBySDK(t *testing.T, b *evhubtest.Broker) error {
	t.Helper()
	client, err := azeventhubs.NewProducerClientFromConnectionString(b.DialString(hubName), "", &azeventhubs.ProducerClientOptions{
		NewWebSocketConn: azclient.Dial(b), RetryOptions: azeventhubs.RetryOptions{MaxRetries: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	batch, err := client.NewEventDataBatch(t.Context(), nil)
	if err != nil {
		return err
	}
	if err := batch.AddEventData(&azeventhubs.EventData{Body: []byte("x")}, nil); err != nil {
		t.Fatal(err)
	}
	if err = client.SendEventDataBatch(t.Context(), batch, nil); err == nil {
		t.Fatal("the batch was stored")
	}
	return err
}
