package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/bench/post"
	"github.com/evhub-dev/evhub/internal/auth"
)

const (
	restartWriters = 8
	restartPause   = 5 * time.Millisecond // of a writer after each request, so that the log keeps all
	restartLoad    = 100 * time.Millisecond
	restartWait    = 50 * time.Millisecond // in which answers ask for another connection
)

// restart restarts evhub gateway again and again while writers post and the broker stays: every second time it is asked to drain, the other
// times it is killed. In the end each id that was answered 201 must be in the broker's log.
func restart(ctx context.Context, l *lab) (string, error) {
	broker, err := l.startService(evhubName)
	if err != nil {
		return "", err
	}
	defer broker.stop()
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	config := &gatewayConfig{Address: address, Broker: broker.peer.Addr, Issuer: broker.issuer, DrainWait: restartWait}
	list, err := tokens(ctx, broker, restartWriters)
	if err != nil {
		return "", err
	}
	w := &writers{address: address, tokens: list, ids: make(map[string]int)}
	if err := w.during(ctx, func() error { return l.restarts(ctx, config, w) }); err != nil {
		return "", err
	}
	stored, err := storedIDs(ctx, broker)
	if err != nil {
		return "", err
	}
	return w.result(l.o.restarts, stored)
}

// result compares what was acknowledged with what is stored, by id.
func (w *writers) result(restarts int, stored map[string]int) (value string, err error) {
	lost, twice := 0, 0
	for id := range w.ids {
		if stored[id] == 0 {
			lost++
		}
	}
	for _, n := range stored {
		if n > 1 {
			twice++
		}
	}
	value = fmt.Sprintf("%d restarts: %d acknowledged, %d lost, %d stored twice; %d requests cut off, of these %d by a drain; %d told to come back",
		restarts, len(w.ids), lost, twice, w.cut, w.cutByDrain, w.refused)
	if lost > 0 {
		err = errors.New(value)
	}
	return value, err
}

// freeAddress is one that was free a moment ago.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// restarts runs one gateway after the other, each until it has stored something and some time more.
func (l *lab) restarts(ctx context.Context, config *gatewayConfig, w *writers) error {
	for n := range l.o.restarts {
		s, err := l.startGatewayWith(config)
		if err != nil {
			return fmt.Errorf("restart %d: %w", n, err)
		}
		err = w.more(ctx)
		drains := n%2 == 0
		w.setDraining(drains)
		if !drains {
			s.cmd.Process.Kill()
		}
		s.stop()
		if code := s.cmd.ProcessState.ExitCode(); drains && code != 0 {
			err = errors.Join(err, fmt.Errorf("it ended with %d: %s", code, s.log))
		}
		if err != nil {
			return fmt.Errorf("restart %d: %w", n, err)
		}
	}
	return nil
}

// writers post, each on a connection of its own, whether or not anyone listens.
type writers struct {
	address string
	tokens  []string

	mu         sync.Mutex // guards what follows
	ids        map[string]int
	cut        int // requests without an answer
	cutByDrain int
	refused    int // answered 503
	draining   bool
}

// during has the writers write while f runs.
func (w *writers) during(ctx context.Context, f func() error) error {
	ctx, stop := context.WithCancel(ctx)
	errs := make([]error, len(w.tokens))
	var running sync.WaitGroup
	for i, token := range w.tokens {
		running.Go(func() { errs[i] = w.write(ctx, post.Request(w.address, onePath, token, []byte(`{"n":1}`))) })
	}
	err := f()
	stop()
	running.Wait()
	return errors.Join(err, errors.Join(errs...))
}

func (w *writers) write(ctx context.Context, request []byte) error {
	var c *post.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for sleep(ctx, restartPause) == nil {
		if c == nil {
			if c, _ = post.Dial(w.address); c == nil {
				continue // nobody listens
			}
		}
		a, err := c.Do(request)
		if err == nil {
			err = w.note(&a)
		} else {
			w.noteCut()
			a.Close = true
			err = nil
		}
		if a.Close {
			c.Close()
			c = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writers) note(a *post.Answer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch a.Status {
	case http.StatusCreated:
		id := idOf(a.Body)
		if id == "" {
			return fmt.Errorf("201 without an id: %s", a.Body)
		}
		w.ids[id]++
	case http.StatusServiceUnavailable:
		w.refused++
		if !a.RetryAfter {
			return fmt.Errorf("503 without Retry-After: %s", a.Body)
		}
	default:
		return fmt.Errorf("answered %d: %s", a.Status, a.Body)
	}
	return nil
}

func (w *writers) noteCut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut++
	if w.draining {
		w.cutByDrain++
	}
}

func (w *writers) setDraining(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = yes
}

func (w *writers) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ids)
}

// more waits until something was stored, and for some time of load.
func (w *writers) more(ctx context.Context) error {
	w.setDraining(false)
	before, until := w.acknowledged(), time.Now().Add(stopTime)
	for w.acknowledged() == before {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("nothing was stored in %s", stopTime)
		}
	}
	return sleep(ctx, restartLoad)
}

// storedIDs reads the hub's partition from its beginning, with the official SDK, and counts the message ids.
func storedIDs(ctx context.Context, broker *server) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	connect := fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", broker.peer.Addr, auth.RootKeyName, auth.RootKey)
	c, err := azeventhubs.NewConsumerClientFromConnectionString(connect, hubName, azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	end, err := c.GetPartitionProperties(ctx, "0", nil)
	if err != nil {
		return nil, err
	}
	if end.BeginningSequenceNumber != 0 {
		return nil, fmt.Errorf("the log begins at %d: it could not keep all", end.BeginningSequenceNumber)
	}
	earliest := true
	p, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: &earliest}})
	if err != nil {
		return nil, err
	}
	defer p.Close(ctx)
	ids := make(map[string]int)
	for last := int64(-1); last < end.LastEnqueuedSequenceNumber; {
		events, err := p.ReceiveEvents(ctx, int(min(1000, end.LastEnqueuedSequenceNumber-last)), nil)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			last = e.SequenceNumber
			if e.MessageID != nil {
				ids[*e.MessageID]++
			}
		}
	}
	return ids, nil
}
