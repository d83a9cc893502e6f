package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify"
)

// swallow stores nothing and says it did.
type swallow struct{ results []notify.Result }

func (s swallow) Send(_ context.Context, _ string, m ...notify.Message) []notify.Result {
	return s.results[:len(m)]
}

// sink is a ResponseWriter that costs nothing.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

type rereadable struct{ *bytes.Reader }

func (rereadable) Close() error { return nil }

// halfKB is a body of the size that figures are given for.
var halfKB = `{"customer":"` + strings.Repeat("x", 200) + `","items":[` + strings.Repeat(`{"sku":"A-1","n":3},`, 13) + `{"sku":"B","n":1}]}`

func BenchmarkPublish(b *testing.B) {
	audit := slog.New(slog.NewJSONHandler(io.Discard, nil))
	for _, row := range []struct {
		name    string
		headers []string
		change  func(*gateway.Options)
	}{
		{"plain", nil, nil},
		{"audited", nil, func(o *gateway.Options) { o.Audit = audit }},
		{"everything", []string{"Partition-Key: customer-7", "Message-Property-Kind: order", "Traceparent: " + parent},
			func(o *gateway.Options) {
				o.Audit, o.Tokens = audit, tokens{gateway.Quota{MessagesPerSecond: 1e9, BytesPerSecond: 1e12}}
			}},
		{"cloudevent", []string{"Ce-Specversion: 1.0", "Ce-Id: 1", "Ce-Source: /shop", "Ce-Type: order.made", "Ce-Time: 2026-01-01T00:00:00Z"}, nil},
	} {
		b.Run(row.name, func(b *testing.B) {
			g := start(b, &target{}, func(o *gateway.Options) {
				o.Routes["orders"] = gateway.Route{Notifier: swallow{make([]notify.Result, 1000)}}
				if row.change != nil {
					row.change(o)
				}
			})
			r := request("", halfKB, append(row.headers, "Content-Type: application/json")...)
			body := rereadable{bytes.NewReader([]byte(halfKB))}
			r.Body = body
			w := &sink{h: http.Header{}}
			b.ReportAllocs()
			b.SetBytes(int64(len(halfKB)))
			for b.Loop() {
				body.Seek(0, io.SeekStart)
				g.ServeHTTP(w, r)
			}
			if w.status != http.StatusCreated {
				b.Fatalf("status %d, want 201", w.status)
			}
		})
	}
}

func BenchmarkBatch(b *testing.B) {
	g := start(b, &target{}, func(o *gateway.Options) {
		o.Routes["orders"] = gateway.Route{Notifier: swallow{make([]notify.Result, 1000)}}
	})
	text := `{"items":[` + strings.Repeat(`{"body":`+halfKB+`,"key":"k"},`, 99) + `{"body":1}]}`
	r := request(":batch", text, "Content-Type: application/json")
	body := rereadable{bytes.NewReader([]byte(text))}
	r.Body = body
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Seek(0, io.SeekStart)
		g.ServeHTTP(w, r)
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
