// Package obs sets up logging: the keys that every room uses the same way, and a handler for people at a terminal.
//
// What an operator needs is one line for each thing to act on. What could break that is what peers send, so control characters in messages,
// keys and values never reach the terminal.
package obs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// The keys of log attributes.
const (
	KeyNS    = "ns"    // namespace
	KeyHub   = "hub"   // event hub
	KeyPart  = "part"  // partition id
	KeyGroup = "group" // consumer group
	KeyLink  = "link"  // name of an AMQP link
	KeySeq   = "seq"   // sequence number
	KeyConn  = "conn"  // connection id
)

// NewLogger writes records of level and above to w, one Write call each: as JSON objects, or as lines for people, in colour if asked:
//
//	15:04:05.000 INFO  message key=value
//
// A duration is text with its unit in both, such as "1.5s": nobody guesses that a number counts nanoseconds.
func NewLogger(w io.Writer, level slog.Level, json, colour bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: unitOf}))
	}
	return slog.New(&textHandler{out: &output{w: w}, level: level, colour: colour})
}

func unitOf(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// Tee logs to all loggers, each with its own level: a terminal and a file, say.
func Tee(loggers ...*slog.Logger) *slog.Logger {
	handlers := make([]slog.Handler, len(loggers))
	for i, l := range loggers {
		handlers[i] = l.Handler()
	}
	return slog.New(slog.NewMultiHandler(handlers...))
}

type output struct {
	mu sync.Mutex // held while writing, so that lines stay whole
	w  io.Writer
}

type textHandler struct {
	out    *output // shared with the handlers derived from this one
	level  slog.Level
	colour bool
	prefix string // of keys: the open groups, each with a dot
	attrs  string // of the logger, formatted
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *textHandler) WithGroup(name string) slog.Handler {
	derived := *h
	derived.prefix += name + "."
	return &derived
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b bytes.Buffer
	for _, a := range attrs {
		h.appendAttr(&b, h.prefix, a)
	}
	derived := *h
	derived.attrs += b.String()
	return &derived
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	if !r.Time.IsZero() {
		b.WriteString(h.paint(dim, r.Time.Format("15:04:05.000")) + " ")
	}
	level := r.Level.String()
	b.WriteString(h.paint(levelColour(r.Level), level) + strings.Repeat(" ", max(1, 6-len(level))) + clean(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool { h.appendAttr(&b, h.prefix, a); return true })
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b.Bytes())
	return err
}

func (h *textHandler) appendAttr(b *bytes.Buffer, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			h.appendAttr(b, prefix, member)
		}
		return
	}
	if a.Equal(slog.Attr{}) { // to be ignored, says slog
		return
	}
	text := v.String()
	if text == "" || strings.ContainsAny(text, " =\"") {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + h.paint(dim, clean(prefix+a.Key)+"=") + clean(text))
}

// clean quotes a text that would not stay on its line.
func clean(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

const dim = "2" // a terminal's code, as the colours below

func levelColour(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "31"
	case l >= slog.LevelWarn:
		return "33"
	}
	return dim
}

func (h *textHandler) paint(code, s string) string {
	if !h.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
