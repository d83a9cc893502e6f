package amqpserver

import (
	"slices"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// sendUnsettled plays a scene with n deliveries on their way that the client has to settle, ids from 0.
func sendUnsettled(t *testing.T, n int, scene func(t *testing.T, w *world, c *client)) {
	t.Helper()
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSource("r", 0, "source/unsettled")
		c.send(on(0, credit(0, 0, 2000)))
		w.source("r").emitN(n)
		for _, p := range bodiesOf[*amqp.Transfer](c.got()) {
			if p.Settled.Set {
				t.Fatal("the delivery came settled")
			}
		}
		scene(t, w, c)
	})
}

// settles is a client's disposition for what it received.
func settles(first, last uint32, settled bool, state amqp.DeliveryState) *amqp.Disposition {
	p := &amqp.Disposition{Role: amqp.RoleReceiver, First: first, State: state, Settled: amqp.Some(settled)}
	if last != first {
		p.Last = amqp.Some(last)
	}
	return p
}

// released is what we say of a delivery that nobody settled.
func released(id uint32) frame {
	return on(0, &amqp.Disposition{Role: amqp.RoleSender, First: id, Settled: amqp.Some(true), State: amqp.Released()})
}

// TestNobodySettles: a minute after a delivery the service settles it itself, as recorded.
func TestNobodySettles(t *testing.T) {
	sendUnsettled(t, 1, func(t *testing.T, w *world, c *client) {
		time.Sleep(30 * time.Second)
		w.source("r").emitN(2)
		c.got()
		time.Sleep(30*time.Second - time.Nanosecond)
		c.wantNothing()
		time.Sleep(time.Nanosecond)
		c.wantBytes("00000017 02000000 005315c00a06 42 43 40 41 00532645 40")
		time.Sleep(30*time.Second - time.Nanosecond)
		c.wantNothing()
		time.Sleep(time.Nanosecond)
		c.want(released(1), released(2))
		time.Sleep(2 * time.Minute)
		c.wantNothing()
	})
}

func TestClientSettles(t *testing.T) {
	answer := func(p *amqp.Disposition) frame {
		q := *p
		q.Role, q.Settled = amqp.RoleSender, amqp.Some(true)
		return on(0, &q)
	}
	settledByClient := settles(0, 9, true, amqp.Accepted())
	second := settles(0, 9, false, amqp.Accepted())
	refused := settles(3, 3, false, amqp.Rejected(&amqp.Error{Condition: amqp.CondDecodeError, Description: "what?"}))
	far := settles(0, 9, false, amqp.DeliveryState{Code: amqp.CodeReceived, SectionNumber: 1})
	sender := settles(0, 9, true, amqp.Accepted())
	sender.Role = amqp.RoleSender
	others := settles(10, 99, false, amqp.Accepted())
	rows := []struct {
		name    string
		send    *amqp.Disposition
		answers []frame
		late    []uint32 // settled by us in the end
	}{
		{"settled", settledByClient, nil, nil},
		{"an outcome that waits for ours", second, []frame{answer(second)}, nil},
		{"one of ten, rejected", refused, []frame{answer(refused)}, []uint32{0, 1, 2, 4, 5, 6, 7, 8, 9}},
		{"settled without outcome", settles(0, 8, true, amqp.DeliveryState{}), nil, []uint32{9}},
		{"not settled, no outcome", settles(0, 9, false, amqp.DeliveryState{}), nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"received only", far, nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"as a sender", sender, nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"deliveries that never were", others, nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			sendUnsettled(t, 10, func(t *testing.T, w *world, c *client) {
				c.send(on(0, row.send))
				c.want(row.answers...)
				c.send(on(0, row.send)) // again: nothing is left of it
				if len(row.answers) > 0 {
					c.wantNothing()
				}
				time.Sleep(unsettledTime)
				var late []frame
				for _, id := range row.late {
					late = append(late, released(id))
				}
				c.want(late...)
			})
		})
	}
}

// TestUnsettledOfTwoSessions: the same id in another session is another delivery.
func TestUnsettledOfTwoSessions(t *testing.T) {
	sendUnsettled(t, 1, func(t *testing.T, w *world, c *client) {
		c.send(on(1, &clientBegin), on(1, attachSource("other", 0, "source/unsettled")), on(1, credit(0, 0, 10)))
		c.got()
		w.source("other").emitN(1)
		c.got()
		c.send(on(0, settles(0, 0, true, amqp.Accepted())))
		time.Sleep(unsettledTime)
		want := released(0)
		want.channel = 1
		c.want(want)
	})
}

// TestUnsettledLimit: beyond a thousand the oldest is settled for the client at once.
func TestUnsettledLimit(t *testing.T) {
	sendUnsettled(t, unsettledMax, func(t *testing.T, w *world, c *client) {
		c.wantNothing()
		w.source("r").emitN(3)
		got := c.got()
		c.same(bodies(got, amqp.CodeDisposition), released(0), released(1), released(2))
		if n := len(bodiesOf[*amqp.Transfer](got)); n != 3 {
			t.Errorf("%d deliveries came, want 3", n)
		}
		time.Sleep(unsettledTime)
		want := make([]frame, 0, unsettledMax)
		for id := range uint32(unsettledMax) {
			want = append(want, released(3+id))
		}
		c.want(want...)
	})
}

// TestUnsettledAfterTheEnd: a session that ended owes nothing, a link that was detached does.
func TestUnsettledAfterTheEnd(t *testing.T) {
	sendUnsettled(t, 2, func(t *testing.T, w *world, c *client) {
		c.send(on(1, &clientBegin), on(1, attachSource("other", 0, "source/unsettled")), on(1, credit(0, 0, 10)))
		c.got()
		w.source("other").emitN(3)
		c.got()
		c.send(on(1, &amqp.End{}), on(0, detached(0, nil)))
		c.got()
		time.Sleep(unsettledTime)
		c.want(released(0), released(1))
	})
}

// TestUnsettledIDsAroundTheWrap: a range may run over it.
func TestUnsettledIDsAroundTheWrap(t *testing.T) {
	play(t, Options{FirstDeliveryID: 1<<32 - 2}, func(t *testing.T, w *world) {
		c := w.open()
		c.begin(0)
		c.attachSource("r", 0, "source/unsettled")
		c.send(on(0, credit(0, 0, 2000)))
		w.source("r").emitN(5)
		c.got()
		c.send(on(0, settles(1<<32-1, 1, true, amqp.Accepted())))
		time.Sleep(unsettledTime)
		c.want(released(1<<32-2), released(2))
		if list := w.toys.conn().unsettled.list; len(list) > 0 {
			t.Errorf("kept %v", slices.Collect(slices.Values(list)))
		}
	})
}
