// Package kafka is a notify.Notifier into an Apache Kafka cluster, over a franz-go client that the caller makes, owns and closes. A hub is a
// topic.
//
// What its users need is the truth about each record, while the client sends records of many callers in one batch, tries again by itself and
// cannot take back what it has. What could break it, and the rule that keeps it whole:
//   - A caller's context in the client's hands: when it ends, the client drops all that waits for the same partition. So the client never
//     sees a context that ends. A Send whose context does reports what is open as Unknown, and the client goes on.
//   - A body that its owner changes after a Send that ended early, while the client still holds it. So bodies are copied.
//   - Waiting without bounds. A record that finds the client's buffers full is Busy at once (kgo.Client.TryProduce).
//
// # The client
//
// It should be made with Partitioner, which lets messages choose their partition, and with bounds:
//
//	kgo.NewClient(
//		kgo.SeedBrokers(brokers...),
//		kgo.RecordPartitioner(kafka.Partitioner()),
//		kgo.MaxBufferedRecords(10_000), kgo.MaxBufferedBytes(64<<20), // beyond: Busy
//		kgo.RecordDeliveryTimeout(30*time.Second),                    // a cluster that is away for longer: Unavailable
//		kgo.UnknownTopicRetries(1),                                   // a topic that is not there: NotFound after so many more looks
//	)
//
// Without a delivery timeout, records to a cluster that is away wait until it is back, long after their Sends ended. With one, so do those
// whose request was sent and not answered, and what waits behind them for the same partition; so every Send needs a deadline. A client that asks for
// no acknowledgement (kgo.NoAck) makes every result Unknown. One that may give up records whose answer is open
// (kgo.DisableIdempotentWrite, kgo.AllowIdempotentProduceCancellation) makes Unknown what else is Unavailable. The client may not be
// transactional.
//
// # What the cluster's answers mean
//
// A broker judges batches. When it refuses one, for its size or for one bad record in it, all records in it fail with the same reason, and
// with them those that wait for the same partition, so that no record overtakes another. So the client's ProducerBatchMaxBytes should not
// exceed the topic's max.message.bytes. One gap remains: if a batch was stored, its answer was lost, and what the broker says to the
// repeated batch is not "stored" but, say, that the right to write was taken away just then, the reason is the broker's last word.
//
// # Headers
//
//	content-type   Message.ContentType, if any
//	message-id     Message.ID, if any
//	ce_NAME        a property cloudEvents:NAME, as the CloudEvents binding for Kafka wants it [3.2.3]
//	NAME           any other property
//
// Values are text: true and false, decimal numbers (floats in their shortest form), times in RFC 3339 and UTC with as many digits as they
// have; []byte is as it is. A property may not have the name of one of the first two if that is set.
package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/evhub-dev/evhub/notify"
)

// Notifier is a notify.Notifier. It is safe for concurrent use.
type Notifier struct {
	client   *kgo.Client
	chooses  bool // the client has our Partitioner
	forgets  bool // the client may give up a record that a broker may have stored
	unheeded bool // the client asks for no acknowledgement

	mu     sync.RWMutex // held for reading while records are handed over; guards closed
	closed bool
}

var _ notify.Notifier = (*Notifier)(nil)

// New gives a Notifier over client, which stays the caller's: close the Notifier first, then the client.
func New(client *kgo.Client) *Notifier {
	_, chooses := client.OptValue(kgo.RecordPartitioner).(partitioner)
	return &Notifier{
		client:   client,
		chooses:  chooses,
		forgets:  client.OptValue(kgo.DisableIdempotentWrite) == true || client.OptValue(kgo.AllowIdempotentProduceCancellation) == true,
		unheeded: client.OptValue(kgo.RequiredAcks) == kgo.NoAck(),
	}
}

// Send is notify.Notifier's. A message that fails does not hold back those behind it. Sequence is the record's offset.
func (n *Notifier) Send(ctx context.Context, topic string, messages ...notify.Message) []notify.Result {
	results := make([]notify.Result, len(messages))
	switch {
	case len(messages) == 0:
		return results
	case ctx.Err() != nil:
		return fail(results, errExpired(ctx))
	case !legal(topic):
		return fail(results, errIllegal())
	}
	s := &sending{results: results, done: make(chan struct{})}
	records := s.encode(n, ctx, topic, messages)
	if s.open == 0 {
		return results
	}
	if !n.handOver(s, records) {
		return fail(results, errClosed())
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		s.leave()
	}
	return results
}

func fail(results []notify.Result, err *notify.Error) []notify.Result {
	for i := range results {
		results[i] = notify.Result{Err: err}
	}
	return results
}

// handOver gives the client those records that there are, unless Notifier or client is closed.
func (n *Notifier) handOver(s *sending, records []*kgo.Record) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed || n.client.Context().Err() != nil {
		return false
	}
	for i, r := range records {
		if r != nil {
			n.client.TryProduce(r.Context, r, func(r *kgo.Record, err error) { s.finish(i, n.result(r, err)) })
		}
	}
	return true
}

// result is what the client's promise says about a record.
func (n *Notifier) result(r *kgo.Record, err error) notify.Result {
	switch {
	case err != nil:
		return notify.Result{Err: n.errorOf(r, err)}
	case n.unheeded:
		return notify.Result{Err: errorf(notify.Unknown, "The Kafka client asks for no acknowledgement. The message may be stored.")}
	case r.Offset < 0: // a broker that took the batch for a duplicate and forgot where it stands
		return notify.Result{}
	}
	return notify.Result{Placed: true, Partition: partitionText(r.Partition), Sequence: r.Offset}
}

// sending is one Send on its way. Its promises may outlive it.
type sending struct {
	done chan struct{} // closed when open falls to 0

	mu      sync.Mutex // guards what follows once records are handed over
	results []notify.Result
	open    int  // records that the client has
	left    bool // the Send has ended, and results are its caller's
}

// encode makes the records. One that is nil has its result already; the others are Unknown until their promises say more.
func (s *sending) encode(n *Notifier, ctx context.Context, topic string, messages []notify.Message) []*kgo.Record {
	records := make([]*kgo.Record, len(messages))
	bodies := newArena(messages)
	ctx = context.WithoutCancel(ctx) // hooks of the client find traces in it
	unknown := errorf(notify.Unknown, "The time ran out before Kafka answered. The message may be stored.")
	for i := range messages {
		r, err := n.record(ctx, &messages[i])
		if err != nil {
			s.results[i].Err = err
			continue
		}
		r.Topic, r.Value = topic, bodies.copy(messages[i].Body)
		records[i], s.results[i].Err = r, unknown
		s.open++
	}
	return records
}

func (s *sending) finish(i int, result notify.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.left {
		s.results[i] = result
	}
	if s.open--; s.open == 0 {
		close(s.done)
	}
}

func (s *sending) leave() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
}

// Ready asks the cluster for the topic: it is there, may be written to as far as the cluster says, and has a partition with a leader. The
// error is a *notify.Error.
func (n *Notifier) Ready(ctx context.Context, topic string) error {
	if !legal(topic) {
		return errIllegal()
	}
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, asked)
	request.IncludeTopicAuthorizedOperations = true
	response, err := request.RequestWith(ctx, n.client)
	if err != nil {
		return n.errNotReady(err)
	}
	for i := range response.Topics {
		if err := notReady(&response.Topics[i]); err != nil {
			return n.errNotReady(err)
		}
	}
	return nil
}

const (
	operationsUnsaid = -1 << 31 // of a cluster that does not tell what is allowed
	operationWrite   = 1 << 4   // AclOperation.WRITE
)

// notReady is why a topic cannot be written to, or nil.
func notReady(t *kmsg.MetadataResponseTopic) error {
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return err
	}
	if t.AuthorizedOperations != operationsUnsaid && t.AuthorizedOperations&operationWrite == 0 {
		return kerr.TopicAuthorizationFailed
	}
	for _, p := range t.Partitions {
		if p.Leader >= 0 {
			return nil
		}
	}
	return kerr.LeaderNotAvailable
}

// Close refuses further Sends with notify.Closed and waits until the client has no record any more, other users' records included. When ctx
// ends first, the error is a *notify.Error, and the client goes on with what it has.
func (n *Notifier) Close(ctx context.Context) error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	if err := n.client.Flush(ctx); err != nil {
		return &notify.Error{Reason: notify.Unknown, Text: "The time ran out before Kafka answered for all messages. They may be stored.", Err: err}
	}
	return nil
}
