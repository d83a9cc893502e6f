package kit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/setting"
)

// Reason says how a request failed.
type Reason string

const (
	TooFew     Reason = "too-few"
	TooMany    Reason = "too-many"
	OutOfOrder Reason = "out-of-order"
	Ambiguous  Reason = "ambiguous" // events fit steps in too many ways to find out about their order
	Duplicate  Reason = "duplicate"
	NoKey      Reason = "no-key" // an event has nothing by which it could be unique
	Unexpected Reason = "unexpected"
	Unsettled  Reason = "unsettled" // it would hold, but time ran out before it was sure that nothing else comes
)

// Miss is a request that does not hold, with what helps to see why.
type Miss struct {
	Reason  Reason
	Want    *Want // the expectation that failed; nil if the reason concerns all
	Matched int   // events that match Want
	Seen    int   // events looked at
	Near    []Near

	// Events are, of TooFew and TooMany, those that match; of Duplicate the pair, the first without its properties and with the beginning of
	// its body; of NoKey and Unexpected the one; of OutOfOrder and Ambiguous the first of each step in each partition.
	Events []Event

	Hints   []string
	Hub     string
	Since   string // the mark's name
	Waited  time.Duration
	Key     string   // Duplicate: that both have,
	KeyName string   // and what it is; of NoKey what is missing
	Steps   []string // OutOfOrder and Ambiguous: what was wanted, in order
	Err     error    // of the context, if that ended the waiting
}

// Want is an expectation as a Miss shows it.
type Want struct {
	Name  string
	Where []string // names of the matchers, with what they want
	Min   int
	Max   int // NoLimit: none
}

func wantOf(t *tally) *Want {
	return &Want{Name: t.Name, Where: matchNames(t.Where), Min: t.Min, Max: t.Max}
}

func matchNames(list []Match) (names []string) {
	for i := range list {
		names = append(names, list[i].Name)
	}
	return names
}

// Near is an event that does not match, and by what.
type Near struct {
	Event Event
	Diff  []FieldDiff
}

// Error is Text.
func (m *Miss) Error() string { return m.Text() }

// Unwrap is the context's error, if that ended the waiting.
func (m *Miss) Unwrap() error { return m.Err }

// MarshalJSON has ok, reason, want, matched, seen, near, events, hints and text.
func (m *Miss) MarshalJSON() ([]byte, error) {
	type want struct {
		Name  string   `json:"name,omitempty"`
		Where []string `json:"where,omitempty"`
		Min   int      `json:"min"`
		Max   *int     `json:"max,omitempty"`
	}
	type near struct {
		Partition string      `json:"partition"`
		Sequence  int64       `json:"sequence"`
		Distance  int         `json:"distance"`
		Diff      []FieldDiff `json:"diff"`
	}
	out := struct {
		OK       bool     `json:"ok"`
		Reason   Reason   `json:"reason"`
		Want     *want    `json:"want,omitempty"`
		Matched  int      `json:"matched"`
		Seen     int      `json:"seen"`
		Near     []near   `json:"near,omitempty"`
		Events   []Event  `json:"events,omitempty"`
		Hints    []string `json:"hints,omitempty"`
		WaitedMs float64  `json:"waitedMs"`
		Text     string   `json:"text"`
	}{
		Reason: m.Reason, Matched: m.Matched, Seen: m.Seen, Events: m.Events, Hints: m.Hints,
		WaitedMs: milliseconds(m.Waited), Text: m.Text(),
	}
	if m.Want != nil {
		out.Want = &want{Name: m.Want.Name, Where: m.Want.Where, Min: m.Want.Min}
		if m.Want.Max != NoLimit {
			out.Want.Max = &m.Want.Max
		}
	}
	for i := range m.Near {
		n := &m.Near[i]
		out.Near = append(out.Near, near{n.Event.Partition, n.Event.SequenceNumber, len(n.Diff), n.Diff})
	}
	return encodeJSON(out)
}

// Text is the miss for people, some lines without a newline at the end.
func (m *Miss) Text() string {
	var b strings.Builder
	b.WriteString(m.headline())
	for _, step := range m.Steps {
		b.WriteString("\n  wanted: " + step)
	}
	for i := range m.Events {
		if i == eventsShownMax {
			fmt.Fprintf(&b, "\n  ... and %d more", len(m.Events)-i)
			break
		}
		b.WriteString("\n  " + m.eventLabel() + " " + m.Events[i].line())
	}
	for i := range m.Near {
		m.Near[i].write(&b)
	}
	for _, hint := range m.Hints {
		b.WriteString("\n  hint: " + hint)
	}
	return b.String()
}

const (
	eventsShownMax = 10
	diffsShownMax  = 10 // of one near miss
)

func (m *Miss) headline() string {
	where := fmt.Sprintf("in %s since %s", orText(m.Hub, "the hub"), orText(m.Since, "the mark"))
	seen := fmt.Sprintf("%d seen in %s", m.Seen, shownDuration(m.Waited))
	switch m.Reason {
	case TooFew, TooMany:
		name := ""
		if m.Want.Name != "" {
			name = m.Want.Name + ": "
		}
		return fmt.Sprintf("%swant %s%s %s, matched %d of %s", name, m.Want.count(), m.Want.which(), where, m.Matched, seen)
	case OutOfOrder:
		return fmt.Sprintf("want %d events in order %s: all came, but not in this order; %s", len(m.Steps), where, seen)
	case Ambiguous:
		return fmt.Sprintf("want %d events in order %s: all came, but they fit the steps in too many ways to find out whether in this order; "+
			"make the matchers more specific; %s", len(m.Steps), where, seen)
	case NoKey:
		key := orText(m.KeyName, "key")
		return fmt.Sprintf("want every %s once %s: event %s has no %s; %s", key, where, m.Events[0].at(), key, seen)
	case Duplicate:
		return fmt.Sprintf("want every %s once %s: %s came twice; %s", orText(m.KeyName, "key"), where, shown(m.Key), seen)
	case Unexpected:
		return fmt.Sprintf("want no other event %s: one came that matches nothing wanted; %s", where, seen)
	}
	return fmt.Sprintf("all that is wanted came %s, but time ran out before it was sure that nothing else comes; %s", where, seen)
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (m *Miss) eventLabel() string {
	switch m.Reason {
	case TooFew, TooMany:
		return "matched"
	case OutOfOrder, Ambiguous:
		return "came:  " // as wide as "wanted:"
	}
	return "came"
}

// count says how many events are wanted.
func (w *Want) count() string {
	switch {
	case w.Max == 0:
		return "no event"
	case w.Max == w.Min:
		return plural(w.Min, "event")
	case w.Max == NoLimit:
		return "at least " + plural(w.Min, "event")
	case w.Min == 0:
		return "at most " + plural(w.Max, "event")
	}
	return fmt.Sprintf("%d to %d events", w.Min, w.Max)
}

// which names the matchers of an expectation that has no name of its own.
func (w *Want) which() string {
	if w.Name != "" || len(w.Where) == 0 {
		return ""
	}
	return " (" + strings.Join(w.Where, ", ") + ")"
}

// label names the expectation.
func (w *Want) label() string {
	switch {
	case w.Name != "":
		return w.Name
	case len(w.Where) == 0:
		return "any event"
	}
	return strings.Join(w.Where, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func (n *Near) write(b *strings.Builder) {
	for i, d := range n.Diff {
		switch {
		case i == diffsShownMax:
			fmt.Fprintf(b, "\n    ... and %d more differences", len(n.Diff)-i)
			return
		case i == 0:
			fmt.Fprintf(b, "\n  nearest %s: %s", n.Event.at(), d.Path)
		default:
			fmt.Fprintf(b, "\n    %s", d.Path)
		}
		want, got := shownPair(d.Want, d.Got)
		if d.Want != (any)(Absent{}) {
			b.WriteString("\n    - " + want)
		}
		b.WriteString("\n    + " + got)
	}
}

// shownRunesMax is how much of a value a text shows.
const shownRunesMax = 160

// shown writes a value for a text: words as they are, all else as JSON.
func shown(v any) string { return elided(v, shownRunesMax) }

// brief is shown for a place with room for a few words.
func brief(v any) string {
	const runesMax = 60
	return elided(v, runesMax)
}

func elided(v any, runesMax int) string {
	s := rawShown(v)
	if utf8.RuneCountInString(s) > runesMax {
		return string([]rune(s)[:runesMax]) + "... (" + plural(len(s), "byte") + ")"
	}
	return s
}

func rawShown(v any) string {
	if _, absent := v.(Absent); absent {
		return Absent{}.String()
	}
	if s, ok := v.(string); ok && isPlain(s) {
		return s
	}
	b, err := encodeJSON(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// isPlain says whether text needs no quotes: it has nothing invisible and cannot be taken for another JSON value.
func isPlain(s string) bool {
	if s == "" || strings.TrimSpace(s) != s || s == (Absent{}).String() {
		return false
	}
	switch first := s[0]; {
	case first == '"', first == '-' || '0' <= first && first <= '9', s == "true", s == "false", s == "null":
		if json.Valid([]byte(s)) {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// shownPair shows two values that differ. Of long ones it shows where they begin to.
func shownPair(want, got any) (string, string) {
	w, g := rawShown(want), rawShown(got)
	if w == g { // an object as text, say
		if s, ok := want.(string); ok {
			w = strconv.Quote(s)
		}
		if s, ok := got.(string); ok {
			g = strconv.Quote(s)
		}
	}
	a, b := []rune(w), []rune(g)
	if len(a) <= shownRunesMax && len(b) <= shownRunesMax {
		return w, g
	}
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	const before = 40
	from := max(0, same-before)
	return window(a, from), window(b, from)
}

func window(s []rune, from int) string {
	from = min(from, len(s))
	end := min(len(s), from+shownRunesMax)
	text := string(s[from:end])
	if from > 0 {
		text = "..." + text
	}
	if end < len(s) {
		text += "..."
	}
	if len(s) > shownRunesMax {
		text += " (" + plural(len(string(s)), "byte") + ")"
	}
	return text
}

// shownDuration rounds to what a person reads.
func shownDuration(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond} {
		if d >= unit {
			return setting.Time(d.Round(unit / 10))
		}
	}
	return d.Round(time.Microsecond).String()
}
