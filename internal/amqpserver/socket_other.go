//go:build !unix

package amqpserver

import (
	"errors"
	"net"
)

// tcpSocket does not exist here: a socket of this system is used through the runtime only.
type tcpSocket struct{ *net.TCPConn }

func (s *tcpSocket) TryWrite([]byte) (int, error) { return 0, errors.ErrUnsupported }

func tcpSocketOf(*net.TCPConn) *tcpSocket { return nil }
