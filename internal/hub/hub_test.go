package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// newHall gives a hall over a store of its own; both end with the test.
func newHall(t testing.TB, o Options) *Hall {
	t.Helper()
	if o.Store == nil {
		o.Store = newStore(t)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// newHub gives a hub in namespace "ns" of a hall.
func newHub(t testing.TB, h *Hall, s Spec) *Hub {
	t.Helper()
	n := h.Namespace("ns")
	if n == nil {
		var err error
		if n, err = h.CreateNamespace("ns"); err != nil {
			t.Fatal(err)
		}
	}
	b, err := n.CreateHub(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// appendN stores n records of 100 bytes and says what the log said.
func appendN(p *Partition, n int) error {
	done := make(chan error, 1)
	batch := &eventlog.Batch{Done: func(b *eventlog.Batch) { done <- b.Err }}
	for range n {
		batch.Records = append(batch.Records, eventlog.Record{Step: 160, Data: make([]byte, 100)})
	}
	p.Append(batch)
	return <-done
}

func wantKind(t testing.TB, what string, err error, want Kind) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %v", what, want)
	} else if got := KindOf(err); got != want {
		t.Errorf("%s: %v (%v), want %v", what, got, err, want)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	rows := []struct {
		name string
		o    Options
		want string
	}{
		{"no store", Options{}, "Options.Store is nil"},
		{"negative readers", Options{Store: store, ReadersMax: -1}, "Options.ReadersMax: -1 is less than 1"},
		{"negative partitions", Options{Store: store, PartitionsMax: -1}, "Options.PartitionsMax: -1 is not between 1 and 32767"},
		{"more partitions than logical ones", Options{Store: store, PartitionsMax: 32768}, "Options.PartitionsMax: 32768 is not"},
	}
	for _, row := range rows {
		if _, err := New(row.o); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	for _, name := range []string{"Zulu", "alpha"} {
		if _, err := h.CreateNamespace(name); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.CreateNamespace("ALPHA")
	wantKind(t, "same name in other case", err, Exists)
	_, err = h.CreateNamespace("/b")
	wantKind(t, "slash", err, Invalid)
	var names []string
	for _, n := range h.Namespaces() {
		names = append(names, n.Name())
	}
	if want := []string{"alpha", "zulu"}; !slices.Equal(names, want) {
		t.Errorf("namespaces %v, want %v", names, want)
	}
	if n := h.Namespace("zULU"); n == nil || n.Name() != "zulu" {
		t.Errorf("zULU: %v", n)
	}
	if h.Namespace("beta") != nil {
		t.Error("a namespace nobody made")
	}
	wantKind(t, "deleting an unknown one", h.DeleteNamespace("beta"), NotFound)
	n := h.Namespace("zulu")
	if err := h.DeleteNamespace("Zulu"); err != nil {
		t.Fatal(err)
	}
	if h.Namespace("zulu") != nil {
		t.Error("deleted namespace is still found")
	}
	_, err = n.CreateHub(Spec{Name: "late", Partitions: 1})
	wantKind(t, "hub in a deleted namespace", err, NotFound)
	h.Close()
	_, err = h.CreateNamespace("late")
	wantKind(t, "namespace in a closed hall", err, Closed)
	_, err = h.Namespace("alpha").CreateHub(Spec{Name: "late", Partitions: 1})
	wantKind(t, "hub in a closed hall", err, Closed)
}

// TestNamespacesApart puts a hub of one name into two namespaces.
func TestNamespacesApart(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	var hubs []*Hub
	for _, name := range []string{"one", "two"} {
		n, err := h.CreateNamespace(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := n.CreateHub(Spec{Name: "orders", Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		hubs = append(hubs, b)
	}
	if err := appendN(hubs[0].PartitionAt(0), 3); err != nil {
		t.Fatal(err)
	}
	if got := hubs[1].PartitionAt(0).State().Next.Seq; got != 0 {
		t.Errorf("the other namespace's hub is at %d", got)
	}
}

func TestCreateHubRefuses(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{PartitionsMax: 32})
	newHub(t, h, Spec{Name: "Orders", Partitions: 2})
	n := h.Namespace("ns")
	rows := []struct {
		name string
		s    Spec
		kind Kind
		text string
	}{
		{"no name", Spec{Partitions: 1}, Invalid, "A hub needs a name."},
		{"slash at the end", Spec{Name: "a/", Partitions: 1}, Invalid, "begin and end with a letter or digit"},
		{"dot at the end", Spec{Name: "a.", Partitions: 1}, Invalid, "begin and end with a letter or digit"},
		{"outside ASCII", Spec{Name: "ordres-payés", Partitions: 1}, Invalid, "must consist of letters"},
		{"long name", Spec{Name: strings.Repeat("x", 257), Partitions: 1}, Invalid, "at most 256 characters"},
		{"same name in other case", Spec{Name: "oRDERS", Partitions: 1}, Exists, "'ns:eventhub:orders' already exists"},
		{"no partition", Spec{Name: "a"}, Invalid, "cannot have 0 partitions; it must have between 1 and 32"},
		{"too many partitions", Spec{Name: "a", Partitions: 33}, Invalid, "between 1 and 32"},
		{"bad group", Spec{Name: "a", Partitions: 1, Groups: []string{"audit", "$x"}}, Invalid, "The consumer group name '$x'"},
		{"long group", Spec{Name: "a", Partitions: 1, Groups: []string{strings.Repeat("g", 51)}}, Invalid, "at most 50"},
		{"first partition", Spec{Name: "a", Partitions: 2, FirstPartition: 2}, Invalid, "it has partitions 0 to 1"},
		{"first sequence number", Spec{Name: "a", Partitions: 1, First: eventlog.Position{Seq: -1}}, Invalid, "sequence number -1"},
	}
	for _, row := range rows {
		_, err := n.CreateHub(row.s)
		wantKind(t, row.name, err, row.kind)
		if err != nil && !strings.Contains(err.Error(), row.text) {
			t.Errorf("%s: %q does not say %q", row.name, err, row.text)
		}
	}
	if hubs := n.Hubs(); len(hubs) != 1 {
		t.Errorf("%d hubs, want 1", len(hubs))
	}
}

func TestHubNotFound(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	n, err := h.CreateNamespace("NS")
	if err != nil {
		t.Fatal(err)
	}
	check := func(asked, hint string) {
		t.Helper()
		_, err := n.Hub(asked)
		e, ok := err.(*Error)
		if !ok || e.Kind != NotFound {
			t.Fatalf("%q: %v", asked, err)
		}
		if want := fmt.Sprintf("The messaging entity 'ns:eventhub:%s' could not be found.", fold(asked)); e.Text != want {
			t.Errorf("%q: text %q, want %q", asked, e.Text, want)
		}
		if e.Hint != hint {
			t.Errorf("%q: hint %q, want %q", asked, e.Hint, hint)
		}
	}
	check("orders", "there are no hubs here")
	for _, name := range []string{"Orders", "billing"} {
		if _, err := n.CreateHub(Spec{Name: name, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	check("ORDRES", "did you mean 'Orders'?")
	check("order", "did you mean 'Orders'?")
	check("telemetry", "hubs here: billing, Orders")
	for i := range 12 {
		if _, err := n.CreateHub(Spec{Name: fmt.Sprintf("hub-number-%02d", i), Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	check("telemetry", "hubs here: billing, hub-number-00, hub-number-01, hub-number-02, hub-number-03, hub-number-04, "+
		"hub-number-05, hub-number-06, hub-number-07, hub-number-08, ...")
	if b, err := n.Hub("oRders"); err != nil || b.Name() != "Orders" {
		t.Errorf("oRders: %v, %v", b, err)
	}
	_, err = n.Hub("order\u212a") // Kelvin, which Unicode folds to k
	wantKind(t, "Kelvin sign", err, NotFound)
}

func TestPartitionByID(t *testing.T) {
	t.Parallel()
	b := newHub(t, newHall(t, Options{}), Spec{Name: "orders", Partitions: 12})
	for i := range 12 {
		p, err := b.Partition(fmt.Sprint(i))
		if err != nil || p.Index() != i || p != b.PartitionAt(i) || p.ID() != fmt.Sprint(i) || p.Hub() != b {
			t.Errorf("%d: %+v, %v", i, p, err)
		}
	}
	for _, id := range []string{"", "12", "-1", "+1", "01", " 1", "1 ", "a", "0x1", "99999999999999999999"} {
		_, err := b.Partition(id)
		wantKind(t, id, err, OutOfRange)
		want := "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and 11."
		if err != nil && err.Error() != want {
			t.Errorf("%q: %q", id, err)
		}
	}
	if got := b.PartitionAt(11).Label(); got != 32766 {
		t.Errorf("label %d", got)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	rows := []struct {
		name string
		s    Spec
		want []int
	}{
		{"from 0", Spec{Name: "a", Partitions: 3}, []int{0, 1, 2, 0, 1, 2, 0}},
		{"from 1 as recorded", Spec{Name: "b", Partitions: 2, FirstPartition: 1}, []int{1, 0, 1, 0, 1}},
		{"only one", Spec{Name: "c", Partitions: 1}, []int{0, 0, 0}},
	}
	for _, row := range rows {
		b := newHub(t, h, row.s)
		for i, want := range row.want {
			if got := b.Next(); got != want {
				t.Errorf("%s: call %d gave %d, want %d", row.name, i, got, want)
			}
		}
	}
}

// TestNextShares has many goroutines share one round: no partition may get one more than another.
func TestNextShares(t *testing.T) {
	t.Parallel()
	b := newHub(t, newHall(t, Options{}), Spec{Name: "orders", Partitions: 4})
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := make([]int, 4)
	for range 8 {
		wg.Go(func() {
			for range 100 {
				i := b.Next()
				mu.Lock()
				got[i]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if want := []int{200, 200, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	b := newHub(t, h, Spec{Name: "orders", Partitions: 1, Groups: []string{"Zulu", "$Default", "audit"}})
	check := func(want ...string) {
		t.Helper()
		if got := b.Groups(); !slices.Equal(got, want) {
			t.Errorf("groups %v, want %v", got, want)
		}
	}
	check("$default", "audit", "Zulu")
	if !b.HasGroup("$Default") || !b.HasGroup("ZULU") || b.HasGroup("other") {
		t.Error("HasGroup is wrong")
	}
	wantKind(t, "again", b.CreateGroup("AUDIT"), Exists)
	wantKind(t, "malformed", b.CreateGroup("a b"), Invalid)
	if err := b.CreateGroup("Billing"); err != nil {
		t.Fatal(err)
	}
	check("$default", "audit", "Billing", "Zulu")
	wantKind(t, "deleting $default", b.DeleteGroup("$Default"), Invalid)
	wantKind(t, "deleting an unknown one", b.DeleteGroup("other"), NotFound)
	if err := b.DeleteGroup("zulu"); err != nil {
		t.Fatal(err)
	}
	check("$default", "audit", "Billing")
	if err := h.Namespace("ns").DeleteHub("Orders"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "creating a group of a deleted hub", b.CreateGroup("late"), NotFound)
	wantKind(t, "deleting a group of a deleted hub", b.DeleteGroup("audit"), NotFound)
}

func TestIncarnations(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	old := newHub(t, h, Spec{Name: "orders", Partitions: 1})
	if err := appendN(old.PartitionAt(0), 2); err != nil {
		t.Fatal(err)
	}
	if err := h.Namespace("ns").DeleteHub("orders"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "deleting again", h.Namespace("ns").DeleteHub("orders"), NotFound)
	wantKind(t, "appending to the deleted", appendN(old.PartitionAt(0), 1), Closed)
	b := newHub(t, h, Spec{Name: "orders", Partitions: 1, First: eventlog.Position{Seq: 7, Offset: 4096}})
	if old.ID() == b.ID() {
		t.Error("both incarnations are", b.ID())
	}
	if next := b.PartitionAt(0).State().Next; next.Seq != 7 || next.Offset != 4096 {
		t.Errorf("the new one begins at %+v", next)
	}
	_, err := old.OpenLink(LinkInfo{Kind: Sender, Partition: -1}, nil)
	wantKind(t, "link to the deleted", err, NotFound)
}

func TestSeek(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	empty := newHub(t, h, Spec{Name: "empty", Partitions: 1}).PartitionAt(0)
	full := newHub(t, h, Spec{Name: "full", Partitions: 1}).PartitionAt(0)
	trimmed := newHub(t, h, Spec{Name: "trimmed", Partitions: 1}).PartitionAt(0)
	for _, p := range []*Partition{full, trimmed} { // sequence numbers 0 to 4, offsets 0, 160, .. 640
		if err := appendN(p, 5); err != nil {
			t.Fatal(err)
		}
	}
	trimmed.Log().Trim(3)
	const refused = -1
	rows := []struct {
		name string
		p    *Partition
		q    eventlog.Query
		want int64 // sequence number, or refused
		text string
	}{
		{"empty: before everything", empty, eventlog.Query{By: eventlog.ByOffset, Value: -1, After: true}, 0, ""},
		{"empty: before everything, inclusive", empty, eventlog.Query{By: eventlog.ByOffset, Value: -1}, 0, ""},
		{"empty: next to come", empty, eventlog.Query{By: eventlog.BySeq, Value: 0}, 0, ""},
		{"empty: after the next to come", empty, eventlog.Query{By: eventlog.BySeq, Value: 0, After: true}, refused,
			"The supplied sequence number '0' is invalid. The last sequence number in the system is '-1'"},
		{"empty: old offset", empty, eventlog.Query{By: eventlog.ByOffset, Value: 160, After: true}, refused,
			"The supplied offset '160' is invalid. The last offset in the system is '-1'"},
		{"empty: a time to come", empty, eventlog.Query{By: eventlog.ByTime, Value: 1 << 50}, 0, ""},
		{"before everything", full, eventlog.Query{By: eventlog.ByOffset, Value: -1, After: true}, 0, ""},
		{"sequence number before everything", full, eventlog.Query{By: eventlog.BySeq, Value: -1, After: true}, 0, ""},
		{"after an offset", full, eventlog.Query{By: eventlog.ByOffset, Value: 160, After: true}, 2, ""},
		{"at an offset", full, eventlog.Query{By: eventlog.ByOffset, Value: 160}, 1, ""},
		{"between two offsets", full, eventlog.Query{By: eventlog.ByOffset, Value: 161}, 2, ""},
		{"after the last offset", full, eventlog.Query{By: eventlog.ByOffset, Value: 640, After: true}, 5, ""},
		{"at the next offset", full, eventlog.Query{By: eventlog.ByOffset, Value: 800}, 5, ""},
		{"after the next offset", full, eventlog.Query{By: eventlog.ByOffset, Value: 800, After: true}, refused,
			"The supplied offset '800' is invalid. The last offset in the system is '640'"},
		{"beyond the next offset", full, eventlog.Query{By: eventlog.ByOffset, Value: 801}, refused,
			"The supplied offset '801' is invalid. The last offset in the system is '640'"},
		{"after the last sequence number", full, eventlog.Query{By: eventlog.BySeq, Value: 4, After: true}, 5, ""},
		{"at the next sequence number", full, eventlog.Query{By: eventlog.BySeq, Value: 5}, 5, ""},
		{"after the next sequence number", full, eventlog.Query{By: eventlog.BySeq, Value: 5, After: true}, refused,
			"The supplied sequence number '5' is invalid. The last sequence number in the system is '4'"},
		{"beyond the next sequence number", full, eventlog.Query{By: eventlog.BySeq, Value: 488}, refused,
			"The supplied sequence number '488' is invalid. The last sequence number in the system is '4'"},
		{"a time to come", full, eventlog.Query{By: eventlog.ByTime, Value: 1 << 50}, 5, ""},
		{"a time long ago", full, eventlog.Query{By: eventlog.ByTime, Value: 1}, 0, ""},
		{"offset before the first kept", trimmed, eventlog.Query{By: eventlog.ByOffset, Value: 160, After: true}, 3, ""},
		{"sequence number before the first kept", trimmed, eventlog.Query{By: eventlog.BySeq, Value: 0}, 3, ""},
	}
	for _, row := range rows {
		row.p.Seek(row.q, func(pos eventlog.Position, err error) {
			switch {
			case row.want == refused:
				wantKind(t, row.name, err, PositionBeyond)
				if err != nil && err.Error() != row.text {
					t.Errorf("%s: %q, want %q", row.name, err, row.text)
				}
			case err != nil || pos.Seq != row.want:
				t.Errorf("%s: %d, %v, want %d", row.name, pos.Seq, err, row.want)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d is called %q", k, k)
		}
		seen[k.String()] = true
	}
	if got := Kind(200).String(); got != "kind(200)" {
		t.Error(got)
	}
	rows := []struct {
		name string
		err  error
		want Kind
	}{
		{"ours, wrapped", fmt.Errorf("door: %w", errorf(Stolen, "x")), Stolen},
		{"busy", fmt.Errorf("x: %w", eventlog.ErrBusy), Busy},
		{"version conflict", eventlog.ErrConflict, Busy},
		{"full", eventlog.ErrFull, Full},
		{"closed", eventlog.ErrClosed, Closed},
		{"unknown outcome", eventlog.ErrUnknown, Unavailable},
		{"corrupt", &eventlog.CorruptError{}, Unavailable},
		{"beyond", &eventlog.BeyondError{}, PositionBeyond},
		{"somebody else's", errors.New("x"), Internal},
	}
	for _, row := range rows {
		if got := KindOf(row.err); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
	e := &Error{Kind: Full, Text: "no room", Hint: "free some", Err: eventlog.ErrFull}
	if got, want := e.Error(), "no room (free some): eventlog: disk full"; got != want || !errors.Is(e, eventlog.ErrFull) {
		t.Errorf("%q, want %q", got, want)
	}
}
