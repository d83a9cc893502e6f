package amqpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// fence asks for a fence and says later whether it has let through.
func (w *world) fence() (passed func() bool) {
	done := make(chan error, 1)
	go func() { done <- w.srv.Fence(context.Background()) }()
	return func() bool {
		w.t.Helper()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("fence: %v", err)
			}
			done <- err
			return true
		default:
			return false
		}
	}
}

// wantFence asks for a fence that lets through at once.
func (w *world) wantFence(when string) {
	w.t.Helper()
	if passed := w.fence(); !passed() {
		w.t.Errorf("%s: the fence holds", when)
	}
}

// TestFence: it holds while bytes have come in that were not looked at, and for no other reason.
func TestFence(t *testing.T) {
	play(t, Options{InflightBytesMax: 4}, func(t *testing.T, w *world) {
		w.wantFence("no connection")
		silent := w.dial()
		silent.write([]byte("AM"))
		synctest.Wait()
		c := w.open()
		c.begin(0)
		c.attachSink("s", 0, "sink/never")
		w.wantFence("idle connections, one with half a header")
		whole := encode(on(0, transfer(0, 1)).with("second"))
		c.write(append(encode(on(0, transfer(0, 0)).with("first")), whole[:10]...)) // too much is in flight now
		synctest.Wait()
		w.wantFence("a reader that waits for room, with half a frame")
		c.write(whole[10:])
		second := w.fence()
		if second() {
			t.Error("the fence lets through a reader that cannot read")
		}
		w.sink("s").settle(taken)
		if !second() {
			t.Error("the fence holds for a reader that went on")
		}
		w.sink("s").want(t, "first", "second")
		w.sink("s").settle(taken)
		c.write(encode(on(0, transfer(0, 2)).with("third")))
		synctest.Wait()
		c.write(encode(on(0, transfer(0, 3)).with("fourth"))) // waits in the socket
		third := w.fence()
		if third() {
			t.Error("the fence lets through what waits in the socket")
		}
		w.toys.conn().Drop()
		if !third() {
			t.Error("the fence holds for a connection that has ended")
		}
		w.wantFence("after the end")
	})
}

// TestFenceEnds: with its context, and for a client that goes on sending.
func TestFenceEnds(t *testing.T) {
	play(t, Options{InflightBytesMax: 1}, func(t *testing.T, w *world) {
		w.toys.opening = (*Conn).HoldOpen
		c := w.dial()
		c.write(pipelined(clientOpen))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := w.srv.Fence(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fence before an open that is held ends with %v", err)
		}
		passed := w.fence()
		c.send(on(0, &clientBegin)) // came later: the fence does not wait for it
		w.toys.conn().AnswerOpen(nil)
		if !passed() {
			t.Error("the fence holds")
		}
		if n := w.srv.looked.listeners.Load(); n != 0 || len(w.srv.looked.told) != 0 {
			t.Errorf("%d listeners are left", n)
		}
	})
}

// TestFenceHurry: whatever a client has written before the fence was asked for is in the sink when it lets through, while others send.
func TestFenceHurry(t *testing.T) {
	t.Parallel()
	toys := newToyHandler(t)
	srv := New(Options{Handler: toys})
	defer srv.Close()
	const clients, rounds, burst = 4, 200, 3
	var all sync.WaitGroup
	for i := range clients {
		name := fmt.Sprint("s", i)
		p := dialPump(t, srv, attachSink(name, 0, "sink"))
		s := find(toys, toys.sinks, name)
		all.Go(func() {
			for n := range rounds {
				for k := range burst {
					p.write(encode(on(0, transfer(0, uint32(n*burst+k))).with("x")))
				}
				if err := srv.Fence(context.Background()); err != nil {
					t.Error(err)
				}
				s.mu.Lock()
				got := len(s.got)
				s.mu.Unlock()
				if got != (n+1)*burst {
					t.Errorf("behind the fence there are %d deliveries, want %d", got, (n+1)*burst)
					return
				}
				p.nc.(*pipeEnd).arrived() // lets the server write
			}
		})
	}
	all.Wait()
}

// TestFenceTCP: on a socket the fence lets through as well, whatever the platform tells of what waits there.
func TestFenceTCP(t *testing.T) {
	t.Parallel()
	toys := newToyHandler(t)
	srv := New(Options{Handler: toys})
	defer srv.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, b := range [][]byte{pipelined(clientOpen), encode(on(0, &clientBegin), on(0, attachSink("s", 0, "sink"))), encode(on(0, transfer(0, 0)))[:9]} {
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := srv.Fence(ctx); err != nil {
			t.Errorf("fence: %v", err)
		}
	}
	nc.(*net.TCPConn).CloseWrite()
	if err := srv.Fence(ctx); err != nil {
		t.Errorf("behind the end of the stream: %v", err)
	}
	srv.Close()
	if err := <-served; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// BenchmarkFence is what a fence costs with ten idle connections.
func BenchmarkFence(b *testing.B) {
	srv := New(Options{Handler: &swift{}})
	defer srv.Close()
	for range 10 {
		dialPump(b, srv, &amqp.Attach{Name: "s", Source: &amqp.Source{}, Target: targetOf("sink")})
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := srv.Fence(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestGone: it holds while a connection is there, and its links have been told when it returns.
func TestGone(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		if err := w.srv.Gone(t.Context()); err != nil {
			t.Errorf("without a connection: %v", err)
		}
		c := w.openWith(clientOpen)
		c.send(on(0, &clientBegin))
		c.got()
		c.attachSource("r", 0, "source")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.srv.Gone(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a connection: %v", err)
		}
		gone := make(chan error, 1)
		go func() { gone <- w.srv.Gone(t.Context()) }()
		synctest.Wait()
		c.nc.Close()
		if err := <-gone; err != nil {
			t.Error(err)
		}
		if s := w.source("r"); s.detached != 1 {
			t.Errorf("the link was told its end %d times", s.detached)
		}
	})
}
