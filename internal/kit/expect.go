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

// Request is what has to hold for a hub's events after a mark.
type Request struct {
	Expect []Expectation

	// Ordered wants the events in the order of the expectations, each as often as its Min: of two that are in one partition the one wanted
	// first comes first. Events of different partitions have no order. Every event that matches is kept until the request is decided.
	Ordered bool

	// Unique, if set, wants another key for each event: of those that match an expectation, or of all if there is none. UniqueBy names the
	// key in texts.
	Unique   func(Event) string
	UniqueBy string

	// OthersForbidden wants every event to match an expectation.
	OthersForbidden bool

	// Settle is how long no event may come that breaks an upper bound, Unique or OthersForbidden, after all that was under way has been
	// stored (Quiesce). 0: what was under way is enough.
	Settle time.Duration
}

// provesAbsence says whether the request wants that something does not happen, which takes more than to see what does.
func (r *Request) provesAbsence() bool {
	return r.Unique != nil || r.OthersForbidden ||
		slices.ContainsFunc(r.Expect, func(x Expectation) bool { return x.Max != NoLimit })
}

// Result is an expectation that holds.
type Result struct {
	Events []Event       // that match, each once: in the order of the steps if the request is Ordered, else of Reader.Sort
	Seen   int           // events looked at
	Waited time.Duration // by the machine's clock
	Mark   Mark          // behind the last event looked at
	Proof  string        // what was waited for to know that nothing else comes; "" if nothing had to be known
}

// MarshalJSON has ok, waitedMs, seen, mark (its name), proof and events.
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
		Events   []eventJSON `json:"events"`
	}{true, milliseconds(r.Waited), r.Seen, r.Mark.Name, r.Proof, events})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Expect waits until the request holds for what is stored in the hub after the mark, or until it cannot hold any more, or for ctx to end.
// As long as the request only wants events, it returns with the event that completes it.
//
// A request that does not hold is a *Miss. Other errors: kind NotFound, *StaleError, kind Updated once the hub is deleted.
func (s *Space) Expect(ctx context.Context, hubName string, since Mark, request Request) (*Result, error) {
	r, err := s.Reader(hubName, since)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	result, err := Evaluate(ctx, r, s.settled, request)
	if m, missed := errors.AsType[*Miss](err); missed {
		m.Hub, m.Since = r.hub.Name(), since.text()
		m.Hints = s.hints(r, m)
	}
	if err != nil {
		return nil, err
	}
	if !request.Ordered {
		r.Sort(result.Events)
	}
	result.Mark = r.Mark()
	return result, nil
}

// settled waits until nothing is under way, and says what that means.
func (s *Space) settled(ctx context.Context) (proof string, err error) {
	if s.kit.fence != nil {
		proof = "all bytes received are looked at and "
	}
	return proof + "all deliveries under way are settled", s.Quiesce(ctx)
}

// Stream is where an evaluation gets its events: a Reader, or a receiver at another broker.
type Stream interface {
	// Drain gives the events that are there and were not given before, each partition's in order, until take has had enough.
	Drain(take func(Event) (enough bool)) error
	// Wait returns once there may be more, or with the context's error.
	Wait(context.Context) error
}

// Evaluate is Expect on any stream. settle waits until nothing is under way and says what it has waited for; it is asked when the request
// wants something not to happen. A Miss names neither hub nor mark and has no hints; a Result has no mark.
func Evaluate(ctx context.Context, from Stream, settle func(context.Context) (proof string, err error), request Request) (*Result, error) {
	v := newEvaluation(&request)
	start := time.Now()
	proof, err := v.run(ctx, from, settle)
	if err == nil && v.miss == nil {
		return &Result{Events: v.events(), Seen: v.seen, Waited: time.Since(start), Proof: proof}, nil
	}
	if err != nil {
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			return nil, err
		}
		v.late(err)
	}
	v.miss.Seen, v.miss.Waited = v.seen, time.Since(start)
	return nil, v.miss
}

// run reads until the request is decided: it holds if v.miss is nil.
func (v *evaluation) run(ctx context.Context, from Stream, settle func(context.Context) (string, error)) (proof string, err error) {
	if err := v.readUntil(ctx, from, func() bool { return v.holds() || v.miss != nil }); err != nil {
		return "", err
	}
	if v.miss != nil || !v.request.provesAbsence() {
		return "", nil
	}
	v.proving = true
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
func (v *evaluation) readUntil(ctx context.Context, from Stream, done func() bool) error {
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
	proving bool             // every lower bound holds; it waits to see that nothing breaks an upper one
	keys    map[string]Event // first event of each key
	others  []Event          // without expectations: what was seen, as far as it may be shown
	order   *ordering
	miss    *Miss // why the request cannot hold any more
}

// tally is one expectation's events so far.
type tally struct {
	*Expectation
	events []Event // those that match: the first ones if there is no upper bound, since no more are wanted
	count  int
	near   []Near
}

const (
	nearMax       = 3    // near misses that are kept and shown
	eventsKeepMax = 1000 // events of a request without expectations that are given back
)

func newEvaluation(r *Request) *evaluation {
	v := &evaluation{request: r, tallies: make([]tally, len(r.Expect))}
	for i := range r.Expect {
		v.tallies[i].Expectation = &r.Expect[i]
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
	return v.miss != nil || !v.request.provesAbsence() && v.holds()
}

// count adds the event to an expectation if it matches.
func (v *evaluation) count(i int, e Event) bool {
	t := &v.tallies[i]
	if diff := t.diff(e); len(diff) > 0 {
		t.missedBy(e, diff)
		return false
	}
	t.count++
	if t.Max != NoLimit || len(t.events) < t.Min {
		t.events = append(t.events, e)
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
	key := v.request.Unique(e)
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
	m := &Miss{Reason: Unsettled, Err: err}
	if !v.proving {
		m.Reason = OutOfOrder
		for i := range v.tallies {
			if t := &v.tallies[i]; t.count < t.Min {
				m.Reason, m.Want, m.Matched, m.Events, m.Near = TooFew, wantOf(t), t.count, t.events, t.near
				break
			}
		}
	}
	if m.Reason == OutOfOrder {
		m.Events = v.order.firsts()
		for _, i := range v.order.steps {
			m.Steps = append(m.Steps, wantOf(&v.tallies[i]).label())
		}
	}
	v.fail(m)
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
	slices.SortStableFunc(all, stored)
	return slices.CompactFunc(all, func(a, b Event) bool { return stored(a, b) == 0 })
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
func UniqueBy(name string) (func(Event) string, error) {
	kind, rest, _ := strings.Cut(name, ".")
	switch {
	case name == "id":
		return func(e Event) string { return e.ID }, nil
	case name == "key":
		return func(e Event) string { return e.PartitionKey }, nil
	case name == "body":
		return func(e Event) string { return string(e.Body) }, nil
	case kind == "props" && rest != "":
		return func(e Event) string { return shown(valueOr(e.Properties, rest)) }, nil
	case kind == "body" && rest != "":
		path, err := parsePath(rest)
		if err != nil {
			return nil, err
		}
		return func(e Event) string {
			body, err := parseJSON(e.Body)
			if v, ok := path.find(body); ok && err == nil {
				return shown(v)
			}
			return shown(Absent{})
		}, nil
	}
	return nil, fmt.Errorf("%.40q names no key; there are id, key, body, body.<path> and props.<name>", name)
}

func valueOr(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return plainValue(v)
	}
	return Absent{}
}
