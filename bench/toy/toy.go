// Package toy is the yardstick: an AMQP 1.0 peer that does as little as a peer can. It parses frames and, as a relay, forwards transfers
// in memory to whoever reads the same partition; as a sink it drops them. There is no check of rights (a put-token is always accepted), no
// log, no partition beyond a list of readers, no error handling beyond hanging up, and one session and one reading link a connection.
//
// What it does it does as fast as plain Go code can: large reads, frames parsed where they lie, one lock for each read and reader, one
// write for many frames, one disposition for each read. Event Hubs' credit is kept (1000 for a sender, topped up at half), and so is the
// credit of readers. A reader that falls behind holds its senders back once queueBytesMax wait for it.
package toy

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"

	"github.com/evhub-dev/evhub/internal/amqp"
)

const (
	readBytes     = 256 << 10
	queueBytesMax = 1 << 20
	senderCredit  = 1000
	windowFrames  = 1<<31 - 1
	handlesMax    = 255
)

// Server is a relay, or a sink if Sink is set before Serve.
type Server struct {
	Sink bool

	mu    sync.Mutex
	nodes map[string]*node
}

// node is one partition: the queues of those who read it.
type node struct {
	mu      sync.RWMutex
	readers []*queue
}

func (n *node) change(q *queue, add bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	readers := make([]*queue, 0, len(n.readers)+1) // senders may be walking the old one
	for _, r := range n.readers {
		if r != q {
			readers = append(readers, r)
		}
	}
	if add {
		readers = append(readers, q)
	}
	n.readers = readers
}

func (n *node) queues() []*queue {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.readers
}

// Serve accepts connections until the listener fails.
func (s *Server) Serve(ln net.Listener) error {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		c := &conn{srv: s, nc: nc, buf: make([]byte, readBytes)}
		go c.run()
	}
}

// node finds a partition by an address of any group.
func (s *Server) node(address string) *node {
	if hub, rest, ok := strings.Cut(strings.ToLower(address), "/consumergroups/"); ok {
		_, partition, _ := strings.Cut(rest, "/")
		address = hub + "/" + partition
	}
	address = strings.ToLower(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes == nil {
		s.nodes = make(map[string]*node)
	}
	if s.nodes[address] == nil {
		s.nodes[address] = &node{}
	}
	return s.nodes[address]
}

// conn is one connection. Its reader owns it; the writer of its reading link is the queue's.
type conn struct {
	srv  *Server
	nc   net.Conn
	buf  []byte
	r, w int

	channel uint16
	frames  uint32     // transfers that came in
	links   []*link    // by the client's handle
	out     []byte     // answers to the read at hand
	burst   []transfer // of one link, not forwarded yet
	from    *link
	queue   *queue // of the connection's reading link
}

// link is an attached link, by the client's handle.
type link struct {
	handle      uint32
	node        *node // nil: $cbs
	sends       bool  // the client does
	count       uint32
	granted     uint32 // where its credit ends
	first, last uint32 // unsettled deliveries
	owed        bool   // there are any
}

var errBye = errors.New("toy: the client closed")

func (c *conn) run() {
	defer c.nc.Close()
	if c.handshake() == nil {
		for c.read() == nil {
		}
	}
	for _, l := range c.links {
		c.detached(l)
	}
}

func (c *conn) handshake() error {
	b, err := c.take(amqp.ProtocolHeaderBytes)
	if err != nil {
		return err
	}
	if b[4] == amqp.ProtocolSASL {
		out, mark := amqp.BeginFrame(amqp.AppendProtocolHeader(nil, amqp.ProtocolSASL), amqp.FrameSASL, 0)
		mechanisms := amqp.SASLMechanisms{Mechanisms: []amqp.Symbol{"ANONYMOUS", "PLAIN"}}
		c.nc.Write(amqp.EndFrame(mechanisms.Append(out), mark))
		b, err = c.take(4)
		if err == nil {
			_, err = c.take(max(0, int(binary.BigEndian.Uint32(b))-4)) // sasl-init: whoever it is
		}
		if err != nil {
			return err
		}
		out, mark = amqp.BeginFrame(nil, amqp.FrameSASL, 0)
		c.nc.Write(amqp.EndFrame((&amqp.SASLOutcome{Code: amqp.SASLOk}).Append(out), mark))
		if _, err = c.take(amqp.ProtocolHeaderBytes); err != nil {
			return err
		}
	}
	_, err = c.nc.Write(amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP))
	return err
}

func (c *conn) take(n int) ([]byte, error) {
	for c.w-c.r < n {
		if err := c.fill(n); err != nil {
			return nil, err
		}
	}
	c.r += n
	return c.buf[c.r-n : c.r], nil
}

// fill reads once, after making room for n bytes.
func (c *conn) fill(n int) error {
	if n > len(c.buf) {
		return errors.New("toy: a frame larger than the buffer")
	}
	if c.r == c.w || len(c.buf)-c.r < n || len(c.buf)-c.w < readBytes/4 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	got, err := c.nc.Read(c.buf[c.w:])
	c.w += got
	if got > 0 {
		return nil
	}
	return err
}

// read takes all whole frames of one read, and answers them with one write.
func (c *conn) read() error {
	need := amqp.FrameHeaderBytes
	for c.w-c.r >= amqp.FrameHeaderBytes {
		frame := c.buf[c.r:c.w]
		size := int(binary.BigEndian.Uint32(frame))
		if size > len(frame) {
			need = size
			break
		}
		if size < amqp.FrameHeaderBytes {
			return errors.New("toy: a frame shorter than its header")
		}
		c.r += size
		if err := c.frame(frame[:size:size]); err != nil {
			c.nc.Write(c.out)
			return err
		}
	}
	c.forward()
	c.settle()
	if len(c.out) > 0 {
		if _, err := c.nc.Write(c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
	}
	return c.fill(need)
}

func (c *conn) frame(frame []byte) error {
	if len(frame) <= amqp.FrameHeaderBytes+2 {
		return nil // a heartbeat
	}
	body := frame[amqp.FrameHeaderBytes:]
	if code := amqp.Code(body[2]); code != amqp.CodeTransfer {
		c.forward()
		c.channel = binary.BigEndian.Uint16(frame[6:])
		return c.control(code, body)
	}
	t, err := parseTransfer(body)
	if err != nil {
		return err
	}
	l := c.link(t.handle)
	if l == nil || !l.sends {
		return errors.New("toy: a transfer for a handle that does not send")
	}
	c.frames++
	if !t.more {
		l.count++
	}
	if l.node == nil {
		return c.tokenTaken(t.payload)
	}
	if !t.settled && t.hasID {
		if !l.owed {
			l.first, l.owed = t.id, true
		}
		l.last = t.id
	}
	if c.srv.Sink {
		return nil
	}
	if c.from != l {
		c.forward()
		c.from = l
	}
	c.burst = append(c.burst, t)
	return nil
}

func (c *conn) link(handle uint32) *link {
	if handle < uint32(len(c.links)) {
		return c.links[handle]
	}
	return nil
}

// forward gives the burst to everyone who reads the partition.
func (c *conn) forward() {
	if len(c.burst) == 0 {
		return
	}
	for _, q := range c.from.node.queues() {
		q.put(c.burst)
	}
	clear(c.burst)
	c.burst = c.burst[:0]
}

// settle answers what came unsettled, and tops up credit.
func (c *conn) settle() {
	for _, l := range c.links {
		if l == nil || !l.sends {
			continue
		}
		if l.owed {
			l.owed = false
			c.answer(&amqp.Disposition{Role: amqp.RoleReceiver, First: l.first, Last: amqp.Some(l.last), Settled: amqp.Some(true), State: amqp.Accepted()})
		}
		if l.granted-l.count <= senderCredit/2 {
			c.grant(l)
		}
	}
}
