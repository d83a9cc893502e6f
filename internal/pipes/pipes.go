// Package pipes has a listener without a network, for tests of servers in a testing/synctest bubble: what waits on a socket keeps a bubble's
// clock from going on, what waits on a pipe does not. It buffers nothing, so a write lasts until its bytes are read.
package pipes

import (
	"context"
	"net"
	"sync"
)

// Listener accepts what is dialled. All methods may be called at once. It must be made in the bubble in which it is used.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen makes a listener whose connections say that they came in on loopback.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects as soon as the server accepts, if the listener is not closed before.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- end{server}:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *Listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close has Accept and Dial fail. What was accepted stays open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *Listener) Addr() net.Addr { return loopback() }

type end struct{ net.Conn }

func (e end) LocalAddr() net.Addr { return loopback() }

func loopback() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5300} }
