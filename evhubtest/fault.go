package evhubtest

import (
	"context"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/kit"
)

// Op is what a client does when a fault meets it.
type Op = kit.Op

const (
	AnyOp   Op = kit.AnyOp   // whatever the fault can act on
	Connect Op = kit.Connect // a connection was opened
	Auth    Op = kit.Auth    // a token was put
	Attach  Op = kit.Attach  // a link, sender or reader, is about to be opened
	Send    Op = kit.Send    // a message, one event or a batch of events, came in
	Deliver Op = kit.Deliver // one event is about to go out to a reader
	Manage  Op = kit.Manage  // properties of a hub or partition are asked for
)

// On says what a fault meets. The zero value of each filter is any.
//
// A Client is a pattern for the connection's container id, for the user agent that the client sends, or for one word of the user agent; *
// stands for any text and ? for any character. Go's SDK makes up its container ids; the application id that a program gives it is a word of the
// user agent.
//
// A send through the hub's own address has no partition yet, so Partition meets only what is sent to a partition's address; AckLost, which
// acts when the event has its place, meets both.
type On struct {
	Op        Op
	Hub       string
	Partition string  // a decimal number
	Group     string  // of readers: Attach and Deliver only
	Client    string  // see above
	After     int     // let so many pass first
	Times     int     // then fire so often; 0: once, -1: until the test ends
	Prob      float64 // of firing each time, drawn from Seed, so that it repeats; 0: always
}

// Do is what a fault does. The functions below make one.
type Do = kit.Do

// Throttle answers that the server is busy, as the service does when it throttles. Where there is no answer to give it ends what asked: a
// connection, or the link that would get an event.
func Throttle() Do { return kit.Throttle() }

// Reject answers with an AMQP condition of one's own, such as amqp:resource-limit-exceeded, and this text. Link and connection stay up,
// except where there is no answer to give, as with Throttle.
func Reject(condition, text string) Do { return kit.Reject(condition, text) }

// Detach ends the link. At Attach it is as Reject.
func Detach(condition, text string) Do { return kit.Detach(condition, text) }

// CloseConn ends the connection; "" is amqp:connection:forced.
func CloseConn(condition string) Do { return kit.CloseConn(condition) }

// Drop cuts the socket without a word, before anything is stored or answered.
func Drop() Do { return kit.Drop() }

// AckLost stores what is sent and then cuts the socket in place of the acknowledgement: a client that sends again stores it twice.
func AckLost() Do { return kit.AckLost() }

// Blackhole takes the operation and never answers. A reader gets nothing more on its link; nothing that is sent is stored. A connection that
// gets no answer stays until the client gives it up.
func Blackhole() Do { return kit.Blackhole() }

// Delay lets the operation pass after d and up to jitter more, drawn from Seed. Of Send each message waits for itself, but not less than those
// of its link that wait already: what is delayed keeps its order. Of Deliver the link's further events wait behind it.
func Delay(d, jitter time.Duration) Do { return kit.Delay(d, jitter) }

// ExpireToken acts as if the token behind the operation had just run out: the link ends, the request or the connection is refused.
func ExpireToken() Do { return kit.ExpireToken() }

// StealEpoch is another reader with the epoch (owner level) that takes the place of this one, and goes again. A reader that is being
// attached is refused, one that gets an event loses its link, both with amqp:link:stolen. A reader with a higher epoch keeps its place;
// then the fault has not fired.
func StealEpoch(level int64) Do { return kit.StealEpoch(level) }

// Redeliver goes back so many events before it delivers the next one, as a reader does that begins again at an old checkpoint.
func Redeliver(back int64) Do { return kit.Redeliver(back) }

// Fault is a misfortune waiting for its client. It is safe for concurrent use.
type Fault struct {
	b     *Broker
	fault *kit.Fault
}

// Fault sets a fault until the test t ends, or the subtest. It meets whoever fits, clients of other tests too if they share the broker. The
// first one that was set answers first. A fault that makes no sense fails the
// test at once: one for a hub that is not there, or a deed that has no effect on the operation.
//
// A fault that has not fired as often as its Times says (once, if that is -1 or if there is a Prob) when t ends fails t: what t was to show
// has not happened. It says who came in place of whom it waited for. Remove and Optional prevent that, and so does a test that has failed
// anyway. On an emulator or Azure, which do as they like, Fault skips the test.
func (b *Broker) Fault(t testing.TB, on On, do Do) *Fault {
	t.Helper()
	b.inProcess(t, "Fault")
	b.mustBeHere(t)
	f, err := b.space.Fault(kit.On(on), do)
	if err != nil {
		t.Fatal("evhubtest: " + explain(err))
	}
	t.Cleanup(func() {
		t.Helper()
		if !b.isClosed() { // whoever closed it was told
			endFault(t, f)
		}
	})
	return &Fault{b, f}
}

func endFault(t testing.TB, f *kit.Fault) {
	t.Helper()
	if text := f.Shortfall(); text != "" && !t.Failed() && !t.Skipped() {
		t.Error("evhubtest: " + text)
	}
	f.Remove()
}

// Hits is how often the fault has fired. It is counted when the fault decides, so the client may not have felt it yet.
func (f *Fault) Hits() int { return f.fault.Hits() }

// Wait returns once the fault has fired n times. It fails with the context's error, and at once when the fault is over with fewer hits.
func (f *Fault) Wait(ctx context.Context, n int) error {
	if err := f.b.foreign(); err != nil {
		return err
	}
	return f.fault.Wait(ctx, n)
}

// Remove ends the fault; whether it has fired does not matter any more. What it has decided already still happens.
func (f *Fault) Remove() {
	if err := f.b.foreign(); err != nil {
		f.b.fail(err)
	}
	f.fault.Remove()
}

// Optional allows the fault never to fire.
func (f *Fault) Optional() *Fault {
	f.fault.Optional()
	return f
}

// String names the fault in a sentence: its number, what it does and on what.
func (f *Fault) String() string { return f.fault.String() }
