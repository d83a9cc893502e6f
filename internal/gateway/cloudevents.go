package gateway

import (
	"encoding/base64"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// CloudEvents 1.0.2 come in as the HTTP binding's binary and structured mode or as a JSON batch, and go out in binary mode, as the AMQP
// binding lays it down: the data as the body, datacontenttype as the content type, each other attribute as a property "cloudEvents:<name>".
// Strings stay strings, times too, so that no digit is lost; integers are int32 and booleans bool. The extension partitionkey is also the
// message's key. Extensions are kept, whatever they are.

const attributePrefix = "cloudEvents:"

// Properties of the attributes that most events have, so that they need not be put together.
const (
	propSpecVersion = attributePrefix + "specversion"
	propID          = attributePrefix + "id"
	propSource      = attributePrefix + "source"
	propType        = attributePrefix + "type"
	propTime        = attributePrefix + "time"
	propSubject     = attributePrefix + "subject"
	propDataSchema  = attributePrefix + "dataschema"
)

const attributeNameBytesMax = 64 // the specification asks for no more than 20

// property names the property of an attribute.
func property(attribute string) string {
	switch attribute {
	case "specversion":
		return propSpecVersion
	case "id":
		return propID
	case "source":
		return propSource
	case "type":
		return propType
	case "time":
		return propTime
	case "subject":
		return propSubject
	case "dataschema":
		return propDataSchema
	}
	return attributePrefix + attribute
}

// eventReader puts one event together.
type eventReader struct {
	kind          *kind // of its problems: badHeader or invalidMessage
	m             *notify.Message
	propertiesMax int
}

func (e *eventReader) fail(text string) *problem { return problemOf(e.kind, text) }

// fromHeader reads binary mode.
func (e *eventReader) fromHeader(h *head) *problem {
	for _, a := range h.attributes {
		if a.name == "datacontenttype" {
			return e.fail("ce-datacontenttype is not sent in binary mode: Content-Type says what the data is")
		}
		value, ok := decodeAttribute(a.value)
		if !ok {
			return e.fail("the value of ce-" + a.name +
				` is not percent-encoded UTF-8: write "%" as %25, a quote as %22, and what is not ASCII as its bytes`)
		}
		if p := e.set(a.name, value); p != nil {
			return p
		}
	}
	return e.finish()
}

// decodeAttribute undoes the encoding of section 3.1.3.2 of the HTTP binding: quotes first, then percent, once.
func decodeAttribute(value string) (string, bool) {
	if strings.HasPrefix(value, `"`) {
		inner, ok := unquote(value)
		if !ok {
			return "", false
		}
		value = inner
	}
	if strings.IndexByte(value, '%') < 0 {
		return value, true
	}
	decoded, err := url.PathUnescape(value)
	return decoded, err == nil
}

// fromJSON reads structured mode, and an element of a batch. The text has passed checkJSON.
func (e *eventReader) fromJSON(text []byte) *problem {
	var data, data64 []byte
	seen := make(map[string]bool, 10)
	isObject, p := eachMember(text, "", func(name string, value []byte) *problem {
		if seen[name] {
			return e.fail("an attribute or member is there twice")
		}
		if len(seen) >= e.propertiesMax {
			return e.fail("a CloudEvent may have " + strconv.Itoa(e.propertiesMax) + " attributes here")
		}
		seen[name] = true
		switch name {
		case "data":
			data = value
			return nil
		case "data_base64":
			data64 = value
			return nil
		}
		return e.setJSON(name, value)
	})
	switch {
	case p != nil:
		return p
	case !isObject:
		return e.fail("a CloudEvent is a JSON object")
	case data != nil && data64 != nil:
		return e.fail("data and data_base64 exclude each other")
	}
	if p := e.finish(); p != nil {
		return p
	}
	return e.setData(data, data64)
}

// setJSON sets an attribute from its JSON value, by the mapping of section 2.2 of the JSON format. null is as good as absent.
func (e *eventReader) setJSON(name string, value []byte) *problem {
	switch value[0] {
	case '"':
		s, ok := stringOf(value)
		if !ok {
			return halfOfPair("/" + escapedPointer.Replace(name))
		}
		return e.set(name, s)
	case 't', 'f':
		return e.set(name, value[0] == 't')
	case 'n':
		return nil
	case '{', '[':
		return e.fail("an attribute is a string, a boolean or an integer: an object or array belongs into data")
	}
	n, err := strconv.ParseFloat(string(value), 64) // some senders write 3 as 3.0
	if err != nil || n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxInt32 {
		return e.fail("an attribute that is a number is an integer of 32 bits: send other numbers as strings")
	}
	return e.set(name, int32(n))
}

// set takes one attribute. Those that the specification names are strings with rules of their own.
func (e *eventReader) set(name string, value any) *problem {
	if !isAttributeName(name) {
		return e.fail("the name of an attribute has lower-case ASCII letters and digits only, at most " + strconv.Itoa(attributeNameBytesMax))
	}
	text, isString := value.(string)
	if isString && !isText(text) {
		return e.fail("the attribute " + name + " is not UTF-8 without control characters")
	}
	rule, known := attributeRules[name]
	if known && (!isString || !rule.check(text)) {
		return e.fail("the attribute " + name + " is " + rule.text)
	}
	switch name {
	case "datacontenttype":
		e.m.ContentType = text
		return nil
	case "partitionkey":
		if e.m.Key != "" && e.m.Key != text {
			return e.fail("the attribute partitionkey and the header Partition-Key differ")
		}
		if e.m.Partition != "" {
			return e.fail("the attribute partitionkey and the header Partition-Id exclude each other")
		}
		e.m.Key = text
	}
	if e.m.Properties == nil {
		e.m.Properties = make(map[string]any, 12)
	}
	e.m.Properties[property(name)] = value
	return nil
}

func isAttributeName(s string) bool {
	if s == "" || len(s) > attributeNameBytesMax || s == "data" {
		return false
	}
	for i := range len(s) {
		if b := s[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') {
			return false
		}
	}
	return true
}

// attributeRules are sections 3.1.1 and 3.1.2 of the specification, and the extension partitionkey.
var attributeRules = map[string]struct {
	check func(string) bool
	text  string
}{
	"specversion":     {func(s string) bool { return s == "1.0" }, `"1.0": no other version is read here`},
	"id":              {isSet, "a string that is not empty"},
	"type":            {isSet, "a string that is not empty"},
	"source":          {isReference, "a URI or a relative reference that is not empty"},
	"subject":         {isSet, "a string that is not empty"},
	"dataschema":      {isURI, "an absolute URI"},
	"time":            {isTime, "a time like 2006-01-02T15:04:05.999Z (RFC 3339)"},
	"datacontenttype": {isMediaType, "a type like application/json"},
	"partitionkey":    {isName, "a string of 1 to 128 characters"},
}

func isSet(s string) bool { return s != "" }

// isReference looks at no more than the escapes of a URI: senders write IRIs too, and readers know what they can use.
func isReference(s string) bool { return s != "" && hasWholeEscapes(s) }

func isURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	return ok && isScheme(scheme) && hasWholeEscapes(rest)
}

// isScheme is section 3.1 of RFC 3986.
func isScheme(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || !isDigit(s[i]) && s[i] != '+' && s[i] != '-' && s[i] != '.') {
			return false
		}
	}
	return s != ""
}

func hasWholeEscapes(s string) bool {
	for i := strings.IndexByte(s, '%'); i >= 0 && i < len(s); i++ {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool  { return '0' <= b && b <= '9' }
func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }
func isHex(b byte) bool    { return isDigit(b) || 'a' <= b|0x20 && b|0x20 <= 'f' }

// isTime is section 5.6 of RFC 3339, with small letters and leap seconds, which time.Parse does not take.
func isTime(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10]|0x20 != 't' || s[16] != ':' {
		return false
	}
	if _, err := time.Parse(time.DateOnly, s[:10]); err != nil {
		return false
	}
	return isClock(s[11:16]) && isUpTo(s[17:19], 60) && isOffset(afterFraction(s[19:]))
}

// afterFraction cuts digits behind a dot off.
func afterFraction(s string) string {
	if s[0] != '.' {
		return s
	}
	rest := strings.TrimLeft(s[1:], "0123456789")
	if len(rest) == len(s)-1 {
		return s // a dot without digits, which is no offset
	}
	return rest
}

func isOffset(s string) bool {
	return s == "Z" || s == "z" || len(s) == len("+15:04") && (s[0] == '+' || s[0] == '-') && isClock(s[1:])
}

// isClock reads 15:04.
func isClock(s string) bool { return isUpTo(s[:2], 23) && s[2] == ':' && isUpTo(s[3:], 59) }

// isUpTo reads two digits.
func isUpTo(s string, most int) bool {
	return isDigit(s[0]) && isDigit(s[1]) && int(s[0]-'0')*10+int(s[1]-'0') <= most
}

// finish looks for what every event has.
func (e *eventReader) finish() *problem {
	for _, name := range [...]string{"specversion", "id", "source", "type"} {
		if _, ok := e.m.Properties[property(name)]; !ok {
			return e.fail("a CloudEvent has the attributes specversion, id, source and type: " + name + " is missing")
		}
	}
	return nil
}

// setData takes the data of a JSON event (section 3.1.1 of the JSON format): with a JSON type, or none, as the JSON text that it is; with
// another type as the text of a string.
func (e *eventReader) setData(data, data64 []byte) *problem {
	switch {
	case data64 != nil:
		body, ok := decodeBase64(data64)
		if !ok {
			return e.fail("data_base64 is a string of base64, with padding")
		}
		e.m.Body = body
		return checkBody(e.kind, "the data", e.m)
	case data == nil:
		return nil
	case e.m.ContentType == "":
		e.m.ContentType = jsonType
	}
	if isJSONType(e.m.ContentType) {
		e.m.Body = data
		return nil
	}
	if data[0] != '"' {
		return e.fail("with a datacontenttype that is not JSON, data is a string; send bytes as data_base64")
	}
	text, ok := stringOf(data)
	if !ok {
		return halfOfPair("/data")
	}
	e.m.Body = []byte(text)
	return nil
}

// decodeBase64 reads a JSON string of standard base64 without spare bits or line breaks.
func decodeBase64(quoted []byte) ([]byte, bool) {
	if quoted[0] != '"' {
		return nil, false
	}
	text, ok := stringOf(quoted)
	if !ok || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	body, err := base64.StdEncoding.Strict().DecodeString(text)
	return body, err == nil
}

// checkBody holds a message to its content type, if that is JSON.
func checkBody(k *kind, what string, m *notify.Message) *problem {
	if !isJSONType(m.ContentType) {
		return nil
	}
	return checkJSON(k, what, m.Body)
}
