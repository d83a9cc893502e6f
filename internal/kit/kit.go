// Package kit is the test kit's core, which its two faces share: the Go package evhubtest and the HTTP interface under /admin/v1. It works
// on a running hall and speaks no protocol.
//
// What its users need: that an expectation waits exactly as long as it must and then says why it failed; that a fault does what it says to
// the client it is meant for and to no other; and that a broker whose kit nobody uses pays nothing. What could break that, and the rule
// that keeps it whole:
//   - Nothing polls. Readers wait at the log (eventlog.Watcher), conditions on links at the hall (Hall.Watch), hits at the fault. All
//     channels and timers are made in the call that waits for them, so that the kit works inside a testing/synctest bubble.
//   - The log is the only store of events. An expectation reads it from a mark on and keeps the events it may have to return, so its
//     memory does not grow with the hub. A mark older than what the log keeps is a *StaleError. Marks, the timeline and turns are bounded.
//   - A fault belongs to a space, and a space is a namespace: an operation of another namespace never meets it. Where a door does not know
//     the namespace yet, On says what counts.
//   - The hall has one set of rules and one ear for reports. A Kit takes both while any of its spaces has a live fault or is traced, and
//     gives them back at once after that; so a hall has at most one Kit, and nobody else sets its rules.
//   - Kit.mu guards all that changes. Under it nothing of the hall is called but SetRules and SetReports, which are atomic.
package kit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/hub"
)

// Options are for New. Only Hall is needed.
type Options struct {
	Hall     *hub.Hall
	Policies *auth.Policies // where a new space gets its policy; nil: it gets none
	Clock    clock.Clock    // the hall's, for the times of marks and of the timeline; nil: clock.System

	// Fence waits until every byte that the doors had received when it was called has been looked at, or for the context's end:
	// Engine.Fence. nil: Quiesce knows of a delivery only once it counts at a link of the hall.
	Fence func(context.Context) error
}

// Kit is the test kit of one hall. It is safe for concurrent use.
type Kit struct {
	hall     *hub.Hall
	policies *auth.Policies
	clock    clock.Clock
	fence    func(context.Context) error

	mu      sync.Mutex // guards what follows, and what Space and Fault say it guards
	spaces  []*Space   // by name
	stray   ring       // connects and refused credentials, whose namespace was not known
	order   uint64     // of the last entry in any ring
	ruling  bool       // the hall's rules are ours
	tracing bool       // the hall's reports are ours
}

// New makes the kit of a hall. It starts nothing and sets nothing.
func New(o Options) *Kit {
	if o.Hall == nil {
		panic("BUG: kit.Options without Hall")
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	return &Kit{hall: o.Hall, policies: o.Policies, clock: o.Clock, fence: o.Fence}
}

// Space finds a space by its name in any case. Kind: NotFound.
func (k *Kit) Space(name string) (*Space, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.spaceLocked(name); s != nil {
		return s, nil
	}
	return nil, &hub.Error{Kind: hub.NotFound, Text: fmt.Sprintf("There is no space '%.64s'.", name)}
}

// Spaces lists all spaces by name.
func (k *Kit) Spaces() []*Space {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.spaces)
}

// findLocked gives the place of a space, or where it would have to be.
func (k *Kit) findLocked(name string) (int, bool) {
	return slices.BinarySearchFunc(k.spaces, strings.ToLower(name), func(s *Space, name string) int { return strings.Compare(s.name, name) })
}

// spaceLocked gives the space of that name in any case, or nil.
func (k *Kit) spaceLocked(name string) *Space {
	if i, found := k.findLocked(name); found {
		return k.spaces[i]
	}
	return nil
}

// installLocked takes the hall's rules and reports, or gives them back. It is called after each change of what depends on them.
func (k *Kit) installLocked() {
	live, traced := false, false
	for _, s := range k.spaces {
		live = live || len(s.live) > 0
		traced = traced || s.traced > 0
	}
	if ruling := live || traced; ruling != k.ruling {
		k.ruling = ruling
		if ruling {
			k.hall.SetRules(asker{k})
		} else {
			k.hall.SetRules(nil)
		}
	}
	if traced != k.tracing {
		k.tracing = traced
		k.stray = ring{}
		if traced {
			k.hall.SetReports(k.told)
		} else {
			k.hall.SetReports(nil)
		}
	}
}
