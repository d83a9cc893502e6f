package gateway

import (
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// audit leaves a line for each attempt to publish: who, where, what became of it. The subject is hashed, since it may be a person's name or
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

// logAccess logs every request that failed, and some of the others.
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
	c.instance()
	c.g.o.Log.LogAttrs(ctx, level, "request", slog.String("request", c.requestID), slog.String("from", c.g.clientText(c.r)),
		slog.String("method", c.r.Method), slog.String("hub", c.hub), slog.Int("status", c.status), slog.String("outcome", c.word()),
		slog.Int64("bytes", max(c.r.ContentLength, int64(len(c.body)))), slog.Duration("took", took))
}
