package local

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

func TestSend(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(memlog.Options{}), Options{})
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	keyed := notify.Message{ID: "m1", ContentType: "application/json", Body: []byte(`{"a":1}`), Key: "device-1",
		Properties: map[string]any{"tenant": "contoso", "count": 3, "at": noon}}
	results := r.send(t.Context(), text("a"), keyed, notify.Message{Body: []byte("b"), Partition: "3"}, text("c"))
	for i, result := range results {
		wantStored(t, fmt.Sprint(i), result)
	}
	place := r.hub.Place([]byte("device-1"))
	if got := results[1].Partition; got != r.hub.PartitionAt(place).ID() {
		t.Errorf("the key went to %s, want %d", got, place)
	}
	if got := results[2].Partition; got != "3" {
		t.Errorf("partition 3 became %s", got)
	}
	if results[0].Partition != results[3].Partition || results[3].Sequence <= results[0].Sequence {
		t.Errorf("messages without key stand at %+v and %+v, want one partition, in order", results[0], results[3])
	}
	got := r.stored(place)[results[1].Sequence]
	if got.ID != "m1" || got.ContentType != "application/json" || string(got.Body) != `{"a":1}` || got.PartitionKey != "device-1" {
		t.Errorf("stored %+v", got)
	}
	if p := got.Properties; len(p) != 3 || p["tenant"] != "contoso" || p["count"] != int64(3) || fmt.Sprint(p["at"]) != fmt.Sprint(noon.UnixMilli()) {
		t.Errorf("stored properties %v", got.Properties)
	}
	if next := r.send(t.Context(), text("d")); next[0].Partition == results[0].Partition {
		t.Errorf("the next Send without key went to partition %s again", next[0].Partition)
	}
	if got := r.n.Send(t.Context(), "orders"); len(got) != 0 {
		t.Errorf("results without messages: %v", got)
	}
}

// TestRefused sends each bad message between two good ones, which are stored.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(memlog.Options{}), Options{EventBytesMax: 5000})
	rows := []struct {
		name string
		m    notify.Message
		want notify.Reason
		text string
	}{
		{"key and partition", notify.Message{Key: "k", Partition: "1"}, notify.Invalid, "both a key and a partition"},
		{"partition 4 of 4", notify.Message{Partition: "4"}, notify.NotFound, `no partition 4. It has partitions 0 to 3`},
		{"partition 01", notify.Message{Partition: "01"}, notify.Invalid, `partition "01" is not a number`},
		{"partition -1", notify.Message{Partition: "-1"}, notify.Invalid, `partition "-1" is not a number`},
		{"partition text", notify.Message{Partition: strings.Repeat("x", 1000)}, notify.Invalid, "is not a number"},
		{"property", notify.Message{Properties: map[string]any{"tags": []string{"a"}}}, notify.Invalid, `property "tags": a value of Go type []string`},
		{"content type", notify.Message{ContentType: "text/é"}, notify.Invalid, "content type"},
		{"id", notify.Message{ID: "\xff"}, notify.Invalid, "ID must be UTF-8"},
		{"long key", notify.Message{Key: strings.Repeat("k", 4097)}, notify.Invalid, "partition key"},
		{"body", notify.Message{Body: make([]byte, 5001)}, notify.TooLarge, "5001 bytes exceeds the limit of 5000"},
		{"body and all", notify.Message{Body: make([]byte, 4999)}, notify.TooLarge, "exceeds the limit of 5000"},
	}
	for i, row := range rows {
		results := r.send(t.Context(), text("before"), row.m, text("behind"))
		wantStored(t, row.name, results[0])
		wantReason(t, row.name, results[1], row.want)
		if results[1].Err != nil && !strings.Contains(results[1].Err.Error(), row.text) {
			t.Errorf("%s: %q does not say %q", row.name, results[1].Err, row.text)
		}
		wantStored(t, row.name, results[2])
		if got := r.storedCount(); got != 2*(i+1) {
			t.Fatalf("%s: %d stored, want %d", row.name, got, 2*(i+1))
		}
	}
	overhead := 8 // of a data section
	wantStored(t, "at the limit", r.send(t.Context(), notify.Message{Body: make([]byte, 5000-overhead)})[0])
}

func TestNoHub(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(memlog.Options{}), Options{})
	wantReason(t, "unknown hub", r.n.Send(t.Context(), "order", text("a"))[0], notify.NotFound)
	if err := r.n.Ready(t.Context(), "order"); notify.ReasonOf(err) != notify.NotFound {
		t.Errorf("ready without a hub: %v", err)
	}
	if err := r.n.Ready(t.Context(), "Orders"); err != nil {
		t.Error(err)
	}
	wantStored(t, "other case", r.send(t.Context(), text("a"))[0])
	if err := r.namespace.DeleteHub("orders"); err != nil {
		t.Fatal(err)
	}
	wantReason(t, "deleted hub", r.send(t.Context(), text("a"))[0], notify.NotFound)
	r.create()
	if got := r.send(t.Context(), text("a"))[0]; got.Err != nil || got.Sequence != 0 {
		t.Errorf("hub that was created again: %+v", got)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	rows := []struct {
		name  string
		ctx   context.Context
		close func(*rig)
		want  notify.Reason
	}{
		{"context", ended, func(*rig) {}, notify.Expired},
		{"notifier", t.Context(), func(r *rig) { r.n.Close(t.Context()) }, notify.Closed},
		{"hall", t.Context(), func(r *rig) { r.hall.Close() }, notify.Closed},
		{"store", t.Context(), func(r *rig) { r.store.Close() }, notify.Closed},
	}
	for _, row := range rows {
		for _, used := range []bool{false, true} {
			r := newRig(t, memlog.New(memlog.Options{}), Options{})
			if used {
				wantStored(t, row.name, r.send(t.Context(), text("a"))[0])
			}
			row.close(r)
			wantReason(t, fmt.Sprintf("%s, used %t", row.name, used), r.send(row.ctx, text("b"))[0], row.want)
		}
	}
}

// TestLinks: the hall knows one sender for each hub in use.
func TestLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(memlog.Options{}), Options{Client: "gateway"})
	var senders sync.WaitGroup
	for range 20 {
		senders.Go(func() { wantStored(t, "send", r.send(t.Context(), text("a"), text("b"))[0]) })
	}
	senders.Wait()
	links := r.hall.Links()
	if len(links) != 1 || links[0].Client != "gateway" || links[0].Records != 40 || links[0].Kind != hub.Sender {
		t.Errorf("links %+v", links)
	}
	r.n.Close(t.Context())
	r.n.Close(t.Context())
	if links := r.hall.Links(); len(links) != 0 {
		t.Errorf("links after Close: %+v", links)
	}
}

// TestOrder has 100 writers send to 10 keys: nothing is lost or doubled, results are where the messages are, and each writer's messages
// stand in its order.
func TestOrder(t *testing.T) {
	t.Parallel()
	const writers, sends, each = 100, 20, 3
	r := newRig(t, memlog.New(memlog.Options{}), Options{})
	type place struct {
		partition string
		seq       int64
	}
	var mu sync.Mutex
	told := map[place]string{}
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
					told[place{result.Partition, result.Sequence}] = string(messages[i].Body)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	last := map[string]string{}
	for p := range r.hub.PartitionCount() {
		for seq, plain := range r.stored(p) {
			body := string(plain.Body)
			if got := told[place{fmt.Sprint(p), int64(seq)}]; got != body {
				t.Fatalf("%q was told to stand where %q stands", got, body)
			}
			if w := body[:3]; body <= last[w] {
				t.Fatalf("%q stands behind %q", body, last[w])
			} else {
				last[w] = body
			}
		}
	}
	if len(told) != writers*sends*each || r.storedCount() != len(told) {
		t.Errorf("%d places told, %d messages stored, want %d", len(told), r.storedCount(), writers*sends*each)
	}
}

// TestLeave has callers leave while the log has their batches: each batch stays as it was and is stored, whatever is sent meanwhile.
func TestLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newLateStore()
		r := newRig(t, store, Options{})
		const sends = 100
		for i := range sends {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			body := fmt.Appendf(nil, "%1000d", i)
			results := r.send(ctx, notify.Message{Body: body, Partition: "0"}, notify.Message{Partition: "9"})
			wantReason(t, "left", results[0], notify.Unknown)
			wantReason(t, "bad partition", results[1], notify.NotFound)
			clear(body) // the caller has its body back
			cancel()
		}
		if n := store.release(); n != sends {
			t.Fatalf("%d appends, want %d", n, sends)
		}
		for i, plain := range r.stored(0) {
			if got, want := string(plain.Body), fmt.Sprintf("%1000d", i); got != want {
				t.Fatalf("message %d is %.40q", i, got)
			}
		}
		if n := r.storedCount(); n != sends {
			t.Errorf("%d messages are stored, want %d", n, sends)
		}
	})
}

func TestLogFails(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		err  error
		want notify.Reason
	}{
		{"busy", eventlog.ErrBusy, notify.Busy},
		{"full", eventlog.ErrFull, notify.Unavailable},
		{"unknown", eventlog.ErrUnknown, notify.Unknown},
		{"corrupt", &eventlog.CorruptError{File: "f"}, notify.Unavailable},
		{"other", errors.New("other"), notify.Internal},
	}
	for _, row := range rows {
		store := newLateStore()
		store.err = row.err
		r := newRig(t, store, Options{})
		results := r.send(t.Context(), text("a"), text("b"))
		wantReason(t, row.name, results[0], row.want)
		wantReason(t, row.name, results[1], row.want)
		if !errors.Is(results[0].Err, row.err) {
			t.Errorf("%s: the cause is lost: %v", row.name, results[0].Err)
		}
		var e *notify.Error
		if errors.As(results[0].Err, &e) && (e.RetryAfter > 0) != (row.want == notify.Busy) {
			t.Errorf("%s: RetryAfter %v", row.name, e.RetryAfter)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for _, kind := range hub.Kinds() {
		if _, ok := reasons[kind]; !ok {
			t.Errorf("kind %v has no row", kind)
		}
	}
}
