package outbound

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/evhub-dev/evhub/notify"
)

func newCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "audit"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func storedInKafka(c *kfake.Cluster, topic string) (n int64) {
	for _, p := range c.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

func TestKafka(t *testing.T) {
	t.Parallel()
	cluster, c := newCluster(t), newConfig(t)
	target := c.open(fmt.Sprintf("{kafka: {brokers: %s}}", list(cluster)), nil)
	mustNotify(t, target, "orders")
	mustNotify(t, target, "audit")
	if w := target.Waiting(); w[""] != (Waiting{BytesMax: 64 << 20}) || len(w) != 1 {
		t.Errorf("waiting %+v", w)
	}
	if storedInKafka(cluster, "orders") != 1 || storedInKafka(cluster, "audit") != 1 || target.System() != "kafka" || target.Stats() != nil {
		t.Errorf("stored %d and %d", storedInKafka(cluster, "orders"), storedInKafka(cluster, "audit"))
	}
	mustNotifier(t, target, "none")
	wantNotReady(t, target, notify.NotFound, "target t: topic none: The topic does not exist", "check that there is a topic of this name, since none is made by itself")
	ctx, cancel := soon()
	defer cancel()
	if err := target.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := target.Notifier("orders"); notify.ReasonOf(err) != notify.Closed {
		t.Errorf("got %v", err)
	}
}

func list(c *kfake.Cluster) string { return `["` + strings.Join(c.ListenAddrs(), `", "`) + `"]` }

// TestKafkaWithPassword goes over TLS with a private authority, and replaces the password in its file.
func TestKafkaWithPassword(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			cluster := newCluster(t, kfake.TLS(ca.serverConfig()), kfake.EnableSASL(), kfake.Superuser(mechanism, "me", "right-password"))
			c := newConfig(t)
			c.write("ca.pem", ca.pem())
			c.write("password", "wrong-password")
			refuse(cluster)
			target := c.open(fmt.Sprintf(`{kafka: {brokers: %s, tls: {caFile: ca.pem}, sasl: {mechanism: %s, username: me, password: "${file:password}"}}}`,
				list(cluster), mechanism), nil)
			mustNotifier(t, target, "orders")
			wantNotReady(t, target, notify.Denied, "target t: topic orders: ", "check username and password of sasl, and that the account may write to the topic")
			c.write("password", "right-password\n")
			mustNotify(t, target, "orders")
			if storedInKafka(cluster, "orders") != 1 {
				t.Errorf("stored %d", storedInKafka(cluster, "orders"))
			}
			if strings.Contains(c.log.String(), "-password") {
				t.Errorf("the log holds a password:\n%s", c.log.String())
			}
		})
	}
}

// refuse answers the next credentials as Apache Kafka answers wrong ones. The cluster itself would only end the connection.
func refuse(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return response, nil, true
	})
}

func TestKafkaNotReady(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	secure := newCluster(t, kfake.TLS(ca.serverConfig()))
	closed := localListener(t)
	closed.Close()
	for name, row := range map[string]struct{ target, advice string }{
		"nobody": {fmt.Sprintf("brokers: [%q]", closed.Addr()),
			fmt.Sprintf("check that [%s] can be reached, and whether they want tls and sasl", closed.Addr())},
		"nobody to give a password to": {fmt.Sprintf(`brokers: [%q], sasl: {mechanism: PLAIN, username: u, password: "${file:password}"}`, closed.Addr()),
			fmt.Sprintf("check that [%s] can be reached, whether they want tls, and username and password of sasl", closed.Addr())},
		"an unknown authority": {fmt.Sprintf("brokers: %s, tls: {}", list(secure)),
			fmt.Sprintf("check who signed the certificates of %s: an authority of your own is named by tls.caFile", secure.ListenAddrs())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.write("password", "some-password")
			target := c.open("{kafka: {"+row.target+"}}", nil)
			mustNotifier(t, target, "orders")
			wantNotReady(t, target, notify.Unavailable, "target t: topic orders: ", row.advice)
		})
	}
}
