package amqpserver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// TestMalformedBeforeOpen: without our open there can be no close, so during SASL the socket is all there is to close.
func TestMalformedBeforeOpen(t *testing.T) {
	amqpHeader := header(amqp.ProtocolAMQP)
	noName := &amqp.Open{}
	for _, row := range []struct {
		name   string
		frames []frame
		want   amqp.Symbol
		closed bool // with an open and a close
	}{
		{"sasl: an AMQP frame", []frame{header(amqp.ProtocolSASL), on(0, &clientOpen)}, amqp.CondFramingError, false},
		{"sasl: another SASL frame", []frame{header(amqp.ProtocolSASL), inSASL(&amqp.SASLOutcome{})}, amqp.CondFramingError, false},
		{"sasl: garbage", []frame{header(amqp.ProtocolSASL), inSASL(rawPerformative("garbage"))}, amqp.CondFramingError, false},
		{"sasl: init cut off", []frame{header(amqp.ProtocolSASL), inSASL(rawPerformative("\x00\x53\x41\xc0\x20\x03\xa3"))},
			amqp.CondDecodeError, false},
		{"sasl: no frame", []frame{header(amqp.ProtocolSASL), rawBytes([]byte("AMQP\x00\x01\x00\x00"))}, amqp.CondFramingError, false},
		{"sasl twice", []frame{header(amqp.ProtocolSASL), inSASL(&amqp.SASLInit{Mechanism: "ANONYMOUS"}), header(amqp.ProtocolSASL)},
			amqp.CondFramingError, false},
		{"open: a begin", []frame{amqpHeader, on(0, &clientBegin)}, amqp.CondFramingError, true},
		{"open: a SASL frame", []frame{amqpHeader, inSASL(&amqp.SASLInit{Mechanism: "ANONYMOUS"})}, amqp.CondFramingError, true},
		{"open: garbage", []frame{amqpHeader, rawBody(0, 0xff, 0xff)}, amqp.CondFramingError, true},
		{"open: cut off", []frame{amqpHeader, rawBody(0, 0x00, 0x53, 0x10, 0xc0, 0x40, 0x0a)}, amqp.CondDecodeError, true},
		{"open: a number for a name", []frame{amqpHeader, rawBody(0, 0x00, 0x53, 0x10, 0xc0, 0x02, 0x01, 0x43)}, amqp.CondDecodeError, true},
		{"open: no name", []frame{amqpHeader, rawBody(0, 0x00, 0x53, 0x10, 0x45)}, amqp.CondInvalidField, true},
		{"open: too large", []frame{amqpHeader, on(0, noName).with(strings.Repeat("x", 65536))}, amqp.CondFramingError, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.dial()
				c.send(row.frames...)
				if row.closed {
					got := c.got()
					c.same(got[:min(2, len(got))], amqpHeader, on(0, w.openAnswer()))
					if p := bodiesOf[*amqp.Close](got); len(got) != 3 || len(p) != 1 || p[0].Error.Condition != row.want {
						t.Errorf("came:\n%s", show(encode(got...)))
					}
				} else if len(bodiesOf[*amqp.Open](c.got())) > 0 {
					t.Error("an open came")
				}
				c.wantEOF()
				w.wantLogged("level=WARN", "the client broke the protocol", string(row.want))
			})
		})
	}
}

func TestMalformed(t *testing.T) {
	numberedAddress := []byte("\x00\x53\x12\xc0\x11\x07\xa1\x01x\x52\x09\x41\x40\x40\x00\x53\x28\xc0\x03\x01\x52\x07\x40")
	for _, row := range []struct {
		name string
		send frame
		want amqp.Symbol
		text string
	}{
		{"no descriptor", rawBody(0, 0x45), amqp.CondDecodeError, ""},
		{"descriptor cut off", rawBody(0, 0x00), amqp.CondDecodeError, ""},
		{"unknown descriptor", rawBody(0, 0x00, 0x53, 0x19, 0x45), amqp.CondNotImplemented, "0x19"},
		{"a message section", rawBody(0, 0x00, 0x53, 0x75, 0xa0, 0x00), amqp.CondNotImplemented, "0x75"},
		{"list cut off", rawBody(0, 0x00, 0x53, 0x14, 0xc0, 0x40, 0x0b), amqp.CondDecodeError, "transfer"},
		{"list longer than its size", rawBody(0, 0x00, 0x53, 0x14, 0xc0, 0x01, 0xff), amqp.CondDecodeError, "transfer"},
		{"begin without windows", rawBody(5, 0x00, 0x53, 0x11, 0xc0, 0x03, 0x02, 0x40, 0x43), amqp.CondInvalidField, "incoming-window"},
		{"attach without name", rawBody(0, 0x00, 0x53, 0x12, 0xc0, 0x02, 0x01, 0x40), amqp.CondInvalidField, "name"},
		{"attach to a number", rawBody(0, numberedAddress...), amqp.CondNotImplemented, "address"},
		{"flow without window", rawBody(0, 0x00, 0x53, 0x13, 0x45), amqp.CondInvalidField, "incoming-window"},
		{"transfer without handle", rawBody(0, 0x00, 0x53, 0x14, 0x45), amqp.CondInvalidField, "handle"},
		{"disposition of no role", rawBody(0, 0x00, 0x53, 0x15, 0x45), amqp.CondInvalidField, "role"},
		{"detach of a string", rawBody(0, 0x00, 0x53, 0x16, 0xc0, 0x04, 0x01, 0xa1, 0x01, 'x'), amqp.CondDecodeError, "handle"},
		{"end cut off", rawBody(0, 0x00, 0x53, 0x17, 0xc0), amqp.CondDecodeError, "end"},
		{"close cut off", rawBody(0, 0x00, 0x53, 0x18, 0xc0), amqp.CondDecodeError, "close"},
		{"a SASL frame", inSASL(&amqp.SASLInit{Mechanism: "ANONYMOUS"}), amqp.CondFramingError, "type 1"},
		{"a frame of 7 bytes", rawBytes([]byte("\x00\x00\x00\x07\x02\x00\x00\x00")), amqp.CondFramingError, "7 bytes"},
		{"data offset 1", rawBytes([]byte("\x00\x00\x00\x08\x01\x00\x00\x00")), amqp.CondFramingError, "offset 1"},
		{"data offset beyond the frame", rawBytes([]byte("\x00\x00\x00\x08\x03\x00\x00\x00")), amqp.CondFramingError, ""},
		{"4 GiB", rawBytes([]byte("\xff\xff\xff\xff\x02\x00\x00\x00")), amqp.CondFramingError, "max-frame-size 65536"},
		{"one byte too large", on(0, transfer(0, 0)).with(strings.Repeat("x", 65537-len(encode(on(0, transfer(0, 0)))))),
			amqp.CondFramingError, "65537 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.open()
				c.begin(0)
				c.attachSink("s", 0, "sink")
				c.send(on(0, transfer(0, 0)), row.send)
				c.wantViolation(row.want, row.text)
				if n := len(w.sink("s").all); n != 1 {
					t.Errorf("%d of one deliveries that came before reached the sink", n)
				}
			})
		})
	}
	t.Run("an extended header is fine", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			b := encode(on(0, &clientBegin))
			extended := append([]byte{0, 0, 0, byte(len(b) + 4), 3, 0, 0, 0, 'e', 'x', 't', '!'}, b[8:]...)
			c.write(extended)
			c.want(on(0, beginAnswer(0)))
		})
	})
	t.Run("the largest frame is fine", func(t *testing.T) {
		toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
			c.send(on(0, transfer(0, 0)).with(strings.Repeat("x", 65536-len(encode(on(0, transfer(0, 0)))))))
			c.want(on(0, settled(0, 0)))
		})
	})
}

// checkUnharmed shows that another connection of the same server works.
func (w *world) checkUnharmed() {
	w.t.Helper()
	c := busyClient(w)
	c.close()
}

// TestWritesWithoutReading: what the peer does not read stops its own writing, whatever it writes.
func TestWritesWithoutReading(t *testing.T) {
	many := func(n int, f func(i uint32) []frame) (frames []frame) {
		for i := range uint32(n) {
			frames = append(frames, f(i)...)
		}
		return frames
	}
	const links = 100
	for _, row := range []struct {
		name    string
		address string
		round   func(round uint32) []frame
	}{
		{"accepted one by one", "sink/each", func(r uint32) []frame {
			return many(toyCredit, func(i uint32) []frame { return []frame{on(0, transfer(r, r*2*toyCredit+2*i))} })
		}},
		{"rejected", "sink/reject", func(r uint32) []frame {
			return many(toyCredit, func(i uint32) []frame { return []frame{on(0, transfer(r, r*toyCredit+i))} })
		}},
		{"attach and detach", "sink", func(uint32) []frame {
			return many(100, func(i uint32) []frame {
				return []frame{on(0, attachSink("x", links, "sink")), on(0, detached(links, nil))}
			})
		}},
		{"refused attaches", "sink", func(uint32) []frame {
			return many(100, func(i uint32) []frame {
				return []frame{on(0, attachSink("x", links, "refuse")), on(0, detached(links, nil))}
			})
		}},
		{"begin and end", "sink", func(uint32) []frame {
			return many(100, func(i uint32) []frame { return []frame{on(7, &clientBegin), on(7, &amqp.End{})} })
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.dial()
				c.handshake(clientOpen)
				c.begin(0)
				for handle := range uint32(links) { // each has credit for one round
					c.attachSink(fmt.Sprint("s ", handle), handle, row.address)
				}
				k := w.toys.conn()
				c.nc.in.resize(10_000)
				round := uint32(0)
				for ; c.nc.out.held() == 0; round++ {
					if round == links {
						t.Fatal("the reader did not stop")
					}
					c.send(row.round(round)...)
					synctest.Wait()
				}
				k.mu.Lock()
				if len(k.out) > 2*pendingBytesMax || k.ranges > 2*settlementsMax || len(k.settling) > 8 || len(k.flowing) > pendingBytesMax/64 {
					t.Errorf("pending after %d rounds: %d bytes, %d ranges of %d links, %d flows",
						round, len(k.out), k.ranges, len(k.settling), len(k.flowing))
				}
				k.mu.Unlock()
				w.checkUnharmed()
				for c.nc.out.held() > 0 { // it goes on as soon as it is read
					c.nc.in.takeAll()
					synctest.Wait()
				}
				if s := c.w.srv.Stats(); s.Open != 1 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestCutWhileCrowded: reader and writer both wait for a client that does not read, and both end when it is cut.
func TestCutWhileCrowded(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		const links = 8
		for handle := range uint32(links) {
			c.attachSink(fmt.Sprint("crowd ", handle), handle, "sink/reject")
		}
		c.nc.in.resize(100)
		id := uint32(0)
		for handle := range uint32(links) {
			for range toyCredit {
				c.send(on(0, transfer(handle, id)))
				id++
			}
			synctest.Wait()
		}
		if c.nc.out.held() == 0 {
			t.Fatalf("the server reads on with %d outcomes that its client does not take", id)
		}
		w.toys.conn().Drop()
		synctest.Wait()
		if n := w.srv.Stats().Open; n != 0 {
			t.Errorf("%d connections open", n)
		}
	})
}

// TestEchoFlood: flows that ask for an answer become one answer while the client does not read.
func TestEchoFlood(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSource("r", 0, "source")
		c.nc.in.resize(100)
		both := encode(on(0, &amqp.Flow{Echo: amqp.Some(true)}), on(0, &amqp.Flow{Handle: amqp.Some(uint32(0)), Echo: amqp.Some(true)}))
		flows := slices.Repeat(both, 1000)
		for range 100 {
			c.write(flows)
			synctest.Wait()
		}
		k := w.toys.conn()
		k.mu.Lock()
		if len(k.out) > pendingBytesMax || len(k.flowing) > 2 {
			t.Errorf("pending: %d bytes, %d flows", len(k.out), len(k.flowing))
		}
		k.mu.Unlock()
		w.checkUnharmed()
	})
}

// TestReadsNothing: a source with endless data fills the socket and one buffer, and no more.
func TestReadsNothing(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSource("r", 0, "source")
		c.nc.in.resize(100_000)
		flow := credit(0, 0, 1<<31-1)
		flow.IncomingWindow = 1<<31 - 1
		c.send(on(0, flow))
		const n, size = 10_000, 1000
		w.source("r").emit(slices.Repeat([]string{strings.Repeat("x", size)}, n)...)
		synctest.Wait()
		if took := (n - w.source("r").left()) * size; took > 100_000+burstBytesMax+turnBytesMax {
			t.Errorf("%d bytes were taken from the source", took)
		}
		w.checkUnharmed()
		if got := len(c.got()); got != n || w.source("r").left() != 0 {
			t.Errorf("%d deliveries came when it read at last", got)
		}
	})
}

// TestEndlessAttachDetach: nothing of a link stays behind, also if its session's window is closed.
func TestEndlessAttachDetach(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		b := clientBegin
		b.IncomingWindow = 0
		c.send(on(0, &b))
		c.got()
		for i := range 300 {
			flow := credit(0, 0, 10)
			flow.IncomingWindow = 0
			c.send(on(0, attachSource(fmt.Sprint(i), 0, "source")), on(0, flow))
			c.got()
			w.source(fmt.Sprint(i)).emit("waits for the window")
			synctest.Wait()
			c.send(on(0, detached(0, nil)))
			c.want(on(0, detached(0, nil)))
		}
		k := w.toys.conn()
		k.mu.Lock()
		defer k.mu.Unlock()
		s := k.channels[0]
		if len(s.links)+len(s.names) != 0 || len(s.handles) != 1 || len(s.blocked) != 0 || k.ready.head != len(k.ready.list) {
			t.Errorf("left: %d links, %d names, %d handles, %d blocked", len(s.links), len(s.names), len(s.handles), len(s.blocked))
		}
	})
}

// TestReadyWhileBlocked: a link waits once, however often it is said to be ready.
func TestReadyWhileBlocked(t *testing.T) {
	b := clientBegin
	b.IncomingWindow = 1
	fromSource(t, Options{}, clientOpen, b, func(t *testing.T, w *world, c *client, s *toySource) {
		flow := credit(0, 0, 1000)
		flow.IncomingWindow = 1
		c.send(on(0, flow))
		s.emitN(100)
		for got := uint32(1); got < 50; got++ {
			if n := len(c.got()); n != 1 {
				t.Fatalf("%d deliveries, window 1", n)
			}
			s.inFill(s.l.Ready)
			c.send(on(0, window(1+got, 1)))
			synctest.Wait()
			s.l.Ready()
			k := w.toys.conn()
			k.mu.Lock()
			n := len(s.l.s.blocked) + len(k.ready.list) - k.ready.head
			k.mu.Unlock()
			if n != 1 {
				t.Fatalf("the link waits %d times", n)
			}
		}
	})
}

// TestManyReadyLinks: links take turns, and a queue that never runs empty does not grow.
func TestManyReadyLinks(t *testing.T) {
	var q linkQueue
	links := make([]*Link, 200)
	for i := range links {
		links[i] = &Link{handle: uint32(i)}
		q.push(links[i])
	}
	for i := range 100_000 {
		l := q.pop()
		if l != links[i%len(links)] {
			t.Fatalf("turn %d is link %d's", i, l.handle)
		}
		q.push(l)
	}
	if n := cap(q.list); n > 4*len(links) {
		t.Errorf("the queue of %d links has grown to %d", len(links), n)
	}
}

// TestLinksTakeTurns: a link with endless data does not keep others of its connection waiting.
func TestLinksTakeTurns(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSource("greedy", 0, "source")
		c.attachSource("modest", 1, "source")
		c.nc.in.resize(1000)
		for handle := range uint32(2) {
			flow := credit(handle, 0, 1<<31-1)
			flow.IncomingWindow = 1<<31 - 1
			c.send(on(0, flow))
		}
		w.source("greedy").emit(slices.Repeat([]string{strings.Repeat("x", 10_000)}, 1000)...)
		synctest.Wait()
		w.source("modest").emit("me too")
		c.nc.in.resize(1 << 20)
		var before int
		for i, f := range c.got() {
			if f.body.(*amqp.Transfer).Handle == 1 {
				before = i
				break
			}
		}
		if bytes := before * 10_000; bytes == 0 || bytes > 2*burstBytesMax {
			t.Errorf("%d bytes of the greedy link went first", bytes)
		}
	})
}

// TestChurn opens ten thousand connections that do a little of everything and are dropped at a random point of it, while settlements, events
// and closes come from other goroutines.
func TestChurn(t *testing.T) {
	const connections = 10_000
	script := append(pipelined(clientOpen), encode(on(0, &clientBegin),
		on(0, attachSink("s", 0, "sink/never")), on(0, attachSource("r", 1, "source/unsettled")), on(0, credit(1, 0, 1000)),
		on(0, transferMore(0, 0)).with("begun"), on(0, &amqp.Transfer{Handle: 0}).with("ended"), on(0, transfer(0, 1)),
		on(0, transferMore(0, 2)).with("never ended"), on(0, settles(0, 0, false, amqp.Accepted())),
		on(1, &clientBegin), on(1, attachSink("t", 0, "sink")),
		on(1, transfer(0, 0)), on(0, detached(1, nil)), on(1, &amqp.End{}), on(0, &amqp.Close{}))...)
	play(t, Options{}, func(t *testing.T, w *world) {
		for round := range connections / 1000 { // the race detector does not follow many more goroutines at once
			for i := range 1000 {
				go churn(w, script, rand.New(rand.NewPCG(uint64(round), uint64(i))))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if s := w.srv.Stats(); s.Open != 0 || s.Accepted != connections {
			t.Errorf("%+v", s)
		}
	})
}

func churn(w *world, script []byte, rng *rand.Rand) {
	server, nc := pipe(4 << 10)
	defer nc.Close()
	w.srv.Go(server)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for b := make([]byte, 512); ; {
			if _, err := nc.Read(b); err != nil {
				return
			}
		}
	}()
	for at, end := 0, rng.IntN(len(script)+1); at < end; {
		n := min(1+rng.IntN(400), end-at)
		if _, err := nc.Write(script[at : at+n]); err != nil {
			break
		}
		at += n
		w.toys.stir(rng)
	}
	if rng.IntN(2) == 0 {
		nc.CloseWrite()
		<-read
	}
}

// stir has one of the toys do something, whoever's it is.
func (h *toyHandler) stir(rng *rand.Rand) {
	h.mu.Lock()
	sink, source := h.sinks["s"], h.sources["r"]
	all := h.all
	h.mu.Unlock()
	if len(all) == 0 {
		return
	}
	other := all[rng.IntN(len(all))].c
	switch rng.IntN(12) {
	case 0, 1, 2, 3:
		if sink != nil {
			sink.settle(taken)
		}
	case 4, 5, 6, 7:
		if source != nil {
			source.emit("event")
		}
	case 8:
		if sink != nil {
			sink.l.Detach(errToyRefusal)
		}
	case 9:
		other.CloseAll(errToyRefusal)
	case 10:
		other.Drop()
	}
}
