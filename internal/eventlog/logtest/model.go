package logtest

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// model is a scene whose log is compared, step by step, with a slice.
type model struct {
	*scene
	rnd  *rand.Rand
	ever []eventlog.Record // all that were appended
	kept int               // index in ever of the first kept
	next eventlog.Position // as far as it can be known
	last eventlog.Position
}

// testModel does random things with a log, and wants from each what a slice would give.
func testModel(s *scene) {
	m := &model{scene: s, rnd: rand.New(rand.NewPCG(s.seed(), 0)), next: s.start}
	m.last = eventlog.Position{Seq: s.start.Seq - 1, Offset: eventlog.OffsetNone}
	for range 3000 {
		switch dice := m.rnd.IntN(100); {
		case dice < 35:
			m.appendSome()
		case dice < 70:
			m.readSome()
		case dice < 78:
			m.trimSome()
		case dice < 98:
			m.seekSome()
		case dice == 98 && s.Reopen != nil:
			s.reopen()
		default:
			s.clock.ms.Add(m.rnd.Int64N(2000) - 500)
		}
		m.checkState()
	}
}

// pick gives a number from 0 to n, often one of the ends.
func (m *model) pick(n int) int {
	switch m.rnd.IntN(5) {
	case 0:
		return 0
	case 1:
		return n
	default:
		return m.rnd.IntN(n + 1)
	}
}

// data is mostly small, sometimes some KiB, rarely larger than any piece of memory.
func (m *model) data() []byte {
	most := 200
	switch m.rnd.IntN(100) {
	case 0:
		most = 400_000
	case 1, 2, 3:
		most = 20_000
	}
	letter := string(rune('a' + m.rnd.IntN(26)))
	return []byte(strings.Repeat(letter, m.pick(most)))
}

func (m *model) appendSome() {
	b := &eventlog.Batch{}
	for range 1 + m.pick(5) {
		data := m.data()
		at := m.pick(len(data))
		b.Records = append(b.Records, eventlog.Record{Step: 1 + m.rnd.Int64N(1000), Data: data[:at], Tail: data[at:]})
	}
	m.ok(appendAndWait(m.log, b))
	if want := m.follows(m.next, b.First); b.First != want || b.First.TimeMs < m.last.TimeMs {
		m.Fatalf("appended at %+v, want %+v, not before %d", b.First, want, m.last.TimeMs)
	}
	pos := b.First
	for _, r := range b.Records {
		if m.Foreign {
			r.Step = 1
		}
		r.Position = pos
		r.Data, r.Tail = slices.Concat(r.Data, r.Tail), nil
		m.ever = append(m.ever, r)
		m.last = pos
		pos.Seq++
		pos.Offset += r.Step
	}
	m.next = eventlog.Position{Seq: pos.Seq, Offset: pos.Offset}
}

// someSeq is a sequence number at or near a record's.
func (m *model) someSeq() int64 {
	if len(m.ever) == 0 {
		return m.start.Seq + int64(m.rnd.IntN(3)) - 1
	}
	i := m.pick(len(m.ever) - 1)
	if m.rnd.IntN(2) == 0 {
		i = m.kept + m.pick(len(m.ever)-m.kept) // perhaps the end
	}
	if i == len(m.ever) {
		return m.next.Seq + int64(m.rnd.IntN(2))
	}
	return m.ever[i].Seq
}

func (m *model) readSome() {
	from, bytesMax := m.someSeq(), []int{0, 100, 1000, 50_000, 10_000_000}[m.rnd.IntN(5)]
	state := m.log.State()
	var into eventlog.Records
	defer into.Release()
	switch {
	case from < state.First:
		m.wantTrimmed(m.log.Read(from, bytesMax, &into), state.First)
		return
	case from > state.Next.Seq:
		m.wantBeyond(m.log.Read(from, bytesMax, &into), state.Next.Seq)
		return
	case from == state.Next.Seq:
		m.ok(m.log.Read(from, bytesMax, &into))
		m.wantData(into.List)
		return
	}
	m.ok(newReader(m.log).read(from, bytesMax, &into))
	want := m.ever[m.kept:]
	for want[0].Seq < from {
		want = want[1:]
	}
	bytes := 0
	for i, r := range into.List {
		bytes += len(r.Data)
		if i >= len(want) || r.Position != want[i].Position || r.Step != want[i].Step || string(r.Data) != string(want[i].Data) {
			m.Fatalf("Read from %d of %d bytes: record %d is %+v with %d bytes, not what was appended", from, bytesMax, i, r.Position, len(r.Data))
		}
	}
	if len(into.List) > 1 && bytes > bytesMax {
		m.Fatalf("Read from %d gives %d records of %d bytes, more than %d", from, len(into.List), bytes, bytesMax)
	}
}

func (m *model) trimSome() {
	if m.rnd.IntN(4) > 0 && len(m.ever) > m.kept { // mostly a little, so that the log grows
		m.trim(m.ever[min(m.kept+m.rnd.IntN(20), len(m.ever)-1)].Seq)
		return
	}
	m.trim(m.someSeq())
}

func (m *model) trim(before int64) {
	m.log.Trim(before)
	for m.kept < len(m.ever) && m.ever[m.kept].Seq < before {
		m.kept++
	}
}

func (m *model) seekSome() {
	q := eventlog.Query{By: eventlog.By(m.rnd.IntN(3)), After: m.rnd.IntN(2) == 0, Value: m.rnd.Int64N(10)}
	if len(m.ever) > 0 {
		q.Value = key(q.By, m.ever[m.pick(len(m.ever)-1)].Position) + m.rnd.Int64N(3) - 1
	}
	got, err := m.seek(q)
	if want := seekSlowly(m.ever[m.kept:], m.log.State().Next, q); err != nil || got != want {
		m.Fatalf("Seek(%+v) gives %+v, error %v, want %+v", q, got, err, want)
	}
}

func (m *model) checkState() {
	m.Helper()
	got := m.log.State()
	next := m.follows(m.next, got.Next)
	want := eventlog.State{First: next.Seq, Next: next, Last: m.last, Bytes: got.Bytes}
	want.Next.TimeMs = 0
	if m.kept < len(m.ever) {
		want.First = m.ever[m.kept].Seq
	}
	if got != want || got.Empty() != (m.kept == len(m.ever)) {
		m.Fatalf("state is %+v, want %+v", got, want)
	}
}
