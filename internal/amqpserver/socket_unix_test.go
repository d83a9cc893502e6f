//go:build unix

package amqpserver

import (
	"io"
	"testing"
)

// TestSocketCalls: one call moves no more than it may, however fast the peer is.
func TestSocketCalls(t *testing.T) {
	t.Parallel()
	client, server, _, try := socketPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, client)
	}()
	data := make([]byte, 8<<20)
	for range 20 {
		n, err := try.TryWrite(data)
		if err != nil || n > callBytesMax {
			t.Errorf("one call took %d bytes of at most %d, %v", n, callBytesMax, err)
		}
	}
	server.Close()
	<-done
}
