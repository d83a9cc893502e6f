package eventhubs

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/notify"
)

const partitionMax = 32767 // far more than any hub has

// check finds what would make m fail to encode, so that a bad message never gets into a batch with others, and measures its properties.
func check(m *notify.Message) (propertiesBytes int, err *notify.Error) {
	invalid := func(format string, args ...any) (int, *notify.Error) {
		return 0, &notify.Error{Reason: notify.Invalid, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case m.Key != "" && m.Partition != "":
		return invalid("a message has a key or a partition, not both")
	case m.Partition != "" && !isPartition(m.Partition):
		return invalid("the partition is not a number such as 0 or 12")
	case !utf8.ValidString(m.Key):
		return invalid("the key is not valid UTF-8")
	case !utf8.ValidString(m.ID):
		return invalid("the message's id is not valid UTF-8")
	case !isASCII(m.ContentType):
		return invalid("the content type has characters beyond ASCII")
	}
	size := 0
	for name, value := range m.Properties {
		if !utf8.ValidString(name) {
			return invalid("the name of a property, %q, is not valid UTF-8", name)
		}
		valueBytes, ok := propertyBytes(value)
		if !ok {
			return invalid("the property %q is a %T: it must be a string (valid UTF-8), bool, integer, float, []byte or time.Time", name, value)
		}
		size += len(name) + valueBytes
	}
	return size, nil
}

func isPartition(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= partitionMax && strconv.Itoa(n) == s
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// propertyBytes is about what a value takes on the wire, and whether the SDK can encode it.
func propertyBytes(value any) (size int, ok bool) {
	switch v := value.(type) {
	case string:
		return len(v) + 5, utf8.ValidString(v)
	case []byte:
		return len(v) + 5, true
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, time.Time:
		return 9, true
	}
	return 0, false
}

// memoryBytes is what a message is accounted for while it waits.
func memoryBytes(m *notify.Message, propertiesBytes int) int64 {
	return messageOverheadBytes + int64(len(m.Body)+len(m.ID)+len(m.ContentType)+len(m.Key)+propertiesBytes)
}
