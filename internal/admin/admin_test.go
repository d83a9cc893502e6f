package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

func newHall(t testing.TB) *hub.Hall {
	t.Helper()
	store := memlog.New(memlog.Options{})
	hall, err := hub.New(hub.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hall.Close(); store.Close() })
	return hall
}

func newAdmin(t *testing.T, o Options) *Admin {
	t.Helper()
	if o.Hall == nil {
		o.Hall = newHall(t)
	}
	if o.Health == nil {
		o.Health = func(context.Context) error { return nil }
	}
	return New(o)
}

// ask sends a request as if it had come in on the address at.
func ask(a *Admin, at string, r *http.Request) *httptest.ResponseRecorder {
	addr := net.TCPAddrFromAddrPort(mustAddrPort(at))
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr))))
	return w
}

const (
	onThisMachine = "127.0.0.1:5300"
	beyond        = "192.0.2.1:5300"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		handler http.Handler
		want    bool
	}{
		{"an evhub", newAdmin(t, Options{}), true},
		{"another server", http.NotFoundHandler(), false},
		{"one that says nothing", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), false},
	} {
		server := httptest.NewServer(tt.handler)
		address := server.Listener.Addr().String()
		if got := Answers(t.Context(), address); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
		server.Close()
		if Answers(t.Context(), address) {
			t.Errorf("%s, which has gone, answers", tt.name)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		health error
		status int
		body   string
	}{
		{"healthy", nil, 200, `{"status":"healthy","message":"Service is healthy."}`},
		{"unhealthy", errors.New("AMQP does not answer"), 503, `{"status":"unhealthy","message":"AMQP does not answer"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAdmin(t, Options{Health: func(context.Context) error { return tt.health }})
			for _, at := range []string{onThisMachine, beyond} {
				w := ask(a, at, httptest.NewRequest("GET", "http://localhost:5300/health", nil))
				if w.Code != tt.status || w.Body.String() != tt.body {
					t.Errorf("at %s: %d %s, want %d %s", at, w.Code, w.Body, tt.status, tt.body)
				}
			}
		})
	}
}

func TestHealthIsBounded(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, Options{Health: func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			return errors.New("no deadline")
		}
		return nil
	}})
	if w := ask(a, onThisMachine, httptest.NewRequest("GET", "http://localhost/health", nil)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSender(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, Options{})
	for _, tt := range []struct {
		name, at, host, origin string
		status                 int
	}{
		{"localhost", onThisMachine, "localhost:5300", "", 200},
		{"localhost in capitals", onThisMachine, "LOCALHOST", "", 200},
		{"loopback", onThisMachine, "127.0.0.1:5300", "", 200},
		{"another loopback", onThisMachine, "127.8.8.8", "", 200},
		{"IPv6 loopback", "[::1]:5300", "[::1]:5300", "", 200},
		{"IPv6 loopback without port", "[::1]:5300", "[::1]", "", 200},
		{"another port, forwarded", onThisMachine, "localhost:15300", "", 200},
		{"rebound name", onThisMachine, "evil.example:5300", "", 403},
		{"rebound name on IPv6", "[::1]:5300", "evil.example:5300", "", 403},
		{"name that begins like localhost", onThisMachine, "localhost.evil.example", "", 403},
		{"foreign address", onThisMachine, "192.0.2.1:5300", "", 403},
		{"no host", onThisMachine, "", "", 403},
		{"beyond loopback under a name that anyone could register", beyond, "evhub.example:5300", "", 403},
		{"beyond loopback under a container's name", beyond, "evhub:5300", "", 200},
		{"web page", onThisMachine, "localhost:5300", "http://evil.example", 403},
		{"web page without origin", onThisMachine, "localhost:5300", "null", 403},
		{"own web page", onThisMachine, "localhost:5300", "http://localhost:5300", 403},
		{"web page beyond loopback", beyond, "evhub.example", "http://evil.example", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/", "/health", "/metrics"} {
				r := httptest.NewRequest("GET", path, nil)
				r.Host = tt.host
				if tt.origin != "" {
					r.Header.Set("Origin", tt.origin)
				}
				if w := ask(a, tt.at, r); w.Code != tt.status {
					t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, tt.status)
				}
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, Options{Version: "v1.2.3"})
	for _, tt := range []struct {
		method, path string
		status       int
		has          string
	}{
		{"GET", "/", 200, "evhub v1.2.3\n"},
		{"HEAD", "/health", 200, ""},
		{"GET", "/nothing", 404, "not found"},
		{"POST", "/health", 405, ""},
		{"DELETE", "/metrics", 405, ""},
	} {
		w := ask(a, onThisMachine, httptest.NewRequest(tt.method, "http://localhost"+tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.has) {
			t.Errorf("%s %s: %d %q, want %d with %q", tt.method, tt.path, w.Code, w.Body, tt.status, tt.has)
		}
	}
}

func TestMetricsAskForAnOperatorBeyondLoopback(t *testing.T) {
	t.Parallel()
	policies, err := auth.NewPolicies(
		auth.Policy{Name: "ops", Key: "ops-key-1", Rights: auth.Manage, Namespace: "ns1"},
		auth.Policy{Name: "app", Key: "app-key-1", Rights: auth.Send | auth.Listen, Namespace: "ns1"},
		auth.Policy{Name: "one", Key: "one-key-1", Rights: auth.Manage, Namespace: "ns1", Hub: "eh1"},
	)
	if err != nil {
		t.Fatal(err)
	}
	a := newAdmin(t, Options{Auth: policies})
	basic := func(name, key string) func(*http.Request) { return func(r *http.Request) { r.SetBasicAuth(name, key) } }
	header := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", v) }
	}
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name   string
		at     string
		with   func(*http.Request)
		status int
	}{
		{"loopback", onThisMachine, basic("", ""), 200},
		{"nothing", beyond, func(*http.Request) {}, 401},
		{"operator", beyond, basic("ops", "ops-key-1"), 200},
		{"operator's token", beyond, header(auth.SignSAS("sb://evhub/", "ops", "ops-key-1", later)), 200},
		{"expired token", beyond, header(auth.SignSAS("sb://evhub/", "ops", "ops-key-1", before)), 401},
		{"operator's token for one hub", beyond, header(auth.SignSAS("sb://evhub/eh1", "ops", "ops-key-1", later)), 401},
		{"wrong key", beyond, basic("ops", "app-key-1"), 401},
		{"no such policy", beyond, basic("nobody", "ops-key-1"), 401},
		{"development key", beyond, basic(auth.RootKeyName, auth.RootKey), 401},
		{"without Manage", beyond, basic("app", "app-key-1"), 403},
		{"Manage of one hub", beyond, basic("one", "one-key-1"), 403},
		{"another scheme", beyond, header("Bearer abc"), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "http://localhost/metrics", nil)
			tt.with(r)
			w := ask(a, tt.at, r)
			if w.Code != tt.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tt.status)
			}
			if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (tt.status == 401) {
				t.Errorf("WWW-Authenticate is %q with status %d", w.Header().Get("WWW-Authenticate"), w.Code)
			}
			if strings.Contains(w.Body.String(), "key-1") {
				t.Errorf("a key is in the answer: %s", w.Body)
			}
		})
	}
}

func TestMetricsAreOpenWithoutPolicies(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, Options{})
	if w := ask(a, beyond, httptest.NewRequest("GET", "http://localhost/metrics", nil)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestServerHasTimeouts(t *testing.T) {
	t.Parallel()
	s := newAdmin(t, Options{}).Server()
	for name, d := range map[string]time.Duration{
		"ReadHeaderTimeout": s.ReadHeaderTimeout, "ReadTimeout": s.ReadTimeout, "WriteTimeout": s.WriteTimeout, "IdleTimeout": s.IdleTimeout,
	} {
		if d <= 0 || d > 2*time.Minute {
			t.Errorf("%s is %s", name, d)
		}
	}
}
