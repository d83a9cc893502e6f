package amqpserver

import (
	"fmt"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

func TestChannels(t *testing.T) {
	t.Run("ours are the lowest free", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			for i, theirs := range []uint16{7, 4999, 0} {
				c.send(on(theirs, &clientBegin))
				c.want(on(uint16(i), beginAnswer(theirs)))
			}
			c.send(on(4999, &amqp.End{}))
			c.want(on(1, &amqp.End{}))
			c.send(on(12, &clientBegin))
			c.want(on(1, beginAnswer(12)))
			c.send(on(4999, &clientBegin)) // the client's number may come back as well
			c.want(on(3, beginAnswer(4999)))
			c.close()
		})
	})
	t.Run("begin answers the client's windows", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.send(on(0, &amqp.Begin{NextOutgoingID: 9, IncomingWindow: 2048, OutgoingWindow: 1<<32 - 1}))
			want := beginAnswer(0)
			want.OutgoingWindow = 2048
			c.want(on(0, want))
		})
	})
	for _, row := range []struct {
		name   string
		frames []frame
		want   amqp.Symbol
		text   string
	}{
		{"twice", []frame{on(3, &clientBegin), on(3, &clientBegin)}, amqp.CondIllegalState, "channel 3 already carries a session"},
		{"above channel-max", []frame{on(5000, &clientBegin)}, amqp.CondFramingError, "channel 5000 is above channel-max 4999"},
		{"attach without begin", []frame{on(1, attachSink("s", 0, "sink"))}, amqp.CondFramingError, "channel 1, where no session was begun"},
		{"end without begin", []frame{on(1, &amqp.End{})}, amqp.CondFramingError, "channel 1, where no session was begun"},
		{"second open", []frame{on(0, &clientOpen)}, amqp.CondIllegalState, "a second open"},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.open()
				c.send(row.frames...)
				c.wantViolation(row.want, row.text)
			})
		})
	}
	t.Run("the client's channel-max", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.openWith(amqp.Open{ContainerID: "c", ChannelMax: amqp.Some(uint16(1))})
			c.send(on(0, &clientBegin), on(1, &clientBegin))
			c.want(on(0, beginAnswer(0)), on(1, beginAnswer(1)))
			c.send(on(2, &clientBegin))
			c.wantViolation(amqp.CondResourceLimitExceeded, "channel-max 1")
		})
	})
}

// TestStrayFrames: what a client sent before it saw our answer to its end is ignored; Python sends detaches behind its end.
func TestStrayFrames(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(1)
		c.send(on(1, attachSink("s", 0, "sink")))
		c.got()
		c.send(on(1, &amqp.End{}), on(1, detached(0, nil)), on(1, transfer(0, 0)), on(1, window(1, 5)), on(1, settled(0, 0)), on(1, &amqp.End{}))
		c.want(on(0, &amqp.End{}))
		w.sink("s").want(t)
		c.begin(1)
	})
}

func TestLinksMax(t *testing.T) {
	full := func(c *client) {
		c.begin(0)
		for i := range uint32(255) {
			c.send(on(0, attachSink(fmt.Sprint("link ", i), 1000+i, "sink")))
		}
		if n := len(bodiesOf[*amqp.Attach](c.got())); n != 255 {
			c.t.Fatalf("%d of 255 links attached", n)
		}
	}
	t.Run("one too many", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			full(c)
			c.send(on(0, attachSink("one more", 5, "sink")))
			e := &amqp.Error{Condition: amqp.CondResourceLimitExceeded, Description: "Cannot allocate more handles to the current session or connection. " +
				"The maximum number of handles allowed is 255. Please free up resources and try again."}
			c.want(on(0, &amqp.End{Error: e}))
			c.send(on(0, transfer(1000, 0)), on(0, &amqp.End{})) // the first is on its way already
			c.wantNothing()
			if n := w.sink("link 0").ends(); n != 1 {
				t.Errorf("link 0 was told its end %d times", n)
			}
			c.begin(0)
			c.close()
		})
	})
	t.Run("room after a detach", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			full(c)
			c.send(on(0, detached(1100, nil)))
			c.want(on(0, detached(100, nil)))
			c.send(on(0, attachSink("one more", 1100, "sink")))
			c.want(on(0, sinkAnswer("one more", 100, "sink")), on(0, creditFlow(100, 0, 0, 0)))
		})
	})
	t.Run("the client's handle-max", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			b := clientBegin
			b.HandleMax = amqp.Some(uint32(1))
			c.send(on(0, &b))
			c.got()
			c.attachSink("a", 0, "sink")
			c.attachSink("b", 1, "sink")
			c.send(on(0, attachSink("c", 2, "sink")))
			if p, ok := c.last().(*amqp.End); !ok || p.Error.Condition != amqp.CondResourceLimitExceeded {
				t.Errorf("a handle above the client's handle-max was answered with %v", p)
			}
		})
	})
}

func TestHandles(t *testing.T) {
	t.Run("ours are the lowest free", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			for i, theirs := range []uint32{4, 1<<32 - 1, 0} {
				c.send(on(0, attachSource(fmt.Sprint(theirs), theirs, "source")))
				c.want(on(0, sourceAnswer(fmt.Sprint(theirs), uint32(i), "source")))
			}
			c.send(on(0, detached(4, nil)), on(0, detached(1<<32-1, nil)))
			c.want(on(0, detached(0, nil)), on(0, detached(1, nil)))
			c.send(on(0, attachSource("next", 9, "source")))
			c.want(on(0, sourceAnswer("next", 0, "source")))
		})
	})
	for _, row := range []struct {
		name string
		send frame
		want amqp.Symbol
	}{
		{"in use", on(0, attachSink("other", 0, "sink")), amqp.CondHandleInUse},
		{"transfer", on(0, transfer(8, 0)), amqp.CondUnattachedHandle},
		{"flow", on(0, credit(8, 0, 1)), amqp.CondUnattachedHandle},
		{"detach", on(0, detached(8, nil)), amqp.CondUnattachedHandle},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.open()
				c.begin(0)
				c.attachSink("s", 0, "sink")
				c.send(on(0, transfer(0, 0)).with("kept"), row.send, on(0, transfer(0, 1)).with("late"))
				got := c.got()
				if len(got) != 2 || show(encode(got[0])) != show(encode(on(0, settled(0, 0)))) {
					t.Fatalf("came:\n%s", show(encode(got...)))
				}
				if p, ok := got[1].body.(*amqp.End); !ok || p.Error == nil || p.Error.Condition != row.want {
					t.Errorf("answered with %v, want an end with %s", got[1].body, row.want)
				}
				w.sink("s").want(t, "kept")
				w.wantLogged("level=WARN", "session ended", string(row.want))
				c.send(on(0, &amqp.End{}))
				c.wantNothing()
				c.begin(0) // the connection is as good as before
			})
		})
	}
}

// TestFlowBehindDetach: what a client says of credit after it has detached the link counts for the session alone.
func TestFlowBehindDetach(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		for i, handle := range []uint32{7, 1<<32 - 2} {
			c.send(on(0, attachSource(fmt.Sprint(handle), handle, "source")))
			c.want(on(0, sourceAnswer(fmt.Sprint(handle), uint32(i), "source")))
		}
		c.send(on(0, detached(7, nil)), on(0, detached(1<<32-2, nil)), on(0, credit(7, 0, 10)), on(0, credit(1<<32-2, 0, 10)))
		c.want(on(0, detached(0, nil)), on(0, detached(1, nil)))
		c.attachSink("s", 0, "sink") // the session goes on
		c.send(on(0, transfer(0, 0)))
		c.want(on(0, settled(0, 0)))
	})
}

func TestLinkNames(t *testing.T) {
	stolen := func(name string) *amqp.Error {
		return &amqp.Error{Condition: amqp.CondLinkStolen, Description: fmt.Sprintf("The link name %q was attached again in the same session.", name)}
	}
	t.Run("twice: the older is stolen", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.attachSource("x", 0, "source")
			c.attachSink("x", 1, "sink") // the other direction is another name
			old := w.source("x")
			c.send(on(0, attachSource("x", 2, "source")))
			c.want(on(0, detached(0, stolen("x"))), on(0, sourceAnswer("x", 2, "source")))
			c.send(on(0, detached(0, nil)))
			c.wantNothing()
			if old.ends() != 1 || w.source("x").ends() != 0 {
				t.Errorf("told their end: old %d times, new %d times", old.ends(), w.source("x").ends())
			}
		})
	})
	t.Run("before the older was answered", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.send(on(0, attachSource("x", 0, "pending")))
			c.wantNothing()
			old := w.pending("x")
			c.send(on(0, attachSource("x", 1, "source")))
			c.want(append(refusal("x", 0, amqp.RoleSender, stolen("x")), on(0, sourceAnswer("x", 1, "source")))...)
			if w.toys.all[0].acceptSource(old) {
				t.Error("a stolen link could still be accepted")
			}
		})
	})
	t.Run("in two sessions", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.attachSource("x", 0, "source")
			c.send(on(1, &clientBegin), on(1, attachSource("x", 0, "source")))
			c.want(on(1, beginAnswer(1)), on(1, sourceAnswer("x", 0, "source")))
		})
	})
	t.Run("again after a detach", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.attachSource("x", 0, "source")
			c.send(on(0, detached(0, nil)), on(0, attachSource("x", 0, "source")))
			c.want(on(0, detached(0, nil)), on(0, sourceAnswer("x", 0, "source")))
		})
	})
}

// TestRecordedAttach is the answer to a client that receives from $cbs, byte for byte.
func TestRecordedAttach(t *testing.T) {
	const name = "0123456789abcdef0123456789abcdef0123"
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		attach := attachSource(name, 5, "pending")
		attach.Target = targetOf("$cbs")
		attach.Properties = amqp.Map{{Key: amqp.Symbol("com.microsoft:timeout"), Value: uint32(60)}}
		attach.DesiredCapabilities = []amqp.Symbol{"com.microsoft:georeplication"}
		c.send(on(0, attach))
		c.wantNothing()
		s := &toySource{k: w.toys.all[0], l: w.pending(name)}
		s.l.AcceptSource(s, Answer{Source: sourceOf("$cbs"), MessageBytes: 1<<64 - 1})
		c.wantBytes("00000071 02000000 005312c0640e a124" + fmt.Sprintf("%x", name) + "43 42 5000 5000 005328c0110b a10424636273 40404040404040404040" +
			"005329c00d07 a10424636273 404040404040 40 40 43 80ffffffffffffffff 404040")
	})
}

// TestWhatAContainerSees of a link and its connection.
func TestWhatAContainerSees(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSink("a", 0, "sink")
		c.attachSource("b", 1, "source")
		c.send(on(1, &clientBegin), on(1, attachSink("c", 0, "sink")))
		c.got()
		a, b, other, k := w.sink("a").l, w.source("b").l, w.sink("c").l, w.toys.conn()
		if !a.SameSession(b) || a.SameSession(other) {
			t.Error("SameSession is wrong")
		}
		if a.Conn() != k || k.ContainerID() != "client" || k.RemoteAddr() != (pipeAddr{}) {
			t.Error("Conn is wrong")
		}
		if !a.ClientSends() || b.ClientSends() || a.Request().Name != "a" {
			t.Error("the request is wrong")
		}
		if k.Log().Info("hello"); !w.logged("hello", "conn=1") {
			t.Error("the connection's log does not say which connection it is")
		}
	})
}

func TestRefusedAttach(t *testing.T) {
	const name = "0123456789abcdef0123456789abcdef0123" // 36 characters, as in the recording
	t.Run("of a receiver", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.send(on(0, attachSource(name, 7, "refuse")))
			want := refusal(name, 0, amqp.RoleSender, errToyRefusal)
			if n := len(encode(want[0])); n != 65 {
				t.Errorf("the attach has %d bytes, recorded were 65", n)
			}
			c.want(want...)
			c.send(on(0, credit(7, 0, 10)), on(0, detached(7, nil))) // both sent before the refusal was seen
			c.wantNothing()
			c.attachSource("next", 0, "source")
		})
	})
	t.Run("of a sender that sends at once", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.send(on(0, attachSink(name, 0, "refuse")), on(0, transfer(0, 0)), on(0, transferMore(0, 1)))
			c.want(refusal(name, 0, amqp.RoleReceiver, errToyRefusal)...)
			c.close()
		})
	})
	t.Run("without an address", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.send(on(0, &amqp.Attach{Name: "bare", Role: amqp.RoleReceiver}))
			c.want(refusal("bare", 0, amqp.RoleSender, errToyRefusal)...)
		})
	})
	t.Run("later", func(t *testing.T) {
		play(t, Options{}, func(t *testing.T, w *world) {
			c := w.open()
			c.begin(0)
			c.send(on(0, attachSink("s", 0, "pending")))
			c.wantNothing()
			w.pending("s").Refuse(errToyRefusal)
			w.pending("s").Refuse(errToyRefusal) // does nothing
			w.pending("s").Detach(errToyRefusal) // same
			c.want(refusal("s", 0, amqp.RoleReceiver, errToyRefusal)...)
		})
	})
}
