package amqpserver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// fromSource plays a scene with a client that receives from a toy under handle 0, in a session begun as the row wants.
func fromSource(t *testing.T, o Options, open amqp.Open, begin amqp.Begin, scene func(t *testing.T, w *world, c *client, s *toySource)) {
	t.Helper()
	play(t, o, func(t *testing.T, w *world) {
		c := w.openWith(open)
		c.send(on(0, &begin))
		c.got()
		c.attachSource("r", 0, "source")
		scene(t, w, c, w.source("r"))
	})
}

func events(from, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("event ", from+i))
	}
	return list
}

// deliveries are n frames as a toy source sends them, ids and numbers counted from the given ones.
func deliveries(handle, id uint32, number, n int) (frames []frame) {
	for i, e := range events(number, n) {
		frames = append(frames, on(0, delivery(handle, id+uint32(i))).with(e))
	}
	return frames
}

func TestRecordedDelivery(t *testing.T) {
	fromSource(t, Options{FirstDeliveryID: 1}, clientOpen, clientBegin, func(t *testing.T, w *world, c *client, s *toySource) {
		c.attachSink("other", 1, "sink")
		c.attachSource("recorded", 2, "source")
		c.send(on(0, credit(2, 0, 300)))
		w.source("recorded").emit("payload")
		c.wantBytes("00000023 02000000 005314c00f0b 5202 5201 a000 43 41 42 40404040 41" + fmt.Sprintf("%x", "payload"))
	})
}

func TestCreditIsObeyed(t *testing.T) {
	fromSource(t, Options{}, clientOpen, clientBegin, func(t *testing.T, w *world, c *client, s *toySource) {
		s.emit(events(0, 100)...)
		c.wantNothing()
		c.send(on(0, credit(0, 0, 3)))
		c.want(deliveries(0, 0, 0, 3)...)
		if s.creditLeft != 0 {
			t.Errorf("the outbox says that %d more are wanted", s.creditLeft)
		}
		c.send(on(0, credit(0, 0, 5))) // said before it saw the first three
		c.want(deliveries(0, 3, 3, 2)...)
		c.send(on(0, credit(0, 5, 0)), on(0, credit(0, 5, 0)), on(0, credit(0, 3, 2))) // none, and no answer either
		c.wantNothing()
		c.send(on(0, credit(0, 5, 2)), on(0, credit(0, 5, 4)))
		c.want(deliveries(0, 5, 5, 4)...)
		c.send(on(0, credit(0, 9, 10)), on(0, credit(0, 9, 1))) // reduced; either may have come first
		if n := len(c.got()); n < 1 || n > 10 {
			t.Errorf("%d deliveries", n)
		}
		if want := []uint32{3, 2, 0, 0, 0, 2}; !slices.Equal(s.credits[:6], want) {
			t.Errorf("the source was told of credit %v, want %v", s.credits, want)
		}
	})
}

func TestCreditWithoutEnd(t *testing.T) {
	for _, n := range []uint32{1<<31 - 1, 1 << 31, 1<<32 - 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			fromSource(t, Options{}, clientOpen, clientBegin, func(t *testing.T, w *world, c *client, s *toySource) {
				c.send(on(0, credit(0, 0, n)))
				s.emit(events(0, 2)...)
				c.want(deliveries(0, 0, 0, 2)...)
				c.send(on(0, credit(0, 1, n)))
				s.emit(events(2, 2)...)
				c.want(deliveries(0, 2, 2, 2)...)
			})
		})
	}
}

// TestCountersWrap: delivery ids and transfer ids run on over the wrap.
func TestCountersWrap(t *testing.T) {
	o := Options{FirstOutgoingID: 1<<32 - 3, FirstDeliveryID: 1<<32 - 2}
	play(t, o, func(t *testing.T, w *world) {
		c := w.open()
		b := clientBegin
		b.IncomingWindow = 6
		c.send(on(0, &b))
		answer := beginAnswer(0)
		answer.NextOutgoingID, answer.OutgoingWindow = 1<<32-3, 6
		c.want(on(0, answer))
		c.attachSource("r", 0, "source")
		flow := credit(0, 0, 100)
		flow.NextIncomingID, flow.IncomingWindow = amqp.Some(uint32(1<<32-3)), 6
		c.send(on(0, flow))
		w.source("r").emit(events(0, 20)...)
		c.want(deliveries(0, 1<<32-2, 0, 6)...) // ids ..fffe, ..ffff, 0, 1, 2, 3; transfer ids up to 2
		c.send(on(0, window(1<<32-1, 6)))       // two of the six were taken
		c.want(deliveries(0, 4, 6, 2)...)
		c.send(on(0, window(5, 1<<32-1)))
		c.want(deliveries(0, 6, 8, 12)...)
		c.send(on(0, &amqp.Flow{NextIncomingID: amqp.Some(uint32(17)), IncomingWindow: 9, Handle: amqp.Some(uint32(0)),
			DeliveryCount: amqp.Some(uint32(20)), LinkCredit: amqp.Some(uint32(7)), Echo: amqp.Some(true)}))
		p := c.last().(*amqp.Flow)
		if p.NextOutgoingID != 17 || p.DeliveryCount.V != 20 || p.LinkCredit.V != 7 {
			t.Errorf("flow after 20 transfers: %+v", p)
		}
	})
}

func TestSessionWindow(t *testing.T) {
	small := clientBegin
	for _, first := range []uint32{0, 1, 3} {
		small.IncomingWindow = first
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			fromSource(t, Options{}, clientOpen, small, func(t *testing.T, w *world, c *client, s *toySource) {
				flow := credit(0, 0, 1000)
				flow.IncomingWindow = first
				c.send(on(0, flow))
				s.emit(events(0, 30)...)
				c.want(deliveries(0, 0, 0, int(first))...)
				s.emit("one more")
				c.wantNothing()
				c.send(on(0, window(1, first))) // nothing new
				c.wantNothing()
				sent := first
				for _, n := range []uint32{1, 5, 2} {
					c.send(on(0, window(1+sent, n)))
					c.want(deliveries(0, sent, int(sent), int(n))...)
					sent += n
				}
				c.send(on(0, &amqp.Flow{IncomingWindow: sent})) // next-incoming-id null: counted from the begin
				c.wantNothing()
				c.send(on(0, &amqp.Flow{IncomingWindow: sent + 2}))
				c.want(deliveries(0, sent, int(sent), 2)...)
				c.send(on(0, window(1, sent))) // a window that shrinks below what was sent is closed
				s.l.Ready()
				c.wantNothing()
			})
		})
	}
}

// TestWindowIsTheSessions: it holds for all links of the session together, and for no other session.
func TestWindowIsTheSessions(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		b := clientBegin
		b.IncomingWindow = 2
		c.send(on(0, &b), on(1, &clientBegin))
		c.got()
		c.attachSource("a", 0, "source")
		c.attachSource("b", 1, "source")
		c.send(on(1, attachSource("c", 0, "source")))
		c.got()
		for _, f := range []frame{on(0, credit(0, 0, 10)), on(0, credit(1, 0, 10)), on(1, credit(0, 0, 10))} {
			f.body.(*amqp.Flow).IncomingWindow = uint32(2 + 98*f.channel)
			c.send(f)
		}
		w.source("a").emit("a0", "a1", "a2")
		c.want(on(0, delivery(0, 0)).with("a0"), on(0, delivery(0, 1)).with("a1"))
		w.source("b").emit("b0", "b1")
		c.wantNothing()
		w.source("c").emit("c0")
		c.want(on(1, delivery(0, 0)).with("c0"))
		c.send(on(0, window(3, 2)))
		c.want(on(0, delivery(0, 2)).with("a2"), on(0, delivery(1, 3)).with("b0"))
		c.send(on(0, window(5, 2)))
		c.want(on(0, delivery(1, 4)).with("b1"))
	})
}

// TestSplit: fields of the frames of a large event as recorded, at any frame size, with any window.
func TestSplit(t *testing.T) {
	message := strings.Repeat("0123456789abcdef", 300<<10/16)
	for _, frameMax := range []int{512, 4096, 65536} {
		for _, windowSize := range []uint32{1, 2, 7, 5000} {
			t.Run(fmt.Sprintf("%d bytes, window %d", frameMax, windowSize), func(t *testing.T) {
				b := clientBegin
				b.IncomingWindow = windowSize
				fromSource(t, Options{}, framesOf(frameMax), b, func(t *testing.T, w *world, c *client, s *toySource) {
					flow := credit(0, 0, 2)
					flow.IncomingWindow = windowSize
					c.send(on(0, flow))
					s.emit(message, "small", "beyond the credit")
					var got []frame
					for {
						burst := c.got()
						if len(burst) == 0 {
							break
						}
						if len(burst) > int(windowSize) {
							t.Fatalf("%d frames, window %d", len(burst), windowSize)
						}
						got = append(got, burst...)
						if len(burst) == int(windowSize) {
							c.send(on(0, window(1+uint32(len(got)), windowSize)))
						}
					}
					c.same(got, split(message, frameMax)...)
				})
			})
		}
	}
}

// split is how a toy source's first delivery has to look, and the small one behind it.
func split(message string, frameMax int) (frames []frame) {
	p := delivery(0, 0)
	for more := true; more; p = (&amqp.Transfer{Handle: 0}) {
		p.More = true
		room := frameMax - len(encode(on(0, p)))
		if more = len(message) > room; !more {
			room, p.More = len(message), false
		}
		frames = append(frames, on(0, p).with(message[:room]))
		message = message[room:]
	}
	return append(frames, on(0, delivery(0, 1)).with("small"))
}

// TestFrameJustFull: a message that fits exactly is one frame.
func TestFrameJustFull(t *testing.T) {
	fromSource(t, Options{}, framesOf(512), clientBegin, func(t *testing.T, w *world, c *client, s *toySource) {
		c.send(on(0, credit(0, 0, 100)))
		for i, over := range []int{-1, 0, 1} {
			room := 512 - len(encode(on(0, delivery(0, uint32(i)))))
			n := room + over
			s.emit(strings.Repeat("x", n))
			got := c.got()
			if frames := 1 + max(0, n-room); len(got) != frames {
				t.Errorf("message %d: %d frames, want %d", i, len(got), frames)
			}
			if size := len(encode(got[0])); size != min(512, 512-room+n) {
				t.Errorf("message %d: first frame has %d bytes", i, size)
			}
		}
	})
}

// TestTwoLinksAndOneLargeEvent: while the window is closed in the middle of a delivery, other links of the session wait as well; delivery
// ids stay consecutive and no delivery is cut into by another of its own link.
func TestTwoLinksAndOneLargeEvent(t *testing.T) {
	b := clientBegin
	b.IncomingWindow = 3
	fromSource(t, Options{}, framesOf(512), b, func(t *testing.T, w *world, c *client, s *toySource) {
		c.attachSource("other", 1, "source")
		flows := []frame{on(0, credit(0, 0, 10)), on(0, credit(1, 0, 10))}
		for _, f := range flows {
			f.body.(*amqp.Flow).IncomingWindow = 3
		}
		c.send(flows...)
		c.wantNothing()
		s.emit(strings.Repeat("x", 3000), "a1")
		w.source("other").emit("b0", "b1")
		var got []frame
		for range 10 {
			got = append(got, c.got()...)
			c.send(on(0, window(1+uint32(len(got)), 3)))
		}
		check := newReceiver(t, 0)
		for _, f := range got {
			check.take(f)
		}
		check.want(map[uint32][]string{0: {strings.Repeat("x", 3000), "a1"}, 1: {"b0", "b1"}})
	})
}

// receiver checks the rules of what a session delivers, and puts it together.
type receiver struct {
	t      testing.TB
	nextID uint32
	open   map[uint32]string // unfinished deliveries by handle
	got    map[uint32][]string
	frames uint32
}

func newReceiver(t testing.TB, firstID uint32) *receiver {
	return &receiver{t: t, nextID: firstID, open: make(map[uint32]string), got: make(map[uint32][]string)}
}

func (r *receiver) take(f frame) {
	r.t.Helper()
	p := f.body.(*amqp.Transfer)
	r.frames++
	begun, active := r.open[p.Handle]
	switch {
	case active && (p.DeliveryID.Set || p.DeliveryTag != nil || p.MessageFormat.Set || p.Settled.Set || p.Batchable.Set):
		r.t.Errorf("a later frame of a delivery carries more than handle and more: %+v", p)
	case !active && (!p.DeliveryID.Set || p.DeliveryID.V != r.nextID):
		r.t.Errorf("delivery-id %v, want %d", p.DeliveryID, r.nextID)
	}
	if !active {
		r.nextID++
	}
	if begun += string(f.payload); p.More {
		r.open[p.Handle] = begun
		return
	}
	delete(r.open, p.Handle)
	r.got[p.Handle] = append(r.got[p.Handle], begun)
}

func (r *receiver) want(want map[uint32][]string) {
	r.t.Helper()
	for handle, list := range want {
		if !slices.Equal(r.got[handle], list) {
			r.t.Errorf("handle %d got %d deliveries, want %d: %.100q", handle, len(r.got[handle]), len(list), r.got[handle])
		}
	}
	if len(r.open) > 0 {
		r.t.Errorf("%d deliveries were not finished", len(r.open))
	}
}

func TestDrain(t *testing.T) {
	drain := func(deliveryCount, n uint32) *amqp.Flow {
		p := credit(0, deliveryCount, n)
		p.Drain = amqp.Some(true)
		return p
	}
	drained := func(transfers, deliveryCount uint32) frame {
		p := ourLinkFlow(0, transfers, 0, deliveryCount, 0)
		p.Drain = amqp.Some(true)
		return on(0, p)
	}
	scene := func(name string, f func(t *testing.T, w *world, c *client, s *toySource)) {
		t.Run(name, func(t *testing.T) { fromSource(t, Options{}, clientOpen, clientBegin, f) })
	}
	scene("nothing there", func(t *testing.T, w *world, c *client, s *toySource) {
		c.send(on(0, credit(0, 0, 10)))
		c.wantNothing()
		c.send(on(0, drain(0, 10)))
		c.want(drained(0, 10))
		s.emit("later")
		c.wantNothing()
		c.send(on(0, credit(0, 10, 5)))
		c.want(on(0, delivery(0, 0)).with("later"))
	})
	scene("less there than credit", func(t *testing.T, w *world, c *client, s *toySource) {
		s.emit(events(0, 3)...)
		c.send(on(0, drain(0, 10)))
		c.want(append(deliveries(0, 0, 0, 3), drained(3, 10))...)
	})
	scene("more there than credit", func(t *testing.T, w *world, c *client, s *toySource) {
		s.emit(events(0, 10)...)
		c.send(on(0, drain(0, 3)))
		c.want(append(deliveries(0, 0, 0, 3), drained(3, 3))...)
	})
	scene("more there than one turn holds", func(t *testing.T, w *world, c *client, s *toySource) {
		large := slices.Repeat([]string{strings.Repeat("x", 10_000)}, 80)
		s.emit(large...)
		c.send(on(0, drain(0, 100)))
		got := c.got()
		c.same(got[len(got)-1:], drained(uint32(len(got)-1), 100))
		if len(got) != 81 {
			t.Errorf("%d frames, want 80 deliveries and a flow", len(got))
		}
	})
	scene("no credit at all", func(t *testing.T, w *world, c *client, s *toySource) {
		c.send(on(0, drain(0, 0)))
		c.want(drained(0, 0)) // some clients wait for the answer
		c.send(on(0, credit(0, 0, 1)))
		s.emit("x")
		c.want(on(0, delivery(0, 0)).with("x"))
	})
	scene("less credit than was used already", func(t *testing.T, w *world, c *client, s *toySource) {
		s.emit(events(0, 5)...)
		c.send(on(0, credit(0, 0, 3)))
		c.want(deliveries(0, 0, 0, 3)...)
		c.send(on(0, drain(0, 1))) // sent before the three were seen
		c.want(drained(3, 3))
		c.send(on(0, credit(0, 3, 1)))
		c.want(deliveries(0, 3, 3, 1)...)
	})
	scene("while another link has data", func(t *testing.T, w *world, c *client, s *toySource) {
		c.attachSource("other", 1, "source")
		c.send(on(0, credit(0, 0, 5)), on(0, credit(1, 0, 5)))
		c.wantNothing()
		s.inFill(func() { w.source("other").emit("other's") }) // has its turn in the same round
		c.send(on(0, drain(0, 5)))
		c.want(drained(0, 5), on(0, delivery(1, 0)).with("other's"))
	})
	scene("arrives while the last credit is used", func(t *testing.T, w *world, c *client, s *toySource) {
		c.send(on(0, credit(0, 0, 1)))
		c.wantNothing()
		s.inFill(func() {
			c.send(on(0, drain(0, 5)))
			s.waitCredits(2)
		})
		s.emit(events(0, 3)...)
		c.want(append(deliveries(0, 0, 0, 3), drained(3, 5))...)
	})
}

func TestEcho(t *testing.T) {
	echo := func(p *amqp.Flow) frame { p.Echo = amqp.Some(true); return on(0, p) }
	fromSource(t, Options{}, clientOpen, clientBegin, func(t *testing.T, w *world, c *client, s *toySource) {
		c.attachSink("s", 1, "sink")
		c.send(echo(window(1, 5000)))
		c.want(on(0, ourFlow(0, 0)))

		c.send(on(0, transfer(1, 0)), echo(&amqp.Flow{Handle: amqp.Some(uint32(1)), IncomingWindow: 5000}))
		flow := creditFlow(1, 1<<32-1, 1, 1)
		c.want(on(0, settled(0, 0)), on(0, flow))

		s.emit("x")
		c.send(echo(credit(0, 0, 10)), echo(credit(0, 0, 10)), echo(credit(0, 0, 10)))
		c.want(on(0, ourLinkFlow(1, 0, 0, 0, 10)), on(0, delivery(0, 0)).with("x"))
	})
}

// TestOutgoingWindow: the window we show is what the peer still takes. It falls with each transfer, follows the peer's flows, and so never
// wraps.
func TestOutgoingWindow(t *testing.T) {
	fromSource(t, Options{}, clientOpen, clientBegin, func(t *testing.T, w *world, c *client, s *toySource) {
		for sent := uint32(0); sent < 10; sent += 2 {
			grant := credit(0, sent, 2)
			grant.NextIncomingID, grant.IncomingWindow, grant.Echo = amqp.Some(1+sent), 3, amqp.Some(true)
			c.send(on(0, grant))
			answer := ourLinkFlow(0, sent, 0, sent, 2)
			answer.OutgoingWindow = 3
			c.want(on(0, answer))

			s.emit(events(int(sent), 2)...)
			c.want(deliveries(0, sent, int(sent), 2)...)
			late := window(1+sent, 3) // sent before the deliveries came
			late.Echo = amqp.Some(true)
			c.send(on(0, late))
			answer = ourFlow(0, sent+2)
			answer.OutgoingWindow = 1
			c.want(on(0, answer))
		}
	})
}

// TestFlowBeforeAttachIsAnswered: Go grants credit in the burst that attaches.
func TestFlowBeforeAttachIsAnswered(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		early := credit(0, 0, 3)
		early.Echo = amqp.Some(true)
		c.send(on(0, attachSource("r", 0, "pending")), on(0, credit(0, 0, 1)), on(0, early))
		c.wantNothing()
		l := w.pending("r")
		w.toys.all[0].acceptSource(l)
		s := w.source("r")
		s.emit(events(0, 5)...)
		c.want(append([]frame{on(0, sourceAnswer("r", 0, "pending")), on(0, ourLinkFlow(0, 0, 0, 0, 3))}, deliveries(0, 0, 0, 3)...)...)
		if !slices.Equal(s.credits, []uint32{3}) {
			t.Errorf("the source was told of credit %v, want 3", s.credits)
		}
	})
}

// TestWindowOpensWhileATurnLasts: neither a wake-up nor a frame's count may be lost between the reader, that takes the flow, and the
// writer, that is just using up the window it knew.
func TestWindowOpensWhileATurnLasts(t *testing.T) {
	b := clientBegin
	b.IncomingWindow = 2
	during := func(name string, given uint32, want int) {
		t.Run(name, func(t *testing.T) {
			fromSource(t, Options{}, clientOpen, b, func(t *testing.T, w *world, c *client, s *toySource) {
				c.attachSource("marker", 1, "source")
				flow := credit(0, 0, 100)
				flow.IncomingWindow = 2
				c.send(on(0, flow))
				c.wantNothing()
				s.inFill(func() {
					mark := credit(1, 0, 7)
					mark.IncomingWindow = given
					c.send(on(0, window(1, given)), on(0, mark))
					w.source("marker").waitCredits(1)
				})
				s.emit(events(0, 10)...)
				c.want(deliveries(0, 0, 0, want)...)
				s.emit("more")
				c.wantNothing()
			})
		})
	}
	during("wider", 6, 6)
	during("as wide", 2, 2)
	during("narrower", 1, 2)
	during("closed", 0, 2)
}

// TestBeginSame: what BeginSame writes is what Begin would have, whatever the ids' and the handle's width, around a split, and when the
// window closes between deliveries or within one.
func TestBeginSame(t *testing.T) {
	t.Parallel()
	for _, handle := range []uint32{0, 5, 300} {
		for _, id := range []uint32{0, 250, 70_000, 1<<32 - 4} {
			for _, window := range []uint32{1, 2, 3, 100} {
				want, got := outboxBytes(handle, id, window, (*Outbox).Begin), outboxBytes(handle, id, window, (*Outbox).BeginSame)
				if !bytes.Equal(got, want) {
					t.Errorf("handle %d, from id %d, window %d:\ngot  %x\nwant %x", handle, id, window, got, want)
				}
			}
		}
	}
}

// outboxBytes puts out messages of several sizes from two sources' transfers. Each Fill has a window of so many frames.
func outboxBytes(handle, id, window uint32, begin func(*Outbox, *amqp.Transfer) []byte) []byte {
	l := &Link{handle: handle, s: &session{channel: 3}}
	o := &Outbox{nextID: id}
	mine := &amqp.Transfer{DeliveryTag: []byte{}, MessageFormat: amqp.Some[uint32](0), Settled: amqp.Some(true), Batchable: amqp.Some(true)}
	other := &amqp.Transfer{DeliveryTag: []byte("other"), Settled: amqp.Some(true)}
	nextFill := func() {
		o = &Outbox{b: o.b, l: l, limit: 1 << 20, credit: 100, window: window, frameMax: 512, nextID: o.nextID}
		o.resume()
	}
	nextFill()
	for i, size := range []int{0, 10, 20, 30, 600, 40, 50, 2000, 60, 70, 80, 1500} {
		which := mine
		if i == 5 {
			which = other
		}
		for o.Room() == 0 {
			nextFill()
		}
		o.End(append(begin(o, which), make([]byte, size)...))
	}
	for l.rest.active() {
		nextFill()
	}
	return o.b
}
