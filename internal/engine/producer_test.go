package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

func TestProperties(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p, c := b.producer(b.root(), nil), b.consumer(b.root(), "$Default", nil)
	ctx := withPatience(t)
	ofHub, err := p.GetEventHubProperties(ctx, nil)
	b.must(err)
	want := azeventhubs.EventHubProperties{Name: hubName, CreatedOn: b.hub().Created(), PartitionIDs: []string{"0", "1", "2", "3"}}
	if !ofHub.CreatedOn.Equal(want.CreatedOn) {
		t.Errorf("created at %v, want %v", ofHub.CreatedOn, want.CreatedOn)
	}
	if want.CreatedOn = ofHub.CreatedOn; !reflect.DeepEqual(ofHub, want) {
		t.Errorf("hub: %+v, want %+v", ofHub, want)
	}
	if again, err := c.GetEventHubProperties(ctx, nil); err != nil || !reflect.DeepEqual(again, ofHub) {
		t.Errorf("a consumer sees %+v, %v", again, err)
	}
	for _, id := range ofHub.PartitionIDs {
		got, err := p.GetPartitionProperties(ctx, id, nil)
		b.must(err)
		if !got.IsEmpty || got.PartitionID != id || got.EventHubName != hubName || got.BeginningSequenceNumber != -1 ||
			got.LastEnqueuedSequenceNumber != -1 || got.LastEnqueuedOffset != "-1" || got.LastEnqueuedOn.Year() != 1 {
			t.Errorf("empty partition %s: %+v", id, got)
		}
	}
	before := time.Now().Truncate(time.Millisecond)
	b.send(p, to("2"), "a", "b", "c")
	got, err := p.GetPartitionProperties(ctx, "2", nil)
	b.must(err)
	if got.IsEmpty || got.BeginningSequenceNumber != 0 || got.LastEnqueuedSequenceNumber != 2 || got.LastEnqueuedOffset == "-1" ||
		got.LastEnqueuedOn.Before(before) || got.LastEnqueuedOn.After(time.Now()) {
		t.Errorf("written partition: %+v", got)
	}
	if again, err := c.GetPartitionProperties(ctx, "2", nil); err != nil || again != got {
		t.Errorf("a consumer sees %+v, %v", again, err)
	}
}

// TestSendToAny: with and without a key, an event comes out as it went in.
func TestSendToAny(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, instance string
		key            *string
	}{
		{"no key", "", nil},
		{"no key, named consumer", "client ID", nil},
		{"key", "", ptr("my special partition key")},
		{"key, named consumer", "client ID", ptr("my special partition key")},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := listen(t, Options{})
			sent := azeventhubs.EventData{
				Body: []byte(row.name), ContentType: ptr("content type"), CorrelationID: "correlation id", MessageID: ptr("message id"),
				Properties: map[string]any{"hello": "world", "n": int64(1), "b": true, "f": 1.5, "bin": []byte{1, 2}, "u": uint32(7), "i": int32(-7)},
			}
			p := b.producer(b.root(), nil)
			ctx := withPatience(t)
			batch, err := p.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionKey: row.key})
			b.must(err)
			b.must(batch.AddEventData(&sent, nil))
			b.must(p.SendEventDataBatch(ctx, batch, nil))

			got := b.fromAny(row.instance)
			if !reflect.DeepEqual(got.EventData, sent) {
				t.Errorf("received %+v, want %+v", got.EventData, sent)
			}
			if got.SequenceNumber != 0 || got.Offset != "0" || got.EnqueuedTime == nil || got.EnqueuedTime.IsZero() {
				t.Errorf("it stands at %d, %q, %v", got.SequenceNumber, got.Offset, got.EnqueuedTime)
			}
			if !reflect.DeepEqual(got.PartitionKey, row.key) {
				t.Errorf("its key is %v, want %v", got.PartitionKey, row.key)
			}
		})
	}
}

// fromAny reads all partitions at once and gives the first event that comes.
func (b *broker) fromAny(instance string) *azeventhubs.ReceivedEventData {
	b.t.Helper()
	c := b.consumer(b.root(), "$Default", &azeventhubs.ConsumerClientOptions{InstanceID: instance})
	ctx, cancel := context.WithCancel(withPatience(b.t))
	defer cancel()
	found := make(chan *azeventhubs.ReceivedEventData, 4)
	var all sync.WaitGroup
	for i := range 4 {
		p := b.partition(c, fmt.Sprint(i), azeventhubs.PartitionClientOptions{})
		all.Go(func() {
			if events, err := p.ReceiveEvents(ctx, 1, nil); err == nil {
				found <- events[0]
				cancel()
			}
		})
	}
	all.Wait()
	if len(found) != 1 {
		b.t.Fatalf("%d partitions had an event, want 1", len(found))
	}
	return <-found
}

// TestSendToEach: a batch of 200 to each partition at once, and each partition has its own.
func TestSendToEach(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p, c := b.producer(b.root(), nil), b.consumer(b.root(), "$Default", nil)
	var all sync.WaitGroup
	for i := range 4 {
		id := fmt.Sprint(i)
		partition := b.partition(c, id, azeventhubs.PartitionClientOptions{})
		all.Go(func() {
			ctx := context.Background()
			batch, err := p.NewEventDataBatch(ctx, to(id))
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 200 {
				e := &azeventhubs.EventData{Body: []byte(fmt.Sprintf("%05d", n)), Properties: map[string]any{"PartitionID": id}}
				if err := batch.AddEventData(e, nil); err != nil {
					t.Error(err)
				}
			}
			if err := p.SendEventDataBatch(ctx, batch, nil); err != nil {
				t.Error(err)
				return
			}
			for n := 0; n < 200; {
				events, err := partition.ReceiveEvents(ctx, 100, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					if string(e.Body) != fmt.Sprintf("%05d", n) || e.Properties["PartitionID"] != id || e.SequenceNumber != int64(n) {
						t.Errorf("partition %s, event %d: %q of %v at %d", id, n, e.Body, e.Properties, e.SequenceNumber)
					}
					n++
				}
			}
		})
	}
	all.Wait()
}

// TestAnnotatedMessages: every kind of body and section goes through, but for header and delivery annotations.
func TestAnnotatedMessages(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), nil)
	ctx := withPatience(t)
	batch, err := p.NewEventDataBatch(ctx, to("0"))
	b.must(err)
	for _, m := range []*azeventhubs.AMQPAnnotatedMessage{
		{
			Body:                  azeventhubs.AMQPAnnotatedMessageBody{Sequence: [][]any{{"hello", "world"}, {"howdy", int64(5)}}},
			ApplicationProperties: map[string]any{"appProperty1": "appProperty1Value"},
			DeliveryAnnotations:   map[any]any{"deliveryAnnotation1": "deliveryAnnotation1Value"},
			Header:                &azeventhubs.AMQPAnnotatedMessageHeader{DeliveryCount: 100, Priority: 10, Durable: true},
			Footer:                map[any]any{"footerField1": "footerValue1"},
			MessageAnnotations:    map[any]any{"messageAnnotation1": 101, "x-opt-offset": "mine"},
			Properties: &azeventhubs.AMQPAnnotatedMessageProperties{GroupID: ptr("custom-group-id"), GroupSequence: ptr(uint32(9)),
				UserID: []byte("u")},
		},
		{Body: azeventhubs.AMQPAnnotatedMessageBody{Value: 999}},
		{Body: azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("hello"), []byte("world")}}},
		{Body: azeventhubs.AMQPAnnotatedMessageBody{Value: map[string]any{"a": []any{"b", int64(1)}}}},
	} {
		b.must(batch.AddAMQPAnnotatedMessage(m, nil))
	}
	b.must(p.SendEventDataBatch(ctx, batch, nil))
	events := b.receive(b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), 4)
	for i, e := range events {
		if e.Body != nil {
			t.Errorf("event %d has the body %q, which is none of bytes", i, e.Body)
		}
	}
	sequence, value, data, mapped := events[0].RawAMQPMessage, events[1].RawAMQPMessage, events[2].RawAMQPMessage, events[3].RawAMQPMessage
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, want %#v", what, got, want)
		}
	}
	check("sequences", sequence.Body.Sequence, [][]any{{"hello", "world"}, {"howdy", int64(5)}})
	check("application properties", sequence.ApplicationProperties, map[string]any{"appProperty1": "appProperty1Value"})
	check("footer", sequence.Footer, map[any]any{"footerField1": "footerValue1"})
	check("annotation", sequence.MessageAnnotations["messageAnnotation1"], int64(101))
	check("the service's annotation", sequence.MessageAnnotations["x-opt-offset"], "0")
	check("group", *sequence.Properties.GroupID, "custom-group-id")
	check("group sequence", *sequence.Properties.GroupSequence, uint32(9))
	check("user", sequence.Properties.UserID, []byte("u"))
	check("delivery annotations", sequence.DeliveryAnnotations, map[any]any(nil))
	check("header", sequence.Header, (*azeventhubs.AMQPAnnotatedMessageHeader)(nil))
	check("value", value.Body.Value, int64(999))
	check("data", data.Body.Data, [][]byte{[]byte("hello"), []byte("world")})
	check("map", mapped.Body.Value, map[string]any{"a": []any{"b", int64(1)}})
}

// TestBatchLimits: what a batch may hold is what the service says, and what goes beyond is refused before it is sent.
func TestBatchLimits(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), nil)
	ctx := withPatience(t)
	small := &azeventhubs.EventDataBatchOptions{MaxBytes: 300, PartitionID: ptr("0")}
	var sizes []int
	batch, err := p.NewEventDataBatch(ctx, small)
	b.must(err)
	for i := 0; i < 5; {
		err := batch.AddEventData(&azeventhubs.EventData{Body: []byte(fmt.Sprintf("%040d", i))}, nil)
		if err == nil {
			i++
			continue
		}
		if !errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
			t.Fatal(err)
		}
		sizes = append(sizes, int(batch.NumEvents()))
		b.must(p.SendEventDataBatch(ctx, batch, nil))
		batch, err = p.NewEventDataBatch(ctx, small)
		b.must(err)
	}
	b.must(p.SendEventDataBatch(ctx, batch, nil))
	if sizes = append(sizes, int(batch.NumEvents())); !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("batches of %v, want 2, 2 and 1", sizes)
	}
	for i, e := range b.receive(b.partition(b.consumer(b.root(), "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), 5) {
		if string(e.Body) != fmt.Sprintf("%040d", i) {
			t.Errorf("event %d is %q", i, e.Body)
		}
	}

	largest, err := p.NewEventDataBatch(ctx, nil)
	b.must(err)
	if err := largest.AddEventData(&azeventhubs.EventData{Body: make([]byte, 1<<20)}, nil); !errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
		t.Errorf("an event of 1 MiB and its overhead: %v", err)
	}
	if _, err := p.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{MaxBytes: 1<<20 + 1}); err == nil ||
		!strings.Contains(err.Error(), "1048576") {
		t.Errorf("a batch of more than 1 MiB: %v", err)
	}
}

// TestLargeEvents: nearly a mebibyte goes both ways, alone and as a batch of many.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	p := b.producer(b.root(), nil)
	ctx := withPatience(t)
	body := make([]byte, 1<<20-200)
	for i := range body {
		body[i] = byte(i * 7 >> 3)
	}
	for range 3 {
		b.send(p, to("1"), string(body))
	}
	batch, err := p.NewEventDataBatch(ctx, to("1"))
	b.must(err)
	for err == nil {
		err = batch.AddEventData(&azeventhubs.EventData{Body: body[:1000]}, nil)
	}
	if n := batch.NumEvents(); n < 900 {
		t.Errorf("a batch takes %d events of 1000 bytes", n)
	}
	b.must(p.SendEventDataBatch(ctx, batch, nil))
	c := b.partition(b.consumer(b.root(), "$Default", nil), "1", azeventhubs.PartitionClientOptions{})
	for i, e := range b.receive(c, 3) {
		if string(e.Body) != string(body) {
			t.Errorf("event %d is not what was sent", i)
		}
	}
	for i, e := range b.receive(c, int(batch.NumEvents())) {
		if string(e.Body) != string(body[:1000]) || e.SequenceNumber != int64(3+i) {
			t.Fatalf("event %d of the batch is not what was sent", i)
		}
	}
}

// TestManyProducers: 32 at once lose nothing and store nothing twice, and each one's batches stay in order.
func TestManyProducers(t *testing.T) {
	t.Parallel()
	const producers, batches = 32, 20
	b := listen(t, Options{})
	var all sync.WaitGroup
	for i := range producers {
		p := b.producer(b.root(), nil)
		all.Go(func() {
			ctx := context.Background()
			key := fmt.Sprint("producer-", i)
			for n := range batches {
				batch, err := p.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionKey: &key})
				if err == nil {
					err = batch.AddEventData(&azeventhubs.EventData{Body: []byte(fmt.Sprint(n))}, nil)
				}
				if err == nil {
					err = p.SendEventDataBatch(ctx, batch, nil)
				}
				if err != nil {
					t.Errorf("producer %d, batch %d: %v", i, n, err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := b.stored(); n != producers*batches {
		t.Errorf("%d events are stored, want %d", n, producers*batches)
	}
	c := b.consumer(b.root(), "$Default", nil)
	next := make(map[string]int)
	for i := range 4 {
		n := int(b.hub().PartitionAt(i).State().Next.Seq)
		if n == 0 {
			t.Errorf("partition %d has no event", i)
			continue
		}
		for _, e := range b.receive(b.partition(c, fmt.Sprint(i), azeventhubs.PartitionClientOptions{}), n) {
			if string(e.Body) != fmt.Sprint(next[*e.PartitionKey]) {
				t.Fatalf("%s: event %q, want %d", *e.PartitionKey, e.Body, next[*e.PartitionKey])
			}
			next[*e.PartitionKey]++
		}
	}
}

// TestRights: what a key does not allow is refused in the service's words, and fatal to the client.
func TestRights(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	ctx := withPatience(t)
	listenOnly, sendOnly := b.connectionString("listen", listenKey), b.connectionString("send", sendKey)
	expired := b.signed("root", rootKey, time.Now().Add(-10*time.Minute))
	newBatch := func(cs string) error {
		_, err := b.producer(cs, nil).NewEventDataBatch(ctx, nil)
		return err
	}
	receive := func(cs string) error {
		_, err := b.partition(b.consumer(cs, "$Default", nil), "0", azeventhubs.PartitionClientOptions{}).ReceiveEvents(ctx, 1, nil)
		return err
	}
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"listen-only key, producer", newBatch(listenOnly),
			"Description: Unauthorized access. 'Send' claim(s) are required to perform this operation"},
		{"send-only key, consumer", receive(sendOnly), "Description: Unauthorized access. 'Listen' claim(s) are required to perform this operation"},
		{"expired token, producer", newBatch(expired),
			"rpc: failed, status code 401 and description: ExpiredToken: The token is expired. Expiration time:"},
		{"expired token, consumer", receive(expired),
			"rpc: failed, status code 401 and description: ExpiredToken: The token is expired. Expiration time:"},
		{"wrong key", newBatch(b.connectionString("root", "guess")), "InvalidSignature: The token has an invalid signature."},
		{"unknown policy", newBatch(b.connectionString("nobody", "guess")), "InvalidSignature: The token has an invalid signature."},
	} {
		wantError(t, row.name, row.err, azeventhubs.ErrorCodeUnauthorizedAccess, row.want)
	}
	b.send(b.producer(sendOnly, nil), to("0"), "a")
	b.bodies(b.partition(b.consumer(listenOnly, "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), "a")
	ready := b.signed("root", rootKey, time.Now().Add(time.Hour))
	b.send(b.producer(ready, nil), to("0"), "b")
	b.bodies(b.partition(b.consumer(ready, "$Default", nil), "0", azeventhubs.PartitionClientOptions{}), "a b")
}

// TestUnknown: hubs, groups and partitions that are not there.
func TestUnknown(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	ctx := withPatience(t)
	nohub, err := azeventhubs.NewProducerClientFromConnectionString(b.root(), "nohub", nil)
	b.must(err)
	defer b.close(nohub)
	_, err = nohub.NewEventDataBatch(ctx, nil)
	wantError(t, "unknown hub", err, "", "/nohub' could not be found")
	_, err = nohub.GetEventHubProperties(ctx, nil)
	wantError(t, "properties of an unknown hub", err, "", "/nohub' could not be found")

	p := b.producer(b.root(), &azeventhubs.ProducerClientOptions{RetryOptions: impatient}) // it would try again where a partition is not there
	const partition = "The specified partition is invalid for an EventHub partition sender or receiver."
	for _, id := range []string{"4", "XYZ", "-1"} {
		_, err = p.NewEventDataBatch(ctx, to(id))
		wantError(t, "sending to partition "+id, err, "", partition)
		_, err = p.GetPartitionProperties(ctx, id, nil)
		wantError(t, "properties of partition "+id, err, "", partition)
		_, err = b.partition(b.consumer(b.root(), "$Default", nil), id, azeventhubs.PartitionClientOptions{}).ReceiveEvents(ctx, 1, nil)
		wantError(t, "receiving from partition "+id, err, "", partition)
	}
	_, err = b.partition(b.consumer(b.root(), "nogroup", nil), "0", azeventhubs.PartitionClientOptions{}).ReceiveEvents(ctx, 1, nil)
	wantError(t, "unknown group", err, "", "amqp:not-found")
	if err != nil && !strings.Contains(err.Error(), "orders~8191|nogroup' could not be found") {
		t.Errorf("unknown group: %v", err)
	}
}

// TestCustomEndpoint: the name in the connection string need not be that of the machine.
func TestCustomEndpoint(t *testing.T) {
	t.Parallel()
	b := listen(t, Options{})
	_, port, err := net.SplitHostPort(b.addr)
	b.must(err)
	cs := fmt.Sprintf("Endpoint=sb://not-a-host.invalid:%s;SharedAccessKeyName=root;SharedAccessKey=%s;UseDevelopmentEmulator=true;", port, rootKey)
	b.send(b.producer(cs, &azeventhubs.ProducerClientOptions{CustomEndpoint: b.addr}), to("0"), "a")
	b.bodies(b.partition(b.consumer(cs, "$Default", &azeventhubs.ConsumerClientOptions{CustomEndpoint: b.addr}), "0",
		azeventhubs.PartitionClientOptions{}), "a")
}
