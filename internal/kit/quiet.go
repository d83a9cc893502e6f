package kit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// Quiesce waits until every byte that was received has been looked at, as far as Options.Fence knows, and every delivery on a link of the
// space is settled, those that a fault delays included. It sees bytes, not intentions: what a client has not sent yet, it cannot know.
func (s *Space) Quiesce(ctx context.Context) error {
	if s.kit.fence != nil {
		if err := s.kit.fence(ctx); err != nil {
			return fmt.Errorf("waiting for received bytes to be looked at: %w", err)
		}
	}
	return s.until(ctx, make(bell, 1), func() bool {
		return !slices.ContainsFunc(s.Links(), func(l hub.LinkState) bool { return l.Unsettled != 0 })
	})
}

// bell has capacity 1.
type bell chan struct{}

// woken is ring as a Watcher's Wake.
func (b bell) woken(bool) { b.ring() }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// until waits for a condition on links, and on what else rings.
func (s *Space) until(ctx context.Context, changed bell, holds func() bool) error {
	if holds() {
		return nil
	}
	defer s.kit.hall.Watch(changed.ring)()
	for !holds() {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// WaitReaders waits until n readers of a group, or more, are attached to the hub and wait for events: from then on they miss nothing, and
// no sleep is needed. It gives how many there are. Kinds: NotFound; Updated once the hub is deleted. If the context ends first, the error
// wraps the context's and says who is there.
func (s *Space) WaitReaders(ctx context.Context, hubName, group string, n int) (int, error) {
	h, err := s.ns.Hub(hubName)
	if err != nil {
		return 0, err
	}
	if !h.HasGroup(group) {
		return 0, &hub.Error{Kind: hub.NotFound, Text: fmt.Sprintf("The hub '%s' has no consumer group '%.60s'.", h.Name(), group),
			Hint: "groups here: " + strings.Join(h.Groups(), ", ")}
	}
	changed := make(bell, 1)
	end := ending{hub: h, watcher: eventlog.Watcher{Wake: changed.woken}}
	defer end.close()
	ready := 0
	err = s.until(ctx, changed, func() bool {
		ready = 0
		for _, l := range s.readers(h, group) {
			if l.Credit > 0 {
				ready++
			}
		}
		return ready >= n || end.come()
	})
	switch {
	case end.err != nil:
		return 0, end.err
	case err != nil:
		return ready, fmt.Errorf("readers of group %s at hub %s that wait for events: %d, want %d%s: %w", group, h.Name(), ready, n,
			s.readersText(h, group), err)
	}
	return ready, nil
}

// ending hears of a hub's end, which its logs know.
type ending struct {
	hub     *hub.Hub
	watcher eventlog.Watcher
	err     error // once the hub has ended
}

// come says whether the hub has ended. If not, the watcher is woken when it does, or earlier.
func (e *ending) come() bool {
	log := e.hub.PartitionAt(0).Log()
	next := log.State().Next.Seq
	var none eventlog.Records
	defer none.Release()
	if err := log.Read(next, 1, &none); errors.Is(err, eventlog.ErrClosed) {
		e.err = errDeleted(e.hub, err)
		return true
	}
	log.Watch(next, &e.watcher)
	return false
}

func (e *ending) close() { e.hub.PartitionAt(0).Log().Unwatch(&e.watcher) }

func (s *Space) readers(h *hub.Hub, group string) []hub.LinkState {
	return slices.DeleteFunc(s.Links(), func(l hub.LinkState) bool {
		return l.Kind != hub.Reader || l.Hub != h.Name() || !strings.EqualFold(l.Group, group)
	})
}

// readersText lists who is attached, as far as a line goes.
func (s *Space) readersText(h *hub.Hub, group string) string {
	const listMax = 8
	var list []string
	for i, l := range s.readers(h, group) {
		if i == listMax {
			list = append(list, "...")
			break
		}
		text := LinkText(l)
		if l.Credit == 0 {
			text += " (without credit)"
		}
		list = append(list, text)
	}
	if list == nil {
		return "; none is attached"
	}
	return "; attached: " + strings.Join(list, ", ")
}

// Links are the space's links that are up, in the order they came.
func (s *Space) Links() []hub.LinkState {
	return slices.DeleteFunc(s.kit.hall.Links(), func(l hub.LinkState) bool { return l.Namespace != s.name })
}

// LinkText names a link in a sentence.
func LinkText(l hub.LinkState) string {
	at := l.Hub
	if l.Partition >= 0 {
		at = fmt.Sprintf("%s/%d", l.Hub, l.Partition)
	}
	text := fmt.Sprintf("%s %s of %s", l.Kind, shown(l.Client), at)
	if l.Kind == hub.Reader {
		text += " in group " + l.Group
	}
	return text
}

// hints say what else happened that may explain a miss.
func (s *Space) hints(r *Reader, m *Miss) []string {
	s.kit.mu.Lock()
	faults := slices.Clone(s.faults)
	s.kit.mu.Unlock()
	entries := s.Timeline()
	hints := refusals(entries, r.from.At)
	for _, f := range faults {
		if text := f.hint(r.from.At, s.kit.clock.Now()); text != "" {
			hints = append(hints, text)
		}
	}
	links := s.Links()
	for _, l := range links {
		if l.Kind == hub.Sender && l.Unsettled > 0 {
			hints = append(hints, fmt.Sprintf("%s has %s to be settled", LinkText(l), plural(int(l.Unsettled), "message")))
		}
	}
	hints = append(hints, s.elsewhere(r)...)
	if m.Seen == 0 && m.Reason == TooFew {
		hints = append(hints, silence(r.hub.Name(), links))
	}
	return hints
}

// hint says what the fault did since a moment.
func (f *Fault) hint(since, now time.Time) string {
	f.space.kit.mu.Lock()
	defer f.space.kit.mu.Unlock()
	if f.hits == 0 || f.lastHit.Before(since) {
		return ""
	}
	op := f.on.Op.String()
	if f.on.Op == AnyOp {
		op = "operation"
	}
	return fmt.Sprintf("fault %s (%s) answered %s, the last %s ago", f.id, f.do, plural(f.hits, op), shownDuration(now.Sub(f.lastHit)))
}

// elsewhere says which other hubs of the space got events since the mark.
func (s *Space) elsewhere(r *Reader) (hints []string) {
	for _, h := range s.ns.Hubs() {
		if h == r.hub {
			continue
		}
		next, err := r.from.start(h)
		if err != nil {
			continue
		}
		n := int64(0)
		for i, from := range next {
			n += h.PartitionAt(i).State().Next.Seq - from
		}
		if n > 0 {
			hints = append(hints, fmt.Sprintf("hub %q got %s meanwhile", h.Name(), plural(int(n), "event")))
		}
	}
	return hints
}

// silence says why a hub got nothing, as far as links show it.
func silence(hubName string, links []hub.LinkState) string {
	for _, l := range links {
		if l.Kind == hub.Sender && l.Hub == hubName {
			return fmt.Sprintf("%s is attached and has sent %s so far", LinkText(l), plural(int(l.Records), "event"))
		}
	}
	return "no sender is attached to " + hubName
}
