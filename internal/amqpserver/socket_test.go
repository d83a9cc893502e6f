package amqpserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// socketPair is a connection as the server uses it, and the client's end.
func socketPair(t *testing.T) (client, server *net.TCPConn, rw io.ReadWriter, try tryWriter) {
	server, client = tcpPipe(t)
	rw, try = socketOf(server)
	return client, server, rw, try
}

// numbered is n bytes of which no two near each other are alike.
func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)
	}
	return b
}

// TestSocketTakesAll: a write that the socket has no room for waits for the reader, and all of it arrives.
func TestSocketTakesAll(t *testing.T) {
	t.Parallel()
	client, server, rw, _ := socketPair(t)
	data := numbered(32 << 20) // more than both ends' buffers hold
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n, err := rw.Write(data); n != len(data) || err != nil {
			t.Errorf("%d bytes written of %d: %v", n, len(data), err)
		}
		server.Close()
	}()
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came of %d, or others than were sent: %v", len(got), len(data), err)
	}
	<-done
	if n, err := rw.Write(data); n != 0 || err == nil {
		t.Errorf("a closed socket took %d bytes: %v", n, err)
	}
}

// TestSocketReads: what comes is read as it comes, then the end of the stream; a deadline ends a read that waits.
func TestSocketReads(t *testing.T) {
	t.Parallel()
	client, server, rw, _ := socketPair(t)
	server.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := rw.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at its deadline a read gave %d bytes, %v", n, err)
	}
	server.SetReadDeadline(time.Time{})
	data := numbered(1 << 20)
	go func() {
		client.Write(data)
		client.Close()
	}()
	got, err := io.ReadAll(rw)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came of %d, or others than were sent: %v", len(got), len(data), err)
	}
	server.Close()
	if n, err := rw.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket gave %d bytes, %v", n, err)
	}
}

// TestSocketReset: a peer that is gone is told as an error, to who reads and to who writes.
func TestSocketReset(t *testing.T) {
	t.Parallel()
	client, _, rw, try := socketPair(t)
	client.SetLinger(0)
	client.Close()
	if n, err := rw.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("a socket that was reset gave %d bytes, %v", n, err)
	}
	if n, err := rw.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("a socket that was reset took %d bytes: %v", n, err)
	}
	if try == nil {
		return
	}
	if n, err := try.TryWrite([]byte("x")); n != 0 || err == nil {
		t.Errorf("a socket that was reset took %d bytes at once: %v", n, err)
	}
}

// TestSocketTries: a socket takes what it has room for, then nothing, and all of that arrives.
func TestSocketTries(t *testing.T) {
	t.Parallel()
	client, server, _, try := socketPair(t)
	if try == nil {
		t.Log("this system has no such socket: the writer does it all")
		return
	}
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	sent := 0
	for full := false; !full; {
		n, err := try.TryWrite(data[sent%len(data):])
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		full = n == 0
	}
	got, err := io.ReadAll(io.LimitReader(client, int64(sent)))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if b != data[i%len(data)] {
			t.Fatalf("byte %d of %d is %q", i, sent, b)
		}
	}
	server.Close()
	if _, err := try.TryWrite(data); err == nil {
		t.Error("a closed socket took bytes")
	}
}

// TestSocketEnds: a read and a write that wait end at once when the socket is closed, and a write at its deadline, with what was taken.
func TestSocketEnds(t *testing.T) {
	t.Parallel()
	_, server, rw, _ := socketPair(t)
	data := numbered(32 << 20)
	server.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := rw.Write(data); n == 0 || n == len(data) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at its deadline a write had %d bytes taken of %d, %v", n, len(data), err)
	}
	server.SetWriteDeadline(time.Time{})
	ended := make(chan error, 2)
	go func() {
		_, err := rw.Read(make([]byte, 1))
		ended <- err
	}()
	go func() {
		_, err := rw.Write(data)
		ended <- err
	}()
	server.Close()
	for range 2 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket said %v", err)
		}
	}
}

// TestSocketHalfClosed: after the peer's end of stream it can still be written to, and after ours still be read from.
func TestSocketHalfClosed(t *testing.T) {
	t.Parallel()
	client, server, rw, _ := socketPair(t)
	client.CloseWrite()
	if n, err := rw.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the end of the stream was read as %d bytes, %v", n, err)
	}
	if n, err := rw.Write([]byte("bye")); n != 3 || err != nil {
		t.Errorf("%d bytes written behind the peer's end of stream, %v", n, err)
	}
	server.CloseWrite()
	if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
		t.Errorf("the peer read %q, %v", got, err)
	}
	if n, err := rw.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("%d bytes written behind our own end of stream", n)
	}
	if n, err := rw.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing read gave %d bytes, %v", n, err)
	}
}
