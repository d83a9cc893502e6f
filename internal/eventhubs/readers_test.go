package eventhubs

import (
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/hub"
)

const system0 = "ns1:eventhub:hub1~16383|$default"

// TestStolen: a reader with the same or a higher epoch takes the partition, and the one before hears the recorded words.
func TestStolen(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		old, thief amqp.Attach
		text       string
	}{
		{"epoch over none", receiving(receiver0), epoch(receiving(receiver0), int64(1)),
			"New receiver 'nil' with higher epoch of '1' is created hence current receiver 'nil' with epoch '' is getting disconnected."},
		{"same epoch", epoch(receiving(receiver0), int64(0)), epoch(receiving(receiver0), int64(0)),
			"New receiver 'nil' with higher epoch of '0' is created hence current receiver 'nil' with epoch '0' is getting disconnected."},
		{"higher epoch, names", named(epoch(receiving(receiver0), int32(1)), "old"), named(epoch(receiving(receiver0), uint64(7)), "thief"),
			"New receiver 'thief' with higher epoch of '7' is created hence current receiver 'old' with epoch '1' is getting disconnected."},
		{"name as Rust writes it", epoch(receiving(receiver0), int64(1)), rustName(epoch(receiving(receiver0), int64(2))),
			"New receiver 'rust' with higher epoch of '2' is created hence current receiver 'nil' with epoch '1' is getting disconnected."},
	} {
		r := newRig(t, rigOptions{})
		r.root().fill("a", "b")
		one, two := r.root(), r.root()
		old := one.attach(row.old)
		old.credit(0, 1)
		old.receive()
		bystander := one.attach(receiving("hub1/ConsumerGroups/$default/Partitions/1"))
		thief := two.attach(row.thief)
		wantRefusal(t, row.name, one.wantDetach(old.theirs), amqp.CondLinkStolen,
			row.text+" If you are recreating the receiver, make sure a higher epoch is used."+trackers(system0))
		thief.credit(0, 5)
		if got := thief.bodies(2); got != "a b" {
			t.Errorf("%s: the thief receives %q", row.name, got)
		}
		bystander.credit(0, 5)
		one.wantQuiet()
		if links := r.waitLinks(2); links[1].Client != "client-1" || !links[1].HasEpoch {
			t.Errorf("%s: links %+v", row.name, links)
		}
		if !r.logged("receiver cut") {
			t.Errorf("%s: the log does not tell", row.name)
		}
	}
}

func rustName(a amqp.Attach) amqp.Attach {
	a.Properties = append(a.Properties[:len(a.Properties):len(a.Properties)], amqp.Pair{Key: amqp.Symbol("com.microsoft.com:receiver-name"),
		Value: "rust"})
	return a
}

// TestEpochRefused: a reader with a lower epoch, or none, is refused while an exclusive one lives, and not after.
func TestEpochRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.root().fill("a")
	one, two := r.root(), r.root()
	owner := one.attach(named(epoch(receiving(receiver0), int64(5)), "owner"))
	wantRefusal(t, "lower epoch", two.refused(named(epoch(receiving(receiver0), int64(4)), "late")), amqp.CondLinkStolen,
		"Receiver 'owner' with a higher epoch '5' already exists. Receiver 'late' with epoch 4 cannot be created. "+
			"Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch receivers are closed or "+
			"disconnected."+trackers(system0))
	wantRefusal(t, "no epoch", two.refused(receiving(receiver0)), amqp.CondLinkStolen,
		"At least one receiver for the endpoint is created with epoch of '5', and so non-epoch receiver is not allowed. "+
			"Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected."+trackers(system0))
	two.attach(receiving("hub1/ConsumerGroups/cg1/Partitions/0")) // another group is another matter
	beyond := filtered(epoch(receiving(receiver0), int64(6)), "amqp.annotation.x-opt-sequence-number > '99'")
	if e := two.refused(beyond); e.Condition != amqp.CondArgumentError {
		t.Errorf("a start beyond the end: %v", e)
	}
	owner.credit(0, 1)
	if got := owner.bodies(1); got != "a" {
		t.Errorf("the owner receives %q", got)
	}
	one.wantQuiet()
	owner.detach()
	r.waitLinks(1)
	two.attach(epoch(receiving(receiver0), int64(0)))
}

// TestSixthReader: five readers without epoch, and no more until one of them goes.
func TestSixthReader(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.root().fill("a")
	var links []*link
	for i := range 5 {
		a := receiving(receiver0)
		if i == 2 {
			a = named(a, "third")
		}
		links = append(links, r.root().attach(a))
	}
	c := r.root()
	wantRefusal(t, "sixth", c.refused(receiving(receiver0)), amqp.CondResourceLimitExceeded,
		"Exceeded the maximum number of allowed receivers per partition in a consumer group which is 5. "+
			"List of connected receivers - nil, nil, third, nil, nil."+trackers(system0))
	c.attach(receiving("hub1/ConsumerGroups/$default/Partitions/1"))
	c.attach(receiving("hub1/ConsumerGroups/cg1/Partitions/0"))
	for _, l := range links {
		l.credit(0, 1)
		if got := l.bodies(1); got != "a" {
			t.Errorf("one of five receives %q", got)
		}
	}
	links[3].detach()
	r.waitLinks(6)
	l := c.attach(receiving(receiver0))
	l.credit(0, 1)
	if got := l.bodies(1); got != "a" {
		t.Errorf("the newcomer receives %q", got)
	}
	c.refused(receiving(receiver0))
	links[0].c.nc.Close() // so goes a client that dies
	r.waitLinks(6)
	c.attach(receiving(receiver0))
}

// TestDeleted: what is deleted under live links ends them with the reason, and nothing else.
func TestDeleted(t *testing.T) {
	t.Parallel()
	t.Run("group", func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.root()
		gone := c.attach(receiving("hub1/ConsumerGroups/CG1/Partitions/0"))
		stays := c.attach(receiving(receiver0))
		s := c.attach(sending("hub1/Partitions/0"))
		r.must(r.hub("ns1").DeleteGroup("cg1"))
		wantRefusal(t, "group", c.wantDetach(gone.theirs), "com.microsoft:entity-updated",
			"Entity was updated. The consumer group 'cg1' of event hub 'hub1' was deleted."+trackers("ns1:eventhub:hub1~16383|cg1"))
		s.wantAccepted(s.publish(plain("a")))
		stays.credit(0, 1)
		if got := stays.bodies(1); got != "a" {
			t.Errorf("another group receives %q", got)
		}
		if e := c.refused(receiving("hub1/ConsumerGroups/cg1/Partitions/0")); e.Condition != amqp.CondNotFound {
			t.Errorf("attaching again: %v", e)
		}
		r.must(r.hub("ns1").CreateGroup("cg1"))
		c.attach(receiving("hub1/ConsumerGroups/cg1/Partitions/0"))
	})
	t.Run("hub", func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c, other := r.root(), r.login("other", otherKey)
		l := c.attach(receiving(receiver0))
		s := c.attach(sending("hub1"))
		p := c.attach(sending("hub1/Partitions/1"))
		elsewhere := other.attach(receiving(receiver0))
		l.credit(0, 10)
		c.fence()
		r.must(r.hall.Namespace("ns1").DeleteHub("hub1"))
		const text = "Entity was updated. The event hub 'hub1' was deleted."
		wantRefusal(t, "receiver", c.wantDetach(l.theirs), "com.microsoft:entity-updated", text+trackers(system0))
		wantRefusal(t, "sender", c.wantDetach(s.theirs), "com.microsoft:entity-updated", text+trackers("ns1:eventhub:hub1"))
		wantRefusal(t, "partition sender", c.wantDetach(p.theirs), "com.microsoft:entity-updated", text+trackers("ns1:eventhub:hub1~32766"))
		c.wantQuiet()
		other.fill("a")
		elsewhere.credit(0, 1)
		if got := elsewhere.bodies(1); got != "a" {
			t.Errorf("the hub of the other namespace gives %q", got)
		}
		if e := c.refused(sending("hub1")); e.Condition != amqp.CondNotFound {
			t.Errorf("attaching again: %v", e)
		}
	})
	t.Run("namespace", func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.root()
		l := c.attach(receiving(receiver0))
		r.must(r.hall.DeleteNamespace("ns1"))
		if e := c.wantDetach(l.theirs); e.Condition != "com.microsoft:entity-updated" || !strings.Contains(e.Description,
			"namespace 'ns1' was deleted") {
			t.Errorf("detach: %v", e)
		}
		if e := c.refused(sending("hub1")); e.Condition != amqp.CondUnauthorizedAccess {
			t.Errorf("attaching again: %v", e)
		}
		m, _ := c.pair(nodeManagement).ask(read(typeHub, "hub1", ""))
		if code, _, _ := statusOf(m); code != 401 {
			t.Errorf("READ: %d, want 401", code)
		}
	})
	t.Run("hall closes", func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.root()
		l := c.attach(receiving(receiver0))
		r.must(r.hall.Close())
		if e := c.wantDetach(l.theirs); e.Condition != amqp.CondDetachForced {
			t.Errorf("detach: %v", e)
		}
		if e := c.refused(sending("hub1")); e.Condition != amqp.CondDetachForced {
			t.Errorf("attaching again: %v", e)
		}
	})
}

// TestCutBeforeAnswer: whether a link is cut before or after it is attached, it is ended once.
func TestCutBeforeAnswer(t *testing.T) {
	t.Parallel()
	why := &hub.Error{Kind: hub.Stolen}
	var got []*hub.Error
	end := func(e *hub.Error) { got = append(got, e) }
	var early, late, never cutter
	early.run(why)
	early.ready(end)
	if len(got) != 1 || got[0] != why {
		t.Errorf("cut and then attached: ended with %v", got)
	}
	late.ready(end)
	late.run(why)
	if len(got) != 2 || got[1] != why {
		t.Errorf("attached and then cut: ended with %v", got)
	}
	never.ready(end)
	if len(got) != 2 {
		t.Errorf("not cut at all: ended with %v", got)
	}
}
