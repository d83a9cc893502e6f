package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

const (
	tryTime  = 30 * time.Second // for one try
	pauseMin = time.Second      // behind a first failure, then doubled
	pauseMax = 30 * time.Second
)

// proof is whether every way out was once open to its end: token, connection and link of each hub. One goroutine tries until they were.
type proof struct {
	clock  clock.Clock
	log    *slog.Logger
	cancel context.CancelFunc
	over   sync.WaitGroup

	mu   sync.Mutex // guards what follows
	open []target   // not yet proven
	last error      // of the last round
}

func newProof(targets []target, c clock.Clock, log *slog.Logger) *proof {
	return &proof{clock: c, log: log, open: targets, last: errors.New("the targets are being reached for the first time")}
}

func (p *proof) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.over.Go(func() { p.run(ctx) })
}

func (p *proof) stop() {
	p.cancel()
	p.over.Wait()
}

func (p *proof) run(ctx context.Context) {
	due := make(chan struct{}, 1)
	for pause := pauseMin; !p.round(ctx); pause = min(2*pause, pauseMax) {
		timer := p.clock.AfterFunc(pause, func() { due <- struct{}{} })
		select {
		case <-due:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// round tries what is not proven yet, all at once, and tells whether nothing is left.
func (p *proof) round(stopped context.Context) (done bool) {
	ctx, cancel := context.WithTimeout(stopped, tryTime)
	defer cancel()
	errs := make([]error, len(p.open))
	var tries sync.WaitGroup
	for i, t := range p.open {
		tries.Go(func() { errs[i] = t.Ready(ctx) })
	}
	tries.Wait()
	if stopped.Err() != nil {
		return true
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	var left []target
	for i, err := range errs {
		if err != nil {
			left = append(left, p.open[i])
			p.log.Warn("a target cannot be reached yet; callers of its hubs are told so", "err", err)
		}
	}
	p.open, p.last = left, errors.Join(errs...)
	if len(left) == 0 {
		p.log.Info("ready: every target was reached")
	}
	return len(left) == 0
}

func (p *proof) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}
