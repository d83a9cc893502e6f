package evhubtest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Bubble runs f in a testing/synctest bubble with a broker of its own. Clients dial in memory (package azclient, or Dial) and time is
// fake: an SDK's back-off of a minute, or a day of token renewals, takes no real time, and a Want that fails does so at once.
//
// After f the broker is stopped as by Start. Then the clock advances past every pending renewal of a token, so that goroutines which an
// SDK forgot can end: the runtime panics if a bubble ends before its last goroutine. Let each of the test's own end with t.Context().
func Bubble(t *testing.T, f func(t *testing.T, b *Broker), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		t.Cleanup(func() { time.Sleep(renewalMax) }) // registered first, so it runs after all others
		f(t, Start(t, opts...))
	})
}

// renewalMax is longer than any client waits before it renews a token: SDKs sign theirs for two hours at most.
const renewalMax = 3 * time.Hour

// bubble names the synctest bubble that the calling goroutine is in, or is "". Nothing but the first line of a stack tells:
//
//	goroutine 22 [running, synctest bubble 1]:
func bubble() string {
	var buf [96]byte
	line, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte("\n"))
	_, rest, _ := bytes.Cut(line, []byte("synctest bubble "))
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	return string(rest[:digits])
}

// foreign refuses a caller from another bubble than the broker's. Without it the runtime would end the whole process as soon as they meet
// at a channel.
func (b *Broker) foreign() error {
	here := bubble()
	switch {
	case here == b.bubble:
		return nil
	case b.bubble == "":
		return errors.New("evhubtest: the broker was started outside of this synctest bubble and cannot be used in it; " +
			"start it inside, or use evhubtest.Bubble")
	case here == "":
		return errors.New("evhubtest: the broker was started in a synctest bubble and cannot be used outside of it")
	}
	return errors.New("evhubtest: the broker was started in another synctest bubble; each bubble needs a broker of its own")
}

// fence waits until all bytes are looked at that had come in when it was called. In a bubble there is a better proof: all other goroutines
// wait, so that nothing happens any more unless time goes on.
func (b *Broker) fence(ctx context.Context) error {
	if b.mirror != nil {
		return b.mirror.catchUp(ctx)
	}
	if b.bubble != "" {
		select {
		case b.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		synctest.Wait()
		<-b.turn
	}
	return b.engine.Fence(ctx)
}
