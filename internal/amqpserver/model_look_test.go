package amqpserver

import (
	"bytes"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// look takes what has come and holds it against the model.
func (m *model) look() {
	m.t.Helper()
	for _, f := range m.c.got() {
		m.note("    server ch%d %T%s %d bytes", f.channel, f.body, fieldsOf(f.body), len(f.payload))
		if _, ok := f.body.(*amqp.Close); ok {
			if !m.closed {
				m.fail("a close came")
			}
			m.c.nc.Close()
			synctest.Wait()
			return
		}
		if p, ok := f.body.(*amqp.Begin); ok {
			m.takeBegin(f.channel, p)
			continue
		}
		s := m.sessionOn(f.channel)
		if s == nil {
			m.fail("a %T came on channel %d, where the server has no session", f.body, f.channel)
		}
		m.take(s, f)
	}
	if m.closed {
		m.fail("the connection was not closed")
	}
}

func (m *model) sessionOn(ours uint16) *modelSession {
	for _, s := range m.sessions {
		if s != nil && s.answered && s.ours == ours {
			return s
		}
	}
	return nil
}

func (m *model) take(s *modelSession, f frame) {
	m.t.Helper()
	switch p := f.body.(type) {
	case *amqp.End:
		if p.Error != nil && s.failed {
			s.answered = false // nothing more may come on its channel
			return
		}
		if p.Error != nil || s.failed {
			m.fail("end %v", p.Error)
		}
		m.sessions[s.channel] = nil
	case *amqp.Attach:
		m.takeAttach(s, p)
	case *amqp.Detach:
		l := m.linkAt(s, p.Handle)
		if !l.leaving && !l.breached {
			m.fail("%s was detached: %v", l.name, p.Error)
		}
		if l.detached = true; l.leaving {
			m.forget(s, l)
		}
	case *amqp.Transfer:
		m.takeTransfer(s, p, f.payload)
	case *amqp.Disposition:
		m.takeDisposition(s, p)
	case *amqp.Flow:
		m.takeFlow(s, p)
	}
}

func (m *model) takeBegin(channel uint16, p *amqp.Begin) {
	taken := make(map[uint16]bool)
	for _, s := range m.sessions {
		if s != nil && (s.answered || s.failed) { // a failed one is there until the client has ended it too
			taken[s.ours] = true
		}
	}
	for n := range channel + 1 {
		if taken[n] != (n < channel) {
			m.fail("a session got channel %d, while channel %d is taken: %v", channel, n, taken[n])
		}
	}
	s := m.sessions[p.RemoteChannel.V]
	s.ours, s.answered = channel, true
}

func (m *model) takeAttach(s *modelSession, p *amqp.Attach) {
	for h := range p.Handle + 1 {
		if taken := s.handles[h] != nil; taken != (h < p.Handle) {
			m.fail("a link got handle %d, while handle %d is taken: %v", p.Handle, h, taken)
		}
	}
	for _, l := range s.links {
		if l != nil && l.name == p.Name {
			l.server, l.answered = p.Handle, true
			s.handles[p.Handle] = l
			return
		}
	}
	m.fail("an attach of the unknown link %q came", p.Name)
}

func (m *model) linkAt(s *modelSession, handle uint32) *modelLink {
	m.t.Helper()
	l := s.handles[handle]
	if l == nil || l.detached {
		m.fail("handle %d has no link", handle)
	}
	return l
}

func (m *model) takeTransfer(s *modelSession, p *amqp.Transfer, payload []byte) {
	m.t.Helper()
	l := m.linkAt(s, p.Handle)
	if s.frames++; s.frames > s.windowMax {
		m.fail("frame %d came in a window that ends at %d", s.frames, s.windowMax)
	}
	if l.open == nil {
		if l.count++; l.count > l.creditMax {
			m.fail("%s: delivery %d came with credit up to %d", l.name, l.count, l.creditMax)
		}
		if want := uint32(baseDelivery + s.deliveries); p.DeliveryID != amqp.Some(want) {
			m.fail("delivery-id %v, want %d", p.DeliveryID, want)
		}
		s.deliveries++
		if !p.Settled.Or(false) {
			s.toSettle[p.DeliveryID.V] = time.Now()
		}
		l.open = []byte{}
	} else if p.DeliveryID.Set {
		m.fail("delivery %d came before the one in front of it was complete", p.DeliveryID.V)
	}
	l.open = append(l.open, payload...)
	if p.More {
		return
	}
	if want := fmt.Sprintf("%08d", l.whole); !bytes.HasPrefix(l.open, []byte(want)) {
		m.fail("%s: event %.8q came, want %s", l.name, l.open, want)
	}
	l.whole++
	l.open = nil
}

func (m *model) takeDisposition(s *modelSession, p *amqp.Disposition) {
	m.t.Helper()
	known := 0
	var of *modelLink
	for id := p.First; id != p.Last.Or(p.First)+1; id++ {
		if p.Role == amqp.RoleSender {
			if _, ok := s.toSettle[id]; ok || s.asked[id] {
				known++
			}
			delete(s.toSettle, id)
			delete(s.asked, id)
			continue
		}
		l := s.unanswered[id]
		if l == nil || of != nil && of != l {
			m.fail("delivery %d was settled twice, never sent, or together with another link's", id)
		}
		of, known = l, known+1
		delete(s.unanswered, id)
	}
	if known == 0 || !p.Settled.V {
		m.fail("nothing of %+v was to be settled", p)
	}
}

func (m *model) takeFlow(s *modelSession, p *amqp.Flow) {
	m.t.Helper()
	if in := int64(int32(p.NextIncomingID.V - uint32(baseIncoming))); in < s.sentBefore || in > s.sentFrames {
		m.fail("flow: next-incoming-id is that of %d frames, sent are %d", in, s.sentFrames)
	}
	if want := uint32(baseOutgoing + s.frames); p.NextOutgoingID != want || p.IncomingWindow != sessionWindow {
		m.fail("flow: next-outgoing-id %d, want %d", p.NextOutgoingID, want)
	}
	if !p.Handle.Set {
		return
	}
	l := m.linkAt(s, p.Handle.V)
	if l.sink != nil {
		taken := int64(int32(p.DeliveryCount.V - uint32(baseCount)))
		if l.flows++; l.flows > 1 && (taken < 0 || taken > l.sent) || p.LinkCredit.V != toyCredit {
			m.fail("flow of %s: %+v after %d deliveries", l.name, p, l.sent)
		}
		return
	}
	if (l.draining || l.mayDrain) && p.LinkCredit.V == 0 && p.Drain.V {
		l.count = max(l.count, l.drainEnd)
		l.draining, l.mayDrain = false, false
	}
	if want := uint32(baseCount + l.count); p.DeliveryCount.V != want || int64(p.LinkCredit.V) > max(0, l.creditMax-l.count) {
		m.fail("flow of %s: %+v, want delivery-count %d", l.name, p, want)
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkRest holds the engine against the model while nothing moves.
func (m *model) checkRest() {
	m.t.Helper()
	for _, s := range m.sessions {
		if s == nil || m.closed {
			continue
		}
		if s.failed && s.answered || !s.failed && !s.answered {
			m.fail("session %d: answered %v, failed %v", s.channel, s.answered, s.failed)
		}
		if s.failed {
			continue
		}
		s.windowMax = s.window
		if len(s.asked) > 0 {
			m.fail("outcomes were not answered: %v", s.asked)
		}
		for id, at := range s.toSettle {
			if time.Since(at) >= unsettledTime {
				m.fail("delivery %d is not settled after %v", id, time.Since(at))
			}
		}
		for id, l := range s.unanswered {
			if !l.detached && !l.leaving && l.address != "sink/never" {
				m.fail("delivery %d to %s is not answered", id, l.name)
			}
		}
		for _, l := range s.links {
			if l != nil {
				m.checkLink(s, l)
			}
		}
	}
}

func (m *model) checkLink(s *modelSession, l *modelLink) {
	m.t.Helper()
	l.creditMax = l.credit
	if !l.answered || l.breached != l.detached || l.leaving {
		m.fail("%s: answered %v, breached %v, detached %v, leaving %v", l.name, l.answered, l.breached, l.detached, l.leaving)
	}
	if l.source == nil || l.detached {
		return
	}
	var window, credit uint32
	waits := 0
	m.locked(func() {
		window, credit = l.l.s.window, l.l.creditLocked()
		for _, b := range l.l.s.blocked {
			waits += boolToInt(b == l.l)
		}
	})
	if waits > 1 || waits == 1 && window > 0 {
		m.fail("%s waits %d times for window %d", l.name, waits, window)
	}
	if want := max(0, s.window-s.frames); int64(window) != want {
		m.fail("window %d, want %d", window, want)
	}
	if want := max(0, l.credit-l.count); int64(credit) != want {
		m.fail("%s: credit %d, want %d", l.name, credit, want)
	}
	if window > 0 && (l.open != nil || credit > 0 && l.source.left() > 0) {
		m.fail("%s: %d events wait with credit %d and window %d, in the middle of one: %v", l.name, l.source.left(), credit, window, l.open != nil)
	}
	if l.draining && window > 0 {
		m.fail("%s: the drain is not answered", l.name)
	}
}
