//go:build !unix

package amqpserver

import "net"

// tryWriterOfTCP is nil: a socket of this system is written to by the runtime's waiting only.
func tryWriterOfTCP(*net.TCPConn) tryWriter { return nil }
