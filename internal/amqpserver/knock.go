package amqpserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// knock ends a connection whose first bytes are not AMQP.
type knock struct {
	what  string
	first string
}

func (k knock) Error() string { return k.what }

const httpAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"This is evhub's AMQP port: it speaks AMQP 1.0, not HTTP. Health and administration are on the ADMIN port that evhub printed when it started.\n"

// turnAway says who knocked, to the operator and, where its protocol has words for it, to the peer.
func (c *Conn) turnAway(head []byte) error {
	k := knock{what: whoKnocks(head), first: fmt.Sprintf("%q", head)}
	if isHTTP(head) {
		c.send(func(b []byte) []byte { return append(b, httpAnswer...) })
	}
	return k
}

func isHTTP(head []byte) bool {
	for _, method := range []string{"GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "PATCH ", "OPTIONS ", "CONNECT "} {
		if n := min(len(method), len(head)); n >= 3 && string(head[:n]) == method[:n] {
			return true
		}
	}
	return false
}

func whoKnocks(head []byte) string {
	switch {
	case isHTTP(head):
		return "an HTTP client"
	case len(head) >= 3 && head[0] == 0x16 && head[1] == 0x03:
		return "a TLS client (this port is plain text: add UseDevelopmentEmulator=true to the connection string)"
	case bytes.HasPrefix(head, []byte("SSH-")):
		return "an SSH client"
	case isKafka(head):
		return "a Kafka client"
	}
	return "something that is not AMQP"
}

// isKafka looks for a Kafka request header: length, API key, API version.
func isKafka(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	size := binary.BigEndian.Uint32(head)
	key, version := binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint16(head[6:])
	return size >= 8 && size < 100<<20 && key < 100 && version < 30
}
