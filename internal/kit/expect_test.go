package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// order is an event of one state in a partition.
func order(id, state, partition string) Event {
	return Event{Body: []byte(fmt.Sprintf(`{"ID":%q,"State":%q}`, id, state)), ID: "m" + id, Partition: partition,
		Properties: map[string]any{"schema": "order.v1"}}
}

func state(s string) Match { return Path("State", s) }

// TestExpect has a row for each way a request may go, with the whole text of a miss. Time is the bubble's: a miss takes the five seconds
// that were allowed, what is decided takes none.
func TestExpect(t *testing.T) {
	t.Parallel()
	paid := order("1", "paid", "2")
	v2 := order("2", "paid", "2")
	v2.Properties = map[string]any{"schema": "order.v2"}
	unnamed := order("5", "new", "0")
	unnamed.ID = ""
	for _, c := range []struct {
		name   string
		stored []Event
		r      Request
		want   string // events given back, or the miss
		waited time.Duration
	}{
		{"at least one", []Event{paid, order("2", "paid", "2")}, Request{Expect: []Expectation{AtLeast(1, state("paid"))}}, "2/0", 0},
		{"at least two", []Event{paid, order("2", "new", "0"), order("3", "paid", "1")}, Request{Expect: []Expectation{AtLeast(2, state("paid"))}}, "2/0 1/0", 0},
		{"at least one, all of them", []Event{paid, order("2", "new", "0"), order("3", "paid", "1")}, Request{All: true, Expect: []Expectation{AtLeast(1, state("paid"))}},
			"2/0 1/0", 0},
		{"the oldest, wherever it is", []Event{order("1", "paid", "3"), order("2", "paid", "0")}, Request{Expect: []Expectation{AtLeast(1)}}, "3/0", 0},
		{"at least none", nil, Request{Expect: []Expectation{AtLeast(0)}}, "", 0},
		{"exactly", []Event{paid, order("2", "new", "0")}, Request{Expect: []Expectation{Exactly(1, state("paid"))}}, "2/0", 0},
		{"none", []Event{paid}, Request{Expect: []Expectation{None(state("new"))}}, "", 0},
		{"two expectations for one event", []Event{paid}, Request{Expect: []Expectation{AtLeast(1, state("paid")), AtLeast(1, Partition("2"))}}, "2/0", 0},
		{"unique", []Event{paid, order("2", "paid", "0")}, Request{Unique: by("id"), UniqueBy: "id"}, "2/0 0/0", 0},
		{"unique among those that match", []Event{paid, order("1", "new", "0")},
			Request{Expect: []Expectation{AtLeast(1, state("paid"))}, Unique: by("id")}, "2/0", 0},
		{"no others", []Event{paid}, Request{Expect: []Expectation{AtLeast(1, state("paid"))}, OthersForbidden: true}, "2/0", 0},
		{"settled", []Event{paid}, Request{Expect: []Expectation{Exactly(1, state("paid"))}, Settle: 50 * time.Millisecond}, "2/0", 50 * time.Millisecond},

		{"too few, a near one", []Event{v2, order("3", "new", "1")},
			Request{Expect: []Expectation{{Name: "paid", Where: []Match{Subset(map[string]any{"State": "paid"}), Prop("schema", "order.v1")}, Min: 1, Max: 1}}},
			`paid: want 1 event in orders since m0, matched 0 of 2 seen in 5s
  nearest 2/0: props.schema
    - order.v1
    + order.v2
  nearest 1/0: body.State
    - paid
    + new`, 5 * time.Second},
		{"too few, some match", []Event{paid, order("2", "new", "0")}, Request{Expect: []Expectation{AtLeast(2, state("paid"), Prop("schema", "order.v1"))}},
			`want at least 2 events (path State = paid, prop schema = order.v1) in orders since m0, matched 1 of 2 seen in 5s
  matched 2/0 id=m1 {"ID":"1","State":"paid"}
  nearest 0/0: body.State
    - paid
    + new`, 5 * time.Second},
		{"too few, the nearest first", []Event{order("2", "new", "0"), order("3", "paid", "3"), order("4", "new", "1"), v2},
			Request{Expect: []Expectation{AtLeast(1, state("paid"), Prop("schema", "order.v3"), Path("ID", "2"))}},
			`want at least 1 event (path State = paid, prop schema = order.v3, path ID = "2") in orders since m0, matched 0 of 4 seen in 5s
  nearest 2/0: props.schema
    - order.v3
    + order.v2
  nearest 0/0: body.State
    - paid
    + new
    props.schema
    - order.v3
    + order.v1
  nearest 3/0: props.schema
    - order.v3
    + order.v1
    body.ID
    - "2"
    + "3"`, 5 * time.Second},
		{"nothing at all", nil, Request{Expect: []Expectation{AtLeast(1)}},
			`want at least 1 event in orders since m0, matched 0 of 0 seen in 5s
  hint: no sender is attached to orders`, 5 * time.Second},
		{"too many", []Event{paid, order("2", "paid", "0"), order("3", "paid", "1")}, Request{Expect: []Expectation{Exactly(1, state("paid"))}},
			`want 1 event (path State = paid) in orders since m0, matched 2 of 2 seen in 0s
  matched 2/0 id=m1 {"ID":"1","State":"paid"}
  matched 0/0 id=m2 {"ID":"2","State":"paid"}`, 0},
		{"not none", []Event{unnamed}, Request{Expect: []Expectation{None()}},
			`want no event in orders since m0, matched 1 of 1 seen in 0s
  matched 0/0 {"ID":"5","State":"new"}`, 0},
		{"a range, too many", []Event{paid, order("2", "paid", "2"), order("3", "paid", "2")}, Request{Expect: []Expectation{{Name: "paid", Min: 1, Max: 2}}},
			`paid: want 1 to 2 events in orders since m0, matched 3 of 3 seen in 0s
  matched 2/0 id=m1 {"ID":"1","State":"paid"}
  matched 2/1 id=m2 {"ID":"2","State":"paid"}
  matched 2/2 id=m3 {"ID":"3","State":"paid"}`, 0},
		{"at most", []Event{paid, order("2", "paid", "2")}, Request{Expect: []Expectation{{Max: 1}}},
			`want at most 1 event in orders since m0, matched 2 of 2 seen in 0s
  matched 2/0 id=m1 {"ID":"1","State":"paid"}
  matched 2/1 id=m2 {"ID":"2","State":"paid"}`, 0},
		{"duplicate", []Event{paid, order("1", "new", "3")}, Request{Unique: by("id"), UniqueBy: "id"},
			`want every id once in orders since m0: m1 came twice; 2 seen in 0s
  came 2/0 id=m1 {"ID":"1","State":"paid"}
  came 3/0 id=m1 {"ID":"1","State":"new"}`, 0},
		{"without an id", []Event{paid, unnamed}, Request{Unique: by("id"), UniqueBy: "id"},
			`want every id once in orders since m0: event 0/0 has no id; 2 seen in 0s
  came 0/0 {"ID":"5","State":"new"}`, 0},
		{"unexpected", []Event{paid, order("2", "new", "3")}, Request{Expect: []Expectation{AtLeast(1, state("paid"))}, OthersForbidden: true},
			`want no other event in orders since m0: one came that matches nothing wanted; 2 seen in 0s
  came 3/0 id=m2 {"ID":"2","State":"new"}
  nearest 3/0: body.State
    - paid
    + new`, 0},
		{"nothing allowed", []Event{paid}, Request{OthersForbidden: true, Expect: []Expectation{None(state("x"))}},
			`want no other event in orders since m0: one came that matches nothing wanted; 1 seen in 0s
  came 2/0 id=m1 {"ID":"1","State":"paid"}
  nearest 2/0: body.State
    - x
    + paid`, 0},
		{"nothing at all allowed", []Event{paid}, Request{OthersForbidden: true},
			`want no other event in orders since m0: one came that matches nothing wanted; 1 seen in 0s
  came 2/0 id=m1 {"ID":"1","State":"paid"}`, 0},
		{"in order", []Event{paid, order("2", "sent", "2")}, ordered(AtLeast(1, state("paid")), AtLeast(1, state("sent"))), "2/0 2/1", 0},
		{"out of order", []Event{paid, order("2", "sent", "2")}, ordered(AtLeast(1, state("sent")), Expectation{Name: "paid", Where: []Match{state("paid")}, Min: 1, Max: NoLimit}),
			`want 2 events in order in orders since m0: all came, but not in this order; 2 seen in 5s
  wanted: path State = sent
  wanted: paid
  came:   2/0 id=m1 {"ID":"1","State":"paid"}
  came:   2/1 id=m2 {"ID":"2","State":"sent"}`, 5 * time.Second},
		{"in order, too few", []Event{paid}, ordered(AtLeast(1, state("paid")), AtLeast(1, state("sent"))),
			`want at least 1 event (path State = sent) in orders since m0, matched 0 of 1 seen in 5s
  nearest 2/0: body.State
    - sent
    + paid`, 5 * time.Second},
		{"the same twice", []Event{paid, order("2", "new", "2")}, ordered(AtLeast(1, state("paid")), AtLeast(1, state("paid"))),
			`want at least 2 events (path State = paid) in orders since m0, matched 1 of 2 seen in 5s
  matched 2/0 id=m1 {"ID":"1","State":"paid"}`, 5 * time.Second},
		{"more steps than events", []Event{paid, order("2", "new", "2")}, ordered(AtLeast(1, Prop("schema", "order.v1")), AtLeast(1, state("paid")), AtLeast(1)),
			`want at least 3 events (prop schema = order.v1 or path State = paid or any event) in orders since m0, matched 2 of 2 seen in 5s
  matched 2/0 id=m1 {"ID":"1","State":"paid"}
  matched 2/1 id=m2 {"ID":"2","State":"new"}`, 5 * time.Second},

		{"fewer than none", []Event{paid}, Request{Expect: []Expectation{Exactly(-1)}}, "-1 events cannot be wanted; the least is 0.", 0},
		{"less at most than at least", []Event{paid}, Request{Expect: []Expectation{{Min: 2, Max: 1}}},
			"At least 2 events and at most 1 cannot be wanted together.", 0},
		{"nothing to want", []Event{paid}, Request{Ordered: true}, "Nothing is wanted.", 0},
		{"too long an order", []Event{paid}, ordered(AtLeast(500), AtLeast(501)), "More than 1000 events cannot be wanted in order.", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t)
				s := r.space("s1")
				r.publish(s, "orders", c.stored...)
				m, _ := s.KeptMark("m0")
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				start := time.Now()
				result, err := s.Expect(ctx, "orders", m, c.r)
				got := fmt.Sprint(err)
				if err == nil {
					got = places(result.Events)
				}
				if got != c.want {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
				if d := time.Since(start); d != c.waited {
					t.Errorf("it took %v, want %v", d, c.waited)
				}
			})
		})
	}
}

func by(name string) func(Event) (string, bool) {
	key, err := UniqueBy(name)
	if err != nil {
		panic(err)
	}
	return key
}

func ordered(x ...Expectation) Request { return Request{Expect: x, Ordered: true} }

func places(events []Event) string {
	var list []string
	for i := range events {
		list = append(list, events[i].at())
	}
	return strings.Join(list, " ")
}

// TestExpectWaits: a request is answered at the very moment that decides it.
func TestExpectWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		r    Request
		want string // states, each a second after the other, until the answer comes
		miss Reason
	}{
		{"completed", Request{Expect: []Expectation{AtLeast(2, state("paid"))}}, "paid new paid", ""},
		{"one too many", Request{Expect: []Expectation{{Where: []Match{state("paid")}, Min: 2, Max: 2}, AtLeast(1, state("sent"))}}, "paid paid paid", TooMany},
		{"twice the same", Request{Expect: []Expectation{AtLeast(9)}, Unique: by("body")}, "paid new paid", Duplicate},
		{"not allowed", Request{Expect: []Expectation{AtLeast(2, state("paid"))}, OthersForbidden: true}, "paid new", Unexpected},
		{"in order at last", ordered(AtLeast(1, state("paid")), AtLeast(1, state("sent"))), "sent paid sent", ""},
		{"while it settles", Request{Expect: []Expectation{Exactly(1, state("paid"))}, Settle: 1500 * time.Millisecond}, "paid paid", TooMany},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t)
				s := r.space("s1")
				type answer struct {
					err   error
					after time.Duration
				}
				answered := make(chan answer, 1)
				start := time.Now()
				go func() {
					_, err := s.Expect(context.Background(), "orders", s.Mark(), c.r)
					answered <- answer{err, time.Since(start)}
				}()
				states := strings.Fields(c.want)
				for _, st := range states {
					synctest.Wait()
					if len(answered) > 0 {
						t.Fatalf("answered before %s came", st)
					}
					time.Sleep(time.Second)
					r.publish(s, "orders", order("1", st, "1"))
				}
				got := <-answered
				if got.after != time.Duration(len(states))*time.Second {
					t.Errorf("answered after %v, want %d s", got.after, len(states))
				}
				m, _ := errors.AsType[*Miss](got.err)
				if (got.err != nil) != (c.miss != "") || m != nil && m.Reason != c.miss {
					t.Errorf("answer %v, want %q", got.err, c.miss)
				}
			})
		})
	}
}

// TestLastMoment: what is stored at the deadline itself still counts, one nanosecond later does not.
func TestLastMoment(t *testing.T) {
	t.Parallel()
	for late, want := range map[time.Duration]bool{-1: true, 1: false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoom(t)
			s := r.space("s1")
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			go func() {
				time.Sleep(5*time.Second + late)
				r.publish(s, "orders", text("a", "0"))
			}()
			_, err := s.Expect(ctx, "orders", s.Mark(), Request{Expect: []Expectation{AtLeast(1)}})
			if (err == nil) != want {
				t.Errorf("%v after the deadline: %v", late, err)
			}
			time.Sleep(time.Second)
		})
	}
}

// TestCancelled: a miss tells of the context that ended it.
func TestCancelled(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Expect(ctx, "orders", s.Mark(), Request{Expect: []Expectation{AtLeast(1)}})
	if m := wantMiss(t, "cancelled", err, TooFew); !errors.Is(m, context.Canceled) {
		t.Errorf("its error: %v", m.Err)
	}
	_, err = s.Expect(context.Background(), "order", s.Mark(), Request{})
	wantKind(t, "unknown hub", err, hub.NotFound, "did you mean 'orders'?")
}

// TestHubGoes: nobody waits for a hub that is gone.
func TestHubGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := r.space("s1")
		answered := make(chan error, 1)
		go func() {
			_, err := s.Expect(context.Background(), "orders", s.Mark(), Request{Expect: []Expectation{AtLeast(1)}})
			answered <- err
		}()
		synctest.Wait()
		r.must(s.Delete())
		wantKind(t, "deleted", <-answered, hub.Updated, "The hub 'orders' was deleted")
	})
}

func TestResultJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(&Result{Events: []Event{text("x", "1")}, Seen: 2, Waited: 400 * time.Microsecond, Mark: Mark{Name: "m1"}, Proof: "p"})
	const want = `{"ok":true,"waitedMs":0.4,"seen":2,"mark":"m1","proof":"p","events":[{"partition":"1","sequence":0,"enqueuedAt":"0001-01-01T00:00:00Z","text":"x"}]}`
	if string(b) != want || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	if b, err = json.Marshal(&Result{More: true}); string(b) != `{"ok":true,"waitedMs":0,"seen":0,"more":true,"events":[]}` || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	if b, err = json.Marshal(&Result{}); string(b) != `{"ok":true,"waitedMs":0,"seen":0,"events":[]}` || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}

// TestUnsettled: to know that nothing comes takes that what is under way is settled.
func TestUnsettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := r.space("s1")
		h, _ := s.Hub("orders")
		l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Sender, Partition: -1, Client: "notifier-1"}, nil)
		r.must(err)
		l.AddUnsettled(1)
		none := Request{Expect: []Expectation{None()}}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err = s.Expect(ctx, "orders", s.Mark(), none)
		wantMiss(t, "unsettled", err, Unsettled)
		const want = `all that is wanted came in orders since the mark, but time ran out before it was sure that nothing else comes; 0 seen in 5s
  hint: sender notifier-1 of orders has 1 message to be settled`
		if err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
		go func() {
			time.Sleep(time.Second)
			l.AddUnsettled(1)
			time.Sleep(time.Second)
			l.AddUnsettled(-2)
		}()
		start := time.Now()
		result, err := s.Expect(context.Background(), "orders", s.Mark(), none)
		r.must(err)
		if d := time.Since(start); d != 2*time.Second || result.Proof != "all deliveries under way are settled" || result.Waited != d {
			t.Errorf("after %v (%v): %s", d, result.Waited, result.Proof)
		}
		l.Close()
	})
}

// TestFence: where the doors can tell, the received bytes come first.
func TestFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		r.kit.fence = func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		s := r.space("s1")
		request := Request{Expect: []Expectation{None()}, Settle: time.Millisecond}
		result, err := s.Expect(context.Background(), "orders", s.Mark(), request)
		r.must(err)
		if want := "all bytes received are looked at and all deliveries under way are settled, and nothing came for 1ms"; result.Proof != want {
			t.Errorf("proof: %s", result.Proof)
		}
		_, err = s.Expect(within(t, time.Millisecond), "orders", s.Mark(), request)
		wantMiss(t, "no time", err, Unsettled)
		r.kit.fence = func(context.Context) error { return errors.New("no door") }
		if err := s.Quiesce(context.Background()); err == nil || !strings.Contains(err.Error(), "no door") {
			t.Errorf("error %v", err)
		}
		if _, err = s.Expect(context.Background(), "orders", s.Mark(), request); err == nil || !strings.Contains(err.Error(), "no door") {
			t.Errorf("expecting: error %v", err)
		}
	})
}

// TestOrdering: which events can be chosen when events of several partitions fit several steps. Events are letters; each partition is a
// word, and the steps are one. What is chosen is told by partition and place.
func TestOrdering(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		steps, partitions string
		want              string
	}{
		{"abc", "abc", "0/0 0/1 0/2"},
		{"abc", "a b c", "0/0 1/0 2/0"},
		{"abc", "acb", ""},
		{"abc", "xaxbxcx", "0/1 0/3 0/5"},
		{"aab", "aba", ""},
		{"aab", "aab", "0/0 0/1 0/2"},
		{"aab", "ab a", "0/0 1/0 0/1"}, // the second a must come from the other partition
		{"ab", "ba ab", "0/1 1/1"},
		{"abab", "ba ab", "1/0 0/0 0/1 1/1"},
		{"ab", "ba a", "1/0 0/0"}, // the first a it could take is behind b
		{"abab", "bba a", ""},
		{"abab", "bab a", "1/0 0/0 0/1 0/2"},
		{"a", "", ""},
		{"", "a", ""},
	} {
		var x []Expectation
		for _, letter := range "abc" {
			x = append(x, Expectation{Where: []Match{Body(string(letter))}})
		}
		o := newOrdering(x)
		for _, letter := range c.steps {
			o.steps = append(o.steps, int(letter-'a'))
		}
		for p, word := range strings.Fields(c.partitions) {
			for i, letter := range word {
				if letter <= 'c' {
					o.add(int(letter-'a'), Event{Partition: fmt.Sprint(p), SequenceNumber: int64(i)})
				}
			}
		}
		solved := o.solved()
		if got := places(o.chosen); got != c.want || solved != (c.want != "" || c.steps == "") {
			t.Errorf("%s in %s: %v, %q; want %q", c.steps, c.partitions, solved, got, c.want)
		}
	}
}

// TestOrderingIsFound: many events fit the first steps, and one of them is the only one for a later step.
func TestOrderingIsFound(t *testing.T) {
	t.Parallel()
	x := make([]Expectation, 10) // eight for any event, one for the only event of partition 0, one for the last event of all
	for i := range x {
		x[i].Min = 1
	}
	o := newOrdering(x)
	const partitions = 32
	for p := range partitions {
		for i := range 3 {
			e := Event{Partition: fmt.Sprint(p), SequenceNumber: int64(i)}
			if p == 0 && i > 0 {
				continue
			}
			for step := range 8 {
				o.add(step, e)
			}
			switch {
			case p == 0:
				o.add(8, e)
			case p == partitions-1 && i == 2:
				o.add(9, e)
			}
		}
	}
	if !o.solved() {
		t.Fatal("not found")
	}
	if got := places(o.chosen[8:]); got != "0/0 31/2" {
		t.Errorf("chosen: %s", got)
	}
	if len(distinct(slices.Clone(o.chosen))) != len(o.steps) {
		t.Errorf("an event is chosen twice: %s", places(o.chosen))
	}
}

// TestOrderingBounded: a search that could go on for ages ends, and does not say that the order is wrong.
func TestOrderingBounded(t *testing.T) {
	t.Parallel()
	// Of each partition's two events, one for a and one for b, only one can be used, since b comes before a there. All are needed but one.
	const partitions = 24
	x := []Expectation{{Min: partitions/2 + 1}, {Min: partitions / 2}}
	v := newEvaluation(&Request{Expect: x, Ordered: true})
	for p := range partitions {
		v.order.add(1, Event{Partition: fmt.Sprint(p), SequenceNumber: 0})
		v.order.add(0, Event{Partition: fmt.Sprint(p), SequenceNumber: 1})
	}
	for i := range v.tallies {
		v.tallies[i].count = partitions
	}
	start := time.Now()
	v.late(context.DeadlineExceeded)
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v", d)
	}
	if v.miss.Reason != Ambiguous || !strings.Contains(v.miss.Error(), "in too many ways to find out") || len(v.miss.Steps) != partitions+1 {
		t.Errorf("the miss: %v", v.miss)
	}
}

// TestOrderOfAThousand: the longest order, in one partition and in many, takes no time that anybody feels.
func TestOrderOfAThousand(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 32} {
		x := make([]Expectation, stepsMax)
		for i := range x {
			x[i].Min = 1
		}
		o := newOrdering(x)
		for i := range x {
			o.add(i, Event{Partition: fmt.Sprint(i % partitions), SequenceNumber: int64(i)})
		}
		start := time.Now()
		if !o.solved() || time.Since(start) > 10*time.Second {
			t.Errorf("%d partitions: solved %v, after %v", partitions, o.found, time.Since(start))
		}
	}
}

func TestUniqueBy(t *testing.T) {
	t.Parallel()
	e := Event{Body: []byte(`{"a":{"b":[1]}}`), ID: "id", PartitionKey: "key", Properties: map[string]any{"p": int64(3)}}
	const none = "(none)"
	for _, c := range []struct {
		name string
		e    Event
		want string
	}{
		{"id", e, "id"}, {"key", e, "key"}, {"body", e, `{"a":{"b":[1]}}`}, {"body.a.b[0]", e, "1"}, {"body.x", e, none}, {"props.p", e, "3"}, {"props.q", e, none},
		{"id", Event{}, none}, {"key", Event{}, none}, {"body", Event{}, ""}, {"body.x", text("no JSON", ""), none},
	} {
		key, ok := by(c.name)(c.e)
		if !ok {
			key = none
		}
		if key != c.want {
			t.Errorf("%s: %q, want %q", c.name, key, c.want)
		}
	}
	if long, _ := by("body.a")(text(`{"a":"`+strings.Repeat("x", 999)+`"}`, "")); len(long) != 999 {
		t.Errorf("of a long key %d bytes count", len(long))
	}
	for _, name := range []string{"", "ID", "props", "props.", "body.a..b", "body."} {
		if _, err := UniqueBy(name); err == nil {
			t.Errorf("%q names a key", name)
		}
	}
}

// TestAll: what is given back is bounded, the answer says so, and its mark goes on where it ends.
func TestAll(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := r.space("s1")
	since := s.Mark()
	const sent = eventsKeepMax + 500
	events := make([]Event, sent)
	for i := range events {
		events[i] = text("a", fmt.Sprint(i%4))
	}
	r.publish(s, "orders", events...)
	for _, c := range []struct {
		name   string
		r      Request
		events int
		more   bool
		seen   int
	}{
		{"all", Request{All: true, Expect: []Expectation{AtLeast(1)}}, eventsKeepMax, true, eventsKeepMax},
		{"more than the bound", Request{All: true, Expect: []Expectation{AtLeast(eventsKeepMax + 1)}}, eventsKeepMax + 1, true, eventsKeepMax + 1},
		{"next ones", Request{Expect: []Expectation{AtLeast(2)}}, 2, false, 2},
		{"all, and nothing else", Request{All: true, OthersForbidden: true, Expect: []Expectation{AtLeast(1)}}, eventsKeepMax, true, sent},
		{"a number that is named", Request{All: true, Expect: []Expectation{{Max: 2 * sent}}}, sent, false, sent},
		{"no number and no matcher", Request{OthersForbidden: false, Unique: func(e Event) (string, bool) { return e.at(), true }}, eventsKeepMax, true, sent},
	} {
		result, err := s.Expect(within(t, patience), "orders", since, c.r)
		r.must(err)
		rest, _, err := s.Events("orders", result.Mark, 2*sent)
		r.must(err)
		if len(result.Events) != c.events || result.More != c.more || result.Seen != c.seen || len(rest) != sent-c.seen {
			t.Errorf("%s: %d events, more %v, %d seen, %d behind the mark; want %d, %v, %d, %d",
				c.name, len(result.Events), result.More, result.Seen, len(rest), c.events, c.more, c.seen, sent-c.seen)
		}
	}
	list, err := s.List("orders", since, []Match{Body("a")}, 3)
	r.must(err)
	rest, _, err := s.Events("orders", list.Mark, 2*sent)
	r.must(err)
	if len(list.Events) != 3 || !list.More || list.Seen != 3 || len(rest) != sent-3 {
		t.Errorf("a list: %s, more %v, %d seen, %d behind the mark", places(list.Events), list.More, list.Seen, len(rest))
	}
}

// TestBoundedMemory: what is not wanted is not kept, however much there is.
func TestBoundedMemory(t *testing.T) {
	t.Parallel()
	v := newEvaluation(&Request{Expect: []Expectation{AtLeast(3, Prop("a", 1)), {Where: []Match{Key("k")}, Max: NoLimit}}})
	for range 10_000 {
		v.take(Event{PartitionKey: "k", Body: []byte("x")})
	}
	if tally := v.tallies[0]; len(tally.near) != nearMax || len(tally.events) != 0 || len(v.tallies[1].events) != 0 || v.tallies[1].count != 10_000 {
		t.Errorf("kept %d near misses and %d and %d events", len(tally.near), len(tally.events), len(v.tallies[1].events))
	}
	v = newEvaluation(&Request{Unique: by("id")})
	for i := range 10_000 {
		v.take(Event{ID: fmt.Sprint(i)})
	}
	if len(v.others) != eventsKeepMax || v.miss != nil {
		t.Errorf("kept %d events, %v", len(v.others), v.miss)
	}
}

func TestMissJSON(t *testing.T) {
	t.Parallel()
	m := &Miss{
		Reason: TooMany, Want: &Want{Name: "paid", Where: []string{"body"}, Min: 1, Max: 1}, Matched: 2, Seen: 3, Hub: "orders", Since: "m0", Waited: 1500 * time.Microsecond,
		Events: []Event{{Body: []byte(`{"a":"<"}`), Partition: "2", Offset: "8", SequenceNumber: 18, PartitionKey: "7", ID: "a1", EnqueuedAt: time.UnixMilli(1500).UTC(),
			Properties: map[string]any{"b": []byte{1}}}},
		Near:  []Near{{Event{Partition: "2", SequenceNumber: 19}, []FieldDiff{{"key", "7", Absent{}}}}},
		Hints: []string{"look"},
	}
	b, err := json.Marshal(m)
	const want = `{"ok":false,"reason":"too-many","want":{"name":"paid","where":["body"],"min":1,"max":1},"matched":2,"seen":3,` +
		`"near":[{"partition":"2","sequence":19,"distance":1,"diff":[{"path":"key","want":"7"}]}],` +
		`"events":[{"partition":"2","sequence":18,"offset":"8","enqueuedAt":"1970-01-01T00:00:01.5Z","key":"7","id":"a1","body":{"a":"\u003c"},"props":{"b":"AQ=="}}],` +
		`"hints":["look"],"waitedMs":1.5,"text":"paid: want 1 event in orders since m0, matched 2 of 3 seen in 1.5ms\n` +
		`  matched 2/18 key=\"7\" id=a1 {\"a\":\"\u003c\"}\n  nearest 2/19: key\n    - \"7\"\n    + (none)\n  hint: look"}`
	if err != nil || string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
}

func TestEventJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body []byte
		want string
	}{
		{[]byte(`{"a": "<"}`), `"body":{"a":"<"}`},
		{[]byte("1"), `"body":1`},
		{[]byte("hello"), `"text":"hello"`},
		{nil, `"text":""`},
		{[]byte{0xff}, `"base64":"/w=="`},
	} {
		b, err := Event{Body: c.body, Partition: "0"}.MarshalJSON()
		if want := `{"partition":"0","sequence":0,"enqueuedAt":"0001-01-01T00:00:00Z",` + c.want + `}`; err != nil || string(b) != want {
			t.Errorf("%s, %v; want %s", b, err, want)
		}
	}
}

func TestEventLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"number", "1", "0/7 1"},
		{"string", `"1"`, `0/7 "1"`},
		{"object over lines", "{\n  \"a\": 1\n}", `0/7 {"a":1}`},
		{"text", "hello", "0/7 hello"},
		{"bytes", "\xff", "0/7 0xff"},
	} {
		if got := (&Event{Partition: "0", SequenceNumber: 7, Body: []byte(c.body)}).line(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestLongMiss: a text has bounds, however much there is to tell.
func TestLongMiss(t *testing.T) {
	t.Parallel()
	m := &Miss{Reason: OutOfOrder, Events: make([]Event, 13), Near: []Near{{Diff: make([]FieldDiff, 15)}}, Steps: []string{(&Want{}).label(), (&Want{Name: "n"}).label()}}
	text := m.Text()
	for _, want := range []string{"want 2 events in order in the hub since the mark", "wanted: any event", "wanted: n", "... and 3 more", "... and 5 more differences"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if got := Body(make([]byte, 300)).Diff(Event{Body: []byte{0xff}})[0].Want; len(got.(string)) != 300 {
		t.Errorf("text of 300 bytes: %v", got)
	}
	if got := bodyText(bytes.Repeat([]byte{0xff}, 300)); !strings.HasSuffix(got, "ff... (300 bytes)") || len(got) > 600 {
		t.Errorf("300 bytes show as %s", got)
	}
}

// TestShown: how values look in texts.
func TestShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    any
		want string
	}{
		{"order.v1", "order.v1"},
		{"two words", "two words"},
		{"", `""`},
		{" x", `" x"`},
		{"1", `"1"`},
		{"1.x", "1.x"},
		{"-", "-"},
		{"true", `"true"`},
		{`"x"`, `"\"x\""`},
		{"a\nb", `"a\nb"`},
		{"(none)", `"(none)"`},
		{nil, "null"},
		{json.Number("1.50"), "1.50"},
		{map[string]any{"b": "<", "a": nil}, `{"a":null,"b":"<"}`},
		{Absent{}, "(none)"},
		{strings.Repeat("ß", 200), strings.Repeat("ß", 160) + "... (400 bytes)"},
		{make(chan int), "0x"},
	} {
		if got := shown(c.v); got != c.want && (c.want != "0x" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%v shows as %s, want %s", c.v, got, c.want)
		}
	}
	want, got := shownPair(map[string]any{"a": 1}, `{"a":1}`)
	if want != `{"a":1}` || got != `"{\"a\":1}"` {
		t.Errorf("alike: %s and %s", want, got)
	}
	long := strings.Repeat("x", 500)
	want, got = shownPair(long+"a", long+"b"+long)
	if want != "..."+strings.Repeat("x", 40)+"a (501 bytes)" || got != "..."+strings.Repeat("x", 40)+"b"+strings.Repeat("x", 119)+"... (1001 bytes)" {
		t.Errorf("long: %s and %s", want, got)
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "1µs", 340_400: "340µs", 1500 * time.Microsecond: "1.5ms", 12_345 * time.Microsecond: "12.3ms", 500_600 * time.Microsecond: "500ms", 999_960 * time.Microsecond: "1s",
		5_004_300 * time.Microsecond: "5s", 61_040 * time.Millisecond: "1m1s", 10 * time.Minute: "10m", 24 * time.Hour: "24h", 90 * time.Minute: "1h30m",
	} {
		if got := shownDuration(d); got != want {
			t.Errorf("%v shows as %s, want %s", d, got, want)
		}
	}
}
