package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealthOfOthers asks servers that are no broker's /health: what was asked, the status and the reason are said.
func TestHealthOfOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path string
		status     int
		body       string
		says       string // {} is the server's address
	}{
		{"ready", "/readyz", 200, "ready\n", "{}/readyz: 200 OK: ready\n"},
		{"draining", "/readyz", 503, "draining\n", "{}/readyz: 503 Service Unavailable: draining\n"},
		{"many reasons", "/readyz", 503, "\nno keys\nno route\n", "{}/readyz: 503 Service Unavailable: no keys\n"},
		{"no reason", "/livez", 200, "", "{}/livez: 200 OK\n"},
		{"JSON of something else", "/readyz", 200, `{"status":"up"}`, "{}/readyz: 200 OK: {\"status\":\"up\"}\n"},
		{"not for a terminal", "/x", 404, "\x1b[31mno\x07\u202e", "{}/x: 404 Not Found: [31mno\n"},
		{"long", "/x", 200, strings.Repeat("é", 300), "{}/x: 200 OK: " + strings.Repeat("é", 200) + "...\n"},
		{"a broker", "", 200, `{"message":"Service is healthy."}`, "Service is healthy.\n"},
		{"a broker that is not well", "/health", 503, `{"message":"no hubs"}`, "no hubs\n"},
		{"no broker on its port", "/health", 200, "<html>", "{}/health: 200 OK: <html>\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			}))
			defer server.Close()
			want := strings.ReplaceAll(tt.says, "{}", server.URL)
			r := evhub(t, nil, "", "health", server.URL+tt.path)
			if tt.status == http.StatusOK {
				if got := r.ok(t); got != want {
					t.Errorf("said %q, want %q", got, want)
				}
				return
			}
			r.fails(t, exitFailed, "evhub: "+want)
		})
	}
}

func TestHealthOfNobody(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	evhub(t, nil, "", "health", server.URL).fails(t, exitFailed, "no health from "+server.URL+"/health: ", "evhub serve")
	r := evhub(t, nil, "", "health", server.URL+"/readyz")
	if r.fails(t, exitFailed, "no health from "+server.URL+"/readyz: "); strings.Contains(r.err, "evhub serve") {
		t.Errorf("a hint that does not help: %s", r.err)
	}
}
