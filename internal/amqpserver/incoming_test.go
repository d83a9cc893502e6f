package amqpserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// toSink plays a scene with a client that sends to a toy under handle 0.
func toSink(t *testing.T, address string, scene func(t *testing.T, w *world, c *client, s *toySink)) {
	t.Helper()
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSink("s", 0, address)
		scene(t, w, c, w.sink("s"))
	})
}

func TestRecordedAcknowledgement(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		c.send(on(0, transfer(0, 1)).with("event"))
		c.wantBytes("00000018 02000000 005315c00b06 41 5201 40 41 00532445 40")
		s.want(t, "event")
	})
}

// TestRecordedRefill is the recorded life of a sender: one delivery to $cbs before, a reply from there, then a hundred deliveries one by
// one, each with a disposition of its own, and with the last the credit.
func TestRecordedRefill(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		b := clientBegin
		b.IncomingWindow = 65536
		c.send(on(0, &b))
		c.got()
		c.send(on(0, attachSink("cbs sender", 0, "sink")), on(0, attachSource("cbs receiver", 1, "source")), on(0, credit(1, 0, 10)))
		c.got()
		w.source("cbs receiver").emit("reply")
		c.got()
		c.send(on(0, attachSink("s", 2, "sink")))
		c.got()
		c.send(on(0, &amqp.Flow{NextIncomingID: amqp.Some(uint32(2)), IncomingWindow: 65535, Handle: amqp.Some(uint32(2)),
			DeliveryCount: amqp.Some(uint32(0)), LinkCredit: amqp.Some(uint32(10000))})) // the SDK grants itself credit
		c.wantNothing()
		c.send(on(0, transfer(0, 0)))
		c.want(on(0, settled(0, 0)))
		for id := uint32(1); id < 100; id++ {
			c.send(on(0, transfer(2, id)))
			c.want(on(0, settled(id, id)))
		}
		c.send(on(0, transfer(2, 100)))
		c.wantBytes("00000018 02000000 005315c00b06 41 5264 40 41 00532445 40" +
			"0000002d 02000000 005313c0200b 5265 7000001388 5202 700000ffff 5202 5264 700000012c 70ffffffff 40 42 40")
	})
}

// TestInitialDeliveryCount: credit is counted from where the client starts, and over the wrap.
func TestInitialDeliveryCount(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		attach := attachSink("s", 0, "sink")
		attach.InitialDeliveryCount = amqp.Some(uint32(1<<32 - 40))
		c.send(on(0, attach))
		c.want(on(0, sinkAnswer("s", 0, "sink")), on(0, creditFlow(0, 0, 0, 1<<32-40)))
		for id := range uint32(toyRefill) {
			c.send(on(0, transfer(0, id)))
		}
		if p, ok := c.last().(*amqp.Flow); !ok || p.DeliveryCount.V != 60 {
			t.Errorf("after %d deliveries: %+v", toyRefill, p)
		}
	})
}

func TestAvailable(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		refill := func(from uint32) *amqp.Flow {
			for id := from; id < from+toyRefill; id++ {
				c.send(on(0, transfer(0, id)))
			}
			return c.last().(*amqp.Flow)
		}
		if p := refill(0); p.Available.V != 0 || p.Drain.Set || p.Echo.V {
			t.Errorf("before any flow of the client: %+v", p)
		}
		c.send(on(0, &amqp.Flow{Handle: amqp.Some(uint32(0)), Available: amqp.Some(uint32(77))}))
		if p := refill(100); p.Available.V != 77 {
			t.Errorf("available %d, the client's last was 77", p.Available.V)
		}
		c.send(on(0, &amqp.Flow{Handle: amqp.Some(uint32(0))}))
		if p := refill(200); p.Available.V != 1<<32-1 || !p.Available.Set {
			t.Errorf("available %+v after a flow without", p.Available)
		}
	})
}

func TestDeliveryInSeveralFrames(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 65536)
	cont := func(more bool) *amqp.Transfer { return &amqp.Transfer{Handle: 0, More: more} }
	repeated := func(more bool) *amqp.Transfer { // Python repeats the first frame's fields
		p := transfer(0, 5)
		p.More = more
		return p
	}
	settledLast := cont(false)
	settledLast.Settled = amqp.Some(true)
	settledFirst := transferMore(0, 5)
	settledFirst.Settled = amqp.Some(true)
	rows := []struct {
		name    string
		frames  []frame
		payload string
		settled bool
	}{
		{"two", []frame{on(0, transferMore(0, 5)).with("ab"), on(0, cont(false)).with("cd")}, "abcd", false},
		{"ids repeated", []frame{
			on(0, repeated(true)).with("ab"), on(0, repeated(true)).with("cd"), on(0, repeated(false)).with("ef")}, "abcdef", false},
		{"empty last", []frame{on(0, transferMore(0, 5)).with("ab"), on(0, cont(true)).with("cd"), on(0, cont(false))}, "abcd", false},
		{"heartbeats between", []frame{on(0, transferMore(0, 5)).with("ab"), heartbeat, heartbeat, on(0, cont(false)).with("cd")}, "abcd", false},
		{"settled by the last", []frame{on(0, transferMore(0, 5)).with("ab"), on(0, settledLast).with("cd")}, "abcd", true},
		{"settled by the first", []frame{on(0, settledFirst).with("ab"), on(0, cont(false)).with("cd")}, "abcd", true},
		{"1 MiB", inFrames(transferMore(0, 5), large, 60_000), large, false},
	}
	for _, row := range rows {
		for _, way := range []string{"in one write", "frame by frame"} {
			t.Run(row.name+" "+way, func(t *testing.T) {
				toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
					if way == "in one write" {
						c.send(row.frames...)
					} else {
						for _, f := range row.frames {
							synctest.Wait()
							s.want(t)
							c.send(f)
						}
					}
					if row.settled {
						c.wantNothing()
					} else {
						c.want(on(0, settled(5, 5)))
					}
					s.want(t, row.payload)
					d := Delivery{ID: 5, Settled: row.settled, Bytes: len(row.payload)}
					if !slices.EqualFunc(s.all, []Delivery{d}, equalDelivery) {
						t.Errorf("delivered %+v, want %+v", s.all, d)
					}
				})
			})
		}
	}
}

func equalDelivery(a, b Delivery) bool {
	return a.ID == b.ID && a.Format == b.Format && a.Settled == b.Settled && a.Bytes == b.Bytes
}

// inFrames cuts a message into frames of size bytes each.
func inFrames(first *amqp.Transfer, message string, size int) (frames []frame) {
	for p := first; len(message) > 0; p = (&amqp.Transfer{Handle: first.Handle}) {
		n := min(size, len(message))
		p.More = n < len(message)
		frames = append(frames, on(0, p).with(message[:n]))
		message = message[n:]
	}
	return frames
}

func TestFormatIsHandedOn(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		p := transfer(0, 0)
		p.MessageFormat = amqp.Some(uint32(amqp.FormatBatch))
		c.send(on(0, p).with("batch"))
		c.got()
		if got := s.all[0].Format; got != amqp.FormatBatch {
			t.Errorf("format %#x", got)
		}
	})
}

// TestTwoLinksInterleave: deliveries of different links may be cut into each other, those of one link may not.
func TestTwoLinksInterleave(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSink("a", 0, "sink")
		c.attachSink("b", 1, "sink")
		c.send(on(0, transferMore(0, 0)).with("a1"), on(0, transferMore(1, 1)).with("b1"), on(0, &amqp.Transfer{Handle: 0}).with("a2"),
			on(0, &amqp.Transfer{Handle: 1}).with("b2"))
		c.want(on(0, settled(0, 0)), on(0, settled(1, 1)))
		w.sink("a").want(t, "a1a2")
		w.sink("b").want(t, "b1b2")
	})
}

// TestBreaches are the wrongs that cost a client its link and nothing else.
func TestBreaches(t *testing.T) {
	noID := transfer(0, 0)
	noID.DeliveryID = amqp.Opt[uint32]{}
	for _, row := range []struct {
		name   string
		frames []frame
		want   amqp.Symbol
		text   string
	}{
		{"interleaved", []frame{on(0, transferMore(0, 8)).with("x"), on(0, transfer(0, 9)).with("y")}, amqp.CondIllegalState,
			"delivery 9 came before delivery 8"},
		{"no id", []frame{on(0, noID)}, amqp.CondInvalidField, "no delivery-id"},
		{"to a receiver", []frame{on(0, transfer(1, 0))}, amqp.CondNotAllowed, "whose receiver you are"},
		{"too much unfinished", inFrames(transferMore(2, 0), strings.Repeat("x", partialBytesMax+1), 65000),
			amqp.CondResourceLimitExceeded, "16777216 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
				c.attachSource("r", 1, "source")
				c.send(on(0, attachSink("huge", 2, "pending")))
				synctest.Wait()
				huge := &toySink{k: w.toys.all[0], l: w.pending("huge"), how: "sink"}
				huge.l.AcceptSink(huge, Answer{MessageBytes: 1<<64 - 1, Credit: 100})
				handle := row.frames[0].body.(*amqp.Transfer).Handle
				c.got()
				for _, f := range row.frames { // more than fits into the pipe
					c.send(f)
				}
				c.send(on(0, &amqp.Transfer{Handle: handle, More: true}).with("on its way")) // before the detach was seen
				p, ok := c.last().(*amqp.Detach)
				if !ok || p.Handle != handle || p.Error.Condition != row.want || !strings.Contains(p.Error.Description, row.text) {
					t.Fatalf("answered with %+v, want a detach with %s: %s", p, row.want, row.text)
				}
				w.wantLogged("level=WARN", "link detached", string(row.want))
				if n := w.toys.conn().partial; n != 0 {
					t.Errorf("%d bytes kept of an unfinished delivery", n)
				}
				c.send(on(0, detached(handle, nil)))
				c.wantNothing()
				c.attachSink("next", handle, "sink")
				c.send(on(0, transfer(handle, 50)))
				c.want(on(0, settled(50, 50)))
			})
		})
	}
}

func TestAborted(t *testing.T) {
	aborted := &amqp.Transfer{Handle: 0, Aborted: amqp.Some(true)}
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		c.send(on(0, transferMore(0, 0)).with("gone"), on(0, aborted), on(0, transfer(0, 1)).with("stays"))
		c.want(on(0, settled(1, 1)))
		s.want(t, "stays")
	})
	t.Run("uses credit, which comes back", func(t *testing.T) {
		toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
			at := func(id uint32) *amqp.Transfer { p := transfer(0, id); p.Aborted = amqp.Some(true); return p }
			for id := range uint32(50) {
				c.send(on(0, transferMore(0, 2*id)).with("gone"), on(0, aborted), on(0, at(2*id+1)))
			}
			c.want(on(0, creditFlow(0, 0, 150, 100)))
			s.want(t)
		})
	})
}

func TestOversize(t *testing.T) {
	const size = toyBytes + 1
	for _, row := range []struct {
		name   string
		frames []frame
	}{
		{"in many frames", inFrames(transferMore(0, 0), strings.Repeat("x", size), 65000)},
		{"frames far beyond", inFrames(transferMore(0, 0), strings.Repeat("x", 40*size), 65000)},
	} {
		t.Run(row.name, func(t *testing.T) {
			toSink(t, "sink/reject", func(t *testing.T, w *world, c *client, s *toySink) {
				total := 0
				for _, f := range row.frames {
					total += len(f.payload)
					c.send(f)
				}
				c.send(on(0, transfer(0, 1)).with("the link stays"))
				got := c.got()
				c.same(bodies(got, amqp.CodeDisposition), on(0, outcome(0, 0, busy)), on(0, outcome(1, 1, busy)))
				s.want(t, fmt.Sprintf("oversize %d", total), "the link stays")
			})
		})
	}
	t.Run("in one frame", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.send(on(0, attachSink("s", 0, "pending")))
			synctest.Wait()
			s := &toySink{k: w.toys.all[0], l: w.pending("s"), how: "sink"}
			s.l.AcceptSink(s, Answer{MessageBytes: 4, Credit: 10})
			c.send(on(0, transfer(0, 0)).with("12345"), on(0, transfer(0, 1)).with("1234"), on(0, transfer(0, 2)))
			c.got()
			s.want(t, "oversize 5", "1234", "")
		})
	})
}

// bodies picks the frames of one kind.
func bodies(frames []frame, code amqp.Code) (list []frame) {
	for _, f := range frames {
		if c, err := amqp.PeekCode(f.body.Append(nil)); err == nil && c == code {
			list = append(list, f)
		}
	}
	return list
}

// TestSettlements: what is settled in time leaves as few ranges, but a range never spans a gap, an outcome, or another link.
func TestSettlements(t *testing.T) {
	rows := []struct {
		name   string
		settle func(a, b *toySink)
		want   []frame
	}{
		{"a burst", func(a, b *toySink) { a.settle(taken) }, []frame{on(0, settled(0, 3))}},
		{"one by one", func(a, b *toySink) { settleEach(a, taken, 0, 1, 2, 3) }, []frame{on(0, settled(0, 3))}},
		{"a gap", func(a, b *toySink) { settleEach(a, taken, 0, 1, 3) }, []frame{on(0, settled(0, 1)), on(0, settled(3, 3))}},
		{"the gap closes late", func(a, b *toySink) { settleEach(a, taken, 0, 2, 1) },
			[]frame{on(0, settled(0, 0)), on(0, settled(2, 2)), on(0, settled(1, 1))}},
		{"backwards", func(a, b *toySink) { settleEach(a, taken, 1, 0) }, []frame{on(0, settled(1, 1)), on(0, settled(0, 0))}},
		{"another outcome between", func(a, b *toySink) {
			a.settleOne(0, taken)
			a.settleOne(1, busy)
			a.settleOne(2, taken)
		}, []frame{on(0, settled(0, 0)), on(0, outcome(1, 1, busy)), on(0, settled(2, 2))}},
		{"two links", func(a, b *toySink) {
			a.settleOne(3, taken)
			b.settleOne(4, taken)
			b.settleOne(5, taken)
		}, []frame{on(0, settled(3, 3)), on(0, settled(4, 5))}},
		{"rejected ones stay apart", func(a, b *toySink) { settleEach(a, busy, 0, 1) },
			[]frame{on(0, outcome(0, 0, busy)), on(0, outcome(1, 1, busy))}},
		{"range and one", func(a, b *toySink) {
			settleEach(a, taken, 0, 1, 2)
			a.settle(busy)
		}, []frame{on(0, settled(0, 2)), on(0, outcome(3, 3, busy))}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.open()
				c.begin(0)
				c.attachSink("a", 0, "sink/never")
				c.attachSink("b", 1, "sink/never")
				for id := range uint32(4) {
					c.send(on(0, transfer(0, id)).with("a"))
				}
				c.send(on(0, transfer(1, 4)).with("b"), on(0, transfer(1, 5)).with("b"))
				c.wantNothing()
				c.attachSource("hold", 2, "source")
				c.send(on(0, credit(2, 0, 1)))
				c.wantNothing()
				w.source("hold").inFill(func() { row.settle(w.sink("a"), w.sink("b")) })
				w.source("hold").l.Ready()
				c.want(row.want...)
			})
		})
	}
}

func settleEach(s *toySink, state amqp.DeliveryState, ids ...uint32) {
	for _, id := range ids {
		s.settleOne(id, state)
	}
}

func TestSettledDeliveriesAreNotAnswered(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		p := transfer(0, 1)
		p.Settled = amqp.Some(true)
		c.send(on(0, transfer(0, 0)), on(0, p).with("silent"), on(0, transfer(0, 2)))
		c.want(on(0, settled(0, 0)), on(0, settled(2, 2)))
	})
}

func TestSettlementsAroundTheWrap(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		c.send(on(0, transfer(0, 1<<32-2)), on(0, transfer(0, 1<<32-1)), on(0, transfer(0, 0)), on(0, transfer(0, 1)))
		c.want(on(0, settled(1<<32-2, 1)))
	})
}

func TestCreditOverrun(t *testing.T) {
	toSink(t, "sink/never", func(t *testing.T, w *world, c *client, s *toySink) {
		burst := func(from, n int) (frames []frame) {
			for id := range n {
				frames = append(frames, on(0, transfer(0, uint32(from+id))))
			}
			return frames
		}
		c.send(burst(0, toyCredit+overrunMax)...) // before any of it was seen to be delivered
		c.want(on(0, creditFlow(0, 0, 600, 600)))
		c.send(burst(600, toyCredit+overrunMax)...)
		c.want(on(0, creditFlow(0, 0, 1200, 1200)))
		c.send(burst(1200, toyCredit+overrunMax+1)...)
		p, ok := c.last().(*amqp.Detach)
		if !ok || p.Error.Condition != amqp.CondTransferLimitExceeded || !strings.Contains(p.Error.Description, "delivery 1800 ") {
			t.Fatalf("answered with %+v", p)
		}
		if n := len(s.all); n != 1800 {
			t.Errorf("%d deliveries reached the sink, want 1800", n)
		}
		c.send(on(0, detached(0, nil)))
		c.attachSink("again", 0, "sink")
	})
}

// TestCreditAsShown: a flow that is written late shows what was delivered by then, and so grants more than when it became due. All of that
// may be used.
func TestCreditAsShown(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.send(on(0, attachSink("s", 0, "sink/wide")))
		c.got()
		sent := uint32(0)
		send := func(n int) {
			var burst []frame
			for range n {
				p := transfer(0, sent)
				p.Settled = amqp.Some(true)
				burst = append(burst, on(0, p))
				sent++
			}
			c.send(burst...)
			synctest.Wait()
		}
		c.nc.in.resize(10)
		c.send(on(0, &amqp.Flow{Echo: amqp.Some(true)})) // its answer holds the writer
		synctest.Wait()
		send(toyWide / 2)
		send(toyWide/2 - 50)
		c.nc.in.resize(100_000)
		shown := c.last().(*amqp.Flow)
		if granted := shown.DeliveryCount.V + shown.LinkCredit.V; granted != 2*toyWide-50 {
			t.Fatalf("credit up to %d was granted, not up to %d: %+v", granted, 2*toyWide-50, shown)
		}
		send(toyWide)
		if p, ok := c.last().(*amqp.Flow); !ok || p.DeliveryCount.V != sent {
			t.Errorf("answered with %+v", p)
		}
	})
}

// TestCreditIsPerDelivery: a client that uses its credit fully and one frame at a time is never starved nor detached.
func TestCreditIsPerDelivery(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		end, next := uint32(toyCredit), uint32(0)
		for next < 5000 {
			if next == end {
				t.Fatalf("no credit left after %d deliveries", next)
			}
			for next < end {
				c.send(on(0, transferMore(0, next)), on(0, &amqp.Transfer{Handle: 0}))
				next++
			}
			for _, p := range bodiesOf[*amqp.Flow](c.got()) {
				if p.Handle.Set {
					end = p.DeliveryCount.V + p.LinkCredit.V
				}
			}
		}
	})
}

// TestWindowArithmetic: Python counts deliveries where it should count frames. What a client says about its own window costs it nothing.
func TestWindowArithmetic(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		for _, next := range []uint32{0, 1 << 31, 1<<32 - 1, 7} {
			c.send(on(0, &amqp.Flow{NextIncomingID: amqp.Some(uint32(1)), IncomingWindow: 5000, NextOutgoingID: next, OutgoingWindow: 0}))
			c.send(on(0, transfer(0, next)))
			c.want(on(0, settled(next, next)))
		}
	})
}

// TestSessionFlow: deliveries in many small frames use up the window of 5000 long before they use up the credit, so the session gets flows
// of its own.
func TestSessionFlow(t *testing.T) {
	toSink(t, "sink", func(t *testing.T, w *world, c *client, s *toySink) {
		window, frames := 5000, 0
		for id := range uint32(3) {
			for _, f := range inFrames(transferMore(0, id), strings.Repeat("x", 4000), 1) {
				if window == 0 {
					t.Fatalf("no window left after %d frames", frames)
				}
				c.send(f)
				window--
				frames++
				if frames%500 != 0 {
					continue
				}
				for _, p := range bodiesOf[*amqp.Flow](c.got()) {
					window = int(p.NextIncomingID.V+p.IncomingWindow) - frames
					c.same([]frame{on(0, p)}, on(0, ourFlow(p.NextIncomingID.V, 0)))
				}
			}
		}
	})
}

// TestInflightBound: the reader stops at the bound and goes on when deliveries are settled.
func TestInflightBound(t *testing.T) {
	const bound = 1 << 20
	play(t, Options{InflightBytesMax: bound}, func(t *testing.T, w *world) {
		c := w.dialSized(64 << 10)
		c.handshake(clientOpen)
		c.begin(0)
		c.attachSink("s", 0, "sink/never")
		s := w.sink("s")
		var done bool
		go func() {
			for id := range uint32(100) {
				c.nc.Write(encode(on(0, transfer(0, id)).with(strings.Repeat("x", 50_000))))
			}
			done = true
		}()
		synctest.Wait()
		if n := w.toys.conn().inflight.Load(); n < bound || n > bound+256<<10 || done {
			t.Errorf("%d bytes in flight at a bound of %d, client done: %v", n, bound, done)
		}
		for !done {
			was := len(s.all)
			s.settle(taken)
			synctest.Wait()
			if len(s.all) == was && !done {
				t.Fatalf("the reader did not go on after %d deliveries", was)
			}
		}
		s.settle(taken)
		if c.got(); len(s.all) != 100 {
			t.Errorf("%d of 100 deliveries came", len(s.all))
		}
	})
}
