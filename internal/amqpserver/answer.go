package amqpserver

import "net"

// tryWriter is a connection that can be written to without waiting. TryWrite takes as much of b as fits, which may be nothing, and is not
// called concurrently with itself or Write.
type tryWriter interface {
	TryWrite(b []byte) (n int, err error)
}

// tryWriterOf is nil for a connection that can only be written to by waiting.
func tryWriterOf(nc net.Conn) tryWriter {
	switch nc := nc.(type) {
	case tryWriter:
		return nc
	case *net.TCPConn:
		return tryWriterOfTCP(nc)
	}
	return nil
}

// answer writes the answers to a burst on the reader's own goroutine, as far as the socket takes them at once: to wake the writer for them
// would cost more than to write them. All else is left to the writer. Reader only.
func (c *Conn) answer() {
	if c.try == nil || !c.writing.TryLock() {
		c.rouse()
		return
	}
	b := c.srv.buffers.takeWrite()
	var more bool
	if *b, more = c.answersOnly((*b)[:0]); len(*b) > 0 && !c.tryWrite(*b) {
		more = true
	}
	c.srv.buffers.giveWrite(b)
	c.writing.Unlock()
	if more {
		c.rouse()
	}
}

// answersOnly moves answers, dispositions and flows into b, unless what was written before has yet to go. more: there is something for
// the writer.
func (c *Conn) answersOnly(b []byte) (buf []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || len(c.untaken) > 0 {
		return b, true
	}
	b = c.collectLocked(b)
	if len(b) > 0 {
		c.beatDue.Store(false) // any frame is a sign of life
	}
	return b, !c.ready.empty() || c.beatDue.Load()
}

// tryWrite says whether all of b was taken. What was not is the writer's.
func (c *Conn) tryWrite(b []byte) bool {
	n, err := c.try.TryWrite(b)
	if err != nil {
		c.Drop()
		return false
	}
	if n > 0 {
		c.lastWrite.Store(int64(c.now()))
		c.in.answered = true
	}
	c.untaken = append(c.untaken, b[n:]...)
	return n == len(b)
}
