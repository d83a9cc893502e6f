package eventhubs

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

const selectorEarliest = "amqp.annotation.x-opt-offset > '-1'"

func pythonFilter(selector string) amqp.Map {
	return amqp.Map{{Key: amqp.Symbol(filterSelector), Value: &amqp.Described{Descriptor: amqp.Symbol(filterSelector), Value: selector}}}
}

// TestAttachAnswers compares the answer to each kind of link, field by field, with what was recorded.
func TestAttachAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	backend := amqp.Map{
		{Key: amqp.Symbol("com.microsoft:timeout"), Value: uint32(65000)}, {Key: amqp.Symbol("app-id"), Value: "root"},
		{Key: amqp.Symbol("auth-type"), Value: "NamespaceSAS"}, {Key: amqp.Symbol("client-id"), Value: "client-1"},
	}
	receiver := append(backend[:4:4], amqp.Map{
		{Key: amqp.Symbol("client-auth-id"), Value: "root"}, {Key: amqp.Symbol("client-auth-type"), Value: int32(2)},
		{Key: amqp.Symbol("client-ip"), Value: "pipe"}, {Key: amqp.Symbol("client-network-type"), Value: int32(1)},
	}...)
	timeout60 := amqp.Map{{Key: amqp.Symbol("com.microsoft:timeout"), Value: int64(60)}}

	hubSender := sending("amqps://localhost/hub1") // Python's
	hubSender.RcvSettleMode, hubSender.Properties, hubSender.MaxMessageSize = amqp.Some(amqp.RcvSecond), timeout60, amqp.Some[uint64](0)
	hubSender.DesiredCapabilities = []amqp.Symbol{"com.microsoft:georeplication", "com.microsoft:idempotent-producer"}
	partitionSender := sending("hub1/Partitions/1")
	partitionSender.Properties = timeout60
	bareSender := sending("hub1/Partitions/0") // Go's
	bareSender.SndSettleMode, bareSender.RcvSettleMode = amqp.Opt[uint8]{}, amqp.Opt[uint8]{}
	bareSender.Source = &amqp.Source{}

	pythonReceiver := receiving("amqps://localhost/hub1/ConsumerGroups/$default/Partitions/0")
	pythonReceiver.Source.Filter = pythonFilter(selectorEarliest)
	pythonReceiver.MaxMessageSize = amqp.Some[uint64](1 << 20)
	pythonReceiver.DesiredCapabilities = []amqp.Symbol{"com.microsoft:georeplication", capabilityRuntime}
	pythonReceiver.Properties = amqp.Map{{Key: amqp.Symbol("com.microsoft:timeout"), Value: int64(0)}}
	epochReceiver := receiving("hub1/ConsumerGroups/cg1/Partitions/1")
	epochReceiver.RcvSettleMode = amqp.Some(amqp.RcvSecond)
	epochReceiver.Properties = amqp.Map{{Key: amqp.Symbol("com.microsoft:receiver-name"), Value: "me"},
		{Key: amqp.Symbol("com.microsoft:epoch"), Value: int64(0)}}
	rawReceiver := receiving("hub1/ConsumerGroups/CG1/Partitions/0")
	rawReceiver.SndSettleMode, rawReceiver.RcvSettleMode = amqp.Opt[uint8]{}, amqp.Opt[uint8]{}

	for _, row := range []struct {
		name     string
		asked    amqp.Attach
		snd, rcv uint8
		size     uint64
		filter   amqp.Map
		props    amqp.Map
		tracking bool // behind props
	}{
		{"sender to the hub, Python", hubSender, 0, 0, 1 << 20, nil, timeout60, true},
		{"sender to a partition", partitionSender, 0, 0, 1 << 20, nil, backend, false},
		{"sender to a partition, Go", bareSender, 2, 0, 1 << 20, nil, nil, false},
		{"receiver, Python", pythonReceiver, 1, 0, 1 << 20,
			amqp.Map{{Key: amqp.Symbol(filterSelector), Value: &amqp.Described{Descriptor: uint64(0x137000000A),
				Value: selectorEarliest}}}, receiver, false},
		{"receiver with an epoch", epochReceiver, 1, 1, 1<<64 - 1, nil,
			append(receiver[:8:8], amqp.Pair{Key: amqp.Symbol("com.microsoft:epoch"), Value: int64(0)}), false},
		{"raw receiver", rawReceiver, 1, 0, 1<<64 - 1, nil, nil, false},
	} {
		l := c.attach(row.asked)
		got := l.answer
		if row.tracking {
			id, _ := got.Properties.Lookup("com.microsoft:tracking-id")
			if s, _ := id.(string); !regexp.MustCompile(`^[0-9A-F]{32}_G\d+$`).MatchString(s) {
				t.Errorf("%s: tracking-id %v", row.name, id)
			}
			got.Properties = got.Properties[:len(got.Properties)-1]
		}
		want := amqp.Attach{
			Name: got.Name, Handle: got.Handle, Role: !row.asked.Role,
			SndSettleMode: amqp.Some(row.snd), RcvSettleMode: amqp.Some(row.rcv),
			Source:         &amqp.Source{Address: row.asked.Source.Address, Filter: row.filter},
			Target:         &amqp.Target{Address: row.asked.Target.Address},
			MaxMessageSize: amqp.Some(row.size), Properties: row.props,
		}
		if row.asked.Role == amqp.RoleReceiver {
			want.InitialDeliveryCount = amqp.Some[uint32](0)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", row.name, got, want)
		}
		if c.wantQuiet(); t.Failed() {
			t.FailNow()
		}
	}
}

// TestMaxMessageSize: the answer is the smaller of what the client can take and what the service takes; nothing and 0 are no wish.
func TestMaxMessageSize(t *testing.T) {
	t.Parallel()
	c := newRig(t, rigOptions{}).root()
	const unlimited = 1<<64 - 1
	for _, row := range []struct {
		asked              amqp.Opt[uint64]
		sender, receiverIs uint64
	}{
		{amqp.Opt[uint64]{}, 1 << 20, unlimited},
		{amqp.Some[uint64](0), 1 << 20, unlimited},
		{amqp.Some[uint64](2000), 2000, 2000},
		{amqp.Some[uint64](1 << 20), 1 << 20, 1 << 20},
		{amqp.Some[uint64](1 << 40), 1 << 20, 1 << 40},
		{amqp.Some[uint64](unlimited), 1 << 20, unlimited},
	} {
		s, r := sending("hub1"), receiving("hub1/ConsumerGroups/cg1/Partitions/0")
		s.MaxMessageSize, r.MaxMessageSize = row.asked, row.asked
		ls, lr := c.attach(s), c.attach(r)
		if ls.answer.MaxMessageSize.V != row.sender || lr.answer.MaxMessageSize.V != row.receiverIs {
			t.Errorf("%v: %d to a sender, %d to a receiver; want %d and %d", row.asked,
				ls.answer.MaxMessageSize.V, lr.answer.MaxMessageSize.V, row.sender, row.receiverIs)
		}
		ls.detach()
		lr.detach()
	}
}

// TestCredit: what a sender may send at once, as recorded.
func TestCredit(t *testing.T) {
	t.Parallel()
	c := newRig(t, rigOptions{}).root()
	for target, want := range map[string]uint32{"hub1": 300, "hub1/Partitions/0": 1000, "hub1/Publishers/p": 300} {
		f := c.attach(sending(target)).flow
		if f.LinkCredit.V != want || f.DeliveryCount.V != 0 || f.Available != amqp.Some[uint32](0) || f.Drain.Set || f.Echo != amqp.Some(false) {
			t.Errorf("%s: flow %+v, want credit %d", target, f, want)
		}
	}
	c.attach(receiving("hub1/ConsumerGroups/cg1/Partitions/0"))
	c.wantQuiet() // a receiver gets no flow at all
}

// epoch adds one to a receiver.
func epoch(a amqp.Attach, e any) amqp.Attach {
	a.Properties = append(a.Properties[:len(a.Properties):len(a.Properties)], amqp.Pair{Key: amqp.Symbol(propEpoch), Value: e})
	return a
}

func named(a amqp.Attach, name string) amqp.Attach {
	a.Properties = append(a.Properties[:len(a.Properties):len(a.Properties)], amqp.Pair{Key: amqp.Symbol("com.microsoft:receiver-name"),
		Value: name})
	return a
}

func filtered(a amqp.Attach, selector string) amqp.Attach {
	source := *a.Source
	source.Filter = pythonFilter(selector)
	a.Source = &source
	return a
}

// TestRefusedAttach has a row for each reason that needs no other link.
func TestRefusedAttach(t *testing.T) {
	t.Parallel()
	const (
		receiver0 = "hub1/ConsumerGroups/$default/Partitions/0"
		partition = "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and 1."
		invalid   = "Invalid EventHub address. It must be either of the following: " +
			"<hub>/ConsumerGroups/<group>/Partitions/<partition> to receive, <hub> or <hub>/Partitions/<partition> to send."
	)
	claim := func(right, resource string) string {
		return "Unauthorized access. '" + right + "' claim(s) are required to perform this operation. Resource: 'sb://localhost/" + resource + "'."
	}
	r := newRig(t, rigOptions{})
	root, listen, send, nobody := r.root(), r.login("listen", listenKey), r.login("send", sendKey), r.dial()
	s := root.attach(sending("hub1/Partitions/0"))
	for range 3 {
		s.wantAccepted(s.publish(plain("hi"))) // offsets 0, 64 and 128
	}
	noAddress := sending("")
	noAddress.Target.Address = amqp.Opt[string]{}
	noTarget := sending("x")
	noTarget.Target = nil
	noSource := receiving("x")
	noSource.Source = nil
	coordinator := noTarget
	coordinator.Coordinator = true
	numberFilter := receiving(receiver0)
	numberFilter.Source.Filter = amqp.Map{{Key: amqp.Symbol(filterSelector), Value: int64(1)}}

	for _, row := range []struct {
		name   string
		client *client
		asked  amqp.Attach
		cond   amqp.Symbol
		text   string
		system string
	}{
		{"no right to send", listen, sending("Hub1"), amqp.CondUnauthorizedAccess, claim("Send", "hub1"), "gateway5"},
		{"no right to send to a partition", listen, sending("hub1/Partitions/0"), amqp.CondUnauthorizedAccess, claim("Send",
			"hub1/partitions/0"), "gateway5"},
		{"no right to listen", send, receiving(receiver0), amqp.CondUnauthorizedAccess, claim("Listen", receiver0Lower), "gateway5"},
		{"no token", nobody, sending("hub1"), amqp.CondUnauthorizedAccess, claim("Send", "hub1"), "gateway5"},
		{"no token, unknown hub", nobody, sending("nohub"), amqp.CondUnauthorizedAccess, claim("Send", "nohub"), "gateway5"},
		{"unknown hub, sender", root, sending("nohub"), amqp.CondNotFound, "The messaging entity 'ns1:eventhub:nohub' could not be found.",
			"ns1:eventhub:nohub"},
		{"unknown hub, receiver", root, receiving("nohub/ConsumerGroups/$default/Partitions/0"), amqp.CondNotFound,
			"The messaging entity 'ns1:eventhub:nohub' could not be found.", "ns1:eventhub:nohub"},
		{"unknown group", root, receiving("hub1/ConsumerGroups/NoGroup/Partitions/0"), amqp.CondNotFound,
			"The messaging entity 'ns1:eventhub:hub1~16383|nogroup' could not be found.", "ns1:eventhub:hub1~16383|nogroup"},
		{"unknown partition, sender", root, sending("hub1/Partitions/2"), amqp.CondArgumentOutOfRange, partition, "ns1:eventhub:hub1"},
		{"no partition, sender", root, sending("hub1/Partitions/XYZ"), amqp.CondArgumentOutOfRange, partition, "ns1:eventhub:hub1"},
		{"unknown partition, receiver", root, receiving("hub1/ConsumerGroups/$default/Partitions/-1"), amqp.CondArgumentOutOfRange, partition,
			"ns1:eventhub:hub1"},
		{"blank partition, sender", root, sending("hub1/Partitions/"), amqp.CondArgumentError, invalid, noSystem},
		{"blank partition, receiver", root, receiving("hub1/ConsumerGroups/$default/Partitions/"), amqp.CondArgumentError, invalid, noSystem},
		{"receiver from a hub", root, receiving("hub1"), amqp.CondArgumentError, invalid, noSystem},
		{"receiver from a partition without a group", root, receiving("hub1/Partitions/0"), amqp.CondArgumentError, invalid, noSystem},
		{"receiver from a group", root, receiving("hub1/ConsumerGroups/$default"), amqp.CondArgumentError, invalid, noSystem},
		{"offset beyond the end", root, filtered(receiving(receiver0), "amqp.annotation.x-opt-offset > '51541496928'"), amqp.CondArgumentError,
			"The supplied offset '51541496928' is invalid. The last offset in the system is '128'", "ns1:eventhub:hub1~16383|$default"},
		{"sequence number beyond the end", root, filtered(receiving(receiver0), "amqp.annotation.x-opt-sequence-number > '488'"),
			amqp.CondArgumentError,
			"The supplied sequence number '488' is invalid. The last sequence number in the system is '2'", "ns1:eventhub:hub1~16383|$default"},
		{"selector nobody understands", root, filtered(receiving(receiver0), "color = 'red'"), amqp.CondArgumentError,
			`The selector "color = 'red'" is not understood: it must compare with > or >=.`, "ns1:eventhub:hub1~16383|$default"},
		{"filter that is a number", root, numberFilter, amqp.CondArgumentError,
			"The filter apache.org:selector-filter:string must hold a string.", "ns1:eventhub:hub1~16383|$default"},
		{"no address", root, noAddress, amqp.CondInvalidField, `The link "refused" names no address to attach to.`, noSystem},
		{"no target", root, noTarget, amqp.CondInvalidField, `The link "refused" names no address to attach to.`, noSystem},
		{"no source", root, noSource, amqp.CondInvalidField, `The link "refused" names no address to attach to.`, noSystem},
		{"transactions", root, coordinator, amqp.CondInvalidField, `The link "refused" names no address to attach to.`, noSystem},
	} {
		row.asked.Name = "refused"
		wantRefusal(t, row.name, row.client.refused(row.asked), row.cond, row.text+trackers(row.system))
	}
	for _, c := range []*client{root, listen, send, nobody} {
		c.wantQuiet() // the connections are still good
	}
}

const receiver0Lower = "hub1/consumergroups/$default/partitions/0"

// TestRefusedAttachBytes: the answer is an attach with name, handle and role and eleven nulls, as recorded.
func TestRefusedAttachBytes(t *testing.T) {
	t.Parallel()
	c := newRig(t, rigOptions{}).dial()
	a := sending("hub1")
	a.Name = linkName
	c.offer(channel1, a)
	wantBytes(t, "attach", c.next().raw, unhex(t, `00000041 02000000 005312c0340e a124"`+linkName+`" 43 41 4040404040404040404040`))
	c.wantDetach(0)
}

// TestHandlesAreOurs: handles count from 0 in order of attach, whatever the client's are, and a refused link's is free again.
func TestHandlesAreOurs(t *testing.T) {
	t.Parallel()
	c := newRig(t, rigOptions{}).root() // which holds handles 0 and 1
	c.handles = 77
	if l := c.attach(sending("hub1")); l.theirs != 2 {
		t.Errorf("handle %d, want 2", l.theirs)
	}
	c.refused(sending("nohub"))
	if l := c.attach(sending("hub1")); l.theirs != 3 {
		t.Errorf("handle %d, want 3", l.theirs)
	}
}

// TestTokenOfOnePath: a right reaches what lies below its path, and nothing else.
func TestTokenOfOnePath(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.with(hubURL+"/Partitions/1", r.tokenUntil(hubURL+"/Partitions/1", "root", rootKey, time.Now().Add(time.Minute)))
	c.attach(sending("hub1/Partitions/1"))
	for _, a := range []amqp.Attach{sending("hub1"), sending("hub1/Partitions/0"), sending("hub1/Partitions/11"),
		receiving("hub1/ConsumerGroups/$default/Partitions/1")} {
		if e := c.refused(a); e.Condition != amqp.CondUnauthorizedAccess {
			t.Errorf("%+v: %v", a, e)
		}
	}
	c.pair(nodeCBS).mustPut(hubURL+"/ConsumerGroups/$Default", r.token(hubURL+"/ConsumerGroups/$Default", "root", rootKey))
	c.attach(receiving("hub1/ConsumerGroups/$default/Partitions/1"))
	if e := c.refused(receiving("hub1/ConsumerGroups/cg1/Partitions/1")); e.Condition != amqp.CondUnauthorizedAccess {
		t.Errorf("another group: %v", e)
	}
}
