package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/config"
)

const (
	localHost     = "localhost:5672"
	applicationID = "evhub-cli"
	reachTime     = 5 * time.Second
	quietTime     = 300 * time.Millisecond // how long a port may say nothing to AMQP before it is tried as HTTP's
	closeTime     = 2 * time.Second        // for taking leave of a broker
	notFound      = "could not be found"   // in the service's words, of hubs and groups
)

// connection is where send, receive, hubs and token go: a flag's connection string, or EVENTHUB_CONNECTION_STRING, or the local default.
type connection struct {
	*app
	flag    string
	assumed string // the hub that defaultHub chose by itself
}

func (c *connection) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.flag, "connection-string", "",
		"`TEXT` that an SDK would get (default: EVENTHUB_CONNECTION_STRING, then the broker on this machine)")
}

// string gives the connection string to use.
func (c *connection) string() (auth.ConnectionString, error) {
	text, from := c.flag, "--connection-string"
	if text == "" {
		text, from = c.getenv("EVENTHUB_CONNECTION_STRING"), "EVENTHUB_CONNECTION_STRING"
	}
	if text == "" {
		return auth.ConnectionString{Host: localHost, KeyName: auth.RootKeyName, Key: auth.RootKey, Emulator: true}, nil
	}
	cs, err := auth.ParseConnectionString(text)
	if err != nil {
		return cs, badUsage("", "%s: %s", from, strings.TrimPrefix(err.Error(), "connection string: "))
	}
	return cs, nil
}

// hub gives the connection string for a hub, without EntityPath, as the SDK wants it beside a hub's name.
func (c *connection) hub(name string) (auth.ConnectionString, error) {
	cs, err := c.string()
	if err != nil {
		return cs, err
	}
	if cs.EntityPath != "" && !strings.EqualFold(cs.EntityPath, name) {
		return cs, badUsage("", "the connection string is for hub %q, not for %q", cs.EntityPath, name)
	}
	cs.EntityPath = ""
	return cs, c.reach(cs)
}

// defaultHub is the hub that is meant where none is named.
func (c *connection) defaultHub() (string, error) {
	cs, err := c.string()
	switch {
	case err != nil:
		return "", err
	case cs.EntityPath != "":
		return cs.EntityPath, nil
	case cs.Emulator:
		c.assumed = config.Default().Namespaces[0].Hubs[0].Name
		return c.assumed, nil
	}
	return "", badUsage("", "name a hub: the connection string names none (EntityPath), and hubs cannot be listed")
}

// ofAssumed has an error tell those who named no hub that one was chosen for them.
func (c *connection) ofAssumed(err error) error {
	if f, ok := errors.AsType[*failure](err); ok && c.assumed != "" && strings.Contains(f.text, notFound) {
		f.hint = "no hub is named, so " + c.assumed + " was meant: name one"
	}
	return err
}

// reach finds out early, and without the SDK's retries, that nobody is there who speaks AMQP. For Azure that is the SDK's business.
func (c *connection) reach(cs auth.ConnectionString) error {
	if !cs.Emulator {
		return nil
	}
	host := cs.Host
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "5672") // what the SDK dials
	}
	nc, err := net.DialTimeout("tcp", host, reachTime)
	if err != nil {
		text := "no broker answers at " + host
		if op, ok := errors.AsType[*net.OpError](err); ok {
			text += ": " + op.Err.Error()
		}
		return &failure{text: text, hint: "start one with: evhub serve"}
	}
	defer nc.Close()
	if speaksHTTP(nc) {
		return &failure{text: host + " is an HTTP port, and this needs one of AMQP", hint: "evhub and the official emulator have AMQP on 5672, unless told otherwise"}
	}
	return nil
}

// speaksHTTP opens as AMQP does. Where HTTP is spoken those bytes are the beginning of a line, whose end is waited for: who says nothing gets it.
func speaksHTTP(nc net.Conn) bool {
	answer := make([]byte, len("HTTP"))
	for _, try := range []struct {
		say  string
		time time.Duration
	}{{"AMQP\x03\x01\x00\x00", quietTime}, {"\r\n\r\n", reachTime}} {
		nc.SetDeadline(time.Now().Add(try.time))
		if _, err := io.WriteString(nc, try.say); err != nil {
			return false
		}
		_, err := io.ReadFull(nc, answer)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err == nil && string(answer) == "HTTP"
		}
	}
	return false
}

// retries are few: whoever sits at a terminal would rather know.
func retries(cs auth.ConnectionString) azeventhubs.RetryOptions {
	if cs.Emulator {
		return azeventhubs.RetryOptions{MaxRetries: -1}
	}
	return azeventhubs.RetryOptions{MaxRetries: 2, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 2 * time.Second}
}

// producer opens a client that must be closed with leave.
func (c *connection) producer(hub string) (*azeventhubs.ProducerClient, error) {
	cs, err := c.hub(hub)
	if err != nil {
		return nil, err
	}
	o := azeventhubs.ProducerClientOptions{ApplicationID: applicationID, RetryOptions: retries(cs)}
	client, err := azeventhubs.NewProducerClientFromConnectionString(cs.Encode(), hub, &o)
	return client, explain(err)
}

// consumer opens a client that must be closed with leave.
func (c *connection) consumer(hub, group string) (*azeventhubs.ConsumerClient, error) {
	cs, err := c.hub(hub)
	if err != nil {
		return nil, err
	}
	o := azeventhubs.ConsumerClientOptions{ApplicationID: applicationID, RetryOptions: retries(cs)}
	client, err := azeventhubs.NewConsumerClientFromConnectionString(cs.Encode(), hub, group, &o)
	return client, explain(err)
}

// leave closes a client of the SDK, also after an interrupt. What goes wrong then does not matter any more.
func leave(client interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	client.Close(ctx)
}

// explain turns the SDK's errors, which are written for programs, into words for people.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return &failure{text: "interrupted"}
	}
	text := essence(err.Error())
	e, _ := errors.AsType[*azeventhubs.Error](err)
	switch {
	case e != nil && e.Code == azeventhubs.ErrorCodeUnauthorizedAccess || strings.Contains(err.Error(), "status code 401"):
		return &failure{text: "not authorized: " + text, hint: "check SharedAccessKeyName and SharedAccessKey, and that the policy has the right this needs"}
	case e != nil && e.Code == azeventhubs.ErrorCodeConnectionLost:
		return lost(strings.TrimPrefix(text, "("+string(e.Code)+"): "))
	case strings.Contains(text, notFound):
		return &failure{text: text, hint: "check the names of hub and consumer group; evhub serve prints the ones it has"}
	}
	return &failure{text: text}
}

// lost also finds the words for connections that never came to be, which the SDK calls lost as well.
func lost(text string) error {
	if where, ok := strings.CutPrefix(text, "dial tcp"); ok {
		return &failure{text: "no broker answers: " + strings.TrimLeft(where, ": "), hint: "check the Endpoint of the connection string"}
	}
	f := &failure{text: "the connection was lost: " + text}
	if text == "EOF" || strings.HasPrefix(text, "tls: ") {
		f.hint = "a broker without TLS, such as evhub, needs UseDevelopmentEmulator=true in the connection string"
	}
	return f
}

// essence is what a service says, without the wrapping of AMQP libraries before it and the trackers behind it.
func essence(text string) string {
	for _, mark := range []string{"Description: ", "description: "} {
		if _, after, ok := strings.Cut(text, mark); ok {
			text = after
		}
	}
	for _, mark := range []string{" TrackingId:", " Reference:", " To know more visit", ", Info: map"} {
		text, _, _ = strings.Cut(text, mark)
	}
	return strings.TrimSpace(text)
}
