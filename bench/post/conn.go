// Package post drives HTTP services with POST requests and counts what comes back.
//
// It writes requests that were encoded before and looks at no more of an answer than it must: status, Retry-After, body. That leaves the
// processor to the server, which is to be seen. A closed loop has one request under way on each connection; a paced one sends by schedule
// and counts latency from the schedule, so that a slow answer is not hidden by the requests that it held up.
//
// An answer that was not wanted ends the run with an error, and never with a low number.
package post

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"
)

const (
	answerTime = 30 * time.Second // for one answer; the services under test give up sooner
	readBytes  = 32 << 10
)

// Request encodes a POST. Without a token there is no credential in it.
func Request(addr, path, token string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, addr)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes()
}

// Answer is what came back. Body is valid until the connection's next request.
type Answer struct {
	Status     int
	RetryAfter bool // there is such a header
	Close      bool // the server ends the connection
	Body       []byte
}

// Conn is a connection for one request after the other.
type Conn struct {
	nc   net.Conn
	r    *bufio.Reader
	body []byte
}

// Dial connects.
func Dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, answerTime)
	if err != nil {
		return nil, err
	}
	return &Conn{nc: nc, r: bufio.NewReaderSize(nc, readBytes)}, nil
}

// Close hangs up.
func (c *Conn) Close() error { return c.nc.Close() }

// Do sends a request and reads its answer.
func (c *Conn) Do(request []byte) (Answer, error) {
	if _, err := c.nc.Write(request); err != nil {
		return Answer{}, err
	}
	return c.answer()
}

func (c *Conn) answer() (a Answer, err error) {
	line, err := c.line()
	if err != nil {
		return a, err
	}
	if len(line) < len("HTTP/1.1 200") || string(line[:9]) != "HTTP/1.1 " {
		return a, fmt.Errorf("the answer begins with %.40q", line)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	length, err := c.header(&a)
	if err != nil {
		return a, err
	}
	c.body = c.body[:0]
	if length == chunked {
		err = c.chunks()
	} else {
		err = c.take(length)
	}
	a.Body = c.body
	return a, err
}

// chunked stands for a body whose length is not announced.
const chunked = -1

// header reads to the end of the header and gives the body's length.
func (c *Conn) header(a *Answer) (length int, err error) {
	const unsaid = -2
	length = unsaid
	for {
		line, err := c.line()
		switch {
		case err != nil:
			return 0, err
		case len(line) == 0 && length == unsaid:
			return 0, fmt.Errorf("an answer of status %d whose end is not announced", a.Status)
		case len(line) == 0:
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(": ")) // names are as Go writes them
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, fmt.Errorf("Content-Length is %.40q", value)
			}
		case "Transfer-Encoding":
			length = chunked
		case "Retry-After":
			a.RetryAfter = true
		case "Connection":
			a.Close = string(value) == "close"
		}
	}
}

// line reads a line and drops its end.
func (c *Conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// take adds n bytes to the body.
func (c *Conn) take(n int) error {
	have := len(c.body)
	c.body = slices.Grow(c.body, n)[:have+n]
	_, err := io.ReadFull(c.r, c.body[have:])
	return err
}

// chunks reads a chunked body (RFC 9112 section 7.1), without extensions and trailers.
func (c *Conn) chunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err == nil {
			err = c.take(int(n))
		}
		if err == nil {
			_, err = c.line() // the end of the chunk, or of the trailers
		}
		if err != nil || n == 0 {
			return err
		}
	}
}
