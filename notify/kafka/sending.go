package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/evhub-dev/evhub/notify"
)

// sending is one Send on its way. Its promises and its trial may outlive it.
type sending struct {
	records []*kgo.Record // as many as messages; nil: it could not be made, and has its result
	ordered bool          // there are several, and some have a key or partition
	done    chan struct{} // closed when open falls to 0

	mu      sync.Mutex // guards what follows once records are handed over
	results []notify.Result
	open    int  // records that the client has
	left    bool // the Send has ended, and results are its caller's
}

// encode makes the records. One that is nil has its result already; the others are Unknown until their promises say more.
func (s *sending) encode(n *Notifier, ctx context.Context, topic string, messages []notify.Message) {
	s.records = make([]*kgo.Record, len(messages))
	bodies := newArena(messages)
	ctx = context.WithoutCancel(ctx) // hooks of the client find traces in it
	unknown := errUnknown()
	for i := range messages {
		m := &messages[i]
		r, err := n.record(ctx, m)
		if err != nil {
			s.results[i].Err = err
			continue
		}
		r.Topic, r.Value = topic, bodies.copy(m.Body)
		s.records[i], s.results[i].Err = r, unknown
		s.open++
		s.ordered = s.ordered || len(messages) > 1 && (m.Key != "" || m.Partition != "")
	}
}

// handed gives the places of the records that there are.
func (s *sending) handed() []int {
	list := make([]int, 0, s.open)
	for i, r := range s.records {
		if r != nil {
			list = append(list, i)
		}
	}
	return list
}

// tell takes note of a record's result, which may not be its last.
func (s *sending) tell(i int, result notify.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.left {
		s.results[i] = result
	}
}

// tellAll gives some records the same error. It is false when nobody is there to hear it.
func (s *sending) tellAll(list []int, err *notify.Error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return false
	}
	for _, i := range list {
		s.results[i] = notify.Result{Err: err}
	}
	return true
}

// finish is tell for the first round.
func (s *sending) finish(i int, result notify.Result) {
	s.tell(i, result)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 {
		close(s.done)
	}
}

// wait is false when ctx ends first: then the Send is over.
func (s *sending) wait(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	return false
}
