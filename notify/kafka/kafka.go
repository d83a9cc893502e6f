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
// whose request was sent and not answered, and what waits behind them for the same partition; so every Send needs a deadline. A client
// that asks for no acknowledgement (kgo.NoAck) makes every result Unknown. One that may give up records whose answer is open
// (kgo.DisableIdempotentWrite, kgo.AllowIdempotentProduceCancellation) makes Unknown what else is Unavailable. The client may not be
// transactional, and should consume nothing.
//
// # What the cluster's answers mean
//
// A broker judges batches. When it refuses one, for its size or for one bad record in it, all records in it fail with the same reason, and
// with them those that wait for the same partition, so that no record overtakes another. Nothing of them is stored. So each Send that was
// hit sends its own again without the others', then in halves, until what is to blame is alone and the rest is stored. It does so in its
// context, with up to 64 batches; what is open then is Busy. That takes further clients with the options of the first: up to four Sends at
// once have one, made when it is needed and ended by Close. As this is slow, ProducerBatchMaxBytes should not exceed the topic's
// max.message.bytes. A client without idempotence that may have several requests under way (kgo.MaxProduceRequestsInflightPerBroker) fails
// with a batch what may be stored behind it: there nothing is sent again, and all that is Unknown.
//
// One gap remains: if a batch was stored, its answer was lost, and what the broker says to the repeated batch is not "stored" but, say,
// that the right to write was taken away just then, the reason is the broker's last word.
//
// # Headers
//
//	content-type   Message.ContentType, if any
//	message-id     Message.ID, if any
//	ce_NAME        a property cloudEvents:NAME, as the CloudEvents binding for Kafka wants it [3.2.3]
//	NAME           any other property
//
// Values are text: true and false, decimal numbers (floats in their shortest form), times in RFC 3339 and UTC with as many digits as they
// have; []byte is as it is. A property may not have the name of one of the first two if that is set, and none may begin with ce_, which is
// how a reader knows CloudEvents' attributes.
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
	trials   *trials
	limits   limits
	chooses  bool // the client has our Partitioner
	forgets  bool // the client may give up a record that a broker may have stored
	hurries  bool // of two batches under way, the client fails the second with the first, though it may be stored
	unheeded bool // the client asks for no acknowledgement

	mu     sync.RWMutex // held while records are handed over, by one Send alone if it has an order; guards closed
	closed bool
}

var _ notify.Notifier = (*Notifier)(nil)

// New gives a Notifier over client, which stays the caller's: close the Notifier first, then the client.
func New(client *kgo.Client) *Notifier {
	_, chooses := client.OptValue(kgo.RecordPartitioner).(partitioner)
	repeats := client.OptValue(kgo.DisableIdempotentWrite) == true
	return &Notifier{
		client:   client,
		trials:   newTrials(client),
		limits:   limitsOf(client),
		chooses:  chooses,
		forgets:  repeats || client.OptValue(kgo.AllowIdempotentProduceCancellation) == true,
		hurries:  repeats && client.OptValue(kgo.MaxProduceRequestsInflightPerBroker) != 1,
		unheeded: client.OptValue(kgo.RequiredAcks) == kgo.NoAck(),
	}
}

// Send is notify.Notifier's. A message that can never be stored does not hold back those behind it. One that finds the client's buffers
// full does, if they have its key or partition; that needs a client that nobody else produces with. Sequence is the record's offset.
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
	s.encode(n, ctx, topic, messages)
	if s.open == 0 {
		return results
	}
	if !n.handOver(s) {
		return fail(results, errClosed())
	}
	if s.wait(ctx, s.done) {
		n.tryAlone(ctx, s)
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
func (n *Notifier) handOver(s *sending) bool {
	if s.ordered {
		n.mu.Lock()
		defer n.mu.Unlock()
	} else {
		n.mu.RLock()
		defer n.mu.RUnlock()
	}
	if n.closed || n.client.Context().Err() != nil {
		return false
	}
	n.produce(n.client, s, s.handed(), s.finish)
	return true
}

// produce gives some of a sending's records to a client, and each one's result to told. Once there is no room for a record, those of its
// order behind it are not tried. That the room does not change in between is up to the caller.
func (n *Notifier) produce(client *kgo.Client, s *sending, list []int, told func(i int, result notify.Result)) {
	var stopped map[order]bool
	for _, i := range list {
		r := s.records[i]
		if s.ordered {
			o := orderOf(r)
			if o.is() && (stopped[o] || n.limits.full(client, r)) {
				if stopped == nil {
					stopped = map[order]bool{}
				}
				stopped[o] = true
				told(i, notify.Result{Err: n.errorOf(r, kgo.ErrMaxBuffered)})
				continue
			}
		}
		client.TryProduce(r.Context, r, func(r *kgo.Record, err error) { told(i, n.result(r, err)) })
	}
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
	err := n.client.Flush(ctx)
	if e := n.trials.close(ctx); err == nil {
		err = e
	}
	if err != nil {
		return &notify.Error{Reason: notify.Unknown, Text: "The time ran out before Kafka answered for all messages. They may be stored.", Err: err}
	}
	return nil
}
