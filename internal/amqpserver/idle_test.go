package amqpserver

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// TestSilentClient: the open advertises 120 s, the end comes after 240 s, as one burst of detaches, end and close.
func TestSilentClient(t *testing.T) {
	play(t, Options{ContainerID: func() string { return recordedContainer }}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		for i, name := range []string{"a", "b", "c"} {
			c.attachSink(name, uint32(i), "sink")
		}
		time.Sleep(100 * time.Second)
		c.send(heartbeat)
		time.Sleep(240*time.Second - time.Nanosecond)
		c.wantNothing()
		time.Sleep(time.Nanosecond)
		e := &amqp.Error{Condition: amqp.CondConnectionForced, Description: "The connection was inactive for more than the allowed 240000 milliseconds " +
			"and is closed by container '" + recordedContainer + "'."}
		c.want(on(0, detached(0, e)), on(0, detached(1, e)), on(0, detached(2, e)), on(0, &amqp.End{Error: e}), on(0, &amqp.Close{Error: e}))
		w.wantLogged("the client was silent", "4m0s")

		c.send(on(0, transfer(0, 0)), on(0, &amqp.Detach{Handle: 0}), on(7, &clientBegin)) // is not answered any more
		c.wantEOF()
		w.sink("a").want(t)
		time.Sleep(2 * lingerTime)
		synctest.Wait()
		if n := w.srv.Stats().Open; n != 0 {
			t.Errorf("%d connections open after the linger time", n)
		}
	})
}

// TestContainerID: the open and the close of one connection name the same container.
func TestContainerID(t *testing.T) {
	n := 0
	play(t, Options{ContainerID: func() string { n++; return fmt.Sprint("gateway-", n) }}, func(t *testing.T, w *world) {
		for i := range 2 {
			c := w.dial()
			c.write(pipelined(clientOpen))
			id := c.last().(*amqp.Open).ContainerID
			if want := fmt.Sprint("gateway-", i+1); id != want {
				t.Errorf("open names %s, want %s", id, want)
			}
			time.Sleep(240 * time.Second)
			if p := c.last().(*amqp.Close); !strings.Contains(p.Error.Description, "'"+id+"'") {
				t.Errorf("close of %s says %q", id, p.Error.Description)
			}
		}
	})
}

func TestAnyByteKeepsAlive(t *testing.T) {
	play(t, Options{IdleTimeout: 10 * time.Second}, func(t *testing.T, w *world) {
		c := w.open()
		frame := encode(heartbeat)
		for i := range 40 { // half a frame every 19.9 s
			time.Sleep(20*time.Second - 100*time.Millisecond)
			c.write(frame[i%2*4 : i%2*4+4])
		}
		c.wantNothing()
		c.close()
	})
}

// TestSilentClientThatDoesNotRead: it does not even take our close, so it is cut.
func TestSilentClientThatDoesNotRead(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSource("r", 0, "source")
		c.send(on(0, credit(0, 0, 1000)))
		w.source("r").emit(string(make([]byte, 2*pipeBytes)))
		time.Sleep(240*time.Second + lingerTime + time.Nanosecond)
		synctest.Wait()
		if n := w.srv.Stats().Open; n != 0 {
			t.Errorf("%d connections open", n)
		}
	})
}

// TestHeartbeats: 8.75 s after the last frame to a client that closes after 10 s; none to one that does not.
func TestHeartbeats(t *testing.T) {
	for _, row := range []struct {
		idle amqp.Opt[uint32] // ms
		want time.Duration
	}{
		{amqp.Opt[uint32]{}, 0},
		{amqp.Some(uint32(0)), 0},
		{amqp.Some(uint32(10_000)), 8750 * time.Millisecond},
		{amqp.Some(uint32(60_000)), 52500 * time.Millisecond},
		{amqp.Some(uint32(30_000)), 26250 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(row.idle), func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.openWith(amqp.Open{ContainerID: "c", IdleTimeOut: row.idle})
				if row.want == 0 {
					time.Sleep(239 * time.Second)
					c.wantNothing()
					return
				}
				for range 3 {
					time.Sleep(row.want - time.Nanosecond)
					c.wantNothing()
					time.Sleep(time.Nanosecond)
					c.want(heartbeat)
				}
			})
		})
	}
}

func TestNoHeartbeatWhileFramesFlow(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.openWith(amqp.Open{ContainerID: "c", IdleTimeOut: amqp.Some(uint32(8000))}) // beats after 7 s
		c.begin(0)
		c.attachSource("r", 0, "source")
		c.send(on(0, credit(0, 0, 100)))
		for i := range uint32(10) {
			time.Sleep(6 * time.Second)
			w.source("r").emit("x")
			c.want(on(0, delivery(0, i)).with("x"))
			c.send(heartbeat)
		}
		time.Sleep(7*time.Second - time.Nanosecond)
		c.wantNothing()
		time.Sleep(time.Nanosecond)
		c.want(heartbeat)
	})
}

// TestHeartbeatWhenALinkHasNothing: a link that was said to be ready but has nothing to send must not swallow the heartbeat.
// TestAnswerIsASignOfLife: whoever writes an answer, a beat that fell due meanwhile is not sent behind it.
func TestAnswerIsASignOfLife(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.openWith(amqp.Open{ContainerID: "c", IdleTimeOut: amqp.Some(uint32(8000))})
		c.begin(0)
		c.attachSink("s", 0, "sink")
		synctest.Wait()
		w.toys.conn().beatDue.Store(true) // as if the reader were quicker than the writer that was told
		c.send(on(0, transfer(0, 0)))
		c.want(on(0, settled(0, 0)))
		c.wantNothing()
	})
}

func TestHeartbeatWhenALinkHasNothing(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.openWith(amqp.Open{ContainerID: "c", IdleTimeOut: amqp.Some(uint32(8000))})
		c.begin(0)
		c.attachSource("r", 0, "source")
		c.send(on(0, credit(0, 0, 100)))
		synctest.Wait()
		k, l := w.toys.conn(), w.source("r").l
		time.Sleep(7*time.Second - time.Nanosecond)
		synctest.Wait()
		k.mu.Lock() // as if the beat fell due between Ready and the writer's next round
		k.queueLocked(l)
		k.beatDue.Store(true)
		k.mu.Unlock()
		k.signal()
		c.want(heartbeat)
	})
}

// TestHeartbeatsOfTheClientAreNotAnswered also shows that a flood of them is read and forgotten.
func TestHeartbeatsOfTheClientAreNotAnswered(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.write(bytes.Repeat(encode(heartbeat), 100_000))
		c.wantNothing()
		c.begin(0)
	})
}
