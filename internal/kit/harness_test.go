package kit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// room is a kit on a hall without doors.
type room struct {
	t        testing.TB
	hall     *hub.Hall
	policies *auth.Policies
	kit      *Kit
}

func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{t: t, policies: &auth.Policies{}}
	store := memlog.New(memlog.Options{})
	var err error
	r.hall, err = hub.New(hub.Options{Store: store})
	r.must(err)
	r.kit = New(Options{Hall: r.hall, Policies: r.policies})
	t.Cleanup(func() {
		r.must(r.hall.Close())
		r.must(store.Close())
	})
	return r
}

// space is one with the hubs orders (4 partitions, group audit) and billing (1).
func (r *room) space(name string) *Space {
	r.t.Helper()
	s, err := r.kit.Create(SpaceSpec{Name: name, Hubs: []HubSpec{{Name: "orders", Partitions: 4, Groups: []string{"audit"}}, {Name: "billing", Partitions: 1}}})
	r.must(err)
	return s
}

func (r *room) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) publish(s *Space, hubName string, events ...Event) []Event {
	r.t.Helper()
	stored, err := s.Publish(within(r.t, patience), hubName, events...)
	r.must(err)
	return stored
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// text is an event with this body in a partition; "": any.
func text(body, partition string) Event { return Event{Body: []byte(body), Partition: partition} }

func bodies(events []Event) string {
	var list []string
	for _, e := range events {
		list = append(list, string(e.Body))
	}
	return strings.Join(list, " ")
}

func wantKind(t testing.TB, what string, err error, kind hub.Kind, part string) {
	t.Helper()
	e, ok := errors.AsType[*hub.Error](err)
	if !ok || e.Kind != kind || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: error %v, want kind %q and %q", what, err, kind, part)
	}
}

func wantMiss(t testing.TB, what string, err error, reason Reason) *Miss {
	t.Helper()
	m, ok := errors.AsType[*Miss](err)
	if !ok || m.Reason != reason {
		t.Fatalf("%s: error %v, want a miss: %s", what, err, reason)
	}
	return m
}

// standing is a clock that does not move by itself.
type standing struct{ now time.Time }

func (c *standing) Now() time.Time                                  { return c.now }
func (c *standing) AfterFunc(d time.Duration, f func()) clock.Timer { return time.AfterFunc(d, f) }

// appendRaw stores what no sender could.
func appendRaw(p *hub.Partition, data []byte) {
	p.Append(&eventlog.Batch{Records: []eventlog.Record{{Step: 64, Data: data}}, Done: func(*eventlog.Batch) {}})
}

// appendMessage stores a message as a door would.
func appendMessage(t testing.TB, p *hub.Partition, m *amqp.Message) {
	t.Helper()
	var scanned event.Message
	if err := scanned.Scan(m.Append(nil)); err != nil {
		t.Fatal(err)
	}
	appendRaw(p, scanned.Append(nil, nil))
}
