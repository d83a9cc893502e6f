package gateway

import (
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// audit leaves a line for each attempt to publish: who, where, what became of it. Of refusals where nobody is known there are only a few a
// second. The subject is hashed, since it may be a person's name or
// address; tokens, keys, bodies and properties are never there.
func (c *call) audit() {
	log := c.g.o.Audit
	if log == nil || !c.publishes {
		return
	}
	ctx := c.r.Context()
	if !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	leftOut, ok := 0, true
	if c.principal == nil && c.refusedAs != nil {
		leftOut, ok = c.g.auditLines.next(c.g.o.Clock.Now(), c.refusedAs)
	}
	if !ok {
		return
	}
	c.instance()
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("request", c.requestID), slog.String("from", c.g.clientText(c.r)), slog.String("hub", c.hub),
		slog.Int("status", c.status), slog.String("outcome", c.word()))
	if c.principal != nil {
		who := c.principal.Identity()
		attrs = append(attrs, slog.String("issuer", who.Issuer), slog.String("subject_hash", subjectHash(&who)),
			slog.String("client", who.Client), slog.String("token_id", who.TokenID))
	}
	if c.messages > 0 {
		attrs = append(attrs, slog.Int("messages", c.messages), slog.Int("stored", c.stored), slog.Int("unknown", c.lost),
			slog.Int("bytes", len(c.body)), slog.String("first_id", c.firstID))
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "publish", attrs...)
}

// word sums up what became of the request.
func (c *call) word() string {
	switch {
	case c.replayed:
		return "replayed"
	case c.refusedAs != nil:
		return c.refusedAs.slug
	case c.status == http.StatusMultiStatus:
		return "partly stored"
	case !c.publishes:
		return "answered"
	}
	return "stored"
}

// subjectHash is the same on all instances, so that lines can be brought together.
func subjectHash(who *Identity) string {
	sum := digest(ofSubject, who.Issuer, who.Subject)
	return hex.EncodeToString(sum[:8])
}

// logAccess logs requests that failed, and some of the others. Of refusals that a flood can bring about there are only a few a second.
func (c *call) logAccess(took time.Duration) {
	level := slog.LevelInfo
	switch {
	case c.status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	case c.status < http.StatusMultiStatus && rand.IntN(c.g.o.AccessSample) != 0:
		return
	}
	ctx := c.r.Context()
	if !c.g.o.Log.Enabled(ctx, level) {
		return
	}
	leftOut, ok := 0, true
	if c.refusedAs != nil && (c.principal == nil || c.status == http.StatusTooManyRequests || c.status == http.StatusServiceUnavailable) {
		leftOut, ok = c.g.accessLines.next(c.g.o.Clock.Now(), c.refusedAs)
	}
	if !ok {
		return
	}
	c.instance()
	attrs := append(make([]slog.Attr, 0, 9), slog.String("request", c.requestID), slog.String("from", c.g.clientText(c.r)),
		slog.String("method", c.r.Method), slog.String("hub", c.hub), slog.Int("status", c.status), slog.String("outcome", c.word()),
		slog.Int64("bytes", max(c.r.ContentLength, int64(len(c.body)))), slog.Duration("took", took))
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	c.g.o.Log.LogAttrs(ctx, level, "request", attrs...)
}

// linesPerSecond is for each sort of refusal.
const linesPerSecond = 5

// lines bounds what a log gets of each sort of refusal, so that whoever is refused without end does not fill it.
type lines struct {
	mu sync.Mutex // guards by
	by map[*kind]tally
}

// tally is of the second that began with since.
type tally struct {
	since         time.Time
	written, left int // left: out, since the last line that was written
}

// next tells whether a refusal gets a line, and how many of its sort got none since the last one did.
func (l *lines) next(now time.Time, k *kind) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.by[k]
	if gone := now.Sub(t.since); gone < 0 || gone >= time.Second {
		t.since, t.written = now, 0
	}
	if ok = t.written < linesPerSecond; ok {
		leftOut, t.left = t.left, 0
		t.written++
	} else {
		t.left++
	}
	l.by[k] = t
	return leftOut, ok
}
