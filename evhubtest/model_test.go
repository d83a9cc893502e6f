package evhubtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"pgregory.net/rapid"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

// TestModel plays random scenes with the official SDK and holds them against a model: lists of bodies, a place in each for its reader, and
// a checkpoint. Whatever goes wrong on the wire, nothing is lost, nothing comes twice that a fault did not double, and order stays.
func TestModel(t *testing.T) {
	t.Parallel()
	// A failure is told as text: rapid looks for a shorter scene that fails too.
	steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 30)
	rapid.Check(t, func(rt *rapid.T) {
		scene := steps.Draw(rt, "scene")
		seed := rapid.Uint64Range(0, 1000).Draw(rt, "seed")
		var said *fake
		synctest.Test(t, func(t *testing.T) {
			said = run(func(f *fake) { newModel(f, seed).play(scene) })
			time.Sleep(3 * time.Hour) // for what the SDK forgets
		})
		if said.Failed() {
			rt.Fatal(said.String())
		}
	})
}

// step is one thing that happens in a scene.
type step struct {
	What      string
	Partition int
	N         int
	Do        int // of a fault
}

var happenings = []string{"send", "send", "publish", "read", "read", "fail", "fail", "steal", "checkpoint", "restart", "wait"}

func drawStep(t *rapid.T) step {
	return step{
		What:      rapid.SampledFrom(happenings).Draw(t, "what"),
		Partition: rapid.IntRange(0, 1).Draw(t, "partition"),
		N:         rapid.IntRange(1, 3).Draw(t, "n"),
		Do:        rapid.IntRange(0, len(misfortunes)-1).Draw(t, "do"),
	}
}

// misfortunes are those that the SDK is to recover from, or to tell.
var misfortunes = []struct {
	op evhubtest.Op
	do evhubtest.Do
}{
	{evhubtest.Send, evhubtest.Throttle()},
	{evhubtest.Send, evhubtest.Detach("amqp:link:detach-forced", "idle")},
	{evhubtest.Send, evhubtest.CloseConn("")},
	{evhubtest.Send, evhubtest.Drop()},
	{evhubtest.Send, evhubtest.AckLost()},
	{evhubtest.Send, evhubtest.ExpireToken()},
	{evhubtest.Send, evhubtest.Delay(time.Second, time.Minute)},
	{evhubtest.Connect, evhubtest.Drop()},
	{evhubtest.Attach, evhubtest.Throttle()},
	{evhubtest.Deliver, evhubtest.Detach("amqp:link:detach-forced", "idle")},
	{evhubtest.Deliver, evhubtest.CloseConn("")},
	{evhubtest.Deliver, evhubtest.Drop()},
	{evhubtest.Deliver, evhubtest.Throttle()},
	{evhubtest.Deliver, evhubtest.Delay(time.Second, time.Minute)},
	{evhubtest.Deliver, evhubtest.Redeliver(2)},
	{evhubtest.Deliver, evhubtest.StealEpoch(1000)},
}

// model is what should be there, beside what is.
type model struct {
	t        *fake
	b        *evhubtest.Broker
	rec      *evhubtest.Recorder
	producer *azeventhubs.ProducerClient
	consumer *azeventhubs.ConsumerClient
	store    *azclient.Store
	faults   []*evhubtest.Fault
	made     int // bodies
	lanes    [2]lane
}

// lane is one partition.
type lane struct {
	id         string
	first      int64 // sequence number of the first event
	bodies     []string
	reader     *azeventhubs.PartitionClient // nil: nobody reads
	level      int64                        // its owner level
	next       int                          // what it gets next
	checkpoint int                          // events before it; 0: there is none
}

func newModel(t *fake, seed uint64) *model {
	b := evhubtest.Start(t, evhubtest.Hub("orders", 2), evhubtest.Seed(seed))
	m := &model{
		t: t, b: b, rec: b.Record(t, "orders"), store: azclient.Checkpoints(b),
		producer: azclient.Producer(t, b, "orders"), consumer: azclient.Consumer(t, b, "orders", "$Default"),
	}
	for i, first := range b.Mark("orders").Positions() {
		m.lanes[i] = lane{id: fmt.Sprint(i), first: first, level: 1}
	}
	return m
}

func (m *model) play(scene []step) {
	for _, s := range scene {
		l := &m.lanes[s.Partition]
		switch s.What {
		case "send":
			m.send(l, s.N)
		case "publish":
			m.publish(l, s.N)
		case "read":
			m.read(l)
		case "fail":
			m.fail(s)
		case "steal":
			m.steal(l)
		case "checkpoint":
			m.checkpoint(l)
		case "restart":
			m.restart(l)
		case "wait":
			time.Sleep(time.Duration(s.N) * 20 * time.Minute)
		}
	}
	for i := range m.lanes {
		m.read(&m.lanes[i])
		m.end(&m.lanes[i])
	}
	for _, f := range m.faults {
		f.Optional()
	}
	m.wantStored()
}

func (m *model) must(what string, err error) {
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
}

func (m *model) newBodies(n int) (list []string) {
	for range n {
		m.made++
		list = append(list, fmt.Sprint("e", m.made))
	}
	return list
}

// hits counts how often faults of a kind have fired.
func (m *model) hits(kind string) (n int) {
	for _, f := range m.faults {
		if strings.Contains(f.String(), "("+kind) {
			n += f.Hits()
		}
	}
	return n
}

// send sends a batch: each acknowledgement that was lost stores it once more.
func (m *model) send(l *lane, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	lost := m.hits("ack-lost")
	batch, err := m.producer.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionID: &l.id})
	m.must("a batch", err)
	bodies := m.newBodies(n)
	for _, body := range bodies {
		m.must("adding", batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil))
	}
	m.must("sending", m.producer.SendEventDataBatch(ctx, batch, nil))
	for range 1 + m.hits("ack-lost") - lost {
		l.bodies = append(l.bodies, bodies...)
	}
}

func (m *model) publish(l *lane, n int) {
	var events []evhubtest.Event
	for _, body := range m.newBodies(n) {
		events = append(events, evhubtest.Event{Body: []byte(body), Partition: l.id})
		l.bodies = append(l.bodies, body)
	}
	m.b.Publish(m.t, "orders", events...)
}

// fail sets a fault, if the SDK's three further tries are enough for all that wait and for a link of the other partition's that has gone with
// its connection: that costs the SDK a try, too.
func (m *model) fail(s step) {
	live := 0
	for _, f := range m.faults {
		if f.Hits() == 0 {
			live++
		}
	}
	if live < 2 {
		f := misfortunes[s.Do]
		m.faults = append(m.faults, m.b.Fault(m.t, evhubtest.On{Op: f.op}, f.do))
	}
}

// open begins to read at the lane's place.
func (m *model) open(l *lane) *azeventhubs.PartitionClient {
	level := l.level
	o := &azeventhubs.PartitionClientOptions{OwnerLevel: &level}
	if before := l.first + int64(l.next) - 1; l.next > 0 {
		o.StartPosition.SequenceNumber = &before
	} else {
		earliest := true
		o.StartPosition.Earliest = &earliest
	}
	reader, err := m.consumer.NewPartitionClient(l.id, o)
	m.must("a reader", err)
	return reader
}

func (m *model) end(l *lane) {
	if l.reader != nil {
		m.must("closing a reader", l.reader.Close(context.Background()))
		l.reader = nil
	}
}

// read reads all there is.
func (m *model) read(l *lane) {
	for l.next < len(l.bodies) {
		if l.reader == nil {
			l.reader = m.open(l)
		}
		err := m.receive(l, l.reader, len(l.bodies)-l.next, time.Hour)
		if lost(err) && m.hits("steal-epoch") > 0 {
			m.end(l)
			continue
		}
		if err != nil {
			m.t.Fatalf("reading partition %s at %d of %d: %v", l.id, l.next, len(l.bodies), err)
		}
	}
}

// lost says whether a reader was told that its partition is another's: at its link, or when it attached again after another mishap.
func lost(err error) bool {
	e, ok := errors.AsType[*azeventhubs.Error](err)
	return ok && (e.Code == azeventhubs.ErrorCodeOwnershipLost || strings.Contains(e.Error(), "amqp:link:stolen"))
}

// receive takes events and compares them: each is the next one, or one of before that a fault delivers again.
func (m *model) receive(l *lane, reader *azeventhubs.PartitionClient, n int, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	events, err := reader.ReceiveEvents(ctx, n, nil)
	for _, e := range events {
		at := int(e.SequenceNumber - l.first)
		again := at < l.next && m.hits("redeliver") > 0
		if at < 0 || at > l.next || at < l.next && !again || string(e.Body) != l.bodies[at] {
			m.t.Fatalf("partition %s gave event %d (%s), want %d of %v", l.id, at, e.Body, l.next, l.bodies)
		}
		l.next = max(l.next, at+1)
	}
	return err
}

// steal has another reader with a higher level take the partition: the first one is told, unless a fault takes it from the thief again.
func (m *model) steal(l *lane) {
	victim := l.reader
	if victim == nil {
		return
	}
	l.level++
	l.reader = m.open(l)
	err := m.receive(l, l.reader, 1, time.Minute)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !(lost(err) && m.hits("steal-epoch") > 0) {
		m.t.Fatalf("the thief of partition %s: %v", l.id, err)
	}
	if lost(err) { // to a fault, which has left the place free for a victim whose link had gone with its connection
		m.end(l)
	} else {
		m.wantRobbed(l, victim)
	}
	m.must("closing a victim", victim.Close(context.Background()))
}

// wantRobbed reads until the victim is told.
func (m *model) wantRobbed(l *lane, victim *azeventhubs.PartitionClient) {
	var err error
	for err == nil { // what it got before it was robbed comes first
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		_, err = victim.ReceiveEvents(ctx, 100, nil)
		cancel()
	}
	if !lost(err) {
		m.t.Fatalf("partition %s was taken from a reader that says %v", l.id, err)
	}
}

func (m *model) checkpoint(l *lane) {
	if l.next == 0 {
		return
	}
	seq, offset := l.first+int64(l.next)-1, "0"
	m.must("a checkpoint", m.store.SetCheckpoint(context.Background(), azeventhubs.Checkpoint{
		FullyQualifiedNamespace: "n", EventHubName: "orders", ConsumerGroup: "$Default", PartitionID: l.id, SequenceNumber: &seq, Offset: &offset}, nil))
	l.checkpoint = l.next
	m.store.Want(m.t, "$Default", l.id, seq)
}

// restart goes on at the checkpoint.
func (m *model) restart(l *lane) {
	m.end(l)
	l.next = 0
	list, err := m.store.ListCheckpoints(context.Background(), "n", "orders", "$Default", nil)
	m.must("the checkpoints", err)
	for _, c := range list {
		if c.PartitionID == l.id {
			l.next = int(*c.SequenceNumber - l.first + 1)
		}
	}
	if l.next != l.checkpoint {
		m.t.Fatalf("the checkpoint of partition %s is behind %d events, want %d", l.id, l.next, l.checkpoint)
	}
}

// wantStored compares all that is stored.
func (m *model) wantStored() {
	var got [2][]string
	for _, e := range m.rec.WantExactly(m.t, len(m.lanes[0].bodies)+len(m.lanes[1].bodies)) {
		p := int(e.Partition[0] - '0')
		if at := e.SequenceNumber - m.lanes[p].first; at != int64(len(got[p])) {
			m.t.Fatalf("event %s is %d in partition %d, want %d", e.Body, at, p, len(got[p]))
		}
		got[p] = append(got[p], string(e.Body))
	}
	for p := range m.lanes {
		if g, w := strings.Join(got[p], " "), strings.Join(m.lanes[p].bodies, " "); g != w {
			m.t.Fatalf("partition %d holds\n%s\nwant\n%s", p, g, w)
		}
	}
}
