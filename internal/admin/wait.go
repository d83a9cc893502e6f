package admin

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	waitersMax = 1024             // requests that wait at a time
	answerTime = 30 * time.Second // for sending the answer after the wait
)

// wait runs f with a context that ends after d, when the client leaves, and when the server shuts down. The last is a problem of its own.
func (v *visit) wait(d time.Duration, f func(context.Context) error) error {
	select {
	case v.waiters <- struct{}{}:
		defer func() { <-v.waiters }()
	default:
		return refuse(busy, "%d requests are waiting here, and there is no room for more", waitersMax)
	}
	// The server's time-outs are shorter than a wait. Its reading one matters as well: when it passes, the request counts as cancelled.
	// A writer that has no deadlines, a test's recorder say, needs none.
	until, conn := time.Now().Add(d+answerTime), http.NewResponseController(v.w)
	conn.SetReadDeadline(until)
	conn.SetWriteDeadline(until)

	ctx, cancel := context.WithTimeout(v.r.Context(), d)
	defer cancel()
	defer context.AfterFunc(v.draining, cancel)()
	err := f(ctx)
	if err != nil && errors.Is(err, context.Canceled) && v.r.Context().Err() == nil {
		return refuse(closing, "the broker is shutting down; it cannot say what would have come")
	}
	return err
}

// milliseconds is for waitedMs.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
