package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// health says why a client would not be served. It looks at what a client needs, not at what we believe of ourselves: each AMQP listener
// has to answer a connection, and no partition may have failed.
func (b *Broker) health(ctx context.Context) error {
	if b.draining.Load() {
		return errDraining
	}
	for _, ln := range b.listeners[AMQP] {
		if err := greet(ctx, dialable(ln.Addr())); err != nil {
			b.log.Debug("AMQP does not answer", "address", ln.Addr(), "err", err)
			return errors.New("AMQP does not answer on one of its listeners")
		}
	}
	return b.partitionsHealth()
}

func (b *Broker) partitionsHealth() error {
	failed := 0
	for _, ns := range b.engine.Hall.Namespaces() {
		for _, h := range ns.Hubs() {
			for i := range h.PartitionCount() {
				if h.PartitionAt(i).State().Failed != nil {
					failed++
				}
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d partition(s) take no events, because their logs have failed", failed)
	}
	return nil
}

// greet exchanges protocol headers with an AMQP listener [2.2], which shows that it accepts and that its connections are read.
func greet(ctx context.Context, address string) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	until, _ := ctx.Deadline()
	nc.SetDeadline(until)
	hello := amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP)
	if _, err := nc.Write(hello); err != nil {
		return err
	}
	answer := make([]byte, len(hello))
	if _, err := io.ReadFull(nc, answer); err != nil {
		return err
	}
	if string(answer) != string(hello) {
		return fmt.Errorf("the answer is % x", answer)
	}
	return nil
}
