package replay

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// difference is one thing that the broker does otherwise than the service.
type difference struct {
	file, frame, field string // where
	azure, evhub       string
	where              string // file and line
}

func (d difference) String() string {
	return fmt.Sprintf("%s: %s: %s: %s\n\tazure: %s\n\tevhub: %s", d.where, d.file, d.frame, d.field, d.azure, d.evhub)
}

// comparison compares one frame of ours with the service's.
type comparison struct {
	want, got *frame
	bound     map[string]string // what the connection's named parts were when they first came
	longer    int               // bytes that the masked parts have more than when they were recorded
	diffs     []difference
}

// timeSlack is what a recorded time includes beside the service's own: the round trip, the timer's coarseness.
const timeSlack = 100 * time.Millisecond

func compareFrames(want, got *frame, bound map[string]string) []difference {
	c := comparison{want: want, got: got, bound: bound}
	switch {
	case want.head != nil:
		if !bytes.Equal(want.head, got.head) {
			c.differ("bytes", fmt.Sprintf("%q", want.head), fmt.Sprintf("%q", got.head))
		}
	case isRefusal(want) && !isRefusal(got):
		c.differ("answer", "refused", "accepted")
		return c.diffs
	case want.body != nil:
		c.performative()
		c.message()
	}
	if !within(want.at, got.at, timeSlack) {
		c.differ("after", want.at.String(), got.at.String())
	}
	c.size()
	return c.diffs
}

func within(a, b, slack time.Duration) bool { return a-b <= slack && b-a <= slack }

// isRefusal: the service refuses an attach with an attach that has neither source nor target.
func isRefusal(f *frame) bool {
	return f.kind() == "attach" && f.get("source").isNull() && f.get("target").isNull()
}

func (c *comparison) differ(field, azure, evhub string) {
	c.diffs = append(c.diffs, difference{file: c.want.file, frame: c.want.key, field: field, azure: azure, evhub: evhub, where: c.want.where})
}

func (f *frame) channelOf() string { return fmt.Sprintf("type %d channel %d", f.typ, f.channel) }

func (c *comparison) performative() {
	if c.want.typ != c.got.typ || c.want.channel != c.got.channel {
		c.differ("channel", c.want.channelOf(), c.got.channelOf())
	}
	c.fields("", compositeOf(c.want.body.code()), *c.want.body, *c.got.body)
	if c.want.piece > 0 && c.want.piece != len(c.got.payload) {
		c.differ("piece", fmt.Sprint(c.want.piece), fmt.Sprint(len(c.got.payload)))
	}
}

// size is compared if nothing else differs, since all else shows in it.
func (c *comparison) size() {
	if c.want.size > 0 && len(c.diffs) == 0 && c.want.size+c.longer != c.got.size {
		c.differ("size", fmt.Sprint(c.want.size), fmt.Sprintf("%d, of which %d in masked parts", c.got.size, c.longer))
	}
}

// message compares section by section.
func (c *comparison) message() {
	want, got := c.want.message, c.got.message
	if w, g := sectionNames(want), sectionNames(got); w != g {
		c.differ("sections", w, g)
		return
	}
	seen := map[string]int{}
	for i := range want {
		s := compositeOf(want[i].code())
		path := s.name
		if seen[path]++; seen[path] > 1 {
			path += fmt.Sprintf(" %d", seen[path])
		}
		if len(s.fields) > 0 {
			c.fields(path+".", s, want[i], got[i])
		} else {
			c.value(path, s.sectionType(), want[i].kids[1], got[i].kids[1])
		}
	}
}

func sectionNames(sections []value) string {
	var names []string
	for _, s := range sections {
		if c := compositeOf(s.code()); c != nil {
			names = append(names, c.name)
		} else {
			names = append(names, s.show("*"))
		}
	}
	return cmp.Or(strings.Join(names, " "), "none")
}

// fields compares two composites of one type field by field.
func (c *comparison) fields(path string, t *composite, want, got value) {
	w, g := want.kids[1], got.kids[1]
	if len(w.kids) != len(g.kids) {
		c.differ(path+"(fields)", fmt.Sprint(len(w.kids)), fmt.Sprint(len(g.kids)))
	}
	if w.form() != g.form() {
		c.differ(path+"(form)", fmt.Sprintf("%#02x", w.ctor), fmt.Sprintf("%#02x", g.ctor))
	}
	for _, f := range t.fields {
		c.value(path+f.name, f.typ, want.get(f.name), got.get(f.name))
	}
}

func (c *comparison) value(path, typ string, want, got value) {
	t := compositeOf(want.code())
	switch {
	case want.mask != nil:
		c.masked(path, want, got)
	case want.anyInt:
		if !isInteger(got.typ()) || got.number() != want.number() || len(got.data) != len(want.data) {
			c.differ(path, fmt.Sprintf("a number of %d bytes: %d", len(want.data)+1, want.number()), got.show(typ))
		}
	case typ == "links" && want.typ() == "map" && got.typ() == "map":
		c.links(path, want, got)
	case t != nil && want.code() == got.code():
		c.fields(path+".", t, want, got)
	case want.typ() == "map" && got.typ() == "map":
		c.pairs(path, want, got)
	case !bytes.Equal(want.append(nil), got.append(nil)):
		c.differ(path, want.show(typ), got.show(typ))
	}
}

// masked compares a text with parts that differ each time.
func (c *comparison) masked(path string, want, got value) {
	parts := want.mask.pattern.FindSubmatch(got.data)
	if parts == nil || want.typ() != got.typ() {
		c.differ(path, want.show("*"), got.show("*"))
		return
	}
	c.longer -= want.mask.sample
	for i, name := range want.mask.parts {
		part := string(parts[i+1])
		c.longer += len(part)
		if was, ok := c.bound[name]; name == "container" && ok && was != part {
			c.differ(path, "the same container id as before: "+was, part)
		}
		c.bound[name] = part
	}
}

// pairs compares maps: keys, their types and order, values.
func (c *comparison) pairs(path string, want, got value) {
	if w, g := keys(want), keys(got); w != g {
		c.differ(path+"(keys)", w, g)
	}
	if want.form() != got.form() {
		c.differ(path+"(form)", fmt.Sprintf("%#02x", want.ctor), fmt.Sprintf("%#02x", got.ctor))
	}
	c.entries(path, want, got)
}

func keys(m value) string {
	var list []string
	for kv := range slices.Chunk(m.kids, 2) {
		list = append(list, kv[0].show("*"))
	}
	return strings.Join(list, " ")
}

// links compares link properties, of whose keys the recordings show only the text.
func (c *comparison) links(path string, want, got value) {
	for kv := range slices.Chunk(got.kids, 2) {
		if _, ok := lookup(want, kv[0].data); !ok {
			c.differ(path+"."+string(kv[0].data), "absent", kv[1].show("*"))
		}
	}
	c.entries(path, want, got)
}

// entries compares what stands under the keys of want.
func (c *comparison) entries(path string, want, got value) {
	for kv := range slices.Chunk(want.kids, 2) {
		path := path + "." + string(kv[0].data)
		if v, ok := lookup(got, kv[0].data); ok {
			c.value(path, "*", kv[1], v)
		} else {
			c.differ(path, kv[1].show("*"), "absent")
		}
	}
}

func lookup(m value, key []byte) (value, bool) {
	for kv := range slices.Chunk(m.kids, 2) {
		if bytes.Equal(kv[0].data, key) {
			return kv[1], true
		}
	}
	return value{}, false
}
