package hub

import (
	"slices"
	"strconv"
	"strings"
)

// seat is where readers meet: a group, as created, at a partition. It holds either one reader with an epoch, or readers without.
type seat struct {
	group     string
	partition int
}

func (l *Link) seat() seat { return seat{l.info.Group, l.info.Partition} }

// takeSeatLocked applies the rules of epochs and puts the reader in its place, or says why not:
//   - A reader with an epoch evicts every other reader, unless one has a higher epoch: then it is refused itself.
//   - A reader without is refused while one with an epoch lives, and when Options.ReadersMax others are there.
//
// The evicted have lost their seat; their links are for the caller to end.
func (b *Hub) takeSeatLocked(l *Link) (evicted []*Link, err error) {
	at := l.seat()
	others := b.seats[at]
	owner := epochOwner(others)
	readersMax := b.namespace.hall.readersMax
	switch {
	case l.info.HasEpoch && owner != nil && owner.info.Epoch > l.info.Epoch:
		return nil, errEpochTooLow(l, owner)
	case !l.info.HasEpoch && owner != nil:
		return nil, errEpochExists(owner)
	case !l.info.HasEpoch && len(others) >= readersMax:
		return nil, errTooManyReaders(others, readersMax)
	}
	if b.seats == nil {
		b.seats = make(map[seat][]*Link)
	}
	if l.info.HasEpoch {
		b.seats[at] = []*Link{l}
		return others, nil
	}
	b.seats[at] = append(others, l)
	return nil, nil
}

func (b *Hub) leaveSeatLocked(l *Link) {
	at := l.seat()
	left := slices.DeleteFunc(b.seats[at], func(other *Link) bool { return other == l })
	if len(left) == 0 {
		delete(b.seats, at)
		return
	}
	b.seats[at] = left
}

func epochOwner(readers []*Link) *Link {
	if len(readers) == 1 && readers[0].info.HasEpoch {
		return readers[0]
	}
	return nil
}

// endEvicted cuts those of the evicted that are still up.
func (h *Hall) endEvicted(evicted []*Link, thief *Link) {
	var cuts []pendingCut
	h.mu.Lock()
	for _, v := range evicted {
		if !v.down {
			cuts = append(cuts, v.cutLocked(errStolen(v, thief)))
		}
	}
	h.mu.Unlock()
	h.run(cuts)
}

// The texts of this file are the service's, which calls a reader without a name nil, and writes no epoch as ''.

func errStolen(victim, thief *Link) *Error {
	epoch := ""
	if victim.info.HasEpoch {
		epoch = strconv.FormatInt(victim.info.Epoch, 10)
	}
	return errorf(Stolen, "New receiver '%s' with higher epoch of '%d' is created hence current receiver '%s' with epoch '%s' is getting "+
		"disconnected. If you are recreating the receiver, make sure a higher epoch is used.",
		thief.nameOrNil(), thief.info.Epoch, victim.nameOrNil(), epoch)
}

func errEpochTooLow(l, owner *Link) *Error {
	return errorf(EpochTooLow, "Receiver '%s' with a higher epoch '%d' already exists. Receiver '%s' with epoch %d cannot be created. "+
		"Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch receivers are "+
		"closed or disconnected.", owner.nameOrNil(), owner.info.Epoch, l.nameOrNil(), l.info.Epoch)
}

func errEpochExists(owner *Link) *Error {
	return errorf(EpochExists, "At least one receiver for the endpoint is created with epoch of '%d', and so non-epoch receiver is not "+
		"allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected.", owner.info.Epoch)
}

func errTooManyReaders(others []*Link, readersMax int) *Error {
	names := make([]string, len(others))
	for i, l := range others {
		names[i] = l.nameOrNil()
	}
	return errorf(TooManyReaders, "Exceeded the maximum number of allowed receivers per partition in a consumer group which is %d. "+
		"List of connected receivers - %s.", readersMax, strings.Join(names, ", "))
}

func (l *Link) nameOrNil() string {
	if l.info.Name == "" {
		return "nil"
	}
	return l.info.Name
}
