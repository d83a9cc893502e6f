package eventhubs

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
)

const (
	linkName   = "6d9ce0a5-5d2a-4d0e-8c1b-1e3b6f1f0a11"
	hubURL     = "sb://localhost/hub1"
	signedHub1 = "sb://localhost/hub1"
)

// TestCBSAttach: the answers for both directions, to the byte, as recorded.
func TestCBSAttach(t *testing.T) {
	t.Parallel()
	for _, node := range []struct{ address, hex string }{
		{"$cbs", `a104"$cbs"`},
		{"$management", `a10b"$management"`},
	} {
		c := newRig(t, rigOptions{}).dial()
		recv, send := receiving(node.address), sending(node.address)
		recv.Target, send.Source = &amqp.Target{Address: recv.Source.Address}, &amqp.Source{Address: recv.Source.Address}
		recv.Name, send.Name = linkName, linkName
		p := c.pairOf(channel1, send, recv)
		both := ` 005328c0%s0b ` + node.hex + ` 40404040404040404040 005329c0%s07 ` + node.hex + ` 404040404040`
		list, source, target := "64", "11", "0d"
		if node.address == "$management" {
			list, source, target = "72", "18", "14"
		}
		both = strings.Replace(strings.Replace(both, "%s", source, 1), "%s", target, 1)
		size := map[string]string{"64": "00000071", "72": "0000007f"}[list]
		wantBytes(t, node.address+" receiver", p.recv.frame.raw,
			unhex(t, size+` 02000000 005312c0`+list+`0e a124"`+linkName+`" 43 42 5000 5000`+both+` 40 40 43 80ffffffffffffffff 404040`))
		wantBytes(t, node.address+" sender", p.send.frame.raw[len(`00000000`)/2:],
			unhex(t, ` 02000000 005312c0`+bump(list)+`0e a124"`+linkName+`" 5201 41 5000 5000`+both+` 40 40 40 80ffffffffffffffff 404040`))
		if f := p.send.flow; f.LinkCredit.V != 100 || f.DeliveryCount.V != 0 || f.IncomingWindow != 5000 {
			t.Errorf("%s: flow %+v, want credit 100 and window 5000", node.address, f)
		}
	}
}

// bump adds one to a size in hex: handle 1 takes a byte more than handle 0.
func bump(size string) string { return map[string]string{"64": "65", "72": "73"}[size] }

// TestPutTokenReply: the disposition, the transfer and the payload of a success, to the byte, as recorded.
func TestPutTokenReply(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.dial()
	p := c.pair(nodeCBS)
	m := putToken(hubURL, r.token(signedHub1, "root", rootKey))
	m.Properties = &amqp.Properties{MessageID: amqp.UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}
	c.ids[channel1] = 1
	c.wantQuiet()
	p.send.transfer(amqp.FormatMessage, false, m.Append(nil))
	wantBytes(t, "disposition", c.next().raw, unhex(t, `00000018 02000000 005315c00b06 41 5201 40 41 00532445 40`))
	wantBytes(t, "reply", c.next().raw, unhex(t, `00000077 02000000 005314c0110b 43 43 a00401000000 43 40 42 40404040 42
		005373c01e0d 40404040 40 98000102030405060708090a0b0c0d0e0f 40404040404040
		005374c13104 a10b"status-code" 71000000ca a112"status-description" a108"Accepted"`))

	// The next delivery counts on; its tag does as well.
	p.request(m, false)
	tr, _ := p.reply()
	if tr.DeliveryID.V != 1 || !bytes.Equal(tr.DeliveryTag, []byte{2, 0, 0, 0}) || tr.Settled.Set {
		t.Errorf("second reply %+v, want delivery 1, tag 02000000, settled null", tr)
	}
	c.wantQuiet()
}

// TestPutTokenStatus has a row for each answer of put-token. The connection stays open after all of them.
func TestPutTokenStatus(t *testing.T) {
	t.Parallel()
	const (
		invalid   = "InvalidSignature: The token has an invalid signature."
		moreAbout = "To know more visit https://aka.ms/sbResourceMgrExceptions. "
	)
	r := newRig(t, rigOptions{})
	c := r.dial()
	p := c.pair(nodeCBS)
	past := time.Date(2020, 6, 17, 19, 35, 26, 0, time.UTC)
	good := r.token(signedHub1, "root", rootKey)
	jwt := putToken(hubURL, "eyJhbGciOi.eyJzdWIi.c2ln")
	jwt.ApplicationProperties[1].Value = "jwt"
	sasAsJWT := putToken(hubURL, good)
	sasAsJWT.ApplicationProperties[1].Value = "jwt"
	otherOp := putToken(hubURL, good)
	otherOp.ApplicationProperties[0].Value = "delete-token"
	noProperties := &amqp.Message{Value: good, HasValue: true}
	for _, row := range []struct {
		name        string
		request     *amqp.Message
		code        int32
		description string
		condition   amqp.Symbol
	}{
		{"accepted", putToken(hubURL, good), 202, "Accepted", ""},
		{"again", putToken(hubURL, good), 202, "Accepted", ""},
		{"for a partition", putToken(hubURL+"/Partitions/0", good), 202, "Accepted", ""},
		{"for a group, Python", putToken(hubURL+"/consumergroups/$Default", good), 202, "Accepted", ""},
		{"for a blank partition", putToken(hubURL+"/Partitions/", good), 202, "Accepted", ""},
		{"for $management, Go", putToken("amqp://localhost/hub1/$management", good), 202, "Accepted", ""},
		{"SAS called jwt, Python 5.11", sasAsJWT, 202, "Accepted", ""},
		{"wrong key", putToken(hubURL, r.token(signedHub1, "root", "guess")), 401, invalid, amqp.CondAuthFailed},
		{"unknown key name", putToken(hubURL, r.token(signedHub1, "nobody", "guess")), 401, invalid + trackers("NoSystemTracker"),
			amqp.CondAuthFailed},
		{"expired", putToken(hubURL, r.tokenUntil(signedHub1, "root", rootKey, past)), 401,
			"ExpiredToken: The token is expired. Expiration time: '2020-06-17 19:35:26Z'", amqp.CondAuthFailed},
		{"unknown hub", putToken("sb://localhost/nohub", r.token("sb://localhost/nohub", "root", rootKey)), 404,
			"The messaging entity 'sb://localhost/nohub' could not be found. " + moreAbout + trackers("ns1:nohub"), amqp.CondNotFound},
		{"unknown hub behind a partition", putToken("sb://localhost/nohub/Partitions/0", r.token("sb://localhost/nohub", "root", rootKey)), 404,
			"The messaging entity 'sb://localhost/nohub' could not be found. " + moreAbout + trackers("ns1:nohub"), amqp.CondNotFound},
		{"another namespace", putToken(hubURL, r.token(signedHub1, "other", otherKey)), 404,
			"The messaging entity 'Invalid audience: Namespace cannot be resolved 'sb://localhost/hub1'' could not be found. " +
				moreAbout, amqp.CondNotFound},
		{"token for another hub", putToken(hubURL, r.token("sb://localhost/hub2", "root", rootKey)), 401,
			`InvalidAudience: The token of policy "root" is for "hub2", not for "hub1".` + trackers("NoSystemTracker"), amqp.CondAuthFailed},
		{"jwt", jwt, 401, "UnsupportedToken: Only SAS tokens are accepted here." + trackers("NoSystemTracker"), amqp.CondAuthFailed},
		{"no SAS token", putToken(hubURL, "open sesame"), 401,
			`MalformedToken: The token does not begin with "SharedAccessSignature ".` + trackers("NoSystemTracker"), amqp.CondAuthFailed},
		{"token that is a number", putToken(hubURL, int64(5)), 400, "The body of put-token must be the token, as a string.", amqp.CondInvalidField},
		{"another operation", otherOp, 400, "The operation 'delete-token' is not known at $cbs. It takes 'put-token'.", amqp.CondNotImplemented},
		{"no properties", noProperties, 400, "The operation '' is not known at $cbs. It takes 'put-token'.", amqp.CondNotImplemented},
		{"accepted after all that", putToken(hubURL, good), 202, "Accepted", ""},
	} {
		m, _ := p.ask(row.request)
		code, description, condition := statusOf(m)
		if code != row.code || description != row.description || condition != row.condition {
			t.Errorf("%s:\n got %d %q %q\nwant %d %q %q", row.name, code, description, condition, row.code, row.description, row.condition)
		}
		if m.HasValue || m.Data != nil || m.Header != nil || m.MessageAnnotations != nil {
			t.Errorf("%s: the reply has more than properties: %+v", row.name, m)
		}
	}
	for _, part := range []string{"policy=root", "policy=nobody", "wrong key for policy", "there is no policy"} {
		if !r.logged(part) {
			t.Errorf("the log does not say %q", part)
		}
	}
}

// TestFailureBytes: a failure has a third property, a symbol, behind the other two; what is longer than 255 bytes takes the long form
// (recorded).
func TestFailureBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	p := r.dial().pair(nodeCBS)
	const status, description, condition = `a10b"status-code" 710000`, ` a112"status-description" `, ` a10f"error-condition" `
	const host = "a-namespace-with-a-long-name-as-those-of-the-recordings-have.servicebus.windows.net"
	unknownHub := "sb://" + host + "/nohub"
	for _, row := range []struct {
		name    string
		request *amqp.Message
		want    string // the application properties
	}{
		{"wrong key", putToken(hubURL, r.token(signedHub1, "root", "guess")),
			`c18a06 ` + status + `0191` + description + `a135"InvalidSignature: The token has an invalid signature."` + condition +
				`a319"com.microsoft:auth-failed"`},
		{"unknown key", putToken(hubURL, r.token(signedHub1, "nobody", "guess")),
			`c1f706 ` + status + `0191` + description + `a1a2"InvalidSignature: The token has an invalid signature.` + trackers(noSystem) + `"` +
				condition + `a319"com.microsoft:auth-failed"`},
		{"unknown hub", putToken(unknownHub, r.token(unknownHub, "root", rootKey)),
			`d10000017c00000006 ` + status + `0194` + description + `b10000012c"The messaging entity '` + unknownHub +
				`' could not be found. To know more visit https://aka.ms/sbResourceMgrExceptions. ` + trackers("ns1:nohub") + `"` + condition +
				`a30e"amqp:not-found"`},
	} {
		row.request.Properties = &amqp.Properties{MessageID: "m1"}
		_, payload := p.ask(row.request)
		wantBytes(t, row.name, masked(payload), unhex(t, `005373c0110d 4040404040 a102"m1" 40404040404040 005374 `+row.want))
	}
}

// TestCorrelationTypes: the request's id comes back as the AMQP type that it was.
func TestCorrelationTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	p := r.dial().pair(nodeCBS)
	token := r.token(signedHub1, "root", rootKey)
	for _, c := range []struct {
		name string
		id   any
		want string // how it comes back
	}{
		{"uuid, Python", amqp.UUID{15: 1}, `98000000000000000000000000 00000001`},
		{"ulong 0, Python 5.11", uint64(0), `44`},
		{"ulong, Java and Rust", uint64(7), `5307`},
		{"long ulong", uint64(300), `80000000000000012c`},
		{"string, Go, JavaScript and .NET", "0e3a2049-2169-4a40-5807-2fb17f25eb17", `a124"0e3a2049-2169-4a40-5807-2fb17f25eb17"`},
		{"binary", []byte{1, 2}, `a0020102`},
		{"none", nil, `40`},
	} {
		m := putToken(hubURL, token)
		m.Properties = &amqp.Properties{MessageID: c.id}
		p.request(m, false)
		_, payload := p.reply()
		id := unhex(t, c.want)
		want := append(unhex(t, `005373c0`), byte(13+len(id)), 13, 0x40, 0x40, 0x40, 0x40, 0x40)
		want = append(append(want, id...), 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40)
		if !bytes.HasPrefix(payload, want) {
			t.Errorf("%s:\n got %x\nwant %x...", c.name, payload, want)
		}
	}
}

// TestSettledRequest: .NET sends requests settled, and wants settled replies. No disposition comes.
func TestSettledRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.dial()
	send, recv := sending(nodeCBS), receiving(nodeCBS)
	send.SndSettleMode, recv.SndSettleMode = amqp.Some(amqp.SndSettled), amqp.Some(amqp.SndSettled)
	p := c.pairOf(channel1, send, recv)
	if a := p.recv.answer; a.SndSettleMode.V != amqp.SndSettled || a.RcvSettleMode.V != amqp.RcvFirst {
		t.Errorf("settle modes %v and %v are not those asked for", a.SndSettleMode, a.RcvSettleMode)
	}
	for range 140 { // more than one grant of credit
		p.request(putToken(hubURL, r.token(signedHub1, "root", rootKey)), true)
		f := c.next()
		if f.code == amqp.CodeFlow {
			f = c.next()
		}
		var tr amqp.Transfer
		if f.code != amqp.CodeTransfer {
			t.Fatalf("a frame %v came where the reply is expected", f.code)
		}
		if c.decode(f, &tr); !tr.Settled.V {
			t.Errorf("the reply is not settled: %+v", tr)
		}
		if p.replies++; p.replies == 90 {
			p.recv.credit(p.replies, 100)
		}
	}
	c.wantQuiet()
}

// TestSettleModesEchoed: Go's link fails if the answer has other modes than it asked for, or if it asked for none and does not get mixed.
func TestSettleModesEchoed(t *testing.T) {
	t.Parallel()
	c := newRig(t, rigOptions{}).dial()
	for _, node := range []string{nodeCBS, nodeManagement} {
		for _, snd := range []amqp.Opt[uint8]{{}, amqp.Some[uint8](0), amqp.Some[uint8](1), amqp.Some[uint8](2)} {
			for _, rcv := range []amqp.Opt[uint8]{{}, amqp.Some[uint8](0), amqp.Some[uint8](1)} {
				for _, a := range []amqp.Attach{sending(node), receiving(node)} {
					a.SndSettleMode, a.RcvSettleMode = snd, rcv
					l := c.attach(a)
					if l.answer.SndSettleMode.V != snd.Or(amqp.SndMixed) || l.answer.RcvSettleMode.V != rcv.Or(amqp.RcvFirst) {
						t.Errorf("%s: %v and %v were asked, %v and %v answered", node, snd, rcv, l.answer.SndSettleMode, l.answer.RcvSettleMode)
					}
					l.detach()
				}
			}
		}
	}
}

// TestReplyRouting: each SDK says where a reply is to go in its own way, and some do not say.
func TestReplyRouting(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	token := r.token("sb://localhost/", "root", rootKey)
	ask := func(t *testing.T, p *pair, id any, replyTo string) {
		t.Helper()
		m := putToken(hubURL, token)
		m.Properties = &amqp.Properties{MessageID: id}
		if replyTo != "" {
			m.Properties.ReplyTo = amqp.Some(replyTo)
		}
		p.request(m, false)
	}
	answered := func(t *testing.T, p *pair, id any) {
		t.Helper()
		_, payload := p.reply() // fails for another link's
		decodeReply(t, payload, id)
	}
	target := func(address amqp.Opt[string]) amqp.Attach {
		a := receiving(nodeCBS)
		a.Target = &amqp.Target{Address: address}
		return a
	}
	t.Run("JavaScript: target without address, reply-to is the link's name", func(t *testing.T) {
		recv := target(amqp.Opt[string]{})
		recv.Name = "cbs-" + linkName
		p := r.dial().pairOf(channel1, sending(nodeCBS), recv)
		ask(t, p, "id", recv.Name)
		answered(t, p, "id")
	})
	t.Run("no target at all", func(t *testing.T) {
		recv := receiving(nodeCBS)
		recv.Target = nil
		p := r.dial().pairOf(channel1, sending(nodeCBS), recv)
		ask(t, p, "id", "whatever")
		answered(t, p, "id")
	})
	t.Run("Go: odd reply-to", func(t *testing.T) {
		odd := "$cbs$$cbs-reply-to-" + linkName
		p := r.dial().pairOf(channel1, sending(nodeCBS), target(amqp.Some(odd)))
		ask(t, p, "id", odd)
		answered(t, p, "id")
	})
	t.Run("Python: none", func(t *testing.T) {
		p := r.dial().pair(nodeCBS)
		ask(t, p, amqp.UUID{1}, "")
		answered(t, p, amqp.UUID{1})
	})
	t.Run("two pairs in one session", func(t *testing.T) {
		c := r.dial()
		one, two := c.pairOf(channel1, sending(nodeCBS), target(amqp.Some("one"))), c.pairOf(channel1, sending(nodeCBS), target(amqp.Some("two")))
		ask(t, two, "2", "two")
		answered(t, two, "2")
		ask(t, one, "1", "one")
		answered(t, one, "1")
		ask(t, one, "3", "two") // reply-to decides
		answered(t, two, "3")
	})
	t.Run("two sessions with the same reply-to", func(t *testing.T) {
		c := r.dial()
		c.begin(2)
		one := c.pairOf(channel1, sending(nodeCBS), target(amqp.Some("same")))
		two := c.pairOf(2, sending(nodeCBS), target(amqp.Some("same")))
		ask(t, one, "1", "same")
		answered(t, one, "1")
		ask(t, two, "2", "same")
		answered(t, two, "2")
	})
	t.Run("links in different sessions", func(t *testing.T) {
		c := r.dial()
		c.begin(2)
		p := &pair{recv: c.attachOn(2, target(amqp.Some("there"))), send: c.attach(sending(nodeCBS))}
		p.recv.credit(0, 10)
		ask(t, p, "id", "there")
		answered(t, p, "id")
	})
	t.Run("$cbs and $management on one connection", func(t *testing.T) {
		c := r.dial()
		cbs, management := c.pair(nodeCBS), c.pair(nodeManagement)
		cbs.mustPut(hubURL, token)
		management.ask(read(typeHub, "hub1", ""))
		cbs.mustPut(hubURL, token)
	})
	t.Run("Go: a session for each claim, ended without a detach", func(t *testing.T) {
		c := r.dial()
		for i := range 20 {
			channel := uint16(2 + i)
			c.begin(channel)
			p := c.pairOf(channel, sending(nodeCBS), target(amqp.Some("x")))
			ask(t, p, "id", "x")
			answered(t, p, "id")
			c.send(channel, &amqp.End{})
			c.want(amqp.CodeEnd, &amqp.End{})
		}
		c.wantQuiet()
	})
	t.Run("after the receiver went, and came again", func(t *testing.T) {
		c := r.dial()
		p := c.pair(nodeCBS)
		p.recv.detach()
		m := putToken(hubURL, token)
		state := p.send.outcome(p.send.transfer(amqp.FormatMessage, false, m.Append(nil)))
		if state.Code != amqp.CodeRejected || state.Error.Condition != amqp.CondPreconditionFailed {
			t.Errorf("a request that nobody waits for: %v %v, want rejected", state.Code, state.Error)
		}
		p.recv = c.attach(receiving(nodeCBS))
		p.recv.credit(0, 1)
		ask(t, p, "id", "")
		answered(t, p, "id")
	})
}

// TestRequestBeforeCredit: Go sends its request before it lets the reply come.
func TestRequestBeforeCredit(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.dial()
	p := &pair{recv: c.attach(receiving(nodeCBS)), send: c.attach(sending(nodeCBS))}
	for range 3 {
		p.request(putToken(hubURL, r.token(signedHub1, "root", rootKey)), false)
	}
	c.wantQuiet()
	p.recv.credit(0, 2)
	p.reply()
	p.reply()
	c.wantQuiet()
	p.recv.credit(2, 1)
	p.reply()
	c.wantQuiet()
}

// TestBadRequests: each is rejected on its own, and the next is served.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.dial()
	p := c.pair(nodeCBS)
	for _, row := range []struct {
		name      string
		payload   []byte
		condition amqp.Symbol
	}{
		{"no message", []byte{1, 2, 3}, amqp.CondDecodeError},
		{"cut off", putToken(hubURL, "x").Append(nil)[:20], amqp.CondDecodeError},
		{"too large", putToken(hubURL, strings.Repeat("x", requestBytes)).Append(nil), amqp.CondMessageSizeExceeded},
	} {
		id := p.send.transferInPieces(row.payload, 60000)
		state := p.send.outcome(id)
		if state.Code != amqp.CodeRejected || state.Error == nil || state.Error.Condition != row.condition {
			t.Errorf("%s: %v %v, want rejected with %s", row.name, state.Code, state.Error, row.condition)
		}
		p.mustPut(hubURL, r.token(signedHub1, "root", rootKey))
	}
}

// TestUnreadReplies: a client that asks and never reads is stopped at a bound.
func TestUnreadReplies(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.dial()
	p := &pair{recv: c.attach(receiving(nodeCBS)), send: c.attach(sending(nodeCBS))}
	m := putToken(hubURL, "nonsense").Append(nil)
	rejected := 0
	for range repliesHeldMax + 10 {
		id := p.send.transfer(amqp.FormatMessage, false, m)
		for {
			f := c.next()
			if f.code == amqp.CodeFlow {
				continue
			}
			var d amqp.Disposition
			if c.decode(f, &d); d.First != id {
				t.Fatalf("disposition of %d, want %d", d.First, id)
			}
			if d.State.Code == amqp.CodeRejected && d.State.Error.Condition == amqp.CondResourceLimitExceeded {
				rejected++
			}
			break
		}
	}
	if rejected != 10 {
		t.Errorf("%d requests were rejected, want 10", rejected)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for _, row := range []struct {
		name, response string
		want           uint8
	}{
		{"right", "\x00root\x00" + rootKey, amqp.SASLOk},
		{"wrong key", "\x00root\x00guess", amqp.SASLAuth},
		{"unknown policy", "\x00nobody\x00guess", amqp.SASLAuth},
		{"nothing", "", amqp.SASLAuth},
	} {
		c := r.connect()
		if got := c.sasl(amqp.SASLInit{Mechanism: "PLAIN", InitialResponse: []byte(row.response)}); got != row.want {
			t.Errorf("%s: outcome %d, want %d", row.name, got, row.want)
		}
		if row.want != amqp.SASLOk {
			continue
		}
		c.open() // and no token
		c.begin(channel1)
		s := c.attach(sending("hub1"))
		s.wantAccepted(s.publish(plain("hi")))
		c.pair(nodeManagement).ask(read(typeHub, "hub1", ""))
	}
	if !r.logged("SASL PLAIN refused") {
		t.Error("the log does not tell of the refusal")
	}
}

// TestPlainOfOneHub: a policy of one hub opens that hub and no other, and its namespace binds the connection.
func TestPlainOfOneHub(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	_, err := r.hall.Namespace("ns1").CreateHub(hub.Spec{Name: "hub2", Partitions: 1})
	r.must(err)
	c := r.connect()
	if got := c.sasl(amqp.SASLInit{Mechanism: "PLAIN", InitialResponse: []byte("\x00hubonly\x00" + hubKey)}); got != amqp.SASLOk {
		t.Fatalf("outcome %d", got)
	}
	c.open()
	c.begin(channel1)
	c.attach(sending("hub1"))
	if e := c.refused(sending("hub2")); e.Condition != amqp.CondUnauthorizedAccess {
		t.Errorf("another hub: %v", e)
	}
	m, _ := c.pair(nodeCBS).ask(putToken(hubURL, r.token(signedHub1, "other", otherKey)))
	if code, _, _ := statusOf(m); code != 404 {
		t.Errorf("a token of another namespace: %d, want 404", code)
	}
}

// TestNamespaces: the first token binds the connection, and hubs of one name do not see each other's events.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	one, two := r.root(), r.login("other", otherKey)
	for _, c := range []struct {
		client *client
		body   string
	}{{one, "first"}, {two, "second"}} {
		s := c.client.attach(sending("hub1/Partitions/0"))
		s.wantAccepted(s.publish(plain(c.body)))
		l := c.client.attach(receiving("hub1/ConsumerGroups/$default/Partitions/0"))
		l.credit(0, 10)
		if got := l.bodies(1); got != c.body {
			t.Errorf("%q was received, want %q", got, c.body)
		}
		c.client.wantQuiet()
	}
	m, _ := two.pair(nodeCBS).ask(putToken("sb://localhost/", r.token("sb://localhost/", "root", rootKey)))
	if code, _, _ := statusOf(m); code != 404 {
		t.Errorf("a token of the first namespace on a connection of the second: %d, want 404", code)
	}
	if e := r.dial().refused(sending("hub1")); e.Condition != amqp.CondUnauthorizedAccess {
		t.Errorf("without a token: %v", e)
	}
}

// TestTokensMax: one connection cannot make us keep tokens without end, and may renew those it has.
func TestTokensMax(t *testing.T) {
	t.Parallel()
	c := &conn{svc: newRig(t, rigOptions{}).svc}
	g := auth.Grant{Namespace: "ns1", Rights: auth.Send, Expires: time.Now().Add(time.Hour)}
	c.grants = make(map[string]auth.Grant)
	for i := range grantsMax - 1 {
		c.grants[decimal(int64(i))] = g
	}
	if err := c.keep("the last", g); err != nil {
		t.Errorf("token %d: %v", grantsMax, err)
	}
	if err := c.keep("one more", g); err == nil {
		t.Error("there is no end to the tokens of a connection")
	}
	if err := c.keep("0", g); err != nil {
		t.Errorf("a renewal: %v", err)
	}
	for audience := range c.grants {
		old := c.grants[audience]
		old.Expires = time.Now().Add(-time.Second)
		c.grants[audience] = old
	}
	if err := c.keep("one more", g); err != nil || len(c.grants) != 1 {
		t.Errorf("after all others have expired: %v, %d tokens", err, len(c.grants))
	}
}
