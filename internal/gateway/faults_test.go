package gateway_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// scene is the whole way of a message, in fake time: the gateway, the adapter, the official SDK, AMQP, a broker.
type scene struct {
	t        *testing.T
	b        *evhubtest.Broker
	rec      *evhubtest.Recorder
	notifier *eventhubs.Notifier
	g        *gateway.Gateway
}

const outHub = "in-orders" // what orders is called at the broker

func play(t *testing.T, f func(*testing.T, *scene)) {
	t.Helper()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		s := &scene{t: t, b: b, rec: b.Record(t, outHub)}
		client, err := azeventhubs.NewProducerClientFromConnectionString(b.DialString(outHub), "", &azeventhubs.ProducerClientOptions{
			NewWebSocketConn: azclient.Dial(b), RetryOptions: azeventhubs.RetryOptions{MaxRetries: -1},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.notifier = eventhubs.NewWithOptions(client, eventhubs.Options{Hub: outHub, SendTimeout: 5 * time.Second})
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			if err := s.notifier.Close(ctx); err != nil {
				t.Error("closing the notifier:", err)
			}
			if err := client.Close(ctx); err != nil {
				t.Error("closing the client:", err)
			}
		})
		s.g = start(t, &target{}, func(o *gateway.Options) {
			o.Routes = map[string]gateway.Route{"orders": {Notifier: s.notifier, Hub: outHub}}
		})
		f(t, s)
	}, evhubtest.Hub(outHub, 4), evhubtest.Seed(1))
}

// writer is a caller that sends one request after the other, all for one key, and repeats each until everything in it is stored.
type writer struct {
	s     *scene
	name  int
	key   string
	items int // messages in a request

	ids     map[string]string // of what was answered 201, by body
	unknown map[string]int    // answers that said so, by body
}

// newWriter gives every tenth writer the same key, and every third one batches.
func (s *scene) newWriter(name int) *writer {
	w := &writer{s: s, name: name, key: "key-" + strconv.Itoa(name%10), items: 1,
		ids: make(map[string]string), unknown: make(map[string]int)}
	if name%3 == 0 {
		w.items = 3
	}
	return w
}

// body names a message by writer, request and item, so that order can be told.
func (w *writer) body(request, item int) string {
	return fmt.Sprintf("%03d/%04d/%d", w.name, request, item)
}

// write sends a request until all of it is stored, as Retry-After says.
func (w *writer) write(request int) {
	for range 100 {
		a := w.attempt(request)
		if a.status == 201 {
			return
		}
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if a.status == 503 && (err != nil || wait < 1) {
			w.s.t.Errorf("503 with Retry-After %q: %s", a.header.Get("Retry-After"), a.body)
		}
		time.Sleep(max(time.Duration(wait)*time.Second, 100*time.Millisecond))
	}
	w.s.t.Errorf("%s was not stored in 100 attempts", w.body(request, 0))
}

// attempt sends a request once and keeps what was said of each message.
func (w *writer) attempt(n int) reply {
	key := "Idempotency-Key: " + w.body(n, 0)
	if w.items == 1 {
		body := w.body(n, 0)
		a := serve(w.s.t, w.s.g, request("", body, key, "Partition-Key: "+w.key))
		if a.status == 201 {
			w.ids[body], _ = a.json["id"].(string)
		}
		w.noteOutcome(body, a.json)
		return a
	}
	var items []string
	for i := range w.items {
		items = append(items, fmt.Sprintf(`{"text":%q,"key":%q}`, w.body(n, i), w.key))
	}
	a := serve(w.s.t, w.s.g, request(":batch", `{"items":[`+strings.Join(items, ",")+`]}`, key, asJSON))
	results, _ := a.json["items"].([]any)
	for i := range w.items {
		said := a.json
		if len(results) == w.items {
			said = results[i].(map[string]any)
		}
		if said["status"] == 201.0 {
			w.ids[w.body(n, i)], _ = said["id"].(string)
		}
		w.noteOutcome(w.body(n, i), said)
	}
	return a
}

func (w *writer) noteOutcome(body string, said map[string]any) {
	if said["outcome"] == "unknown" {
		w.unknown[body]++
	}
}

// stored is what the broker has of each body, in the order of its partition.
func (s *scene) stored() map[string][]evhubtest.Event {
	byBody := make(map[string][]evhubtest.Event)
	for _, e := range s.rec.All() {
		byBody[string(e.Body)] = append(byBody[string(e.Body)], e)
	}
	for _, copies := range byBody {
		slices.SortFunc(copies, func(a, b evhubtest.Event) int { return cmp.Compare(a.SequenceNumber, b.SequenceNumber) })
	}
	return byBody
}

// check holds what the writer was told against the log.
func (w *writer) check(stored map[string][]evhubtest.Event, requests int) {
	last := int64(-1) // of the first copies of what was sent before this request
	for n := range requests {
		end := last
		for i := range w.items {
			body := w.body(n, i)
			w.checkCopies(body, stored[body])
			if len(stored[body]) == 0 {
				continue
			}
			// A request begins when the one before it is stored. Within one, what had to be sent again comes later.
			seq := stored[body][0].SequenceNumber
			if seq <= last || len(w.unknown) == 0 && seq <= end {
				w.s.t.Errorf("%s: stored at %d, and what was sent before it at %d", body, seq, end)
			}
			end = max(end, seq)
		}
		last = end
	}
}

func (w *writer) checkCopies(body string, copies []evhubtest.Event) {
	t := w.s.t
	switch {
	case w.ids[body] == "":
		t.Errorf("%s: no answer said that it is stored", body)
	case len(copies) == 0:
		t.Errorf("%s: answered 201 and not in the log", body)
	case len(copies) > 1+w.unknown[body]:
		t.Errorf("%s: %d times in the log, and %d answers said unknown", body, len(copies), w.unknown[body])
	}
	for _, e := range copies {
		if e.ID != w.ids[body] || e.PartitionKey != w.key {
			t.Errorf("%s: stored with id %q and key %q, answered %q for %q", body, e.ID, e.PartitionKey, w.ids[body], w.key)
		}
	}
}

// TestEveryAnswerIsTrue has a hundred concurrent writers, ten for each key, and a broker that fails in one way or another. What was
// answered 201 is in the log. Nothing is in it twice unless an answer said that the outcome is unknown, and the message was sent again.
// Each writer's messages are in the order in which it sent them.
func TestEveryAnswerIsTrue(t *testing.T) {
	t.Parallel()
	const writers, requests = 100, 6
	type misfortune struct {
		on evhubtest.On
		do evhubtest.Do
	}
	// times sets so many, with a few operations between them.
	times := func(n int, op evhubtest.Op, do evhubtest.Do) (list []misfortune) {
		for i := range n {
			list = append(list, misfortune{evhubtest.On{Op: op, After: 5 * (i + 1)}, do})
		}
		return list
	}
	often := func(do evhubtest.Do) []misfortune {
		return []misfortune{{evhubtest.On{Op: evhubtest.Send, Prob: 0.3, Times: -1}, do}}
	}
	detach := evhubtest.Detach("amqp:link:detach-forced", "A fault.")
	for _, row := range []struct {
		name    string
		faults  []misfortune
		unknown bool // outcomes are, some of them
	}{
		{"none", nil, false},
		{"delay", often(evhubtest.Delay(10*time.Millisecond, time.Second)), false},
		{"busy", times(8, evhubtest.Send, evhubtest.Throttle()), false},
		{"busy at attach", []misfortune{{evhubtest.On{Op: evhubtest.Attach, Times: 3}, evhubtest.Throttle()}}, false},
		{"drop", times(8, evhubtest.Send, evhubtest.Drop()), true},
		{"lost acknowledgement", times(8, evhubtest.Send, evhubtest.AckLost()), true},
		{"detach", times(8, evhubtest.Send, detach), true},
		{"connection closed", times(8, evhubtest.Send, evhubtest.CloseConn("")), true},
		{"no answer", times(4, evhubtest.Send, evhubtest.Blackhole()), true},
		{"token expired", times(8, evhubtest.Send, evhubtest.ExpireToken()), true},
		{"all of it", slices.Concat(
			times(2, evhubtest.Send, evhubtest.Blackhole()),
			times(3, evhubtest.Send, evhubtest.Drop()),
			times(3, evhubtest.Send, evhubtest.AckLost()),
			times(3, evhubtest.Send, detach),
			times(5, evhubtest.Send, evhubtest.Throttle()),
			[]misfortune{{evhubtest.On{Op: evhubtest.Attach, After: 1, Times: 2}, evhubtest.Drop()}},
			often(evhubtest.Delay(time.Millisecond, 100*time.Millisecond)),
		), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			play(t, func(t *testing.T, s *scene) {
				var faults []*evhubtest.Fault
				for _, m := range row.faults {
					faults = append(faults, s.b.Fault(t, m.on, m.do))
				}
				var all []*writer
				var running sync.WaitGroup
				for i := range writers {
					w := s.newWriter(i)
					all = append(all, w)
					running.Go(func() {
						for n := range requests {
							w.write(n)
						}
					})
				}
				running.Wait()
				for _, f := range faults {
					if f.Hits() == 0 {
						t.Errorf("%s never happened", f)
					}
				}
				stored, unknown := s.stored(), 0
				for _, w := range all {
					w.check(stored, requests)
					unknown += len(w.unknown)
				}
				if unknown > 0 != row.unknown {
					t.Errorf("%d messages of unknown outcome", unknown)
				}
			})
		})
	}
}

// TestACallerThatLeaves has a hundred callers whose messages go in two batches. One leaves while its message waits, one while it flies
// alone, one while it flies with others: that harms nobody.
func TestACallerThatLeaves(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		if a := serve(t, s.g, request("", "first")); a.status != 201 { // which opens the link
			t.Fatalf("got %d %s", a.status, a.body)
		}
		slow := s.b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Delay(time.Second, 0))
		defer slow.Remove()
		const callers = 100
		const flies, waits, fliesWithOthers = 0, 1, 2
		statuses := make([]int, callers)
		leave := make([]context.CancelFunc, callers)
		var running sync.WaitGroup
		for i := range callers {
			var ctx context.Context
			ctx, leave[i] = context.WithCancel(t.Context())
			defer leave[i]()
			running.Go(func() {
				statuses[i] = serve(t, s.g, request("", strconv.Itoa(i), "Partition-Key: k").WithContext(ctx)).status
			})
			if i == flies {
				synctest.Wait()
			}
		}
		begun := time.Now()
		time.Sleep(500 * time.Millisecond) // the first flies, the others wait
		leave[flies]()
		leave[waits]()
		time.Sleep(time.Second) // the others fly
		leave[fliesWithOthers]()
		running.Wait()
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("took %s, want two batches of 1s", took)
		}
		stored := s.stored()
		for i, status := range statuses {
			wantStatus, wantCopies := 201, 1
			switch i {
			case flies, fliesWithOthers: // answered to nobody
				wantStatus = 504
			case waits:
				wantStatus, wantCopies = 503, 0
			}
			if copies := len(stored[strconv.Itoa(i)]); status != wantStatus || copies != wantCopies {
				t.Errorf("caller %d: got %d, and %d copies are stored; want %d and %d", i, status, copies, wantStatus, wantCopies)
			}
		}
	})
}

// TestBusyStorm has a hub that throttles for five seconds: callers are refused at once and told when to come back, and within two seconds
// of its end messages are stored again.
func TestBusyStorm(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		const callers, length = 50, 5 * time.Second
		storm := s.b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Throttle())
		end := time.Now().Add(length)
		var recovered [callers]time.Duration
		var refusals [callers][]time.Duration
		var running sync.WaitGroup
		for i := range callers {
			running.Go(func() {
				for {
					begun := time.Now()
					a := serve(t, s.g, request("", strconv.Itoa(i)))
					if a.status == 201 {
						recovered[i] = time.Since(end)
						return
					}
					if wait, _ := strconv.Atoi(a.header.Get("Retry-After")); a.status != 503 || wait < 1 {
						t.Errorf("got %d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.body)
						return
					}
					refusals[i] = append(refusals[i], time.Since(begun))
					time.Sleep(100 * time.Millisecond) // sooner than they were told
				}
			})
		}
		time.Sleep(length)
		storm.Remove()
		running.Wait()
		if first, last := slices.Min(recovered[:]), slices.Max(recovered[:]); first < 0 || last > 2*time.Second {
			t.Errorf("stored again from %s to %s after the storm", first, last)
		}
		var again []time.Duration // refusals of those who were refused before: the first ones were in when the storm began
		for _, list := range refusals {
			again = append(again, list[1:]...)
		}
		slices.Sort(again)
		if p99 := again[len(again)*99/100]; p99 > 5*time.Millisecond {
			t.Errorf("%d refusals, p99 %s", len(again), p99)
		}
	})
}

// TestDrainUnderLoad ends the service while a hundred callers write: what was answered 201 is in the log, and nothing else is.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		slow := s.b.Fault(t, evhubtest.On{Op: evhubtest.Send, Times: -1}, evhubtest.Delay(time.Millisecond, 20*time.Millisecond))
		defer slow.Remove()
		var mu sync.Mutex // guards ids
		ids := make(map[string]bool)
		var running sync.WaitGroup
		for i := range 100 {
			running.Go(func() {
				for {
					a := serve(t, s.g, request("", "x", "Partition-Key: "+strconv.Itoa(i%10)))
					if a.status == 503 && a.problem() == "draining" {
						return
					}
					if a.status != 201 {
						t.Errorf("got %d %s", a.status, a.body)
						return
					}
					mu.Lock()
					ids[a.json["id"].(string)] = true
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Second)
		if err := s.g.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.notifier.Close(t.Context()); err != nil {
			t.Error(err)
		}
		running.Wait()
		stored := s.rec.All()
		for _, e := range stored {
			if !ids[e.ID] {
				t.Errorf("%s is in the log, and no answer named it", e.ID)
			}
			delete(ids, e.ID)
		}
		if len(ids) > 0 || len(stored) < 1000 {
			t.Errorf("%d answers without a message in the log, of %d", len(ids), len(stored))
		}
	})
}
