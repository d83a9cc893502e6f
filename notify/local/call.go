package local

import (
	"context"
	"strconv"
	"sync/atomic"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

const scratchKeepMax = 64 << 10

// call is one Send. It belongs to the sender's goroutine, but for open and done.
type call struct {
	n      *Notifier
	out    *outlet
	next   *hub.Partition // of messages with neither key nor partition; nil: none came yet
	groups []*group

	plain   event.Plain // one message, as sent, as encoded, as scanned
	scratch []byte
	message event.Message

	open atomic.Int32  // groups without an outcome, and one for the sender until it has handed over all
	done chan struct{} // capacity 1: open fell to 0 after the sender began to wait
}

func (n *Notifier) takeCall(out *outlet) *call {
	c, ok := n.calls.Get().(*call)
	if !ok {
		c = &call{n: n, done: make(chan struct{}, 1)}
	}
	c.out = out
	return c
}

// recycle is for calls all of whose groups are done: nobody else knows c then.
func (c *call) recycle() {
	clear(c.groups)
	c.out, c.next, c.groups, c.plain, c.message = nil, nil, c.groups[:0], event.Plain{}, event.Message{}
	if cap(c.scratch) > scratchKeepMax {
		c.scratch = nil
	}
	c.n.calls.Put(c)
}

// sort puts each message into the group of its partition. The result of one that cannot be sent says why.
func (c *call) sort(messages []notify.Message, results []notify.Result) {
	for i := range messages {
		if err := c.add(i, &messages[i]); err != nil {
			results[i].Err = err
		}
	}
}

func (c *call) add(at int, m *notify.Message) *notify.Error {
	if err := c.encode(m); err != nil {
		return err
	}
	p, err := c.place(m)
	if err != nil {
		return err
	}
	c.groupFor(p).add(at, &c.message)
	return nil
}

// encode leaves the message in scratch, scanned.
func (c *call) encode(m *notify.Message) *notify.Error {
	if !utf8.ValidString(m.ID) {
		return errorf(notify.Invalid, "The message's ID must be UTF-8.")
	}
	if len(m.Body) > c.n.o.EventBytesMax {
		return c.errTooLarge(len(m.Body))
	}
	c.plain = event.Plain{ID: m.ID, ContentType: m.ContentType, Body: m.Body, Key: m.Key, Properties: m.Properties}
	var err error
	if c.scratch, err = c.plain.AppendMessage(c.scratch[:0]); err != nil {
		return errorf(notify.Invalid, "The message cannot be encoded: %v.", err)
	}
	if len(c.scratch) > c.n.o.EventBytesMax {
		return c.errTooLarge(len(c.scratch))
	}
	if err = c.message.Scan(c.scratch); err != nil {
		return errorf(notify.Internal, "The message was encoded in a way that cannot be read: %v.", err)
	}
	return nil
}

func (c *call) errTooLarge(size int) *notify.Error {
	return errorf(notify.TooLarge, "The message of %d bytes exceeds the limit of %d bytes. Send less in one message.", size, c.n.o.EventBytesMax)
}

func (c *call) place(m *notify.Message) (*hub.Partition, *notify.Error) {
	h := c.out.hub
	switch {
	case m.Key != "" && m.Partition != "":
		return nil, errorf(notify.Invalid, "The message has both a key and a partition. Set one of them.")
	case m.Key != "":
		return h.PartitionAt(h.Place([]byte(m.Key))), nil
	case m.Partition != "":
		return partitionOf(h, m.Partition)
	}
	if c.next == nil {
		c.next = h.PartitionAt(h.Next())
	}
	return c.next, nil
}

func partitionOf(h *hub.Hub, id string) (*hub.Partition, *notify.Error) {
	if p, err := h.Partition(id); err == nil {
		return p, nil
	}
	if n, err := strconv.ParseUint(id, 10, 31); err != nil || strconv.FormatUint(n, 10) != id {
		return nil, errorf(notify.Invalid, "The partition %.32q is not a number such as 0 or 12.", id)
	}
	return nil, errorf(notify.NotFound, "The hub has no partition %s. It has partitions 0 to %d.", id, h.PartitionCount()-1)
}

func (c *call) groupFor(p *hub.Partition) *group {
	for _, g := range c.groups {
		if g.partition == p {
			return g
		}
	}
	g := c.n.takeGroup(c, p)
	c.groups = append(c.groups, g)
	return g
}

func (c *call) send() {
	c.open.Store(int32(len(c.groups)) + 1)
	for _, g := range c.groups {
		g.send()
	}
}

// wait says whether every group has its outcome; else the sender has to leave.
func (c *call) wait(ctx context.Context) bool {
	if c.open.Add(-1) == 0 {
		return true
	}
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// collect reads the outcomes of groups that are all done.
func (c *call) collect(results []notify.Result) {
	for _, g := range c.groups {
		g.tell(results)
		g.recycle()
	}
}

// leave reads what outcomes there are and leaves the other groups to those who have them. The call is not used again: one of them may be
// about to count down open.
func (c *call) leave(ctx context.Context, results []notify.Result) {
	for _, g := range c.groups {
		err := new(notify.Error)
		g.fail(results, err) // before g passes on, for it may be in use again at once
		switch {
		case g.pass(held, left):
			*err = *errExpired(ctx)
		case g.pass(open, left):
			*err = *errUnknown(ctx)
		default:
			g.tell(results)
			g.recycle()
		}
	}
}
