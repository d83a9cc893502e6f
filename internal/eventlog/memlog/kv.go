package memlog

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// kv is an eventlog.KV.
type kv struct {
	mu       sync.Mutex // guards what follows
	values   map[string]value
	versions int64 // ever given: a key that was deleted and put again does not get an old version
	closed   bool
}

type value struct {
	bytes   []byte // never changed, only replaced
	version int64
}

func (m *kv) Get(key string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, 0, eventlog.ErrClosed
	}
	v := m.values[key]
	return slices.Clone(v.bytes), v.version, nil
}

func (m *kv) Put(key string, bytes []byte, version int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(key, version); err != nil {
		return 0, err
	}
	m.versions++
	m.values[key] = value{slices.Clone(bytes), m.versions}
	return m.versions, nil
}

func (m *kv) Delete(key string, version int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(key, version); err != nil {
		return err
	}
	delete(m.values, key)
	return nil
}

func (m *kv) Keys(prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, eventlog.ErrClosed
	}
	keys := slices.Sorted(maps.Keys(m.values))
	return slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) }), nil
}

// check says whether key may be changed by one who saw that version.
func (m *kv) check(key string, version int64) error {
	switch {
	case m.closed:
		return eventlog.ErrClosed
	case m.values[key].version != version:
		return eventlog.ErrConflict
	default:
		return nil
	}
}

func (m *kv) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
}
