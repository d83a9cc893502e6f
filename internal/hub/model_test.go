package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// modelReader is a reader as the model sees it.
type modelReader struct {
	name string
	info LinkInfo
	link *Link
}

// model knows the rules of readers as sentences over the list of all readers, oldest first.
type model struct {
	t       *testing.T
	hub     *Hub
	readers []modelReader
	cuts    []string // what the hall told in this step, as "name: kind"
}

// TestReaderRules compares the hall with the model over random sequences.
func TestReaderRules(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHall(t, Options{ReadersMax: 2})
		m := &model{t: t, hub: newHub(t, h, Spec{Name: "orders", Partitions: 2, Groups: []string{"audit"}})}
		for step := range 150 {
			m.cuts = nil
			what := m.step(rng, step)
			if got, want := m.links(h), m.names(); !slices.Equal(got, want) || t.Failed() {
				t.Fatalf("seed %d, step %d, %s: readers %v, want %v", seed, step, what, got, want)
			}
		}
	}
}

func (m *model) step(rng *rand.Rand, step int) string {
	if rng.IntN(20) == 0 {
		return m.recreateAudit()
	}
	if len(m.readers) > 0 && rng.IntN(3) == 0 {
		i := rng.IntN(len(m.readers))
		r := m.readers[i]
		m.readers = slices.Delete(m.readers, i, i+1)
		r.link.Close()
		return "close " + r.name
	}
	info := LinkInfo{Kind: Reader, Partition: rng.IntN(2), Group: []string{"$default", "audit"}[rng.IntN(2)], Name: fmt.Sprint(step)}
	if rng.IntN(3) == 0 {
		info.HasEpoch, info.Epoch = true, int64(rng.IntN(4))
	}
	m.open(info)
	return fmt.Sprintf("open %+v", info)
}

func (m *model) open(info LinkInfo) {
	want, evicted := m.verdict(info)
	l, err := m.hub.OpenLink(info, func(why *Error) { m.cuts = append(m.cuts, fmt.Sprintf("%s: %v", info.Name, why.Kind)) })
	if want != Internal {
		wantKind(m.t, "open", err, want)
		return
	}
	if err != nil {
		m.t.Errorf("open: %v", err)
		return
	}
	m.wantCuts(evicted, Stolen)
	m.readers = append(m.without(evicted), modelReader{info.Name, info, l})
}

// verdict says with which kind a newcomer is refused, or with Internal whom it evicts.
func (m *model) verdict(info LinkInfo) (Kind, []string) {
	var there []string
	for _, r := range m.readers {
		if r.info.Group != info.Group || r.info.Partition != info.Partition {
			continue
		}
		there = append(there, r.name)
		if r.info.HasEpoch && info.HasEpoch && r.info.Epoch > info.Epoch {
			return EpochTooLow, nil
		}
		if r.info.HasEpoch && !info.HasEpoch {
			return EpochExists, nil
		}
	}
	if info.HasEpoch {
		return Internal, there
	}
	if len(there) == 2 {
		return TooManyReaders, nil
	}
	return Internal, nil
}

// recreateAudit deletes a group under its readers and makes it again.
func (m *model) recreateAudit() string {
	var gone []string
	for _, r := range m.readers {
		if r.info.Group == "audit" {
			gone = append(gone, r.name)
		}
	}
	m.readers = m.without(gone)
	if err := m.hub.DeleteGroup("audit"); err != nil {
		m.t.Error(err)
	}
	m.wantCuts(gone, Updated)
	if err := m.hub.CreateGroup("audit"); err != nil {
		m.t.Error(err)
	}
	return "recreate audit"
}

// wantCuts compares the cuts of this step.
func (m *model) wantCuts(names []string, kind Kind) {
	var want []string
	for _, name := range names {
		want = append(want, fmt.Sprintf("%s: %v", name, kind))
	}
	if !slices.Equal(m.cuts, want) {
		m.t.Errorf("cuts %v, want %v", m.cuts, want)
	}
}

func (m *model) without(names []string) []modelReader {
	return slices.DeleteFunc(m.readers, func(r modelReader) bool { return slices.Contains(names, r.name) })
}

func (m *model) names() []string {
	var names []string
	for _, r := range m.readers {
		names = append(names, r.name)
	}
	return names
}

func (m *model) links(h *Hall) []string {
	var names []string
	for _, l := range h.Links() {
		names = append(names, l.Name)
	}
	return names
}

// TestStress has links come and go while hubs and groups are deleted and made again. Each link counts its cuts without a lock: the race
// detector sees a cut that is not over when Close returns.
func TestStress(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	n, err := h.CreateNamespace("ns")
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{Name: "orders", Partitions: 2, Groups: []string{"audit"}}
	if _, err := n.CreateHub(spec); err != nil {
		t.Fatal(err)
	}
	stop := h.Watch(func() {})
	defer stop()
	var links, stops sync.WaitGroup
	var over atomic.Bool
	var opened, cut atomic.Int64
	for seed := range uint64(4) {
		links.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 2000 {
				stressLink(t, n, rng, &opened, &cut)
			}
		})
	}
	stops.Go(func() {
		for !over.Load() {
			if err := n.DeleteHub("orders"); err != nil {
				t.Error(err)
			}
			b, err := n.CreateHub(spec)
			if err != nil {
				t.Error(err)
				return
			}
			if err := b.DeleteGroup("audit"); err != nil {
				t.Error(err)
			}
			if err := b.CreateGroup("audit"); err != nil {
				t.Error(err)
			}
		}
	})
	stops.Go(func() {
		for !over.Load() {
			h.Links()
			h.Totals()
		}
	})
	links.Wait()
	over.Store(true)
	stops.Wait()
	if left := h.Links(); len(left) != 0 {
		t.Errorf("left over: %+v", left)
	}
	if b, err := n.Hub("orders"); err != nil || len(b.seats) != 0 {
		t.Errorf("seats left over: %v, %v", b.seats, err)
	}
	if opened.Load() == 0 || cut.Load() == 0 {
		t.Errorf("%d links, %d cuts: this tests nothing", opened.Load(), cut.Load())
	}
}

func stressLink(t *testing.T, n *Namespace, rng *rand.Rand, opened, cut *atomic.Int64) {
	b, err := n.Hub("orders")
	if err != nil {
		return // just being made again
	}
	info := LinkInfo{Kind: LinkKind(rng.IntN(2)), Partition: rng.IntN(2), Group: []string{"$default", "audit"}[rng.IntN(2)]}
	info.HasEpoch, info.Epoch = rng.IntN(4) == 0, int64(rng.IntN(2))
	cuts := 0
	l, err := b.OpenLink(info, func(*Error) { cuts++ })
	if err != nil {
		switch KindOf(err) {
		case NotFound, EpochTooLow, EpochExists, TooManyReaders:
		default:
			t.Error(err)
		}
		return
	}
	opened.Add(1)
	l.SetCredit(1)
	l.Sent(1, 1)
	if rng.IntN(2) == 0 {
		b.PartitionAt(info.Partition).State()
	}
	l.Close()
	if cuts > 1 {
		t.Errorf("cut %d times", cuts)
	}
	cut.Add(int64(cuts))
}
