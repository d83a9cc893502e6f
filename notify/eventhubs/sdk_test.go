package eventhubs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
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
		got := b.stored()
		slices.SortStableFunc(got, func(x, y evhubtest.Event) int { return cmp.Compare(x.PartitionKey, y.PartitionKey) }) // the keyed one is last
		if len(got) != len(sent) {
			t.Fatalf("%d events are stored, want %d", len(got), len(sent))
		}
		for i, m := range sent {
			e := got[i]
			if e.ID != m.ID || string(e.Body) != string(m.Body) || e.ContentType != m.ContentType || e.PartitionKey != m.Key {
				t.Errorf("event %d is %+v, want %+v", i, e, m)
			}
			if m.Partition != "" && e.Partition != m.Partition {
				t.Errorf("event %d is in partition %s, want %s", i, e.Partition, m.Partition)
			}
			if len(e.Properties) != len(m.Properties) {
				t.Errorf("event %d has the properties %v, want %v", i, e.Properties, m.Properties)
			}
		}
		b.rec.Want(t, 1, evhubtest.Prop("t", moment))
		properties := maps.Clone(sent[0].Properties)
		properties["i"], properties["u"] = int64(1), uint64(1)
		delete(properties, "t")
		delete(got[0].Properties, "t") // of a type of the broker's
		if !reflect.DeepEqual(got[0].Properties, properties) {
			t.Errorf("properties %v, want %v", got[0].Properties, properties)
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
		c := azclient.Consumer(t, b.Broker, hubName, "$Default")
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

// TestOutcomes: every way in which the broker may fail, and what is said of it is true. Where an answer is lost nobody but the broker knows
// whether it had stored the batch before.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const connect, attach, send = evhubtest.Connect, evhubtest.Attach, evhubtest.Send
	refuse := func(condition string) evhubtest.Do { return evhubtest.Reject(condition, "A fault.") }
	detach := func(condition string) evhubtest.Do { return evhubtest.Detach(condition, "A fault.") }
	for _, row := range []struct {
		name   string
		op     evhubtest.Op
		do     evhubtest.Do
		times  int
		want   string
		stored int
	}{
		{"refused, busy", send, evhubtest.Throttle(), 1, "stored", 1},
		{"refused, busy for long", send, evhubtest.Throttle(), -1, "busy", 0},
		{"refused, full", send, refuse("amqp:resource-limit-exceeded"), -1, "busy", 0},
		{"refused, disabled", send, refuse("com.microsoft:entity-disabled"), -1, "unavailable", 0},
		{"refused, disabled for a moment", send, refuse("com.microsoft:entity-disabled"), 2, "stored", 1},
		{"refused, invalid", send, refuse("com.microsoft:argument-error"), 1, "invalid", 0},
		{"refused, too large", send, refuse("amqp:link:message-size-exceeded"), 1, "too large", 0},
		{"refused, not found", send, refuse("amqp:not-found"), 1, "not found", 0},
		{"refused, out of range", send, refuse("com.microsoft:argument-out-of-range"), 1, "not found", 0},
		{"refused, internal", send, refuse("amqp:internal-error"), 1, "unknown", 0},
		{"refused, unauthorized", send, refuse("amqp:unauthorized-access"), 1, "denied", 0},
		{"refused, timeout", send, refuse("com.microsoft:timeout"), 1, "unknown", 0},
		{"refused, cancelled", send, refuse("com.microsoft:operation-cancelled"), 1, "unknown", 0},
		{"refused, new words", send, refuse("com.microsoft:never-heard-of"), 1, "unknown", 0},

		{"link lost", send, detach("amqp:link:detach-forced"), 1, "unknown", 0},
		{"link lost, busy", send, detach("com.microsoft:server-busy"), 1, "unknown", 0},
		{"link lost, too large", send, detach("amqp:link:message-size-exceeded"), 1, "unknown", 0},
		{"link lost, not found", send, detach("amqp:not-found"), 1, "unknown", 0},
		{"link lost, unauthorized", send, detach("amqp:unauthorized-access"), 1, "unknown", 0},
		{"token expired", send, evhubtest.ExpireToken(), 1, "unknown", 0},
		{"connection closed", send, evhubtest.CloseConn(""), 1, "unknown", 0},
		{"connection cut", send, evhubtest.Drop(), 1, "unknown", 0},
		{"never answered", send, evhubtest.Blackhole(), 1, "unknown", 0},
		{"connection cut after it was stored", send, evhubtest.AckLost(), 1, "unknown", 1},
		{"stored late, after its answer was given up", send, evhubtest.Delay(5*time.Minute, 0), 1, "unknown", 1},

		{"attach refused, busy", attach, evhubtest.Throttle(), 1, "stored", 1},
		{"attach refused, busy for long", attach, evhubtest.Throttle(), -1, "busy", 0},
		{"attach refused, not found", attach, refuse("amqp:not-found"), 1, "not found", 0},
		{"attach refused, unauthorized", attach, refuse("amqp:unauthorized-access"), 1, "denied", 0},
		{"attach refused, internal", attach, refuse("amqp:internal-error"), 1, "stored", 1},
		{"attach refused, too many", attach, refuse("amqp:resource-limit-exceeded"), -1, "busy", 0},
		{"cut at attach", attach, evhubtest.Drop(), 1, "stored", 1},
		{"cut at attach, for long", attach, evhubtest.Drop(), -1, "unavailable", 0},
		{"attach never answered", attach, evhubtest.Blackhole(), 1, "stored", 1},
		{"token refused", evhubtest.Auth, refuse("amqp:unauthorized-access"), 1, "denied", 0},
		{"cut at the token", evhubtest.Auth, evhubtest.Drop(), 1, "stored", 1},
		{"cut at connect", connect, evhubtest.Drop(), 2, "stored", 1},
		{"cut at connect, for long", connect, evhubtest.Drop(), -1, "unavailable", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
				b.Fault(t, evhubtest.On{Op: row.op, Times: row.times}, row.do)
				results := n.Send(t.Context(), "", keyed("k", "a")...)
				want(t, "result", reasonsOf(results), row.want)
				b.rec.WantExactly(t, row.stored, evhubtest.Body("a"))
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

// TestLostThenRefused: a batch's link is lost, and the link that the SDK opens for its second try is refused in words that would mean "not
// stored" if they were an answer to the batch.
func TestLostThenRefused(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{
		"com.microsoft:server-busy", "amqp:not-found", "amqp:unauthorized-access", "com.microsoft:entity-disabled",
		"amqp:link:message-size-exceeded", "com.microsoft:argument-error",
	} {
		t.Run(condition, func(t *testing.T) {
			t.Parallel()
			withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
				want(t, "before", reasonsOf(n.Send(t.Context(), "", keyed("k", "a")...)), "stored")
				b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Detach("amqp:link:detach-forced", "The link is force detached."))
				b.Fault(t, evhubtest.On{Op: evhubtest.Attach}, evhubtest.Reject(condition, "A fault."))
				want(t, "lost", reasonsOf(n.Send(t.Context(), "", keyed("k", "b")...)), "unknown")
				want(t, "after", reasonsOf(n.Send(t.Context(), "", keyed("k", "c")...)), "stored")
				want(t, "stored", b.counts(), map[string]int{"a": 1, "c": 1})
			})
		})
	}
}

// TestLostIsNotResentByTheSDK: a detach costs one answer and nothing else: no second copy, and not the connection others use.
func TestLostIsNotResentByTheSDK(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		want(t, "before", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.Detach("amqp:link:detach-forced", "Gone."))
		results := n.Send(t.Context(), "", plain("b")...)
		want(t, "lost", reasonsOf(results), "unknown")
		if !errors.As(results[0].Err, new(errSentBefore)) {
			t.Errorf("%v: the SDK did not try again: is handover still needed?", results[0].Err)
		}
		want(t, "after", reasonsOf(n.Send(t.Context(), "", plain("c")...)), "stored")
		want(t, "stored", b.counts(), map[string]int{"a": 1, "c": 1}) // a second try would have stored b
		want(t, "connections", b.dialed(), 1)
		want(t, "lost, by Stats", n.Stats().Lost, 1)
	})
}

// TestIdleConnectionLost: a connection that was cut between two sends costs nothing.
func TestIdleConnectionLost(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		want(t, "before", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		b.cut()
		synctest.Wait()
		want(t, "after", reasonsOf(n.Send(t.Context(), "", plain("b")...)), "stored")
		b.rec.WantExactly(t, 1, evhubtest.Body("b"))
	})
}

// TestIdleLinksLost: links that were detached between two sends cost nothing. A fault of the kit meets whoever does something; here the hub
// goes from under links that do nothing.
func TestIdleLinksLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(3 * time.Hour) }) // the SDK's last timers
		e, err := engine.New(engine.Options{Policies: auth.DevelopmentPolicies("ns")})
		must(t, err)
		t.Cleanup(func() { e.Close() })
		namespace, err := e.Hall.CreateNamespace("ns")
		must(t, err)
		hubOf := hub.Spec{Name: hubName, Partitions: 1}
		_, err = namespace.CreateHub(hubOf)
		must(t, err)
		cs := auth.ConnectionString{Host: "broker.invalid", KeyName: auth.RootKeyName, Key: auth.RootKey, EntityPath: hubName, Emulator: true}
		client, err := azeventhubs.NewProducerClientFromConnectionString(cs.Encode(), "", &azeventhubs.ProducerClientOptions{
			NewWebSocketConn: func(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error) {
				client, server := engine.Pipe()
				e.ServeConn(server)
				return client, nil
			},
			RetryOptions: azeventhubs.RetryOptions{MaxRetries: -1},
		})
		must(t, err)
		defer client.Close(t.Context())
		n := New(client)
		want(t, "before", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		must(t, namespace.DeleteHub(hubName))
		again, err := namespace.CreateHub(hubOf)
		must(t, err)
		synctest.Wait()
		want(t, "after", reasonsOf(n.Send(t.Context(), "", plain("b")...)), "stored")
		want(t, "stored", again.PartitionAt(0).State().Next.Seq, 1)
		must(t, n.Close(t.Context()))
	})
}

// TestResend: asked for, a lost batch is sent again, and is then there twice.
func TestResend(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{Resend: true}, func(t *testing.T, b *broker, n *Notifier) {
		b.Fault(t, evhubtest.On{Op: evhubtest.Send}, evhubtest.AckLost())
		want(t, "result", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		b.rec.WantExactly(t, 2, evhubtest.Body("a"))
	})
}

// TestWrongPlaces: hubs, partitions and keys that are not there.
func TestWrongPlaces(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{}, func(t *testing.T, b *broker, n *Notifier) {
		results := n.Send(t.Context(), "", notify.Message{Partition: "4"}, notify.Message{Partition: "3"}, notify.Message{Partition: "x"})
		want(t, "partitions", reasonsOf(results), "not found, stored, invalid")
		good := b.DialString("")
		for _, row := range []struct {
			name, connectionString, hub string
			want                        notify.Reason
		}{
			{"no such hub", good, "nohub", notify.NotFound},
			{"wrong key", strings.Replace(good, "SharedAccessKey=", "SharedAccessKey=x", 1), hubName, notify.Denied},
			{"unknown policy", strings.Replace(good, "SharedAccessKeyName=", "SharedAccessKeyName=x", 1), hubName, notify.Denied},
		} {
			other := New(b.client(row.connectionString, row.hub))
			want(t, row.name, reasonsOf(other.Send(t.Context(), "", plain("a")...)), row.want)
			want(t, row.name+", ready", notify.ReasonOf(other.Ready(t.Context())), row.want)
			b.must(other.Close(t.Context()))
		}
	})
}

// TestReady: it opens the link that the first send takes, and knows a connection that is gone.
func TestReady(t *testing.T) {
	t.Parallel()
	withBroker(t, Options{Hub: "ORDERS"}, func(t *testing.T, b *broker, n *Notifier) {
		b.must(n.Ready(t.Context()))
		attached := b.attached()
		want(t, "result", reasonsOf(n.Send(t.Context(), "", plain("a")...)), "stored")
		if attached == 0 || b.attached() != attached {
			t.Errorf("Ready attached %d links, the first send %d more", attached, b.attached()-attached)
		}
		away := b.Fault(t, evhubtest.On{Op: evhubtest.Connect, Times: -1}, evhubtest.Drop())
		b.cut()
		synctest.Wait()
		want(t, "ready, cut off", notify.ReasonOf(n.Ready(t.Context())), notify.Unavailable)
		away.Remove()
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
		name   string
		faults bool
		leave  time.Duration // patience of callers
		close  time.Duration // when
		want   []string      // outcomes that must occur, and the only ones if there are no faults
	}{
		{"in peace", false, time.Hour, time.Hour, []string{"stored"}},
		{"callers leave", false, 25 * time.Millisecond, time.Hour, []string{"stored", "expired", "unknown"}},
		{"faults", true, time.Hour, time.Hour, []string{"stored", "unknown"}},
		{"faults, and callers leave", true, 50 * time.Millisecond, time.Hour, []string{"stored", "unknown"}},
		{"close while they write", false, time.Hour, 50 * time.Millisecond, []string{"stored", "closed"}},
		{"close while they write, with faults", true, time.Hour, 50 * time.Millisecond, []string{"stored", "closed"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			withBroker(t, Options{SendTimeout: 2 * time.Second}, func(t *testing.T, b *broker, n *Notifier) {
				b.chaos(t, row.faults)
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
				if !row.faults && len(tally) != len(row.want) {
					t.Errorf("outcomes: %v, want only %v", tally, row.want)
				}
			})
		})
	}
}

// chaos delays sends and, if it is to, lets one in ten go wrong, in all ways.
func (b *broker) chaos(t *testing.T, wrong bool) {
	if wrong {
		for _, do := range []evhubtest.Do{
			evhubtest.Detach("amqp:link:detach-forced", "A fault."), evhubtest.Drop(), evhubtest.Blackhole(), evhubtest.CloseConn(""),
			evhubtest.AckLost(), evhubtest.Reject("com.microsoft:entity-disabled", "A fault."),
		} {
			b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1, Prob: 1.0 / 60}, do).Optional()
		}
	}
	b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Delay(0, 30*time.Millisecond))
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
	events, counts, tally := b.stored(), b.counts(), map[string]int{}
	for body, outcome := range results {
		tally[outcome]++
		count := counts[body]
		if outcome == "stored" && count != 1 || outcome == "unknown" && count > 1 || outcome != "stored" && outcome != "unknown" && count > 0 {
			b.t.Errorf("%s: %s, and it is there %d times", body, outcome, count)
		}
	}
	last := map[string]string{}
	for _, e := range events {
		body := string(e.Body)
		writer := body[:strings.LastIndex(body, "/")]
		if e.PartitionKey == "" || results[body] == "unknown" { // what was lost may come late, from the old connection
			continue
		}
		if body <= last[writer] {
			b.t.Errorf("%s is stored after %s", body, last[writer])
		}
		last[writer] = body
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
		e := b.rec.Next(t)
		if string(e.Body) != "body" || e.ContentType != "a/b" || e.Partition != "1" || !reflect.DeepEqual(e.Properties, map[string]any{"p": []byte("q")}) {
			t.Errorf("stored: %+v", e)
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
		busy := b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Throttle())
		time.AfterFunc(storm, busy.Remove)
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
		b.rec.WantUnique(t, func(e evhubtest.Event) string { return string(e.Body) })
	})
}
