package replay

import (
	"strconv"
	"strings"
)

// composite is a type of AMQP that is a described list, or a message section: its fields in the order of the specification [2.7], [3.2],
// [3.5], [5.3.3].
type composite struct {
	name   string
	code   int64
	fields []field
}

type field struct{ name, typ string }

// The types are those of AMQP, and: * for any; role, which is a boolean; state, source, target and error, which are composites; links, which
// is a map of link properties, of which the recordings tell neither the order nor the type of the keys.
const definitions = `
sasl-mechanisms 40 sasl-server-mechanisms:array
sasl-init       41 mechanism:symbol initial-response:binary hostname:string
sasl-outcome    44 code:ubyte additional-data:binary
open            10 container-id:string hostname:string max-frame-size:uint channel-max:ushort idle-time-out:uint outgoing-locales:array
                   incoming-locales:array offered-capabilities:array desired-capabilities:array properties:map
begin           11 remote-channel:ushort next-outgoing-id:uint incoming-window:uint outgoing-window:uint handle-max:uint
                   offered-capabilities:array desired-capabilities:array properties:map
attach          12 name:string handle:uint role:role snd-settle-mode:ubyte rcv-settle-mode:ubyte source:source target:target unsettled:map
                   incomplete-unsettled:boolean initial-delivery-count:uint max-message-size:ulong offered-capabilities:array
                   desired-capabilities:array properties:links
flow            13 next-incoming-id:uint incoming-window:uint next-outgoing-id:uint outgoing-window:uint handle:uint delivery-count:uint
                   link-credit:uint available:uint drain:boolean echo:boolean properties:map
transfer        14 handle:uint delivery-id:uint delivery-tag:binary message-format:uint settled:boolean more:boolean rcv-settle-mode:ubyte
                   state:state resume:boolean aborted:boolean batchable:boolean
disposition     15 role:role first:uint last:uint settled:boolean state:state batchable:boolean
detach          16 handle:uint closed:boolean error:error
end             17 error:error
close           18 error:error
error           1d condition:symbol description:string info:map
accepted        24
rejected        25 error:error
released        26
source          28 address:string durable:uint expiry-policy:symbol timeout:uint dynamic:boolean dynamic-node-properties:map
                   distribution-mode:symbol filter:map default-outcome:state outcomes:array capabilities:array
target          29 address:string durable:uint expiry-policy:symbol timeout:uint dynamic:boolean dynamic-node-properties:map
                   capabilities:array

header                 70 durable:boolean priority:ubyte ttl:uint first-acquirer:boolean delivery-count:uint
delivery-annotations   71
message-annotations    72
properties             73 message-id:* user-id:binary to:string subject:string reply-to:string correlation-id:* content-type:symbol
                          content-encoding:symbol absolute-expiry-time:timestamp creation-time:timestamp group-id:string group-sequence:uint
                          reply-to-group-id:string
application-properties 74
data                   75
amqp-sequence          76
amqp-value             77
footer                 78`

var composites = parseDefinitions(definitions)

func parseDefinitions(text string) (list []composite) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if line[0] != ' ' {
			code, err := strconv.ParseInt(words[1], 16, 64)
			if err != nil {
				panic("BUG: definitions: " + err.Error())
			}
			list = append(list, composite{name: words[0], code: code})
			words = words[2:]
		}
		last := &list[len(list)-1]
		for _, w := range words {
			name, typ, _ := strings.Cut(w, ":")
			last.fields = append(last.fields, field{name, typ})
		}
	}
	return list
}

func compositeNamed(name string) *composite {
	for i := range composites {
		if composites[i].name == name {
			return &composites[i]
		}
	}
	return nil
}

func compositeOf(code int64) *composite {
	for i := range composites {
		if composites[i].code == code {
			return &composites[i]
		}
	}
	return nil
}

func (c *composite) field(name string) int {
	for i, f := range c.fields {
		if f.name == name {
			return i
		}
	}
	return -1
}

func (c *composite) isSection() bool { return c.code >= 0x70 }

// sectionType is the type of the value in a message section that is not a list of fields.
func (c *composite) sectionType() string {
	switch c.name {
	case "data":
		return "binary"
	case "amqp-sequence":
		return "list"
	case "amqp-value":
		return "*"
	}
	return "map"
}

// make makes the composite with the fields that are given, null for the others: all of them are on the wire (recorded).
func (c *composite) make(given map[string]value) value {
	fields := make([]value, len(c.fields))
	for i, f := range c.fields {
		v, ok := given[f.name]
		if !ok {
			v = value{ctor: null}
		}
		fields[i] = v
	}
	return describe(c.code, compound("list", fields))
}

func describe(code int64, v value) value {
	return value{ctor: described, kids: []value{integer("ulong", code), v}}
}

// get is the field of a composite as it is on the wire, null if it is missing.
func (v value) get(name string) value {
	c := compositeOf(v.code())
	if c == nil {
		return value{ctor: null}
	}
	if i := c.field(name); i >= 0 && i < len(v.kids[1].kids) {
		return v.kids[1].kids[i]
	}
	return value{ctor: null}
}
