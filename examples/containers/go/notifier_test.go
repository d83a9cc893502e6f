// Package containers tests against evhub's image by testcontainers' own module for Event Hubs.
package containers

import (
	"cmp"
	"os"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/azure/eventhubs"
)

func TestWhatIsSentIsStored(t *testing.T) {
	config, err := os.Open("../Config.json")
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	container, err := eventhubs.Run(t.Context(), cmp.Or(os.Getenv("EVHUB_IMAGE"), "evhub"), eventhubs.WithAcceptEULA(), eventhubs.WithConfig(config))
	testcontainers.CleanupContainer(t, container)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := container.ConnectionString(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	producer, err := azeventhubs.NewProducerClientFromConnectionString(connection, "eh1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close(t.Context())
	batch, err := producer.NewEventDataBatch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.AddEventData(&azeventhubs.EventData{Body: []byte(`{"foo":"bar"}`)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := producer.SendEventDataBatch(t.Context(), batch, nil); err != nil {
		t.Fatal(err)
	}
}
