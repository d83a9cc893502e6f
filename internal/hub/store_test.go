package hub

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
)

func newStore(t testing.TB) eventlog.Store {
	s := memlog.New(memlog.Options{})
	t.Cleanup(func() { s.Close() })
	return s
}

var errBroken = errors.New("broken")

// failing is a store whose call number at fails, counting from 1, and with it all that come after until it is healed.
type failing struct {
	eventlog.Store

	mu    sync.Mutex
	at    int // 0: never
	calls int
}

func (s *failing) step() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.at != 0 && s.calls >= s.at {
		return errBroken
	}
	return nil
}

func (s *failing) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = 0
}

func (s *failing) Open(hub eventlog.HubID, partition int, o eventlog.Options) (eventlog.Log, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	return s.Store.Open(hub, partition, o)
}

func (s *failing) Delete(hub eventlog.HubID) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.Store.Delete(hub)
}

func (s *failing) List() ([]eventlog.HubID, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	return s.Store.List()
}

func (s *failing) Meta() eventlog.KV { return failingKV{s, s.Store.Meta()} }

type failingKV struct {
	s  *failing
	kv eventlog.KV
}

func (k failingKV) Get(key string) ([]byte, int64, error) {
	if err := k.s.step(); err != nil {
		return nil, 0, err
	}
	return k.kv.Get(key)
}

func (k failingKV) Put(key string, value []byte, version int64) (int64, error) {
	if err := k.s.step(); err != nil {
		return 0, err
	}
	return k.kv.Put(key, value, version)
}

func (k failingKV) Delete(key string, version int64) error {
	if err := k.s.step(); err != nil {
		return err
	}
	return k.kv.Delete(key, version)
}

func (k failingKV) Keys(prefix string) ([]string, error) {
	if err := k.s.step(); err != nil {
		return nil, err
	}
	return k.kv.Keys(prefix)
}

// TestRestore has a second hall take up what the first one left in the store.
func TestRestore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		h := newHall(t, Options{Store: store})
		spec := Spec{Name: "Shop/Orders", Partitions: 3, Groups: []string{"Audit", "billing"}, Retention: time.Hour,
			First: eventlog.Position{Seq: 5, Offset: 800}, FirstPartition: 2}
		b := newHub(t, h, spec)
		newHub(t, h, Spec{Name: "gone", Partitions: 1})
		if err := errors.Join(appendN(b.PartitionAt(1), 4), b.DeleteGroup("billing"), b.CreateGroup("Late"),
			h.Namespace("ns").DeleteHub("gone")); err != nil {
			t.Fatal(err)
		}
		if _, err := h.CreateNamespace("Empty"); err != nil {
			t.Fatal(err)
		}
		h.Close()
		time.Sleep(time.Minute)

		again := newHall(t, Options{Store: store})
		if got, want := hubNames(again), "empty: ns: Shop/Orders"; got != want {
			t.Fatalf("hubs %q, want %q", got, want)
		}
		got, err := again.Namespace("ns").Hub("shop/orders")
		if err != nil {
			t.Fatal(err)
		}
		if got.ID() != b.ID() || !got.Created().Equal(b.Created()) || got.PartitionCount() != 3 {
			t.Errorf("%v %v %d, want %v %v 3", got.ID(), got.Created(), got.PartitionCount(), b.ID(), b.Created())
		}
		if groups, want := got.Groups(), []string{"$default", "Audit", "Late"}; !slices.Equal(groups, want) {
			t.Errorf("groups %v, want %v", groups, want)
		}
		if next := got.PartitionAt(1).State().Next; next.Seq != 9 || next.Offset != 800+4*160 {
			t.Errorf("next record gets %+v", next)
		}
		if i := got.Next(); i != 2 {
			t.Errorf("round robin begins at %d, want 2", i)
		}
		if got.trim.retention != time.Hour {
			t.Errorf("retention %v, want 1h", got.trim.retention)
		}
	})
}

// hubNames shows what a hall has, as "namespace: hub hub".
func hubNames(h *Hall) string {
	var words []string
	for _, n := range h.Namespaces() {
		words = append(words, n.Name()+":")
		for _, b := range n.Hubs() {
			words = append(words, b.Name())
		}
	}
	return strings.Join(words, " ")
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, key, value, want string }{
		{"not JSON", "ns/a/hub/b", "{", `record "ns/a/hub/b": unexpected end of JSON input`},
		{"another hub's record", "ns/a/hub/b", `{"name":"c","partitions":1}`, `record "ns/a/hub/b": it describes hub "c"`},
		{"a negative count", "ns/a/hub/b", `{"name":"b","partitions":-1}`, `record "ns/a/hub/b": it has -1 partitions`},
		{"a count beyond reason", "ns/a/hub/b", `{"name":"b","partitions":40000}`, `record "ns/a/hub/b": it has 40000 partitions`},
		{"a mark that names no hub", "gone/a/b", "{}", `record "gone/a/b": it names no hub`},
		{"a position the log refuses", "ns/a/hub/b", `{"name":"b","partitions":1,"firstSeq":-1}`, `opening partition 0: `},
	}
	for _, row := range rows {
		store := newStore(t)
		if _, err := store.Meta().Put(row.key, []byte(row.value), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Store: store}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// TestUnknownLogsStay: logs without a record are not for us to delete.
func TestUnknownLogsStay(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	id := eventlog.HubID{Namespace: "ns", Name: "orders", Incarnation: "1"}
	if _, err := store.Open(id, 0, eventlog.Options{}); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	newHall(t, Options{Store: store, Log: slog.New(slog.NewTextHandler(&lines, nil))})
	if got, err := store.List(); err != nil || !slices.Equal(got, []eventlog.HubID{id}) {
		t.Errorf("logs %v, %v, want %v", got, err, id)
	}
	if want := "ns=ns hub=orders incarnation=1"; !strings.Contains(lines.String(), want) {
		t.Errorf("%q does not say %q", lines.String(), want)
	}
}

// TestConflict has two halls on one store create and change the same things.
func TestConflict(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	one, two := newHall(t, Options{Store: store}), newHall(t, Options{Store: store})
	b := newHub(t, one, Spec{Name: "orders", Partitions: 1})
	_, err := two.CreateNamespace("ns")
	wantKind(t, "namespace of the other hall", err, Exists)
	three := newHall(t, Options{Store: store})
	late := newHub(t, one, Spec{Name: "late", Partitions: 1})
	_, err = three.Namespace("ns").CreateHub(Spec{Name: "late", Partitions: 1})
	wantKind(t, "hub of the other hall", err, Exists)
	if err := appendN(late.PartitionAt(0), 1); err != nil {
		t.Errorf("the other hall's attempt did harm: %v", err)
	}
	if err := three.Namespace("ns").DeleteHub("orders"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "group of a hub that the other hall deleted", b.CreateGroup("audit"), NotFound)
	if err := one.Namespace("ns").DeleteHub("orders"); err != nil {
		t.Errorf("deleting what the other hall deleted: %v", err)
	}
}

// step is something that a hall is told to do.
type step struct {
	name  string
	do    func(h *Hall) error
	after string // what describe gives once it is acknowledged
}

// steps create and delete all there is to create and delete.
func steps() []step {
	return []step{
		{"namespace", func(h *Hall) error { _, err := h.CreateNamespace("ns"); return err }, "ns:"},
		{"hub a", func(h *Hall) error { return createHub(h, "a") }, "ns: a[$default]"},
		{"hub b", func(h *Hall) error { return createHub(h, "b") }, "ns: a[$default] b[$default]"},
		{"group", func(h *Hall) error { return withHub(h, "a", func(b *Hub) error { return b.CreateGroup("g") }) },
			"ns: a[$default g] b[$default]"},
		{"no group", func(h *Hall) error { return withHub(h, "a", func(b *Hub) error { return b.DeleteGroup("g") }) },
			"ns: a[$default] b[$default]"},
		{"no hub a", func(h *Hall) error { return h.Namespace("ns").DeleteHub("a") }, "ns: b[$default]"},
		{"hub a again", func(h *Hall) error { return createHub(h, "a") }, "ns: a[$default] b[$default]"},
		{"no namespace", func(h *Hall) error { return h.DeleteNamespace("ns") }, ""},
	}
}

// describe shows what a hall has, as "namespace: hub[groups] hub[groups]".
func describe(h *Hall) string {
	var words []string
	for _, n := range h.Namespaces() {
		words = append(words, n.Name()+":")
		for _, b := range n.Hubs() {
			words = append(words, b.Name()+fmt.Sprint(b.Groups()))
		}
	}
	return strings.Join(words, " ")
}

// TestEphemeral: a hall that ends with its store does what any other does, and keeps no record of it.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	h := newHall(t, Options{Store: store, Ephemeral: true})
	for _, s := range steps() {
		if err := s.do(h); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := describe(h); got != s.after {
			t.Errorf("%s: %q, want %q", s.name, got, s.after)
		}
		if keys, err := store.Meta().Keys(""); err != nil || len(keys) > 0 {
			t.Errorf("%s: records %v, %v, want none", s.name, keys, err)
		}
	}
	if ids, err := store.List(); err != nil || len(ids) > 0 {
		t.Errorf("logs of %v, %v are left over", ids, err)
	}
}

// TestFailEveryStep breaks the store at its first call, then at its second, and so on, while a hall creates and deletes. Whatever
// happened, the next hall finds all that was acknowledged, nothing that was not even tried, and no log without a hub.
func TestFailEveryStep(t *testing.T) {
	t.Parallel()
	steps := steps()
	run := func(h *Hall) (acked int, err error) {
		for i, s := range steps {
			if err := s.do(h); err != nil {
				return i, fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return len(steps), nil
	}
	for at := 1; ; at++ {
		store := &failing{Store: newStore(t), at: at}
		h, err := New(Options{Store: store})
		acked := -1 // New itself failed
		if err == nil {
			acked, err = run(h)
			h.Close()
		}
		if err == nil && acked == len(steps) && store.calls < at {
			if at < 20 {
				t.Errorf("only %d calls in all: this tests nothing", at)
			}
			return
		}
		if !errors.Is(err, errBroken) {
			t.Fatalf("call %d broken: %v", at, err)
		}
		store.heal()
		allowed := []string{""}
		if acked > 0 {
			allowed[0] = steps[acked-1].after
		}
		if acked >= 0 {
			allowed = append(allowed, steps[acked].after)
		}
		if acked >= 0 && steps[acked].name == "no namespace" { // hub by hub
			allowed = append(allowed, "ns: b[$default]", "ns:")
		}
		checkRestored(t, fmt.Sprintf("call %d broken (%v)", at, err), store, allowed)
	}
}

func createHub(h *Hall, name string) error {
	_, err := h.Namespace("ns").CreateHub(Spec{Name: name, Partitions: 2})
	return err
}

func withHub(h *Hall, name string, do func(*Hub) error) error {
	b, err := h.Namespace("ns").Hub(name)
	if err != nil {
		return err
	}
	return do(b)
}

// checkRestored takes up the store and compares with what may be there, and the logs with the hubs.
func checkRestored(t *testing.T, what string, store eventlog.Store, allowed []string) {
	t.Helper()
	h, err := New(Options{Store: store})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer h.Close()
	var want []eventlog.HubID
	for _, n := range h.Namespaces() {
		for _, b := range n.Hubs() {
			want = append(want, b.ID())
			for i := range b.PartitionCount() {
				if err := appendN(b.PartitionAt(i), 1); err != nil {
					t.Errorf("%s: %s/%d: %v", what, b.Name(), i, err)
				}
			}
		}
	}
	if got := describe(h); !slices.Contains(allowed, got) {
		t.Errorf("%s: found %q, want one of %q", what, got, allowed)
	}
	if got, err := store.List(); err != nil || len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%s: logs of %v, %v, want %v", what, got, err, want)
	}
	if marks, err := store.Meta().Keys(keyGone); err != nil || len(marks) > 0 {
		t.Errorf("%s: marks %v, %v are left over", what, marks, err)
	}
}

// TestFailThenGoOn repeats each operation on the same hall after the store has recovered.
func TestFailThenGoOn(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		do    func(h *Hall) error
		again Kind // of the repetition's error where the failed call has done its work; Internal: none
	}{
		{"create namespace", func(h *Hall) error { _, err := h.CreateNamespace("other"); return err }, Internal},
		{"create hub", func(h *Hall) error { return createHub(h, "new") }, Internal},
		{"create group", func(h *Hall) error { return withHub(h, "old", func(b *Hub) error { return b.CreateGroup("g") }) }, Internal},
		{"delete group", func(h *Hall) error { return withHub(h, "old", func(b *Hub) error { return b.DeleteGroup("audit") }) }, Internal},
		{"delete hub", func(h *Hall) error { return h.Namespace("ns").DeleteHub("old") }, NotFound},
		{"delete namespace", func(h *Hall) error { return h.DeleteNamespace("ns") }, NotFound},
	}
	for _, row := range rows {
		for at := 1; ; at++ {
			store := &failing{Store: newStore(t)}
			h := newHall(t, Options{Store: store})
			newHub(t, h, Spec{Name: "old", Partitions: 2, Groups: []string{"audit"}})
			before := store.calls
			store.at = before + at
			err := row.do(h)
			if err == nil {
				if at == 1 {
					t.Errorf("%s: the store is not asked", row.name)
				}
				break
			}
			if !errors.Is(err, errBroken) || KindOf(err) != Internal {
				t.Errorf("%s: call %d broken: %v (%v)", row.name, at, err, KindOf(err))
			}
			store.heal()
			if err := row.do(h); err != nil && (row.again == Internal || KindOf(err) != row.again) && KindOf(err) != Exists {
				t.Errorf("%s: again after call %d broke: %v (%v)", row.name, at, err, KindOf(err))
			}
		}
	}
}
