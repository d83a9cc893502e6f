package hub

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
)

// busyAt refuses one kind of operation.
type busyAt struct{ op Op }

func (r busyAt) Ask(s *Subject) Verdict {
	if s.Op != r.op {
		return Verdict{}
	}
	return Verdict{Action: Refuse, Err: errorf(Busy, "%s of %d", s.Op, s.Records), Delay: time.Second}
}

func TestRules(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	if h.Rules() != nil || h.Reports() != nil {
		t.Error("rules or reports from the start")
	}
	h.SetRules(busyAt{Send})
	for _, op := range Ops() {
		v := h.Rules().Ask(&Subject{Op: op, Records: 3})
		if refused := v.Action == Refuse; refused != (op == Send) {
			t.Errorf("%v: %+v", op, v)
		}
		if op == Send && v.Err.Text != "send of 3" {
			t.Errorf("%v: %q", op, v.Err.Text)
		}
	}
	var told []Report
	h.SetReports(func(r *Report) { told = append(told, *r) })
	want := Report{Subject{Op: Attach, Hub: "orders", Agent: "a/1"}, errorf(NotFound, "x"), "amqp:not-found"}
	h.Reports()(&want)
	if !slices.Equal(told, []Report{want}) {
		t.Errorf("told %+v", told)
	}
	h.SetRules(nil)
	h.SetReports(nil)
	if h.Rules() != nil || h.Reports() != nil {
		t.Error("rules or reports after they were switched off")
	}
	if got := Op(77).String(); got != "op?" {
		t.Error(got)
	}
}

// TestCosts is what every event pays. It is not parallel: it counts allocations.
func TestCosts(t *testing.T) {
	h := newHall(t, Options{})
	b := newHub(t, h, Spec{Name: "orders", Partitions: 4})
	l, err := b.OpenLink(LinkInfo{Kind: Sender, Partition: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	batch := &eventlog.Batch{Done: func(*eventlog.Batch) {}}
	for range 10 {
		batch.Records = append(batch.Records, eventlog.Record{Step: 160, Data: make([]byte, 100)})
	}
	key := []byte(strings.Repeat("k", 128))
	text := string(key)
	rows := []struct {
		name string
		do   func()
	}{
		{"append", func() { b.PartitionAt(1).Append(batch) }},
		{"place", func() { b.Place(key) }},
		{"place text", func() { b.Place([]byte(text)) }},
		{"next", func() { b.Next() }},
		{"rules", func() { _ = h.Rules() }},
		{"reports", func() { _ = h.Reports() }},
		{"partition by id", func() { _, _ = b.Partition("3") }},
		{"hub by name", func() { _, _ = b.Namespace().Hub("orders") }},
		{"group by name", func() { b.HasGroup("$default") }},
		{"counters", func() { l.SetCredit(1); l.AddUnsettled(1); l.Sent(1, 1) }},
	}
	for _, row := range rows {
		if n := testing.AllocsPerRun(1000, row.do); n != 0 {
			t.Errorf("%s: %v allocations", row.name, n)
		}
	}
}

func TestTotals(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	b := newHub(t, h, Spec{Name: "Orders", Partitions: 2})
	newHub(t, h, Spec{Name: "billing", Partitions: 1})
	if err := appendN(b.PartitionAt(1), 3); err != nil {
		t.Fatal(err)
	}
	var links []*Link
	for _, info := range []LinkInfo{
		{Kind: Reader, Partition: 1, Group: "$default"}, {Kind: Reader, Partition: 1, Group: "$default"}, {Kind: Sender, Partition: 1},
	} {
		l, err := b.OpenLink(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Sent(2, 200)
		links = append(links, l)
	}
	check := func(readers int) {
		t.Helper()
		want := []Totals{
			{Namespace: "ns", Hub: "billing"},
			{Namespace: "ns", Hub: "Orders"},
			{Namespace: "ns", Hub: "Orders", Partition: 1, RecordsIn: 3, BytesIn: 300, RecordsOut: 4, BytesOut: 400, Readers: readers},
		}
		if got := h.Totals(); !slices.Equal(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	check(2)
	links[0].Close()
	check(1)
	links[1].Close()
	links[2].Close()
	check(0)
}

// TestEvicted floods a small budget: every record that went is counted, and each burst is one line.
func TestEvicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h *Hall
		store := memlog.New(memlog.Options{
			BytesMax: 64 << 10,
			OnEvict:  func(id eventlog.HubID, partition int, first, records int64) { h.Evicted(id, partition, first, records) },
		})
		defer store.Close()
		var lines bytes.Buffer
		h = newHall(t, Options{Store: store, Log: slog.New(slog.NewTextHandler(&lines, nil))})
		b := newHub(t, h, Spec{Name: "Orders", Partitions: 1})
		for range 2 {
			for range 100 {
				if err := appendN(b.PartitionAt(0), 20); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(evictedQuietMs*time.Millisecond + time.Second)
		}
		first := b.PartitionAt(0).State().First
		if got := h.Totals()[0].Evicted; first == 0 || got != first {
			t.Errorf("%d evicted, but the first kept is %d", got, first)
		}
		if got := strings.Count(lines.String(), "ns=ns hub=Orders part=0"); got != 2 {
			t.Errorf("%d lines, want 2:\n%s", got, lines.String())
		}
		h.Evicted(eventlog.HubID{Namespace: "ns", Name: "orders", Incarnation: "an older one"}, 0, 0, 5)
		h.Evicted(b.ID(), 1, 0, 5)
		h.Evicted(eventlog.HubID{Namespace: "other"}, 0, 0, 5)
		if got := h.Totals()[0].Evicted; got != first {
			t.Errorf("%d evicted after calls for others, want %d", got, first)
		}
	})
}

// BenchmarkStart is what a broker in a test pays for one hub of four partitions.
func BenchmarkStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		store := memlog.New(memlog.Options{})
		h, err := New(Options{Store: store})
		if err != nil {
			b.Fatal(err)
		}
		n, err := h.CreateNamespace("ns")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := n.CreateHub(Spec{Name: "orders", Partitions: 4}); err != nil {
			b.Fatal(err)
		}
		h.Close()
		store.Close()
	}
}

// BenchmarkHall is what the hall adds to an append: compare with the log alone.
func BenchmarkHall(b *testing.B) {
	store := memlog.New(memlog.Options{BytesMax: 16 << 20}) // soon full, so that both logs are in their steady state
	defer store.Close()
	hub := newHub(b, newHall(b, Options{Store: store}), Spec{Name: "orders", Partitions: 1})
	batch := &eventlog.Batch{Done: func(*eventlog.Batch) {}}
	batch.Records = append(batch.Records, eventlog.Record{Step: 160, Data: make([]byte, 100)})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hub.PartitionAt(0).Append(batch)
		}
	})
	b.Run("log alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hub.PartitionAt(0).Log().Append(batch)
		}
	})
	b.Run("open and close a reader", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l, err := hub.OpenLink(LinkInfo{Kind: Reader, Group: "$default"}, nil)
			if err != nil {
				b.Fatal(err)
			}
			l.Close()
		}
	})
}
