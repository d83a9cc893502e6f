package eventhubs

import (
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	s := New(Options{Hall: r.hall, Auth: r.svc.o.Auth})
	if s.o.Clock != clock.System || s.o.Log == nil || s.o.EventBytesMax != 1<<20 {
		t.Errorf("defaults: %+v", s.o)
	}
	for _, o := range []Options{{Hall: r.hall}, {Auth: r.svc.o.Auth}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is taken", o)
				}
			}()
			New(o)
		}()
	}
}

// TestClientInLog: the operator sees which client came.
func TestClientInLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for _, properties := range []amqp.Map{
		{{Key: amqp.Symbol("product"), Value: "MSJSClient"}},
		{{Key: amqp.Symbol("product"), Value: "x"}, {Key: amqp.Symbol("user-agent"), Value: "azsdk-go-azeventhubs/v2"}},
		{{Key: amqp.Symbol("product"), Value: int64(5)}},
	} {
		c := r.connect()
		c.sasl(amqp.SASLInit{Mechanism: "EXTERNAL"})
		c.write(amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP))
		c.send(0, &amqp.Open{ContainerID: "client-1", Properties: properties})
		c.want(amqp.CodeOpen, &amqp.Open{})
	}
	for _, part := range []string{"agent=MSJSClient", "agent=azsdk-go-azeventhubs/v2", `agent=""`} {
		if !r.logged(part) {
			t.Errorf("the log does not say %s", part)
		}
	}
}
