package kit

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
)

// TestOrderOfListings: time stands still, so that all events have the same millisecond. Whatever lists them does so in the order in which they
// were acknowledged.
func TestOrderOfListings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := r.space("s1")
		since := s.Mark()
		var want []string
		for _, partition := range []string{"3", "0", "2", "2", "0", "3", "1", "0"} {
			for _, e := range r.publish(s, "orders", text("a", partition)) {
				want = append(want, e.at())
			}
		}
		lists := map[string]func() ([]Event, error){
			"Events": func() ([]Event, error) {
				list, _, err := s.Events("orders", since, math.MaxInt)
				return list, err
			},
			"Expect": func() ([]Event, error) {
				result, err := s.Expect(t.Context(), "orders", since, Request{Expect: []Expectation{Exactly(8, Body("a"))}})
				if err != nil {
					return nil, err
				}
				return result.Events, nil
			},
			"one Expect after the other": func() (list []Event, err error) {
				for mark := since; len(list) < len(want); {
					result, err := s.Expect(t.Context(), "orders", mark, Request{Expect: []Expectation{AtLeast(1)}})
					if err != nil {
						return nil, err
					}
					list, mark = append(list, result.Events...), result.Mark
				}
				return list, nil
			},
			"one List after the other": func() (list []Event, err error) {
				for mark := since; len(list) < len(want); {
					result, err := s.List("orders", mark, nil, 3)
					if err != nil {
						return nil, err
					}
					list, mark = append(list, result.Events...), result.Mark
				}
				return list, nil
			},
			"Next": func() (list []Event, err error) {
				reader, err := s.Reader("orders", since)
				if err != nil {
					return nil, err
				}
				defer reader.Close()
				for range want {
					e, err := reader.Next(t.Context())
					if err != nil {
						return nil, err
					}
					list = append(list, e)
				}
				return list, nil
			},
		}
		for name, list := range lists {
			events, err := list()
			r.must(err)
			var got []string
			for i := range events {
				got = append(got, events[i].at())
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}

// TestTurnsAreBounded: where too many were noted, the oldest have no order any more, and the others keep theirs.
func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	turns := &turns{}
	const last = turnsMax + 9
	for seq := range int64(last + 1) {
		turns.note("0", seq+1)
		turns.note("1", seq+1)
	}
	for partition, list := range turns.noted {
		if len(list) > turnsMax {
			t.Errorf("partition %s has %d turns, want %d at most", partition, len(list), turnsMax)
		}
	}
	if turns.of("0", 0) != turns.of("0", 1) {
		t.Error("what is forgotten is still told apart")
	}
	if turns.of("0", last-1) >= turns.of("1", last-1) || turns.of("1", last-1) >= turns.of("0", last) {
		t.Errorf("turns %d, %d, %d do not rise", turns.of("0", last-1), turns.of("1", last-1), turns.of("0", last))
	}
	if got := turns.of("0", last+1); got != math.MaxInt64 {
		t.Errorf("an event that is not acknowledged has turn %d", got)
	}
}
