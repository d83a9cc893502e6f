package kafka

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/evhub-dev/evhub/notify"
)

const (
	trialsMax = 4  // Sends that try again at once
	triesMax  = 64 // of one Send: enough to find the one bad record among 1,000 three times
)

// trials owns the clients for what was refused with its batch. Whoever has one has it alone, so its batches hold nothing else. Where others
// wait it is for one try only: a Send with very many bad records takes longer itself and holds back no other.
type trials struct {
	client  *kgo.Client      // whose options they have
	idle    chan *kgo.Client // trialsMax in all; nil: not made yet
	waiting atomic.Int32     // Sends that wait for one, in the order they came
	ctx     context.Context  // ends when Close waits no longer
	cancel  context.CancelFunc
	closing chan struct{} // holds one while close gathers the clients
	making  sync.Mutex    // held while a client is made: that writes into some options, which all share
}

func newTrials(client *kgo.Client) *trials {
	t := &trials{client: client, idle: make(chan *kgo.Client, trialsMax), closing: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for range trialsMax {
		t.idle <- nil
	}
	return t
}

// take waits for a client. Each must be given back.
func (t *trials) take(ctx context.Context) (*kgo.Client, *notify.Error) {
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	var client *kgo.Client
	select {
	case client = <-t.idle:
	case <-ctx.Done():
		return nil, errExpired(ctx)
	case <-t.ctx.Done():
		return nil, errClosed()
	}
	switch {
	case t.ctx.Err() != nil:
		t.idle <- client
		return nil, errClosed()
	case client != nil:
		return client, nil
	}
	client, err := t.another()
	if err != nil {
		t.idle <- nil
		return nil, &notify.Error{Reason: notify.Unavailable, Text: texts[notify.Unavailable], Err: err}
	}
	return client, nil
}

// another makes a client that produces as the first does, and consumes nothing.
func (t *trials) another() (*kgo.Client, error) {
	t.making.Lock()
	defer t.making.Unlock()
	return kgo.NewClient(append(slices.Clone(t.client.Opts()),
		kgo.ManualFlushing(), // so that what is tried together is judged together
		kgo.ConsumeTopics(), kgo.ConsumePartitions(nil), kgo.ConsumerGroup(""), kgo.ShareGroup(""),
	)...)
}

func (t *trials) giveBack(client *kgo.Client) {
	if t.ctx.Err() != nil {
		client.Close()
		client = nil
	}
	t.idle <- client
}

// flush waits until a client has no record any more. It gives them up when Close waits no longer.
func (t *trials) flush(client *kgo.Client) {
	if client.Flush(t.ctx) != nil {
		client.Close()
	}
}

// close ends all clients once they are given back, and has that hurried when ctx ends. It may be called again.
func (t *trials) close(ctx context.Context) (err error) {
	defer t.cancel()
	select {
	case t.closing <- struct{}{}:
	default:
		select {
		case t.closing <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err() // another close gathers them
		}
	}
	defer func() { <-t.closing }()
	var all [trialsMax]*kgo.Client
	for i := range all {
		select {
		case all[i] = <-t.idle:
		case <-ctx.Done():
			err = ctx.Err()
			t.cancel()
			all[i] = <-t.idle
		}
	}
	t.cancel() // before there is something to take again
	for _, client := range all {
		if client != nil {
			client.Close()
		}
		t.idle <- nil
	}
	return err
}

// trial finds out which of a Send's refused records are to blame. One goroutine runs it.
type trial struct {
	n      *Notifier
	s      *sending
	ctx    context.Context // of the Send
	client *kgo.Client     // nil: given back, and no other was to be had
	tries  int
}

// tryAlone sends again what was refused with its batch, and waits for that as long as ctx lets it.
func (n *Notifier) tryAlone(ctx context.Context, s *sending) {
	refused := s.refused(n, s.handed())
	if len(refused) == 0 {
		return
	}
	if n.hurries {
		s.tellAll(refused, errHurried())
		return
	}
	s.tellAll(refused, errNotAgain(notify.Expired))
	client, err := n.trials.take(ctx)
	if err != nil {
		s.tellAll(refused, err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := &trial{n: n, s: s, ctx: ctx, client: client}
		t.run(refused)
		if t.client != nil {
			n.trials.giveBack(t.client)
		}
	}()
	s.wait(ctx, done)
}

// run sends records, and again in halves what is refused, in their order. It is false when trying on is of no use, or would have a record
// overtake one that may be sent again.
func (t *trial) run(list []int) bool {
	if t.tries++; t.tries > triesMax {
		t.s.tellAll(list, errNotAgain(notify.Busy))
		return false
	}
	if err := t.letOthers(); err != nil {
		t.s.tellAll(list, err)
		return false
	}
	if !t.s.tellAll(list, errUnknown()) {
		return false
	}
	t.send(list)
	if t.s.retryable(list) {
		t.s.tellAll(t.s.refused(t.n, list), errNotAgain(notify.Busy))
		return false
	}
	if len(list) == 1 {
		return true
	}
	refused := t.s.refused(t.n, list)
	t.s.tellAll(refused, errNotAgain(notify.Expired))
	going := true
	for half := range slices.Chunk(refused, max(1, (len(refused)+1)/2)) {
		if going {
			going = t.run(half)
		} else {
			t.s.tellAll(half, errNotAgain(notify.Busy))
		}
	}
	return going
}

// letOthers gives the client to whoever waits for one, and waits in turn; but not for Close, which lets trials end that have begun.
func (t *trial) letOthers() (err *notify.Error) {
	if t.tries == 1 || t.n.trials.waiting.Load() == 0 || len(t.n.trials.closing) > 0 {
		return nil
	}
	t.n.trials.giveBack(t.client)
	t.client, err = t.n.trials.take(t.ctx)
	return err
}

// send produces records and waits for what becomes of them.
func (t *trial) send(list []int) {
	var open sync.WaitGroup
	open.Add(len(list))
	t.n.produce(t.client, t.s, list, func(i int, result notify.Result) {
		t.s.tell(i, result)
		open.Done()
	})
	t.n.trials.flush(t.client)
	open.Wait()
}

// refused gives those of the list that a broker refused for what they are, or for what another in their batch is. One that would now come
// behind a later record of its order is Busy instead.
func (s *sending) refused(n *Notifier, list []int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return nil
	}
	var refused []int
	for _, i := range list {
		if s.results[i].Err != nil && !n.limits.tooLarge(s.records[i]) {
			switch notify.ReasonOf(s.results[i].Err) {
			case notify.Invalid, notify.TooLarge:
				refused = append(refused, i)
			}
		}
	}
	if len(refused) == 0 || !s.ordered {
		return refused
	}
	overtaken := s.overtaken()
	return slices.DeleteFunc(refused, func(i int) bool {
		last, ok := overtaken[orderOf(s.records[i])]
		if ok = ok && i < last; ok {
			s.results[i] = notify.Result{Err: errNotAgain(notify.Busy)}
		}
		return ok
	})
}

// overtaken gives the place of the last record of each order that is stored, or may be. The caller holds mu.
func (s *sending) overtaken() map[order]int {
	places := map[order]int{}
	for i, r := range s.records {
		if r == nil || s.results[i].Err != nil && notify.ReasonOf(s.results[i].Err) != notify.Unknown {
			continue
		}
		if o := orderOf(r); o.is() {
			places[o] = i
		}
	}
	return places
}

// retryable says whether one of the list failed in a way that another try may change.
func (s *sending) retryable(list []int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left || slices.ContainsFunc(list, func(i int) bool {
		err := s.results[i].Err
		return err != nil && notify.ReasonOf(err).Retryable()
	})
}

// order is what records keep their order in: a key or a chosen partition.
type order struct {
	key       string
	partition int // from 1 on
}

func (o order) is() bool { return o != order{} }

func orderOf(r *kgo.Record) order {
	if c := choiceOf(r); c != nil {
		return order{partition: c.partition + 1}
	}
	return order{key: string(r.Key)}
}

// limits are a client's bounds.
type limits struct {
	records, bytes int64 // that it buffers; 0: any
	batchBytes     func(topic string) int32
}

func limitsOf(client *kgo.Client) limits {
	l := limits{}
	l.records, _ = client.OptValue(kgo.MaxBufferedRecords).(int64)
	l.bytes, _ = client.OptValue(kgo.MaxBufferedBytes).(int64)
	l.batchBytes, _ = client.OptValue(kgo.ProducerBatchMaxBytesFn).(func(string) int32)
	return l
}

// full says whether a client has no room for a record at present.
func (l limits) full(client *kgo.Client, r *kgo.Record) bool {
	if l.records > 0 && client.BufferedProduceRecords() >= l.records {
		return true
	}
	size := sizeOf(r)
	return 0 < l.bytes && size <= l.bytes && client.BufferedProduceBytes()+size > l.bytes
}

// tooLarge says whether the client itself refuses a record, whatever is in its batch.
func (l limits) tooLarge(r *kgo.Record) bool {
	size := sizeOf(r)
	return l.batchBytes != nil && size > int64(l.batchBytes(r.Topic)) || 0 < l.bytes && l.bytes < size
}

// sizeOf is a record's size as a client counts what it buffers.
func sizeOf(r *kgo.Record) int64 {
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return int64(size)
}
