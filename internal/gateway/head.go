package gateway

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// form is what a body is to be read as.
type form uint8

const (
	raw             form = iota // the message itself
	eventBinary                 // a CloudEvent's data; its attributes are ce-* headers
	eventStructured             // application/cloudevents+json
	eventBatch                  // application/cloudevents-batch+json
	envelope                    // application/json with items[]
)

func (f form) isBatch() bool { return f >= eventBatch }

func (f form) isTakenApart() bool { return f >= eventStructured }

// head is what a request's header says about its messages.
type head struct {
	form           form
	contentType    string
	key, partition string
	idempotencyKey string // "": none
	properties     map[string]any
	attributes     []eventAttribute // ce-* headers
}

// eventAttribute is one CloudEvents attribute as a header.
type eventAttribute struct{ name, value string }

const (
	propertyPrefix  = "Message-Property-"
	eventPrefix     = "Ce-"
	nameCharsMax    = 128 // of a property's name, a message's id and a partition key; for the last two it is the service's limit
	typeBytesMax    = 256
	idemKeyBytesMax = 255
)

// readHead reads and checks the header of a request that publishes. Other headers than these have no meaning here; Prefer is one of
// them: every answer waits until the messages are stored.
func (c *call) readHead(many bool) (h head, p *problem) {
	if c.r.URL.RawQuery != "" {
		return h, problemOf(badQuery, "leave out what follows the ?, which has no meaning here: a partition key goes into the header Partition-Key, "+
			"a property into Message-Property-*, and in a batch both are members of an item")
	}
	for name, values := range c.r.Header {
		if p := c.readHeader(&h, name, values); p != nil {
			return h, p
		}
	}
	if p := h.setForm(many); p != nil {
		return h, p
	}
	if h.key != "" && h.partition != "" {
		return h, problemOf(badHeader, "Partition-Key and Partition-Id exclude each other: a key leaves the choice of the partition to the service")
	}
	if many && (h.key != "" || h.partition != "" || h.properties != nil || h.attributes != nil) {
		return h, problemOf(badHeader, "Partition-Key, Partition-Id, Message-Property-* and ce-* are about one message: in a batch each item has its own")
	}
	if h.form == eventStructured {
		h.attributes = nil // the event in the body is complete (HTTP binding 3.2.4)
	}
	return h, nil
}

// readHeader reads one header. Names come in Go's canonical form, whatever the caller wrote.
func (c *call) readHeader(h *head, name string, values []string) (p *problem) {
	switch name {
	case "Content-Type":
		h.contentType, p = one(name, values)
		if p == nil && !isMediaType(h.contentType) {
			p = problemOf(badType, "the header Content-Type does not name a type like application/json")
		}
	case "Content-Encoding":
		if len(values) != 1 || !strings.EqualFold(values[0], "identity") {
			p = problemOf(badEncoding, "send the body as it is, without a Content-Encoding")
		}
	case "Partition-Key":
		if h.key, p = one(name, values); p == nil {
			p = checkKey(badHeader, "the header Partition-Key", h.key)
		}
	case "Partition-Id":
		if h.partition, p = one(name, values); p == nil {
			p = checkPartition(badHeader, "the header Partition-Id", h.partition)
		}
	case "Idempotency-Key":
		h.idempotencyKey, p = readIdempotencyKey(values)
	default:
		switch {
		case strings.HasPrefix(name, propertyPrefix):
			p = c.readProperty(h, name, values)
		case strings.HasPrefix(name, eventPrefix):
			p = c.readAttribute(h, name, values)
		}
	}
	return p
}

// one gives the value of a header that may be sent once.
func one(name string, values []string) (string, *problem) {
	if len(values) != 1 {
		return "", problemOf(badHeader, "the header "+name+" may be sent once")
	}
	return values[0], nil
}

// readProperty reads Message-Property-Color: red as color=red. Names are lower case, since HTTP does not keep their case.
func (c *call) readProperty(h *head, name string, values []string) *problem {
	value, p := one(name, values)
	if p != nil {
		return p
	}
	property := strings.ToLower(name[len(propertyPrefix):])
	switch {
	case property == "" || len(property) > nameCharsMax:
		return problemOf(badHeader, "the name after Message-Property- has 1 to "+strconv.Itoa(nameCharsMax)+" characters")
	case !isText(value):
		return problemOf(badHeader, "the header "+name+" is not UTF-8 without control characters: send other values in a batch, as JSON")
	case len(h.properties)+len(h.attributes) >= c.g.o.Limits.PropertiesMax:
		return c.tooManyProperties()
	}
	if h.properties == nil {
		h.properties = make(map[string]any)
	}
	h.properties[property] = value
	return nil
}

func (c *call) readAttribute(h *head, name string, values []string) *problem {
	value, p := one(name, values)
	if p != nil {
		return p
	}
	if len(h.properties)+len(h.attributes) >= c.g.o.Limits.PropertiesMax {
		return c.tooManyProperties()
	}
	h.attributes = append(h.attributes, eventAttribute{strings.ToLower(name[len(eventPrefix):]), value})
	return nil
}

func (c *call) tooManyProperties() *problem {
	return problemOf(badHeader, "a message may have "+strconv.Itoa(c.g.o.Limits.PropertiesMax)+" properties, the attributes of a CloudEvent included")
}

// setForm decides by content type and path how the body is read.
func (h *head) setForm(many bool) *problem {
	media, _, _ := strings.Cut(h.contentType, ";")
	media = strings.TrimRight(media, " \t")
	switch {
	case many && strings.EqualFold(media, "application/cloudevents-batch+json"):
		h.form = eventBatch
	case many && strings.EqualFold(media, jsonType):
		h.form = envelope
	case many:
		return problemOf(badType, `a batch is application/cloudevents-batch+json, or application/json with {"items":[...]}`)
	case strings.EqualFold(media, "application/cloudevents+json"):
		h.form = eventStructured
	case hasPrefixFold(media, "application/cloudevents-batch"):
		return problemOf(badType, "a batch goes to the path that ends in messages:batch")
	case hasPrefixFold(media, "application/cloudevents"):
		return problemOf(badType, "of the formats of CloudEvents only JSON is read here: send application/cloudevents+json, or ce-* headers")
	case h.attributes != nil:
		h.form = eventBinary
	}
	return nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isMediaType looks at "type/subtype"; parameters are the reader's affair, as long as they are printable ASCII.
func isMediaType(s string) bool {
	if len(s) > typeBytesMax {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	media, _, _ := strings.Cut(s, ";")
	kind, sub, ok := strings.Cut(strings.TrimRight(media, " \t"), "/")
	return ok && isToken(kind) && isToken(sub)
}

// isToken is RFC 9110's.
func isToken(s string) bool {
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, b) >= 0 {
			return false
		}
	}
	return s != ""
}

// isJSONType tells whether bodies of this type must be JSON.
func isJSONType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimRight(media, " \t")
	return strings.EqualFold(media, jsonType) || strings.EqualFold(media, "text/json") ||
		len(media) > 5 && strings.EqualFold(media[len(media)-5:], "+json")
}

// isText tells whether s is UTF-8 without control characters.
func isText(s string) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return true
	}
	for _, r := range s {
		if r >= 0x80 && r < 0xa0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// isName tells whether s may be a property's name, a message's id or a partition key.
func isName(s string) bool { return s != "" && isText(s) && utf8.RuneCountInString(s) <= nameCharsMax }

// aName is what isName wants, for texts.
const aName = " has 1 to 128 characters in UTF-8, none of them a control character"

func checkKey(k *kind, what, key string) *problem {
	if !isName(key) {
		return problemOf(k, what+aName)
	}
	return nil
}

func checkPartition(k *kind, what, partition string) *problem {
	n, err := strconv.ParseUint(partition, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != partition {
		return problemOf(k, what+" is a partition's decimal number, such as 0 or 12")
	}
	return nil
}

// readIdempotencyKey reads draft-ietf-httpapi-idempotency-key-header-07: a string in quotes (RFC 8941), or the bare characters, as many
// clients send it.
func readIdempotencyKey(values []string) (string, *problem) {
	value, p := one("Idempotency-Key", values)
	if p != nil {
		return "", p
	}
	key, ok := value, true
	if strings.HasPrefix(value, `"`) {
		key, ok = unquote(value)
	} else {
		ok = strings.IndexByte(value, '"') < 0
	}
	for i := range len(key) {
		ok = ok && ' ' <= key[i] && key[i] < 0x7f
	}
	if !ok || key == "" || len(key) > idemKeyBytesMax {
		return "", problemOf(badHeader, "the header Idempotency-Key has 1 to "+strconv.Itoa(idemKeyBytesMax)+
			` printable ASCII characters, in quotes or without: "8e03978e-40d5-43dd-bc93-6894a57f9324"`)
	}
	return key, nil
}

// unquote reads a quoted string with backslashes before quotes and backslashes.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 && strings.IndexByte(s, '"') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) || s[i] != '\\' && s[i] != '"' {
				return "", false
			}
		} else if s[i] == '"' {
			return "", false
		}
		b = append(b, s[i])
	}
	return string(b), true
}
