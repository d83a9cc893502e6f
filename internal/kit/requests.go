package kit

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The requests of the HTTP interface, in JSON. Every error is a *FormError.

const (
	timeoutDefault = 5 * time.Second
	timeoutMax     = time.Minute
	countMax       = 1_000_000
	expectMax      = 100
	publishMax     = 10_000
	hubsMax        = 1000
	ttlMax         = 24 * time.Hour
	delayMax       = time.Hour
)

// ExpectRequest is what POST .../expect takes.
type ExpectRequest struct {
	Since   string        // name of a kept mark; "": m0
	Timeout time.Duration // 5 s where none is given, at most 60 s
	Request
}

// ParseExpect reads
//
//	{"since":"m0", "timeout":"5s",
//	 "expect":[{"name":"paid", "where":{...}, "count":{"min":1,"max":1}}],
//	 "order":"partition", "unique":"id", "others":"allow", "settle":"50ms"}
//
// where has any of body (a JSON value), text and base64 (of the whole body), subset, path (an object: value by path), prop (an object: value
// by name), key, partition, cloudEvent ({type, source}). A count that is a number is exactly that many, an object has min (0) and max (no
// limit); without a count at least one event is wanted. order is none or partition; unique is what UniqueBy takes; others is allow or
// forbid. The request is for All.
func ParseExpect(data []byte) (*ExpectRequest, error) {
	f := &form{}
	o := f.object("", f.parse(data))
	r := &ExpectRequest{Since: o.text("since"), Timeout: o.duration("timeout", timeoutDefault, timeoutMax)}
	r.All = true
	list, at := o.list("expect", expectMax)
	for i, v := range list {
		r.Expect = append(r.Expect, f.expectation(at(i), v))
	}
	r.Ordered = o.oneOf("order", "none", "partition") == "partition"
	r.OthersForbidden = o.oneOf("others", "allow", "forbid") == "forbid"
	r.Settle = o.duration("settle", 0, timeoutMax)
	if v, at, ok := o.take("unique"); ok {
		r.UniqueBy, _ = v.(string)
		unique, err := UniqueBy(r.UniqueBy)
		if err != nil {
			f.fail(at, "%v", err)
		}
		r.Unique = unique
	}
	o.close()
	if f.err == nil && len(r.Expect) == 0 && r.Unique == nil && !r.OthersForbidden {
		f.fail("", "it expects nothing; give expect, unique or others")
	}
	if f.err != nil {
		return nil, f.err
	}
	return r, nil
}

func (f *form) expectation(at string, v any) Expectation {
	o := f.object(at, v)
	x := Expectation{Name: o.text("name"), Min: 1, Max: NoLimit}
	if v, at, ok := o.take("where"); ok {
		x.Where = f.where(at, v)
	}
	if v, at, ok := o.take("count"); ok {
		x.Min, x.Max = f.count(at, v)
	}
	o.close()
	return x
}

func (f *form) count(at string, v any) (least, most int) {
	if _, exact := v.(json.Number); exact {
		n := int(f.integer(at, v, 0, countMax))
		return n, n
	}
	o := f.object(at, v)
	least = int(o.integer("min", 0, 0, countMax))
	most = int(o.integer("max", NoLimit, 0, countMax))
	o.close()
	if most != NoLimit && most < least {
		f.fail(at, "max %d is less than min %d", most, least)
	}
	return least, most
}

func (f *form) where(at string, v any) (list []Match) {
	o := f.object(at, v)
	if v, _, ok := o.take("body"); ok {
		list = append(list, bodyJSON("body", v, false))
	}
	for _, name := range []string{"text", "base64"} {
		if v, at, ok := o.take(name); ok {
			list = append(list, bodyBytes(name, f.body(name, at, v)))
		}
	}
	if v, _, ok := o.take("subset"); ok {
		list = append(list, Subset(v))
	}
	f.each(o, "path", func(at, path string, v any) {
		if _, err := parsePath(path); err != nil {
			f.fail(at, "%v", err)
		}
		list = append(list, Path(path, v))
	})
	f.each(o, "prop", func(at, name string, v any) { list = append(list, Prop(name, v)) })
	if v, at, ok := o.take("key"); ok {
		list = append(list, Key(f.textOf(at, v)))
	}
	if v, at, ok := o.take("partition"); ok {
		list = append(list, Partition(f.partition(at, v)))
	}
	if v, at, ok := o.take("cloudEvent"); ok {
		c := f.object(at, v)
		list = append(list, CloudEvent(c.text("type"), c.text("source")))
		c.close()
	}
	o.close()
	return list
}

// each visits the members of an object by name.
func (f *form) each(o *fields, name string, visit func(at, name string, v any)) {
	v, at, ok := o.take(name)
	if !ok {
		return
	}
	members := f.object(at, v)
	for _, name := range slices.Sorted(maps.Keys(members.m)) {
		visit(at+"/"+pointerEscape(name), name, members.m[name])
	}
}

func (f *form) textOf(at string, v any) string {
	s, ok := v.(string)
	if !ok {
		f.fail(at, "it must be a string, not %s", kindOf(v))
	}
	return s
}

// partition takes "2" and 2.
func (f *form) partition(at string, v any) string {
	number, ok := v.(json.Number)
	s := string(number)
	if !ok {
		s, _ = v.(string)
	}
	if n, err := strconv.ParseUint(s, 10, 31); err != nil || strconv.FormatUint(n, 10) != s {
		f.fail(at, "it must be the number of a partition, like 2 or \"2\", not %s", shown(v))
	}
	return s
}

// ParseQuery reads what GET .../events takes: since, count (1), timeout, and matchers as path.<path>, prop.<name>, text, key and partition.
// Values there are text; numbers and booleans of an event match by their JSON text as well. The request wants count events, the next ones.
func ParseQuery(query url.Values) (*ExpectRequest, error) {
	f := &form{}
	m := make(map[string]any)
	matchers := make(map[string][]string)
	for name, values := range query {
		switch name {
		case "count":
			m[name] = json.Number(values[0])
		case "since", "timeout":
			m[name] = values[0]
		default:
			matchers[name] = values
		}
	}
	o := f.object("", m)
	r := &ExpectRequest{Since: o.text("since"), Timeout: o.duration("timeout", timeoutDefault, timeoutMax)}
	n := int(o.integer("count", 1, 0, countMax))
	if f.err != nil {
		return nil, f.err
	}
	where, err := queryMatches(matchers)
	if err != nil {
		return nil, err
	}
	r.Expect = []Expectation{AtLeast(n, where...)}
	return r, nil
}

// FaultRequest is what POST .../faults takes.
type FaultRequest struct {
	On       On
	Do       Do
	Optional bool // it may stay unfired
}

// ParseFault reads {"on":{...},"do":{...},"optional":false}: on has op, hub, partition, group, client, after, times and prob; do has a type,
// which is what Do.Kind gives, and what that type takes: condition and text, duration and jitter, level, back.
func ParseFault(data []byte) (FaultRequest, error) {
	f := &form{}
	o := f.object("", f.parse(data))
	var r FaultRequest
	if v, at, ok := o.take("on"); ok {
		r.On = f.on(at, v)
	}
	if v, at, ok := o.take("do"); ok {
		r.Do = f.do(at, v)
	} else {
		f.fail("", `it has no "do"; an example: {"on":{"op":"send"},"do":{"type":"throttle"}}`)
	}
	if v, at, ok := o.take("optional"); ok {
		if r.Optional, ok = v.(bool); !ok {
			f.fail(at, "it must be true or false, not %s", kindOf(v))
		}
	}
	o.close()
	if f.err == nil {
		if err := r.Do.check(r.On.Op); err != nil {
			f.fail("/do", "%v", err)
		}
	}
	return r, f.err
}

func (f *form) on(at string, v any) On {
	o := f.object(at, v)
	on := On{Op: Op(slices.Index(opNames[:], o.oneOf("op", opNames[:]...)))}
	on.Hub, on.Group, on.Client = o.text("hub"), o.text("group"), o.text("client")
	if v, at, ok := o.take("partition"); ok {
		on.Partition = f.partition(at, v)
	}
	on.After = int(o.integer("after", 0, 0, countMax))
	on.Times = int(o.integer("times", 0, -1, countMax))
	if v, at, ok := o.take("prob"); ok {
		number, _ := v.(json.Number)
		p, err := number.Float64()
		if err != nil || !(p > 0 && p <= 1) {
			f.fail(at, "it must be a probability above 0 and up to 1, not %s", shown(v))
		}
		on.Prob = p
	}
	o.close()
	return on
}

func (f *form) do(at string, v any) Do {
	o := f.object(at, v)
	var names []string
	for kind := doKind(1); kind < doCount; kind++ {
		names = append(names, deeds[kind].name)
	}
	name, where, ok := o.take("type")
	if !ok {
		f.fail(where, "it must be one of %s", strings.Join(names, ", "))
		return Do{}
	}
	i := f.indexOf(where, name, names)
	if i < 0 {
		return Do{}
	}
	do := Do{kind: doKind(i + 1)}
	switch do.kind {
	case reject, detach:
		do.condition, do.text = o.text("condition"), o.text("text")
	case closeConn:
		do = CloseConn(o.text("condition"))
	case delay:
		do.wait, do.jitter = o.duration("duration", 0, delayMax), o.duration("jitter", 0, delayMax)
	case stealEpoch:
		do.level = o.integer("level", 0, 0, math.MaxInt64)
	case redeliver:
		do.back = o.integer("back", 1, 1, countMax)
	}
	o.close()
	return do
}

// ParseSpace reads {"name":"...","hubs":{"orders":{"partitions":4,"groups":["audit"]}},"seed":7,"ttl":"10m"}. A hub without partitions
// gets one. What names may be is for Create to say.
func ParseSpace(data []byte) (SpaceSpec, error) {
	f := &form{}
	o := f.object("", f.parse(data))
	spec := SpaceSpec{
		Name: o.text("name"), Seed: uint64(o.integer("seed", 0, 0, math.MaxInt64)), TTL: o.duration("ttl", 0, ttlMax),
	}
	f.each(o, "hubs", func(at, name string, v any) { spec.Hubs = append(spec.Hubs, f.hub(at, name, v)) })
	if len(spec.Hubs) > hubsMax {
		f.fail("/hubs", "there are %d; a space may have %d", len(spec.Hubs), hubsMax)
	}
	o.close()
	return spec, f.err
}

// ParseHub reads {"partitions":4,"groups":["audit"]}: a hub of this name as in ParseSpace.
func ParseHub(name string, data []byte) (HubSpec, error) {
	f := &form{}
	spec := f.hub("", name, f.parse(data))
	return spec, f.err
}

func (f *form) hub(at, name string, v any) HubSpec {
	o := f.object(at, v)
	spec := HubSpec{Name: name, Partitions: int(o.integer("partitions", 1, 1, math.MaxInt16))}
	groups, groupAt := o.list("groups", hubsMax)
	for i, v := range groups {
		spec.Groups = append(spec.Groups, f.textOf(groupAt(i), v))
	}
	o.close()
	return spec
}

// ParseEvents reads what is to be published: one event or an array of them. An event has partition or key or none, id, contentType, props
// and one of body (a JSON value), text and base64. Of props numbers without fraction are sent as long, others as double.
func ParseEvents(data []byte) ([]Event, error) {
	f := &form{}
	v := f.parse(data)
	list, many := v.([]any)
	if !many {
		return f.events([]any{v}, func(int) string { return "" })
	}
	if len(list) > publishMax {
		f.fail("", "it has %d events; one request may have %d", len(list), publishMax)
	}
	return f.events(list, func(i int) string { return "/" + strconv.Itoa(i) })
}

func (f *form) events(list []any, at func(int) string) ([]Event, error) {
	events := make([]Event, 0, len(list))
	for i, v := range list {
		events = append(events, f.event(at(i), v))
		if f.err != nil {
			return nil, f.err
		}
	}
	return events, f.err
}

func (f *form) event(at string, v any) Event {
	o := f.object(at, v)
	e := Event{PartitionKey: o.text("key"), ID: o.text("id"), ContentType: o.text("contentType")}
	if v, at, ok := o.take("partition"); ok {
		e.Partition = f.partition(at, v)
	}
	bodies := 0
	for _, name := range []string{"body", "text", "base64"} {
		if v, at, ok := o.take(name); ok {
			bodies++
			e.Body = f.body(name, at, v)
		}
	}
	if bodies != 1 {
		f.fail(at, "it must have one of body, text and base64, and has %d", bodies)
	}
	f.each(o, "props", func(at, name string, v any) {
		if e.Properties == nil {
			e.Properties = make(map[string]any)
		}
		e.Properties[name] = f.property(at, v)
	})
	o.close()
	return e
}

func (f *form) body(form, at string, v any) []byte {
	if form == "body" {
		b, err := encodeJSON(v)
		if err != nil {
			f.fail(at, "%v", err)
		}
		return b
	}
	text := f.textOf(at, v)
	if form == "text" {
		return []byte(text)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		f.fail(at, "it is not base64: %v", err)
	}
	return b
}

func (f *form) property(at string, v any) any {
	switch v := v.(type) {
	case nil, bool, string:
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, err := v.Float64()
		if err != nil {
			f.fail(at, "the number %s is too large for a property", shown(v))
		}
		return n
	}
	f.fail(at, "a property is a string, a number, a boolean or null, not %s", kindOf(v))
	return nil
}
