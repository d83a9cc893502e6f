//go:build !linux

package amqpserver

import "net"

// quickAckOf is nil: only Linux can be told.
func quickAckOf(net.Conn) func() { return nil }
