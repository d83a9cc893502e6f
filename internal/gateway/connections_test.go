package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/internal/pipes"
	"github.com/evhub-dev/evhub/notify"
)

// follow serves over pipes until the test ends, or End.
func follow(t *testing.T, g *gateway.Gateway) (*pipes.Listener, *gateway.Connections) {
	t.Helper()
	p := pipes.Listen()
	server := g.Server()
	c := gateway.Follow(server, p)
	over := make(chan error, 1)
	go func() { over <- server.Serve(c) }()
	t.Cleanup(func() {
		server.Close()
		<-over
		time.Sleep(time.Second) // net/http lingers for half of that over a connection it cut off
	})
	return p, c
}

// end drains and ends in the background, and gives what End said.
func end(ctx context.Context, t *testing.T, g *gateway.Gateway, c *gateway.Connections) <-chan error {
	ended := make(chan error, 1)
	go func() {
		if err := g.Drain(ctx); err != nil {
			t.Error(err)
		}
		ended <- c.End(ctx)
	}()
	synctest.Wait()
	return ended
}

const emptyPost = postHead + "Content-Length: 0\n\n"

// TestEndOfConnections has a row for what a connection may be doing when its server ends.
func TestEndOfConnections(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		before func(w *wire)
		quiet  time.Duration               // between before and the end
		after  func(t *testing.T, w *wire) // nil: nothing
		ends   time.Duration               // after which all is over
	}{
		{"idle for long", func(w *wire) { w.send(emptyPost); w.answer() }, time.Minute, nil, 0},
		{"idle for a moment", func(w *wire) { w.send(emptyPost); w.answer() }, 100 * time.Millisecond, nil, 400 * time.Millisecond},
		{"just made", func(*wire) {}, 0, nil, 500 * time.Millisecond},
		{"just made, then used", func(*wire) {}, 0, func(t *testing.T, w *wire) { time.Sleep(400 * time.Millisecond); w.sendAndBeTurnedAway(t, emptyPost) }, 500 * time.Millisecond},
		{"idle for a moment, then used", func(w *wire) { w.send(emptyPost); w.answer() }, 0, func(t *testing.T, w *wire) {
			time.Sleep(499 * time.Millisecond)
			w.sendAndBeTurnedAway(t, emptyPost)
		}, 500 * time.Millisecond},
		{"half a header", func(w *wire) { w.send(emptyPost); w.answer(); w.send("POST /v1/h") }, 0, func(t *testing.T, w *wire) {
			time.Sleep(3 * time.Second)
			w.sendAndBeTurnedAway(t, strings.TrimPrefix(emptyPost, "POST /v1/h"))
		}, 3 * time.Second},
		{"half a header and no more", func(w *wire) { w.send(emptyPost); w.answer(); w.send("POST /v1/h") }, 0, nil, 5500 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := start(t, &target{}, nil)
				p, c := follow(t, g)
				w := dial(t, p)
				row.before(w)
				time.Sleep(row.quiet)
				begun := time.Now()
				ended := end(t.Context(), t, g, c)
				if row.after != nil {
					row.after(t, w)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > row.ends+time.Millisecond || took < row.ends-600*time.Millisecond {
					t.Errorf("ended after %s, want %s", took, row.ends)
				}
				if _, err := w.r.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the connection is not closed: %v", err)
				}
				if _, err := p.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a connection that comes then: %v", err)
				}
			})
		})
	}
}

// sendAndBeTurnedAway wants an answer that says to come again, elsewhere.
func (w *wire) sendAndBeTurnedAway(t *testing.T, text string) {
	t.Helper()
	w.send(text)
	answer, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := read(t, answer); a.status != 503 || a.problem() != "draining" || !answer.Close || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d, close %t, %v %s", a.status, answer.Close, a.header, a.body)
	}
}

// TestEndRunsOut wants End to wait for answers that are not read, no longer than its context lasts, and to say how many there were.
func TestEndRunsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &target{}, nil)
		p, c := follow(t, g)
		w := dial(t, p)
		w.send(emptyPost)
		synctest.Wait() // the answer is there, and not read
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		ended := end(ctx, t, g, c)
		time.Sleep(2 * time.Second)
		if len(ended) > 0 {
			t.Errorf("did not wait: %v", <-ended)
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections") {
			t.Error(err)
		}
		if a := w.answer(); a.status != 201 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if err := c.End(t.Context()); err != nil {
			t.Error("a second time:", err)
		}
	})
}

// TestEndBeforeEagerClients wants clients that connect again and again not to keep the listener open: it is closed half a second later.
func TestEndBeforeEagerClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &target{}, nil)
		p, c := follow(t, g)
		dial(t, p)
		begun := time.Now()
		ended := end(t.Context(), t, g, c)
		for len(ended) == 0 {
			time.Sleep(100 * time.Millisecond)
			if nc, err := p.Dial(t.Context()); err == nil {
				w := &wire{t, nc, bufio.NewReader(nc)}
				w.sendAndBeTurnedAway(t, emptyPost)
				nc.Close()
			}
		}
		if took := time.Since(begun); took < 500*time.Millisecond || took > time.Second {
			t.Errorf("ended after %s", took)
		}
	})
}

// TestNothingIsCut hammers a gateway over TCP with clients that keep their connections, at several paces, while it drains. Every request that
// was sent must have its answer.
func TestNothingIsCut(t *testing.T) {
	t.Parallel()
	for _, notice := range []time.Duration{0, 300 * time.Millisecond} {
		t.Run(notice.String(), func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			s := &target{say: func(*notify.Message) notify.Result { begin(); return notify.Result{} }}
			g := start(t, s, func(o *gateway.Options) { o.Limits.DrainNotice = notice })
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := g.Server()
			c := gateway.Follow(server, ln)
			var serving, clients sync.WaitGroup
			serving.Go(func() { server.Serve(c) })
			var stored, away atomic.Int64
			for i := range 24 {
				pause := []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 400 * time.Millisecond}[i%4]
				clients.Go(func() { hammer(t, ln.Addr().String(), pause, &stored, &away) })
			}
			<-begun
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := errors.Join(g.Drain(ctx), c.End(ctx)); err != nil {
				t.Error(err)
			}
			clients.Wait()
			server.Close()
			serving.Wait()
			if n := len(s.messages()); int64(n) != stored.Load() {
				t.Errorf("%d messages stored, %d answered so", n, stored.Load())
			}
			if away.Load() == 0 {
				t.Error("nobody was turned away: the end was not seen")
			}
		})
	}
}

// hammer posts until it is turned away or can connect no more.
func hammer(t *testing.T, address string, pause time.Duration, stored, away *atomic.Int64) {
	for {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			return // refused, which sends a client elsewhere
		}
		again, err := hammerOn(nc, pause, stored, away)
		nc.Close()
		if err != nil {
			t.Error("a request was cut off:", err)
		}
		if !again {
			return
		}
	}
}

// hammerOn posts on one connection until an answer says to close it.
func hammerOn(nc net.Conn, pause time.Duration, stored, away *atomic.Int64) (again bool, err error) {
	r := bufio.NewReader(nc)
	for {
		text := strings.ReplaceAll(postHead+"Content-Length: 5\n\n", "\n", "\r\n") + "hello"
		if _, err := io.WriteString(nc, text); err != nil {
			return false, err
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return false, err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return false, err
		}
		switch {
		case answer.StatusCode == http.StatusCreated:
			stored.Add(1)
		case answer.StatusCode == http.StatusServiceUnavailable && answer.Close && answer.Header.Get("Retry-After") != "":
			away.Add(1)
			return false, nil
		default:
			return false, fmt.Errorf("answered %s, close %t", answer.Status, answer.Close)
		}
		if answer.Close {
			return true, nil
		}
		time.Sleep(pause)
	}
}
