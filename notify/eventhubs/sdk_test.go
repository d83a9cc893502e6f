package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

// TestArrives: every field of a message comes out as it went in, of the first event of a batch and of others, and nothing is made up.
func TestArrives(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		moment := time.UnixMilli(1700000000123)
		sent := []notify.Message{
			{ID: "id 1", Body: []byte("first"), ContentType: "application/json", Partition: "0", Properties: map[string]any{
				"s": "text", "b": true, "i": 1, "i8": int8(-8), "i16": int16(-16), "i32": int32(-32), "i64": int64(-64), "u": uint(1), "u8": uint8(8),
				"u16": uint16(16), "u32": uint32(32), "u64": uint64(64), "f32": float32(1.5), "f64": 2.5, "bytes": []byte{1, 2}, "t": moment}},
			{Body: []byte("bare"), Partition: "0"},
			{ID: strings.Repeat("long", 100), Partition: "0", Properties: map[string]any{"p": "q"}},
			{ID: "keyed", Body: []byte{0, 0xff}, Key: "a key"},
		}
		want(t, "results", reasonsOf(n.Send(t.Context(), hubName, sent...)), "stored, stored, stored, stored")
		got := b.stored(0)
		for i := range 3 { // the key lands elsewhere
			p, m := got[i], sent[i]
			if p.ID != m.ID || string(p.Body) != string(m.Body) || p.ContentType != m.ContentType || p.Key != "" {
				t.Errorf("event %d is %+v, want %+v", i, p, m)
			}
			if len(p.Properties) != len(m.Properties) {
				t.Errorf("event %d has the properties %v, want %v", i, p.Properties, m.Properties)
			}
		}
		properties := maps.Clone(sent[0].Properties)
		properties["i"], properties["u"] = int64(1), uint64(1)
		delete(properties, "t")
		delete(got[0].Properties, "t") // of a type of the broker's
		if !reflect.DeepEqual(got[0].Properties, properties) {
			t.Errorf("properties %v, want %v", got[0].Properties, properties)
		}
		if counts := b.counts(); counts["\x00\xff"] != 1 || len(counts) != 4 {
			t.Errorf("stored: %v", counts)
		}
		for i := range 4 {
			for _, p := range b.stored(i) {
				if p.ID == "keyed" && p.Key != "a key" {
					t.Errorf("the key is %q", p.Key)
				}
			}
		}
	})
}

// TestReadBySDK: what a consumer of the official SDK sees.
func TestReadBySDK(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		moment := time.UnixMilli(1700000000123).UTC()
		n.Send(t.Context(), "", notify.Message{ID: "x", Body: []byte("a"), ContentType: "text/plain", Partition: "0",
			Properties: map[string]any{"t": moment, "n": int64(7)}}, notify.Message{Body: []byte("b"), Partition: "0"})
		c, err := azeventhubs.NewConsumerClientFromConnectionString("Endpoint=sb://broker.local;SharedAccessKeyName=read;SharedAccessKey="+readKey+
			";UseDevelopmentEmulator=true;", hubName, "$Default", &azeventhubs.ConsumerClientOptions{NewWebSocketConn: b.dial})
		b.must(err)
		defer c.Close(t.Context())
		earliest := true
		p, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: &earliest}})
		b.must(err)
		defer p.Close(t.Context())
		events, err := p.ReceiveEvents(within(t, time.Minute), 2, nil)
		b.must(err)
		if e := events[0]; *e.MessageID != "x" || *e.ContentType != "text/plain" || e.CorrelationID != nil || string(e.Body) != "a" ||
			fmt.Sprint(e.Properties) != fmt.Sprint(map[string]any{"t": moment, "n": int64(7)}) {
			t.Errorf("first event: %+v", e)
		}
		if e := events[1]; e.MessageID != nil || e.ContentType != nil || e.Properties != nil || e.CorrelationID != nil || string(e.Body) != "b" {
			t.Errorf("second event: %+v", e)
		}
	})
}

// TestSizes: the largest event is taken, one byte more fails alone, alone in a batch and among others.
func TestSizes(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		fits := func(size int, properties map[string]any) string {
			r := n.Send(t.Context(), "", notify.Message{Body: make([]byte, size), Properties: properties, Key: "k"})
			return reasonsOf(r)
		}
		for _, properties := range []map[string]any{nil, {"large": strings.Repeat("x", 100_000)}} {
			low, high := 0, 1<<20 // the one fits, the other does not
			for high-low > 1 {
				if mid := (low + high) / 2; fits(mid, properties) == "stored" {
					low = mid
				} else {
					high = mid
				}
			}
			overhead := 1<<20 - low
			for _, value := range properties {
				overhead -= 2 * len(value.(string))
			}
			if overhead < 20 || overhead > 250 {
				t.Errorf("the largest body is %d bytes, %d below the limit", low, overhead)
			}
			for d, reason := range map[int]string{-1: "stored", 0: "stored", 1: "too large"} {
				want(t, fmt.Sprint("limit and ", d), fits(low+d, properties), reason)
			}
			among := keyed("k", "a", "", "b")
			among[1].Body, among[1].Properties = make([]byte, low+1), properties
			if properties == nil {
				want(t, "too large among others", reasonsOf(n.Send(t.Context(), "", among...)), "stored, too large, stored")
			}
		}
	})
}

// TestOutcomes: every way in which the broker may fail, and what is said of it is true.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	kind := func(action hub.Action, k hub.Kind) hub.Verdict {
		return hub.Verdict{Action: action, Err: &hub.Error{Kind: k, Text: "A fault."}}
	}
	just := func(action hub.Action) hub.Verdict { return hub.Verdict{Action: action} }
	condition := func(c string) hub.Verdict {
		return hub.Verdict{Action: hub.Refuse, Err: &hub.Error{Text: "A fault."}, Condition: c}
	}
	for _, row := range []struct {
		name   string
		op     hub.Op
		v      hub.Verdict
		times  int
		want   string
		stored int
	}{
		{"nothing", hub.Send, hub.Verdict{}, 0, "stored", 1},

		{"refused, busy", hub.Send, kind(hub.Refuse, hub.Busy), 1, "stored", 1},
		{"refused, busy for long", hub.Send, kind(hub.Refuse, hub.Busy), -1, "busy", 0},
		{"refused, full", hub.Send, kind(hub.Refuse, hub.Full), -1, "busy", 0},
		{"refused, disabled", hub.Send, kind(hub.Refuse, hub.Disabled), -1, "unavailable", 0},
		{"refused, disabled for a moment", hub.Send, kind(hub.Refuse, hub.Disabled), 2, "stored", 1},
		{"refused, invalid", hub.Send, kind(hub.Refuse, hub.Invalid), 1, "invalid", 0},
		{"refused, too large", hub.Send, kind(hub.Refuse, hub.TooLarge), 1, "too large", 0},
		{"refused, not found", hub.Send, kind(hub.Refuse, hub.NotFound), 1, "not found", 0},
		{"refused, out of range", hub.Send, kind(hub.Refuse, hub.OutOfRange), 1, "not found", 0},
		{"refused, internal", hub.Send, kind(hub.Refuse, hub.Internal), 1, "unknown", 0},
		{"refused, unauthorized", hub.Send, kind(hub.Refuse, hub.Unauthorized), 1, "denied", 0},
		{"refused, timeout", hub.Send, condition("com.microsoft:timeout"), 1, "unknown", 0},
		{"refused, cancelled", hub.Send, condition("com.microsoft:operation-cancelled"), 1, "unknown", 0},
		{"refused, new words", hub.Send, condition("com.microsoft:never-heard-of"), 1, "unknown", 0},

		{"link lost before it was stored", hub.Send, kind(hub.Detach, hub.Closed), 1, "unknown", 0},
		{"link lost, busy", hub.Send, kind(hub.Detach, hub.Busy), 1, "unknown", 0},
		{"link lost, too large", hub.Send, kind(hub.Detach, hub.TooLarge), 1, "unknown", 0},
		{"connection closed before it was stored", hub.Send, just(hub.CloseConn), 1, "unknown", 0},
		{"connection cut before it was stored", hub.Send, just(hub.Drop), 1, "unknown", 0},
		{"never answered", hub.Send, just(hub.Swallow), 1, "unknown", 0},
		{"link lost after it was stored", hub.Stored, kind(hub.Detach, hub.Closed), 1, "unknown", 1},
		{"link lost after it was stored, not found", hub.Stored, kind(hub.Detach, hub.NotFound), 1, "unknown", 1},
		{"link lost after it was stored, unauthorized", hub.Stored, kind(hub.Detach, hub.Unauthorized), 1, "unknown", 1},
		{"connection closed after it was stored", hub.Stored, just(hub.CloseConn), 1, "unknown", 1},
		{"connection cut after it was stored", hub.Stored, just(hub.Drop), 1, "unknown", 1},
		{"stored and never answered", hub.Stored, just(hub.Swallow), 1, "unknown", 1},

		{"attach refused, busy", hub.Attach, kind(hub.Refuse, hub.Busy), 1, "stored", 1},
		{"attach refused, busy for long", hub.Attach, kind(hub.Refuse, hub.Busy), -1, "busy", 0},
		{"attach refused, not found", hub.Attach, kind(hub.Refuse, hub.NotFound), 1, "not found", 0},
		{"attach refused, unauthorized", hub.Attach, kind(hub.Refuse, hub.Unauthorized), 1, "denied", 0},
		{"attach refused, internal", hub.Attach, kind(hub.Refuse, hub.Internal), 1, "stored", 1},
		{"attach refused, too many", hub.Attach, kind(hub.Refuse, hub.TooManyReaders), -1, "busy", 0},
		{"cut at attach", hub.Attach, just(hub.Drop), 1, "stored", 1},
		{"cut at attach, for long", hub.Attach, just(hub.Drop), -1, "unavailable", 0},
		{"attach never answered", hub.Attach, just(hub.Swallow), 1, "stored", 1},
		{"token refused", hub.Auth, kind(hub.Refuse, hub.Unauthorized), 1, "denied", 0},
		{"cut at the token", hub.Auth, just(hub.Drop), 1, "stored", 1},
		{"cut at connect", hub.Connect, just(hub.Drop), 2, "stored", 1},
		{"cut at connect, for long", hub.Connect, just(hub.Drop), -1, "unavailable", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
				rules := &fault{op: row.op, v: row.v, times: row.times}
				b.e.Hall.SetRules(rules)
				results := n.Send(t.Context(), "", keyed("k", "a")...)
				want(t, "result", reasonsOf(results), row.want)
				want(t, "stored", b.counts()["a"], row.stored)
				if row.times > 0 { // it is over
					want(t, "the next", reasonsOf(n.Send(t.Context(), "", keyed("k", "b")...)), "stored")
				}
				if err := results[0].Err; err != nil && errors.Unwrap(err) == nil {
					t.Errorf("%v has no cause", err)
				}
			})
		})
	}
}

// TestLostThenRefused: the batch is stored, its link is lost, and the link that the SDK opens for its second try is refused in words that
// would mean "not stored" if they were an answer to the batch.
func TestLostThenRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range []hub.Kind{hub.Busy, hub.NotFound, hub.Unauthorized, hub.Disabled, hub.TooLarge, hub.Invalid} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
				want(t, "before", reasonsOf(n.Send(t.Context(), "", keyed("k", "a")...)), "stored")
				b.e.Hall.SetRules(rulesFunc(func(q *hub.Subject) hub.Verdict {
					switch q.Op {
					case hub.Stored:
						return hub.Verdict{Action: hub.Detach, Err: &hub.Error{Kind: hub.Closed, Text: "The link is force detached."}}
					case hub.Attach:
						return hub.Verdict{Action: hub.Refuse, Err: &hub.Error{Kind: kind, Text: "A fault."}}
					}
					return hub.Verdict{}
				}))
				want(t, "lost", reasonsOf(n.Send(t.Context(), "", keyed("k", "b")...)), "unknown")
				b.e.Hall.SetRules(nil)
				want(t, "after", reasonsOf(n.Send(t.Context(), "", keyed("k", "c")...)), "stored")
				want(t, "stored", b.counts(), map[string]int{"a": 1, "b": 1, "c": 1})
			})
		})
	}
}

type rulesFunc func(*hub.Subject) hub.Verdict

func (f rulesFunc) Ask(q *hub.Subject) hub.Verdict { return f(q) }

// TestLostIsNotResentByTheSDK: a detach costs one answer and nothing else: no second copy, and not the connection others use.
func TestLostIsNotResentByTheSDK(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		want(t, "before", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		rules := &fault{op: hub.Stored, times: 1, v: hub.Verdict{Action: hub.Detach, Err: &hub.Error{Kind: hub.Closed, Text: "Gone."}}}
		b.e.Hall.SetRules(rules)
		results := n.Send(t.Context(), "", plain("b")...)
		want(t, "lost", reasonsOf(results), "unknown")
		if !errors.As(results[0].Err, new(errSentBefore)) {
			t.Errorf("%v: the SDK did not try again: is handover still needed?", results[0].Err)
		}
		want(t, "after", reasonsOf(n.Send(t.Context(), "", plain("c")...)), "stored")
		want(t, "stored", b.counts(), map[string]int{"a": 1, "b": 1, "c": 1})
		want(t, "connections", b.e.Connections().Accepted, 1)
		want(t, "lost, by Stats", n.Stats().Lost, 1)
	})
}

// TestIdleLinkLost: a link that was detached between two sends costs nothing.
func TestIdleLinkLost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		cut  func(b *broker)
	}{
		{"connection", func(b *broker) { b.cut() }},
		{"links", func(b *broker) {
			namespace := b.e.Hall.Namespace("ns")
			b.must(namespace.DeleteHub(hubName))
			_, err := namespace.CreateHub(hub.Spec{Name: hubName, Partitions: 4})
			b.must(err)
		}},
	} {
		withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
			want(t, "before", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
			row.cut(b)
			synctest.Wait()
			want(t, row.name+" lost while idle", reasonsOf(n.Send(t.Context(), "", plain("b")...)), "stored")
			want(t, "stored", b.counts()["b"], 1)
		})
	}
}

// TestResend: asked for, a lost batch is sent again, and is then there twice.
func TestResend(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{Resend: true}, func(t *testing.T, b *broker, n *Notifier) {
		b.e.Hall.SetRules(&fault{op: hub.Stored, times: 1, v: hub.Verdict{Action: hub.Drop}})
		want(t, "result", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		want(t, "stored", b.counts()["a"], 2)
	})
}

// TestWrongPlaces: hubs, partitions and rights that are not there.
func TestWrongPlaces(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		results := n.Send(t.Context(), "", notify.Message{Partition: "4"}, notify.Message{Partition: "3"}, notify.Message{Partition: "x"})
		want(t, "partitions", reasonsOf(results), "not found, stored, invalid")
		for _, row := range []struct {
			policy, key, hub string
			want             notify.Reason
		}{
			{"send", sendKey, "nohub", notify.NotFound},
			{"read", readKey, hubName, notify.Denied},
			{"send", "guess", hubName, notify.Denied},
			{"nobody", "guess", hubName, notify.Denied},
		} {
			other := New(b.client(row.policy, row.key, row.hub))
			want(t, row.policy+" to "+row.hub, reasonsOf(other.Send(t.Context(), "", plain("a")...)), row.want)
			want(t, row.policy+" to "+row.hub+", ready", notify.ReasonOf(other.Ready(t.Context())), row.want)
			b.must(other.Close(t.Context()))
		}
	})
}

// TestReady: it opens the link that the first send takes, and knows a connection that is gone.
func TestReady(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{Hub: "ORDERS"}, func(t *testing.T, b *broker, n *Notifier) {
		rules := &fault{}
		b.e.Hall.SetRules(rules)
		b.must(n.Ready(t.Context()))
		attached := rules.count(hub.Attach)
		want(t, "result", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		if attached == 0 || rules.count(hub.Attach) != attached {
			t.Errorf("Ready attached %d links, the first send %d more", attached, rules.count(hub.Attach)-attached)
		}
		b.e.Hall.SetRules(&fault{op: hub.Connect, v: hub.Verdict{Action: hub.Drop}, times: -1})
		b.cut()
		synctest.Wait()
		want(t, "ready, cut off", notify.ReasonOf(n.Ready(t.Context())), notify.Unavailable)
		b.e.Hall.SetRules(nil)
		b.must(n.Ready(t.Context()))
	})
	withBroker(t, Options{Hub: "bills"}, func(t *testing.T, b *broker, n *Notifier) {
		if err := n.Ready(t.Context()); notify.ReasonOf(err) != notify.NotFound || !strings.Contains(err.Error(), `"orders"`) {
			t.Errorf("ready: %v, want the hub's real name", err)
		}
	})
}

// TestWriters: 100 writers, faults of all kinds, callers that leave, and a Close. What was acknowledged is in the log, nothing is there
// twice, what was called not stored is not, and keys keep their order.
func TestWriters(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		every int           // as many operations of the broker, one goes wrong; 0: none
		leave time.Duration // patience of callers
		close time.Duration // when
		want  []string      // outcomes that must occur, and the only ones if there are no faults
	}{
		{"in peace", 0, time.Hour, time.Hour, []string{"stored"}},
		{"callers leave", 0, 25 * time.Millisecond, time.Hour, []string{"stored", "expired", "unknown"}},
		{"faults", 25, time.Hour, time.Hour, []string{"stored", "unknown"}},
		{"faults, and callers leave", 25, 50 * time.Millisecond, time.Hour, []string{"stored", "unknown"}},
		{"close while they write", 0, time.Hour, 50 * time.Millisecond, []string{"stored", "closed"}},
		{"close while they write, with faults", 25, time.Hour, 50 * time.Millisecond, []string{"stored", "closed"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			withBroker(t, Options{SendTimeout: 2 * time.Second}, func(t *testing.T, b *broker, n *Notifier) {
				b.e.Hall.SetRules(chaos(row.every))
				closer := time.AfterFunc(row.close, func() { n.Close(context.Background()) })
				results := write(t, n, row.leave)
				closer.Stop()
				b.must(n.Close(t.Context()))
				tally := b.wantTruth(results)
				for _, outcome := range row.want {
					if tally[outcome] == 0 {
						t.Errorf("outcomes: %v, want some %s", tally, outcome)
					}
				}
				if row.every == 0 && len(tally) != len(row.want) {
					t.Errorf("outcomes: %v, want only %v", tally, row.want)
				}
			})
		})
	}
}

// chaos is rules that let one of so many operations go wrong, in all ways in turn, and delay what goes well.
func chaos(every int) hub.Rules {
	faults := []hub.Verdict{
		{Action: hub.Detach, Err: &hub.Error{Kind: hub.Closed, Text: "A fault."}}, {Action: hub.Drop}, {Action: hub.Swallow}, {Action: hub.CloseConn},
		{Action: hub.Refuse, Err: &hub.Error{Kind: hub.Disabled, Text: "A fault."}}, // not of what is stored
	}
	var mu sync.Mutex // guards the rest
	dice := rand.New(rand.NewPCG(3, 4))
	asked, wrong := 0, 0
	return rulesFunc(func(q *hub.Subject) hub.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if q.Op != hub.Send && q.Op != hub.Stored {
			return hub.Verdict{}
		}
		if asked++; every > 0 && asked%every == 0 {
			wrong++
			if v := faults[wrong%len(faults)]; q.Op == hub.Send || v.Action != hub.Refuse {
				return v
			}
		}
		if q.Op == hub.Stored {
			return hub.Verdict{}
		}
		return hub.Verdict{Delay: time.Duration(dice.IntN(30)) * time.Millisecond}
	})
}

// write has 100 writers send 10 times two messages each, a quarter of them without key, and gives the outcome of each body. Bodies of one
// writer are in their order as texts.
func write(t *testing.T, n *Notifier, patience time.Duration) map[string]string {
	var mu sync.Mutex // guards results
	results := map[string]string{}
	var all sync.WaitGroup
	for w := range 100 {
		key := fmt.Sprint("key", w%10)
		if w%4 == 0 {
			key = ""
		}
		all.Go(func() {
			for i := range 10 {
				bodies := []string{fmt.Sprintf("%s/%d/%03d", key, w, 2*i), fmt.Sprintf("%s/%d/%03d", key, w, 2*i+1)}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				got := n.Send(ctx, "", keyed(key, bodies...)...)
				cancel()
				mu.Lock()
				for j := range got {
					results[bodies[j]] = reasonsOf(got[j : j+1])
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return results
}

// wantTruth compares what writers were told with what is stored, and counts the outcomes.
func (b *broker) wantTruth(results map[string]string) map[string]int {
	b.t.Helper()
	counts, tally := b.counts(), map[string]int{}
	for body, outcome := range results {
		tally[outcome]++
		count := counts[body]
		if outcome == "stored" && count != 1 || outcome == "unknown" && count > 1 || outcome != "stored" && outcome != "unknown" && count > 0 {
			b.t.Errorf("%s: %s, and it is there %d times", body, outcome, count)
		}
	}
	last := map[string]string{}
	for i := range b.hub().PartitionCount() {
		for _, p := range b.stored(i) {
			body := string(p.Body)
			writer := body[:strings.LastIndex(body, "/")]
			if p.Key == "" || results[body] == "unknown" { // what was lost may come late, from the old connection
				continue
			}
			if body <= last[writer] {
				b.t.Errorf("%s is stored after %s", body, last[writer])
			}
			last[writer] = body
		}
	}
	return tally
}

// TestCopies: what the SDK reads when it sends is not the caller's any more.
func TestCopies(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		opened, err := n.sender.open(t.Context(), target{partition: "1"})
		b.must(err)
		m := notify.Message{Body: []byte("body"), ContentType: "a/b", Properties: map[string]any{"p": []byte("q")}}
		b.must(opened.add(&m))
		m.Body[0], m.Properties["p"].([]byte)[0], m.ContentType = 'X', 'X', "X"
		m.Properties["new"] = struct{}{} // cannot be encoded
		b.must(opened.send(t.Context()))
		p := b.stored(1)[0]
		if string(p.Body) != "body" || p.ContentType != "a/b" || !reflect.DeepEqual(p.Properties, map[string]any{"p": []byte("q")}) {
			t.Errorf("stored: %+v", p)
		}
	})
}

// Errors as the SDK's internals make them, and azidentity.
type (
	linkError struct {
		LinkName string
		Err      error
	}
	rpcError        struct{ error }
	credentialError struct{ error }
)

func (linkError) Error() string       { return "as amqpwrap.Error" }
func (rpcError) RPCCode() int         { return 404 }
func (credentialError) NonRetriable() {}

// TestOutcomeOfErrors: what is not understood is unknown once a batch was handed over, and not stored before.
func TestOutcomeOfErrors(t *testing.T) {
	t.Parallel()
	busy := &amqp.Error{Condition: "com.microsoft:server-busy"}
	for _, row := range []struct {
		name         string
		err          error
		sent, unsent notify.Reason
	}{
		{"rejected", linkError{"link", busy}, notify.Busy, notify.Unavailable},
		{"no link", linkError{"", busy}, notify.Unknown, notify.Unavailable},
		{"link ended", linkError{"link", &amqp.LinkError{RemoteErr: busy}}, notify.Unknown, notify.Unavailable},
		{"no answer", linkError{"link", (*amqp.Error)(nil)}, notify.Unknown, notify.Unavailable},
		{"not wrapped", busy, notify.Unknown, notify.Busy},
		{"wrapped in something else", fmt.Errorf("while sending: %w", busy), notify.Unknown, notify.Busy},
		{"lost", &azeventhubs.Error{Code: azeventhubs.ErrorCodeConnectionLost}, notify.Unknown, notify.Unavailable},
		{"unauthorized", &azeventhubs.Error{Code: azeventhubs.ErrorCodeUnauthorizedAccess}, notify.Unknown, notify.Denied},
		{"no such entity", rpcError{errors.New("404")}, notify.Unknown, notify.NotFound},
		{"no credential", credentialError{errors.New("no credential")}, notify.Unknown, notify.Denied},
		{"deadline", context.DeadlineExceeded, notify.Unknown, notify.Unavailable},
		{"anything", errors.New("anything"), notify.Unknown, notify.Unavailable},
	} {
		want(t, row.name+", handed over", outcome(row.err, true).Reason, row.sent)
		want(t, row.name+", not handed over", outcome(row.err, false).Reason, row.unsent)
	}
}

// TestBusyBroker: 100 callers while the broker is busy, and after.
func TestBusyBroker(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		want(t, "before", reasonsOf(n.Send(t.Context(), "", plain("warm")...)), "stored")
		const storm, every = 3 * time.Second, 10 * time.Millisecond
		start := time.Now()
		b.e.Hall.SetRules(rulesFunc(func(q *hub.Subject) hub.Verdict {
			if q.Op == hub.Send && time.Since(start) < storm {
				return hub.Verdict{Action: hub.Refuse, Err: &hub.Error{Kind: hub.Busy, Text: "Slow down."}}
			}
			return hub.Verdict{}
		}))
		var all []*later
		for i := range int((storm + 2*time.Second) / every) {
			all = append(all, n.later(t.Context(), time.Duration(i)*every, keyed(fmt.Sprint(i%100), fmt.Sprint(i))...))
		}
		recovered := storm + 2*time.Second
		for i, l := range all {
			at := time.Duration(i) * every
			switch l.reasons() {
			case "stored":
				recovered = min(recovered, at+l.took)
			case "busy":
				if l.took > 5*time.Millisecond && at > every && l.took < 900*time.Millisecond {
					t.Errorf("at %v: busy after %v", at, l.took)
				}
			default:
				t.Errorf("at %v: %s", at, l.reasons())
			}
		}
		if recovered >= storm+2*time.Second {
			t.Errorf("recovered at %v, want less than 2s after %v", recovered, storm)
		}
		for body, count := range b.counts() {
			if count != 1 {
				t.Errorf("%s is there %d times", body, count)
			}
		}
	})
}
