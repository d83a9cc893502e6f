package amqpserver

import (
	"io"
	"net"
)

// tryWriter is a connection that can be written to without waiting. TryWrite takes as much of b as fits, which may be nothing, and is not
// called concurrently with itself or Write.
type tryWriter interface {
	TryWrite(b []byte) (n int, err error)
}

// socketOf gives what a connection's bytes are read from and written to, and what to write them to without waiting; try is nil if that
// cannot be done.
func socketOf(nc net.Conn) (rw io.ReadWriter, try tryWriter) {
	switch nc := nc.(type) {
	case tryWriter:
		try = nc
	case *net.TCPConn:
		if s := tcpSocketOf(nc); s != nil {
			return s, s
		}
	}
	return nc, try
}
