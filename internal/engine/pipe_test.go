package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe()
		for _, end := range []*PipeEnd{client, server} { // both write before they read
			if n, err := end.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
		buf := make([]byte, 3)
		for _, want := range []string{"hel", "lo"} {
			if n, err := server.Read(buf); string(buf[:n]) != want || err != nil {
				t.Errorf("read %q, %v", buf[:n], err)
			}
			if got := server.Received(); got != 5 {
				t.Errorf("%d bytes came in, want 5 however much is read", got)
			}
		}
		server.SetReadDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		if _, err := server.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("read until the deadline: %v after %v", err, time.Since(start))
		}
		server.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			client.Write([]byte("x"))
			client.CloseWrite()
		}()
		if rest, err := io.ReadAll(server); string(rest) != "x" || err != nil {
			t.Errorf("the rest is %q, %v", rest, err)
		}
		if _, err := client.Write([]byte("y")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		if n, err := client.Read(make([]byte, 10)); n != 5 || err != nil { // the other way goes on
			t.Errorf("read %d, %v", n, err)
		}
	})
}

// TestPipeFull: who writes too much waits, until it is read, or the deadline, or the end.
func TestPipeFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe()
		data := bytes.Repeat([]byte("0123456789"), 100_000)
		client.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := client.Write(data); n != streamBytesMax || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", n, err)
		}
		client.SetDeadline(time.Time{})
		go func() {
			client.Write(data[streamBytesMax:])
			client.Close()
		}()
		if got, err := io.ReadAll(server); !bytes.Equal(got, data) || err != nil {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		other, end := Pipe()
		go func() {
			time.Sleep(time.Second)
			end.Close()
		}()
		if n, err := other.Write(data); n != streamBytesMax || !errors.Is(err, net.ErrClosed) {
			t.Errorf("wrote %d to an end that was closed, %v", n, err)
		}
	})
}
