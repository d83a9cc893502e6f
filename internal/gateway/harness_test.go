package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify"
)

// target is a notifier that keeps what it gets, and says what it is told to.
type target struct {
	mu   sync.Mutex
	kept []notify.Message // deep copies, in order
	hubs []string

	say  func(m *notify.Message) notify.Result // nil: stored without a place
	hold chan struct{}                         // Send waits for it; nil: not
}

func (s *target) Send(ctx context.Context, hub string, messages ...notify.Message) []notify.Result {
	results := make([]notify.Result, len(messages))
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			for i := range results {
				results[i].Err = &notify.Error{Reason: notify.Unknown, Text: "no answer"}
			}
			return results
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range messages {
		if s.say != nil {
			results[i] = s.say(&messages[i])
		}
		if results[i].Err == nil {
			m := messages[i]
			m.Body, m.Properties = slices.Clone(m.Body), maps.Clone(m.Properties)
			s.kept, s.hubs = append(s.kept, m), append(s.hubs, hub)
		}
	}
	return results
}

func (s *target) messages() []notify.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

// failing gives a notifier's answer.
func failing(reason notify.Reason, text string) func(*notify.Message) notify.Result {
	return func(*notify.Message) notify.Result {
		return notify.Result{Err: &notify.Error{Reason: reason, Text: text, Err: fmt.Errorf("SECRET-OF-THE-TARGET")}}
	}
}

// tokens lets in "Bearer <name>": anyone may publish to orders, alerts and missing, but nobody else's name begins with "no".
type tokens struct{ quota gateway.Quota }

func (tokens) Remembered([]string) (gateway.Principal, error) { return nil, nil }

type user struct {
	name  string
	quota gateway.Quota
}

func (tk tokens) Verify(_ context.Context, authorization []string) (gateway.Principal, error) {
	challenge := func(realm string) string { return `Bearer realm="` + realm + `"` }
	if len(authorization) > 1 {
		return nil, &gateway.TokenError{Status: 400, Text: "two credentials", Challenge: challenge}
	}
	name, ok := "", false
	if len(authorization) == 1 {
		name, ok = strings.CutPrefix(authorization[0], "Bearer ")
	}
	switch {
	case !ok || name == "":
		return nil, &gateway.TokenError{Status: 401, Text: "send a token", Challenge: challenge}
	case name == "later":
		return nil, &gateway.TokenError{Status: 503, Text: "no keys yet", RetryAfter: 5 * time.Second}
	case name == "broken":
		return nil, fmt.Errorf("something else")
	}
	return &user{name, tk.quota}, nil
}

func (u *user) ID() string { return "https://issuer#sub=" + u.name }

func (u *user) Identity() gateway.Identity {
	return gateway.Identity{Issuer: "https://issuer", Subject: u.name, Client: "app", TokenID: "jti-1"}
}

func (u *user) MayPublish(hub string) (gateway.Quota, error) {
	if !slices.Contains([]string{"orders", "alerts", "missing"}, hub) || strings.HasPrefix(u.name, "no") {
		return gateway.Quota{}, &gateway.TokenError{Status: 403, Text: "no right", Challenge: func(realm string) string {
			return `Bearer realm="` + realm + `", error="insufficient_scope"`
		}}
	}
	return u.quota, nil
}

// start makes a gateway to one target, which serves orders (called in-orders there) and alerts.
func start(t testing.TB, s *target, change func(*gateway.Options)) *gateway.Gateway {
	t.Helper()
	o := gateway.Options{
		Routes: map[string]gateway.Route{"orders": {Notifier: s, Hub: "in-orders"}, "alerts": {Notifier: s}},
		Tokens: tokens{},
	}
	if change != nil {
		change(&o)
	}
	g, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// request makes a POST by anna to orders, unless the path says otherwise. Headers are "Name: value".
func request(path, body string, headers ...string) *http.Request {
	method := "POST"
	if m, p, ok := strings.Cut(path, " "); ok {
		method, path = m, p
	}
	switch path {
	case "":
		path = "/v1/hubs/orders/messages"
	case ":batch":
		path = "/v1/hubs/orders/messages:batch"
	}
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, path, nil)
	} else {
		r = httptest.NewRequest(method, path, strings.NewReader(body))
	}
	r.Header.Set("Authorization", "Bearer anna")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch {
		case name == "Authorization" && value == "-":
			r.Header.Del(name)
		case name == "Authorization" && value != "+":
			r.Header.Set(name, value)
		default:
			r.Header.Add(name, value)
		}
	}
	return r
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any // of the body; nil if it is none
}

func read(t testing.TB, res *http.Response) reply {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	a := reply{status: res.StatusCode, header: res.Header, body: string(b)}
	json.Unmarshal(b, &a.json)
	return a
}

func serve(t testing.TB, g http.Handler, r *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return read(t, w.Result())
}

// problem is the last part of the type of a problem.
func (a *reply) problem() string {
	s, _ := a.json["type"].(string)
	slug, _ := strings.CutPrefix(s, "https://evhub.dev/problems/")
	return slug
}

// items are the statuses in items[].
func (a *reply) items() []int {
	var statuses []int
	list, _ := a.json["items"].([]any)
	for _, item := range list {
		status, _ := item.(map[string]any)["status"].(float64)
		statuses = append(statuses, int(status))
	}
	return statuses
}

// unlocked asks a target what to say without its lock, so that it may panic.
type unlocked struct{ s *target }

func (u unlocked) Send(_ context.Context, _ string, messages ...notify.Message) []notify.Result {
	results := make([]notify.Result, len(messages))
	for i := range messages {
		results[i] = u.s.say(&messages[i])
	}
	return results
}
