package eventhubs

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/evhub-dev/evhub/notify"
)

// sdk is the sender of everyday.
type sdk struct{ client *azeventhubs.ProducerClient }

func (s *sdk) open(ctx context.Context, to target) (batch, error) {
	o := &azeventhubs.EventDataBatchOptions{}
	if to.key != "" {
		o.PartitionKey = &to.key
	}
	if to.partition != "" {
		o.PartitionID = &to.partition
	}
	b, err := s.client.NewEventDataBatch(ctx, o)
	if err != nil {
		return nil, outcome(err, false)
	}
	return &sdkBatch{client: s.client, batch: b}, nil
}

func (s *sdk) hub(ctx context.Context) (string, error) {
	p, err := s.client.GetEventHubProperties(ctx, nil)
	if err != nil {
		return "", outcome(err, false)
	}
	return p.Name, nil
}

type sdkBatch struct {
	client   *azeventhubs.ProducerClient
	batch    *azeventhubs.EventDataBatch
	handover handover
}

func (b *sdkBatch) add(m *notify.Message) error {
	first := b.batch.NumEvents() == 0
	err := b.batch.AddAMQPAnnotatedMessage(b.annotated(m, first), nil)
	if errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
		return errFull
	}
	return err
}

// annotated is a message as the SDK takes it. It encodes it at once, except for the properties of a batch's first, which it encodes again
// when it sends: they are copied.
func (b *sdkBatch) annotated(m *notify.Message, first bool) *azeventhubs.AMQPAnnotatedMessage {
	properties, contentType, of := m.Properties, m.ContentType, (*handover)(nil)
	if first {
		properties, of = cloneProperties(properties), &b.handover
	}
	a := &azeventhubs.AMQPAnnotatedMessage{
		Body:       azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{m.Body}},
		Properties: &azeventhubs.AMQPAnnotatedMessageProperties{MessageID: newMessageID((*amqp.Message).Marshal, m.ID, of)},
	}
	if contentType != "" {
		a.Properties.ContentType = &contentType
	}
	if len(properties) > 0 { // an empty map would be encoded
		a.ApplicationProperties = properties
	}
	return a
}

func cloneProperties(from map[string]any) map[string]any {
	to := maps.Clone(from)
	for name, value := range to {
		if v, ok := value.([]byte); ok {
			to[name] = slices.Clone(v)
		}
	}
	return to
}

func (b *sdkBatch) send(ctx context.Context) error {
	b.handover.sending = true
	if err := b.client.SendEventDataBatch(ctx, b.batch, nil); err != nil {
		return outcome(err, b.handover.done)
	}
	return nil
}

// answers are the conditions that say for sure that nothing was stored and what to do. All others, such as com.microsoft:timeout and
// amqp:internal-error, leave it open once a batch was handed over.
var answers = map[amqp.ErrCond]struct {
	reason notify.Reason
	text   string
}{
	"com.microsoft:server-busy":           {notify.Busy, "the hub is busy and asks senders to wait"},
	amqp.ErrCondResourceLimitExceeded:     {notify.Busy, "the hub is full, or has too many connections"},
	amqp.ErrCondNotFound:                  {notify.NotFound, "the hub could not be found: check its name and the namespace's"},
	"com.microsoft:argument-out-of-range": {notify.NotFound, "the hub has no such partition"},
	"com.microsoft:entity-disabled":       {notify.Unavailable, "the hub is disabled"},
	amqp.ErrCondUnauthorizedAccess:        {notify.Denied, "this service's credentials may not send to the hub"},
	amqp.ErrCondMessageSizeExceeded:       {notify.TooLarge, "the message is larger than what the hub takes"},
	"com.microsoft:argument-error":        {notify.Invalid, "the hub does not accept the message"},
	amqp.ErrCondNotAllowed:                {notify.Invalid, "the hub does not allow the message"},
	amqp.ErrCondDecodeError:               {notify.Invalid, "the hub cannot read the message"},
	amqp.ErrCondInvalidField:              {notify.Invalid, "the hub does not accept a field of the message"},
	amqp.ErrCondNotImplemented:            {notify.Invalid, "the hub does not know a feature of the message"},
}

// outcome says what an error of the SDK means for a batch that was handed over or not.
//
//   - Not handed over: not stored, whatever the error.
//   - Handed over, and the hub rejected that transfer for a reason that excludes that it was stored: not stored.
//   - Handed over, and anything else: unknown. That covers lost connections and links, a link that could not be opened again for the
//     second try, and the end of our own patience.
func outcome(err error, handed bool) *notify.Error {
	if !handed {
		reason, text := unsent(err)
		return &notify.Error{Reason: reason, Text: text, Err: err}
	}
	if a, sure := answers[rejection(err)]; sure {
		return &notify.Error{Reason: a.reason, Text: a.text, Err: err}
	}
	return &notify.Error{Reason: notify.Unknown, Text: "the message was handed to the hub, and its answer was lost", Err: err}
}

// rejection finds the condition that a transfer was answered with; "": err is no such answer. The SDK wraps the answer in a struct with
// the link's name, and some answers once more in an Error that does not unwrap. Errors of opening a link lack the name, and errors that
// ended one are of other types. All that is internal to the SDK, so it is looked up by name: should it change, no rejection is found, and
// more is unknown than need be. TestRejection says what to look at then.
func rejection(err error) amqp.ErrCond {
	v := reflect.ValueOf(err)
	if _, ok := err.(*azeventhubs.Error); ok {
		v = field(v.Elem(), "innerErr", reflect.Interface)
	}
	link, answer := field(v, "LinkName", reflect.String), field(v, "Err", reflect.Interface)
	if !link.IsValid() || link.String() == "" || !answer.IsValid() || answer.Type() != reflect.TypeFor[*amqp.Error]() || answer.IsNil() {
		return ""
	}
	return amqp.ErrCond(answer.Elem().FieldByName("Condition").String())
}

// field gives a field of a struct if it is there and of that kind, an interface's content for the interface; else the zero Value.
func field(of reflect.Value, name string, kind reflect.Kind) reflect.Value {
	if of.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	f := of.FieldByName(name)
	switch {
	case f.Kind() != kind:
		return reflect.Value{}
	case kind == reflect.Interface:
		return f.Elem()
	}
	return f
}

// unsent says why nothing was handed over.
func unsent(err error) (notify.Reason, string) {
	const unreachable = "the hub cannot be reached"
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		if a, ok := answers[e.Condition]; ok {
			return a.reason, a.text
		}
		return notify.Unavailable, unreachable
	}
	denied := answers[amqp.ErrCondUnauthorizedAccess]
	if e, ok := errors.AsType[*azeventhubs.Error](err); ok && e.Code == azeventhubs.ErrorCodeUnauthorizedAccess {
		return denied.reason, denied.text
	}
	if e, ok := errors.AsType[interface { // of $cbs and $management
		error
		RPCCode() int
	}](err); ok && e.RPCCode() == 404 {
		return notify.NotFound, answers[amqp.ErrCondNotFound].text
	}
	if _, ok := errors.AsType[interface { // of azidentity: there is no credential
		error
		NonRetriable()
	}](err); ok {
		return denied.reason, denied.text
	}
	return notify.Unavailable, unreachable
}
