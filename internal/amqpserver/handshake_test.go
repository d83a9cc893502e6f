package amqpserver

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// recorded is what the service was recorded to answer, but for the container id, of which only the form was.
const (
	recordedHeaderSASL = "414d515003010000"
	recordedOffer      = "0000003f02010000005340c03201e02f04b3" +
		"000000074d535342434253" + "00000005504c41494e" + "00000009414e4f4e594d4f5553" + "0000000845585445524e414c"
	recordedWelcome    = "0000001a02010000005344c00d025000a00857656c636f6d6521"
	recordedHeaderAMQP = "414d515000010000"
	recordedOpen       = "0000004602000000005310c0390aa123" + "CONTAINER" + "407000010000601387700001d4c04040404040"
	recordedBegin      = "0000002202000000005311c0150860000152017000001388700001000052ff404040"
)

const recordedContainer = "b9b47ad5cc10432aaa4be86a07f482b8_G9"

func TestRecordedHandshake(t *testing.T) {
	play(t, Options{ContainerID: func() string { return recordedContainer }}, func(t *testing.T, w *world) {
		c := w.dial()
		c.wantNothing() // the service never starts
		c.send(header(amqp.ProtocolSASL))
		c.wantBytes(recordedHeaderSASL + recordedOffer)
		c.send(inSASL(&amqp.SASLInit{Mechanism: "ANONYMOUS", Hostname: amqp.Some("localhost")}))
		c.wantBytes(recordedWelcome)
		c.send(header(amqp.ProtocolAMQP))
		c.wantBytes(recordedHeaderAMQP)
		c.send(on(0, &amqp.Open{ContainerID: "client", MaxFrameSize: amqp.Some(uint32(1048576)), ChannelMax: amqp.Some(uint16(65535))}))
		c.wantBytes(strings.Replace(recordedOpen, "CONTAINER", hex.EncodeToString([]byte(recordedContainer)), 1))
		c.send(on(1, &amqp.Begin{IncomingWindow: 65536, OutgoingWindow: 65536, HandleMax: amqp.Some(uint32(1<<32 - 1))}))
		c.wantBytes(recordedBegin)
		c.close()
	})
}

func TestMechanisms(t *testing.T) {
	rows := []struct {
		name, mechanism, response string
		outcome                   uint8
	}{
		{"dotnet", "MSSBCBS", "", amqp.SASLOk},
		{"go", "ANONYMOUS", "anonymous", amqp.SASLOk},
		{"javascript", "ANONYMOUS", "\x00RootManageSharedAccessKey", amqp.SASLOk},
		{"external", "EXTERNAL", "", amqp.SASLOk},
		{"plain", "PLAIN", "\x00user\x00secret", amqp.SASLOk},
		{"plain with an authorization id", "PLAIN", "other\x00user\x00secret", amqp.SASLOk},
		{"plain, wrong password", "PLAIN", "\x00user\x00guess", amqp.SASLAuth},
		{"plain without password", "PLAIN", "\x00user", amqp.SASLAuth},
		{"plain without response", "PLAIN", "", amqp.SASLAuth},
		{"unknown", "SCRAM-SHA-256", "n,,n=user", amqp.SASLAuth},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.dial()
				c.send(header(amqp.ProtocolSASL))
				c.want(header(amqp.ProtocolSASL), offered)
				c.send(inSASL(&amqp.SASLInit{Mechanism: amqp.Symbol(row.mechanism), InitialResponse: []byte(row.response)}))
				if row.outcome == amqp.SASLOk {
					c.want(welcome)
					c.send(header(amqp.ProtocolAMQP), on(0, &clientOpen))
					c.want(header(amqp.ProtocolAMQP), on(0, w.openAnswer()))
					return
				}
				c.want(inSASL(&amqp.SASLOutcome{Code: row.outcome}))
				c.wantEOF()
				w.wantLogged("connection refused", row.mechanism)
			})
		})
	}
}

func TestPipelining(t *testing.T) {
	attach := &amqp.Attach{Name: "sender", Source: &amqp.Source{}, Target: targetOf("sink")}
	all := append(pipelined(clientOpen), encode(on(3, &clientBegin), on(3, attach), on(3, transfer(0, 0)).with("hello"))...)
	answers := func(w *world) []frame {
		return []frame{header(amqp.ProtocolSASL), offered, welcome, header(amqp.ProtocolAMQP), on(0, w.openAnswer()), on(0, beginAnswer(3)),
			on(0, sinkAnswer("sender", 0, "sink")), on(0, settled(0, 0)), on(0, creditFlow(0, 0, 1, 1))}
	}
	t.Run("all in one write", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.dial()
			c.write(all)
			synctest.Wait()
			c.want(answers(w)...)
		})
	})
	t.Run("byte by byte", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.dial()
			var flat []frame
			for i := range all {
				c.write(all[i : i+1])
				flat = append(flat, c.got()...)
			}
			// the flow that grants credit goes out before the delivery comes
			want := answers(w)
			want[7], want[8] = on(0, creditFlow(0, 0, 0, 0)), on(0, settled(0, 0))
			if got := encode(flat...); show(got) != show(encode(want...)) {
				t.Errorf("came:\n%swant:\n%s", show(got), show(encode(want...)))
			}
		})
	})
	t.Run("header and open together", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.dial()
			c.send(header(amqp.ProtocolAMQP), on(0, &clientOpen)) // and no SASL at all
			c.want(header(amqp.ProtocolAMQP), on(0, w.openAnswer()))
		})
	})
	t.Run("heartbeats everywhere", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.dial()
			beat := inSASL(nil)
			c.send(header(amqp.ProtocolSASL), beat, beat, inSASL(&amqp.SASLInit{Mechanism: "ANONYMOUS"}), header(amqp.ProtocolAMQP))
			c.send(heartbeat, heartbeat)
			c.want(header(amqp.ProtocolSASL), offered, welcome, header(amqp.ProtocolAMQP))
			c.send(heartbeat, on(0, &clientOpen), heartbeat, on(0, &clientBegin), heartbeat)
			c.want(on(0, w.openAnswer()), on(0, beginAnswer(0)))
		})
	})
}

func TestHandshakeTimeout(t *testing.T) {
	whole := pipelined(clientOpen)
	for _, row := range []struct {
		name string
		sent []byte
	}{
		{"nothing", nil},
		{"half a header", whole[:4]},
		{"no init", whole[:8]},
		{"no open", whole[:len(whole)-30]},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{HandshakeTimeout: 5 * time.Second}, func(t *testing.T, w *world) {
				c := w.dial()
				c.write(row.sent)
				time.Sleep(5*time.Second - time.Nanosecond)
				synctest.Wait()
				if _, ended := c.nc.arrived(); ended {
					t.Fatal("cut before the time was up")
				}
				time.Sleep(time.Nanosecond)
				c.wantEOF()
				w.wantLogged("did not finish its handshake", "5s")
			})
		})
	}
	t.Run("in time", func(t *testing.T) {
		play(t, Options{HandshakeTimeout: 5 * time.Second}, func(t *testing.T, w *world) {
			c := w.dial()
			time.Sleep(4 * time.Second)
			c.write(whole)
			c.got()
			time.Sleep(time.Minute)
			c.wantNothing()
			c.close()
		})
	})
}

func TestOpenRefused(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		w.toys.refuse = &amqp.Error{Condition: amqp.CondUnauthorizedAccess, Description: "not you"}
		c := w.dial()
		c.write(append(pipelined(clientOpen), encode(on(0, &clientBegin), on(0, attachSink("s", 0, "sink")))...))
		c.want(header(amqp.ProtocolSASL), offered, welcome, header(amqp.ProtocolAMQP), on(0, w.openAnswer()),
			on(0, &amqp.Close{Error: w.toys.refuse}))
		c.wantEOF()
		if n := w.toys.all[0].attachs; n != 0 {
			t.Errorf("%d links reached the container of a refused connection", n)
		}
		c.send(on(0, &amqp.Close{}))
		c.nc.Close()
	})
}

// TestOpenHeld: a client waits for its open as long as the container likes, and what it has pipelined waits with it.
func TestOpenHeld(t *testing.T) {
	const hold = time.Hour // far beyond every time-out
	handshake := []frame{header(amqp.ProtocolSASL), offered, welcome, header(amqp.ProtocolAMQP)}
	behind := encode(on(0, &clientBegin), on(0, attachSink("s", 0, "sink")), on(0, transfer(0, 0)).with("hello"))
	// The writer, woken by the attach, may show the credit before the reader has come to the transfer behind it, or has handed it on.
	served := func(w *world) (list [][]frame) {
		begun := []frame{on(0, w.openAnswer()), on(0, beginAnswer(0)), on(0, sinkAnswer("s", 0, "sink"))}
		accepted := on(0, settled(0, 0))
		for _, early := range []frame{on(0, creditFlow(0, 0, 0, 0)), on(0, creditFlow(0, 0, 1, 0)), on(0, creditFlow(0, 0, 1, 1))} {
			list = append(list, append(slices.Clone(begun), early, accepted))
		}
		return append(list, append(begun, accepted, on(0, creditFlow(0, 0, 1, 1))))
	}
	for _, row := range []struct {
		name    string
		opening func(*Conn)
		links   int
		want    func(*world) [][]frame // any of these; nil: the connection ends without a word
	}{
		{"answered", func(c *Conn) { time.AfterFunc(hold, func() { c.AnswerOpen(nil) }) }, 1, func(w *world) [][]frame {
			return served(w)
		}},
		{"answered twice", func(c *Conn) {
			time.AfterFunc(hold, func() { c.AnswerOpen(nil); c.AnswerOpen(errToyRefusal); c.Ignore(); c.HoldOpen() })
		}, 1, func(w *world) [][]frame {
			return served(w)
		}},
		{"refused", func(c *Conn) { time.AfterFunc(hold, func() { c.AnswerOpen(errToyRefusal) }) }, 0, func(w *world) [][]frame {
			return [][]frame{{on(0, w.openAnswer()), on(0, &amqp.Close{Error: errToyRefusal})}}
		}},
		{"dropped", func(c *Conn) { time.AfterFunc(hold, c.Drop) }, 0, nil},
		{"closed", func(c *Conn) { time.AfterFunc(hold, func() { c.Close(errToyRefusal) }) }, 0, nil}, // no close without an open [2.4.3]
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				w.toys.opening = func(c *Conn) { c.HoldOpen(); row.opening(c) }
				c := w.dial()
				c.write(append(pipelined(clientOpen), behind...))
				c.want(handshake...)
				time.Sleep(hold - 1)
				c.wantNothing()
				time.Sleep(1)
				if row.want == nil {
					c.wantEOF()
				} else {
					c.wantOneOf(row.want(w)...)
				}
				if n := w.toys.all[0].attachs; n != row.links {
					t.Errorf("%d links reached the container, want %d", n, row.links)
				}
				c.nc.Close()
			})
		})
	}
	t.Run("the idle time counts from the answer", func(t *testing.T) {
		play(t, Options{IdleTimeout: time.Minute}, func(t *testing.T, w *world) {
			w.toys.opening = func(c *Conn) { c.HoldOpen(); time.AfterFunc(hold, func() { c.AnswerOpen(nil) }) }
			c := w.dial()
			c.write(pipelined(clientOpen))
			time.Sleep(hold + 2*time.Minute - 1)
			c.want(append(handshake, on(0, w.openAnswer()))...)
			time.Sleep(1)
			if p, ok := c.last().(*amqp.Close); !ok || p.Error == nil || p.Error.Condition != amqp.CondConnectionForced {
				t.Errorf("at the end of the idle time came %v", p)
			}
			c.nc.Close()
		})
	})
}

// TestOpenIgnored: a client without an answer is left alone until it goes or has been silent for too long. What it sends reaches nobody.
func TestOpenIgnored(t *testing.T) {
	for _, row := range []struct {
		name    string
		opening func(*Conn)
	}{
		{"at once", (*Conn).Ignore},
		{"held before", func(c *Conn) { c.HoldOpen(); time.AfterFunc(time.Second, c.Ignore) }},
		{"for good", func(c *Conn) { c.Ignore(); c.AnswerOpen(nil); c.HoldOpen() }},
	} {
		for end, leave := range map[string]func(*client){
			"closes":           func(c *client) { c.send(on(0, &amqp.Close{})) },
			"ends its side":    func(c *client) { c.nc.CloseWrite() },
			"says no more":     func(c *client) { time.Sleep(4 * time.Minute) },
			"is cut from us":   func(c *client) { c.w.toys.conn().Drop() },
			"breaks the rules": func(c *client) { c.send(on(0, &clientOpen)) },
		} {
			t.Run(row.name+", then "+end, func(t *testing.T) {
				play(t, Options{}, func(t *testing.T, w *world) {
					w.toys.opening = row.opening
					c := w.dial()
					c.write(append(pipelined(clientOpen), encode(on(0, &clientBegin))...))
					c.want(header(amqp.ProtocolSASL), offered, welcome, header(amqp.ProtocolAMQP))
					for range 10 {
						time.Sleep(3 * time.Minute)
						c.send(on(0, attachSink("s", 0, "sink")), heartbeat)
						c.wantNothing()
					}
					leave(c)
					c.wantEOF()
					if n := w.toys.all[0].attachs; n != 0 {
						t.Errorf("%d links reached the container", n)
					}
					c.nc.Close()
				})
			})
		}
	}
}

// TestFrameSizeChosen checks that what we send obeys the smaller limit of both ends, which is 512 at least.
func TestFrameSizeChosen(t *testing.T) {
	for _, row := range []struct {
		name       string
		ours       uint32
		peers      amqp.Opt[uint32]
		want, open uint32
	}{
		{"null", 0, amqp.Opt[uint32]{}, 65536, 65536},
		{"larger", 0, amqp.Some(uint32(1048576)), 65536, 65536},
		{"java over websocket", 0, amqp.Some(uint32(4096)), 4096, 65536},
		{"below the minimum", 0, amqp.Some(uint32(10)), 512, 65536},
		{"ours small", 1024, amqp.Some(uint32(4096)), 1024, 1024},
		{"ours below the minimum", 1, amqp.Some(uint32(4096)), 512, 512},
		{"ours beyond what a buffer holds", 1 << 30, amqp.Opt[uint32]{}, readLarge, readLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{FrameBytesMax: row.ours}, func(t *testing.T, w *world) {
				c := w.openWith(amqp.Open{ContainerID: "c", MaxFrameSize: row.peers})
				if got := w.srv.o.FrameBytesMax; got != row.open {
					t.Errorf("advertised %d, want %d", got, row.open)
				}
				c.begin(0)
				c.attachSource("r", 0, "source")
				c.send(on(0, credit(0, 0, 10)))
				w.source("r").emit(strings.Repeat("x", 300<<10))
				for i, f := range c.got() {
					size := len(encode(f))
					if last := !f.body.(*amqp.Transfer).More; size > int(row.want) || size < int(row.want) && !last {
						t.Fatalf("frame %d has %d bytes, limit %d", i, size, row.want)
					}
				}
			})
		})
	}
}
