package amqpserver

// answer writes the answers to a burst on the reader's own goroutine: to wake the writer for them would cost more than to write them.
// Deliveries are left to the writer. Reader only.
func (c *Conn) answer() {
	if c.writeNow(false) {
		c.in.answered = true
	}
}

// writeNow writes answers, and a few deliveries if deliver is set, on the caller's goroutine, as far as the socket takes them at once. All
// else is left to the writer, or to the reader if that is about to look. wrote: something has gone out.
func (c *Conn) writeNow(deliver bool) (wrote bool) {
	if c.try == nil || !c.writing.TryLock() {
		c.signal()
		return false
	}
	b := c.srv.buffers.takeWrite()
	var left bool
	*b, left = c.collectNow((*b)[:0], deliver)
	if len(*b) > 0 {
		c.beatDue.Store(false) // any frame is a sign of life
		var all bool
		wrote, all = c.tryWrite(*b)
		left = left || !all
	}
	c.srv.buffers.giveWrite(b)
	c.writing.Unlock()
	if left || c.beatDue.Load() {
		c.rouse()
	}
	return wrote
}

// collectNow moves answers, dispositions and flows into b, and a few deliveries if deliver is set, unless what was written before has
// yet to go. left: there is something for the writer.
func (c *Conn) collectNow(b []byte, deliver bool) (buf []byte, left bool) {
	c.mu.Lock()
	if c.closing || len(c.untaken) > 0 {
		c.mu.Unlock()
		return b, true
	}
	b = c.collectLocked(b)
	left = !c.ready.empty()
	c.mu.Unlock()
	if deliver && left {
		return c.deliveries(b, promptBytesMax)
	}
	return b, left
}

// tryWrite says whether anything of b was taken, and whether all of it was. What was not is the writer's.
func (c *Conn) tryWrite(b []byte) (some, all bool) {
	n, err := c.try.TryWrite(b)
	if err != nil {
		c.Drop()
		return false, false
	}
	if n > 0 {
		c.lastWrite.Store(int64(c.now()))
	}
	c.untaken = append(c.untaken, b[n:]...)
	return n > 0, n == len(b)
}
