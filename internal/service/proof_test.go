package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

// lateTarget can be reached from a moment on.
type lateTarget struct {
	target
	from  time.Time
	tries int
}

func (l *lateTarget) Ready(context.Context) error {
	l.tries++
	if time.Now().Before(l.from) {
		return errors.New("no route")
	}
	return nil
}

func TestProofTriesUntilAllWereReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := &lateTarget{}, &lateTarget{from: time.Now().Add(time.Minute)}
		p := newProof([]target{near, far}, clock.System, slog.New(slog.DiscardHandler))
		if p.err() == nil {
			t.Error("proven before a try")
		}
		p.start()
		synctest.Wait()
		if err := p.err(); err == nil || !strings.Contains(err.Error(), "no route") {
			t.Errorf("one target cannot be reached: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := p.err(); err != nil || near.tries != 1 || far.tries != 7 { // at 0, 1, 3, 7, 15, 31 and 61 s
			t.Errorf("%v after %d and %d tries", err, near.tries, far.tries)
		}
		p.stop()
	})
}

func TestProofStopsWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProof([]target{&lateTarget{from: time.Now().Add(time.Hour)}}, clock.System, slog.New(slog.DiscardHandler))
		p.start()
		time.Sleep(10 * time.Second)
		p.stop()
	})
}
