package amqpserver

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

func TestKnocks(t *testing.T) {
	sasl := string(amqp.AppendProtocolHeader(nil, amqp.ProtocolSASL))
	rows := []struct {
		name, sent string
		eof        bool   // the client ends its side behind it
		logged     string // who knocked
		answer     string // "HTTP": the text for browsers
	}{
		{"http", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false, "an HTTP client", "HTTP"},
		{"http post", "POST /hub/messages HTTP/1.1\r\n\r\n" + strings.Repeat("x", 100_000), false, "an HTTP client", "HTTP"},
		{"http cut short", "GET /", true, "an HTTP client", "HTTP"},
		{"tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false, "a TLS client", ""},
		{"tls cut short", "\x16\x03\x01", true, "a TLS client", ""},
		{"kafka", "\x00\x00\x00\x2a\x00\x12\x00\x04\x00\x00\x00\x01", false, "a Kafka client", ""},
		{"ssh", "SSH-2.0-OpenSSH_9.6\r\n", false, "an SSH client", ""},
		{"garbage", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", false, "something that is not AMQP", ""},
		{"amqp 0.9.1", "AMQP\x00\x00\x09\x01", false, "protocol id 0, version 0.9.1", sasl},
		{"amqp 1.1", "AMQP\x00\x01\x01\x00", false, "protocol id 0, version 1.1.0", sasl},
		{"tls inside amqp", "AMQP\x02\x01\x00\x00", false, "protocol id 2, version 1.0.0", sasl},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, w *world) {
				c := w.dial()
				c.write([]byte(row.sent))
				if row.eof {
					c.nc.CloseWrite()
				}
				synctest.Wait()
				got, ended := c.nc.arrived()
				if row.answer == "HTTP" {
					row.answer = httpAnswer
				}
				if string(got) != row.answer || !ended {
					t.Errorf("answer %q, end of stream %v, want %q", got, ended, row.answer)
				}
				w.wantLogged("level=WARN", row.logged)
			})
		})
	}
}

// TestKnockIsHeard checks that an answer is not lost to a reset because the client had sent more than was looked at, and that a client
// which never goes away is cut.
func TestKnockIsHeard(t *testing.T) {
	play(t, Options{}, func(t *testing.T, w *world) {
		c := w.dial()
		c.write([]byte("PUT /big HTTP/1.1\r\n\r\n"))
		synctest.Wait()
		c.write([]byte(strings.Repeat("x", 500_000)))
		time.Sleep(lingerTime)
		synctest.Wait()
		if got, _ := c.nc.arrived(); string(got) != httpAnswer {
			t.Errorf("answer %q", got)
		}
		if s := w.srv.Stats(); s.Open != 0 || s.Accepted != 1 {
			t.Errorf("after the linger time: %+v", s)
		}
	})
}

func TestHeaderCutShort(t *testing.T) {
	for _, sent := range []string{"", "A", "AMQP", "AMQP\x03\x01\x00"} {
		play := func(t *testing.T, w *world) {
			c := w.dial()
			c.write([]byte(sent))
			c.nc.CloseWrite()
			c.wantEOF()
			if w.logged("knocked") || w.logged("WARN") {
				t.Errorf("the log complains: %s", w.log.String())
			}
		}
		t.Run("after "+sent, func(t *testing.T) { t.Parallel(); playNow(t, Options{}, play) })
	}
}
