package gateway_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent  = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// TestTraceContext wants what is valid to reach the message as it is, and nothing else.
func TestTraceContext(t *testing.T) {
	t.Parallel()
	zero := strings.Repeat("0", 32)
	for _, row := range []struct {
		name        string
		headers     []string
		want, state string // "": no property
	}{
		{"none", nil, "", ""},
		{"parent", []string{"Traceparent: " + parent}, parent, ""},
		{"parent and state", []string{"Traceparent: " + parent, "Tracestate: a=1,b@c=2"}, parent, "a=1,b@c=2"},
		{"state in two headers", []string{"Traceparent: " + parent, "Tracestate: a=1", "Tracestate: b=2"}, parent, "a=1,b=2"},
		{"later version with more", []string{"Traceparent: 01-" + parent[3:] + "-more"}, "01-" + parent[3:] + "-more", ""},
		{"own properties", []string{"Traceparent: " + parent, "Message-Property-Traceparent: mine"}, "mine", ""},
		{"state alone", []string{"Tracestate: a=1"}, "", ""},
		{"bad state", []string{"Traceparent: " + parent, "Tracestate: a b"}, parent, ""},
		{"two parents", []string{"Traceparent: " + parent, "Traceparent: " + parent}, "", ""},
		{"upper case", []string{"Traceparent: " + strings.ToUpper(parent)}, "", ""},
		{"version ff", []string{"Traceparent: ff-" + parent[3:]}, "", ""},
		{"version 00 with more", []string{"Traceparent: " + parent + "-more"}, "", ""},
		{"later version with more unseparated", []string{"Traceparent: 01-" + parent[3:] + "more"}, "", ""},
		{"trace id of zeros", []string{"Traceparent: 00-" + zero + "-00f067aa0ba902b7-01"}, "", ""},
		{"span id of zeros", []string{"Traceparent: 00-" + traceID + "-" + zero[:16] + "-01"}, "", ""},
		{"short", []string{"Traceparent: " + parent[:54]}, "", ""},
		{"not hexadecimal", []string{"Traceparent: 00-x" + parent[4:]}, "", ""},
		{"separated wrongly", []string{"Traceparent: " + strings.ReplaceAll(parent, "-", "_")}, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &target{}
			if a := keep(t, start(t, s, nil), request("", "x", row.headers...)); a.status != 201 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			p := s.messages()[0].Properties
			parent, _ := p["traceparent"].(string)
			state, _ := p["tracestate"].(string)
			if parent != row.want || state != row.state {
				t.Errorf("got %q %q, want %q %q", parent, state, row.want, row.state)
			}
			if id := p["Diagnostic-Id"]; row.want != "" && row.want != "mine" && id != row.want {
				t.Errorf("Diagnostic-Id is %v", id)
			}
		})
	}
}

// TestSpans wants each message to carry the context of its own span, all in the caller's trace.
func TestSpans(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	s := &target{say: func(m *notify.Message) notify.Result {
		if string(m.Body) == "3" {
			return failing(notify.Busy, "")(m)
		}
		return notify.Result{}
	}}
	g := start(t, s, func(o *gateway.Options) {
		o.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	})
	serve(t, g, request("", "x", "Traceparent: "+parent, "Tracestate: a=1"))
	serve(t, g, request(":batch", `{"items":[{"body":1},{"body":2},{"body":3}]}`, asJSON, "Traceparent: "+parent))
	var got []string
	spans := recorder.Ended()
	for _, span := range spans {
		got = append(got, span.Name()+" "+span.SpanKind().String())
		if span.SpanContext().TraceID().String() != traceID || span.Parent().SpanID().String() != "00f067aa0ba902b7" {
			t.Errorf("span %s is not the caller's", span.Name())
		}
	}
	create := "create in-orders producer"
	if want := []string{"send in-orders producer", create, create, create, "send in-orders client"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("spans %q, want %q", got, want)
	}
	for i, m := range s.messages() {
		if parent, _ := m.Properties["traceparent"].(string); parent != "00-"+traceID+"-"+spans[i].SpanContext().SpanID().String()+"-01" {
			t.Errorf("message %d has %q", i, parent)
		}
	}
	if state := s.messages()[0].Properties["tracestate"]; state != "a=1" {
		t.Errorf("tracestate %v", state)
	}
	send := spans[4]
	if len(send.Links()) != 3 || send.Links()[2].SpanContext.SpanID() != spans[3].SpanContext().SpanID() {
		t.Errorf("links %v", send.Links())
	}
	attributes := map[string]string{}
	for _, a := range send.Attributes() {
		attributes[string(a.Key)] = a.Value.Emit()
	}
	if want := map[string]string{
		"messaging.system": "eventhubs", "messaging.destination.name": "in-orders", "messaging.operation.name": "send",
		"messaging.operation.type": "send", "messaging.batch.message_count": "3", "error.type": "busy",
	}; !reflect.DeepEqual(attributes, want) {
		t.Errorf("attributes %v", attributes)
	}
	if span := spans[0].SpanContext(); !span.IsSampled() || span.TraceFlags() != trace.FlagsSampled {
		t.Error("not sampled, though the caller's is")
	}
}

// TestLogs wants who and what in the audit log, failures and a part of the rest in the other, and in neither what is secret.
func TestLogs(t *testing.T) {
	t.Parallel()
	var audit, access bytes.Buffer
	s := &target{say: func(m *notify.Message) notify.Result {
		if string(m.Body) == "2" {
			return failing(notify.Unknown, "")(m)
		}
		return notify.Result{}
	}}
	g := start(t, s, func(o *gateway.Options) {
		o.Audit, o.Log, o.AccessSample = slog.New(slog.NewJSONHandler(&audit, nil)), slog.New(slog.NewJSONHandler(&access, nil)), 1<<30
	})
	secrets := []string{"Idempotency-Key: SECRET-key", "Partition-Key: SECRET-partition", "Message-Property-P: SECRET-property", "Traceparent: " + parent}
	for range 2 {
		serve(t, g, request("", "SECRET-body", append(secrets, "Authorization: Bearer SECRET-subject")...))
	}
	serve(t, g, request(":batch", `{"items":[{"body":1},{"body":2},{}]}`, asJSON))
	serve(t, g, request("", "x", "Authorization: Bearer nobody"))
	serve(t, g, request("", "x", "Authorization: -"))
	serve(t, g, request("/v1/hubs/orders/messages?access_token=SECRET-token", "x"))
	serve(t, g, request("GET /openapi.json", ""))
	serve(t, g, request("/nothing", "x"))

	type line struct {
		Level, Msg, Request, From, Hub, Outcome, Issuer, Client string
		SubjectHash                                             string `json:"subject_hash"`
		TokenID                                                 string `json:"token_id"`
		FirstID                                                 string `json:"first_id"`
		Status, Messages, Stored, Unknown                       int
	}
	lines := func(b *bytes.Buffer) (all []line) {
		for d := json.NewDecoder(strings.NewReader(b.String())); d.More(); {
			var l line
			if err := d.Decode(&l); err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		return all
	}
	outcomes := func(all []line) (words []string) {
		for _, l := range all {
			words = append(words, l.Outcome)
		}
		return words
	}
	audited := lines(&audit)
	if got, want := outcomes(audited), []string{"stored", "replayed", "partly stored", "forbidden", "unauthorized", "bad-credential"}; !slices.Equal(got, want) {
		t.Fatalf("audited %q, want %q", got, want)
	}
	requests := slices.DeleteFunc(lines(&access), func(l line) bool { return l.Msg != "request" })
	if got, want := outcomes(requests), []string{"partly stored", "forbidden", "unauthorized", "bad-credential", "no-such-path"}; !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
	first, many := audited[0], audited[2]
	if first.Issuer != "https://issuer" || first.Client != "app" || first.TokenID != "jti-1" || first.Hub != "orders" || first.From != "192.0.2.1" ||
		first.Request != traceID || first.Messages != 1 || first.Stored != 1 || first.FirstID != s.messages()[0].ID || len(first.SubjectHash) != 16 {
		t.Errorf("audited %+v", first)
	}
	if many.Messages != 3 || many.Stored != 1 || many.Unknown != 1 || many.Status != 207 || many.SubjectHash == first.SubjectHash {
		t.Errorf("audited %+v", many)
	}
	for _, secret := range []string{"SECRET-key", "SECRET-partition", "SECRET-property", "SECRET-body", "SECRET-subject", "SECRET-token"} {
		if strings.Contains(audit.String()+access.String(), secret) {
			t.Errorf("%s is in a log", secret)
		}
	}
}

// TestAccessSample wants one in so many requests that succeeded to be logged.
func TestAccessSample(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := start(t, &target{}, func(o *gateway.Options) { o.Log, o.AccessSample = slog.New(slog.NewTextHandler(&log, nil)), 10 })
	for range 2000 {
		serve(t, g, request("", "x"))
	}
	if n := strings.Count(log.String(), "\n"); n < 100 || n > 350 {
		t.Errorf("%d lines of 2000, want about 200", n)
	}
}

// TestMetrics wants every request and message to be counted once, under names that callers cannot add to.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := &target{say: func(m *notify.Message) notify.Result {
		if string(m.Body) == "2" {
			return failing(notify.Busy, "")(m)
		}
		return notify.Result{}
	}}
	g := start(t, s, nil)
	before := metricNames(g)
	serve(t, g, request("", "12345"))
	serve(t, g, request(":batch", `{"items":[{"body":1},{"body":2},{}]}`, asJSON))
	serve(t, g, request("", "2"))
	serve(t, g, request("", "x", "Idempotency-Key: k"))
	serve(t, g, request("", "x", "Idempotency-Key: k"))
	serve(t, g, request("/v1/hubs/other/messages", "x"))
	serve(t, g, request("/v1/hubs/missing/messages", "x"))
	serve(t, g, request("/v9", "x"))
	for _, line := range []string{
		`evhub_gateway_messages_total{hub="orders",outcome="stored"} 3`,
		`evhub_gateway_messages_total{hub="orders",outcome="busy"} 2`,
		`evhub_gateway_messages_total{hub="orders",outcome="invalid"} 1`,
		`evhub_gateway_messages_total{hub="alerts",outcome="stored"} 0`,
		`evhub_gateway_stored_bytes_total{hub="orders"} 7`,
		`evhub_gateway_requests_total{hub="orders",class="2xx"} 3`,
		`evhub_gateway_requests_total{hub="orders",class="207"} 1`,
		`evhub_gateway_requests_total{hub="orders",class="5xx"} 1`,
		`evhub_gateway_requests_total{hub="",class="4xx"} 3`,
		`evhub_gateway_request_seconds_count{hub="orders"} 5`,
		`evhub_gateway_request_seconds_bucket{hub="orders",le="+Inf"} 5`,
		`evhub_gateway_refused_total{reason="busy"} 1`,
		`evhub_gateway_refused_total{reason="forbidden"} 1`,
		`evhub_gateway_refused_total{reason="unknown-hub"} 1`,
		`evhub_gateway_refused_total{reason="no-such-path"} 1`,
		`evhub_gateway_replayed_total 1`,
		`evhub_gateway_idempotency_keys 1`,
		`evhub_gateway_requests_in_flight 0`,
		`evhub_gateway_in_flight_bytes 0`,
	} {
		wantMetric(t, g, line)
	}
	if after := metricNames(g); !slices.Equal(before, after) {
		t.Errorf("lines were added: %q", after)
	}
}

func metricNames(g *gateway.Gateway) (names []string) {
	w := httptest.NewRecorder()
	g.Probes().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "evhub_") {
			names = append(names, name)
		}
	}
	return names
}

// TestClientAddress wants a proxy's word to count if the proxy is trusted, and nobody else's ever.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"direct", "203.0.113.9:1", nil, "203.0.113.9"},
		{"untrusted peer", "203.0.113.9:1", []string{"X-Forwarded-For: 1.1.1.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:1", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1"},
		{"proxy in IPv6 form", "[::ffff:10.0.0.1]:1", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1"},
		{"two proxies", "10.0.0.1:1", []string{"X-Forwarded-For: 9.9.9.9, 1.1.1.1, 10.0.0.2"}, "1.1.1.1"},
		{"two headers", "10.0.0.1:1", []string{"X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 1.1.1.1"}, "1.1.1.1"},
		{"with port", "10.0.0.1:1", []string{"X-Forwarded-For: [2001:db8::1]:80"}, "2001:db8::1"},
		{"nonsense", "10.0.0.1:1", []string{"X-Forwarded-For: 1.1.1.1, unknown"}, "10.0.0.1"},
		{"none", "10.0.0.1:1", nil, "10.0.0.1"},
		{"another header than its proxy's", "10.0.0.1:1", []string{"Forwarded: for=9.9.9.9"}, "10.0.0.1"},
		{"another header beside its proxy's", "10.0.0.1:1", []string{"Forwarded: for=9.9.9.9", "X-Forwarded-For: 1.1.1.1"}, "1.1.1.1"},
		{"Forwarded", "10.0.0.1:1", []string{`Forwarded: for=9.9.9.9, proto=https;For="[2001:db8::1]:4711"`}, "2001:db8::1"},
		{"Forwarded without for", "10.0.0.1:1", []string{`Forwarded: proto=https`}, "10.0.0.1"},
		{"Forwarded and another", "10.0.0.1:1", []string{"Forwarded: for=9.9.9.9", "X-Forwarded-For: 1.1.1.1"}, "9.9.9.9"},
		{"no address", "pipe", nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var audit bytes.Buffer
			g := start(t, &target{}, func(o *gateway.Options) {
				o.Audit, o.TrustedProxies = slog.New(slog.NewJSONHandler(&audit, nil)), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
				if strings.HasPrefix(row.name, "Forwarded") {
					o.ForwardedBy = gateway.Forwarded
				}
			})
			r := request("", "x", row.headers...)
			r.RemoteAddr = row.peer
			serve(t, g, r)
			if want := `"from":"` + row.want + `"`; !strings.Contains(audit.String(), want) {
				t.Errorf("no %s in %s", want, audit.String())
			}
		})
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	g := start(t, &target{}, func(o *gateway.Options) { o.Origins = []string{"https://app.example"} })
	preflight := func(origin string) reply {
		return keep(t, g, request("OPTIONS /v1/hubs/orders/messages", "", "Authorization: -", "Origin: "+origin, "Access-Control-Request-Method: POST",
			"Access-Control-Request-Headers: authorization, Content-Type,ce-id,x-other,message-property-a"))
	}
	a := preflight("https://app.example")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		a.header.Get("Access-Control-Allow-Headers") != "authorization, content-type, ce-id, message-property-a" || a.header.Get("Vary") != "Origin" {
		t.Errorf("got %d %v", a.status, a.header)
	}
	for _, origin := range []string{"https://app.example.evil", "http://app.example", "null", "https://APP.example"} {
		if a := preflight(origin); a.status != 405 || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: got %d %v", origin, a.status, a.header)
		}
	}
	if a := keep(t, g, request("", "x", "Origin: https://app.example")); a.status != 201 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Errorf("got %d %v", a.status, a.header)
	}
	if a := keep(t, g, request("", "x", "Origin: https://app.example", "Authorization: -")); a.status != 401 || a.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a refusal cannot be read: got %d %v", a.status, a.header)
	}
}

// TestHeadersOfAnswers wants the same few on every answer.
func TestHeadersOfAnswers(t *testing.T) {
	t.Parallel()
	g := start(t, &target{}, nil)
	a := keep(t, g, request("", "x", "Prefer: respond-async"))
	if timing := a.header.Get("Server-Timing"); !strings.HasPrefix(timing, "auth;dur=") || !strings.Contains(timing, ", publish;dur=") {
		t.Errorf("Server-Timing is %q", timing)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Preference-Applied") != "" || a.header.Get("RateLimit") != "" {
		t.Errorf("got %v", a.header)
	}
	described := keep(t, g, request("GET /openapi.json", "", "Authorization: -"))
	if described.status != 200 || described.json["openapi"] != "3.1.0" {
		t.Errorf("got %d %.100s", described.status, described.body)
	}
	if head := serve(t, g, request("HEAD /openapi.json", "")); head.status != 200 || head.body != "" {
		t.Errorf("got %d %.100s", head.status, head.body)
	}
}

// TestFloodLeavesFewLines wants a flood without a good token in both logs, and neither filled with it; known callers each have a line.
func TestFloodLeavesFewLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var access, audit bytes.Buffer
		g := start(t, &target{}, func(o *gateway.Options) {
			o.Log, o.Audit = slog.New(slog.NewTextHandler(&access, nil)), slog.New(slog.NewTextHandler(&audit, nil))
		})
		for range 1500 {
			serve(t, g, request("", "x", "Authorization: Basic abc"))
		}
		for range 10 {
			serve(t, g, request("", "x", "Authorization: Bearer nobody"))
		}
		time.Sleep(time.Second)
		serve(t, g, request("", "x", "Authorization: Basic abc"))
		for name, text := range map[string]string{"access": access.String(), "audit": audit.String()} {
			if n := strings.Count(text, "outcome=unauthorized"); n != 6 {
				t.Errorf("%s: %d lines of the flood", name, n)
			}
			if n := strings.Count(text, "left_out=1495"); n != 1 {
				t.Errorf("%s: %d lines say what was left out", name, n)
			}
			if n := strings.Count(text, "outcome=forbidden"); n != 10 {
				t.Errorf("%s: %d lines of a known caller", name, n)
			}
		}
	})
}
