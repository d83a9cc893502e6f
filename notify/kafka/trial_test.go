package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/evhub-dev/evhub/notify"
)

// refuse has the cluster refuse batches that contain POISON. The channel hears of each one.
func (r *rig) refuse(code int16) <-chan struct{} {
	refused := make(chan struct{}, 1000)
	r.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		produce := request.(*kmsg.ProduceRequest)
		if !slices.ContainsFunc(produce.Topics, func(t kmsg.ProduceRequestTopic) bool {
			return slices.ContainsFunc(t.Partitions, func(p kmsg.ProduceRequestTopicPartition) bool { return strings.Contains(string(p.Records), "POISON") })
		}) {
			return nil, nil, false
		}
		refused <- struct{}{}
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range produce.Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, code
				topic.Partitions = append(topic.Partitions, partition)
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	return refused
}

func uncompressed(opts ...kgo.Opt) []kgo.Opt {
	return append(opts, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(20*time.Millisecond))
}

// TestPoisonBesideOthers: a bad record in a batch of many callers fails nobody else's.
func TestPoisonBesideOthers(t *testing.T) {
	t.Parallel()
	rows := []struct {
		err  *kerr.Error
		want notify.Reason
		opts []kgo.Opt
	}{
		{err: kerr.InvalidRecord, want: notify.Invalid},
		{err: kerr.MessageTooLarge, want: notify.TooLarge},
		{err: kerr.InvalidRecord, want: notify.Invalid, opts: []kgo.Opt{kgo.DisableIdempotentWrite()}},
	}
	for _, row := range rows {
		const callers, bad = 20, 7
		r := newRig(t, uncompressed(row.opts...)...)
		refused := r.refuse(row.err.Code)
		results := make([]notify.Result, callers)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				body := fmt.Sprint("good ", i)
				if i == bad {
					body = "POISON"
				}
				results[i] = r.send(t.Context(), notify.Message{Body: []byte(body), Partition: "0"})[0]
			})
		}
		group.Wait()
		for i, result := range results {
			if i == bad {
				wantReason(t, row.err.Message, result, row.want)
			} else {
				wantStored(t, row.err.Message, result)
			}
		}
		if got := r.count(); got != callers-1 || len(refused) < 2 {
			t.Errorf("%s: %d stored and %d batches refused, want %d and some", row.err.Message, got, len(refused), callers-1)
		}
	}
}

// TestPoisonInOneSend: only the bad ones fail, the others keep their order, and few batches are needed to find that out.
func TestPoisonInOneSend(t *testing.T) {
	t.Parallel()
	const all = 200
	r := newRig(t, uncompressed()...)
	refused := r.refuse(kerr.InvalidRecord.Code)
	messages := make([]notify.Message, all)
	for i := range messages {
		messages[i] = notify.Message{Key: "k", Body: fmt.Appendf(nil, "%03d", i)}
	}
	bad := []int{0, 77, 199}
	for _, i := range bad {
		messages[i].Body = []byte("POISON")
	}
	var before int64 = -1
	for i, result := range r.send(t.Context(), messages...) {
		if slices.Contains(bad, i) {
			wantReason(t, fmt.Sprint(i), result, notify.Invalid)
			continue
		}
		wantStored(t, fmt.Sprint(i), result)
		if result.Sequence <= before {
			t.Fatalf("%d stands at %d, behind its successor", i, result.Sequence)
		}
		before = result.Sequence
	}
	if got := r.count(); got != all-int64(len(bad)) || len(refused) > triesMax {
		t.Errorf("%d stored, %d batches refused", got, len(refused))
	}
}

// TestPoisonOnly: a Send with nothing but bad records ends after some tries, and says of each that it was judged, or may be sent again.
func TestPoisonOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, uncompressed()...)
	refused := r.refuse(kerr.InvalidRecord.Code)
	messages := make([]notify.Message, 200)
	for i := range messages {
		messages[i] = notify.Message{Body: []byte("POISON"), Partition: "1"}
	}
	told := map[notify.Reason]int{}
	for _, result := range r.send(t.Context(), messages...) {
		told[notify.ReasonOf(result.Err)]++
	}
	if told[notify.Invalid] < triesMax/4 || told[notify.Invalid]+told[notify.Busy] != len(messages) {
		t.Errorf("told %v", told)
	}
	if got := len(refused); got > triesMax+10 {
		t.Errorf("%d batches", got)
	}
}

// TestPoisonHurries: a client that may have stored what it fails gets no second try.
func TestPoisonHurries(t *testing.T) {
	t.Parallel()
	r := newRig(t, uncompressed(kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))...)
	refused := r.refuse(kerr.InvalidRecord.Code)
	wantReason(t, "bad", r.send(t.Context(), text("POISON"))[0], notify.Unknown)
	if got := len(refused); got != 1 {
		t.Errorf("%d batches, want 1", got)
	}
}

// TestNoTrial: the options of a client that consumes in a group may not do for another that does not.
func TestNoTrial(t *testing.T) {
	t.Parallel()
	r := newRig(t, uncompressed(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())...)
	r.refuse(kerr.InvalidRecord.Code)
	for range trialsMax + 1 {
		wantReason(t, "bad", r.send(t.Context(), text("POISON"))[0], notify.Unavailable)
	}
	wantStored(t, "good", r.send(t.Context(), text("a"))[0])
}

// TestTrialEnds: a trial whose answer does not come ends with its Send's context or with Close, and the message may be stored then.
func TestTrialEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"the context ends", "closed in a hurry"} {
		r := newRig(t, uncompressed()...)
		requests, release := make(chan struct{}, 10), make(chan struct{})
		r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord}) // the first one
		came := 0
		r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			requests <- struct{}{}
			if came++; came > 1 {
				r.cluster.SleepControl(func() { <-release })
			}
			return nil, nil, false
		})
		ctx, leave := context.WithCancel(t.Context())
		sent := make(chan notify.Result)
		go func() { sent <- r.send(ctx, text("a"))[0] }()
		<-requests
		<-requests
		ended, end := context.WithCancel(t.Context())
		end()
		if name == "the context ends" {
			leave()
		} else {
			_ = r.n.Close(ended)
		}
		wantReason(t, name, <-sent, notify.Unknown)
		leave()
		close(release)
	}
}

// TestTrialsBounded: while all trials are under way, whoever waits for one does so within its context, and Close ends the wait.
func TestTrialsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, uncompressed()...)
	refused := r.refuse(kerr.InvalidRecord.Code)
	var taken []*kgo.Client
	for range trialsMax {
		client, err := r.n.trials.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, client)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	wantReason(t, "no trial free", r.send(ctx, text("POISON"))[0], notify.Expired)
	<-refused

	waiting := make(chan notify.Result)
	go func() { waiting <- r.send(t.Context(), text("POISON"))[0] }()
	<-refused
	ended, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer end()
	closed := make(chan error)
	go func() { closed <- r.n.Close(ended) }()
	if got := notify.ReasonOf((<-waiting).Err); got != notify.Closed {
		t.Errorf("waiting at Close: %v", got)
	}
	for _, client := range taken {
		r.n.trials.giveBack(client)
	}
	again := make(chan error, 2) // at once, and after it
	for range cap(again) {
		go func() { again <- r.n.Close(t.Context()) }()
	}
	for range cap(again) {
		if err := <-again; err != nil {
			t.Errorf("close again: %v", err)
		}
	}
	if err := <-closed; notify.ReasonOf(err) != notify.Unknown {
		t.Errorf("close: %v", err)
	}
}

// TestCloseInAHurry: a Close whose time is over leaves no client behind. Each turn has an even chance to show that.
func TestCloseInAHurry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ended, end := context.WithCancel(t.Context())
	end()
	for range 20 {
		n := New(r.client)
		client, err := n.trials.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.trials.giveBack(client)
		_ = n.Close(ended)
		for range trialsMax {
			if client := <-n.trials.idle; client != nil {
				client.Close()
				t.Error("a client is left open")
			}
		}
	}
}

// TestOvertaken: what was refused is not sent again behind a later record of its key.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rows := []struct {
		name, keys string
		reasons    []notify.Reason // by record; Internal: stored
		again      string
	}{
		{"none stored", "aaa", []notify.Reason{notify.Invalid, notify.Invalid, notify.Invalid}, "[0 1 2]"},
		{"the last is stored", "aaa", []notify.Reason{notify.Invalid, notify.Invalid, notify.Internal}, "[]"},
		{"the last may be stored", "aaa", []notify.Reason{notify.Invalid, notify.TooLarge, notify.Unknown}, "[]"},
		{"the first is stored", "aaa", []notify.Reason{notify.Internal, notify.Invalid, notify.Busy}, "[1]"},
		{"another key is stored", "aba", []notify.Reason{notify.Invalid, notify.Internal, notify.TooLarge}, "[0 2]"},
		{"no key", "--a", []notify.Reason{notify.Invalid, notify.Internal, notify.Invalid}, "[0 2]"},
	}
	for _, row := range rows {
		s := &sending{results: make([]notify.Result, len(row.keys)), ordered: true}
		for i, key := range row.keys {
			record := &kgo.Record{}
			if key != '-' {
				record.Key = []byte(string(key))
			}
			s.records = append(s.records, record)
			if row.reasons[i] != notify.Internal {
				s.results[i].Err = errorf(row.reasons[i], "x")
			}
		}
		before := slices.Clone(s.results)
		again := s.refused(r.n, s.handed())
		if got := fmt.Sprint(again); got != row.again {
			t.Errorf("%s: again %s, want %s", row.name, got, row.again)
		}
		for i := range before {
			refused := row.reasons[i] == notify.Invalid || row.reasons[i] == notify.TooLarge
			if refused && !slices.Contains(again, i) {
				wantReason(t, row.name, s.results[i], notify.Busy)
			} else if s.results[i] != before[i] {
				t.Errorf("%s: record %d was told %v", row.name, i, s.results[i])
			}
		}
	}
}

// TestBusyKeepsOrder: behind a record that finds no room, nothing of its key or partition is stored, and what has neither is.
func TestBusyKeepsOrder(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		of   notify.Message
		want string
	}{
		{"key", notify.Message{Key: "k"}, "stored busy busy"},
		{"partition", notify.Message{Partition: "3"}, "stored busy busy"},
		{"neither", notify.Message{}, "stored busy stored"},
	}
	for _, row := range rows {
		r := newRig(t, kgo.MaxBufferedBytes(100), kgo.ProducerLinger(20*time.Millisecond))
		messages := []notify.Message{row.of, row.of, row.of, {Key: "other", Body: []byte("x")}}
		for i, size := range []int{50, 80, 10} {
			messages[i].Body = make([]byte, size)
		}
		var got []string
		results := r.send(t.Context(), messages...)
		for _, result := range results[:3] {
			if result.Err == nil {
				got = append(got, "stored")
			} else {
				got = append(got, notify.ReasonOf(result.Err).String())
			}
		}
		if text := strings.Join(got, " "); text != row.want {
			t.Errorf("%s: %s, want %s", row.name, text, row.want)
		}
		wantStored(t, row.name+": another key", results[3])
	}
}

// newSlowRig has a broker that takes 10 ms for each request, and refuses what is POISON.
func newSlowRig(t testing.TB) *rig {
	r := newBubbleRig(t, uncompressed()...)
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		r.cluster.SleepControl(func() { time.Sleep(10 * time.Millisecond) })
		return nil, nil, false
	})
	r.refuse(kerr.InvalidRecord.Code)
	return r
}

// TestTrialsAreShared: callers with nothing but bad records do not keep a good one that was refused with one of theirs from its turn.
func TestTrialsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newSlowRig(t)
		defer r.close()
		var bad sync.WaitGroup
		poison := func(n int) {
			bad.Go(func() {
				r.send(t.Context(), slices.Repeat([]notify.Message{{Body: []byte("POISON"), Partition: "0"}}, n)...)
			})
		}
		for range 3 * trialsMax {
			poison(100)
		}
		time.Sleep(100 * time.Millisecond) // as many are being tried as can be, and the others wait
		poison(1)
		begun := time.Now()
		wantStored(t, "good", r.send(t.Context(), notify.Message{Body: []byte("good"), Partition: "0"})[0])
		if took := time.Since(begun); took > 500*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		bad.Wait()
	})
}

// TestCloseWhileTrying: a Close that may take its time lets trials end, those of callers that take turns included.
func TestCloseWhileTrying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newSlowRig(t)
		defer r.close()
		var sends sync.WaitGroup
		var stored, invalid atomic.Int64
		for range trialsMax + 2 {
			sends.Go(func() {
				list := slices.Repeat([]notify.Message{{Body: []byte("good"), Partition: "0"}}, 20)
				list[7].Body = []byte("POISON")
				for _, result := range r.send(t.Context(), list...) {
					switch {
					case result.Err == nil:
						stored.Add(1)
					case notify.ReasonOf(result.Err) == notify.Invalid:
						invalid.Add(1)
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond) // in the middle of it
		if err := r.n.Close(context.Background()); err != nil {
			t.Error(err)
		}
		sends.Wait()
		if got, want := stored.Load(), int64(19*(trialsMax+2)); got != want || invalid.Load() != trialsMax+2 {
			t.Errorf("%d stored of %d, %d invalid", got, want, invalid.Load())
		}
	})
}
