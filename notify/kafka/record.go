package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/evhub-dev/evhub/notify"
)

const (
	headerType = "content-type"
	headerID   = "message-id"

	cloudEventsProperty = "cloudEvents:" // how the AMQP binding spells an attribute [3.1.3.1]
	cloudEventsHeader   = "ce_"
)

const topicBytesMax = 249

// legal says whether a topic may have this name. What cannot be there is not asked for: the client remembers each topic it was asked for.
func legal(topic string) bool {
	if topic == "" || topic == "." || topic == ".." || len(topic) > topicBytesMax {
		return false
	}
	for i := range len(topic) {
		switch c := topic[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// record makes a record but for topic and value.
func (n *Notifier) record(ctx context.Context, m *notify.Message) (*kgo.Record, *notify.Error) {
	r := &kgo.Record{Context: ctx}
	switch {
	case m.Key != "" && m.Partition != "":
		return nil, errorf(notify.Invalid, "The message has both a key and a partition. Set one of them.")
	case m.Key != "":
		r.Key = []byte(m.Key)
	case m.Partition != "":
		c, err := n.choose(ctx, m.Partition)
		if err != nil {
			return nil, err
		}
		r.Context = c
	}
	var err *notify.Error
	r.Headers, err = headers(m)
	return r, err
}

func headers(m *notify.Message) ([]kgo.RecordHeader, *notify.Error) {
	if m.ContentType == "" && m.ID == "" && len(m.Properties) == 0 {
		return nil, nil
	}
	list := make([]kgo.RecordHeader, 0, 2+len(m.Properties))
	if m.ContentType != "" {
		list = append(list, kgo.RecordHeader{Key: headerType, Value: []byte(m.ContentType)})
	}
	if m.ID != "" {
		list = append(list, kgo.RecordHeader{Key: headerID, Value: []byte(m.ID)})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Properties)) {
		if name == headerType && m.ContentType != "" || name == headerID && m.ID != "" {
			return nil, errorf(notify.Invalid, "The property %q has the name of the header that says the message's own. Set one of them.", name)
		}
		if strings.HasPrefix(name, cloudEventsHeader) {
			return nil, errorf(notify.Invalid, "The property %.100q has the name of a CloudEvents attribute's header. Begin it with %q, or rename it.",
				name, cloudEventsProperty)
		}
		value, err := headerValue(m.Properties[name])
		if err != nil {
			return nil, errorf(notify.Invalid, "The property %.100q cannot be sent: %v.", name, err)
		}
		if attribute, ok := strings.CutPrefix(name, cloudEventsProperty); ok {
			name = cloudEventsHeader + attribute
		}
		list = append(list, kgo.RecordHeader{Key: name, Value: value})
	}
	return list, nil
}

// headerValue is a property's value as a header carries it.
func headerValue(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return slices.Clone(v), nil
	case bool:
		return strconv.AppendBool(nil, v), nil
	case float32:
		return strconv.AppendFloat(nil, float64(v), 'g', -1, 32), nil
	case float64:
		return strconv.AppendFloat(nil, v, 'g', -1, 64), nil
	case time.Time:
		return v.UTC().AppendFormat(nil, time.RFC3339Nano), nil
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr:
		return fmt.Append(nil, v), nil
	}
	return nil, fmt.Errorf("a value of Go type %T has no form as a header", v)
}

// arena holds copies of bodies.
type arena []byte

func newArena(messages []notify.Message) arena {
	size := 0
	for i := range messages {
		size += len(messages[i].Body)
	}
	return make(arena, 0, size)
}

// copy never gives nil, which would be a tombstone.
func (a *arena) copy(body []byte) []byte {
	start := len(*a)
	*a = append(*a, body...)
	return (*a)[start:len(*a):len(*a)]
}

// choice marks a record whose message chose its partition. It is the record's context, so that records that are none of ours are left alone.
type choice struct {
	context.Context
	partition int
	missing   bool // the topic has no such partition; set by the partitioner, read by the promise behind it
}

type choiceKey struct{}

func (c *choice) Value(key any) any {
	if key == (choiceKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// choiceOf gives a record's choice, or nil.
func choiceOf(r *kgo.Record) *choice {
	if r == nil || r.Context == nil {
		return nil
	}
	c, _ := r.Context.Value(choiceKey{}).(*choice)
	return c
}

func (n *Notifier) choose(ctx context.Context, partition string) (*choice, *notify.Error) {
	if !n.chooses {
		return nil, errorf(notify.Invalid,
			"The message chooses a partition, which this Kafka client does not allow. Make it with kgo.RecordPartitioner(kafka.Partitioner()).")
	}
	p, err := strconv.ParseUint(partition, 10, 31)
	if err != nil || strconv.FormatUint(p, 10) != partition {
		return nil, errorf(notify.Invalid, "The partition %.32q is not a number such as 0 or 12.", partition)
	}
	return &choice{Context: ctx, partition: int(p)}, nil
}

func partitionText(p int32) string { return strconv.Itoa(int(p)) }
