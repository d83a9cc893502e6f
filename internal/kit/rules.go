package kit

import (
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
)

// thiefName is how the reader of StealEpoch is called in the texts that its victim gets.
const thiefName = "evhub-test-kit"

// asker is the hall's rules while the kit is in use: all faults of all spaces.
type asker struct{ *Kit }

// Ask finds the first fault that answers, of those that the operation can meet the one that was set first.
func (k asker) Ask(q *hub.Subject) hub.Verdict {
	if q.Op == hub.Stored {
		k.noteTurn(q)
	}
	now := k.clock.Now()
	alone := q.Namespace == "" && len(k.hall.Namespaces()) == 1
	k.mu.Lock()
	f, v := k.answerLocked(q, alone, now)
	k.noteLocked(q, f, now)
	k.mu.Unlock()
	if f != nil && f.do.kind == stealEpoch && q.Op == hub.Deliver {
		return k.steal(f, q)
	}
	return v
}

func (k *Kit) answerLocked(q *hub.Subject, alone bool, now time.Time) (*Fault, hub.Verdict) {
	if q.Namespace != "" {
		if s := k.spaceLocked(q.Namespace); s != nil {
			return s.answerLocked(q, true, now)
		}
		return nil, hub.Verdict{}
	}
	for _, s := range k.spaces {
		if f, v := s.answerLocked(q, alone, now); f != nil {
			return f, v
		}
	}
	return nil, hub.Verdict{}
}

// answerLocked finds the fault that answers. Who asks is ours if it is known to belong to the space.
func (s *Space) answerLocked(q *hub.Subject, ours bool, now time.Time) (*Fault, hub.Verdict) {
	for _, f := range s.live {
		switch {
		case !ours && !f.mayMeetStrangers(), !f.concerns(q):
		case !f.fits(q):
			f.missedLocked(q)
		case f.fireLocked(now):
			return f, f.do.verdict(q, f.draw)
		}
	}
	return nil, hub.Verdict{}
}

// steal opens the thief's reader, which cuts the ones that are there, and closes it again. The event stays undelivered. Ask may call the
// hall; the cut only marks the victim's link.
func (k *Kit) steal(f *Fault, q *hub.Subject) hub.Verdict {
	h, err := f.space.ns.Hub(q.Hub)
	if err == nil {
		var thief *hub.Link
		thief, err = h.OpenLink(hub.LinkInfo{Kind: hub.Reader, Partition: q.Partition, Group: q.Group, Name: thiefName, Client: thiefName,
			Epoch: f.do.level, HasEpoch: true}, nil)
		if err == nil {
			thief.Close()
			return hub.Verdict{Action: hub.Swallow}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f.failLocked(err.Error())
	return hub.Verdict{}
}
