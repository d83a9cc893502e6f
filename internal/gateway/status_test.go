package gateway_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify"
)

const (
	asJSON   = "Content-Type: application/json"
	asEvent  = "Content-Type: application/cloudevents+json"
	asEvents = "Content-Type: application/cloudevents-batch+json"
)

// TestRefusals has a row for every way in which a request is refused before anything is sent.
func TestRefusals(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 101)
	small := func(o *gateway.Options) {
		o.Limits.BodyBytesMax, o.Limits.BatchBytesMax, o.Limits.BatchItemsMax = 100, 1000, 3
	}
	long := strings.Repeat("k", 129)
	for _, row := range []struct {
		name    string
		path    string
		body    string
		headers []string
		status  int
		problem string
		header  string // "Name: value" that the answer must have; value may end in *
	}{
		{"no such path", "/v2/hubs/orders/messages", "x", nil, 404, "no-such-path", ""},
		{"path below messages", "/v1/hubs/orders/messages/0", "x", nil, 404, "no-such-path", ""},
		{"slash doubled", "/v1/hubs//orders/messages", "x", nil, 404, "no-such-path", ""},
		{"hub with escapes", "/v1/hubs/ord%65rs/messages", "x", nil, 404, "no-such-path", ""},
		{"hub with a slash", "/v1/hubs/a%2Fb/messages", "x", nil, 404, "no-such-path", ""},
		{"hub too long", "/v1/hubs/" + strings.Repeat("h", 257) + "/messages", "x", nil, 404, "no-such-path", ""},
		{"path unknown without credential", "/nothing", "x", []string{"Authorization: -"}, 404, "no-such-path", ""},
		{"GET on messages", "GET /v1/hubs/orders/messages", "", nil, 405, "method-not-allowed", "Allow: POST"},
		{"PUT on a batch", "PUT /v1/hubs/orders/messages:batch", "x", nil, 405, "method-not-allowed", "Allow: POST"},
		{"POST on the description", "POST /openapi.json", "x", nil, 405, "method-not-allowed", "Allow: GET, HEAD"},
		{"preflight with CORS off", "OPTIONS /v1/hubs/orders/messages", "", []string{"Origin: https://a.example", "Access-Control-Request-Method: POST"}, 405, "method-not-allowed", ""},

		{"no credential", "", "x", []string{"Authorization: -"}, 401, "unauthorized", `WWW-Authenticate: Bearer realm="evhub"`},
		{"another scheme", "", "x", []string{"Authorization: Basic YTpi"}, 401, "unauthorized", `WWW-Authenticate: Bearer realm="evhub"`},
		{"two credentials", "", "x", []string{"Authorization: +"}, 400, "bad-credential", `WWW-Authenticate: Bearer realm="evhub"`},
		{"token in the query", "/v1/hubs/orders/messages?access_token=abc", "x", nil, 400, "bad-credential", `WWW-Authenticate: Bearer realm="evhub", error="invalid_request"`},
		{"token in the query, escaped", "/v1/hubs/orders/messages?a=b&access%5Ftoken=abc", "x", nil, 400, "bad-credential", ""},
		{"token in a broken query", "/v1/hubs/orders/messages?%zz&access_token=abc", "x", nil, 400, "bad-credential", ""},
		{"key in the query", "/v1/hubs/orders/messages?key=7", "x", nil, 400, "unexpected-query", ""},
		{"query and no right", "/v1/hubs/nowhere/messages?key=7", "x", nil, 403, "forbidden", ""},
		{"query of a batch", "/v1/hubs/orders/messages:batch?api-version=1", `{"items":[{"body":1}]}`, []string{asJSON}, 400, "unexpected-query", ""},
		{"keys not there yet", "", "x", []string{"Authorization: Bearer later"}, 503, "credential-not-checked", "Retry-After: *"},
		{"verifier fails", "", "x", []string{"Authorization: Bearer broken"}, 503, "credential-not-checked", "Retry-After: *"},
		{"no right", "", "x", []string{"Authorization: Bearer nobody"}, 403, "forbidden", `WWW-Authenticate: Bearer realm="evhub", error="insufficient_scope"`},
		{"no right and no hub", "/v1/hubs/nowhere/messages", "x", nil, 403, "forbidden", ""},
		{"right and no hub", "/v1/hubs/missing/messages", "x", nil, 404, "unknown-hub", ""},
		{"hub in other case", "/v1/hubs/Orders/messages", "x", nil, 403, "forbidden", ""},

		{"body too large", "", big, nil, 413, "too-large", ""},
		{"batch too large", ":batch", strings.Repeat(" ", 1001), []string{asJSON}, 413, "too-large", ""},
		{"too many items", ":batch", `{"items":[1,1,1,1]}`, []string{asJSON}, 413, "too-large", ""},
		{"compressed", "", "x", []string{"Content-Encoding: gzip"}, 415, "unsupported-content-encoding", "Accept-Encoding: identity"},
		{"no media type", "", "x", []string{"Content-Type: json"}, 415, "unsupported-content-type", ""},
		{"two content types", "", "x", []string{asJSON, asEvent}, 400, "bad-header", ""},
		{"events in another format", "", "x", []string{"Content-Type: application/cloudevents+avro"}, 415, "unsupported-content-type", ""},
		{"batch on the single path", "", "[]", []string{asEvents}, 415, "unsupported-content-type", ""},
		{"batch of another type", ":batch", "x", []string{"Content-Type: text/plain"}, 415, "unsupported-content-type", ""},
		{"batch without type", ":batch", "x", nil, 415, "unsupported-content-type", ""},

		{"not JSON", "", `{"a":1,}`, []string{asJSON}, 400, "malformed-json", ""},
		{"not UTF-8", "", "\"\xff\"", []string{asJSON}, 400, "malformed-json", ""},
		{"empty JSON", "", "", []string{"Content-Type: application/vnd.x+json; charset=utf-8"}, 400, "malformed-json", ""},
		{"JSON too deep", "", strings.Repeat("[", 99), []string{asJSON}, 400, "malformed-json", ""},
		{"structured event not JSON", "", "{", []string{asEvent}, 400, "malformed-json", ""},
		{"batch not JSON", ":batch", "[}", []string{asEvents}, 400, "malformed-json", ""},

		{"key and partition", "", "x", []string{"Partition-Key: a", "Partition-Id: 1"}, 400, "bad-header", ""},
		{"key too long", "", "x", []string{"Partition-Key: " + long}, 400, "bad-header", ""},
		{"two keys", "", "x", []string{"Partition-Key: a", "Partition-Key: b"}, 400, "bad-header", ""},
		{"key not UTF-8", "", "x", []string{"Partition-Key: \xff"}, 400, "bad-header", ""},
		{"partition not a number", "", "x", []string{"Partition-Id: one"}, 400, "bad-header", ""},
		{"partition with a zero ahead", "", "x", []string{"Partition-Id: 01"}, 400, "bad-header", ""},
		{"property without name", "", "x", []string{"Message-Property-: 1"}, 400, "bad-header", ""},
		{"property name too long", "", "x", []string{"Message-Property-" + long + ": 1"}, 400, "bad-header", ""},
		{"property twice", "", "x", []string{"Message-Property-A: 1", "Message-Property-A: 1"}, 400, "bad-header", ""},
		{"property not UTF-8", "", "x", []string{"Message-Property-A: \xff"}, 400, "bad-header", ""},
		{"property on a batch", ":batch", `{"items":[{"body":1}]}`, []string{asJSON, "Message-Property-A: 1"}, 400, "bad-header", ""},
		{"key on a batch", ":batch", `{"items":[{"body":1}]}`, []string{asJSON, "Partition-Key: 1"}, 400, "bad-header", ""},
		{"idempotency key empty", "", "x", []string{`Idempotency-Key: ""`}, 400, "bad-header", ""},
		{"idempotency key too long", "", "x", []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, 400, "bad-header", ""},
		{"idempotency key unclosed", "", "x", []string{`Idempotency-Key: "a`}, 400, "bad-header", ""},
		{"idempotency key with parameters", "", "x", []string{`Idempotency-Key: "a";b`}, 400, "bad-header", ""},
		{"idempotency key not ASCII", "", "x", []string{"Idempotency-Key: ä"}, 400, "bad-header", ""},
		{"two idempotency keys", "", "x", []string{"Idempotency-Key: a", "Idempotency-Key: b"}, 400, "bad-header", ""},

		{"envelope is an array", ":batch", `[]`, []string{asJSON}, 422, "invalid-message", ""},
		{"envelope with another member", ":batch", `{"items":[{"body":1}],"x":1}`, []string{asJSON}, 422, "invalid-message", ""},
		{"envelope with items twice", ":batch", `{"items":[{"body":1}],"items":[]}`, []string{asJSON}, 422, "invalid-message", ""},
		{"envelope without items", ":batch", `{}`, []string{asJSON}, 422, "invalid-message", ""},
		{"items no array", ":batch", `{"items":{}}`, []string{asJSON}, 422, "invalid-message", ""},
		{"empty batch", ":batch", `[]`, []string{asEvents}, 422, "invalid-message", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &target{}
			a := keep(t, start(t, s, small), request(row.path, row.body, row.headers...))
			if a.status != row.status || a.problem() != row.problem {
				t.Fatalf("got %d %s, want %d %s: %s", a.status, a.problem(), row.status, row.problem, a.body)
			}
			if len(s.messages()) > 0 {
				t.Error("a message was stored")
			}
			if got := a.header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			if a.json["status"] != float64(row.status) || a.json["detail"] == "" || a.json["title"] == "" {
				t.Errorf("incomplete: %s", a.body)
			}
			if name, want, ok := strings.Cut(row.header, ": "); ok {
				got := a.header.Get(name)
				if prefix, open := strings.CutSuffix(want, "*"); got != want && !(open && got != "" && strings.HasPrefix(got, prefix)) {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestPositionOfMistake wants to be told where JSON is broken.
func TestPositionOfMistake(t *testing.T) {
	t.Parallel()
	g := start(t, &target{}, nil)
	for body, want := range map[string]string{`{"a":1,}`: "byte 8", "\"\xff\"": "byte 2", `[1,2`: "byte 4"} {
		a := keep(t, g, request("", body, asJSON))
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, want) {
			t.Errorf("%q: %q does not say %q", body, detail, want)
		}
	}
}

// TestReasons has a row for every notify.Reason, once for a single message and once for a batch.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason    notify.Reason
		status    int
		problem   string
		outcome   string
		retryable bool
		waits     bool
	}{
		{notify.Internal, 500, "internal", "not stored", false, false},
		{notify.Invalid, 422, "invalid-message", "not stored", false, false},
		{notify.TooLarge, 413, "too-large", "not stored", false, false},
		{notify.NotFound, 404, "unknown-hub", "not stored", false, false},
		{notify.Denied, 502, "refused-by-target", "not stored", false, false},
		{notify.Busy, 503, "busy", "not stored", true, true},
		{notify.Unavailable, 503, "unavailable", "not stored", true, true},
		{notify.Expired, 503, "expired", "not stored", true, true},
		{notify.Closed, 503, "draining", "not stored", true, true},
		{notify.Unknown, 504, "outcome-unknown", "unknown", true, false},
		{notify.Reason(99), 500, "internal", "not stored", false, false},
	} {
		t.Run(row.reason.String(), func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			g := start(t, &target{say: failing(row.reason, "the words for the caller")}, func(o *gateway.Options) {
				o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			for _, r := range []*http.Request{request("", "x"), request(":batch", `{"items":[{"body":1},{"body":2}]}`, asJSON)} {
				a := keep(t, g, r)
				if a.status != row.status || a.problem() != row.problem || a.json["outcome"] != row.outcome || a.json["retryable"] != row.retryable {
					t.Errorf("%s: got %d %s", r.URL.Path, a.status, a.body)
				}
				if waits := a.header.Get("Retry-After") != ""; waits != row.waits {
					t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
				}
				if strings.Contains(a.body, "SECRET-OF-THE-TARGET") {
					t.Errorf("the target's words are in the answer: %s", a.body)
				}
				meant := row.reason == notify.Invalid || row.reason == notify.TooLarge
				if got := strings.Contains(a.body, "the words for the caller"); got != meant {
					t.Errorf("the notifier's words are in the answer: %v, want %v", got, meant)
				}
			}
			operators := row.reason != notify.Invalid && row.reason != notify.TooLarge && row.reason != notify.Expired
			if got := strings.Contains(log.String(), "SECRET-OF-THE-TARGET"); got != operators {
				t.Errorf("the cause is in the log: %v, want %v", got, operators)
			}
		})
	}
}

// TestRetryAfterOfTarget wants the target's own wait to be passed on, longer by the jitter only.
func TestRetryAfterOfTarget(t *testing.T) {
	t.Parallel()
	g := start(t, &target{say: func(*notify.Message) notify.Result {
		return notify.Result{Err: &notify.Error{Reason: notify.Busy, RetryAfter: 3500 * time.Millisecond}}
	}}, nil)
	for range 50 {
		a := keep(t, g, request("", "x"))
		if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 4 || n > 9 {
			t.Fatalf("Retry-After is %q, want 4 to 9", a.header.Get("Retry-After"))
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	route := gateway.Route{Notifier: &target{}}
	for _, row := range []struct {
		name string
		o    gateway.Options
		want string
	}{
		{"no tokens", gateway.Options{}, "no Tokens"},
		{"bad name", gateway.Options{Tokens: tokens{}, Routes: map[string]gateway.Route{"a/b": route}}, `route "a/b"`},
		{"no notifier", gateway.Options{Tokens: tokens{}, Routes: map[string]gateway.Route{"a": {}}}, `route "a" has no Notifier`},
		{"negative", gateway.Options{Tokens: tokens{}, Limits: gateway.Limits{BodyBytesMax: -1}}, "negative"},
		{"share over one", gateway.Options{Tokens: tokens{}, Limits: gateway.Limits{PrincipalShare: 2}}, "PrincipalShare"},
		{"share too small", gateway.Options{Tokens: tokens{}, Limits: gateway.Limits{InFlightBytesMax: 8 << 20}}, "largest request"},
	} {
		if _, err := gateway.New(row.o); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, want one that says %q", row.name, err, row.want)
		}
	}
}

// TestWhatProblemsName wants a problem to name what is at fault, in characters that can be read.
func TestWhatProblemsName(t *testing.T) {
	t.Parallel()
	noPartition := func(o *gateway.Options) {
		o.Routes = map[string]gateway.Route{"orders": {Notifier: &target{say: failing(notify.NotFound, "")}}}
	}
	g := start(t, &target{}, noPartition)
	_, verifier := newIssuer(t, 0)
	strict := start(t, &target{}, func(o *gateway.Options) { o.Tokens = gateway.JWT(verifier) })
	const batchType = "Content-Type: application/json"
	for _, row := range []struct {
		name   string
		answer reply
		want   string
	}{
		{"partition", serve(t, g, request("", "x", "Partition-Id: 99")), "the event hub has no partition 99"},
		{"member", serve(t, g, request(":batch", `{"items":[{"body":1,"a/b":2}]}`, batchType)), `"pointer":"/items/0/a~1b"`},
		{"array", serve(t, g, request(":batch", `[]`, batchType)), "application/cloudevents-batch+json"},
		{"token", serve(t, strict, request("", "x", "Authorization: -")), "Authorization: Bearer <token>"},
	} {
		if !strings.Contains(row.answer.body, row.want) {
			t.Errorf("%s: no %s in %s", row.name, row.want, row.answer.body)
		}
	}
}

// TestTooLargeIsTrue wants the number in the answer called this service's own: a body of exactly that size may still be more than the hub
// takes, whose limit counts properties.
func TestTooLargeIsTrue(t *testing.T) {
	t.Parallel()
	g := start(t, &target{}, func(o *gateway.Options) { o.Limits.BodyBytesMax, o.Limits.BatchBytesMax = 100, 1000 })
	for _, row := range []struct{ name, path, body, number string }{
		{"a body", "", strings.Repeat("x", 101), "reads 100 bytes"},
		{"a batch", ":batch", strings.Repeat(" ", 1001), "reads 1000 bytes"},
		{"an item of a batch", ":batch", `{"items":[{"body":"` + strings.Repeat("x", 101) + `"}]}`, "reads 100 bytes"},
	} {
		a := serve(t, g, request(row.path, row.body, "Content-Type: application/json"))
		if a.status != 413 || !strings.Contains(a.body, row.number) || !strings.Contains(a.body, "the event hub may take less") {
			t.Errorf("%s: %d %s", row.name, a.status, a.body)
		}
	}
}
