package eventhubs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// sleep lets fake time pass while the client shows that it lives.
func (c *client) sleep(d time.Duration) {
	for d > 0 {
		step := min(d, time.Minute)
		time.Sleep(step)
		c.write(amqp.AppendEmptyFrame(nil))
		d -= step
	}
	synctest.Wait()
}

// arrived is what is here and was not looked at, without what the service sends by itself: dispositions of unread replies, and flows.
func (c *client) arrived() (frames []frame) {
	frames, c.held = c.held, nil
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				return frames
			}
			if f.code != amqp.CodeDisposition && f.code != amqp.CodeFlow {
				frames = append(frames, f)
			}
		default:
			return frames
		}
	}
}

func (c *client) wantNothing(what string) {
	c.t.Helper()
	for _, f := range c.arrived() {
		c.t.Errorf("%s: a frame %v (%x) came", what, f.code, f.raw)
	}
}

// TestExpiry: links end with the token that gave them their right, to the second, and the connection stays.
func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.dial()
		cbs := c.pair(nodeCBS)
		end := time.Now().Add(time.Hour)
		cbs.mustPut(hubURL, r.tokenUntil(signedHub1, "root", rootKey, end))
		s, l := c.attach(sending("hub1")), c.attach(receiving(receiver0))
		l.credit(0, 10)
		c.sleep(time.Until(end) - time.Second)
		c.wantNothing("before the end")
		s.wantAccepted(s.publish(plain("hi")))
		if got := l.bodies(1); got != "hi" {
			t.Errorf("received %q", got)
		}
		c.sleep(time.Second)
		ended := make(map[uint32]bool)
		for _, f := range c.arrived() {
			var d amqp.Detach
			if f.code != amqp.CodeDetach {
				t.Fatalf("a frame %v (%x) came", f.code, f.raw)
			}
			c.decode(f, &d)
			ended[d.Handle] = true
			want := map[uint32]string{s.theirs: "hub1", l.theirs: receiver0Lower}[d.Handle]
			wantRefusal(t, "detach", d.Error, amqp.CondUnauthorizedAccess,
				"ExpiredToken: The token is expired. Put a new token to $cbs before the old one ends. Resource: '"+want+"'."+trackers(noSystem))
		}
		if len(ended) != 2 {
			t.Errorf("%d links ended, want 2", len(ended))
		}
		if len(r.hall.Links()) != 0 && len(r.hall.Links()) != 2 { // 2 until the client has answered
			t.Errorf("links: %+v", r.hall.Links())
		}
		if e := c.refused(sending("hub1")); e.Condition != amqp.CondUnauthorizedAccess {
			t.Errorf("attaching after the end: %v", e)
		}
		m, _ := c.pair(nodeManagement).ask(read(typeHub, "hub1", ""))
		if code, _, _ := statusOf(m); code != 401 {
			t.Errorf("READ after the end: %d, want 401", code)
		}
		cbs.mustPut(hubURL, r.token(signedHub1, "root", rootKey))
		s = c.attach(sending("hub1"))
		s.wantAccepted(s.publish(plain("again")))
	})
}

// TestRenewal: a token that is renewed in time ends nothing, for a day.
func TestRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.dial()
		cbs := c.pair(nodeCBS)
		cbs.mustPut(hubURL, r.token(signedHub1, "root", rootKey))
		s, l := c.attach(sending("hub1/Partitions/0")), c.attach(receiving(receiver0))
		for i := range 32 {
			c.sleep(45 * time.Minute)
			c.wantNothing("while the token is renewed")
			cbs.recv.credit(cbs.replies, 100)
			cbs.mustPut("SB://LOCALHOST/Hub1/", r.token(signedHub1, "root", rootKey)) // the same place, written otherwise
			l.credit(uint32(i), 1)
			s.wantAccepted(s.publish(plain("hi")))
			l.receive()
		}
		c.sleep(time.Hour - time.Second)
		c.wantNothing("before the last token's end")
		c.sleep(time.Second)
		if got := c.arrived(); len(got) != 2 || got[0].code != amqp.CodeDetach || got[1].code != amqp.CodeDetach {
			t.Errorf("at the last token's end: %v", got)
		}
	})
}

// TestExpiryOfOneOfTwo: a link lives as long as any token gives it its right, and each link by its own.
func TestExpiryOfOneOfTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.dial()
		cbs := c.pair(nodeCBS)
		short, long := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		cbs.mustPut(hubURL, r.tokenUntil(signedHub1, "listen", listenKey, short))
		cbs.mustPut(hubURL+"/Partitions/0", r.tokenUntil(hubURL+"/Partitions/0", "send", sendKey, short))
		cbs.mustPut(hubURL+"/Partitions/1", r.tokenUntil(signedHub1, "send", sendKey, long)) // reaches further than it is put for
		l, s0, s1 := c.attach(receiving(receiver0)), c.attach(sending("hub1/Partitions/0")), c.attach(sending("hub1/Partitions/1"))
		gone := c.attach(sending("hub1/Partitions/0"))
		gone.detach()
		c.sleep(time.Until(short))
		got := c.arrived()
		if len(got) != 1 {
			t.Fatalf("%d frames came, want one detach", len(got))
		}
		var d amqp.Detach
		if c.decode(got[0], &d); d.Handle != l.theirs {
			t.Errorf("handle %d ended, want the receiver's, %d", d.Handle, l.theirs)
		}
		s0.wantAccepted(s0.publish(plain("a")))
		s1.wantAccepted(s1.publish(plain("b")))
		c.sleep(time.Until(long))
		if got := c.arrived(); len(got) != 2 {
			t.Errorf("%d frames came at the end of the second token, want two detaches", len(got))
		}
		if n := r.loggedTimes("link detached"); n != 3 { // not for the link that went before
			t.Errorf("%d links were ended, want 3", n)
		}
	})
}

// TestShorterToken: a token put over a longer one counts, the shorter one that it is.
func TestShorterToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.dial()
		cbs := c.pair(nodeCBS)
		cbs.mustPut(hubURL, r.tokenUntil(signedHub1, "root", rootKey, time.Now().Add(2*time.Hour)))
		c.attach(sending("hub1"))
		cbs.mustPut(hubURL, r.tokenUntil(signedHub1, "root", rootKey, time.Now().Add(time.Hour)))
		c.sleep(time.Hour)
		if got := c.arrived(); len(got) != 1 || got[0].code != amqp.CodeDetach {
			t.Errorf("at the shorter token's end: %v, want a detach", got)
		}
	})
}

// TestPlainNeverExpires: a connection that came in with a key holds it for good.
func TestPlainNeverExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.connect()
		c.sasl(amqp.SASLInit{Mechanism: "PLAIN", InitialResponse: []byte("\x00root\x00" + rootKey)})
		c.open()
		c.begin(channel1)
		s := c.attach(sending("hub1"))
		c.pair(nodeCBS).mustPut(hubURL, r.tokenUntil(signedHub1, "root", rootKey, time.Now().Add(time.Minute)))
		c.sleep(24 * time.Hour)
		c.wantNothing("for a day")
		s.wantAccepted(s.publish(plain("hi")))
	})
}

// TestClosedBeforeExpiry: a connection that is gone has no timer that fires into nothing.
func TestClosedBeforeExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.with(hubURL, r.token(signedHub1, "root", rootKey))
		c.attach(sending("hub1"))
		c.nc.Close()
		time.Sleep(2 * time.Hour)
		if r.logged("link detached") {
			t.Error("a link was ended after its connection")
		}
		r.waitLinks(0)
	})
}
