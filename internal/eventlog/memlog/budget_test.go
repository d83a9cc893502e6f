package memlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// wantAccounts fails the test unless the budget's figures are what the logs and the free lists come to, where no reader holds anything.
func wantAccounts(t *testing.T, m *memory, logs ...*log) {
	t.Helper()
	var used, free int64
	for _, l := range logs {
		var bytes int64
		for i := range l.chunks.len() {
			bytes += l.chunks.at(i).cost()
		}
		if l.bytes != bytes {
			t.Errorf("log %d counts %d bytes, has %d", l.partition, l.bytes, bytes)
		}
		used += bytes
	}
	for k, c := range m.free {
		for ; c != nil; c = c.next {
			free += c.cost()
			if len(c.buf) != chunkBytesMin<<k || c.refs.Load() != 0 {
				t.Errorf("a chunk of %d bytes with %d references is in free list %d", len(c.buf), c.refs.Load(), k)
			}
		}
	}
	if m.used != used || m.freeBytes != free || m.pinned.Load() != 0 {
		t.Errorf("the store counts %d used, %d free, %d pinned, has %d, %d, 0", m.used, m.freeBytes, m.pinned.Load(), used, free)
	}
	if used+free > m.bytesMax {
		t.Errorf("%d used and %d free are more than %d", used, free, m.bytesMax)
	}
}

func TestChunkSizes(t *testing.T) {
	t.Parallel()
	if size := int(unsafe.Sizeof(chunk{})) + 16; size > chunkOverhead { // a pointer in the log's list, one in heads
		t.Errorf("the bookkeeping of a chunk takes %d bytes, counted are %d", size, chunkOverhead)
	}
	if got := chunkBytesMin << (classes - 1); got != chunkBytesMax {
		t.Errorf("the largest size class is %d, want %d", got, chunkBytesMax)
	}
	rows := []struct {
		name       string
		budget     int64
		need, left int
		held       int64
		want       int
	}{
		{"first of a log", 1 << 30, 100, 100, 0, 2 << 10},
		{"just fits", 1 << 30, 2 << 10, 0, 0, 2 << 10},
		{"just does not fit", 1 << 30, 2<<10 + 1, 0, 0, 4 << 10},
		{"takes the batch", 1 << 30, 100, 9 << 10, 0, 16 << 10},
		{"takes some of a large batch", 1 << 30, 100, 3 << 20, 0, 1 << 20},
		{"as the log holds", 1 << 30, 100, 100, 8 << 10, 8 << 10},
		{"not more than the log holds", 1 << 30, 100, 100, 8<<10 - 1, 4 << 10},
		{"large log", 1 << 30, 100, 100, 1 << 40, 1 << 20},
		{"as many logs hold", 1 << 30, 100, 100, 4<<20 - 1, 256 << 10},
		{"not an eighth of the log", 1 << 30, 100, 100, 8<<20 - 1, 512 << 10},
		{"an eighth of the log", 1 << 30, 100, 100, 8 << 20, 1 << 20},
		{"large record", 1 << 30, 1 << 20, 1 << 20, 0, 1 << 20},
		{"record larger than a chunk", 1 << 30, 1<<20 + 1, 2 << 20, 1 << 40, 1<<20 + 1},
		{"small budget", 1 << 20, 100, 1 << 20, 1 << 40, 16 << 10},
		{"record larger than a chunk of a small budget", 1 << 20, 17 << 10, 17 << 10, 1 << 40, 17 << 10},
		{"tiny budget", 4 << 10, 100, 1 << 20, 1 << 40, 2 << 10},
	}
	for _, row := range rows {
		if got := newMemory(row.budget).chunkBytes(row.need, row.left, row.held); got != row.want {
			t.Errorf("%s: %d bytes, want %d", row.name, got, row.want)
		}
	}
}

func TestChunksGrowWithUse(t *testing.T) {
	t.Parallel()
	l := open(t, New(Options{}), 0)
	for range 12_000 {
		mustAppend(t, l, 1000)
		if held, data := l.bytes, l.State().Next.Seq*1000; held > 21*data/10+4<<10 {
			t.Fatalf("%d bytes held for %d of data", held, data)
		}
	}
	if got := len(l.tail().buf); got != chunkBytesMax {
		t.Errorf("chunks of a large log have %d bytes, want %d", got, chunkBytesMax)
	}
	l.Trim(12_000)
	mustAppend(t, l, 1000)
	if got := len(l.tail().buf); got != chunkBytesMin {
		t.Errorf("the first chunk after trimming all has %d bytes, want %d", got, chunkBytesMin)
	}
	wantAccounts(t, l.hub.store.mem, l)
}

func TestTrimGivesMemoryBack(t *testing.T) {
	t.Parallel()
	l := open(t, New(Options{}), 0)
	for range 50 {
		mustAppend(t, l, 5000, 300_000)
	}
	full := l.State().Bytes
	l.Trim(50)
	if got := l.State().Bytes; got > full*6/10 {
		t.Errorf("%d of %d bytes after half was trimmed", got, full)
	}
	wantAccounts(t, l.hub.store.mem, l)
	l.Trim(100)
	if got := l.State().Bytes; got != 0 {
		t.Errorf("%d bytes after all was trimmed", got)
	}
	wantAccounts(t, l.hub.store.mem, l)
}

func TestQuietPartitionSurvivesFlood(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	s := New(Options{BytesMax: budget})
	quiet, flood := open(t, s, 0), open(t, s, 1)
	pour := func(bytes int) {
		for n := 0; n < bytes; n += 1000 {
			mustAppend(t, flood, 1000)
		}
	}
	pour(3 * budget)
	mustAppend(t, quiet, 10)
	pour(budget * 3 / 4) // all of the flood before the quiet event is older
	if quiet.State().Empty() {
		t.Fatal("the flood washed away an event that was younger than what it left")
	}
	pour(budget * 3 / 4)
	if !quiet.State().Empty() {
		t.Fatal("the quiet event is older than all that is left, but kept")
	}
	if got := quiet.State(); got.First != 1 || got.Last.Seq != 0 {
		t.Errorf("state of the quiet log is %+v", got)
	}
	var trimmed *eventlog.TrimmedError
	if err := quiet.Read(0, 1, &eventlog.Records{}); !errors.As(err, &trimmed) || trimmed.First != 1 {
		t.Errorf("Read gives error %v", err)
	}
	wantAccounts(t, s.mem, quiet, flood)
}

// Many logs of all sizes at random: what is dropped is always the first chunk with the oldest newest record, and told as it is.
func TestOldestFirst(t *testing.T) {
	t.Parallel()
	const logs = 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var all [logs]*log
	var firsts [logs]int64  // of each log, as told
	var turns [logs][]int64 // for each record the number of its append
	evictions := 0
	onEvict := func(_ eventlog.HubID, p int, first, n int64) {
		evictions++
		newest := turns[p][first+n-1]
		if first != firsts[p] || n < 1 {
			t.Errorf("told of %d records from %d, the first is %d", n, first, firsts[p])
		}
		firsts[p] += n
		for _, l := range all {
			if got := l.State().First; got != firsts[l.partition] { // no lock is held here
				t.Errorf("log %d begins with %d, told was %d", l.partition, got, firsts[l.partition])
			}
			if l.chunks.len() == 0 {
				continue
			}
			if other := turns[l.partition][l.chunks.at(0).endSeq()-1]; other < newest {
				t.Errorf("log %d lost an event of turn %d, while log %d could lose one of %d", p, newest, l.partition, other)
			}
		}
		if s := all[0].hub.store; s.mem.used > s.mem.bytesMax {
			t.Errorf("%d bytes in use", s.mem.used)
		}
	}
	s := New(Options{BytesMax: 1 << 20, OnEvict: onEvict})
	for p := range all {
		all[p] = open(t, s, p)
	}
	for turn := range int64(6000) {
		p := int(float64(logs) * rnd.Float64() * rnd.Float64()) // some are busy
		var sizes []int
		for range 1 + rnd.IntN(3) {
			sizes = append(sizes, rnd.IntN(1+rnd.IntN(4000)))
			turns[p] = append(turns[p], turn)
		}
		mustAppend(t, all[p], sizes...)
	}
	if evictions < 100 {
		t.Errorf("only %d evictions", evictions)
	}
	wantAccounts(t, s.mem, all[:]...)
}

func TestBatchLargerThanBudget(t *testing.T) {
	t.Parallel()
	const budget = 256 << 10
	s := New(Options{BytesMax: budget, OnEvict: func(_ eventlog.HubID, _ int, first, n int64) {
		t.Errorf("%d records from %d were dropped for nothing", n, first)
	}})
	l := open(t, s, 0)
	mustAppend(t, l, 1000)
	rows := []struct {
		name  string
		sizes []int
	}{
		{"one record", []int{budget + 1}},
		{"one record that leaves no room for its entry", []int{budget}},
		{"records that are too large together", []int{budget / 2, budget / 4, budget / 4}},
	}
	before := l.State()
	for _, row := range rows {
		if b := appendBytes(l, row.sizes...); !errors.Is(b.Err, eventlog.ErrBusy) || b.First != (eventlog.Position{}) {
			t.Errorf("%s: got error %v at %+v, want ErrBusy", row.name, b.Err, b.First)
		}
	}
	if got := l.State(); got != before {
		t.Errorf("state is %+v, want %+v", got, before)
	}
	wantAccounts(t, s.mem, l)

	tiny := open(t, New(Options{BytesMax: 1000}), 0)
	if err := appendBytes(tiny, 1).Err; !errors.Is(err, eventlog.ErrBusy) {
		t.Errorf("a budget smaller than any chunk: got error %v, want ErrBusy", err)
	}
}

// The log goes away in the middle of its own append, when part of what the append needs is reserved.
func TestClosedWhileEvicting(t *testing.T) {
	t.Parallel()
	var l *log
	s := New(Options{BytesMax: 64 << 10, OnEvict: func(eventlog.HubID, int, int64, int64) { l.Close() }})
	l = open(t, s, 0)
	for range 100 {
		if err := appendBytes(l, 1000).Err; err != nil {
			if !errors.Is(err, eventlog.ErrClosed) {
				t.Errorf("got error %v, want ErrClosed", err)
			}
			break
		}
	}
	wantAccounts(t, s.mem, l)
	mustAppend(t, open(t, s, 1), 40_000)
}

// Half of the budget is held by a reader, and dropped from the log meanwhile; then all of it.
func TestReadersCount(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	evicted := int64(0)
	s := New(Options{BytesMax: budget, OnEvict: func(_ eventlog.HubID, _ int, _, n int64) { evicted += n }})
	l := open(t, s, 0)
	fill := func(b byte) {
		for range 2000 {
			batch := &eventlog.Batch{Done: func(*eventlog.Batch) {}}
			batch.Records = []eventlog.Record{{Step: 1, Data: bytes.Repeat([]byte{b}, 1000)}}
			l.Append(batch)
			if batch.Err != nil {
				t.Fatal(batch.Err)
			}
			if s.mem.used > budget {
				t.Fatalf("%d bytes in use of %d", s.mem.used, budget)
			}
		}
	}
	fill('a')
	var held eventlog.Records
	if err := l.Read(l.State().First, budget/2, &held); err != nil {
		t.Fatal(err)
	}
	fill('b')
	if held.List[len(held.List)-1].Seq >= l.State().First {
		t.Fatal("what is held was not dropped")
	}
	for _, r := range held.List {
		if !bytes.Equal(r.Data, bytes.Repeat([]byte{'a'}, 1000)) {
			t.Fatalf("record %d changed while it was held", r.Seq)
		}
	}

	var rest eventlog.Records
	for seq := l.State().First; seq < l.State().Next.Seq; seq = rest.List[len(rest.List)-1].Seq + 1 {
		if err := l.Read(seq, budget, &rest); err != nil {
			t.Fatal(err)
		}
	}
	evicted = 0
	if err := appendBytes(l, 100_000).Err; !errors.Is(err, eventlog.ErrBusy) || evicted != 0 {
		t.Errorf("all held: got error %v and %d dropped, want ErrBusy and none", err, evicted)
	}
	held.Release()
	mustAppend(t, l, 100_000)
	if evicted != 0 {
		t.Errorf("%d records dropped though there was room", evicted)
	}
	rest.Release()
	wantAccounts(t, s.mem, l)
}

// Writers, readers that hold for a moment, and a trimmer, in a store far too small for them.
func TestBudgetUnderLoad(t *testing.T) {
	t.Parallel()
	const budget, logs = 512 << 10, 6
	var s *Store
	s = New(Options{BytesMax: budget, OnEvict: func(_ eventlog.HubID, p int, _, _ int64) {
		s.mem.mu.Lock()
		defer s.mem.mu.Unlock()
		if s.mem.used > budget || s.mem.used < 0 || s.mem.freeBytes < 0 {
			t.Errorf("%d bytes used, %d free", s.mem.used, s.mem.freeBytes)
		}
	}})
	var all [logs]*log
	var running sync.WaitGroup
	for p := range all {
		all[p] = open(t, s, p)
	}
	for p, l := range all {
		for g := range 2 {
			rnd := rand.New(rand.NewPCG(uint64(p), uint64(g)))
			running.Go(func() { pourAndRead(t, l, rnd) })
		}
	}
	running.Wait()
	wantAccounts(t, s.mem, all[:]...)
	if err := s.Close(); err != nil || s.mem.used != 0 || len(s.mem.heads) != 0 {
		t.Errorf("closed: error %v, %d bytes used, %d heads", err, s.mem.used, len(s.mem.heads))
	}
}

func pourAndRead(t *testing.T, l *log, rnd *rand.Rand) {
	var into eventlog.Records
	for i := range 400 {
		data := []byte(fmt.Sprintf("%0*d", 1+rnd.IntN(4000), i))
		if i%100 == 0 {
			data = append(data, bytes.Repeat([]byte{'0'}, 30_000)...)
		}
		b := &eventlog.Batch{Done: func(*eventlog.Batch) {}, Records: []eventlog.Record{{Step: 1, Data: data}, {Step: 1, Data: data}}}
		l.Append(b)
		if b.Err != nil && !errors.Is(b.Err, eventlog.ErrBusy) {
			t.Error(b.Err)
			return
		}
		state := l.State()
		var trimmed *eventlog.TrimmedError
		if err := l.Read(state.First, 10_000, &into); err != nil && !errors.As(err, &trimmed) {
			t.Error(err)
			return
		}
		if i%50 == 0 {
			l.Trim(state.First + (state.Next.Seq-state.First)/2)
		}
		for _, r := range into.List {
			if bytes.Trim(r.Data, "0123456789") != nil {
				t.Errorf("record %d is %.40q", r.Seq, r.Data)
			}
		}
		into.Release()
	}
}

// TestSharedBudget: logs that fill at the same pace drop and begin chunks together, and yet keep most of what the budget could hold.
func TestSharedBudget(t *testing.T) {
	t.Parallel()
	const budget, record = 64 << 20, 1000
	for _, row := range []struct {
		logs int
		kept int // percent of the budget that is data, at the worst moment
	}{{1, 92}, {4, 85}, {32, 80}} {
		s := New(Options{BytesMax: budget})
		logs := make([]*log, row.logs)
		for i := range logs {
			logs[i] = open(t, s, i)
		}
		worst := int64(budget)
		for i := range 2 * budget / record {
			mustAppend(t, logs[i%row.logs], record)
			if i > budget/record && i%100 == 0 {
				var kept int64
				for _, l := range logs {
					kept += (l.next.Seq - l.first) * record
				}
				worst = min(worst, kept)
			}
		}
		if percent := int(worst * 100 / budget); percent < row.kept {
			t.Errorf("%d logs keep %d %% of the budget, want %d %%", row.logs, percent, row.kept)
		}
		wantAccounts(t, s.mem, logs...)
	}
}

// TestRoomAhead: what Ahead tells is where the next record goes, as far as the last chunk has room.
func TestRoomAhead(t *testing.T) {
	t.Parallel()
	l := open(t, New(Options{}), 0)
	if room := l.roomLocked(); len(room) != 0 {
		t.Errorf("an empty log has %d bytes of room", len(room))
	}
	seen := 0
	for seq := range int64(500) {
		room := l.roomLocked()
		mustAppend(t, l, 100)
		var into eventlog.Records
		if err := l.Read(seq, 1, &into); err != nil {
			t.Fatal(err)
		}
		if len(room) >= 100 {
			seen++
			if &room[0] != &into.List[0].Data[0] {
				t.Errorf("record %d does not lie where the room was", seq)
			}
		}
		into.Release()
	}
	if seen < 400 {
		t.Errorf("only %d of 500 records were told of", seen)
	}
	l.Close()
	if room := l.roomLocked(); len(room) != 0 {
		t.Errorf("a closed log has %d bytes of room", len(room))
	}
}
