package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/evhub-dev/evhub/notify"
)

// Hubs is a notify.Notifier for several hubs, by name: a client of the SDK sends to one only. It may not be changed while it is used.
type Hubs map[string]*Notifier

// Send is notify.Notifier's.
func (h Hubs) Send(ctx context.Context, hub string, messages ...notify.Message) []notify.Result {
	if n, ok := h[hub]; ok {
		return n.Send(ctx, hub, messages...)
	}
	results := make([]notify.Result, len(messages))
	for i := range results {
		results[i].Err = &notify.Error{Reason: notify.NotFound, Text: "this service does not send to a hub of that name"}
	}
	return results
}

// Ready is Notifier.Ready of all, at once.
func (h Hubs) Ready(ctx context.Context) error {
	return h.each(func(n *Notifier) error { return n.Ready(ctx) })
}

// Close is Notifier.Close of all, at once.
func (h Hubs) Close(ctx context.Context) error {
	return h.each(func(n *Notifier) error { return n.Close(ctx) })
}

func (h Hubs) each(do func(*Notifier) error) error {
	var all sync.WaitGroup
	var mu sync.Mutex // guards errs
	var errs []error
	for name, n := range h {
		all.Go(func() {
			if err := do(n); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("hub %s: %w", name, err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
