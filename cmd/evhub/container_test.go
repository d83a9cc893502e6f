package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/evhub-dev/evhub/internal/auth"
)

// TestContainerModules holds what the container modules of other languages rely on, as their sources have it: testcontainers for Go
// (modules/azure/eventhubs) and for .NET (Testcontainers.EventHubs), and generic containers that wait for a line.
func TestContainerModules(t *testing.T) {
	t.Parallel()
	s := serve(t, "--dev")

	if readinessLine != "Emulator Service is Successfully Up!" {
		t.Errorf("the line that they wait for is %q", readinessLine)
	}
	t.Run("health by any host name", func(t *testing.T) { // a forwarded port is called by the engine's host
		t.Parallel()
		answer, err := http.Get(s.Admin + "/health")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var said struct{ Message string }
		if err := json.NewDecoder(answer.Body).Decode(&said); err != nil || answer.StatusCode != 200 || said.Message == "" {
			t.Errorf("%s, %+v, %v", answer.Status, said, err)
		}
	})
	for name, connection := range map[string]string{
		"testcontainers for Go": "Endpoint=sb://" + s.AMQP + ";SharedAccessKeyName=" + auth.AzuriteAccountName + ";SharedAccessKey=" +
			auth.AzuriteAccountKey + ";UseDevelopmentEmulator=true;",
		"Testcontainers for .NET": "Endpoint=http://" + s.AMQP + "/;DefaultEndpointsProtocol=http;SharedAccessKeyName=RootManageSharedAccessKey;" +
			"SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true",
		"the emulator's documentation": "Endpoint=sb://" + s.AMQP + ";SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evhub(t, env{"EVENTHUB_CONNECTION_STRING": connection}, "", "send", "eh1", "hi").ok(t)
		})
	}
}
