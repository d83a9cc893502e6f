package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/internal/pipes"
	"github.com/evhub-dev/evhub/notify"
)

// TestShare has one caller with ten times what fits: it is refused at its share, and another one is let in all the same. Whatever was
// reserved is given back.
func TestShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{hold: make(chan struct{})}
		const each, fits = 8<<10 + 1000, 5 // bytes a request, requests in a share
		g := start(t, s, func(o *gateway.Options) {
			o.Limits = gateway.Limits{BodyBytesMax: 1000, BatchBytesMax: 1000, BatchItemsMax: 1, InFlightBytesMax: 4 * fits * each, PrincipalShare: 0.25}
		})
		body := strings.Repeat("x", 1000)
		answers := make(chan reply, 100)
		flood := func(who string, n int) {
			for range n {
				go func() { answers <- serve(t, g, request("", body, "Authorization: Bearer "+who)) }()
			}
			synctest.Wait()
		}
		flood("anna", 10*fits)
		for range 10*fits - fits {
			if a := <-answers; a.status != 429 || a.problem() != "too-much-in-flight" || a.header.Get("Retry-After") == "" {
				t.Fatalf("got %d %s", a.status, a.body)
			}
		}
		for _, who := range []string{"bert", "carl", "dora"} {
			if flood(who, fits); len(answers) > 0 {
				a := <-answers
				t.Fatalf("%s was not let in: %d %s", who, a.status, a.body)
			}
		}
		flood("emil", 1) // within his share, but all is taken
		if a := <-answers; a.status != 503 || a.problem() != "overloaded" || a.header.Get("Retry-After") == "" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		wantMetric(t, g, fmt.Sprintf("evhub_gateway_in_flight_bytes %d", 4*fits*each))
		wantMetric(t, g, fmt.Sprintf("evhub_gateway_requests_in_flight %d", 4*fits))
		close(s.hold)
		for range 4 * fits {
			if a := <-answers; a.status != 201 {
				t.Errorf("got %d %s", a.status, a.body)
			}
		}
		wantMetric(t, g, "evhub_gateway_in_flight_bytes 0")
	})
}

func wantMetric(t *testing.T, g *gateway.Gateway, line string) {
	t.Helper()
	w := httptest.NewRecorder()
	g.Probes().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
		name, _, _ := strings.Cut(line, "{")
		name, _, _ = strings.Cut(name, " ")
		for got := range strings.Lines(w.Body.String()) {
			if strings.HasPrefix(got, name) {
				t.Log(strings.TrimSpace(got))
			}
		}
		t.Errorf("no metric %s", line)
	}
}

// unannounced hides a body's size, as chunked encoding does.
type unannounced struct{ io.Reader }

// TestUnannouncedBody wants a body without Content-Length to be bounded like any other.
func TestUnannouncedBody(t *testing.T) {
	t.Parallel()
	s := &target{}
	g := start(t, s, func(o *gateway.Options) { o.Limits.BodyBytesMax = 100_000 })
	for size, status := range map[int]int{0: 201, 1: 201, 16 << 10: 201, 16<<10 + 1: 201, 99_999: 201, 100_000: 201, 100_001: 413, 1 << 20: 413} {
		r := httptest.NewRequest("POST", "/v1/hubs/orders/messages", unannounced{strings.NewReader(strings.Repeat("x", size))})
		r.Header.Set("Authorization", "Bearer anna")
		if r.ContentLength != -1 {
			t.Fatal("the size was announced")
		}
		if a := serve(t, g, r); a.status != status {
			t.Errorf("%d bytes: got %d %s, want %d", size, a.status, a.body, status)
		}
	}
	wantMetric(t, g, "evhub_gateway_in_flight_bytes 0")
	total := 0
	for _, m := range s.messages() {
		total += len(m.Body)
	}
	if want := 0 + 1 + 16<<10 + 16<<10 + 1 + 99_999 + 100_000; total != want {
		t.Errorf("%d bytes stored, want %d", total, want)
	}
}

// TestQuota wants the rate to be held over time, debts of large requests included, and each caller to have a quota of its own.
func TestQuota(t *testing.T) {
	t.Parallel()
	type step struct {
		after  time.Duration // since the step before
		items  int           // 0: a single message
		bytes  int
		status int
		wait   string // Retry-After
		left   string // RateLimit
	}
	for _, row := range []struct {
		name  string
		quota gateway.Quota
		steps []step
	}{
		{"messages", gateway.Quota{MessagesPerSecond: 2}, []step{
			{0, 0, 1, 201, "", `"messages";r=1;t=1`}, {0, 0, 1, 201, "", `"messages";r=0;t=1`}, {0, 0, 1, 429, "1", `"messages";r=0;t=1`},
			{499 * time.Millisecond, 0, 1, 429, "1", ""}, {time.Millisecond, 0, 1, 201, "", ""},
			{time.Hour, 0, 1, 201, "", ""}, {0, 0, 1, 201, "", ""}, {0, 0, 1, 429, "1", ""},
		}},
		{"less than one a second", gateway.Quota{MessagesPerSecond: 0.1}, []step{
			{0, 0, 1, 201, "", ""}, {0, 0, 1, 429, "10", `"messages";r=0;t=10`}, {9 * time.Second, 0, 1, 429, "1", ""}, {time.Second, 0, 1, 201, "", ""},
		}},
		{"batch goes into debt", gateway.Quota{MessagesPerSecond: 10}, []step{
			{0, 100, 0, 201, "", ""}, {0, 0, 1, 429, "10", ""}, {9 * time.Second, 0, 1, 429, "1", ""}, {100 * time.Millisecond, 0, 1, 201, "", ""},
		}},
		{"bytes", gateway.Quota{BytesPerSecond: 1000}, []step{
			{0, 0, 900, 201, "", ""}, {0, 0, 200, 429, "1", ""}, {100 * time.Millisecond, 0, 200, 201, "", ""},
		}},
		{"more bytes than a second has", gateway.Quota{BytesPerSecond: 1000}, []step{
			{0, 0, 5000, 201, "", ""}, {0, 0, 1, 429, "5", ""}, {4100 * time.Millisecond, 0, 1, 201, "", ""},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := start(t, &target{}, func(o *gateway.Options) { o.Tokens = tokens{row.quota} })
				for i, step := range row.steps {
					time.Sleep(step.after)
					r := request("", strings.Repeat("x", step.bytes))
					if step.items > 0 {
						r = request(":batch", `{"items":[`+strings.Repeat(`{"body":1},`, step.items-1)+`{"body":1}]}`, asJSON)
					}
					a := serve(t, g, r)
					if a.status != step.status || a.header.Get("Retry-After") != step.wait {
						t.Fatalf("step %d: got %d, Retry-After %q: %s", i, a.status, a.header.Get("Retry-After"), a.body)
					}
					if step.left != "" && a.header.Get("RateLimit") != step.left {
						t.Errorf("step %d: RateLimit %q, want %q", i, a.header.Get("RateLimit"), step.left)
					}
				}
				if a := serve(t, g, request("", "x", "Authorization: Bearer bert")); a.status != 201 {
					t.Errorf("another caller got %d %s", a.status, a.body)
				}
			})
		})
	}
}

// TestQuotasAreBounded wants the caller that was away longest to be forgotten, and no other.
func TestQuotasAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &target{}, func(o *gateway.Options) {
			o.Tokens, o.Limits.QuotasMax = tokens{gateway.Quota{MessagesPerSecond: 1}}, 2
		})
		for _, step := range []struct {
			who    string
			status int
		}{{"a", 201}, {"b", 201}, {"a", 429}, {"c", 201}, {"a", 429}, {"b", 201}, {"c", 201}} {
			if a := serve(t, g, request("", "x", "Authorization: Bearer "+step.who)); a.status != step.status {
				t.Errorf("%s got %d, want %d", step.who, a.status, step.status)
			}
		}
	})
}

// TestHandlerTime wants an answer when the hub gives none, also where the client has left and the key keeps the request going.
func TestHandlerTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &target{hold: make(chan struct{})}, nil)
		for _, headers := range [][]string{nil, {"Idempotency-Key: k"}} {
			begun := time.Now()
			if a := serve(t, g, request("", "x", headers...)); a.status != 504 || time.Since(begun) != 10*time.Second {
				t.Errorf("got %d after %s", a.status, time.Since(begun))
			}
		}
	})
}

// listen serves over pipes until the test ends.
func listen(t *testing.T, g *gateway.Gateway) *pipes.Listener {
	p := pipes.Listen()
	server := g.Server()
	over := make(chan error, 1)
	go func() { over <- server.Serve(p) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-over; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		time.Sleep(time.Second) // net/http lingers for half of that over a connection it cut off
	})
	return p
}

// wire is one client connection, written to by hand.
type wire struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, p *pipes.Listener) *wire {
	t.Helper()
	c, err := p.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{t, c, bufio.NewReader(c)}
}

func (w *wire) send(text string) {
	if _, err := io.WriteString(w.Conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		w.t.Error(err)
	}
}

func (w *wire) answer() reply {
	w.t.Helper()
	res, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return read(w.t, res)
}

const postHead = "POST /v1/hubs/orders/messages HTTP/1.1\nHost: h\nAuthorization: Bearer anna\n"

// TestSlowBody lets bodies come at different rates.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		length  string        // header
		piece   int           // bytes at a time
		every   time.Duration // pause before each
		bytes   int           // in all; fewer than announced: then silence
		status  int
		problem string
		after   time.Duration // when the answer comes; 0: not looked at
	}{
		{"silence", "Content-Length: 10", 1, 0, 0, 408, "slow-body", 5 * time.Second},
		{"one byte, then silence", "Content-Length: 10", 1, time.Second, 1, 408, "slow-body", 5 * time.Second},
		{"a byte a second", "Content-Length: 100", 1, time.Second, 100, 408, "slow-body", 5 * time.Second},
		{"short pause", "Content-Length: 10", 5, 2 * time.Second, 10, 201, "", 0},
		{"just fast enough", "Content-Length: 262144", 16 << 10, time.Second, 256 << 10, 201, "", 0},
		{"a little too slow", "Content-Length: 1048576", 13 << 10, time.Second, 1 << 20, 408, "slow-body", 0},
		{"at the rate for too long", "Content-Length: 1048576", 16 << 10, time.Second, 1 << 20, 408, "slow-body", 30 * time.Second},
		{"chunks, then silence", "Transfer-Encoding: chunked", 1, time.Second, 3, 408, "slow-body", 5 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &target{}
				g := start(t, s, nil)
				w := dial(t, listen(t, g))
				w.send(postHead + row.length + "\n\n")
				begun, written := time.Now(), make(chan struct{})
				go func() {
					defer close(written)
					for sent := 0; sent < row.bytes; sent += row.piece {
						time.Sleep(row.every)
						text := strings.Repeat("x", min(row.piece, row.bytes-sent))
						if strings.HasPrefix(row.length, "Transfer") {
							text = fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
						}
						if _, err := io.WriteString(w.Conn, text); err != nil {
							return // it was cut off
						}
					}
				}()
				a := w.answer()
				took := time.Since(begun)
				if a.status != row.status || a.problem() != row.problem {
					t.Errorf("got %d %s", a.status, a.body)
				}
				if row.after != 0 && (took-row.after).Abs() > 250*time.Millisecond {
					t.Errorf("answered after %s, want %s", took, row.after)
				}
				if stored := len(s.messages()) == 1; stored != (row.status == 201) {
					t.Errorf("stored: %v", stored)
				}
				wantMetric(t, g, "evhub_gateway_in_flight_bytes 0")
				<-written
			})
		})
	}
}

// TestBodyDeadlineIsLifted wants a hub that is slower than a body may be to be waited for: the deadline of the body must not end the
// request, nor the next one on the connection.
func TestBodyDeadlineIsLifted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{hold: make(chan struct{})}
		w := dial(t, listen(t, start(t, s, nil)))
		w.send(postHead + "Content-Length: 1\n\nx")
		time.Sleep(9 * time.Second)
		close(s.hold)
		if a := w.answer(); a.status != 201 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		time.Sleep(time.Minute)
		w.send(postHead + "Content-Length: 1\n\nx")
		if a := w.answer(); a.status != 201 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// TestClientLeaves wants a client that leaves to end the wait for the hub.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &target{hold: make(chan struct{})}, nil)
		w := dial(t, listen(t, g))
		w.send(postHead + "Content-Length: 1\n\nx")
		synctest.Wait()
		w.Close()
		synctest.Wait()
		wantMetric(t, g, "evhub_gateway_requests_in_flight 0")
		wantMetric(t, g, `evhub_gateway_messages_total{hub="orders",outcome="unknown"} 1`)
	})
}

// TestExpectContinue wants a client that waits to be asked for its body only once nothing else is wrong.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, start(t, &target{}, nil))
		for _, row := range []struct {
			head   string
			status int
		}{
			{strings.Replace(postHead, "anna", "nobody", 1) + "Content-Length: 10\n", 403},
			{postHead + "Content-Length: 9999999\n", 413},
			{postHead + "Content-Length: 10\nPartition-Id: x\n", 400},
		} {
			w := dial(t, p)
			w.send(row.head + "Expect: 100-continue\n\n")
			if a := w.answer(); a.status != row.status {
				t.Errorf("got %d %s, want %d", a.status, a.body, row.status)
			}
		}
		w := dial(t, p)
		w.send(postHead + "Content-Length: 10\nExpect: 100-continue\n\n")
		if a := w.answer(); a.status != 100 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		w.send("0123456789")
		if a := w.answer(); a.status != 201 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// TestBodyEndsEarly wants an announced body that does not come to be no message.
func TestBodyEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{}
		g := start(t, s, nil)
		w := dial(t, listen(t, g))
		w.send(postHead + "Content-Length: 10\n\nhalf")
		w.Close()
		synctest.Wait()
		wantMetric(t, g, `evhub_gateway_refused_total{reason="incomplete-body"} 1`)
		if n := len(s.messages()); n != 0 {
			t.Errorf("%d messages stored", n)
		}
	})
}

// TestDrain goes through the end of a gateway's life.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{hold: make(chan struct{})}
		g := start(t, s, func(o *gateway.Options) { o.Limits.DrainNotice = 5 * time.Second })
		under := make(chan reply, 2)
		publish := func() { go func() { under <- serve(t, g, request("", "x")) }(); synctest.Wait() }
		publish()
		if status := probe(g, "/readyz"); status != 200 {
			t.Errorf("not ready before: %d", status)
		}
		drained := make(chan error, 1)
		go func() { drained <- g.Drain(t.Context()) }()
		synctest.Wait()
		if ready, alive := probe(g, "/readyz"), probe(g, "/livez"); ready != 503 || alive != 200 {
			t.Errorf("ready %d, alive %d", ready, alive)
		}
		publish() // still taken
		if len(under) > 0 {
			t.Errorf("refused during the notice: %v", <-under)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if a := serve(t, g, request("", "x")); a.status != 503 || a.problem() != "draining" || a.header.Get("Connection") != "close" || a.header.Get("Retry-After") == "" {
			t.Errorf("got %d %v %s", a.status, a.header, a.body)
		}
		if len(drained) > 0 {
			t.Fatal("Drain did not wait")
		}
		close(s.hold)
		for range 2 {
			if a := <-under; a.status != 201 || a.header.Get("Connection") != "close" {
				t.Errorf("got %d %v %s", a.status, a.header, a.body)
			}
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if err := g.Drain(t.Context()); err != nil {
			t.Error("a second time:", err)
		}
	})
}

// TestDrainRunsOut wants Drain to end with its context, and to say what was left.
func TestDrainRunsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{hold: make(chan struct{})}
		g := start(t, s, nil)
		go serve(t, g, request("", "x"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := g.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 requests") {
			t.Error(err)
		}
		close(s.hold)
	})
}

// TestDrainOfNothing wants no complaint where nobody was inside, although there was no time. Each turn has an even chance to show one.
func TestDrainOfNothing(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if err := start(t, &target{}, nil).Drain(gone); err != nil {
			t.Fatal(err)
		}
	}
}

func probe(g *gateway.Gateway, path string) int {
	w := httptest.NewRecorder()
	g.Probes().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code
}

func TestReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sick error
		g := start(t, &target{}, func(o *gateway.Options) {
			o.Ready = func(ctx context.Context) error {
				if sick == nil {
					return nil
				}
				<-ctx.Done()
				return sick
			}
		})
		if status := probe(g, "/readyz"); status != 200 {
			t.Errorf("got %d", status)
		}
		sick = errors.New("no keys")
		if ready, alive := probe(g, "/readyz"), probe(g, "/livez"); ready != 503 || alive != 200 {
			t.Errorf("ready %d, alive %d", ready, alive)
		}
	})
}

// TestOrderOfItems wants the items of a batch to reach the notifier in one call and in order.
func TestOrderOfItems(t *testing.T) {
	t.Parallel()
	calls := 0
	s := &target{}
	g := start(t, s, func(o *gateway.Options) {
		o.Routes["orders"] = gateway.Route{Notifier: counting{s, &calls}}
	})
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`{"body":%d,"key":"k"}`, i))
	}
	if a := serve(t, g, request(":batch", `{"items":[`+strings.Join(items, ",")+`]}`, asJSON)); a.status != 201 || len(a.items()) != 1000 {
		t.Fatalf("got %d", a.status)
	}
	for i, m := range s.messages() {
		if string(m.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.Body)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

type counting struct {
	notify.Notifier
	calls *int
}

func (c counting) Send(ctx context.Context, hub string, messages ...notify.Message) []notify.Result {
	*c.calls++
	return c.Notifier.Send(ctx, hub, messages...)
}
