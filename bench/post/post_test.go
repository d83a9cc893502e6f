package post_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/bench/post"
	"github.com/evhub-dev/evhub/bench/toy"
)

func serve(t *testing.T, h http.Handler) (addr string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// await lets a run go on until it has done so much.
func await(t *testing.T, r *post.Run, events int64) {
	t.Helper()
	for until := time.Now().Add(time.Minute); r.Progress().Completed < events; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d events in a minute", r.Progress().Completed)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]post.Options{
		"closed loop": {Conns: 3},
		"paced":       {Conns: 3, PerSec: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bodies, credentials atomic.Int64
			own := &toy.HTTP{}
			o.Addr = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength == 5 && r.URL.Path == "/a" && r.Header.Get("Content-Type") == "application/json" {
					bodies.Add(1)
				}
				if r.Header.Get("Authorization") == "Bearer one" {
					credentials.Add(1)
				}
				own.ServeHTTP(w, r)
			}))
			o.Path, o.Tokens, o.Body, o.Events = "/a", []string{"one", ""}, []byte(`"abc"`), 10
			r, err := post.Start(o)
			if err != nil {
				t.Fatal(err)
			}
			r.Record()
			await(t, r, 500)
			latency, err := r.Stop()
			if err != nil {
				t.Fatal(err)
			}
			done := r.Progress().Completed / 10
			if n := latency.Count(); n < 1 || n > done || latency.Quantile(0.5) <= 0 {
				t.Errorf("%d latencies of %d requests, p50 %s", n, done, latency.Quantile(0.5))
			}
			if bodies.Load() != done || credentials.Load() == 0 || credentials.Load() == done {
				t.Errorf("%d bodies and %d credentials arrived, of %d", bodies.Load(), credentials.Load(), done)
			}
		})
	}
}

// TestSchedule: latency counts from when a request should have been sent, not from when the server had time for it.
func TestSchedule(t *testing.T) {
	t.Parallel()
	own, first := &toy.HTTP{}, make(chan struct{})
	var n atomic.Int64
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			<-first
		}
		own.ServeHTTP(w, r)
	}))
	r, err := post.Start(post.Options{Addr: addr, Path: "/", Tokens: []string{""}, Events: 1, Conns: 1, PerSec: 1000})
	if err != nil {
		t.Fatal(err)
	}
	r.Record()
	const held = 200 * time.Millisecond
	time.AfterFunc(held, func() { close(first) })
	await(t, r, 50)
	latency, err := r.Stop()
	if got := latency.Quantile(0.5); err != nil || got < held/2 {
		t.Errorf("p50 %s behind a request that took %s; %v", got, held, err)
	}
}

func TestWrongAnswersEndARun(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"another status": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"hangs up":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, perSec := range []float64{0, 100} {
				r, err := post.Start(post.Options{Addr: serve(t, h), Path: "/", Tokens: []string{""}, Events: 1, Conns: 2, PerSec: perSec})
				if err != nil {
					t.Fatal(err)
				}
				r.Wait()
				if _, err := r.Stop(); err == nil || r.Progress().Completed != 0 {
					t.Errorf("%v after %d", err, r.Progress().Completed)
				}
			}
		})
	}
	if r, err := post.Start(post.Options{Addr: "127.0.0.1:1", Conns: 1}); err == nil {
		t.Errorf("without tokens: %v", r)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const long = 100_000
	for _, row := range []struct {
		text  string
		want  post.Answer
		error string
	}{
		{"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", post.Answer{Status: 201, Body: []byte("ok")}, ""},
		{"HTTP/1.1 429 X\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", post.Answer{Status: 429, RetryAfter: true, Close: true}, ""},
		{"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
			post.Answer{Status: 201, Body: []byte("ab0123456789abcdef")}, ""},
		{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", long, strings.Repeat("x", long)), post.Answer{Status: 200, Body: []byte(strings.Repeat("x", long))}, ""},
		{"HTTP/1.1 201 Created\r\n\r\n", post.Answer{}, "not announced"},
		{"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n", post.Answer{}, "Content-Length"},
		{"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nok", post.Answer{}, "unexpected EOF"},
		{"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", post.Answer{}, "invalid syntax"},
		{"SSH-2.0-OpenSSH\r\n", post.Answer{}, "begins with"},
		{"", post.Answer{}, "EOF"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer ln.Close()
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			nc.Read(make([]byte, 1000))
			nc.Write([]byte(row.text))
			nc.Close()
		}()
		c, err := post.Dial(ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Do(post.Request("here", "/", "", nil))
		c.Close()
		if row.error != "" {
			if err == nil || !strings.Contains(err.Error(), row.error) {
				t.Errorf("%.60q: %v, want %s", row.text, err, row.error)
			}
			continue
		}
		if err != nil || a.Status != row.want.Status || a.RetryAfter != row.want.RetryAfter || a.Close != row.want.Close || string(a.Body) != string(row.want.Body) {
			t.Errorf("%.60q: %+v, %v", row.text, a, err)
		}
	}
}
