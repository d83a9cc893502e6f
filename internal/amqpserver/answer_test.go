package amqpserver

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// TestAnswersInPieces: a socket that takes a few bytes at a time gets each answer once, whole and in order, whoever writes it.
func TestAnswersInPieces(t *testing.T) {
	for _, room := range []int{1, 7, 30, 100, pipeBytes} {
		playNow(t, Options{}, func(t *testing.T, w *world) {
			c := w.dial()
			c.handshake(clientOpen)
			c.begin(0)
			c.attachSink("s", 0, "sink/each")
			c.nc.in.resize(room)
			const rounds = 3
			var frames []frame
			for round := range uint32(rounds) {
				for i := range uint32(toyCredit / 2) { // every other id: each is a disposition of its own
					c.send(on(0, transfer(0, round*toyCredit+2*i)))
					if i%5 == 0 {
						synctest.Wait()
					}
				}
				frames = append(frames, c.everything()...)
			}
			next := uint32(0)
			for _, d := range bodiesOf[*amqp.Disposition](frames) {
				if d.First != next {
					t.Fatalf("room for %d bytes: id %d is answered where %d comes next", room, d.First, next)
				}
				next += 2
			}
			if want := uint32(rounds * toyCredit); next != want {
				t.Errorf("room for %d bytes: answers up to id %d, not %d", room, next, want)
			}
		})
	}
}

// TestReadyNow: deliveries are with the client when the call returns, behind what was to be answered before; what the socket does not take
// follows once it does, in order.
func TestReadyNow(t *testing.T) {
	for _, room := range []int{1, 50, pipeBytes} {
		playNow(t, Options{}, func(t *testing.T, w *world) {
			c := w.openWith(clientOpen)
			c.send(on(0, &clientBegin))
			c.got()
			c.attachSource("r", 0, "source")
			s := w.source("r")
			c.send(on(0, credit(0, 0, 1000)))
			c.wantNothing()
			c.nc.in.resize(room)
			s.now = true
			s.emit("first")
			b, _ := c.nc.in.takeAll()
			if len(b) == 0 || room == pipeBytes && len(b) < 20 {
				t.Errorf("room for %d bytes: %d were there when ReadyNow returned", room, len(b))
			}
			for i := range uint32(20) {
				s.now = i%3 > 0
				s.emit(fmt.Sprint(i))
			}
			frames := c.everything(b...)
			for i, f := range frames {
				if got := f.body.(*amqp.Transfer).DeliveryID.V; got != uint32(i) {
					t.Fatalf("room for %d bytes: delivery %d came where %d is due", room, got, i)
				}
			}
			if len(frames) != 21 {
				t.Errorf("room for %d bytes: %d deliveries, not 21", room, len(frames))
			}
		})
	}
}

// everything reads until nothing more comes, behind bytes that were read before.
func (c *client) everything(before ...byte) []frame {
	b := before
	for {
		synctest.Wait()
		more, _ := c.nc.in.takeAll()
		if len(more) == 0 {
			break
		}
		b = append(b, more...)
	}
	frames, err := decode(b)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return frames
}
