package replay

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// show writes a value in the notation of the exchanges. typ is the type that goes without saying.
func (v value) show(typ string) string {
	if c := compositeOf(v.code()); c != nil && v.kids[1].typ() == "list" {
		return v.showComposite(c)
	}
	switch t := v.typ(); t {
	case "null":
		return "null"
	case "string":
		return v.form() + strconv.Quote(string(v.data))
	case "symbol":
		return v.form() + "'" + string(v.data) + "'"
	case "binary":
		return v.form() + showBinary(v.data)
	case "boolean":
		return v.showBoolean(typ)
	case "list":
		return v.form() + "(" + v.showKids() + ")"
	case "array":
		return v.form() + "[" + v.showKids() + "]"
	case "map":
		var pairs []string
		for kv := range slices.Chunk(v.kids, 2) {
			pairs = append(pairs, kv[0].show("*")+"="+kv[1].show("*"))
		}
		return v.form() + "{" + strings.Join(pairs, " ") + "}"
	case typ:
		return v.form() + v.showNumber()
	default:
		if v.ctor == described {
			return "@" + v.kids[0].show("*") + " " + v.kids[1].show("*")
		}
		return t + v.form() + ":" + v.showNumber()
	}
}

func (v value) showKids() string {
	var kids []string
	for _, k := range v.kids {
		kids = append(kids, k.show("*"))
	}
	return strings.Join(kids, " ")
}

func (v value) showComposite(c *composite) string {
	var fields []string
	for i, k := range v.kids[1].kids {
		if i < len(c.fields) && !k.isNull() {
			fields = append(fields, c.fields[i].name+"="+k.show(c.fields[i].typ))
		}
	}
	if len(fields) == 0 {
		return c.name
	}
	return c.name + "{" + strings.Join(fields, " ") + "}"
}

func (v value) showBoolean(typ string) string {
	if typ == "role" {
		return v.form() + map[int64]string{0: "sender", 1: "receiver"}[v.number()]
	}
	return v.form() + strconv.FormatBool(v.number() == 1)
}

func (v value) showNumber() string {
	switch v.typ() {
	case "uuid":
		return fmt.Sprintf("%x-%x-%x-%x-%x", v.data[:4], v.data[4:6], v.data[6:8], v.data[8:10], v.data[10:])
	case "timestamp":
		return time.UnixMilli(v.number()).UTC().Format(timeForm)
	case "double":
		return strconv.FormatFloat(math.Float64frombits(uint64(v.number())), 'g', -1, 64)
	case "ulong":
		return strconv.FormatUint(uint64(v.number()), 10)
	}
	return strconv.FormatInt(v.number(), 10)
}

// form names the constructor if it is not the one the notation stands for.
func (v value) form() string {
	usual := v.ctor
	switch t := v.typ(); {
	case t == "boolean":
		usual = boolean(v.number() == 1).ctor
	case isInteger(t):
		usual = integer(t, v.number()).ctor
	case t == "string" || t == "symbol" || t == "binary":
		usual = text(t, v.data).ctor
	case t == "list" || t == "map":
		usual = compound(t, v.kids).ctor
	case t == "array":
		usual = 0xe0
	}
	if v.ctor == usual {
		return ""
	}
	return fmt.Sprintf("/%02x:", v.ctor)
}

const binaryShown = 64

func showBinary(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			if len(b) > binaryShown {
				return fmt.Sprintf("x\"%x\"... of %d bytes", b[:binaryShown], len(b))
			}
			return fmt.Sprintf("x\"%x\"", b)
		}
	}
	if len(b) > binaryShown {
		return fmt.Sprintf("b%q... of %d bytes", b[:binaryShown], len(b))
	}
	return fmt.Sprintf("b%q", b)
}

// String is the frame on one line.
func (f *frame) String() string {
	switch {
	case f.head != nil:
		return fmt.Sprintf("protocol-header %q", f.head)
	case f.body == nil:
		return "empty"
	}
	s := f.body.show("*")
	if len(f.payload) > 0 {
		s += fmt.Sprintf(" with %d bytes", len(f.payload))
	}
	return s
}
