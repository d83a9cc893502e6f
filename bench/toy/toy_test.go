package toy

import (
	"bytes"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// The relay's own parser and writer agree with the real ones.
func TestTransfers(t *testing.T) {
	t.Parallel()
	payload := []byte("payload")
	tests := map[string]amqp.Transfer{
		"usual": {Handle: 3, DeliveryID: amqp.Some[uint32](70000), DeliveryTag: []byte("t"), MessageFormat: amqp.Some(amqp.FormatBatch),
			Settled: amqp.Some(true)},
		"all null": {Handle: 0},
		"more":     {Handle: 200, DeliveryID: amqp.Some[uint32](1), Settled: amqp.Some(false), More: true, Batchable: amqp.Some(true)},
	}
	for name, in := range tests {
		got, err := parseTransfer(append(in.Append(nil), payload...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.handle != in.Handle || got.id != in.DeliveryID.V || got.hasID != in.DeliveryID.Set || got.format != in.MessageFormat.V ||
			got.settled != in.Settled.V || got.more != in.More || !bytes.Equal(got.payload, payload) {
			t.Errorf("%s: %+v", name, got)
		}
		frame := appendTransfer(nil, 5, 7, 9, &got)
		h, err := amqp.ParseFrameHeader(frame)
		if err != nil || int(h.Size) != len(frame) || h.Channel != 5 {
			t.Errorf("%s: %+v, %v, want %d bytes on channel 5", name, h, err, len(frame))
		}
		var out amqp.Transfer
		rest, err := out.Decode(frame[amqp.FrameHeaderBytes:])
		if err != nil || !bytes.Equal(rest, payload) {
			t.Errorf("%s: payload %q, %v", name, rest, err)
		}
		if out.Handle != 7 || out.DeliveryID != amqp.Some[uint32](9) || !out.Settled.V || out.More != in.More || out.MessageFormat.V != in.MessageFormat.V {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

func TestBadTransfers(t *testing.T) {
	t.Parallel()
	good := (&amqp.Transfer{Handle: 3, DeliveryID: amqp.Some[uint32](1), DeliveryTag: []byte("t")}).Append(nil)
	for n := 3; n < len(good); n++ {
		if _, err := parseTransfer(good[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were taken for a transfer", n, len(good))
		}
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	var s Server
	want := s.node("bench/Partitions/0")
	for _, address := range []string{"bench/ConsumerGroups/$Default/Partitions/0", "BENCH/consumergroups/g1/partitions/0"} {
		if s.node(address) != want {
			t.Errorf("%s is another partition", address)
		}
	}
	if s.node("bench/Partitions/1") == want {
		t.Error("two partitions are one")
	}
}
