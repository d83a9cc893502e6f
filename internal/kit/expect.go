package kit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// NoLimit as Expectation.Max is any number of events.
const NoLimit = -1

// Expectation is how many events are wanted for which all matchers hold. An event counts for every expectation it matches.
type Expectation struct {
	Name  string  // for texts; ""
	Where []Match // none: every event
	Min   int
	Max   int // NoLimit: no upper bound
}

// AtLeast wants n events or more.
func AtLeast(n int, where ...Match) Expectation {
	return Expectation{Where: where, Min: n, Max: NoLimit}
}

// Exactly wants n events and no more.
func Exactly(n int, where ...Match) Expectation { return Expectation{Where: where, Min: n, Max: n} }

// None wants no event.
func None(where ...Match) Expectation { return Exactly(0, where...) }

// diff gives what does not hold for the event.
func (x *Expectation) diff(e Event) []FieldDiff {
	var all []FieldDiff
	for i := range x.Where {
		all = append(all, x.Where[i].Diff(e)...)
	}
	return all
}

// check says what is wrong with the expectation, whatever there may be in the hub.
func (x *Expectation) check(h *hub.Hub) error {
	switch {
	case x.Min < 0:
		return invalid("%d events cannot be wanted; the least is 0.", x.Min)
	case x.Max != NoLimit && x.Max < x.Min:
		return invalid("At least %d events and at most %d cannot be wanted together.", x.Min, x.Max)
	}
	for i := range x.Where {
		if err := x.Where[i].check(h); err != nil {
			return err
		}
	}
	return nil
}

// Request is what has to hold for a hub's events after a mark.
type Request struct {
	Expect []Expectation

	// All gives back every event that matches an expectation without upper bound, of those that are there when the request is decided, up to
	// 1000 for each. Without it such an expectation gives its first Min events, and nothing behind the last of them is looked at.
	All bool

	// Ordered wants the events in the order of the expectations, each as often as its Min: of two that are in one partition the one wanted
	// first comes first. Events of different partitions have no order. Every event that matches is kept until the request is decided. There
	// are up to 1000 steps.
	Ordered bool

	// Unique, if set, wants another key for each event: of those that match an expectation, or of all if there is none. An event without a
	// key fails the request as well. UniqueBy names the key in texts.
	Unique   func(Event) (key string, ok bool)
	UniqueBy string

	// OthersForbidden wants every event to match an expectation.
	OthersForbidden bool

	// Settle is how long no event may come that breaks an upper bound, Unique or OthersForbidden, after all that was under way has been
	// stored (Quiesce). 0: what was under way is enough.
	Settle time.Duration
}

// check says what is wrong with the request: what cannot be read must not pass for what does not come.
func (r *Request) check(h *hub.Hub) error {
	if len(r.Expect) == 0 && r.Unique == nil && !r.OthersForbidden {
		return invalid("Nothing is wanted.")
	}
	steps := 0
	for i := range r.Expect {
		if err := r.Expect[i].check(h); err != nil {
			return err
		}
		steps += r.Expect[i].Min
		if r.Ordered && steps > stepsMax {
			return invalid("More than %d events cannot be wanted in order.", stepsMax)
		}
	}
	return nil
}

// provesAbsence says whether the request wants that something does not happen, which takes more than to see what does.
func (r *Request) provesAbsence() bool {
	return r.Unique != nil || r.OthersForbidden ||
		slices.ContainsFunc(r.Expect, func(x Expectation) bool { return x.Max != NoLimit })
}

// Result is an expectation that holds.
type Result struct {
	Events []Event       // that match, each once: in the order of the steps if the request is Ordered, else of Reader.Sort
	More   bool          // there may be more that match: since Mark, or, if absence was proved as well, between the Events
	Seen   int           // events looked at
	Waited time.Duration // by the machine's clock
	Mark   Mark          // behind the last event looked at
	Proof  string        // what was waited for to know that nothing else comes; "" if nothing had to be known
}

// MarshalJSON has ok, waitedMs, seen, mark (its name), proof, more and events.
func (r *Result) MarshalJSON() ([]byte, error) {
	events := make([]eventJSON, len(r.Events)) // not the Events, whose JSON the encoder would go over once more
	for i := range r.Events {
		events[i] = r.Events[i].forJSON()
	}
	return encodeJSON(struct {
		OK       bool        `json:"ok"`
		WaitedMs float64     `json:"waitedMs"`
		Seen     int         `json:"seen"`
		Mark     string      `json:"mark,omitempty"`
		Proof    string      `json:"proof,omitempty"`
		More     bool        `json:"more,omitempty"`
		Events   []eventJSON `json:"events"`
	}{true, milliseconds(r.Waited), r.Seen, r.Mark.Name, r.Proof, r.More, events})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Expect waits until the request holds for what is stored in the hub after the mark, or until it cannot hold any more, or for ctx to end.
// As long as the request only wants events, it returns with the event that completes it. Events are looked at in the order of Reader.Sort, as
// far as they are there at the same time.
//
// A request that does not hold is a *Miss. Other errors: kind Invalid for a request that no events can decide, at once; kind NotFound,
// *StaleError, kind Updated once the hub is deleted.
func (s *Space) Expect(ctx context.Context, hubName string, since Mark, request Request) (*Result, error) {
	r, err := s.Reader(hubName, since)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := request.check(r.hub); err != nil {
		return nil, err
	}
	v := newEvaluation(&request)
	start := time.Now()
	proof, err := v.run(ctx, r, s.settled)
	waited := time.Since(start)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return nil, err
	}
	if err != nil {
		v.late(err)
	}
	if m := v.miss; m != nil {
		m.Seen, m.Waited, m.Hub, m.Since = v.seen, waited, r.hub.Name(), since.text()
		m.Hints = s.hints(r, m)
		return nil, m
	}
	result := &Result{Events: v.events(), More: v.more, Seen: v.seen, Waited: waited, Mark: r.Mark(), Proof: proof}
	if !request.Ordered {
		r.Sort(result.Events)
	}
	return result, nil
}

// settled waits until nothing is under way, and says what that means.
func (s *Space) settled(ctx context.Context) (proof string, err error) {
	if s.kit.fence != nil {
		proof = "all bytes received are looked at and "
	}
	return proof + "all deliveries under way are settled", s.Quiesce(ctx)
}

// List gives the events after the mark that match, of those that are there: the oldest, up to max.
func (s *Space) List(hubName string, since Mark, where []Match, max int) (*Result, error) {
	r, err := s.Reader(hubName, since)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	x := AtLeast(0, where...)
	if err := x.check(r.hub); err != nil {
		return nil, err
	}
	result := &Result{}
	err = r.Drain(func(e Event) (enough bool) {
		result.Seen++
		if len(x.diff(e)) == 0 {
			result.Events = append(result.Events, e)
		}
		result.More = len(result.Events) == max
		return result.More
	})
	if err != nil {
		return nil, err
	}
	r.Sort(result.Events)
	result.Mark = r.Mark()
	return result, nil
}

// run reads until the request is decided: it holds if v.miss is nil.
func (v *evaluation) run(ctx context.Context, from *Reader, settle func(context.Context) (string, error)) (proof string, err error) {
	if err := v.readUntil(ctx, from, func() bool { return v.miss != nil || v.holds() }); err != nil {
		return "", err
	}
	if v.miss != nil || !v.request.provesAbsence() {
		return "", nil
	}
	if proof, err = settle(ctx); err != nil {
		return "", err
	}
	if err := from.Drain(v.take); err != nil || v.miss != nil || v.request.Settle <= 0 {
		return proof, err
	}
	quiet, cancel := context.WithTimeout(ctx, v.request.Settle)
	defer cancel()
	err = v.readUntil(quiet, from, func() bool { return v.miss != nil })
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // it stayed quiet
	}
	return proof + ", and nothing came for " + shownDuration(v.request.Settle), err
}

// readUntil looks at events until done, or until the context ends: then it looks once more, since what came at that moment counts.
func (v *evaluation) readUntil(ctx context.Context, from *Reader, done func() bool) error {
	var ended error
	for {
		if err := from.Drain(v.take); err != nil {
			return err
		}
		if done() {
			return nil
		}
		if ended != nil {
			return ended
		}
		ended = from.Wait(ctx)
	}
}

// evaluation is a request being looked at.
type evaluation struct {
	request *Request
	tallies []tally
	seen    int
	keys    map[string]Event // first event of each key
	others  []Event          // without expectations: what was seen, as far as it may be shown
	more    bool             // not all that match are kept
	order   *ordering
	miss    *Miss // why the request cannot hold any more
}

// tally is one expectation's events so far.
type tally struct {
	*Expectation
	keep   int     // how many events to give back
	events []Event // those that match: the first ones
	count  int
	near   []Near
}

const (
	nearMax       = 3    // near misses that are kept and shown
	eventsKeepMax = 1000 // events that are given back of which no number was named
)

func newEvaluation(r *Request) *evaluation {
	v := &evaluation{request: r, tallies: make([]tally, len(r.Expect))}
	for i := range r.Expect {
		x := &r.Expect[i]
		v.tallies[i] = tally{Expectation: x, keep: x.Min}
		switch {
		case x.Max != NoLimit:
			v.tallies[i].keep = x.Max + 1 // one too many is shown
		case r.All:
			v.tallies[i].keep = max(x.Min, eventsKeepMax)
		}
	}
	if r.Ordered {
		v.order = newOrdering(r.Expect)
	}
	if r.Unique != nil {
		v.keys = make(map[string]Event)
	}
	return v
}

// take looks at one event. It has had enough once the request is decided.
func (v *evaluation) take(e Event) (enough bool) {
	v.seen++
	free := len(v.tallies) == 0
	if free && len(v.others) < eventsKeepMax {
		v.others = append(v.others, e)
	} else if free {
		v.more = true
	}
	matched := false
	for i := range v.tallies {
		if v.count(i, e) {
			matched = true
		}
	}
	if !matched && v.request.OthersForbidden {
		v.fail(&Miss{Reason: Unexpected, Events: []Event{e}, Near: v.nearest(e)})
	}
	if (matched || free) && v.request.Unique != nil {
		v.unique(e)
	}
	if v.miss != nil || v.request.provesAbsence() {
		return v.miss != nil
	}
	return (v.order == nil || v.order.pays()) && v.holds() && v.full()
}

// full says whether nothing more is to be given back of what is there.
func (v *evaluation) full() bool {
	if !v.request.All || v.request.Ordered {
		return true
	}
	for i := range v.tallies {
		if t := &v.tallies[i]; len(t.events) == t.keep {
			v.more = true
		}
	}
	return v.more
}

// count adds the event to an expectation if it matches.
func (v *evaluation) count(i int, e Event) bool {
	t := &v.tallies[i]
	if diff := t.diff(e); len(diff) > 0 {
		t.missedBy(e, diff)
		return false
	}
	t.count++
	if len(t.events) < t.keep {
		t.events = append(t.events, e)
	} else if v.request.All {
		v.more = true
	}
	if v.order != nil {
		v.order.add(i, e)
	}
	if t.Max != NoLimit && t.count > t.Max {
		v.fail(&Miss{Reason: TooMany, Want: wantOf(t), Matched: t.count, Events: t.events})
	}
	return true
}

func (t *tally) missedBy(e Event, diff []FieldDiff) {
	n := Near{Event: e, Diff: diff}
	at, _ := slices.BinarySearchFunc(t.near, n, func(have, n Near) int {
		if len(have.Diff) <= len(n.Diff) {
			return -1 // of equals the first that came stays in front
		}
		return 1
	})
	if at < nearMax {
		t.near = slices.Insert(t.near, at, n)
		t.near = t.near[:min(len(t.near), nearMax)]
	}
}

// nearest says how an unexpected event differs from the expectation it is closest to.
func (v *evaluation) nearest(e Event) []Near {
	var best []FieldDiff
	for i := range v.tallies {
		if diff := v.tallies[i].diff(e); best == nil || len(diff) < len(best) {
			best = diff
		}
	}
	if best == nil {
		return nil
	}
	return []Near{{Event: e, Diff: best}}
}

func (v *evaluation) unique(e Event) {
	key, ok := v.request.Unique(e)
	if !ok {
		v.fail(&Miss{Reason: NoKey, KeyName: v.request.UniqueBy, Events: []Event{e}})
		return
	}
	if first, twice := v.keys[key]; twice {
		v.fail(&Miss{Reason: Duplicate, Key: key, KeyName: v.request.UniqueBy, Events: []Event{first, e}})
		return
	}
	const bodyBytesMax = 1 << 10
	e.Body, e.Properties = bytes.Clone(e.Body[:min(len(e.Body), bodyBytesMax)]), nil // enough to show it
	v.keys[key] = e
}

// fail keeps the first reason.
func (v *evaluation) fail(m *Miss) {
	if v.miss == nil {
		v.miss = m
	}
}

// holds says whether all that is wanted is there.
func (v *evaluation) holds() bool {
	for i := range v.tallies {
		if v.tallies[i].count < v.tallies[i].Min {
			return false
		}
	}
	return v.order == nil || v.order.solved()
}

// late is the reason of a request that ran out of time.
func (v *evaluation) late(err error) {
	for i := range v.tallies {
		if t := &v.tallies[i]; t.count < t.Min {
			v.fail(&Miss{Reason: TooFew, Want: wantOf(t), Matched: t.count, Events: t.events, Near: t.near, Err: err})
			return
		}
	}
	if v.order != nil && !v.order.solved() {
		m := v.disorder()
		m.Err = err
		v.fail(m)
		return
	}
	v.fail(&Miss{Reason: Unsettled, Err: err})
}

// disorder says why events for all steps, each by itself, are not enough.
func (v *evaluation) disorder() *Miss {
	if scarce := v.order.scarce; scarce != nil {
		events := v.order.fit(scarce)
		want := &Want{Min: len(scarce), Max: NoLimit, Where: []string{strings.Join(v.labels(scarce), " or ")}}
		return &Miss{Reason: TooFew, Want: want, Matched: len(events), Events: events}
	}
	m := &Miss{Reason: OutOfOrder, Events: v.order.firsts()}
	if v.order.unknown {
		m.Reason = Ambiguous
	}
	for step := range v.order.steps {
		m.Steps = append(m.Steps, v.label(step))
	}
	return m
}

func (v *evaluation) label(step int) string { return wantOf(&v.tallies[v.order.steps[step]]).label() }

// labels names steps, those that are called alike once.
func (v *evaluation) labels(steps []int) (list []string) {
	for _, step := range steps {
		if label := v.label(step); !slices.Contains(list, label) {
			list = append(list, label)
		}
	}
	return list
}

// events are what the request matched.
func (v *evaluation) events() []Event {
	if v.order != nil {
		return v.order.chosen
	}
	all := v.others
	for i := range v.tallies {
		all = append(all, v.tallies[i].events...)
	}
	return distinct(all)
}

// distinct sorts events by when they were stored, and leaves each once.
func distinct(events []Event) []Event {
	slices.SortStableFunc(events, stored)
	return slices.CompactFunc(events, func(a, b Event) bool { return stored(a, b) == 0 })
}

// stored compares events by when, then where they were stored.
func stored(a, b Event) int {
	if c := a.EnqueuedAt.Compare(b.EnqueuedAt); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(len(a.Partition), len(b.Partition)), // decimal numbers
		cmp.Compare(a.Partition, b.Partition),
		cmp.Compare(a.SequenceNumber, b.SequenceNumber))
}

// UniqueBy names a key for Request.Unique: "id", "key", "body", "body.<path>" or "props.<name>".
func UniqueBy(name string) (func(Event) (key string, ok bool), error) {
	kind, rest, _ := strings.Cut(name, ".")
	switch {
	case name == "id":
		return func(e Event) (string, bool) { return e.ID, e.ID != "" }, nil
	case name == "key":
		return func(e Event) (string, bool) { return e.PartitionKey, e.PartitionKey != "" }, nil
	case name == "body":
		return func(e Event) (string, bool) { return string(e.Body), true }, nil
	case kind == "props" && rest != "":
		return func(e Event) (string, bool) {
			v, ok := e.Properties[rest]
			return rawShown(plainValue(v)), ok
		}, nil
	case kind == "body" && rest != "":
		path, err := parsePath(rest)
		if err != nil {
			return nil, err
		}
		return func(e Event) (string, bool) {
			body, err := parseJSON(e.Body)
			v, ok := path.find(body)
			return rawShown(v), ok && err == nil
		}, nil
	}
	return nil, fmt.Errorf("%.40q names no key; there are id, key, body, body.<path> and props.<name>", name)
}
