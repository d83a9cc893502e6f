package local

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

// ruled sends one message within a second under one rule. It says how long that took and how many messages are stored a day later.
func ruled(t *testing.T, op hub.Op, v hub.Verdict) (result notify.Result, took time.Duration, stored int) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}), Options{})
		r.hall.SetRules(&script{op: op, v: v})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		result = r.send(ctx, text("a"))[0]
		took = time.Since(start)
		time.Sleep(20 * time.Hour) // less than the events' retention
		stored = r.storedCount()
		r.hall.SetRules(nil)
		wantStored(t, "without rules", r.send(t.Context(), text("b"))[0])
	})
	return result, took, stored
}

func TestRules(t *testing.T) {
	t.Parallel()
	const fine = notify.Reason(255)
	denied := &hub.Error{Kind: hub.Unauthorized, Text: "no"}
	rows := []struct {
		name   string
		op     hub.Op
		v      hub.Verdict
		want   notify.Reason
		took   time.Duration
		stored int
	}{
		{"pass", hub.Send, hub.Verdict{}, fine, 0, 1},
		{"refuse", hub.Send, hub.Verdict{Action: hub.Refuse}, notify.Busy, 0, 0},
		{"refuse with an error", hub.Send, hub.Verdict{Action: hub.Refuse, Err: denied}, notify.Denied, 0, 0},
		{"detach", hub.Send, hub.Verdict{Action: hub.Detach, Err: denied}, notify.Denied, 0, 0},
		{"close", hub.Send, hub.Verdict{Action: hub.CloseConn}, notify.Busy, 0, 0},
		{"drop", hub.Send, hub.Verdict{Action: hub.Drop}, notify.Unavailable, 0, 0},
		{"expire", hub.Send, hub.Verdict{Action: hub.Expire}, notify.Denied, 0, 0},
		{"swallow", hub.Send, hub.Verdict{Action: hub.Swallow}, notify.Unknown, time.Second, 0},
		{"rewind makes no sense", hub.Send, hub.Verdict{Action: hub.Rewind}, fine, 0, 1},
		{"delay", hub.Send, hub.Verdict{Delay: 900 * time.Millisecond}, fine, 900 * time.Millisecond, 1},
		{"long delay", hub.Send, hub.Verdict{Delay: time.Hour}, notify.Expired, time.Second, 0},
		{"refuse late", hub.Send, hub.Verdict{Action: hub.Refuse, Delay: 10 * time.Millisecond}, notify.Busy, 10 * time.Millisecond, 0},

		{"stored, pass", hub.Stored, hub.Verdict{}, fine, 0, 1},
		{"stored, refuse", hub.Stored, hub.Verdict{Action: hub.Refuse}, notify.Busy, 0, 1},
		{"stored, detach", hub.Stored, hub.Verdict{Action: hub.Detach, Err: denied}, notify.Unknown, 0, 1},
		{"stored, close", hub.Stored, hub.Verdict{Action: hub.CloseConn}, notify.Unknown, 0, 1},
		{"stored, drop", hub.Stored, hub.Verdict{Action: hub.Drop}, notify.Unknown, 0, 1},
		{"stored, expire", hub.Stored, hub.Verdict{Action: hub.Expire}, notify.Unknown, 0, 1},
		{"stored, swallow", hub.Stored, hub.Verdict{Action: hub.Swallow}, notify.Unknown, time.Second, 1},
		{"stored, delay", hub.Stored, hub.Verdict{Delay: 900 * time.Millisecond}, fine, 900 * time.Millisecond, 1},
		{"stored, long delay", hub.Stored, hub.Verdict{Delay: time.Hour}, notify.Unknown, time.Second, 1},
		{"other point", hub.Deliver, hub.Verdict{Action: hub.Drop}, fine, 0, 1},
	}
	for _, row := range rows {
		result, took, stored := ruled(t, row.op, row.v)
		if row.want == fine {
			wantStored(t, row.name, result)
		} else {
			wantReason(t, row.name, result, row.want)
		}
		if took != row.took || stored != row.stored {
			t.Errorf("%s: %d stored after %v, want %d after %v", row.name, stored, took, row.stored, row.took)
		}
	}
}

// TestRulesApart: one rule for one partition leaves the messages to others alone, and each partition is asked about once.
func TestRulesApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(memlog.Options{}), Options{Client: "gateway"})
	rules := &onePartition{}
	r.hall.SetRules(rules)
	var mu sync.Mutex
	var told []hub.Report
	r.hall.SetReports(func(report *hub.Report) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, *report)
	})
	results := r.send(t.Context(),
		notify.Message{Partition: "0"}, notify.Message{Partition: "1"}, notify.Message{Partition: "0"}, notify.Message{Partition: "1"})
	for i, result := range results {
		if i%2 == 1 {
			wantReason(t, "partition 1", result, notify.Busy)
		} else {
			wantStored(t, "partition 0", result)
		}
	}
	subject := func(op hub.Op, partition int) hub.Subject {
		return hub.Subject{Op: op, Namespace: "ns", Hub: "Orders", Partition: partition, Client: "gateway", Records: 2}
	}
	if want := [3]hub.Subject{subject(hub.Send, 0), subject(hub.Stored, 0), subject(hub.Send, 1)}; [3]hub.Subject(rules.asked) != want {
		t.Errorf("asked %+v", rules.asked)
	}
	if len(told) != 2 || told[0] != (hub.Report{Subject: subject(hub.Send, 0)}) || told[1].Subject != subject(hub.Send, 1) || told[1].Err.Kind != hub.Busy {
		t.Errorf("told %+v", told)
	}
}

type onePartition struct{ asked []hub.Subject }

func (r *onePartition) Ask(s *hub.Subject) hub.Verdict {
	r.asked = append(r.asked, *s)
	if s.Partition == 1 {
		return hub.Verdict{Action: hub.Refuse}
	}
	return hub.Verdict{}
}

// TestCancelledStorm has callers leave at every moment while rules delay and the pools are in use: what is told to be stored is stored,
// what is told not to be stored is not.
func TestCancelledStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}), Options{})
		r.hall.SetRules(storm{})
		var mu sync.Mutex
		told := map[string]notify.Result{}
		var senders sync.WaitGroup
		for i := range 300 {
			body := string(rune('a'+i%26)) + time.Duration(i).String()
			senders.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%30)*time.Millisecond+time.Microsecond)
				defer cancel()
				result := r.send(ctx, notify.Message{Body: []byte(body), Key: body})[0]
				mu.Lock()
				defer mu.Unlock()
				told[body] = result
			})
		}
		senders.Wait()
		time.Sleep(time.Second)
		stored := map[string]int{}
		for p := range r.hub.PartitionCount() {
			for _, plain := range r.stored(p) {
				stored[string(plain.Body)]++
			}
		}
		counts := map[notify.Reason]int{}
		for body, result := range told {
			switch {
			case result.Err == nil && stored[body] != 1:
				t.Errorf("%s is told to be stored once, but is %d times", body, stored[body])
			case result.Err != nil && notify.ReasonOf(result.Err) != notify.Unknown && stored[body] != 0:
				t.Errorf("%s is told not to be stored (%v), but is", body, result.Err)
			}
			if result.Err != nil {
				counts[notify.ReasonOf(result.Err)]++
			}
		}
		if counts[notify.Expired] == 0 || counts[notify.Unknown] == 0 || counts[notify.Expired]+counts[notify.Unknown] == len(told) {
			t.Errorf("the storm was none: %v of %d", counts, len(told))
		}
	})
}

// storm delays each partition by another time, before and after storing.
type storm struct{}

func (storm) Ask(s *hub.Subject) hub.Verdict {
	return hub.Verdict{Delay: time.Duration(1+s.Partition*4) * time.Millisecond}
}
