package jwt

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

const (
	cacheTimeMax = 5 * time.Minute
	badTime      = time.Minute
	badEntries   = 8 << 10 // of some 400 bytes each
	shardCount   = 16      // so that cores seldom meet
)

// digest stands for a token's text.
type digest [sha256.Size]byte

// digestOf copies the text to the stack, for a slice of a string would be on the heap.
func digestOf(compact string) digest {
	var text [tokenBytesMax]byte
	return sha256.Sum256(text[:copy(text[:], compact)])
}

// cache remembers accepted tokens, another one refused tokens. Each shard has two generations of entries: when the young one is full it
// becomes the old one, and the old one is forgotten, but for what was asked for meanwhile. So the cost of forgetting is spread and the size
// is bounded.
type cache struct {
	epoch    atomic.Uint64 // how often it was emptied
	youngMax int           // entries of a shard's young generation
	shards   [shardCount]shard
}

type shard struct {
	mu         sync.Mutex // guards both
	young, old map[digest]entry
}

// entry is a token that was looked at. Times are nanoseconds since 1970.
type entry struct {
	principal *Principal // nil: it was refused
	refusal   *Error     // nil: it was accepted
	from      int64      // it holds from then
	until     int64      // it holds before then
}

// newCache makes a cache for that many entries, rounded up to 32; for less than one it remembers nothing.
func newCache(entries int) *cache {
	c := &cache{}
	if entries > 0 {
		c.youngMax = (entries + 2*shardCount - 1) / (2 * shardCount)
	}
	for i := range c.shards {
		c.shards[i].clear()
	}
	return c
}

func (s *shard) clear() { s.young, s.old = make(map[digest]entry), nil }

// get gives the principal of a token that is remembered and in its time.
func (c *cache) get(d *digest, now time.Time) *Principal { return c.find(d, now).principal }

// find gives what is remembered of a token in its time, else a zero entry.
func (c *cache) find(d *digest, now time.Time) entry {
	s := &c.shards[d[0]%shardCount]
	s.mu.Lock()
	e, ok := s.young[*d]
	if !ok {
		if e, ok = s.old[*d]; ok {
			c.keepLocked(s, d, e)
		}
	}
	s.mu.Unlock()
	if at := now.UnixNano(); !ok || at < e.from || at >= e.until {
		return entry{}
	}
	return e
}

// put remembers a token that was verified with keys read at the given epoch, and nothing if the keys have changed since.
func (c *cache) put(d *digest, epoch uint64, e entry) {
	s := &c.shards[d[0]%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.youngMax > 0 && c.epoch.Load() == epoch {
		c.keepLocked(s, d, e)
	}
}

func (c *cache) keepLocked(s *shard, d *digest, e entry) {
	if len(s.young) >= c.youngMax {
		s.old, s.young = s.young, make(map[digest]entry, c.youngMax)
	}
	s.young[*d] = e
}

// empty forgets all. It is called after the keys have changed: whoever reads the epoch behind this reads the new keys as well.
func (c *cache) empty() {
	c.epoch.Add(1)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.clear()
		s.mu.Unlock()
	}
}

func (c *cache) size() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
