package evhubtest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// bell wakes whoever waits for something to change. To ring costs an atomic load while nobody waits. The zero value is ready.
type bell struct {
	waiting atomic.Int32

	mu   sync.Mutex // guards told
	told []chan struct{}
}

func (b *bell) ring() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.told {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// until waits until the condition holds, which it looks at first and then after each ring. The error is the context's.
func (b *bell) until(ctx context.Context, holds func() bool) error {
	told := make(chan struct{}, 1)
	b.mu.Lock()
	b.told = append(b.told, told)
	b.mu.Unlock()
	b.waiting.Add(1)
	defer func() {
		b.waiting.Add(-1)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = slices.DeleteFunc(b.told, func(c chan struct{}) bool { return c == told })
	}()
	for !holds() {
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
