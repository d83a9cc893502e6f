package eventhubs

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/hub"
)

// ear hears what doors report.
type ear struct {
	mu   sync.Mutex
	list []hub.Report
}

func (r *rig) listen() *ear {
	e := &ear{}
	r.hall.SetReports(func(report *hub.Report) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.list = append(e.list, *report)
	})
	return e
}

// heard are the reports in short: what was refused where, how in the hall's words and how in the protocol's.
func (e *ear) heard() (list []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.list {
		at := r.Namespace + "/" + r.Hub
		if r.Partition >= 0 {
			at += fmt.Sprint("/", r.Partition)
		}
		if r.Group != "" {
			at += " " + r.Group
		}
		list = append(list, fmt.Sprintf("%s %s: %s, %s", r.Op, at, r.Err.Kind, r.Condition))
	}
	return list
}

// TestReports: whatever a client is refused, the hall hears of it once, with the names the client used.
func TestReports(t *testing.T) {
	t.Parallel()
	wrong := func(a amqp.Attach) func(*rig, *client) {
		return func(_ *rig, c *client) { a.Name = "link"; c.refused(a) }
	}
	put := func(audience, resource, policy, key string) func(*rig, *client) {
		return func(r *rig, c *client) { c.pair(nodeCBS).ask(putToken(audience, r.token(resource, policy, key))) }
	}
	ask := func(kind, name, partition string) func(*rig, *client) {
		return func(_ *rig, c *client) { c.pair(nodeManagement).ask(read(kind, name, partition)) }
	}
	send := func(format uint32, payload []byte) func(*rig, *client) {
		return func(_ *rig, c *client) {
			s := c.attach(sending("hub1/Partitions/1"))
			s.outcome(s.transferInPieces(payload, 60_000))
		}
	}
	blank := sending("")
	for _, row := range []struct {
		name string
		play func(*rig, *client)
		want string
		hint string // part of it
	}{
		{"sender to an unknown hub", wrong(sending("HUB11")), "attach ns1/hub11: not found, amqp:not-found", "did you mean 'hub1'?"},
		{"reader of an unknown hub", wrong(receiving("hub11/ConsumerGroups/cg1/Partitions/7")),
			"attach ns1/hub11/7 cg1: not found, amqp:not-found", "did you mean 'hub1'?"},
		{"reader of an unknown group", wrong(receiving("hub1/ConsumerGroups/cg2/Partitions/0")),
			"attach ns1/hub1/0 cg2: not found, amqp:not-found", "cg1"},
		{"unknown partition", wrong(sending("hub1/Partitions/2")), "attach ns1/hub1/2: out of range, com.microsoft:argument-out-of-range", ""},
		{"no partition", wrong(sending("hub1/Partitions/x")), "attach ns1/hub1: out of range, com.microsoft:argument-out-of-range", ""},
		{"no group", wrong(receiving("hub1")), "attach ns1/hub1: invalid, com.microsoft:argument-error", ""},
		{"no address", wrong(blank), "attach ns1/: invalid, amqp:invalid-field", ""},
		{"wrong selector", wrong(filtered(receiving(receiver0), "x")), "attach ns1/hub1/0 $default: invalid, com.microsoft:argument-error", ""},
		{"no right", func(r *rig, _ *client) { r.login("listen", listenKey).refused(sending("hub1")) },
			"attach ns1/hub1: unauthorized, amqp:unauthorized-access", ""},
		{"no token", func(r *rig, _ *client) { r.dial().refused(sending("hub1")) }, "attach /hub1: unauthorized, amqp:unauthorized-access", ""},
		{"low epoch", func(r *rig, c *client) {
			c.attach(epoch(receiving(receiver0), int64(2)))
			c.refused(epoch(receiving(receiver0), int64(1)))
		}, "attach ns1/hub1/0 $default: epoch too low, amqp:link:stolen", ""},

		{"token for an unknown hub", put("sb://localhost/hub11", "sb://localhost/hub11", "root", rootKey),
			"auth ns1/hub11: not found, amqp:not-found", "did you mean 'hub1'?"},
		{"token of another namespace", put(hubURL, signedHub1, "other", otherKey), "auth ns2/hub1: not found, amqp:not-found", ""},
		{"token with a wrong key", put(hubURL, signedHub1, "root", "guess"), "auth ns1/hub1: unauthorized, com.microsoft:auth-failed", "wrong key"},
		{"no token in the body", func(_ *rig, c *client) { c.pair(nodeCBS).ask(putToken(hubURL, int32(7))) }, "auth ns1/hub1: invalid, amqp:invalid-field", ""},
		{"no message to $cbs", func(_ *rig, c *client) {
			p := c.pair(nodeCBS)
			p.send.outcome(p.send.transfer(amqp.FormatMessage, false, []byte("hello")))
		}, "auth ns1/: invalid, amqp:decode-error", ""},

		{"properties of an unknown hub", ask(typeHub, "hub11", ""), "manage ns1/hub11: not found, amqp:not-found", "did you mean 'hub1'?"},
		{"properties of an unknown partition", ask(typePartition, "hub1", "9"), "manage ns1/hub1: out of range, com.microsoft:argument-out-of-range", ""},
		{"properties of what has none", ask("x", "hub1", ""), "manage ns1/hub1: invalid, amqp:not-implemented", ""},
		{"properties without a right", func(r *rig, _ *client) { r.dial().pair(nodeManagement).ask(read(typeHub, "hub1", "")) },
			"manage /hub1: unauthorized, amqp:unauthorized-access", ""},
		{"no message to $management", func(_ *rig, c *client) {
			p := c.pair(nodeManagement)
			p.send.outcome(p.send.transfer(amqp.FormatMessage, false, []byte("hello")))
		}, "manage ns1/: invalid, amqp:decode-error", ""},

		{"no event", send(amqp.FormatMessage, []byte("hello")), "send ns1/hub1/1: invalid, amqp:decode-error", ""},
		{"event beyond the limit", send(amqp.FormatMessage, plain(strings.Repeat("x", 2<<20))),
			"send ns1/hub1/1: too large, amqp:link:message-size-exceeded", ""},
		{"event beyond the memory", send(amqp.FormatMessage, plain(strings.Repeat("x", 200_000))), "send ns1/hub1/1: busy, com.microsoft:server-busy", ""},
		{"event that wants no answer", func(_ *rig, c *client) {
			c.attach(sending("hub1")).transfer(amqp.FormatMessage, true, []byte("hello"))
			c.fence()
		}, "send ns1/hub1: invalid, amqp:decode-error", ""},
		{"hub deleted under a sender", func(r *rig, c *client) {
			s := c.attach(sending("hub1"))
			r.must(r.hall.Namespace("ns1").DeleteHub("hub1"))
			c.wantDetach(s.theirs)
		}, "send ns1/hub1: updated, com.microsoft:entity-updated", ""},
		{"reader stolen", func(r *rig, c *client) {
			l := c.attach(receiving(receiver0))
			r.root().attach(epoch(receiving(receiver0), int64(1)))
			c.wantDetach(l.theirs)
		}, "deliver ns1/hub1/0 $default: stolen, amqp:link:stolen", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{memoryBytes: 64 << 10})
			c := r.root()
			e := r.listen()
			row.play(r, c)
			if got := e.heard(); !slices.Equal(got, []string{row.want}) {
				t.Fatalf("heard %q, want %q", got, row.want)
			}
			got := e.list[0]
			if got.Client != "client-1" || got.Agent != testAgent || !strings.Contains(got.Err.Hint, row.hint) ||
				got.Err.Text == "" || strings.Contains(got.Err.Text, "TrackingId") {
				t.Errorf("of %q in %q: %q (hint %q, want %q)", got.Client, got.Agent, got.Err.Text, got.Err.Hint, row.hint)
			}
		})
	}
}

// TestReportsOfRules: what rules refuse is reported as well; what they let pass, drop or swallow is not.
func TestReportsOfRules(t *testing.T) {
	t.Parallel()
	for name, s := range scenes() {
		for action, condition := range map[hub.Action]string{
			hub.Pass: "", hub.Refuse: "x:y", hub.Detach: "x:y", hub.CloseConn: "x:y", hub.Expire: denied, hub.Drop: "", hub.Swallow: "",
		} {
			t.Run(fmt.Sprint(name, "/", action), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{})
					r.rules = &script{op: s.op, v: hub.Verdict{Action: action, Condition: "x:y", Delay: time.Second}, times: -1}
					e := r.listen()
					c := s.play(r)
					time.Sleep(time.Minute)
					c.seen()
					var got []string
					for _, report := range e.list {
						got = append(got, report.Condition)
					}
					if want := map[bool][]string{true: {condition}}[condition != ""]; !slices.Equal(got, want) {
						t.Errorf("heard %q, want %q", e.heard(), want)
					}
					for _, report := range e.list {
						if report.Op != s.op && s.op != hub.Stored || report.Namespace != "ns1" || report.Client != "client-1" {
							t.Errorf("heard of %+v", report.Subject)
						}
					}
				})
			})
		}
	}
}

// TestReportsOfExpiry: a link that ends with its token is reported for what it was there for.
func TestReportsOfExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		c := r.dial()
		end := time.Now().Add(time.Minute)
		c.pair(nodeCBS).mustPut(hubURL, r.tokenUntil(signedHub1, "root", rootKey, end))
		c.attach(sending("hub1"))
		c.attach(receiving(receiver0))
		e := r.listen()
		c.sleep(time.Minute)
		got := e.heard()
		slices.Sort(got)
		want := []string{"deliver ns1/hub1/0 $default: unauthorized, amqp:unauthorized-access", "send ns1/hub1: unauthorized, amqp:unauthorized-access"}
		if !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}

// TestReportsOff: nobody listens.
func TestReportsOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	e := r.listen()
	r.hall.SetReports(nil)
	r.root().refused(sending("hub11"))
	if got := e.heard(); len(got) != 0 {
		t.Errorf("heard %q", got)
	}
}
