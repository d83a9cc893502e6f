// Package local is a notify.Notifier into a hub of the same process, as the broker's own notification service uses it.
//
// What its users need: a message that is reported as stored is in the partition's log, an answer as quick as the log's, and memory that is
// used again from Send to Send. What could break it is a caller that leaves early: the batch it began still belongs to the log. So every
// batch has a state that says who has it, and whoever comes last puts it back (see group).
//
// The rules of the hall are obeyed at hub.Send and hub.Stored, so that faults can be tried on a notification service as on any client:
//   - Refuse gives the reason of the verdict's error, Busy if it has none; of a message that is stored already as well.
//   - Detach, CloseConn, Drop and Expire cost the sender its connection: before storing it is told that nothing was stored, afterwards the
//     outcome is Unknown.
//   - Swallow leaves a Send waiting until its context ends; the outcome is Unknown.
//
// A Notifier is a sender in the hall's books: it opens one link for each hub it has sent to.
package local

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/notify"
)

const eventBytesMaxDefault = 1 << 20 // the service's limit

// Options are for New. The zero value is ready for use.
type Options struct {
	Clock         clock.Clock // for the delays that rules wish; nil: clock.System. It should be the hall's
	Client        string      // what rules and the hall's books know this sender by; "": "notify"
	EventBytesMax int         // of one message as encoded; 0: 1 MiB
}

// Notifier is a notify.Notifier. It is safe for concurrent use.
type Notifier struct {
	hall      *hub.Hall
	namespace *hub.Namespace
	o         Options
	groups    sync.Pool // of *group
	calls     sync.Pool // of *call

	mu      sync.RWMutex // guards what follows; the hall is never called under it
	outlets map[*hub.Hub]*outlet
	closed  bool
}

var _ notify.Notifier = (*Notifier)(nil)

// New gives a Notifier into the hubs of one namespace of hall. It starts nothing.
func New(hall *hub.Hall, namespace *hub.Namespace, o Options) *Notifier {
	if hall == nil || namespace == nil {
		panic("BUG: local.New without hall or namespace")
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	o.Client = cmp.Or(o.Client, "notify")
	o.EventBytesMax = cmp.Or(o.EventBytesMax, eventBytesMaxDefault)
	return &Notifier{hall: hall, namespace: namespace, o: o, outlets: map[*hub.Hub]*outlet{}}
}

// Send is notify.Notifier's. The messages of one Send that go to one partition are stored together or not at all, and those with neither
// Key nor Partition go to one partition, the next in turn, as those of an Event Hubs batch do.
func (n *Notifier) Send(ctx context.Context, name string, messages ...notify.Message) []notify.Result {
	results := make([]notify.Result, len(messages))
	if len(messages) == 0 {
		return results
	}
	if ctx.Err() != nil {
		return fail(results, errExpired(ctx))
	}
	out, err := n.outlet(name)
	if err != nil {
		return fail(results, err)
	}
	c := n.takeCall(out)
	c.sort(messages, results)
	c.send()
	if c.wait(ctx) {
		c.collect(results)
		c.recycle()
	} else {
		c.leave(ctx, results)
	}
	return results
}

func fail(results []notify.Result, err *notify.Error) []notify.Result {
	for i := range results {
		results[i].Err = err
	}
	return results
}

// Ready says whether the hub can be sent to now. The error is a *notify.Error.
func (n *Notifier) Ready(_ context.Context, name string) error {
	if _, err := n.outlet(name); err != nil {
		return err
	}
	return nil
}

// Close refuses further Sends with notify.Closed and closes the links. Those under way have their answers from the log and are not
// waited for. It never fails, and closing again does nothing.
func (n *Notifier) Close(context.Context) error {
	n.mu.Lock()
	n.closed = true
	outlets := n.outlets
	n.outlets = nil
	n.mu.Unlock()
	for _, o := range outlets {
		o.link.Close()
	}
	return nil
}

// outlet is one hub that was sent to.
type outlet struct {
	hub  *hub.Hub
	link *hub.Link
	why  atomic.Pointer[hub.Error] // the hall has cut the link
}

// outlet finds the hub of that name and the link to it, or opens one.
func (n *Notifier) outlet(name string) (*outlet, *notify.Error) {
	h, err := n.namespace.Hub(name)
	if err != nil {
		return nil, errorOf(hubError(err))
	}
	n.mu.RLock()
	o, closed := n.outlets[h], n.closed
	n.mu.RUnlock()
	if closed {
		return nil, errClosed()
	}
	if o != nil {
		return o, nil
	}
	return n.open(h)
}

func (n *Notifier) open(h *hub.Hub) (*outlet, *notify.Error) {
	o := &outlet{hub: h}
	link, err := h.OpenLink(hub.LinkInfo{Kind: hub.Sender, Partition: -1, Client: n.o.Client}, func(why *hub.Error) { n.cut(o, why) })
	if err != nil {
		return nil, errorOf(hubError(err))
	}
	o.link = link
	use, refused := n.keep(o)
	if use != o {
		link.Close()
	}
	return use, refused
}

// keep makes o the outlet to its hub, unless there is one already or o is of no use any more.
func (n *Notifier) keep(o *outlet) (*outlet, *notify.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errClosed()
	}
	if why := o.why.Load(); why != nil {
		return nil, errorOf(why)
	}
	if other := n.outlets[o.hub]; other != nil {
		return other, nil
	}
	n.outlets[o.hub] = o
	return o, nil
}

// cut is called by the hall when hub or hall goes.
func (n *Notifier) cut(o *outlet, why *hub.Error) {
	o.why.Store(why)
	n.mu.Lock()
	if n.outlets[o.hub] == o {
		delete(n.outlets, o.hub)
	}
	n.mu.Unlock()
}

// after runs f once d has passed, at once if that is not in the future.
func (n *Notifier) after(d time.Duration, f func()) {
	if d > 0 {
		n.o.Clock.AfterFunc(d, f)
		return
	}
	f()
}
