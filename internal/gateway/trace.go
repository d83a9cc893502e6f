package gateway

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/evhub-dev/evhub/notify"
)

// The names of OpenTelemetry's messaging conventions, which are not final, and of W3C Trace Context stand here and nowhere else.
const (
	tracerName = "github.com/evhub-dev/evhub/internal/gateway"

	propTraceParent  = "traceparent"
	propTraceState   = "tracestate"
	propDiagnosticID = "Diagnostic-Id" // what Azure's SDKs read and wrote before; holds a traceparent

	attrSystem        = "messaging.system"
	attrDestination   = "messaging.destination.name"
	attrOperation     = "messaging.operation.name"
	attrOperationType = "messaging.operation.type"
	attrMessageID     = "messaging.message.id"
	attrBatchCount    = "messaging.batch.message_count"
	attrErrorType     = "error.type"
)

// traceContext is W3C trace context that was checked; empty where the caller sent none or a wrong one, as the recommendation wants.
type traceContext struct{ parent, state string }

const traceStateBytesMax = 512

func readTrace(h http.Header) traceContext {
	parents := h["Traceparent"]
	if len(parents) != 1 || !isTraceParent(parents[0]) {
		return traceContext{}
	}
	t := traceContext{parent: parents[0]}
	if states := h["Tracestate"]; len(states) > 0 {
		state := strings.Join(states, ",")
		if _, err := trace.ParseTraceState(state); err == nil && len(state) <= traceStateBytesMax {
			t.state = state
		}
	}
	return t
}

// isTraceParent checks version-traceid-spanid-flags. A version after 00 may have more behind it, and ff is none.
func isTraceParent(s string) bool {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(s) < length || len(s) > 2*length || len(s) > length && (s[:2] == "00" || s[length] != '-') || !isText(s) {
		return false
	}
	return s[:2] != "ff" && s[2] == '-' && s[35] == '-' && s[52] == '-' &&
		isLowerHex(s[:2]) && isLowerHex(s[3:35]) && isLowerHex(s[36:52]) && isLowerHex(s[53:55]) &&
		strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if b := s[i]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}

// traceID is the hexadecimal trace id; "" if there is none.
func (t traceContext) traceID() string {
	if t.parent == "" {
		return ""
	}
	return t.parent[3:35]
}

// instance names this request in problems and logs: its trace id if it has one, else a number of its own.
func (c *call) instance() string {
	if c.requestID == "" {
		if c.requestID = c.trace.traceID(); c.requestID == "" {
			var id [16]byte
			binary.BigEndian.PutUint64(id[:8], rand.Uint64())
			binary.BigEndian.PutUint64(id[8:], rand.Uint64())
			c.requestID = hex.EncodeToString(id[:])
		}
	}
	return "urn:evhub:request:" + c.requestID
}

// remote is the trace context as a parent for spans.
func (t traceContext) remote(ctx context.Context) context.Context {
	if t.parent == "" {
		return ctx
	}
	traceID, err1 := trace.TraceIDFromHex(t.traceID())
	spanID, err2 := trace.SpanIDFromHex(t.parent[36:52])
	if err1 != nil || err2 != nil {
		panic("BUG: a checked traceparent has no trace or span id")
	}
	state, _ := trace.ParseTraceState(t.state) // checked, or empty
	flags := trace.TraceFlags(0)
	if strings.IndexByte("13579bdf", t.parent[54]) >= 0 {
		flags = trace.FlagsSampled
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: flags, TraceState: state, Remote: true,
	}))
}

// contextOf writes a span's context as headers.
func contextOf(s trace.SpanContext) traceContext {
	if !s.IsValid() {
		return traceContext{}
	}
	return traceContext{
		parent: "00-" + s.TraceID().String() + "-" + s.SpanID().String() + "-" + s.TraceFlags().String(),
		state:  s.TraceState().String(),
	}
}

// stamp puts the context into a message, unless its sender has put one there.
func (t traceContext) stamp(m *notify.Message) {
	if t.parent == "" || m.Properties[propTraceParent] != nil {
		return
	}
	if m.Properties == nil {
		m.Properties = make(map[string]any, 3)
	}
	var parent any = t.parent
	m.Properties[propTraceParent] = parent
	m.Properties[propDiagnosticID] = parent
	if t.state != "" {
		m.Properties[propTraceState] = t.state
	}
}

// sendSpan is the span of one Send; without a tracer it does nothing.
type sendSpan struct{ span trace.Span }

// startSend puts a trace context into every message: without a tracer the caller's, with one that of a span. A single message carries
// the span of its sending; in a batch each has a span of its creation, to which the span of the sending links.
func (c *call) startSend(ctx context.Context, messages []notify.Message) (context.Context, sendSpan) {
	if c.g.tracer == nil {
		for i := range messages {
			c.trace.stamp(&messages[i])
		}
		return ctx, sendSpan{}
	}
	ctx = c.trace.remote(ctx)
	options := []trace.SpanStartOption{trace.WithAttributes(
		attribute.String(attrSystem, c.door.system), attribute.String(attrDestination, c.door.target),
		attribute.String(attrOperation, "send"), attribute.String(attrOperationType, "send"),
	)}
	if len(messages) == 1 {
		options = append(options, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attribute.String(attrMessageID, messages[0].ID)))
	} else {
		options = append(options, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(c.createSpans(ctx, messages)...),
			trace.WithAttributes(attribute.Int(attrBatchCount, len(messages))))
	}
	ctx, span := c.g.tracer.Start(ctx, "send "+c.door.target, options...)
	if len(messages) == 1 {
		contextOf(span.SpanContext()).stamp(&messages[0])
	}
	return ctx, sendSpan{span}
}

func (c *call) createSpans(ctx context.Context, messages []notify.Message) []trace.Link {
	links := make([]trace.Link, len(messages))
	for i := range messages {
		_, span := c.g.tracer.Start(ctx, "create "+c.door.target, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			attribute.String(attrSystem, c.door.system), attribute.String(attrDestination, c.door.target),
			attribute.String(attrOperation, "create"), attribute.String(attrOperationType, "create"),
			attribute.String(attrMessageID, messages[i].ID),
		))
		contextOf(span.SpanContext()).stamp(&messages[i])
		links[i].SpanContext = span.SpanContext()
		span.End()
	}
	return links
}

func (s sendSpan) end(results []notify.Result) {
	if s.span == nil {
		return
	}
	for i := range results {
		if err := results[i].Err; err != nil {
			reason := notify.ReasonOf(err).String()
			s.span.SetAttributes(attribute.String(attrErrorType, reason))
			s.span.SetStatus(codes.Error, reason)
			break
		}
	}
	s.span.End()
}
