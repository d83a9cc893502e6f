package outbound

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

const (
	closeTime = 2 * time.Second  // for a client to close its links, when nothing is under way any more
	leaveTime = 10 * time.Second // for a replaced client to get its answers, beyond what a batch may take
)

// line leads to one hub. What it leads through is replaced when the connection string is another.
type line struct {
	n   *namespace
	hub string

	leaving sync.WaitGroup // pipes that were replaced

	mu     sync.Mutex // guards what follows, and users and retired of all pipes
	pipes  []*pipe    // the last is in use, the others are leaving
	seen   *connection
	past   eventhubs.Stats
	closed bool
}

// pipe is a client with its notifier.
type pipe struct {
	client   *azeventhubs.ProducerClient
	notifier *eventhubs.Notifier
	idle     chan struct{} // closed when it was replaced and has no users

	users   int // calls under way
	retired bool
}

func newLine(n *namespace, hub string) (*line, error) {
	l := &line{n: n, hub: hub}
	l.seen = n.current()
	p, err := l.open(l.seen)
	if err != nil {
		return nil, err
	}
	l.pipes = []*pipe{p}
	return l, nil
}

func (l *line) open(c *connection) (*pipe, error) {
	client, err := l.n.dial(c, l.hub)
	if err != nil {
		return nil, err
	}
	b := l.n.o.Batching
	return &pipe{
		client: client,
		notifier: eventhubs.NewWithOptions(client, eventhubs.Options{
			MemoryBytes: int64(b.Memory), Slots: b.Slots, Linger: b.Linger, SendTimeout: b.SendTime, Resend: b.Resend,
		}),
		idle: make(chan struct{}),
	}, nil
}

// Send is notify.Notifier's. What is refused for its credentials is sent again, once, if there are others by now.
func (l *line) Send(ctx context.Context, hub string, messages ...notify.Message) []notify.Result {
	if hub != "" && !strings.EqualFold(hub, l.hub) {
		return fail(messages, &notify.Error{Reason: notify.NotFound, Text: "this service does not send to a hub of that name"})
	}
	results, used := l.sendOnce(ctx, messages)
	var denied []int
	for i, r := range results {
		if r.Err != nil && notify.ReasonOf(r.Err) == notify.Denied {
			denied = append(denied, i)
		}
	}
	if denied == nil || !l.n.renewed(used) {
		return results
	}
	again := make([]notify.Message, len(denied))
	for i, of := range denied {
		again[i] = messages[of]
	}
	second, _ := l.sendOnce(ctx, again)
	for i, of := range denied {
		results[of] = second[i]
	}
	return results
}

func (l *line) sendOnce(ctx context.Context, messages []notify.Message) ([]notify.Result, *connection) {
	p, used := l.take()
	if p == nil {
		return fail(messages, errClosed), nil
	}
	defer l.give(p)
	return p.notifier.Send(ctx, "", messages...), used
}

func fail(messages []notify.Message, err *notify.Error) []notify.Result {
	results := make([]notify.Result, len(messages))
	for i := range results {
		results[i].Err = err
	}
	return results
}

// take gives the pipe to use, until give, and the connection it stands for; nil after close.
func (l *line) take() (*pipe, *connection) {
	wanted := l.n.current()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil
	}
	if l.seen != wanted {
		l.seen = wanted
		l.replaceLocked(wanted)
	}
	p := l.pipes[len(l.pipes)-1]
	p.users++
	return p, wanted
}

func (l *line) give(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.users--
	l.checkIdleLocked(p)
}

func (l *line) checkIdleLocked(p *pipe) {
	if p.retired && p.users == 0 {
		close(p.idle)
	}
}

func (l *line) replaceLocked(c *connection) {
	next, err := l.open(c)
	if err != nil {
		l.n.o.Log.Warn("the new connection string is not for this hub; the one before stays", "hub", l.hub, "err", err)
		return
	}
	old := l.pipes[len(l.pipes)-1]
	l.pipes = append(l.pipes, next)
	old.retired = true
	l.checkIdleLocked(old)
	l.leaving.Go(func() { l.leave(old) })
}

// leave closes a pipe once what it has is answered. Calls end with their contexts, so it gets idle.
func (l *line) leave(p *pipe) {
	ctx, cancel := context.WithTimeout(l.n.draining, l.n.o.Batching.SendTime+leaveTime)
	defer cancel()
	select {
	case <-p.idle:
	case <-ctx.Done():
	}
	if err := p.close(ctx); err != nil {
		l.n.o.Log.Warn("the connections before did not close well", "hub", l.hub, "err", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := p.notifier.Stats()
	gone.Messages, gone.Bytes, gone.BytesMax, gone.Lanes, gone.Flying, gone.BreakerOpen = 0, 0, 0, 0, 0, false // of now, and not counted
	l.past = sum(l.past, gone)
	l.pipes = slices.DeleteFunc(l.pipes, func(q *pipe) bool { return q == p })
}

// close waits for answers as long as ctx lasts.
func (p *pipe) close(ctx context.Context) error {
	err := p.notifier.Close(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return errors.Join(err, p.client.Close(closing))
}

// close waits for what was taken, through pipes that are leaving as well.
func (l *line) close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	p := l.pipes[len(l.pipes)-1]
	l.mu.Unlock()
	err := p.close(ctx)
	l.leaving.Wait() // ends soon after ctx, with which namespace.close ends draining
	return err
}

func (l *line) ready(ctx context.Context) error {
	used, err := l.readyOnce(ctx)
	if err != nil && notify.ReasonOf(err) == notify.Denied && l.n.renewed(used) {
		_, err = l.readyOnce(ctx)
	}
	return err
}

func (l *line) readyOnce(ctx context.Context) (*connection, error) {
	p, used := l.take()
	if p == nil {
		return nil, errClosed
	}
	defer l.give(p)
	return used, p.notifier.Ready(ctx)
}

func (l *line) stats() eventhubs.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := l.past
	for _, p := range l.pipes {
		total = sum(total, p.notifier.Stats())
	}
	return total
}

// sum adds up the numbers of two notifiers; one that throttles is enough for BreakerOpen.
func sum(a, b eventhubs.Stats) eventhubs.Stats {
	add(reflect.ValueOf(&a).Elem(), reflect.ValueOf(b))
	return a
}

func add(to, from reflect.Value) {
	switch to.Kind() {
	case reflect.Struct:
		for i := range to.NumField() {
			add(to.Field(i), from.Field(i))
		}
	case reflect.Array:
		for i := range to.Len() {
			add(to.Index(i), from.Index(i))
		}
	case reflect.Bool:
		to.SetBool(to.Bool() || from.Bool())
	default:
		to.SetInt(to.Int() + from.Int())
	}
}
