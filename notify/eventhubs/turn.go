package eventhubs

// turns are the lanes that may send as soon as breaker and flyingMax let them. Those whose lanes they are are served in turn, each with one
// lane, so that a call with very many keys takes longer itself and holds back no other.
type turns struct{ all chain[*turn] }

// turn is the ready lanes of one call, in the order they came, or the lane of messages without key, in which all calls meet.
type turn struct {
	lanes chain[*lane]
	place link[*turn] // in turns, while there are lanes
}

func (r *turns) empty() bool { return r.all.empty() }

// add puts a lane behind those of its turn.
func (r *turns) add(t *turn, l *lane) {
	l.turn = t
	t.lanes.pushBack(&l.place, l)
	if !t.place.linked() {
		r.all.pushBack(&t.place, t)
	}
}

// remove takes out a lane that was added.
func (r *turns) remove(l *lane) {
	l.place.unlink()
	if l.turn.lanes.empty() {
		l.turn.place.unlink()
	}
	l.turn = nil
}

// next takes out the lane whose turn it is; there must be one.
func (r *turns) next() *lane {
	t := r.all.first()
	l := t.lanes.first()
	r.remove(l)
	if t.place.linked() {
		t.place.unlink()
		r.all.pushBack(&t.place, t)
	}
	return l
}

// chain is a list whose links are part of what it holds, so that nothing is allocated for them.
type chain[T any] struct{ ends link[T] }

type link[T any] struct {
	of             T
	next, previous *link[T] // nil: in no chain
}

func (c *chain[T]) empty() bool { return c.ends.next == nil || c.ends.next == &c.ends }

// first is for a chain that is not empty.
func (c *chain[T]) first() T { return c.ends.next.of }

func (c *chain[T]) pushBack(l *link[T], of T) {
	if c.ends.next == nil {
		c.ends.next, c.ends.previous = &c.ends, &c.ends
	}
	l.of, l.previous, l.next = of, c.ends.previous, &c.ends
	l.previous.next, c.ends.previous = l, l
}

func (l *link[T]) linked() bool { return l.next != nil }

func (l *link[T]) unlink() {
	l.previous.next, l.next.previous = l.next, l.previous
	*l = link[T]{}
}
