//go:build linux && !386 && !s390x

package amqpserver

import (
	"io"
	"testing"
)

// TestReceivedTCP: the kernel counts what has come in, read or not.
func TestReceivedTCP(t *testing.T) {
	t.Parallel()
	nc, out := tcpPipe(t)
	if n := receivedTCP(nc); n != 0 {
		t.Errorf("%d bytes before the first", n)
	}
	for sum := int64(1000); sum <= 3000; sum += 1000 {
		if _, err := out.Write(make([]byte, 1000)); err != nil { // one segment
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil { // of which the first byte has come, and so all
			t.Fatal(err)
		}
		if n := receivedTCP(nc); n != sum {
			t.Errorf("%d bytes, want %d", n, sum)
		}
		if _, err := io.ReadFull(nc, make([]byte, 999)); err != nil {
			t.Fatal(err)
		}
		if n := receivedTCP(nc); n != sum {
			t.Errorf("%d bytes after all were read, want %d", n, sum)
		}
	}
	nc.Close()
	if n := receivedTCP(nc); n != 0 {
		t.Errorf("%d bytes of a socket that is closed", n)
	}
}
