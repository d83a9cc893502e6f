package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func wantForm(t testing.TB, what string, err error, pointer, part string) {
	t.Helper()
	e, ok := errors.AsType[*FormError](err)
	if !ok || e.Pointer != pointer || !strings.Contains(e.Error(), part) {
		t.Errorf("%s:\n got %v\nwant %s: %s", what, err, pointer, part)
	}
}

func TestParseExpect(t *testing.T) {
	t.Parallel()
	r, err := ParseExpect([]byte(`{"since":"m1","timeout":"7s","expect":[
		{"name":"paid","where":{"body":{"a":1},"subset":{"a":1},"path":{"a":1,"b[0]":2},"prop":{"p":"x"},"key":"k","partition":2,"cloudEvent":{"type":"t"}},"count":{"min":2,"max":3}},
		{"count":4},{"count":{"min":5}},{"count":{"max":6}},{},{"where":{"text":"words","partition":"3"}},{"where":{"body":"words","base64":"d29yZHM="}}],
		"order":"partition","unique":"id","others":"forbid","settle":"50ms"}`))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := r.Unique(Event{ID: "x"})
	if r.Since != "m1" || r.Timeout != 7*time.Second || r.Settle != 50*time.Millisecond || !r.Ordered || !r.OthersForbidden || r.UniqueBy != "id" ||
		key != "x" || !r.All {
		t.Errorf("request %+v", r)
	}
	var counts []string
	for _, x := range r.Expect {
		counts = append(counts, fmt.Sprintf("%s %d-%d %s", x.Name, x.Min, x.Max, strings.Join(matchNames(x.Where), ",")))
	}
	want := []string{`paid 2-3 body = {"a":1},subset {"a":1},path a = 1,path b[0] = 2,prop p = x,key = k,partition = "2",cloudEvent type = t`,
		" 4-4 ", " 5--1 ", " 0-6 ", " 1--1 ", ` 1--1 text = words,partition = "3"`, " 1--1 body = words,base64 = words"}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(counts, "\n"), strings.Join(want, "\n"))
	}
	for _, c := range []struct {
		m    Match
		body string
		want bool
	}{
		{r.Expect[5].Where[0], "words", true}, {r.Expect[5].Where[0], `"words"`, false},
		{r.Expect[6].Where[0], "words", false}, {r.Expect[6].Where[0], ` "words"`, true},
		{r.Expect[6].Where[1], "words", true}, {r.Expect[6].Where[1], `"words"`, false},
		{r.Expect[0].Where[0], `{"a":1.0}`, true},
	} {
		if d := c.m.Diff(text(c.body, "3")); (d == nil) != c.want {
			t.Errorf("%s and %s: %s", c.m.Name, c.body, diffs(d))
		}
	}
	if r, err = ParseExpect([]byte(`{"unique":"key"}`)); err != nil || r.Since != "" || r.Timeout != 5*time.Second || r.Ordered || r.OthersForbidden {
		t.Errorf("what is left out: %+v, %v", r, err)
	}
}

func TestParseExpectErrors(t *testing.T) {
	t.Parallel()
	one := func(x string) string { return `{"expect":[{},` + x + `]}` }
	for _, c := range []struct{ doc, pointer, want string }{
		{``, "", "ends where a JSON value must be"},
		{`{`, "", "not JSON at byte"},
		{`{"a"`, "/a", "the document ends where a JSON value must be"},
		{`{"expect":[{}]} x`, "", "there is more behind the JSON value"},
		{`[]`, "", "it must be an object, not an array"},
		{`{}`, "", "it expects nothing; give expect, unique or others"},
		{`{"expect":[]}`, "", "it expects nothing"},
		{`{"expect":{}}`, "/expect", "it must be an array, not an object"},
		{`{"expect":[` + strings.Repeat("{},", 100) + `{}]}`, "/expect", "it has 101 elements; it may have 100"},
		{`{"expects":[]}`, "/expects", "there is no such field; there are since, timeout, expect, order, others, settle, unique"},
		{`{"a/b~":1}`, "/a~1b~0", "there is no such field"},
		{`{"since":1}`, "/since", "it must be a string, not a number"},
		{`{"since":"a","since":"b"}`, "/since", "it is given twice"},
		{`{"timeout":5}`, "/timeout", `it must be a time like "500ms" or "5s", from 0 to 1m, not 5`},
		{`{"timeout":"61s"}`, "/timeout", "not 61s"},
		{`{"settle":"-1s"}`, "/settle", "not -1s"},
		{`{"order":"global"}`, "/order", "it must be one of none, partition, not global"},
		{`{"order":1}`, "/order", "it must be one of none, partition, not 1"},
		{`{"others":null}`, "/others", "it must be one of allow, forbid, not null"},
		{`{"unique":"ids"}`, "/unique", `"ids" names no key; there are id, key, body`},
		{`{"unique":"body.a["}`, "/unique", "the bracket is not closed"},
		{one(`1`), "/expect/1", "it must be an object, not a number"},
		{one(`{"names":""}`), "/expect/1/names", "there are name, where, count"},
		{one(`{"where":[]}`), "/expect/1/where", "it must be an object, not an array"},
		{one(`{"where":{"header":{}}}`), "/expect/1/where/header", "there are body, text, base64, subset, path, prop, key, partition, cloudEvent"},
		{one(`{"where":{"path":{"a..b":1}}}`), "/expect/1/where/path/a..b", "is wrong at byte 2"},
		{one(`{"where":{"path":"a"}}`), "/expect/1/where/path", "it must be an object, not a string"},
		{one(`{"where":{"prop":null}}`), "/expect/1/where/prop", "it must be an object, not null"},
		{one(`{"where":{"text":7}}`), "/expect/1/where/text", "it must be a string, not a number"},
		{one(`{"where":{"base64":"?"}}`), "/expect/1/where/base64", "it is not base64"},
		{one(`{"where":{"key":7}}`), "/expect/1/where/key", "it must be a string, not a number"},
		{one(`{"where":{"partition":"x"}}`), "/expect/1/where/partition", "the number of a partition"},
		{one(`{"where":{"partition":1.5}}`), "/expect/1/where/partition", "not 1.5"},
		{one(`{"where":{"partition":true}}`), "/expect/1/where/partition", "not true"},
		{one(`{"where":{"cloudEvent":{"typ":"x"}}}`), "/expect/1/where/cloudEvent/typ", "there are type, source"},
		{one(`{"count":-1}`), "/expect/1/count", "it must be a whole number from 0 to 1000000, not -1"},
		{one(`{"count":1.5}`), "/expect/1/count", "not 1.5"},
		{one(`{"count":"1"}`), "/expect/1/count", "it must be an object, not a string"},
		{one(`{"count":{"min":2,"max":1}}`), "/expect/1/count", "max 1 is less than min 2"},
		{one(`{"count":{"most":1}}`), "/expect/1/count/most", "there are min, max"},
		{`{"expect":` + strings.Repeat("[", 200), "/expect" + strings.Repeat("/0", 100), "nested deeper than 100"},
	} {
		_, err := ParseExpect([]byte(c.doc))
		wantForm(t, c.doc, err, c.pointer, c.want)
	}
}

func TestParseQuery(t *testing.T) {
	t.Parallel()
	e := Event{Body: []byte(`{"State":"paid","n":3,"ok":true,"nil":null,"text":"3"}`), PartitionKey: "k", Partition: "2",
		Properties: map[string]any{"schema": "order.v1", "n": int64(7)}}
	for _, c := range []struct {
		query string
		want  string // differences
	}{
		{"", ""},
		{"path.State=paid&prop.schema=order.v1&key=k&partition=2", ""},
		{"path.n=3.0&path.text=3&path.ok=true&path.nil=null&prop.n=7", ""},
		{"path.n=03", `body.n: 03 != 3`},
		{"path.n=x", "body.n: x != 3"},
		{"path.ok=1", `body.ok: "1" != true`},
		{"path.nil=", `body.nil: "" != null`},
		{"path.none=1", `body.none: "1" != (none)`},
		{"path.State=new", "body.State: new != paid"},
		{"prop.none=1", `props.none: "1" != (none)`},
		{"prop.n=8", `props.n: "8" != 7`},
		{"key=", `key: "" != k`},
	} {
		values, _ := url.ParseQuery(c.query)
		r, err := ParseQuery(values)
		if err != nil || len(r.Expect) != 1 {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if got := diffs(r.Expect[0].diff(e)); got != c.want {
			t.Errorf("%s: %s, want %s", c.query, got, c.want)
		}
	}
	values, _ := url.ParseQuery("since=m3&timeout=2s&count=4")
	if r, err := ParseQuery(values); err != nil || r.Since != "m3" || r.Timeout != 2*time.Second || r.Expect[0].Min != 4 || r.Expect[0].Max != NoLimit {
		t.Errorf("%+v, %v", r, err)
	}
	for _, c := range []struct{ query, pointer, want string }{
		{"count=x", "/count", "whole number from 0"},
		{"timeout=5", "/timeout", `it must be a time like "500ms"`},
		{"path.a..b=1", "/path.a..b", "wrong at byte 2"},
		{"key=a&key=b", "/key", "given 2 times"},
		{"paths=1", "/paths", "it is no matcher"},
		{"path.=1", "/path.", "it is no matcher"},
	} {
		values, _ := url.ParseQuery(c.query)
		_, err := ParseQuery(values)
		wantForm(t, c.query, err, c.pointer, c.want)
	}
}

func TestParseFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		doc      string
		on       On
		do       Do
		optional bool
	}{
		{`{"on":{"op":"send","hub":"orders","client":"notifier*","after":2,"times":3},"do":{"type":"throttle"}}`,
			On{Op: Send, Hub: "orders", Client: "notifier*", After: 2, Times: 3}, Throttle(), false},
		{`{"on":{"op":"deliver","group":"$Default","partition":"0"},"do":{"type":"steal-epoch","level":9}}`,
			On{Op: Deliver, Group: "$Default", Partition: "0"}, StealEpoch(9), false},
		{`{"do":{"type":"drop"},"optional":true}`, On{}, Drop(), true},
		{`{"on":{"times":-1,"prob":0.25,"partition":3},"do":{"type":"blackhole"}}`, On{Times: -1, Prob: 0.25, Partition: "3"}, Blackhole(), false},
		{`{"do":{"type":"reject","condition":"x:y","text":"No."}}`, On{}, Reject("x:y", "No."), false},
		{`{"do":{"type":"detach","condition":"x:y","text":"Go."}}`, On{}, Detach("x:y", "Go."), false},
		{`{"do":{"type":"close-connection"}}`, On{}, CloseConn(""), false},
		{`{"do":{"type":"ack-lost"}}`, On{}, AckLost(), false},
		{`{"do":{"type":"delay","duration":"2s","jitter":"1s"}}`, On{}, Delay(2*time.Second, time.Second), false},
		{`{"do":{"type":"expire-token"}}`, On{}, ExpireToken(), false},
		{`{"do":{"type":"redeliver","back":3}}`, On{}, Redeliver(3), false},
	} {
		want := FaultRequest{c.on, c.do, c.optional}
		r, err := ParseFault([]byte(c.doc))
		if err != nil || r != want {
			t.Errorf("%s: %+v, %v", c.doc, r, err)
		}
		shown, err := json.Marshal(map[string]any{"on": r.On, "do": r.Do, "optional": r.Optional})
		if again, _ := ParseFault(shown); again != want || err != nil {
			t.Errorf("%s is shown as %s, %v", c.doc, shown, err)
		}
	}
	for _, c := range []struct{ doc, pointer, want string }{
		{`{"on":{}}`, "", `it has no "do"; an example`},
		{`{"on":{"op":"sending"},"do":{"type":"drop"}}`, "/on/op", "it must be one of any, connect, auth, attach, send, deliver, manage, not sending"},
		{`{"on":{"prob":0},"do":{"type":"drop"}}`, "/on/prob", "above 0 and up to 1, not 0"},
		{`{"on":{"prob":"1"},"do":{"type":"drop"}}`, "/on/prob", "above 0"},
		{`{"on":{"times":-2},"do":{"type":"drop"}}`, "/on/times", "from -1 to"},
		{`{"on":{"consumer":""},"do":{"type":"drop"}}`, "/on/consumer", "there are op, hub, group, client, partition, after, times, prob"},
		{`{"do":{}}`, "/do/type", "it must be one of throttle, reject, "},
		{`{"do":{"type":"throttled"}}`, "/do/type", "it must be one of"},
		{`{"do":{"type":"throttle","level":1}}`, "/do/level", "there is only type"},
		{`{"do":{"type":"delay"}}`, "/do", "give a time above 0"},
		{`{"do":{"type":"reject"}}`, "/do", "A condition has"},
		{`{"on":{"op":"connect"},"do":{"type":"redeliver"}}`, "/do", "it acts on deliver"},
		{`{"do":{"type":"drop"},"optional":1}`, "/optional", "true or false, not a number"},
	} {
		_, err := ParseFault([]byte(c.doc))
		wantForm(t, c.doc, err, c.pointer, c.want)
	}
}

func TestParseSpace(t *testing.T) {
	t.Parallel()
	spec, err := ParseSpace([]byte(`{"name":"a","hubs":{"orders":{"partitions":4,"groups":["audit"]},"b":{}},"seed":7,"ttl":"10m"}`))
	want := SpaceSpec{Name: "a", Seed: 7, TTL: 10 * time.Minute, Hubs: []HubSpec{{Name: "b", Partitions: 1}, {Name: "orders", Partitions: 4, Groups: []string{"audit"}}}}
	if err != nil || !reflect.DeepEqual(spec, want) {
		t.Errorf("%+v, %v", spec, err)
	}
	for _, c := range []struct{ doc, pointer, want string }{
		{`{"hubs":[]}`, "/hubs", "it must be an object, not an array"},
		{`{"hubs":{"a":4}}`, "/hubs/a", "it must be an object, not a number"},
		{`{"hubs":{"a":{"partitions":0}}}`, "/hubs/a/partitions", "from 1 to 32767, not 0"},
		{`{"hubs":{"a":{"groups":[1]}}}`, "/hubs/a/groups/0", "it must be a string"},
		{`{"hubs":{"a":{"group":[]}}}`, "/hubs/a/group", "there are partitions, groups"},
		{`{"seed":-1}`, "/seed", "whole number"},
		{`{"ttl":"25h"}`, "/ttl", "from 0 to 24h"},
		{`{"namespace":"a"}`, "/namespace", "there are name, seed, ttl, hubs"},
	} {
		_, err := ParseSpace([]byte(c.doc))
		wantForm(t, c.doc, err, c.pointer, c.want)
	}
}

func TestParseEvents(t *testing.T) {
	t.Parallel()
	events, err := ParseEvents([]byte(`[{"body":{"b":"<","a":1.0},"key":"k","id":"i","contentType":"application/json","props":{"n":1,"f":1.5,"s":"x","t":true,"z":null,"big":1e300}},
		{"text":"hello","partition":2},{"base64":"/w=="}]`))
	want := []Event{
		{Body: []byte(`{"a":1.0,"b":"<"}`), PartitionKey: "k", ID: "i", ContentType: "application/json",
			Properties: map[string]any{"n": int64(1), "f": 1.5, "s": "x", "t": true, "z": nil, "big": 1e300}},
		{Body: []byte("hello"), Partition: "2"}, {Body: []byte{0xff}},
	}
	if err != nil || !reflect.DeepEqual(events, want) {
		t.Errorf("%+v, %v", events, err)
	}
	if events, err = ParseEvents([]byte(`{"body":null}`)); err != nil || len(events) != 1 || string(events[0].Body) != "null" {
		t.Errorf("one event: %+v, %v", events, err)
	}
	for _, c := range []struct{ doc, pointer, want string }{
		{`1`, "", "it must be an object, not a number"},
		{`{}`, "", "it must have one of body, text and base64, and has 0"},
		{`[{"body":1},{"body":1,"text":""}]`, "/1", "and has 2"},
		{`[{"text":1}]`, "/0/text", "it must be a string"},
		{`[{"base64":"%"}]`, "/0/base64", "it is not base64"},
		{`[{"body":1,"props":{"a":{}}}]`, "/0/props/a", "not an object"},
		{`[{"body":1,"props":{"a":1e999}}]`, "/0/props/a", "too large"},
		{`[{"body":1,"properties":{}}]`, "/0/properties", "there is no such field"},
		{"[" + strings.Repeat("1,", publishMax) + "1]", "", "one request may have 10000"},
	} {
		_, err := ParseEvents([]byte(c.doc))
		wantForm(t, c.doc[:min(len(c.doc), 60)], err, c.pointer, c.want)
	}
}

func TestParseOp(t *testing.T) {
	t.Parallel()
	for op := range opCount {
		if got, err := ParseOp(op.String()); got != op || err != nil {
			t.Errorf("%v reads as %v, %v", op, got, err)
		}
	}
	if op, err := ParseOp(""); op != AnyOp || err != nil {
		t.Errorf("nothing reads as %v, %v", op, err)
	}
	if _, err := ParseOp("x"); err == nil || opCount.String() != "op?" {
		t.Error("an unknown operation has a name")
	}
}

// FuzzRequests: no document harms a parser, an error is a FormError, and what is parsed can look at an event.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"since":"m1","timeout":"7s","expect":[{"name":"paid","where":{"body":{"a":1},"path":{"b[0]":2},"cloudEvent":{"type":"t"}},"count":{"min":2,"max":3}}],"unique":"id"}`,
		`{"on":{"op":"send","prob":0.5},"do":{"type":"delay","duration":"2s"}}`, `{"name":"a","hubs":{"orders":{"partitions":4}}}`,
		`[{"body":{"b":[1e5]},"props":{"n":1}}]`, `{"a":`, `[[[[`, "\x00", `{"expect":[{"where":{"subset":{"a":{"b":[{}]}}}}]}`,
	} {
		f.Add([]byte(seed))
	}
	e := Event{Body: []byte(`{"a":{"b":[{"c":1}]}}`), Properties: map[string]any{"n": int32(1)}}
	f.Fuzz(func(t *testing.T, doc []byte) {
		check := func(err error) {
			if _, ok := errors.AsType[*FormError](err); err != nil && !ok {
				t.Errorf("%s: error %v", doc, err)
			}
		}
		r, err := ParseExpect(doc)
		if check(err); err == nil {
			v := newEvaluation(&r.Request)
			v.take(e)
			if v.miss != nil {
				if _, err := json.Marshal(v.miss.Near); err != nil {
					t.Error(err)
				}
			}
		}
		_, err = ParseFault(doc)
		check(err)
		_, err = ParseSpace(doc)
		check(err)
		_, err = ParseEvents(doc)
		check(err)
	})
}
