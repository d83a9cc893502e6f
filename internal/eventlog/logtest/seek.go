package logtest

import (
	"fmt"
	"math"
	"strings"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

func key(by eventlog.By, p eventlog.Position) int64 {
	switch by {
	case eventlog.ByOffset:
		return p.Offset
	case eventlog.ByTime:
		return p.TimeMs
	default:
		return p.Seq
	}
}

// seekSlowly is what a Seek of q must find among the kept records.
func seekSlowly(kept []eventlog.Record, next eventlog.Position, q eventlog.Query) eventlog.Position {
	for _, r := range kept {
		if k := key(q.By, r.Position); k > q.Value || k == q.Value && !q.After {
			return r.Position
		}
	}
	return next
}

// seek waits for Seek's done.
func (s *scene) seek(q eventlog.Query) (eventlog.Position, error) {
	s.Helper()
	var pos eventlog.Position
	var err error
	done := make(chan struct{})
	s.log.Seek(q, func(p eventlog.Position, e error) {
		pos, err = p, e
		close(done) // a second call would panic
	})
	s.wait(done, "Seek")
	return pos, err
}

// wantSeeks seeks at and around every value that a record has or had, and far away from all.
func (s *scene) wantSeeks(ever, kept []eventlog.Record) {
	s.Helper()
	next := s.log.State().Next
	for _, by := range []eventlog.By{eventlog.BySeq, eventlog.ByOffset, eventlog.ByTime} {
		values := []int64{math.MinInt64, -1, 0, math.MaxInt64 - 1, math.MaxInt64, key(by, next), key(by, next) + 1}
		for _, r := range ever {
			k := key(by, r.Position)
			values = append(values, k-1, k, k+1)
		}
		for _, v := range values {
			for _, after := range []bool{false, true} {
				q := eventlog.Query{By: by, Value: v, After: after}
				got, err := s.seek(q)
				if want := seekSlowly(kept, next, q); err != nil || got != want {
					s.Fatalf("Seek(%+v) among %d records gives %+v, error %v, want %+v", q, len(kept), got, err, want)
				}
			}
		}
	}
}

// appendForSeek appends records some of which share their time with others, and whose offsets lie apart. They fill more than one piece
// of memory, probably.
func appendForSeek(s *scene) []eventlog.Record {
	for i := range 60 {
		var data []string
		for j := range i%5 + 1 {
			data = append(data, strings.Repeat(fmt.Sprint(i, j), i*10))
		}
		s.append(data...)
		s.clock.ms.Add(int64(i % 3 * i))
	}
	return s.readAll(s.start.Seq)
}

func testSeek(s *scene) {
	all := appendForSeek(s)
	s.wantSeeks(all, all)
	s.ok(s.log.Close())
	_, err := s.seek(eventlog.Query{})
	s.wantErr(err, eventlog.ErrClosed)
}

func testSeekEmpty(s *scene) {
	s.wantSeeks(nil, nil)
}

func testSeekTrimmed(s *scene) {
	all := appendForSeek(s)
	for _, cut := range []int{1, 50, 101, len(all) - 1} {
		s.log.Trim(all[cut].Seq)
		s.wantSeeks(all, all[cut:])
	}
	s.log.Trim(s.log.State().Next.Seq)
	s.wantSeeks(all, nil)
}
