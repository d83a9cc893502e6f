package logtest

import (
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// wantValue fails the test unless key has that value and version; version 0 is for no value.
func (s *scene) wantValue(kv eventlog.KV, key, value string, version int64) {
	s.Helper()
	got, v, err := kv.Get(key)
	if err != nil || string(got) != value || v != version {
		s.Fatalf("Get(%q) gives %q, version %d, error %v, want %q, version %d", key, got, v, err, value, version)
	}
}

func testKV(s *scene) {
	kv := s.store.Meta()
	s.wantValue(kv, "k", "", 0)
	_, err := kv.Put("k", []byte("x"), 1)
	s.wantErr(err, eventlog.ErrConflict)
	s.wantValue(kv, "k", "", 0)

	v1, err := kv.Put("k", []byte("one"), 0)
	s.ok(err)
	s.wantValue(kv, "k", "one", v1)
	_, err = kv.Put("k", []byte("x"), 0)
	s.wantErr(err, eventlog.ErrConflict)

	v2, err := kv.Put("k", nil, v1)
	s.ok(err)
	if v1 == 0 || v2 == 0 || v1 == v2 {
		s.Fatalf("the versions of two values are %d and %d", v1, v2)
	}
	s.wantValue(kv, "k", "", v2)
	_, err = kv.Put("k", []byte("x"), v1)
	s.wantErr(err, eventlog.ErrConflict)
	s.wantErr(kv.Delete("k", v1), eventlog.ErrConflict)
	s.wantErr(kv.Delete("k", 0), eventlog.ErrConflict)
	s.wantErr(kv.Delete("other", v2), eventlog.ErrConflict)
	s.ok(kv.Delete("k", v2))
	s.wantValue(kv, "k", "", 0)

	// Who saw the value before the deletion has not seen the one after it.
	v3, err := kv.Put("k", []byte("three"), 0)
	s.ok(err)
	if v3 == v1 || v3 == v2 {
		s.Fatalf("a key that was put again has the old version %d", v3)
	}
	s.wantErr(kv.Delete("k", v2), eventlog.ErrConflict)
	s.wantValue(kv, "k", "three", v3)
}

func testKVCopies(s *scene) {
	kv := s.store.Meta()
	put := []byte("value")
	v, err := kv.Put("k", put, 0)
	s.ok(err)
	put[0] = 'X'
	s.wantValue(kv, "k", "value", v)
	got, _, err := kv.Get("k")
	s.ok(err)
	got[0] = 'Y'
	s.wantValue(kv, "k", "value", v)
}

func testKVKeys(s *scene) {
	kv := s.store.Meta()
	for _, k := range []string{"b/2", "a", "b/1", "", "b", "b/10", "c", "b/\xff"} {
		_, err := kv.Put(k, []byte(k), 0)
		s.ok(err)
	}
	_, v, err := kv.Get("c")
	s.ok(err)
	s.ok(kv.Delete("c", v))
	rows := []struct {
		prefix string
		want   []string
	}{
		{"", []string{"", "a", "b", "b/1", "b/10", "b/2", "b/\xff"}},
		{"b/", []string{"b/1", "b/10", "b/2", "b/\xff"}},
		{"b/1", []string{"b/1", "b/10"}},
		{"c", nil},
	}
	for _, row := range rows {
		if got, err := kv.Keys(row.prefix); err != nil || !slices.Equal(got, row.want) {
			s.Errorf("Keys(%q) gives %q, error %v, want %q", row.prefix, got, err, row.want)
		}
	}
}

// Several count together in one value.
func testKVCompareAndSwap(s *scene) {
	const counters, each = 8, 25
	kv := s.store.Meta()
	var counting sync.WaitGroup
	for range counters {
		counting.Go(func() {
			for done := 0; done < each; {
				value, version, err := kv.Get("n")
				n, _ := strconv.Atoi(string(value))
				if err == nil {
					_, err = kv.Put("n", strconv.AppendInt(nil, int64(n+1), 10), version)
				}
				switch {
				case err == nil:
					done++
				case !errors.Is(err, eventlog.ErrConflict):
					s.Error(err)
					return
				}
			}
		})
	}
	counting.Wait()
	value, _, err := kv.Get("n")
	s.ok(err)
	if string(value) != strconv.Itoa(counters*each) {
		s.Fatalf("%d counters of %d came to %s", counters, each, value)
	}
}
