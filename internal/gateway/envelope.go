package gateway

import (
	"strconv"
	"strings"

	"github.com/evhub-dev/evhub/notify"
)

// The envelope is {"items":[item, ...]}. An item has exactly one of
//
//	"body"    any JSON, stored byte for byte; contentType is then a JSON type, "application/json" unless said
//	"text"    a string, stored as UTF-8; contentType "text/plain; charset=utf-8" unless said
//	"base64"  a string, stored as the bytes it stands for; contentType "application/octet-stream" unless said
//
// and may have "id", "contentType", "key" or "partition" (a string), and "properties" (an object of strings, numbers and booleans). What is
// not named here is refused, and so is a name that is there twice: a misspelt or doubled member would be a message that says something
// else than its sender meant. A mistake in one item is that item's; only one in the envelope itself fails all.

const (
	textType   = "text/plain; charset=utf-8"
	binaryType = "application/octet-stream"
)

// itemMember is a member of an item. An item has each at most once, as a bit in a set of those seen.
type itemMember uint8

const (
	memberBody itemMember = 1 << iota
	memberText
	memberBase64
	memberID
	memberType
	memberKey
	memberPartition
	memberProperties
)

var itemMembers = map[string]itemMember{
	"body": memberBody, "text": memberText, "base64": memberBase64, "id": memberID, "contentType": memberType,
	"key": memberKey, "partition": memberPartition, "properties": memberProperties,
}

// envelopeItems finds the items of an envelope that has passed checkJSON.
func envelopeItems(text []byte) (items []byte, p *problem) {
	const shape = `the body is {"items":[...]}, with one member and no other; an array of CloudEvents has the Content-Type application/cloudevents-batch+json`
	isObject, p := eachMember(text, "", func(name string, value []byte) *problem {
		if name != "items" || items != nil {
			return problemOf(invalidMessage, shape)
		}
		items = value
		return nil
	})
	if p == nil && (!isObject || items == nil) {
		p = problemOf(invalidMessage, shape)
	}
	return items, p
}

// itemReader reads one item.
type itemReader struct {
	m             *notify.Message
	seen          itemMember
	content       []byte // the value of body, text or base64
	propertiesMax int
}

func (it *itemReader) fail(text string) *problem { return problemOf(invalidMessage, text) }

func (it *itemReader) read(text []byte) *problem {
	isObject, p := eachMember(text, "", it.member)
	if p != nil {
		return p
	}
	if !isObject {
		return it.fail(`an item is an object like {"body":{"n":1}}`)
	}
	if it.m.Key != "" && it.m.Partition != "" {
		return it.fail("key and partition exclude each other: a key leaves the choice of the partition to the service")
	}
	return it.setBody()
}

func (it *itemReader) member(name string, value []byte) *problem {
	member, known := itemMembers[name]
	switch {
	case !known:
		return &problem{kind: invalidMessage, pointer: "/" + escapedPointer.Replace(name), detail: "an item has body, text or base64, and may " +
			"have id, contentType, key, partition and properties; what is at pointer is something else"}
	case it.seen&member != 0:
		return it.fail(name + " is there twice")
	}
	it.seen |= member
	switch member {
	case memberBody, memberText, memberBase64:
		it.content = value
		return nil
	case memberProperties:
		return it.properties(value)
	}
	if value[0] != '"' {
		return it.fail(name + " is a string")
	}
	s, ok := stringOf(value)
	if !ok {
		return halfOfPair("/" + name)
	}
	return it.text(member, s)
}

// text takes a member that is a string.
func (it *itemReader) text(member itemMember, s string) *problem {
	switch member {
	case memberID:
		if !isName(s) {
			return it.fail("id" + aName)
		}
		it.m.ID = s
	case memberType:
		if !isMediaType(s) {
			return it.fail("contentType is a type like application/json")
		}
		it.m.ContentType = s
	case memberKey:
		it.m.Key = s
		return checkKey(invalidMessage, "key", s)
	case memberPartition:
		it.m.Partition = s
		return checkPartition(invalidMessage, "partition", s)
	}
	return nil
}

func (it *itemReader) setBody() *problem {
	preset := ""
	switch it.seen & (memberBody | memberText | memberBase64) {
	case memberBody:
		it.m.Body, preset = it.content, jsonType
		if it.m.ContentType != "" && !isJSONType(it.m.ContentType) {
			return it.fail("the contentType of a body is a JSON type: send other text as text and bytes as base64")
		}
	case memberText:
		if it.content[0] != '"' {
			return it.fail("text is a string: send other JSON as body")
		}
		text, ok := stringOf(it.content)
		if !ok {
			return halfOfPair("/text")
		}
		it.m.Body, preset = []byte(text), textType
	case memberBase64:
		body, ok := decodeBase64(it.content)
		if !ok {
			return it.fail("base64 is a string of base64, with padding")
		}
		it.m.Body, preset = body, binaryType
	default:
		return it.fail("an item has exactly one of body, text and base64")
	}
	if it.m.ContentType == "" {
		it.m.ContentType = preset
	}
	if it.seen&memberBody != 0 {
		return nil // JSON already, as a part of the envelope
	}
	return checkBody(invalidMessage, "what the item holds", it.m)
}

func (it *itemReader) properties(text []byte) *problem {
	isObject, p := eachMember(text, "/properties", it.property)
	if !isObject {
		return it.fail("properties is an object")
	}
	return p
}

func (it *itemReader) property(name string, value []byte) *problem {
	_, twice := it.m.Properties[name]
	switch {
	case !isName(name):
		return it.fail("the name of a property" + aName)
	case strings.HasPrefix(name, attributePrefix):
		return it.fail("properties that begin with " + attributePrefix + " belong to CloudEvents: send those as application/cloudevents-batch+json")
	case twice:
		return it.fail("a property is there twice")
	case len(it.m.Properties) >= it.propertiesMax:
		return it.fail("a message may have " + strconv.Itoa(it.propertiesMax) + " properties")
	}
	v, ok := propertyValue(value)
	switch {
	case !ok && value[0] == '"':
		return halfOfPair("/properties/" + escapedPointer.Replace(name))
	case !ok:
		return it.fail("the value of a property is a string, a number or a boolean")
	}
	if it.m.Properties == nil {
		it.m.Properties = make(map[string]any)
	}
	it.m.Properties[name] = v
	return nil
}

var escapedPointer = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901, section 3

// propertyValue gives a string, a bool, an int64 for a number written as an integer that fits, or a float64 for other numbers.
func propertyValue(value []byte) (any, bool) {
	switch value[0] {
	case '"':
		return stringOf(value)
	case 't', 'f':
		return value[0] == 't', true
	case 'n', '{', '[':
		return nil, false
	}
	text := string(value)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
