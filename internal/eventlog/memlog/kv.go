package memlog

import (
	"slices"
	"strings"
	"sync"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// kv is an eventlog.KV.
type kv struct {
	mu       sync.Mutex // guards what follows
	entries  []entry    // by key
	versions int64      // ever given: a key that was deleted and put again does not get an old version
	closed   bool
}

type entry struct {
	key     string
	bytes   []byte // never changed, only replaced
	version int64
}

// find gives the place of a key, or where it would have to be.
func (m *kv) find(key string) (int, bool) {
	return slices.BinarySearchFunc(m.entries, key, func(e entry, key string) int { return strings.Compare(e.key, key) })
}

func (m *kv) Get(key string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, 0, eventlog.ErrClosed
	}
	i, there := m.find(key)
	if !there {
		return nil, 0, nil
	}
	return slices.Clone(m.entries[i].bytes), m.entries[i].version, nil
}

func (m *kv) Put(key string, bytes []byte, version int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, there, err := m.check(key, version)
	if err != nil {
		return 0, err
	}
	m.versions++
	e := entry{key, slices.Clone(bytes), m.versions}
	if there {
		m.entries[i] = e
	} else {
		m.entries = slices.Insert(m.entries, i, e)
	}
	return m.versions, nil
}

func (m *kv) Delete(key string, version int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, there, err := m.check(key, version)
	if there && err == nil {
		m.entries = slices.Delete(m.entries, i, i+1)
	}
	return err
}

func (m *kv) Keys(prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, eventlog.ErrClosed
	}
	var keys []string
	i, _ := m.find(prefix)
	for ; i < len(m.entries) && strings.HasPrefix(m.entries[i].key, prefix); i++ {
		keys = append(keys, m.entries[i].key)
	}
	return keys, nil
}

// check finds key, and says whether it may be changed by one who saw that version.
func (m *kv) check(key string, version int64) (i int, there bool, err error) {
	if m.closed {
		return 0, false, eventlog.ErrClosed
	}
	have := int64(0)
	if i, there = m.find(key); there {
		have = m.entries[i].version
	}
	if have != version {
		err = eventlog.ErrConflict
	}
	return i, there, err
}

func (m *kv) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
}
