package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/internal/hub"
)

// session connects go-amqp with a policy's name and key.
func (b *broker) session(o amqp.ConnOptions) *amqp.Session {
	b.t.Helper()
	o.SASLType = amqp.SASLTypePlain("root", rootKey)
	conn, err := amqp.Dial(withPatience(b.t), "amqp://"+b.addr, &o)
	b.must(err)
	b.t.Cleanup(func() { conn.Close() })
	s, err := conn.NewSession(withPatience(b.t), nil)
	b.must(err)
	return s
}

const readerAddress = hubName + "/ConsumerGroups/$Default/Partitions/0"

func message(body string) *amqp.Message { return amqp.NewMessage([]byte(body)) }

// TestSettleModes: sends that want an answer, that want none, and that decide one by one.
func TestSettleModes(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	s := b.session(amqp.ConnOptions{})
	ctx := withPatience(t)
	n := int64(0)
	for _, mode := range []amqp.SenderSettleMode{amqp.SenderSettleModeUnsettled, amqp.SenderSettleModeSettled, amqp.SenderSettleModeMixed} {
		sender, err := s.NewSender(ctx, hubName+"/Partitions/0", &amqp.SenderOptions{SettlementMode: &mode})
		b.must(err)
		if sender.MaxMessageSize() != 1<<20 {
			t.Errorf("max-message-size %d", sender.MaxMessageSize())
		}
		for i := range 250 {
			settled := mode == amqp.SenderSettleModeMixed && i%2 == 0
			b.must(sender.Send(ctx, message(fmt.Sprint(n)), &amqp.SendOptions{Settled: settled}))
			n++
		}
		b.must(sender.Close(ctx))
	}
	r, err := s.NewReceiver(ctx, readerAddress, &amqp.ReceiverOptions{Credit: 100})
	b.must(err)
	for i := range n {
		m, err := r.Receive(ctx, nil)
		b.must(err)
		if string(m.GetData()) != fmt.Sprint(i) {
			t.Fatalf("received %q, want %d", m.GetData(), i)
		}
		b.must(r.AcceptMessage(ctx, m)) // which came settled
	}
}

// TestReceipts: many sends under way at once, each with its own outcome.
func TestReceipts(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	ctx := withPatience(t)
	sender, err := b.session(amqp.ConnOptions{}).NewSender(ctx, hubName, nil)
	b.must(err)
	var receipts []amqp.SendReceipt
	for i := range 500 {
		r, err := sender.SendWithReceipt(ctx, message(fmt.Sprint(i)), nil)
		b.must(err)
		receipts = append(receipts, r)
	}
	for i, r := range receipts {
		state, err := r.Wait(ctx)
		b.must(err)
		if _, ok := state.(*amqp.StateAccepted); !ok {
			t.Errorf("send %d: %T", i, state)
		}
	}
	for i := range 4 {
		if n := b.hub().PartitionAt(i).State().Next.Seq; n != 125 {
			t.Errorf("partition %d has %d of 500 events without key, want 125", i, n)
		}
	}
}

// TestManualCredit: as many as asked for, and a drain gives back what is left.
func TestManualCredit(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	s := b.session(amqp.ConnOptions{})
	ctx := withPatience(t)
	sender, err := s.NewSender(ctx, hubName+"/Partitions/0", nil)
	b.must(err)
	r, err := s.NewReceiver(ctx, readerAddress, &amqp.ReceiverOptions{Credit: -1})
	b.must(err)
	sent := 0
	publish := func(n int) {
		for range n {
			b.must(sender.Send(ctx, message(fmt.Sprint(sent)), nil))
			sent++
		}
	}
	next := 0
	take := func(n int) {
		t.Helper()
		for range n {
			m, err := r.Receive(ctx, nil)
			b.must(err)
			if string(m.GetData()) != fmt.Sprint(next) {
				t.Fatalf("received %q, want %d", m.GetData(), next)
			}
			next++
		}
	}
	publish(10)
	b.must(r.IssueCredit(3))
	take(3)
	b.must(r.DrainCredit(ctx, nil)) // though nothing is left of it
	b.must(r.IssueCredit(100))
	take(7)
	b.must(r.DrainCredit(ctx, nil))
	publish(2)
	if m := r.Prefetched(); m != nil {
		t.Errorf("%q came after the drain", m.GetData())
	}
	b.must(r.IssueCredit(1))
	take(1)
	for range 20 { // go-amqp's drain takes credit back, so what it catches on the way comes another time
		publish(1)
		b.must(r.IssueCredit(5))
		b.must(r.DrainCredit(ctx, nil))
		for m := r.Prefetched(); m != nil; m = r.Prefetched() {
			if string(m.GetData()) != fmt.Sprint(next) {
				t.Fatalf("received %q, want %d", m.GetData(), next)
			}
			next++
		}
	}
	b.must(r.IssueCredit(100))
	take(sent - next)
}

// TestSmallestFrames: a client with frames of 512 bytes gets large events as well as small ones.
func TestSmallestFrames(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	ctx := withPatience(t)
	large := bytes.Repeat([]byte("0123456789"), 20_000)
	sender, err := b.session(amqp.ConnOptions{}).NewSender(ctx, hubName+"/Partitions/0", nil)
	b.must(err)
	small := b.session(amqp.ConnOptions{MaxFrameSize: 512})
	r, err := small.NewReceiver(ctx, readerAddress, &amqp.ReceiverOptions{Credit: 10})
	b.must(err)
	back, err := small.NewSender(ctx, hubName+"/Partitions/1", nil)
	b.must(err)
	for i := range 4 {
		want := large[:len(large)>>(2*i)]
		b.must(sender.Send(ctx, amqp.NewMessage(want), nil))
		m, err := r.Receive(ctx, nil)
		b.must(err)
		if !bytes.Equal(m.GetData(), want) {
			t.Fatalf("%d bytes were received, want the %d that were sent", len(m.GetData()), len(want))
		}
		b.must(back.Send(ctx, m, nil))
	}
	if n := b.hub().PartitionAt(1).State().Next.Seq; n != 4 {
		t.Errorf("%d events came back, want 4", n)
	}
}

// TestManySessions: one connection with a hundred sessions and links, as clients pool them.
func TestManySessions(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	ctx := withPatience(t)
	conn, err := amqp.Dial(ctx, "amqp://"+b.addr, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("root", rootKey), MaxSessions: 1000})
	b.must(err)
	defer conn.Close()
	for round := range 2 {
		var sessions []*amqp.Session
		for i := range 100 {
			s, err := conn.NewSession(ctx, nil)
			b.must(err)
			sender, err := s.NewSender(ctx, hubName+"/Partitions/0", nil)
			b.must(err)
			b.must(sender.Send(ctx, message(fmt.Sprint(i)), nil))
			sessions = append(sessions, s)
		}
		for _, s := range sessions {
			b.must(s.Close(ctx))
		}
		if n := b.stored(); n != int64(100*(round+1)) {
			t.Errorf("%d events are stored, want %d", n, 100*(round+1))
		}
	}
	for deadline := time.Now().Add(patience); len(b.e.Hall.Links()) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d links are left of sessions that ended", len(b.e.Hall.Links()))
		}
		time.Sleep(time.Millisecond)
	}
}

// TestLinkErrors: go-amqp hears conditions as links are refused and ended.
func TestLinkErrors(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	ctx := withPatience(t)
	s := b.session(amqp.ConnOptions{})
	_, err := s.NewReceiver(ctx, "nohub/ConsumerGroups/$Default/Partitions/0", nil)
	wantCondition(t, "unknown hub", err, amqp.ErrCondNotFound)
	_, err = s.NewSender(ctx, hubName+"/Partitions/9", nil)
	wantCondition(t, "unknown partition", err, "com.microsoft:argument-out-of-range")

	r, err := s.NewReceiver(ctx, hubName+"/ConsumerGroups/cg1/Partitions/0", nil)
	b.must(err)
	b.must(b.hub().DeleteGroup("cg1"))
	_, err = r.Receive(ctx, nil)
	wantCondition(t, "deleted group", err, "com.microsoft:entity-updated")

	b.e.Hall.SetRules(&fault{op: hub.Send, v: hub.Verdict{Action: hub.Refuse, Err: &hub.Error{Kind: hub.TooLarge, Text: "Too large."}}, times: 1})
	sender, err := s.NewSender(ctx, hubName, nil)
	b.must(err)
	err = sender.Send(ctx, message("x"), nil)
	if e, ok := errors.AsType[*amqp.Error](err); !ok || e.Condition != amqp.ErrCondMessageSizeExceeded {
		t.Errorf("a rejected event: %v", err)
	}
	b.must(sender.Send(ctx, message("x"), nil)) // the link goes on

	anonymous, err := amqp.Dial(ctx, "amqp://"+b.addr, &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous()})
	b.must(err)
	defer anonymous.Close()
	nobody, err := anonymous.NewSession(ctx, nil)
	b.must(err)
	_, err = nobody.NewSender(ctx, hubName, nil)
	wantCondition(t, "without a token", err, amqp.ErrCondUnauthorizedAccess)

	if _, err := amqp.Dial(ctx, "amqp://"+b.addr, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("root", "guess")}); err == nil {
		t.Error("a wrong key opens the door")
	}
}

func wantCondition(t testing.TB, what string, err error, want amqp.ErrCond) {
	t.Helper()
	e, ok := errors.AsType[*amqp.LinkError](err)
	if ok && e.RemoteErr != nil && e.RemoteErr.Condition == want {
		return
	}
	if plain, ok := errors.AsType[*amqp.Error](err); ok && plain.Condition == want {
		return
	}
	t.Errorf("%s: %v, want %s", what, err, want)
}

// TestClosedByServer: a connection that the broker ends tells its client why.
func TestClosedByServer(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	s := b.session(amqp.ConnOptions{})
	r, err := s.NewReceiver(withPatience(t), readerAddress, nil)
	b.must(err)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}()
	_, err = r.Receive(withPatience(t), nil)
	e, ok := errors.AsType[*amqp.ConnError](err)
	if !ok || e.RemoteErr == nil || e.RemoteErr.Condition != amqp.ErrCondConnectionForced {
		t.Errorf("the reader hears %v, want amqp:connection:forced", err)
	}
}
