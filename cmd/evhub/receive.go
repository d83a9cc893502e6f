package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/spf13/cobra"
)

// lookAgain is how long a partition may be silent before its end is asked for anew: the events waited for may have gone.
const lookAgain = time.Second

type receiving struct {
	connection
	hub       string
	group     string
	from      string
	partition string
	count     int
	follow    bool
	json      bool

	start  position
	client *azeventhubs.ConsumerClient
}

func (a *app) receiveCommand() *cobra.Command {
	r := &receiving{connection: connection{app: a}}
	cmd := &cobra.Command{
		Use:   "receive [HUB]",
		Short: "Print events",
		Long: `Print the events of all partitions, one a line: partition, sequence number, body. It ends when it has read what was there when it began,
in the order of the times of arrival; with --count after so many events; with --follow not before it is interrupted.
Without a name it reads the hub of the connection string (EntityPath), or eh1 of a local broker.

--from takes ` + positionSyntax + `.
Offset, sequence number and time are where reading starts, inclusive.

With --json each line is an object: partition, sequenceNumber, offset, enqueuedTime, and where the event has them messageId, key,
contentType, properties, and body; a body that is not UTF-8 text is bodyBase64, one that is an AMQP value or sequence is bodyValue.`,
		Example: `  evhub receive
  evhub receive eh1 --follow --from latest
  evhub receive eh1 --group cg1 --partition 0 --from seq:100 --count 10
  evhub receive eh1 --json | jq -r .body`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if len(args) > 0 {
				r.hub = args[0]
			} else if r.hub, err = r.defaultHub(); err != nil {
				return err
			}
			return r.ofAssumed(r.run(cmd.Context()))
		},
	}
	r.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.group, "group", azeventhubs.DefaultConsumerGroup, "consumer `GROUP`")
	f.StringVar(&r.from, "from", "earliest", "`POSITION` to start from")
	f.StringVar(&r.partition, "partition", "", "`ID` of the only partition to read")
	f.IntVar(&r.count, "count", 0, "end after `N` events, and wait for them")
	f.BoolVar(&r.follow, "follow", false, "go on with what comes")
	f.BoolVar(&r.json, "json", false, "print an object a line")
	return cmd
}

func (r *receiving) run(ctx context.Context) error {
	var err error
	if r.start, err = parsePosition(r.from); err != nil {
		return err
	}
	if r.count < 0 {
		return badUsage("", "--count %d is negative", r.count)
	}
	if r.start.by == "latest" && !r.endless() {
		return badUsage("add --follow or --count N", "--from latest skips all there is now")
	}
	if r.client, err = r.consumer(r.hub, r.group); err != nil {
		return err
	}
	defer leave(r.client)
	partitions, err := r.partitions(ctx)
	if err != nil {
		return err
	}
	r.note("reading hub %s, group %s, %s, from %s", r.hub, r.group, count(len(partitions), "partition"), r.start)
	n, err := r.read(ctx, partitions)
	if r.follow && ctx.Err() != nil {
		err = nil // an interrupt is how following ends
	}
	if err == nil {
		r.note("%s", count(n, "event"))
	}
	return err
}

// endless tells that reading does not end with what is there now.
func (r *receiving) endless() bool { return r.follow || r.count > 0 }

// partitions gives the state of the partitions to read.
func (r *receiving) partitions(ctx context.Context) ([]azeventhubs.PartitionProperties, error) {
	hub, err := r.client.GetEventHubProperties(ctx, nil)
	if err != nil {
		return nil, explain(err)
	}
	ids := hub.PartitionIDs
	if r.partition != "" {
		if !slices.Contains(ids, r.partition) {
			return nil, &failure{text: "hub " + r.hub + " has no partition " + r.partition, hint: "it has " + strings.Join(ids, ", ")}
		}
		ids = []string{r.partition}
	}
	list := make([]azeventhubs.PartitionProperties, len(ids))
	for i, id := range ids {
		if list[i], err = r.client.GetPartitionProperties(ctx, id, nil); err != nil {
			return nil, explain(err)
		}
	}
	return list, nil
}

// read prints events until the end that was asked for, and counts them.
func (r *receiving) read(ctx context.Context, partitions []azeventhubs.PartitionProperties) (n int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()

	events, next := r.channels(ctx, len(partitions))
	for i, p := range partitions {
		readers.Go(func() { r.readPartition(ctx, p, events[i]) })
	}
	for r.count == 0 || n < r.count {
		e, ok := next()
		if !ok || e.err != nil {
			return n, explain(cmp.Or(ctx.Err(), e.err))
		}
		if err := r.print(e); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// channels gives a channel to each partition and a function that takes the next event from them: as they come if that is endless, else
// in the order of their times.
func (r *receiving) channels(ctx context.Context, partitions int) ([]chan received, func() (received, bool)) {
	events := make([]chan received, partitions)
	if !r.endless() {
		for i := range events {
			events[i] = make(chan received)
		}
		return events, merged(events)
	}
	live := make(chan received)
	for i := range events {
		events[i] = live
	}
	return events, func() (received, bool) {
		select {
		case e := <-live:
			return e, true
		case <-ctx.Done():
			return received{}, false
		}
	}
}

// received is an event, or why there are no more.
type received struct {
	partition string
	*azeventhubs.ReceivedEventData
	err error
}

// before compares times of arrival. A service that leaves them out has its events taken as they come.
func (e received) before(other received) bool {
	return e.EnqueuedTime != nil && other.EnqueuedTime != nil && e.EnqueuedTime.Before(*other.EnqueuedTime)
}

// merged gives the events of all channels in the order of their times. It needs the next event of every channel that is not closed, so
// it is not for channels that wait for what may never come.
func merged(events []chan received) func() (received, bool) {
	heads := make([]received, len(events))
	waiting := make([]bool, len(events)) // heads[i] is to be fetched
	for i := range waiting {
		waiting[i] = true
	}
	return func() (received, bool) {
		first := -1
		for i := range events {
			if waiting[i] {
				heads[i] = <-events[i] // once it is closed: nothing
				waiting[i] = false
			}
			switch {
			case heads[i].err != nil:
				return heads[i], true
			case heads[i].ReceivedEventData == nil:
			case first < 0 || heads[i].before(heads[first]):
				first = i
			}
		}
		if first < 0 {
			return received{}, false
		}
		waiting[first] = true
		return heads[first], true
	}
}

// readPartition puts the partition's events into out. Unless it is endless it closes out after the last event of the given state.
func (r *receiving) readPartition(ctx context.Context, state azeventhubs.PartitionProperties, out chan<- received) {
	if !r.endless() {
		defer close(out)
		if r.start.beyond(state) {
			return
		}
	}
	put := func(e received) bool {
		e.partition = state.PartitionID
		select {
		case out <- e:
			return e.err == nil
		case <-ctx.Done():
			return false
		}
	}
	pc, err := r.client.NewPartitionClient(state.PartitionID, &azeventhubs.PartitionClientOptions{StartPosition: r.start.start(state)})
	if err != nil {
		put(received{err: err})
		return
	}
	defer leave(pc)
	for {
		e, err := r.next(ctx, pc, state)
		if err == nil && e == nil || !put(received{ReceivedEventData: e, err: err}) {
			return
		}
		if !r.endless() && e.SequenceNumber >= state.LastEnqueuedSequenceNumber {
			return
		}
	}
}

// next waits for the partition's next event. It gives nil when none up to the given state can come any more.
func (r *receiving) next(ctx context.Context, pc *azeventhubs.PartitionClient, state azeventhubs.PartitionProperties) (*azeventhubs.ReceivedEventData, error) {
	for {
		limited, cancel := context.WithTimeout(ctx, lookAgain)
		events, err := pc.ReceiveEvents(limited, 1, nil)
		cancel()
		if err == nil {
			return events[0], nil
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		if r.endless() {
			continue
		}
		now, err := r.client.GetPartitionProperties(ctx, state.PartitionID, nil)
		if err != nil {
			return nil, err
		}
		if now.IsEmpty || now.BeginningSequenceNumber > state.LastEnqueuedSequenceNumber {
			return nil, nil
		}
	}
}

func (r *receiving) print(e received) error {
	if r.json {
		encoder := json.NewEncoder(r.out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(newEventLine(e))
	}
	return printEvent(r.out, e)
}
