package replay

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// frame is one frame, or a protocol header: as it was written down in an exchange, or as it came.
type frame struct {
	typ     uint8
	channel uint16
	head    []byte // a protocol header, and nothing else
	body    *value // the performative; nil for a heartbeat
	payload []byte
	message []value       // the sections of a message, with its last frame
	size    int           // of a frame written down: as recorded, or 0
	at      time.Duration // since the burst began

	// Of frames written down only.
	where string // file and line
	file  string // the exchange
	key   string // the frame in that exchange
	piece int    // bytes of payload, where they are not the whole message
}

const (
	frameAMQP = 0
	frameSASL = 1
)

func (f *frame) kind() string {
	switch {
	case f.head != nil:
		return "protocol-header"
	case f.body == nil:
		return "empty"
	}
	if c := compositeOf(f.body.code()); c != nil {
		return c.name
	}
	return fmt.Sprintf("descriptor %#x", f.body.code())
}

func (f *frame) get(name string) value {
	if f.body == nil {
		return value{ctor: null}
	}
	return f.body.get(name)
}

func (f *frame) encode() []byte {
	if f.head != nil {
		return f.head
	}
	b := []byte{0, 0, 0, 0, 2, f.typ, byte(f.channel >> 8), byte(f.channel)}
	if f.body != nil {
		b = f.body.append(b)
	}
	b = append(b, f.payload...)
	copy(b, bigEndian(int64(len(b)), 4))
	return b
}

// encodeMessage is the payload that the sections make.
func (f *frame) encodeMessage() (b []byte) {
	for _, s := range f.message {
		b = s.append(b)
	}
	return b
}

// readMessage takes a payload apart into its sections.
func readMessage(payload []byte) (sections []value, err error) {
	r := reader{b: payload}
	for len(r.b) > 0 && r.err == nil {
		sections = append(sections, r.value())
	}
	return sections, r.err
}

// parser reads the notation of frames:
//
//	flow next-incoming-id=0 handle=1 link-credit=100 echo=false size=36
//
// is a flow with these fields; all others are null. Numbers have their field's type and the shortest form of it. Where there is no such
// type it stands in front, as in int:202; uint/70:5 is a form that is not the shortest. "x" is a string, 'x' a symbol, b"x" and x"00ff" are
// binaries, b"x"*9 repeats, {k=v} is a map or has the fields of a composite, (v w) is a list, [v w] an array and @d v is described by d. A
// string may hold <name:sample>, a part that differs each time; see masks. Message sections follow the fields in their order.
type parser struct {
	text string
	at   int
	fail func(format string, args ...any) // does not return
}

func parseFrame(t testing.TB, where, text string) *frame {
	t.Helper()
	p := parser{text: text, fail: func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s", where, fmt.Sprintf(format, args...))
	}}
	f := p.frame()
	f.where = where
	return f
}

func (p *parser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) accept(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(c byte) {
	if !p.accept(c) {
		p.fail("want %q at %.40q", c, p.text[p.at:])
	}
}

// word reads up to a space or a character with a meaning.
func (p *parser) word() string {
	start := p.at
	for p.at < len(p.text) && !strings.ContainsRune(" ={}()[]\"'", rune(p.text[p.at])) {
		p.at++
	}
	return p.text[start:p.at]
}

func (p *parser) frame() *frame {
	f := &frame{}
	name := p.word()
	switch c := compositeNamed(name); {
	case name == "protocol-header":
		p.space()
		f.head = []byte("AMQP\x00\x01\x00\x00")
		if p.word() == "sasl" {
			f.head[4] = 3
		}
	case name == "empty":
		p.fields(f, &composite{})
		f.body = nil
	case c == nil || c.isSection():
		p.fail("there is no frame %q", name)
	default:
		if strings.HasPrefix(name, "sasl") {
			f.typ = frameSASL
		}
		p.fields(f, c)
	}
	return f
}

func (p *parser) fields(f *frame, c *composite) {
	given := map[string]value{}
	for p.space(); p.peek() != 0; p.space() {
		key := p.word()
		p.expect('=')
		switch i := c.field(key); {
		case i >= 0:
			given[key] = p.value(c.fields[i].typ)
		case key == "size":
			f.size = p.number()
		case key == "piece":
			f.piece = p.number()
		case key == "after":
			f.at = p.duration()
		case key == "base64":
			f.message = p.base64()
		default:
			f.message = append(f.message, p.section(key))
		}
	}
	body := c.make(given)
	f.body = &body
}

func (p *parser) number() int {
	n, err := strconv.Atoi(p.word())
	if err != nil {
		p.fail("%v", err)
	}
	return n
}

func (p *parser) duration() time.Duration {
	d, err := time.ParseDuration(p.word())
	if err != nil {
		p.fail("%v", err)
	}
	return d
}

// base64 reads a whole message as it was kept, up to the end of the frame.
func (p *parser) base64() []value {
	rest := strings.ReplaceAll(p.text[p.at:], " ", "")
	p.at = len(p.text)
	b, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		p.fail("%v", err)
	}
	sections, err := readMessage(b)
	if err != nil {
		p.fail("%v", err)
	}
	return sections
}

func (p *parser) section(name string) value {
	c := compositeNamed(name)
	if c == nil || !c.isSection() {
		p.fail("there is no field or section %q", name)
	}
	if len(c.fields) > 0 {
		return p.composite(c)
	}
	return describe(c.code, p.value(c.sectionType()))
}

// composite reads {field=value ...}.
func (p *parser) composite(c *composite) value {
	given := map[string]value{}
	p.expect('{')
	for p.space(); !p.accept('}'); p.space() {
		key := p.word()
		i := c.field(key)
		if i < 0 {
			p.fail("%s has no field %q", c.name, key)
		}
		p.expect('=')
		given[key] = p.value(c.fields[i].typ)
	}
	return c.make(given)
}

func (p *parser) value(typ string) value {
	switch c := p.peek(); {
	case c == '"' || c == '\'':
		return p.quoted(map[byte]string{'"': "string", '\'': "symbol"}[c])
	case c == '{' && compositeNamed(typ) != nil:
		return p.composite(compositeNamed(typ))
	case c == '{':
		return compound("map", p.pairs())
	case p.accept('('):
		return compound("list", p.values(')'))
	case p.accept('['):
		return array(p.values(']'))
	case p.accept('@'):
		descriptor := p.value("*")
		p.space()
		return value{ctor: described, kids: []value{descriptor, p.value("*")}}
	}
	return p.bare(p.word(), typ)
}

func (p *parser) values(end byte) (list []value) {
	for p.space(); !p.accept(end); p.space() {
		list = append(list, p.value("*"))
	}
	return list
}

func (p *parser) pairs() (list []value) {
	p.expect('{')
	for p.space(); !p.accept('}'); p.space() {
		list = append(list, p.value("*"))
		p.expect('=')
		list = append(list, p.value("*"))
	}
	return list
}

func (p *parser) quoted(typ string) value {
	quote := p.text[p.at]
	end := strings.IndexByte(p.text[p.at+1:], quote)
	if end < 0 {
		p.fail("no end of %.40q", p.text[p.at:])
	}
	written := p.text[p.at+1 : p.at+1+end]
	p.at += end + 2
	sample, m := readMask(written)
	v := text(typ, []byte(sample))
	v.mask = m
	return v
}

// bare reads what begins with a word.
func (p *parser) bare(word, typ string) value {
	switch word {
	case "null":
		return value{ctor: null}
	case "true", "receiver":
		return boolean(true)
	case "false", "sender":
		return boolean(false)
	case "b", "x":
		return p.binary(word)
	case "message":
		return text("binary", p.message())
	}
	if c := compositeNamed(word); c != nil {
		if p.peek() == '{' {
			return p.composite(c)
		}
		return c.make(nil)
	}
	if name, literal, ok := strings.Cut(word, ":"); ok {
		return p.typed(name, literal)
	}
	if !isInteger(typ) {
		p.fail("%q is no %s", word, typ)
	}
	return integer(typ, p.integer(word))
}

func (p *parser) binary(form string) value {
	v := p.quoted("string")
	if form == "x" {
		b, err := hex.DecodeString(string(v.data))
		if err != nil {
			p.fail("%v", err)
		}
		v.data = b
	}
	if p.accept('*') {
		v.data = bytes.Repeat(v.data, p.number())
	}
	return text("binary", v.data)
}

// message reads {sections}, as they stand in an event of a batch.
func (p *parser) message() (b []byte) {
	p.expect('{')
	for p.space(); !p.accept('}'); p.space() {
		key := p.word()
		p.expect('=')
		b = p.section(key).append(b)
	}
	return b
}

// integer reads a number up to the largest ulong.
func (p *parser) integer(literal string) int64 {
	if n, err := strconv.ParseInt(literal, 0, 64); err == nil {
		return n
	}
	n, err := strconv.ParseUint(literal, 0, 64)
	if err != nil {
		p.fail("%v", err)
	}
	return int64(n)
}

// typed reads a value behind its type.
func (p *parser) typed(typ, literal string) value {
	typ, form, forced := strings.Cut(typ, "/")
	v := p.typedShortest(typ, literal)
	if forced {
		ctor, err := strconv.ParseUint(form, 16, 8)
		if err != nil || typeOf(byte(ctor)) != typ {
			p.fail("%q is no constructor of %s", form, typ)
		}
		n := v.number()
		v.ctor = byte(ctor)
		v.data = bigEndian(n, fixedSize(v.ctor))
	}
	return v
}

func (p *parser) typedShortest(typ, literal string) value {
	switch typ {
	case "token":
		return value{ctor: null, token: literal}
	case "boolean":
		return boolean(literal == "true")
	case "integer2", "integer5": // of that many bytes
		v := value{ctor: 0x54, anyInt: true, data: bigEndian(p.integer(literal), 1)}
		if typ == "integer5" {
			v = value{ctor: 0x71, anyInt: true, data: bigEndian(p.integer(literal), 4)}
		}
		return v
	case "uuid":
		b, err := hex.DecodeString(strings.ReplaceAll(literal, "-", ""))
		if err != nil || len(b) != 16 {
			p.fail("%q is no uuid", literal)
		}
		return value{ctor: 0x98, data: b}
	case "double":
		f, err := strconv.ParseFloat(literal, 64)
		if err != nil {
			p.fail("%v", err)
		}
		return value{ctor: 0x82, data: bigEndian(int64(math.Float64bits(f)), 8)}
	case "timestamp":
		t, err := time.Parse(timeForm, literal)
		if err != nil {
			p.fail("%v", err)
		}
		return value{ctor: 0x83, data: bigEndian(t.UnixMilli(), 8)}
	}
	if !isInteger(typ) {
		p.fail("there is no type %q", typ)
	}
	return integer(typ, p.integer(literal))
}

const timeForm = "2006-01-02T15:04:05.999Z"

// masks are the parts of texts that are other ones each time. What a "container" was first it has to remain within its connection.
var masks = map[string]string{
	"container":     `[0-9a-f]{32}_G\d+`,
	"link-tracking": `[0-9A-F]{32}_G\d+`,
	"tracking":      `[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:_[GMBS]\d+)*`,
	"time":          `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`,
	"address":       `\S+`,
	"any":           `.*`,
}

var maskForm = regexp.MustCompile(`<([a-z-]+):([^>]*)>`)

// readMask takes <name:sample> apart: the text with its samples, and the mask, nil if there is nothing to mask.
func readMask(written string) (sample string, m *mask) {
	if !maskForm.MatchString(written) {
		return written, nil
	}
	m = &mask{}
	var pattern strings.Builder
	var out strings.Builder
	rest := 0
	for _, at := range maskForm.FindAllStringSubmatchIndex(written, -1) {
		name, example := written[at[2]:at[3]], written[at[4]:at[5]]
		form, ok := masks[name]
		if !ok {
			panic("BUG: there is no mask " + name)
		}
		pattern.WriteString(regexp.QuoteMeta(written[rest:at[0]]) + "(" + form + ")")
		out.WriteString(written[rest:at[0]] + example)
		m.parts = append(m.parts, name)
		m.sample += len(example)
		rest = at[1]
	}
	pattern.WriteString(regexp.QuoteMeta(written[rest:]))
	out.WriteString(written[rest:])
	m.pattern = regexp.MustCompile("^" + pattern.String() + "$")
	return out.String(), m
}
