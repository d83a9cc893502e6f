package logtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// testStress has 8 appenders, 4 readers and a trimmer at one log. The last record is the sign for the readers to go.
func testStress(s *scene) {
	const appenders, batches = 8, 250
	seed := s.seed()
	var appending, reading, trimming sync.WaitGroup
	var over atomic.Bool
	for a := range appenders {
		rnd := rand.New(rand.NewPCG(seed, uint64(a)))
		appending.Go(func() {
			for i := 0; i < batches; i++ {
				b := &eventlog.Batch{}
				for j := range 1 + rnd.IntN(4) {
					b.Records = append(b.Records, eventlog.Record{Step: 1 + rnd.Int64N(100), Data: stressData(a, i*10+j, rnd)})
				}
				if err := appendAndWait(s.log, b); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		reading.Go(func() {
			if err := readStress(s); err != nil {
				s.Error(err)
			}
		})
	}
	trimming.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, appenders))
		for !over.Load() {
			state := s.log.State()
			s.log.Trim(state.First + rnd.Int64N(state.Next.Seq-state.First+1))
			var into eventlog.Records
			_ = s.log.Read(state.First, 100, &into) // what it gives depends; time passes, and memory is held for a moment
			into.Release()
		}
	})
	appending.Wait()
	over.Store(true)
	trimming.Wait()
	s.append("end")
	reading.Wait()
}

// stressData is some bytes that say who appended them, in which place, and, being a repetition, whether they are whole.
func stressData(appender, n int, rnd *rand.Rand) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%d:%d;", appender, n), 1+rnd.IntN(60)))
}

// readStress reads to the end: sequence numbers without a gap except where the log says that it was trimmed, each appender's records in
// his order, and nothing that changes while it is held.
func readStress(s *scene) error {
	r := newReader(s.log)
	var into eventlog.Records
	seen := map[int]int{}
	for seq := s.start.Seq; ; {
		err := r.read(seq, 20_000, &into)
		var trimmed *eventlog.TrimmedError
		switch {
		case errors.As(err, &trimmed):
			if trimmed.First <= seq {
				return fmt.Errorf("at %d the log says that it is trimmed to %d", seq, trimmed.First)
			}
			seq = trimmed.First
			continue
		case err != nil:
			return err
		}
		for range 2 { // the second time just before Release
			end, err := checkStress(s, into.List, seq, seen)
			if err != nil || end {
				into.Release()
				return err
			}
		}
		for _, rec := range into.List {
			var a, n int
			fmt.Sscanf(string(rec.Data), "%d:%d;", &a, &n)
			seen[a] = n
		}
		seq = into.List[len(into.List)-1].Seq + 1
		into.Release()
	}
}

// checkStress checks what a Read from seq gave, after each appender's last record seen, and says whether it has the end.
func checkStress(s *scene, list []eventlog.Record, seq int64, seen map[int]int) (end bool, err error) {
	last := map[int]int{}
	for a, n := range seen {
		last[a] = n
	}
	for _, rec := range list {
		if rec.Seq < seq || rec.Seq > seq && !s.Foreign {
			return false, fmt.Errorf("record %d where %d is due", rec.Seq, seq)
		}
		seq = rec.Seq + 1
		data := string(rec.Data)
		if data == "end" {
			return true, nil
		}
		var a, n int
		if _, err := fmt.Sscanf(data, "%d:%d;", &a, &n); err != nil {
			return false, fmt.Errorf("record %d is %.40q: %w", rec.Seq, data, err)
		}
		unit, _, _ := strings.Cut(data, ";")
		if strings.ReplaceAll(data, unit+";", "") != "" {
			return false, fmt.Errorf("record %d is %.40q, in pieces", rec.Seq, data)
		}
		if before, ok := last[a]; ok && n <= before {
			return false, fmt.Errorf("record %d is %d of appender %d, who was at %d", rec.Seq, n, a, before)
		}
		last[a] = n
	}
	return false, nil
}

// seed gives the seed of this run, and logs it.
func (s *scene) seed() uint64 {
	seed := s.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s.Logf("Harness.Seed: %d", seed)
	return seed
}
