package logtest

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

func testReadBytes(s *scene) {
	const size, n = 1000, 900 // more than fits into one piece of memory, probably
	var data []string
	for i := range n {
		data = append(data, fmt.Sprintf("%0*d", size, i))
	}
	for i := 0; i < n; i += 50 {
		s.append(data[i : i+50]...)
	}
	records := s.readAll(s.start.Seq)
	s.wantData(records, data...)
	r := newReader(s.log)
	var into eventlog.Records
	limits := []int{math.MinInt, -1, 0, 1, size - 1, size, 2*size - 1, 2 * size, 10*size + 1, 600 * size, n*size + 1, math.MaxInt}
	for _, bytesMax := range limits {
		for _, i := range []int{0, 1, 49, 50, n - 2, n - 1} {
			s.ok(r.read(records[i].Seq, bytesMax, &into))
			if got := len(into.List); got > max(1, bytesMax/size) || got > n-i {
				s.Fatalf("Read of %d bytes from record %d gives %d records of %d bytes", bytesMax, i, got, size)
			}
			for j, rec := range into.List {
				if want := records[i+j]; rec.Position != want.Position || rec.Step != want.Step || !bytes.Equal(rec.Data, want.Data) {
					s.Fatalf("Read of %d bytes from record %d gives as record %d %+v, want %+v", bytesMax, i, j, rec.Position, want.Position)
				}
			}
			into.Release()
		}
	}
}

func testReadErrors(s *scene) {
	var into eventlog.Records
	read := func(from int64) error {
		s.Helper()
		err := s.log.Read(from, 1<<20, &into)
		if len(into.List) != 0 {
			s.Fatalf("Read from %d gives %d records", from, len(into.List))
		}
		return err
	}
	start := s.start.Seq
	s.ok(read(start))
	s.wantBeyond(read(start+1), start)
	s.wantTrimmed(read(start-1), start)
	s.wantTrimmed(read(-1<<63), start)
	s.wantBeyond(read(1<<63-1), start)

	s.append("a", "b", "c")
	end := s.log.State().Next.Seq
	s.ok(read(end))
	s.wantBeyond(read(end+1), end)

	first := s.readAll(start)[2].Seq
	s.log.Trim(first)
	s.wantTrimmed(read(first-1), first)
	s.wantData(s.readAll(first), "c")

	s.log.Trim(end)
	s.wantTrimmed(read(end-1), end)
	s.ok(read(end))
}

// A Records may take several Reads before it is released, and is ready again then.
func testReadAppends(s *scene) {
	s.append("a", "b")
	all := s.readAll(s.start.Seq)
	var into eventlog.Records
	r := newReader(s.log)
	for range 3 {
		for _, rec := range all {
			before := len(into.List)
			for len(into.List) == before { // r.read would be content with the records that are there
				s.ok(s.log.Read(rec.Seq, 0, &into))
				if len(into.List) == before {
					var fetched eventlog.Records
					s.ok(r.read(rec.Seq, 0, &fetched))
					fetched.Release()
				}
			}
		}
		s.wantData(into.List, "a", "b")
		into.Release()
		if len(into.List) != 0 {
			s.Fatalf("%d records after Release", len(into.List))
		}
	}
}

// While records are held they are trimmed, and as much is appended as should take any memory that was given back too early.
func testDataStays(s *scene) {
	var data []string
	for i := range 60 {
		data = append(data, strings.Repeat(fmt.Sprintf("held %d ", i), 1+i*i))
	}
	s.append(data...)
	r := newReader(s.log)
	var into eventlog.Records
	s.ok(r.read(s.start.Seq, 1<<30, &into))
	held := len(into.List)
	end := s.log.State().Next.Seq
	s.log.Trim(end)
	for range 200 {
		s.append(strings.Repeat("overwritten ", 300), "overwritten")
	}
	s.wantData(into.List, data[:held]...)
	s.log.Trim(s.log.State().Next.Seq)
	s.ok(s.log.Close())
	s.wantData(into.List, data[:held]...)
	into.Release()
}

func testTrim(s *scene) {
	var data []string
	for i := range 100 {
		data = append(data, strings.Repeat(fmt.Sprint(i, " "), 100))
		s.append(data[i])
	}
	all := s.readAll(s.start.Seq)
	full := s.log.State()
	kept := 0
	for _, cut := range []int{0, 1, 2, 30, 29, 0, 77, 99} {
		s.log.Trim(all[cut].Seq)
		kept = max(kept, cut)
		state := s.log.State()
		if state.First != all[kept].Seq || state.Next != full.Next || state.Last != full.Last || state.Empty() {
			s.Fatalf("trimmed before record %d: state is %+v, want First %d and the rest as in %+v", kept, state, all[kept].Seq, full)
		}
		s.wantData(s.readAll(all[kept].Seq), data[kept:]...)
		if kept > 0 {
			s.wantTrimmed(s.log.Read(all[kept].Seq-1, 0, &eventlog.Records{}), all[kept].Seq)
		}
	}
	for _, before := range []int64{full.Next.Seq, full.Next.Seq + 1, 1<<63 - 1} {
		s.log.Trim(before)
		state := s.log.State()
		if state.First != full.Next.Seq || state.Next != full.Next || state.Last != full.Last || !state.Empty() {
			s.Fatalf("trimmed all: state is %+v, want none kept and the rest as in %+v", state, full)
		}
	}
	if got, want := s.append("next"), s.follows(full.Next, s.log.State().Last); got != want {
		s.Fatalf("after trimming all the next record is at %+v, want %+v", got, want)
	}
	s.wantData(s.readAll(full.Next.Seq), "next")
}

func testStateEmpty(s *scene) {
	state := s.log.State()
	want := eventlog.State{
		First: s.start.Seq,
		Next:  eventlog.Position{Seq: s.start.Seq, Offset: s.start.Offset},
		Last:  eventlog.Position{Seq: s.start.Seq - 1, Offset: eventlog.OffsetNone},
		Bytes: state.Bytes,
	}
	if state != want {
		s.Fatalf("state is %+v, want %+v", state, want)
	}
	if !s.Foreign && s.start != (eventlog.Position{}) {
		s.Fatalf("a new log begins at %+v, want the zero position of the options", s.start)
	}
	s.append("x", "y")
	if got := s.log.State().Bytes; got <= state.Bytes {
		s.Fatalf("%d bytes with two records, %d with none", got, state.Bytes)
	}
}

// Every record moves the offset by 10, so that a State put together from two moments shows.
func testStateOneMoment(s *scene) {
	var over atomic.Bool
	checked := make(chan error, 1)
	go func() {
		var err error
		for err == nil && !over.Load() {
			err = checkState(s, s.log.State())
		}
		checked <- err
	}()
	for range 300 {
		b := batchOf("a", "b", "c")
		for i := range b.Records {
			b.Records[i].Step = 10
		}
		s.ok(appendAndWait(s.log, b))
		s.log.Trim(b.First.Seq + 1)
	}
	over.Store(true)
	if err := <-checked; err != nil {
		s.Fatal(err)
	}
}

func checkState(s *scene, state eventlog.State) error {
	bad := state.First < s.start.Seq || state.First > state.Next.Seq || state.Next.TimeMs != 0 || state.Failed != nil
	if state.Last.Offset == eventlog.OffsetNone {
		bad = bad || state.Next != s.start || !state.Empty()
	} else {
		step := int64(10)
		if s.Foreign {
			step = 1
		}
		bad = bad || state.Next.Offset != state.Last.Offset+step || state.Next.Seq != state.Last.Seq+1 || state.First > state.Last.Seq
		bad = bad || !s.Foreign && state.Next.Offset-s.start.Offset != step*(state.Next.Seq-s.start.Seq)
	}
	if bad {
		return fmt.Errorf("state is %+v in a log that began at %+v", state, s.start)
	}
	return nil
}
