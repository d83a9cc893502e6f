package gateway

import (
	"strconv"
	"testing"
	"time"
)

// keys is a store and what it is told, without requests.
type keys struct {
	keyStore
	t *testing.T
}

func newKeys(t *testing.T, l Limits) *keys {
	t.Helper()
	if err := l.setDefaults(); err != nil {
		t.Fatal(err)
	}
	return &keys{newKeyStore(l), t}
}

// store has a caller's request with a key answered.
func (s *keys) store(principal, key string) {
	s.t.Helper()
	scope := digest(principal, key)
	a, before, p := s.claim(time.Time{}, principal, scope, scope)
	if before != nil || p != nil {
		s.t.Fatalf("%s's %s is known: %v %v", principal, key, before, p)
	}
	s.settle(a, answer{status: 201}, nil)
}

func (s *keys) knows(principal, key string) bool { return s.by[digest(principal, key)] != nil }

// TestKeysOfManyCallers wants a store full of callers with a key each to forget the oldest keys.
func TestKeysOfManyCallers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		limits Limits
		keys   int
	}{
		{"by number", Limits{IdempotencyKeysMax: 100}, 100},
		{"by number, a share of less than one", Limits{IdempotencyKeysMax: 3}, 3},
		{"by size", Limits{IdempotencyBytesMax: 100 * (attemptBytes + holderBytes + 4)}, 100},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newKeys(t, row.limits)
			for i := range 3 * row.keys {
				s.store(strconv.Itoa(1000+i), "k")
			}
			if got := s.len(); got != row.keys || len(s.holders) != row.keys {
				t.Errorf("%d keys of %d callers are kept, want %d", got, len(s.holders), row.keys)
			}
			for i := range 3 * row.keys {
				if got, want := s.knows(strconv.Itoa(1000+i), "k"), i >= 2*row.keys; got != want {
					t.Fatalf("caller %d: known %v, want %v", i, got, want)
				}
			}
		})
	}
}

// TestKeysDownToTheShare wants a caller to lose keys to others as long as it holds more than its share, and then the oldest of all to go.
func TestKeysDownToTheShare(t *testing.T) {
	t.Parallel()
	s := newKeys(t, Limits{IdempotencyKeysMax: 100, PrincipalShare: 0.25})
	for i := range 10 {
		s.store("early "+strconv.Itoa(i), "k")
	}
	for i := range 90 {
		s.store("crowd", strconv.Itoa(i))
	}
	for i := range 65 {
		s.store("late "+strconv.Itoa(i), "k")
	}
	if got := s.holders["crowd"].order.Len(); got != 25 || !s.knows("early 0", "k") {
		t.Errorf("the crowd has %d keys, want its share of 25; the first of all is known: %v", got, s.knows("early 0", "k"))
	}
	s.store("late 65", "k")
	if got := s.holders["crowd"].order.Len(); got != 25 || s.knows("early 0", "k") {
		t.Errorf("the crowd has %d keys, want 25 still; the first of all is known: %v", got, s.knows("early 0", "k"))
	}
}

// TestKeysLeaveNothing wants a store whose keys are too old to be as a new one.
func TestKeysLeaveNothing(t *testing.T) {
	t.Parallel()
	s := newKeys(t, Limits{IdempotencyKeysMax: 10})
	for i := range 12 {
		s.store(strconv.Itoa(i/8), strconv.Itoa(i))
	}
	s.expireLocked(time.Time{}.Add(s.age))
	if s.len() != 0 || s.bytes != 0 || s.order.Len() != 0 || len(s.holders) != 0 || len(s.above) != 0 {
		t.Errorf("%d keys, %d bytes, %d in order, %d callers, %d above their share are left", s.len(), s.bytes, s.order.Len(), len(s.holders), len(s.above))
	}
}
