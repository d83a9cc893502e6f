package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
	"github.com/evhub-dev/evhub/notify/kafka"
)

const recordOverheadBytes = 512 // a record in the client's hands, beside its bytes

// cluster is a Kafka target. All its topics share one client.
type cluster struct {
	k *gatewayfile.Kafka
	n *kafka.Notifier

	client   *kgo.Client
	bytesMax int64 // of records in its hands

	mu     sync.Mutex // guards what follows
	topics []string
	closed bool
}

func openKafka(k *gatewayfile.Kafka, o Options) (*cluster, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.ClientID("evhub"),
		kgo.SoftwareNameAndVersion("evhub", o.Version),
		kgo.RecordPartitioner(kafka.Partitioner()),
		kgo.MaxBufferedBytes(int(o.Batching.Memory)),
		kgo.MaxBufferedRecords(max(int(o.Batching.Memory)/recordOverheadBytes, 1)),
		kgo.RecordDeliveryTimeout(o.Batching.SendTime),
		kgo.UnknownTopicRetries(1),
		kgo.ProducerLinger(o.Batching.Linger),
		kgo.WithLogger(kafkaLog{o.Log}),
	}
	if k.TLS != nil {
		roots, err := gatewayfile.RootCAs(k.TLS.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.caFile: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	}
	if k.SASL != nil {
		if _, err := k.SASL.Password.Value(); err != nil {
			return nil, fmt.Errorf("sasl.password: %w", err)
		}
		opts = append(opts, kgo.SASL(mechanism(k.SASL)))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &cluster{k: k, client: client, n: kafka.New(client), bytesMax: int64(o.Batching.Memory)}, nil
}

// mechanism reads the password for each connection, so that it may be replaced.
func mechanism(s *gatewayfile.SASL) sasl.Mechanism {
	ofScram := func(context.Context) (scram.Auth, error) {
		password, err := s.Password.Value()
		return scram.Auth{User: s.Username, Pass: password}, err
	}
	switch s.Mechanism {
	case "SCRAM-SHA-256":
		return scram.Sha256(ofScram)
	case "SCRAM-SHA-512":
		return scram.Sha512(ofScram)
	}
	return plain.Plain(func(context.Context) (plain.Auth, error) {
		password, err := s.Password.Value()
		return plain.Auth{User: s.Username, Pass: password}, err
	})
}

func (c *cluster) system() string { return "kafka" }

func (c *cluster) notifier(topic string) (notify.Notifier, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if !slices.Contains(c.topics, topic) {
		c.topics = append(c.topics, topic)
	}
	return c.n, nil
}

func (c *cluster) ready(ctx context.Context) error {
	c.mu.Lock()
	topics := slices.Sorted(slices.Values(c.topics))
	c.mu.Unlock()
	errs := make([]error, len(topics))
	var all sync.WaitGroup
	for i, topic := range topics {
		all.Go(func() {
			if err := c.n.Ready(ctx, topic); err != nil {
				errs[i] = fmt.Errorf("topic %s: %w", topic, c.advised(err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c *cluster) advised(err error) error {
	var advice string
	switch notify.ReasonOf(err) {
	case notify.Denied:
		advice = "username and password of sasl, and that the account may write to the topic"
	case notify.NotFound:
		advice = "that there is a topic of this name, since none is made by itself"
	case notify.Unavailable:
		advice = c.wayAdvice(err.Error())
	default:
		return err
	}
	return fmt.Errorf("%w; check %s", err, advice)
}

func (c *cluster) wayAdvice(text string) string {
	switch {
	case strings.Contains(text, "x509:"):
		return fmt.Sprintf("who signed the certificates of %v: an authority of your own is named by tls.caFile", c.k.Brokers)
	case c.k.SASL != nil: // some brokers end the connection instead of saying no
		return fmt.Sprintf("that %v can be reached, whether they want tls, and username and password of sasl", c.k.Brokers)
	}
	return fmt.Sprintf("that %v can be reached, and whether they want tls and sasl", c.k.Brokers)
}

func (c *cluster) close(ctx context.Context) error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	err := c.n.Close(ctx)
	c.client.Close()
	return err
}

func (c *cluster) stats() map[string]eventhubs.Stats { return nil }

func (c *cluster) waiting() map[string]Waiting {
	return map[string]Waiting{"": {int(c.client.BufferedProduceRecords()), c.client.BufferedProduceBytes(), c.bytesMax}}
}

// kafkaLog passes on what an operator can act on.
type kafkaLog struct{ to *slog.Logger }

func (l kafkaLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l kafkaLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	if level == kgo.LogLevelError {
		l.to.Error("kafka: "+msg, keyvals...)
		return
	}
	l.to.Warn("kafka: "+msg, keyvals...)
}
