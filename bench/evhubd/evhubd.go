// Package evhubd runs evhub's engine as a process of its own that can be looked into: it serves profiles, and what the process holds and
// has allocated, which the product's own binary does not.
package evhubd

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // on the default mux
	"runtime"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/hub"
)

const namespace = "emulatorns1"

// Hub is a hub to create.
type Hub struct {
	Name       string
	Partitions int
	Groups     []string
}

// Memory is what the process holds after a collection, and what it has ever allocated.
type Memory struct {
	HeapBytes, StackBytes int64
	Mallocs               int64
	Goroutines            int
}

// Start makes an engine that the development credentials open, with the hubs, and memoryBytes for their events.
func Start(memoryBytes int64, hubs ...Hub) (*engine.Engine, error) {
	e, err := engine.New(engine.Options{Policies: auth.DevelopmentPolicies(namespace), MemoryBytes: memoryBytes})
	if err != nil {
		return nil, err
	}
	ns, err := e.Hall.CreateNamespace(namespace)
	if err != nil {
		return nil, err
	}
	for _, h := range hubs {
		if _, err := ns.CreateHub(hub.Spec{Name: h.Name, Partitions: h.Partitions, Groups: h.Groups}); err != nil {
			return nil, fmt.Errorf("hub %s: %w", h.Name, err)
		}
	}
	return e, nil
}

// ServeDebug serves net/http/pprof, and Memory at /memory.
func ServeDebug(ln net.Listener) {
	http.HandleFunc("/memory", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(ReadMemory())
	})
	http.Serve(ln, nil)
}

// ReadMemory collects garbage first, twice, so that pools are empty.
func ReadMemory() Memory {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Memory{HeapBytes: int64(m.HeapAlloc), StackBytes: int64(m.StackInuse), Mallocs: int64(m.Mallocs), Goroutines: runtime.NumGoroutine()}
}
