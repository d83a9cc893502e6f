package amqpserver

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// busyClient has two links in one session, and a delivery on its way each way.
func busyClient(w *world) *client {
	c := w.open()
	c.begin(0)
	c.attachSink("s", 0, "sink")
	c.attachSource("r", 1, "source")
	c.send(on(0, credit(1, 0, 10)), on(0, transfer(0, 0)))
	w.source("r").emit("event")
	if n := len(c.got()); n != 2 {
		c.t.Fatalf("%d frames came", n)
	}
	return c
}

// TestGoodbyes: every order in which clients take a connection down.
func TestGoodbyes(t *testing.T) {
	for _, row := range []struct {
		name   string
		frames []frame
		want   []frame
	}{
		{"python: detach, end, close", []frame{on(0, detached(0, nil)), on(0, detached(1, nil)), on(0, &amqp.End{}), on(0, &amqp.Close{})},
			[]frame{on(0, detached(0, nil)), on(0, detached(1, nil)), on(0, &amqp.End{}), on(0, &amqp.Close{})}},
		{"go: end without detach", []frame{on(0, &amqp.End{}), on(0, &amqp.Close{})}, []frame{on(0, &amqp.End{}), on(0, &amqp.Close{})}},
		{"close only", []frame{on(0, &amqp.Close{})}, []frame{on(0, &amqp.Close{})}},
		{"detaches behind the end", []frame{on(0, detached(1, nil)), on(0, &amqp.End{}), on(0, detached(0, nil)), on(0, &amqp.Close{})},
			[]frame{on(0, detached(1, nil)), on(0, &amqp.End{}), on(0, &amqp.Close{})}},
		{"close with an error", []frame{on(0, &amqp.Close{Error: &amqp.Error{Condition: amqp.CondInternalError, Description: "mine"}})},
			[]frame{on(0, &amqp.Close{})}},
		{"end with an error", []frame{on(0, &amqp.End{Error: &amqp.Error{Condition: amqp.CondInternalError}}), on(0, &amqp.Close{})},
			[]frame{on(0, &amqp.End{}), on(0, &amqp.Close{})}},
		{"detach with an error, not closed",
			[]frame{on(0, &amqp.Detach{Handle: 1, Error: &amqp.Error{Condition: amqp.CondDetachForced}}), on(0, &amqp.Close{})},
			[]frame{on(0, detached(1, nil)), on(0, &amqp.Close{})}},
		{"a last delivery in front", []frame{on(0, transfer(0, 1)), on(0, transfer(0, 2)), on(0, &amqp.Close{})},
			[]frame{on(0, settled(1, 2)), on(0, &amqp.Close{})}},
		{"a last delivery in front of the end", []frame{on(0, transfer(0, 1)), on(0, &amqp.End{}), on(0, &amqp.Close{})},
			[]frame{on(0, settled(1, 1)), on(0, &amqp.End{}), on(0, &amqp.Close{})}},
		{"a last delivery in front of the detach", []frame{on(0, transfer(0, 1)), on(0, detached(0, nil)), on(0, &amqp.Close{})},
			[]frame{on(0, settled(1, 1)), on(0, detached(0, nil)), on(0, &amqp.Close{})}},
		{"frames behind the close", []frame{on(0, &amqp.Close{}), on(0, transfer(0, 1)), on(0, &amqp.Close{}), heartbeat},
			[]frame{on(0, &amqp.Close{})}},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := busyClient(w)
				c.send(row.frames...)
				c.want(row.want...)
				c.wantEOF()
				c.nc.Close()
				synctest.Wait()
				if n := w.srv.Stats().Open; n != 0 {
					t.Errorf("%d connections are open after client and server closed", n)
				}
				if w.sink("s").ends() != 1 || w.source("r").ends() != 1 || w.toys.all[0].closed != 1 {
					t.Error("not everyone was told")
				}
			})
		})
	}
}

// TestClientNeverHangsUp: it said close and was answered, but keeps its socket.
func TestClientNeverHangsUp(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := busyClient(w)
		c.send(on(0, &amqp.Close{}))
		c.want(on(0, &amqp.Close{}))
		time.Sleep(lingerTime)
		synctest.Wait()
		if n := w.srv.Stats().Open; n != 0 {
			t.Errorf("%d connections are open after the linger time", n)
		}
	})
}

// TestGoneInTheMiddle cuts a client's script after each of its bytes, by EOF and by reset.
func TestGoneInTheMiddle(t *testing.T) {
	script := append(pipelined(clientOpen), encode(on(0, &clientBegin),
		on(0, attachSink("s", 0, "sink")), on(0, attachSource("r", 1, "source/unsettled")), on(0, credit(1, 0, 10)),
		on(0, transferMore(0, 0)).with("begun"), on(0, &amqp.Transfer{Handle: 0}).with("ended"), on(0, transferMore(0, 1)),
		on(0, detached(1, nil)), on(0, &amqp.End{}), on(0, &amqp.Close{}))...)
	for _, way := range []string{"EOF", "reset"} {
		t.Run(way, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				for n := range len(script) + 1 {
					c := w.dial()
					c.write(script[:n])
					synctest.Wait()
					w.toys.mu.Lock()
					s := w.toys.sources["r"]
					delete(w.toys.sources, "r")
					w.toys.mu.Unlock()
					if s != nil {
						s.emit("event")
						synctest.Wait()
					}
					if way == "EOF" {
						c.nc.CloseWrite()
					} else {
						c.nc.Close()
					}
					time.Sleep(lingerTime)
					synctest.Wait()
					if open := w.srv.Stats().Open; open != 0 {
						t.Fatalf("the connection is open after %d bytes and %s", n, way)
					}
				}
			})
		})
	}
}

// TestDetachWhileFilling: Detached waits for the Fill that runs, whoever ends the link and however.
func TestDetachWhileFilling(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(w *world, c *client)
	}{
		{"client detaches", func(w *world, c *client) { c.send(on(0, detached(1, nil))) }},
		{"client ends", func(w *world, c *client) { c.send(on(0, &amqp.End{})) }},
		{"client closes", func(w *world, c *client) { c.send(on(0, &amqp.Close{})) }},
		{"client goes", func(w *world, c *client) { c.nc.Close() }},
		{"client breaks the session", func(w *world, c *client) { c.send(on(0, transfer(99, 0))) }},
		{"client breaks the connection", func(w *world, c *client) { c.send(on(9, transfer(0, 0))) }},
		{"we detach", func(w *world, c *client) { w.source("r").l.Detach(nil) }},
		{"we close", func(w *world, c *client) { w.toys.conn().CloseAll(nil) }},
		{"we cut", func(w *world, c *client) { w.toys.conn().Drop() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := busyClient(w)
				s := w.source("r")
				filling, goOn := make(chan struct{}), make(chan struct{})
				s.inFill(func() {
					close(filling)
					<-goOn
				})
				s.emit("more")
				<-filling
				row.end(w, c)
				synctest.Wait()
				if n := s.ends(); n != 0 {
					t.Errorf("Detached ran %d times while Fill ran", n)
				}
				close(goOn)
				synctest.Wait()
				if row.name == "we detach" { // the link is the client's until it agrees
					c.send(on(0, detached(1, nil)))
				}
				c.nc.Close()
				synctest.Wait()
				time.Sleep(2 * lingerTime)
				synctest.Wait()
				if n := s.ends(); n != 1 {
					t.Errorf("Detached ran %d times after Fill, want once", n)
				}
			})
		})
	}
}

// TestWeDetach: our detach is final; what was on its way is dropped, settlements still count.
func TestWeDetach(t *testing.T) {
	why := &amqp.Error{Condition: amqp.CondLinkStolen, Description: "somebody else came"}
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSink("s", 0, "sink/never")
		c.attachSource("r", 1, "source")
		c.send(on(0, credit(1, 0, 10)), on(0, transfer(0, 0)), on(0, transfer(0, 1)))
		c.wantNothing()
		s, r := w.sink("s"), w.source("r")
		s.settleOne(0, taken)
		s.l.Detach(why)
		s.l.Detach(why)
		s.settleOne(1, taken)
		r.l.Detach(nil)
		r.emit("too late")
		c.want(on(0, settled(0, 0)), on(0, detached(0, why)), on(0, detached(1, nil)), on(0, settled(1, 1)))
		c.send(on(0, transfer(0, 2)), on(0, credit(1, 0, 20)), on(0, detached(0, nil)), on(0, detached(1, nil)))
		c.wantNothing()
		c.attachSource("next", 0, "source")
	})
}

// TestLateSettlements: what is settled between our detach and the client's, and not sent before that came, is forgotten.
func TestLateSettlements(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSink("s", 0, "sink/never")
		c.attachSource("hold", 1, "source")
		c.send(on(0, credit(1, 0, 1)), on(0, transfer(0, 0)), on(0, transfer(0, 1)))
		c.wantNothing()
		s, hold := w.sink("s"), w.source("hold")
		hold.inFill(func() {
			s.l.Detach(nil)
			s.settle(taken)
			c.send(on(0, detached(0, nil)))
			for s.ends() == 0 {
				runtime.Gosched()
			}
			s.l.Settle(0, 0, 0, taken)
		})
		hold.l.Ready()
		c.want(on(0, detached(0, nil)))
		if n := w.toys.conn().ranges; n != 0 {
			t.Errorf("%d settlements are counted as waiting", n)
		}
	})
}

// TestAnswersAfterTheEnd: a container may answer an attach when link, session or connection is long gone.
func TestAnswersAfterTheEnd(t *testing.T) {
	for _, row := range []struct {
		name string
		end  frame
		want []frame
	}{
		{"detached", on(0, detached(0, nil)), []frame{on(0, &amqp.Attach{Name: "x", Role: amqp.RoleReceiver}), on(0, detached(0, nil))}},
		{"ended", on(0, &amqp.End{}), []frame{on(0, &amqp.End{})}},
		{"closed", on(0, &amqp.Close{}), []frame{on(0, &amqp.Close{})}},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.open()
				c.begin(0)
				c.send(on(0, attachSink("x", 0, "pending")), row.end)
				c.want(row.want...)
				k, l := w.toys.all[0], w.pending("x")
				if k.acceptSink(l) || k.acceptSource(l) {
					t.Error("accepted")
				}
				l.Refuse(nil)
				l.Detach(nil)
				l.Ready()
				c.wantNothing()
			})
		})
	}
}

func TestConnClose(t *testing.T) {
	why := &amqp.Error{Condition: amqp.CondInternalError, Description: "a rule says so"}
	play(t, Options{}, func(t *testing.T, w *world) {
		c := busyClient(w)
		k := w.toys.conn()
		k.Close(why)
		k.Close(nil)
		k.CloseAll(nil)
		c.want(on(0, &amqp.Close{Error: why}))
		c.wantEOF()
		c.send(on(0, transfer(0, 5)), on(3, &clientBegin), on(0, &amqp.Close{}))
		c.nc.Close()
		synctest.Wait()
		if n := w.srv.Stats().Open; n != 0 {
			t.Errorf("%d connections open", n)
		}
		if n := len(w.sink("s").all); n != 1 {
			t.Errorf("%d deliveries came, the second after our close", n)
		}
	})
}

func TestShutdown(t *testing.T) {
	asked := on(0, &amqp.Close{Error: &amqp.Error{Condition: amqp.CondConnectionForced, Description: "The server is shutting down."}})
	t.Run("clients go", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			a, b, early := busyClient(w), w.open(), w.dial()
			done := make(chan error, 1)
			go func() { done <- w.srv.Shutdown(context.Background()) }()
			a.want(asked)
			b.want(asked)
			early.wantEOF()
			for _, c := range []*client{a, b, early} {
				if len(done) > 0 {
					t.Fatal("Shutdown returned while a client was there")
				}
				c.nc.Close()
				synctest.Wait()
			}
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			server, nc := pipe(pipeBytes)
			w.srv.Go(server)
			if _, err := nc.Write([]byte("AMQP")); err == nil {
				t.Error("a connection was taken after Shutdown")
			}
		})
	})
	t.Run("a client stays", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			start := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := w.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Errorf("Shutdown after %v: %v", time.Since(start), err)
			}
			c.want(asked)
		})
	})
	t.Run("a client that does not read", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := busyClient(w)
			w.source("r").emit(strings.Repeat("x", 2*pipeBytes))
			synctest.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := w.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown: %v", err)
			}
			_ = c
		})
	})
}

func TestServe(t *testing.T) {
	w := newWorld(t, Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.srv.Serve(ln) }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(httpAnswer)+1)
	n, err := readFull(nc, answer)
	if string(answer[:n]) != httpAnswer {
		t.Errorf("answer %q, %v", answer[:n], err)
	}
	w.srv.Close()
	if err := <-served; err != ErrClosed {
		t.Errorf("Serve: %v", err)
	}
	if err := w.srv.Serve(ln); err != ErrClosed {
		t.Errorf("Serve after Close: %v", err)
	}
	if s := w.srv.Stats(); s != (Stats{Accepted: 1}) {
		t.Errorf("%+v", s)
	}
	w.toys.checkOver()
}

func readFull(nc net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var got int
		got, err = nc.Read(b[n:])
		n += got
	}
	return n, err
}
