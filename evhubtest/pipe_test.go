package evhubtest

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
		looked := 0
		client, server := newPipe(func() { looked++ })
		for _, end := range []*pipeEnd{client, server} { // both write before they read
			if n, err := end.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
		if server.Received() != 5 || server.seen() != 0 {
			t.Errorf("%d arrived, %d seen", server.Received(), server.seen())
		}
		buf := make([]byte, 3)
		for _, want := range []string{"hel", "lo"} {
			if n, err := server.Read(buf); string(buf[:n]) != want || err != nil {
				t.Errorf("read %q, %v", buf[:n], err)
			}
		}
		if server.seen() != 3 { // the last two are being looked at
			t.Errorf("%d of 5 are seen before the next read", server.seen())
		}
		server.SetReadDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		if _, err := server.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("read until the deadline: %v after %v", err, time.Since(start))
		}
		if server.seen() != 5 || looked != 3 {
			t.Errorf("%d seen, looked %d times", server.seen(), looked)
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
		client, server := newPipe(nil)
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
		other, end := newPipe(nil)
		go func() {
			time.Sleep(time.Second)
			end.Close()
		}()
		if n, err := other.Write(data); n != streamBytesMax || !errors.Is(err, net.ErrClosed) {
			t.Errorf("wrote %d to an end that was closed, %v", n, err)
		}
	})
}

func TestBubbleName(t *testing.T) {
	t.Parallel()
	if name := bubble(); name != "" {
		t.Errorf("outside of a bubble it is %q", name)
	}
	names := make(map[string]bool)
	for range 2 {
		synctest.Test(t, func(*testing.T) {
			names[bubble()] = true
			inner := make(chan string)
			go func() { inner <- bubble() }()
			names[<-inner] = true
		})
	}
	if len(names) != 2 || names[""] {
		t.Errorf("two bubbles have the names %v", names)
	}
}
