package eventhubs

import "time"

const (
	pauseMin      = time.Second
	pauseMax      = 30 * time.Second
	retryAfterMin = 100 * time.Millisecond // told while a probe is under way
)

// breaker stops all sending when the hub is busy. After a pause one batch goes as a probe: another refusal prolongs the pause, any other
// answer ends it. A pause is a quarter of the time the hub has been busy so far, so that a short storm is over soon after it is over, and
// a long one is not fed.
type breaker struct {
	since   time.Time // when the hub became busy; zero: it is not
	until   time.Time // end of the pause
	probing bool
}

func (b *breaker) open() bool { return !b.since.IsZero() }

// refuses tells whether new messages are turned away, and for how long.
func (b *breaker) refuses(now time.Time) (wait time.Duration, yes bool) {
	if !b.open() || !b.probing && !now.Before(b.until) {
		return 0, false
	}
	return max(b.until.Sub(now), retryAfterMin), true
}

// pass tells whether a batch may go, and whether it goes as the probe, which must then be ended by busy, answered or unused.
func (b *breaker) pass(now time.Time) (probe, ok bool) {
	if !b.open() {
		return false, true
	}
	if b.probing || now.Before(b.until) {
		return false, false
	}
	b.probing = true
	return true, true
}

// busy takes note of a refusal. It tells whether a pause begins, and whether it is not the first: what was sent before a pause and is
// refused in it changes nothing.
func (b *breaker) busy(now time.Time, probe bool) (pause time.Duration, again bool) {
	switch {
	case !b.open():
		b.since = now
	case !probe:
		return 0, false
	default:
		again = true
	}
	b.probing = false
	pause = min(max(now.Sub(b.since)/4, pauseMin), pauseMax)
	b.until = now.Add(pause)
	return pause, again
}

// answered ends the probe, and with it the pause.
func (b *breaker) answered() { *b = breaker{} }

// unused takes back a probe that had nothing to send.
func (b *breaker) unused() { b.probing = false }
