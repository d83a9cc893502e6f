package kit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// Op is what a client does when a fault meets it.
type Op uint8

const (
	AnyOp   Op = iota // whatever the fault can act on
	Connect           // a connection was opened
	Auth              // a credential was put
	Attach            // a link is about to be opened
	Send              // a message, one event or a batch of events, came in
	Deliver           // one event is about to go out to a reader
	Manage            // properties of a hub or partition are asked for
	opCount
)

var opNames = [opCount]string{"any", "connect", "auth", "attach", "send", "deliver", "manage"}

// MarshalText gives the operation's name.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

func (o Op) String() string {
	if o >= opCount {
		return "op?"
	}
	return opNames[o]
}

// ParseOp reads an operation's name; "" is AnyOp.
func ParseOp(name string) (Op, error) {
	if name == "" {
		return AnyOp, nil
	}
	if i := slices.Index(opNames[:], name); i >= 0 {
		return Op(i), nil
	}
	return 0, fmt.Errorf("%.40q is no operation; there are %s", name, strings.Join(opNames[:], ", "))
}

// opOf is the kit's word for a door's question. What is stored and not yet acknowledged is still the send.
func opOf(o hub.Op) Op {
	switch o {
	case hub.Connect:
		return Connect
	case hub.Auth:
		return Auth
	case hub.Attach:
		return Attach
	case hub.Send, hub.Stored:
		return Send
	case hub.Deliver:
		return Deliver
	}
	return Manage
}

// On says what a fault meets. The zero value of each filter is any.
//
// A door asks about a connect before it knows the namespace, unless the client came with SASL PLAIN. Such a question reaches a fault only if
// the fault's space is the only namespace of the broker, or if the fault is on Connect and its Client is a name without * and ?: then the name,
// which should be nobody else's, is all that keeps other spaces' clients out of it. About a credential a door asks once it has proved to be
// good, and so knows its namespace; a wrong one meets no fault.
//
// A Client is a pattern for the connection's container id, for the user agent that the client sends, or for one word of the user agent; *
// stands for any text and ? for any character. Where an SDK makes up its container ids, as Go's does, the application id that a program gives
// it is a word of the user agent.
//
// A send through the hub's own address has no partition yet, so Partition meets only what is sent to a partition's address; AckLost, which
// acts when the event has its place, meets both.
type On struct {
	Op        Op      `json:"op"`
	Hub       string  `json:"hub,omitempty"`
	Partition string  `json:"partition,omitempty"` // a decimal number
	Group     string  `json:"group,omitempty"`     // of readers: attach and deliver only
	Client    string  `json:"client,omitempty"`    // container id, user agent or a word of that; see above
	After     int     `json:"after,omitempty"`     // let so many pass first
	Times     int     `json:"times,omitempty"`     // then fire so often; 0: once, -1: until Remove
	Prob      float64 `json:"prob,omitempty"`      // of firing each time, drawn from the space's seed; 0: always
}

// Fault is a misfortune waiting for its client. It is safe for concurrent use.
type Fault struct {
	space     *Space
	id        string
	on        On
	do        Do
	partition int // of on, or -1

	// Guarded by kit.mu.
	draw     *rand.Rand
	optional bool
	over     bool // removed, or fired as often as it may
	met      int  // operations that fit
	hits     int
	lastHit  time.Time
	failed   string          // why firing had no effect, the last time it had none
	missed   []passer        // who did what the fault is for, elsewhere or under another name; the first few
	waiters  []chan struct{} // capacity 1 each
}

// Fault sets a fault. Kinds: Invalid, NotFound and OutOfRange for a hub, group or partition that is not there, so that no fault waits for
// what cannot come; Closed once the space is deleted.
func (s *Space) Fault(on On, do Do) (*Fault, error) {
	f := &Fault{space: s, on: on, do: do, partition: -1}
	if err := f.check(); err != nil {
		return nil, err
	}
	k := s.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.gone {
		return nil, &hub.Error{Kind: hub.Closed, Text: fmt.Sprintf("The space '%s' is deleted.", s.name)}
	}
	s.nextID++
	f.id = "f" + strconv.Itoa(s.nextID)
	f.draw = rand.New(rand.NewPCG(s.seed, uint64(s.nextID)))
	s.faults = append(s.faults, f)
	s.live = append(s.live, f)
	k.installLocked()
	return f, nil
}

func invalid(format string, args ...any) error {
	return &hub.Error{Kind: hub.Invalid, Text: fmt.Sprintf(format, args...)}
}

func (f *Fault) check() error {
	on, do := &f.on, &f.do
	switch {
	case do.kind == 0:
		return invalid("The fault says what it meets but not what it does.")
	case on.Op >= opCount:
		return invalid("The fault's operation is none of %s.", strings.Join(opNames[:], ", "))
	case on.After < 0:
		return invalid("The fault's After is %d; it cannot be negative.", on.After)
	case on.Times < -1:
		return invalid("The fault's Times is %d; it is how often to fire, 0 for once, or -1 for until it is removed.", on.Times)
	case !(on.Prob >= 0 && on.Prob <= 1):
		return invalid("The fault's Prob is %v; a probability is between 0 and 1.", on.Prob)
	}
	if err := do.check(on.Op); err != nil {
		return err
	}
	return f.checkPlace()
}

// checkPlace sees that hub, partition and group can be met.
func (f *Fault) checkPlace() error {
	on := &f.on
	early := on.Op == Connect || on.Op == Auth
	switch {
	case early && (on.Hub != "" || on.Partition != "" || on.Group != ""):
		return invalid("On %s neither hub nor partition nor group is known yet; name the Client, or use attach.", on.Op)
	case on.Group != "" && on.Op != AnyOp && on.Op != Attach && on.Op != Deliver:
		return invalid("A group belongs to readers: with a Group the operation is attach or deliver, not %s.", on.Op)
	case on.Partition != "" && on.Op == Manage:
		return invalid("Questions about properties are met by their hub; leave out the Partition.")
	case on.Op == Connect && !on.namesClient() && len(f.space.kit.hall.Namespaces()) > 1:
		return invalid("On connect it is not known yet which space a client belongs to, and there are several here. " +
			"Name a Client that is this test's alone, without * and ?, or use attach.")
	}
	if on.Partition != "" {
		n, err := strconv.Atoi(on.Partition)
		if err != nil || n < 0 || strconv.Itoa(n) != on.Partition {
			return invalid("The fault's Partition %.40q is not a decimal number.", on.Partition)
		}
		f.partition = n
	}
	if on.Hub == "" {
		return nil
	}
	h, err := f.space.ns.Hub(on.Hub)
	if err != nil {
		return err
	}
	if on.Partition != "" {
		if _, err := h.Partition(on.Partition); err != nil {
			return err
		}
	}
	if on.Group != "" && !h.HasGroup(on.Group) {
		return &hub.Error{Kind: hub.NotFound, Text: fmt.Sprintf("The hub '%s' has no consumer group '%.60s'.", h.Name(), on.Group),
			Hint: "groups here: " + strings.Join(h.Groups(), ", ")}
	}
	return nil
}

// ID is f1 and so on, by the order in which the space's faults came.
func (f *Fault) ID() string { return f.id }

// On is what the fault meets.
func (f *Fault) On() On { return f.on }

// Do is what the fault does.
func (f *Fault) Do() Do { return f.do }

// Hits is how often the fault has fired. It is counted when the fault decides, so the client may not have felt it yet.
func (f *Fault) Hits() int {
	f.space.kit.mu.Lock()
	defer f.space.kit.mu.Unlock()
	return f.hits
}

// Live says whether the fault may still fire.
func (f *Fault) Live() bool {
	f.space.kit.mu.Lock()
	defer f.space.kit.mu.Unlock()
	return !f.over
}

// Wait returns once the fault has fired n times. It fails with the context's error, and at once when the fault is over with fewer hits.
func (f *Fault) Wait(ctx context.Context, n int) error {
	k := f.space.kit
	changed := make(chan struct{}, 1)
	k.mu.Lock()
	f.waiters = append(f.waiters, changed)
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		f.waiters = slices.DeleteFunc(f.waiters, func(c chan struct{}) bool { return c == changed })
	}()
	for {
		k.mu.Lock()
		hits, over := f.hits, f.over
		k.mu.Unlock()
		switch {
		case hits >= n:
			return nil
		case over:
			return fmt.Errorf("%s is over after %s; %d can never be", f, plural(hits, "hit"), n)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s has %s, want %d: %w", f, plural(hits, "hit"), n, ctx.Err())
		}
	}
}

func (f *Fault) wakeLocked() {
	for _, c := range f.waiters {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// endLocked takes the fault out of charge.
func (f *Fault) endLocked() {
	f.over = true
	f.space.live = slices.DeleteFunc(f.space.live, func(other *Fault) bool { return other == f })
	f.space.kit.installLocked()
}

// Remove takes the fault out of charge and out of the list. What it has decided already still happens. Removing twice is allowed.
func (f *Fault) Remove() {
	k := f.space.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	f.space.faults = slices.DeleteFunc(f.space.faults, func(other *Fault) bool { return other == f })
	f.endLocked()
	f.wakeLocked()
}

// Optional allows the fault never to fire.
func (f *Fault) Optional() *Fault {
	f.space.kit.mu.Lock()
	defer f.space.kit.mu.Unlock()
	f.optional = true
	return f
}

// String names the fault in a sentence.
func (f *Fault) String() string { return fmt.Sprintf("fault %s (%s on %s)", f.id, f.do, f.on.Op) }

// MarshalJSON shows the fault with its id, what it meets and does, its hits and whether it may still fire.
func (f *Fault) MarshalJSON() ([]byte, error) {
	return encodeJSON(struct {
		ID   string `json:"fault"`
		On   On     `json:"on"`
		Do   Do     `json:"do"`
		Hits int    `json:"hits"`
		Live bool   `json:"live"`
	}{f.id, f.on, f.do, f.Hits(), f.Live()})
}

// Faults lists the space's faults that were not removed, in the order they came.
func (s *Space) Faults() []*Fault {
	s.kit.mu.Lock()
	defer s.kit.mu.Unlock()
	return slices.Clone(s.faults)
}

// FaultNamed finds a fault by its id. Kind: NotFound.
func (s *Space) FaultNamed(id string) (*Fault, error) {
	faults := s.Faults()
	i := slices.IndexFunc(faults, func(f *Fault) bool { return f.id == id })
	if i < 0 {
		return nil, &hub.Error{Kind: hub.NotFound, Text: fmt.Sprintf("The space '%s' has no fault '%.32s'; it may have been removed.", s.name, id)}
	}
	return faults[i], nil
}

// Shortfall says what the fault was to do and has not done, and why, as far as that is known; "" if there is nothing to say. Unless it is
// optional or removed, a fault is to fire as often as its Times; once if that is -1, or if chance decides.
func (f *Fault) Shortfall() string {
	f.space.kit.mu.Lock()
	defer f.space.kit.mu.Unlock()
	want := max(f.on.Times, 1)
	if f.on.Prob > 0 {
		want = 1
	}
	if f.optional || f.hits >= want || !slices.Contains(f.space.faults, f) {
		return ""
	}
	text := f.String() + " never fired: "
	if f.hits > 0 {
		text = fmt.Sprintf("%s fired %d of %d times: ", f, f.hits, want)
	}
	switch {
	case f.failed != "":
		return text + f.failed
	case f.met <= f.on.After && f.met > 0:
		return fmt.Sprintf("%sit met %s and lets %d pass", text, plural(f.met, "operation"), f.on.After)
	case f.on.Prob > 0 && f.met > 0:
		return fmt.Sprintf("%sit met %s, and chance (Prob %v) let all pass", text, plural(f.met, "operation"), f.on.Prob)
	case len(f.missed) > 0:
		return text + f.on.place() + " was meant, and there came " + strings.Join(texts(f.missed), ", ")
	case f.met > 0:
		return text + "nothing more that it could meet has happened"
	}
	return text + "nothing that it could meet has happened"
}

// place names the filters that are set.
func (on *On) place() string {
	var list []string
	for _, filter := range [...]struct{ name, value string }{
		{"hub", on.Hub}, {"partition", on.Partition}, {"group", on.Group}, {"client", on.Client},
	} {
		if filter.value != "" {
			list = append(list, filter.name+" "+filter.value)
		}
	}
	return strings.Join(list, ", ")
}

// passer is who did what a fault is for, where it is not or under a name that it does not have.
type passer struct {
	op                        Op
	client, agent, hub, group string
	partition                 int
}

const passersMax = 4 // that are kept

func (f *Fault) missedLocked(q *hub.Subject) {
	if len(f.missed) == passersMax {
		return
	}
	p := passer{op: opOf(q.Op), client: q.Client, hub: q.Hub, group: q.Group, partition: q.Partition}
	if f.on.Client != "" {
		p.agent = q.Agent
	}
	if !slices.Contains(f.missed, p) {
		f.missed = append(f.missed, p)
	}
}

func texts(list []passer) (texts []string) {
	for _, p := range list {
		text := p.op.String() + " by " + shown(p.client)
		if p.agent != "" {
			text += " (" + brief(p.agent) + ")"
		}
		if p.hub != "" {
			text += " at " + p.hub
			if p.partition >= 0 {
				text += "/" + strconv.Itoa(p.partition)
			}
		}
		if p.group != "" {
			text += " in group " + p.group
		}
		texts = append(texts, text)
	}
	if len(texts) == passersMax {
		texts = append(texts, "...")
	}
	return texts
}

// namesClient says whether the fault is for one name only.
func (on *On) namesClient() bool { return on.Client != "" && !strings.ContainsAny(on.Client, "*?") }

// mayMeetStrangers says whether the fault is meant for a client of whom nobody knows yet to which space it belongs, where there are several.
func (f *Fault) mayMeetStrangers() bool { return f.on.Op == Connect && f.on.namesClient() }

// concerns says whether the fault could answer an operation whose namespace is the space's or was not known, if place and client fit.
func (f *Fault) concerns(q *hub.Subject) bool {
	return (f.on.Op == AnyOp || f.on.Op == opOf(q.Op)) && f.do.actsOn(q)
}

// fits says whether place and client are those that the fault is for.
func (f *Fault) fits(q *hub.Subject) bool {
	on := &f.on
	switch {
	case on.Hub != "" && !strings.EqualFold(on.Hub, q.Hub):
		return false
	case f.partition >= 0 && f.partition != q.Partition:
		return false
	case on.Group != "" && !strings.EqualFold(on.Group, q.Group):
		return false
	}
	return on.Client == "" || isClient(on.Client, q)
}

// isClient says whether a pattern names the client.
func isClient(pattern string, q *hub.Subject) bool {
	if glob(pattern, q.Client) || glob(pattern, q.Agent) {
		return true
	}
	for word := range strings.FieldsSeq(q.Agent) {
		if glob(pattern, word) {
			return true
		}
	}
	return false
}

// fireLocked counts an operation that fits and says whether the fault answers it.
func (f *Fault) fireLocked(now time.Time) bool {
	f.met++
	if f.met <= f.on.After || f.on.Prob > 0 && f.draw.Float64() >= f.on.Prob {
		return false
	}
	f.hits++
	f.lastHit = now
	if times := max(f.on.Times, 1); f.on.Times >= 0 && f.hits >= times {
		f.endLocked()
	}
	f.wakeLocked()
	return true
}

// failLocked takes back a hit that had no effect.
func (f *Fault) failLocked(why string) {
	f.hits--
	f.failed = why
	if f.over && slices.Contains(f.space.faults, f) { // not removed: it may try again
		f.over = false
		f.space.live = append(f.space.live, f)
		f.space.kit.installLocked()
	}
}

// glob matches text against a pattern of * and ?.
func glob(pattern, text string) bool {
	star, resume := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0: // let the last star take one more
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
