package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// These tests are what a test of another language does: an official client is the program under test, and all that the test knows it has
// over HTTP from a running broker.

// TestNotifierPublishes: no sleep between what is done and what is expected.
func TestNotifierPublishes(t *testing.T) {
	t.Parallel()
	s := startBroker(t).space(4)
	s.notify(s.producer(), order{"7", "paid"})
	got, err := s.expect(`{"since":"m0","expect":[{"where":{"body":{"ID":"7","State":"paid"},"prop":{"schema":"order.v1"}},"count":1}]}`)
	s.must(err)
	if len(got) != 1 || got[0].ID != "7-paid" || got[0].Key != "7" || got[0].Props["schema"] != "order.v1" {
		t.Errorf("%+v", got)
	}
	s.must(s.call("DELETE", s.path, "", nil))
}

// TestOrderByPartitionKey: two keys interleave, and each stays in order in one partition.
func TestOrderByPartitionKey(t *testing.T) {
	t.Parallel()
	s := startBroker(t).space(4)
	p := s.producer()
	for i := range 20 {
		s.notify(p, order{fmt.Sprint(i % 2), fmt.Sprint(i)})
	}
	got, err := s.expect(`{"order":"partition","expect":[{"where":{"path":{"State":"0"}}},{"where":{"path":{"State":"2"}}},{"where":{"path":{"State":"18"}}}]}`)
	s.must(err)
	if len(got) != 3 || got[0].Partition != got[2].Partition {
		t.Errorf("%+v, want three of one partition", got)
	}
	_, err = s.expect(`{"timeout":"100ms","order":"partition","expect":[{"where":{"path":{"State":"18"}}},{"where":{"path":{"State":"0"}}}]}`)
	if err == nil || !strings.HasPrefix(err.Error(), "417 want 2 events in order in orders since m0: all came, but not in this order") {
		t.Errorf("the wrong order: %v", err)
	}
}

// TestConsumerCheckpoints: the readers are waited for, so nothing is lost though they start at the end; one that comes back goes on behind
// its checkpoint.
func TestConsumerCheckpoints(t *testing.T) {
	t.Parallel()
	s := startBroker(t).space(2)
	c, err := azeventhubs.NewConsumerClientFromConnectionString(s.ConnectionStrings["orders"], "", "$Default", nil)
	s.must(err)
	t.Cleanup(func() { leave(t, c) })
	latest := true
	var first []*azeventhubs.PartitionClient
	for _, id := range []string{"0", "1"} {
		r, err := c.NewPartitionClient(id, &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Latest: &latest}})
		s.must(err)
		first = append(first, r)
	}
	type received struct {
		events []*azeventhubs.ReceivedEventData
		err    error
	}
	got := make(chan received, 1)
	for _, r := range first {
		go func() {
			events, err := r.ReceiveEvents(within(t), 1, nil)
			got <- received{events, err}
		}()
	}
	s.must(s.call("GET", s.path+"/hubs/orders/readers?group=$Default&count=2&timeout=30s", "", nil))
	var published struct{ Events []eventOf }
	s.must(s.call("POST", s.path+"/hubs/orders/events", `[{"text":"a","partition":0},{"text":"b","partition":1}]`, &published))
	for range first {
		if one := <-got; one.err != nil || len(one.events) != 1 {
			t.Fatalf("%d events, %v", len(one.events), one.err)
		}
	}
	for _, r := range first {
		leave(t, r)
	}
	checkpoint := published.Events[0].Sequence
	s.must(s.call("POST", s.path+"/hubs/orders/events", `{"text":"c","partition":0}`, nil))
	again, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{SequenceNumber: &checkpoint}})
	s.must(err)
	t.Cleanup(func() { leave(t, again) })
	events, err := again.ReceiveEvents(within(t), 1, nil)
	s.must(err)
	if len(events) != 1 || string(events[0].Body) != "c" || events[0].SequenceNumber != checkpoint+1 {
		t.Errorf("%d events, want the one behind %d", len(events), checkpoint)
	}
}

// TestRetriesWhenThrottled: the client is refused three times, and the event arrives once.
func TestRetriesWhenThrottled(t *testing.T) {
	t.Parallel()
	s := startBroker(t).space(1)
	var fault struct{ Fault string }
	s.must(s.call("POST", s.path+"/faults", `{"on":{"op":"send","hub":"orders","times":3},"do":{"type":"throttle"}}`, &fault))
	hits := make(chan error, 1)
	go func() { hits <- s.call("GET", s.path+"/faults/"+fault.Fault+"?hits=3&timeout=30s", "", nil) }()
	s.notify(s.producer(), order{"7", "paid"})
	s.must(<-hits)
	got, err := s.expect(`{"expect":[{"count":1}]}`)
	s.must(err)
	if len(got) != 1 {
		t.Errorf("%d events, want 1", len(got))
	}
	if err := s.call("GET", s.path+"/faults/f1?hits=4&timeout=30s", "", nil); err == nil || !strings.Contains(err.Error(), "is over after 3 hits; 4 can never be") {
		t.Errorf("a fourth hit: %v", err)
	}
	var wire struct {
		Timeline []struct{ Op, Client, Fault, Refused string }
	}
	s.must(s.call("GET", s.path+"/timeline", "", &wire))
	refused := 0
	for _, e := range wire.Timeline {
		if e.Op == "send" && e.Fault == fault.Fault {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("the timeline does not show the fault: %+v", wire)
	}
}

// TestDuplicatesShareAnID: an acknowledgement is lost, the client sends again, and the copies can be told by their id.
func TestDuplicatesShareAnID(t *testing.T) {
	t.Parallel()
	s := startBroker(t).space(1)
	s.must(s.call("POST", s.path+"/faults", `{"on":{"op":"send"},"do":{"type":"ack-lost"}}`, nil))
	s.notify(s.producer(), order{"7", "paid"})
	got, err := s.expect(`{"expect":[{"count":2}]}`)
	s.must(err)
	if len(got) != 2 || got[0].ID == "" || got[0].ID != got[1].ID {
		t.Errorf("a retry cannot be told from a second order: %+v", got)
	}
	_, err = s.expect(`{"unique":"id"}`)
	if err == nil || !strings.HasPrefix(err.Error(), "417 want every id once in orders since m0: 7-paid came twice") {
		t.Errorf("unique: %v", err)
	}
}

// TestAnywhere: EVHUBTEST_URL=http://localhost:5300 go test -run Anywhere has the same assertions hold for a broker that somebody else runs.
func TestAnywhere(t *testing.T) {
	t.Parallel()
	s := brokerAnywhere(t).space(4)
	t.Cleanup(func() { s.must(s.call("DELETE", s.path+"?verify=1", "", nil)) }) // after the producer's, which has left then
	s.notify(s.producer(), order{"7", "paid"})
	got, err := s.expect(`{"expect":[{"where":{"subset":{"ID":"7"}},"count":{"min":1}}]}`)
	s.must(err)
	if len(got) != 1 || got[0].ID != "7-paid" {
		t.Errorf("%+v", got)
	}
}

// TestMissSaysWhy: a failure shows the nearest event, the hub that got the event in its place, and the fault that was in the way.
func TestMissSaysWhy(t *testing.T) {
	t.Parallel()
	s := startBroker(t).space(1)
	s.notify(s.producer(), order{"7", "paid"})
	var elsewhere struct{ ConnectionString string }
	s.must(s.call("PUT", s.path+"/hubs/order", `{"partitions":1}`, &elsewhere))
	s.must(s.call("POST", s.path+"/faults", `{"on":{"op":"send","hub":"order"},"do":{"type":"throttle"}}`, nil))
	s.ConnectionStrings["orders"] = elsewhere.ConnectionString
	s.notify(s.producer(), order{"7", "shipped"})
	_, err := s.expect(`{"timeout":"200ms","expect":[{"name":"shipped","where":{"subset":{"ID":"7","State":"shipped"}},"count":1}]}`)
	if err == nil {
		t.Fatal("what was sent elsewhere was found")
	}
	for _, part := range []string{
		"417 shipped: want 1 event in orders since m0, matched 0 of 1 seen in 2",
		"\n  nearest 0/", ": body.State\n    - shipped\n    + paid",
		"\n  hint: fault f1 (throttle) answered 1 send, the last ", `hint: hub "order" got 1 event meanwhile`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
}

// TestOneBinaryManyRunners: a space's key opens its own hub, of that name there are two, and leaving is seen.
func TestOneBinaryManyRunners(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	s1, s2 := b.space(1), b.space(1)
	s1.must(s1.call("POST", s1.path+"/faults", `{"on":{"op":"send","times":-1},"do":{"type":"reject","condition":"amqp:not-allowed","text":"No."},"optional":true}`, nil))
	s2.notify(s2.producer(), order{"7", "paid"})
	got, err := s2.expect(`{"expect":[{"count":1}]}`)
	s2.must(err)
	if len(got) != 1 {
		t.Errorf("%d events, want 1", len(got))
	}
	if _, err := s1.expect(`{"expect":[{"count":{"max":0}}]}`); err != nil {
		t.Errorf("the other space: %v", err)
	}
	if err := b.call("DELETE", s2.path+"?verify=1&timeout=0s", "", nil); err == nil || !strings.Contains(err.Error(), "is still open") {
		t.Errorf("a client that was not closed: %v", err)
	}
	p, err := azeventhubs.NewProducerClientFromConnectionString(s1.ConnectionStrings["orders"], "", &azeventhubs.ProducerClientOptions{RetryOptions: eager})
	s1.must(err)
	_, err = p.NewEventDataBatch(within(t), nil)
	s1.must(err)
	leave(t, p)
	s1.must(b.call("DELETE", s1.path+"?verify=1", "", nil))
}
