package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/evhub-dev/evhub/notify"
)

func TestSend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	zone := time.FixedZone("", 2*3600)
	messages := []notify.Message{
		{ID: "m1", ContentType: "application/json", Body: []byte(`{"a":1}`), Key: "device-1", Properties: map[string]any{
			"cloudEvents:type": "order.placed", "tenant": "contoso é", "yes": true, "count": int8(-3), "large": uint64(1 << 63), "half": 0.5,
			"single": float32(0.1), "at": time.Date(2026, 11, 22, 12, 0, 0, 5_000_000, zone), "raw": []byte{0, 0xff}}},
		{Partition: "3", Body: []byte("b")},
		{Key: "device-1"},
	}
	results := r.send(t.Context(), messages...)
	for i, result := range results {
		wantStored(t, fmt.Sprint(i), result)
	}
	if results[1].Partition != "3" || results[0].Partition != results[2].Partition || results[0].Sequence >= results[2].Sequence {
		t.Errorf("placed at %s, %s and %s", at(results[0]), at(results[1]), at(results[2]))
	}
	stored := map[string]*kgo.Record{}
	for _, records := range r.stored() {
		for _, record := range records {
			stored[fmt.Sprint(record.Partition, "/", record.Offset)] = record
		}
	}
	if got := stored[at(results[0])]; string(got.Key) != "device-1" || string(got.Value) != `{"a":1}` {
		t.Errorf("stored %q: %q", got.Key, got.Value)
	}
	want := []string{"content-type=application/json", "message-id=m1", "at=2026-11-22T10:00:00.005Z", "ce_type=order.placed", "count=-3", "half=0.5",
		"large=9223372036854775808", "raw=\x00\xff", "single=0.1", "tenant=contoso é", "yes=true"}
	if got := headersOf(stored[at(results[0])]); !slices.Equal(got, want) {
		t.Errorf("headers %q\nwant %q", got, want)
	}
	if got := stored[at(results[1])]; got.Key != nil || len(got.Headers) != 0 {
		t.Errorf("without key: %q, %v", got.Key, got.Headers)
	}
	if got := stored[at(results[2])]; got.Value == nil {
		t.Error("a message without body became a tombstone")
	}
	if got := r.n.Send(t.Context(), "orders"); len(got) != 0 {
		t.Errorf("results without messages: %v", got)
	}
}

// TestRefused sends each bad message between two good ones, which are stored.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rows := []struct {
		name string
		m    notify.Message
		want notify.Reason
		text string
	}{
		{"key and partition", notify.Message{Key: "k", Partition: "1"}, notify.Invalid, "both a key and a partition"},
		{"partition 4 of 4", notify.Message{Partition: "4"}, notify.NotFound, "no partition 4"},
		{"partition 01", notify.Message{Partition: "01"}, notify.Invalid, `partition "01" is not a number`},
		{"partition -1", notify.Message{Partition: "-1"}, notify.Invalid, `partition "-1" is not a number`},
		{"partition beyond all", notify.Message{Partition: "2147483648"}, notify.Invalid, "is not a number"},
		{"property", notify.Message{Properties: map[string]any{"tags": []string{"a"}}}, notify.Invalid, `property "tags" cannot be sent: a value of Go type []string`},
		{"property nil", notify.Message{Properties: map[string]any{"tags": nil}}, notify.Invalid, `property "tags"`},
		{"property content-type", notify.Message{ContentType: "a/b", Properties: map[string]any{"content-type": "c/d"}}, notify.Invalid, "has the name of the header"},
		{"property ce_id", notify.Message{Properties: map[string]any{"cloudEvents:id": "1", "ce_id": "2"}}, notify.Invalid, `property "ce_id" has the name of a CloudEvents`},
		{"body", notify.Message{Body: make([]byte, 2<<20)}, notify.TooLarge, "more bytes"},
	}
	for i, row := range rows {
		results := r.send(t.Context(), text("before"), row.m, text("behind"))
		wantStored(t, row.name, results[0])
		wantReason(t, row.name, results[1], row.want)
		if results[1].Err != nil && !strings.Contains(results[1].Err.Error(), row.text) {
			t.Errorf("%s: %q does not say %q", row.name, results[1].Err, row.text)
		}
		wantStored(t, row.name, results[2])
		if got := r.count(); got != int64(2*(i+1)) {
			t.Fatalf("%s: %d stored, want %d", row.name, got, 2*(i+1))
		}
	}
}

func TestNoTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, topic := range []string{"", ".", "..", "a/b", "é", strings.Repeat("a", 250), "order"} {
		wantReason(t, topic, r.n.Send(t.Context(), topic, text("a"))[0], notify.NotFound)
		if err := r.n.Ready(t.Context(), topic); notify.ReasonOf(err) != notify.NotFound {
			t.Errorf("ready for %.10q: %v", topic, err)
		}
	}
	if err := r.n.Ready(t.Context(), "orders"); err != nil {
		t.Error(err)
	}
}

// TestPartitioner: keys go where franz-go's default puts them, and so do records of the client that are not ours.
func TestPartitioner(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.dial()
	defer other.Close()
	for i := range 50 {
		key := fmt.Sprint("key-", i)
		placed := r.send(t.Context(), notify.Message{Key: key})[0]
		for _, client := range []*kgo.Client{r.client, other} {
			record, err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Key: []byte(key)}).First()
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(record.Partition); got != placed.Partition {
				t.Errorf("%s: placed in %s, others place it in %s", key, placed.Partition, got)
			}
		}
	}
	without := New(other)
	wantReason(t, "a choice without our partitioner", without.Send(t.Context(), "orders", notify.Message{Partition: "1"})[0], notify.Invalid)
	wantStored(t, "a key without our partitioner", without.Send(t.Context(), "orders", notify.Message{Key: "k"})[0])
}

// TestOrder has 100 writers send to 10 keys: nothing is lost or doubled, results are where the records are, and each writer's records stand
// in its order.
func TestOrder(t *testing.T) {
	t.Parallel()
	const writers, sends, each = 100, 5, 3
	r := newRig(t)
	var mu sync.Mutex
	told := map[string]string{}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for s := range sends {
				messages := make([]notify.Message, each)
				for i := range messages {
					messages[i] = notify.Message{Key: fmt.Sprint("key", w%10), Body: fmt.Appendf(nil, "%03d-%04d", w, s*each+i)}
				}
				for i, result := range r.send(t.Context(), messages...) {
					wantStored(t, "send", result)
					mu.Lock()
					told[at(result)] = string(messages[i].Body)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	last := map[string]string{}
	for _, records := range r.stored() {
		for _, record := range records {
			body := string(record.Value)
			if got := told[fmt.Sprint(record.Partition, "/", record.Offset)]; got != body {
				t.Fatalf("%q was told to stand where %q stands", got, body)
			}
			if w := body[:3]; body <= last[w] {
				t.Fatalf("%q stands behind %q", body, last[w])
			} else {
				last[w] = body
			}
		}
	}
	if len(told) != writers*sends*each || r.count() != int64(len(told)) {
		t.Errorf("%d places told, %d records stored, want %d", len(told), r.count(), writers*sends*each)
	}
}

// TestVerdicts has the cluster answer with each code. The client does not try again.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	rows := []struct {
		err    *kerr.Error
		want   notify.Reason
		forget notify.Reason // of a client without idempotence
	}{
		{kerr.UnknownTopicOrPartition, notify.NotFound, notify.NotFound},
		{kerr.MessageTooLarge, notify.TooLarge, notify.TooLarge},
		{kerr.TopicAuthorizationFailed, notify.Denied, notify.Denied},
		{kerr.ThrottlingQuotaExceeded, notify.Busy, notify.Busy},
		{kerr.InvalidRecord, notify.Invalid, notify.Invalid},
		{kerr.NotEnoughReplicas, notify.Unavailable, notify.Unknown},
		{kerr.KafkaStorageError, notify.Unavailable, notify.Unknown},
		{kerr.UnknownServerError, notify.Unknown, notify.Unknown},
	}
	for _, row := range rows {
		for _, forgets := range []bool{false, true} {
			opts, want := []kgo.Opt{kgo.RecordRetries(0)}, row.want
			if forgets {
				opts, want = append(opts, kgo.DisableIdempotentWrite()), row.forget
			}
			r := newRig(t, opts...)
			fault := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: row.err, Count: -1})
			result := r.send(t.Context(), text("a"))[0]
			wantReason(t, row.err.Message, result, want)
			if !errors.Is(result.Err, row.err) {
				t.Errorf("%s: the cause is lost: %v", row.err.Message, result.Err)
			}
			fault.Remove()
			wantStored(t, row.err.Message+" is over", r.send(t.Context(), text("b"))[0])
			if got := r.count(); got != 1 {
				t.Errorf("%s: %d stored, want 1", row.err.Message, got)
			}
		}
	}
}

// TestStoredButTimedOut: the cluster stores and says that it may not have.
func TestStoredButTimedOut(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		opts []kgo.Opt
		want notify.Reason
		fine bool
	}{
		{name: "idempotent, tries again", fine: true},
		{name: "not idempotent, gives up", opts: []kgo.Opt{kgo.DisableIdempotentWrite(), kgo.RecordRetries(0)}, want: notify.Unknown},
	}
	for _, row := range rows {
		r := newRig(t, row.opts...)
		r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut})
		result := r.send(t.Context(), text("a"))[0]
		if row.fine {
			wantStored(t, row.name, result)
		} else {
			wantReason(t, row.name, result, row.want)
		}
		if got := r.count(); got != 1 {
			t.Errorf("%s: %d stored, want 1", row.name, got)
		}
	}
}

// TestConnectionLost: the connection ends instead of an answer, before or after the records are stored. They are stored once.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	for _, afterwards := range []bool{false, true} {
		lossy := &lossyDialer{}
		r := newRig(t, kgo.Dialer(lossy.dial))
		what := fmt.Sprintf("afterwards %t", afterwards)
		wantStored(t, what, r.send(t.Context(), notify.Message{Partition: "0", Body: []byte("first")})[0])
		asked := 0
		r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			asked++
			if !afterwards && asked < 3 {
				return nil, errors.New("cut"), true
			}
			return nil, nil, false
		})
		if afterwards {
			lossy.lose.Store(2)
		}
		results := r.send(t.Context(), notify.Message{Partition: "0", Body: []byte("a")}, notify.Message{Partition: "0", Body: []byte("b")})
		wantStored(t, what, results[0])
		wantStored(t, what, results[1])
		if got := r.count(); got != 3 || results[0].Sequence != 1 || results[1].Sequence != 2 {
			t.Errorf("%s: %d stored, at %s and %s", what, got, at(results[0]), at(results[1]))
		}
		if asked < 3 {
			t.Errorf("%s: sent %d times, want 3", what, asked)
		}
	}
}

// TestLeave has callers leave while the cluster keeps their records: the others' answers come, and what was sent is what is stored.
func TestLeave(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wantStored(t, "first", r.send(t.Context(), notify.Message{Partition: "0", Body: []byte("first")})[0])
	arrived, release := r.hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	gone, stayed := make(chan notify.Result, 1), make(chan notify.Result, 10)
	body := []byte("gone")
	go func() { gone <- r.send(ctx, notify.Message{Partition: "0", Body: body})[0] }()
	<-arrived
	for i := range cap(stayed) {
		go func() { stayed <- r.send(t.Context(), notify.Message{Partition: "0", Body: fmt.Append(nil, i)})[0] }()
	}
	cancel()
	wantReason(t, "left", <-gone, notify.Unknown)
	clear(body) // its owner has it back
	release()
	for range cap(stayed) {
		wantStored(t, "stayed", <-stayed)
	}
	records := r.stored()[0]
	if len(records) != 12 || string(records[1].Value) != "gone" {
		t.Errorf("%d stored, want 12; the second is %q", len(records), records[1].Value)
	}
	wantReason(t, "ended before", r.send(ctx, text("x"))[0], notify.Expired)
}

func TestBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t, kgo.MaxBufferedRecords(2))
	arrived, release := r.hold()
	defer release()
	first := make(chan []notify.Result)
	go func() { first <- r.send(t.Context(), text("a"), text("b"), text("c")) }()
	<-arrived
	wantReason(t, "behind", r.send(t.Context(), text("d"))[0], notify.Busy)
	release()
	results := <-first
	wantStored(t, "a", results[0])
	wantStored(t, "b", results[1])
	wantReason(t, "c", results[2], notify.Busy)
	wantStored(t, "again", r.send(t.Context(), text("d"))[0])
}

func TestClose(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	arrived, release := r.hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan notify.Result, 1)
	go func() { answer <- r.send(ctx, text("a"))[0] }()
	<-arrived
	cancel()
	wantReason(t, "left", <-answer, notify.Unknown)
	if err := r.n.Close(ctx); notify.ReasonOf(err) != notify.Unknown {
		t.Errorf("closed while a record is open: %v", err)
	}
	wantReason(t, "closed", r.send(t.Context(), text("b"))[0], notify.Closed)
	release()
	if err := r.n.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := r.count(); got != 1 {
		t.Errorf("%d stored, want 1", got)
	}
	if _, err := r.client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders"}).First(); err != nil {
		t.Errorf("the client was not left alone: %v", err)
	}
}

// TestClientClosed: what the client has when its owner closes it may be stored.
func TestClientClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	arrived, release := r.hold()
	defer release()
	answer := make(chan notify.Result, 1)
	go func() { answer <- r.send(t.Context(), text("a"))[0] }()
	<-arrived
	r.client.Close()
	wantReason(t, "under way", <-answer, notify.Unknown)
	wantReason(t, "afterwards", r.send(t.Context(), text("b"))[0], notify.Closed)
}

func TestNoAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newRig(t, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	wantReason(t, "acks 0", r.send(t.Context(), text("a"))[0], notify.Unknown)
}

// TestUnreachable has the cluster go away, before the client has seen it or afterwards, when the first request is lost on a dead connection.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	const patience, deadline = 10 * time.Second, time.Minute
	rows := []struct {
		name          string
		used, forgets bool
		want          notify.Reason
		within        time.Duration
	}{
		{"never seen", false, false, notify.Unavailable, deadline},
		{"never seen, forgetful client", false, true, notify.Unknown, deadline},
		{"lost behind a request without answer", true, false, notify.Unknown, deadline + time.Second},
		{"lost, forgetful client", true, true, notify.Unknown, deadline},
	}
	for _, row := range rows {
		synctest.Test(t, func(t *testing.T) {
			opts := []kgo.Opt{kgo.RecordDeliveryTimeout(patience)}
			if row.forgets {
				opts = append(opts, kgo.AllowIdempotentProduceCancellation())
			}
			r := newBubbleRig(t, opts...)
			defer r.close()
			if row.used {
				wantStored(t, "before", r.send(t.Context(), notify.Message{Partition: "0"})[0])
			}
			r.cluster.Close()
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			wantReason(t, row.name+": short", r.send(short, notify.Message{Partition: "0"})[0], notify.Unknown)
			long, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			start := time.Now()
			wantReason(t, row.name, r.send(long, notify.Message{Partition: "0"})[0], row.want)
			if took := time.Since(start); took >= row.within {
				t.Errorf("%s: the answer took %v", row.name, took)
			}
			if err := r.n.Ready(short, "orders"); notify.ReasonOf(err) != notify.Unavailable {
				t.Errorf("%s: ready: %v", row.name, err)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, user, password string
		want                 notify.Reason
		fine                 bool
	}{
		{name: "right to write", user: "writer", password: "w", fine: true},
		{name: "no right", user: "stranger", password: "s", want: notify.Denied},
		{name: "right to read", user: "reader", password: "r", want: notify.Denied},
		{name: "wrong password", user: "writer", password: "wrong", want: notify.Denied},
	}
	acl := func(operation kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "orders", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operation, Allow: true}
	}
	for _, row := range rows {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{t: t, network: new(kfake.VirtualNetwork)}
			defer func() { r.close() }()
			r.start([]kfake.Opt{
				kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "writer", "w", acl(kmsg.ACLOperationWrite)),
				kfake.User("PLAIN", "reader", "r", acl(kmsg.ACLOperationRead)), kfake.User("PLAIN", "stranger", "s"),
			}, kgo.SASL(plain.Auth{User: row.user, Pass: row.password}.AsMechanism()), kgo.RecordDeliveryTimeout(10*time.Second))
			r.cluster.ControlKey(int16(kmsg.SASLAuthenticate), refuseWrong(r.cluster))
			ready, sent := r.n.Ready(t.Context(), "orders"), r.send(t.Context(), text("a"))[0]
			if row.fine {
				wantStored(t, row.name, sent)
				if ready != nil {
					t.Errorf("%s: ready: %v", row.name, ready)
				}
				return
			}
			wantReason(t, row.name, sent, row.want)
			if notify.ReasonOf(ready) != row.want {
				t.Errorf("%s: ready: %v, want %v", row.name, ready, row.want)
			}
		})
	}
}

// refuseWrong answers the password "wrong" as Kafka does; kfake cuts the connection.
func refuseWrong(cluster *kfake.Cluster) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !bytes.HasSuffix(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes, []byte("\x00wrong")) {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return response, nil, true
	}
}

// TestTexts: each reason that a cluster's answer can have has words, and they quote nothing.
func TestTexts(t *testing.T) {
	t.Parallel()
	for code, reason := range verdicts {
		if texts[reason] == "" {
			t.Errorf("code %d: no text for %v", code, reason)
		}
	}
	for _, reason := range []notify.Reason{notify.Busy, notify.Unavailable, notify.Unknown} {
		if texts[reason] == "" {
			t.Errorf("no text for %v", reason)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	r := (&rig{t: b}).start([]kfake.Opt{kfake.BlackholeProduce()})
	body := bytes.Repeat([]byte("x"), 512)
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if result := r.n.Send(context.Background(), "orders", notify.Message{Body: body, ContentType: "application/json", Key: "device-1"})[0]; result.Err != nil {
				b.Fatal(result.Err)
			}
		}
	})
}
