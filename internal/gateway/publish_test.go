package gateway_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify"
)

// TestSingle has a row for every way in which one message may come, and what must arrive of it.
func TestSingle(t *testing.T) {
	t.Parallel()
	event := []string{"Ce-Specversion: 1.0", "Ce-Id: 7", "Ce-Source: /shop", "Ce-Type: order.made"}
	attributes := map[string]any{"cloudEvents:specversion": "1.0", "cloudEvents:id": "7", "cloudEvents:source": "/shop", "cloudEvents:type": "order.made"}
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(attributes)
		maps.Copy(all, more)
		return all
	}
	structured := func(more string) string {
		return `{"specversion":"1.0","id":"7","source":"/shop","type":"order.made"` + more + `}`
	}
	for _, row := range []struct {
		name    string
		body    string
		headers []string
		want    notify.Message
	}{
		{"bytes", "\x00\xff\x01", nil, notify.Message{Body: []byte("\x00\xff\x01")}},
		{"nothing", "", nil, notify.Message{}},
		{"JSON stays as it is", " {\"b\" :1, \"a\":1e2}\n", []string{asJSON}, notify.Message{Body: []byte(" {\"b\" :1, \"a\":1e2}\n"), ContentType: "application/json"}},
		{"text with charset", "x", []string{"Content-Type: text/plain; charset=latin1"}, notify.Message{Body: []byte("x"), ContentType: "text/plain; charset=latin1"}},
		{"encoded as identity", "x", []string{"Content-Encoding: identity"}, notify.Message{Body: []byte("x")}},
		{"key", "x", []string{"Partition-Key: Zürich 7"}, notify.Message{Body: []byte("x"), Key: "Zürich 7"}},
		{"partition", "x", []string{"Partition-Id: 31"}, notify.Message{Body: []byte("x"), Partition: "31"}},
		{"properties", "x", []string{"Message-Property-Color: red", "message-property-X-y: 1"}, notify.Message{Body: []byte("x"), Properties: map[string]any{"color": "red", "x-y": "1"}}},
		{"Prefer is passed over", "x", []string{"Prefer: respond-async"}, notify.Message{Body: []byte("x")}},

		{"binary event", "<a/>", append(event, "Content-Type: text/xml"), notify.Message{Body: []byte("<a/>"), ContentType: "text/xml", Properties: attributes}},
		{"binary event without data", "", event, notify.Message{Properties: attributes}},
		{"binary event with all", "1", append(event, asJSON, "Ce-Time: 2026-11-22T10:00:00.123456789+01:00", "Ce-Subject: a%20%E2%82%AC", "Ce-Dataschema: urn:s", `Ce-Myext: "q\"%22"`, "Ce-Partitionkey: k", "Message-Property-P: v"),
			notify.Message{Body: []byte("1"), ContentType: "application/json", Key: "k", Properties: with(map[string]any{
				"cloudEvents:time": "2026-11-22T10:00:00.123456789+01:00", "cloudEvents:subject": "a €", "cloudEvents:dataschema": "urn:s", "cloudEvents:myext": `q""`, "cloudEvents:partitionkey": "k", "p": "v"})}},
		{"binary event with the key twice", "1", append(event, "Ce-Partitionkey: k", "Partition-Key: k"), notify.Message{Body: []byte("1"), Key: "k", Properties: with(map[string]any{"cloudEvents:partitionkey": "k"})}},

		{"structured event", structured(`,"data" : {"n" :1}`), []string{asEvent}, notify.Message{Body: []byte(`{"n" :1}`), ContentType: "application/json", Properties: attributes}},
		{"structured event without data", structured(``), []string{asEvent}, notify.Message{Properties: attributes}},
		{"structured event with null", structured(`,"data":null,"subject":null`), []string{asEvent}, notify.Message{Body: []byte("null"), ContentType: "application/json", Properties: attributes}},
		{"structured event with text", structured(`,"datacontenttype":"text/plain","data":"a\n\u00e9"`), []string{asEvent + "; charset=utf-8"}, notify.Message{Body: []byte("a\né"), ContentType: "text/plain", Properties: attributes}},
		{"structured event with JSON text", structured(`,"datacontenttype":"application/x+JSON","data":"a"`), []string{asEvent}, notify.Message{Body: []byte(`"a"`), ContentType: "application/x+JSON", Properties: attributes}},
		{"structured event with bytes", structured(`,"data_base64":"AP8="`), []string{asEvent}, notify.Message{Body: []byte("\x00\xff"), Properties: attributes}},
		{"structured event with extensions", structured(`,"flag":true,"n":-3,"m":3.0e0,"s":"x","partitionkey":"k"`), []string{asEvent},
			notify.Message{Key: "k", Properties: with(map[string]any{"cloudEvents:flag": true, "cloudEvents:n": int32(-3), "cloudEvents:m": int32(3), "cloudEvents:s": "x", "cloudEvents:partitionkey": "k"})}},
		{"structured event beside headers", structured(``), append([]string{asEvent}, "Ce-Id: other"), notify.Message{Properties: attributes}},
		{"structured event with escaped names", `{"\u0069d":"7","specversion":"1.0","source":"/shop","type":"order.made"}`, []string{asEvent}, notify.Message{Properties: attributes}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &target{say: func(*notify.Message) notify.Result { return notify.Result{Placed: true, Partition: "3", Sequence: 42} }}
			a := keep(t, start(t, s, nil), request("", row.body, row.headers...))
			if a.status != 201 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			got := s.messages()
			if len(got) != 1 || s.hubs[0] != "in-orders" {
				t.Fatalf("got %d messages in %q", len(got), s.hubs)
			}
			m := got[0]
			if want := fmt.Sprintf(`{"hub":"orders","id":"%s","partition":"3","sequence":42}`, m.ID); a.body != want {
				t.Errorf("answer %s, want %s", a.body, want)
			}
			m.ID = ""
			if len(m.Body) == 0 {
				m.Body = nil
			}
			if !reflect.DeepEqual(m, row.want) {
				t.Errorf("got  %+v\nwant %+v", m, row.want)
			}
		})
	}
}

// TestBadEvents has a row for each rule of CloudEvents; a mistake in a header is 400, one in a body 422.
func TestBadEvents(t *testing.T) {
	t.Parallel()
	good := map[string]string{"specversion": `"1.0"`, "id": `"7"`, "source": `"/shop"`, "type": `"t"`}
	for _, row := range []struct {
		name, attribute, value string // value "": left out; JSON
		binary                 bool   // can be sent in a header as well
	}{
		{"no specversion", "specversion", "", true},
		{"old version", "specversion", `"0.3"`, true},
		{"no id", "id", "", true},
		{"empty id", "id", `""`, true},
		{"id is a number", "id", "7", false},
		{"no source", "source", "", true},
		{"null source", "source", "null", false},
		{"source not a reference", "source", `"a\u007fb"`, true},
		{"source with a bad escape", "source", `"/a%zz"`, true},
		{"source that ends in an escape", "source", `"/a%2"`, false},
		{"no type", "type", "", true},
		{"bad time", "time", `"yesterday"`, true},
		{"bad schema", "dataschema", `"/relative"`, true},
		{"empty subject", "subject", `""`, true},
		{"name with a capital", "myExt", `"x"`, false},
		{"name with a dash", "my-ext", `"x"`, true},
		{"name too long", strings.Repeat("n", 65), `"x"`, true},
		{"object as extension", "ext", `{}`, false},
		{"fraction as extension", "ext", `1.5`, false},
		{"integer too large", "ext", `2147483648`, false},
		{"control character", "ext", `"a\u0001"`, false},
		{"key too long", "partitionkey", `"` + strings.Repeat("k", 129) + `"`, true},
		{"bad base64", "data_base64", `"AA"`, false},
		{"base64 with a line break", "data_base64", `"AP\n8="`, false},
		{"base64 is a number", "data_base64", `1`, false},
		{"bad content type", "datacontenttype", `"json"`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			attributes := maps.Clone(good)
			if attributes[row.attribute] = row.value; row.value == "" {
				delete(attributes, row.attribute)
			}
			var members, headers []string
			for name, value := range attributes {
				members = append(members, `"`+name+`":`+value)
				var s string
				json.Unmarshal([]byte(value), &s)
				headers = append(headers, "Ce-"+name+": "+s)
			}
			s := &target{}
			g := start(t, s, nil)
			text := "{" + strings.Join(members, ",") + "}"
			if a := keep(t, g, request("", text, asEvent)); a.status != 422 || a.problem() != "invalid-message" {
				t.Errorf("structured: got %d %s", a.status, a.body)
			}
			if a := keep(t, g, request(":batch", "["+text+"]", asEvents)); a.status != 422 || !slices.Equal(a.items(), []int{422}) {
				t.Errorf("batch: got %d %s", a.status, a.body)
			}
			if row.binary {
				if a := keep(t, g, request("", "", headers...)); a.status != 400 || a.problem() != "bad-header" {
					t.Errorf("binary: got %d %s", a.status, a.body)
				}
			}
			if n := len(s.messages()); n > 0 {
				t.Errorf("%d messages were stored", n)
			}
		})
	}
}

// TestBadEventsOfOneMode are mistakes that only one mode can have.
func TestBadEventsOfOneMode(t *testing.T) {
	t.Parallel()
	g := start(t, &target{}, func(o *gateway.Options) { o.Limits.PropertiesMax = 6 })
	head := []string{"Ce-Specversion: 1.0", "Ce-Id: 7", "Ce-Source: /s", "Ce-Type: t"}
	const text = `"specversion":"1.0","id":"7","source":"/s","type":"t"`
	for _, row := range []struct {
		name    string
		body    string
		headers []string
		status  int
	}{
		{"ce-datacontenttype", "", append(head, "Ce-Datacontenttype: text/plain"), 400},
		{"ce-data", "", append(head, "Ce-Data: x"), 400},
		{"bad escape", "", append(head, "Ce-X: 100%"), 400},
		{"escape of a byte", "", append(head, "Ce-X: %ff"), 400},
		{"open quote", "", append(head, `Ce-X: "a`), 400},
		{"quote within quotes", "", append(head, `Ce-X: "a"b"`), 400},
		{"keys differ", "", append(head, "Ce-Partitionkey: a", "Partition-Key: b"), 400},
		{"key and partition", "", append(head, "Ce-Partitionkey: a", "Partition-Id: 1"), 400},
		{"twice", "", append(head, "Ce-Id: 7"), 400},
		{"too many attributes", "", append(head, "Ce-A: 1", "Ce-B: 1", "Ce-C: 1"), 400},
		{"not JSON though it says so", "x", append(head, asJSON), 400},
		{"not an object", "[1]", []string{asEvent}, 422},
		{"attribute twice", "{" + text + `,"id":"8"}`, []string{asEvent}, 422},
		{"attribute twice, escaped", "{" + text + `,"\u0069d":"8"}`, []string{asEvent}, 422},
		{"data twice over", "{" + text + `,"data":1,"data_base64":""}`, []string{asEvent}, 422},
		{"object as text", "{" + text + `,"datacontenttype":"text/plain","data":{}}`, []string{asEvent}, 422},
		{"bytes that are not the JSON they say", "{" + text + `,"datacontenttype":"application/json","data_base64":"AP8="}`, []string{asEvent}, 422},
		{"too many members", "{" + text + `,"a":"","b":"","c":""}`, []string{asEvent}, 422},
	} {
		if a := keep(t, g, request("", row.body, row.headers...)); a.status != row.status {
			t.Errorf("%s: got %d %s, want %d", row.name, a.status, a.body, row.status)
		}
	}
}

// TestEnvelope has a row for every form of an item.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 129)
	for _, row := range []struct {
		name string
		item string
		want *notify.Message // nil: refused with 422
	}{
		{"body", `{"body": {"b" :1,"a":1} }`, &notify.Message{Body: []byte(`{"b" :1,"a":1}`), ContentType: "application/json"}},
		{"body null", `{"body":null}`, &notify.Message{Body: []byte(`null`), ContentType: "application/json"}},
		{"body with doubled names", `{"body":{"a":1,"a":2}}`, &notify.Message{Body: []byte(`{"a":1,"a":2}`), ContentType: "application/json"}},
		{"text", `{"text":"é\n\"\ud83d\ude00"}`, &notify.Message{Body: []byte("é\n\"😀"), ContentType: "text/plain; charset=utf-8"}},
		{"base64", `{"base64":"AP8="}`, &notify.Message{Body: []byte("\x00\xff"), ContentType: "application/octet-stream"}},
		{"all", `{"properties":{"s":"x","i":-9007199254740993,"f":1.5,"big":1e30,"t":true},"partition":"4","contentType":"text/csv","id":"my-1","text":"a,b"}`,
			&notify.Message{ID: "my-1", Body: []byte("a,b"), ContentType: "text/csv", Partition: "4",
				Properties: map[string]any{"s": "x", "i": int64(-9007199254740993), "f": 1.5, "big": 1e30, "t": true}}},
		{"key", `{"body":1,"key":"k"}`, &notify.Message{Body: []byte("1"), ContentType: "application/json", Key: "k"}},
		{"text of JSON", `{"text":"{}","contentType":"application/json"}`, &notify.Message{Body: []byte("{}"), ContentType: "application/json"}},

		{"nothing", `{}`, nil},
		{"no object", `7`, nil},
		{"null", `null`, nil},
		{"body and text", `{"body":1,"text":"a"}`, nil},
		{"unknown member", `{"body":1,"Key":"k"}`, nil},
		{"body twice", `{"body":1,"body":2}`, nil},
		{"id twice", `{"body":1,"id":"a","\u0069d":"b"}`, nil},
		{"text not a string", `{"text":1}`, nil},
		{"base64 not a string", `{"base64":[]}`, nil},
		{"base64 without padding", `{"base64":"AA"}`, nil},
		{"base64 with spare bits", `{"base64":"AB=="}`, nil},
		{"id empty", `{"body":1,"id":""}`, nil},
		{"id too long", `{"body":1,"id":"` + long + `"}`, nil},
		{"id a number", `{"body":1,"id":1}`, nil},
		{"key empty", `{"body":1,"key":""}`, nil},
		{"key null", `{"body":1,"key":null}`, nil},
		{"key and partition", `{"body":1,"key":"k","partition":"1"}`, nil},
		{"partition a number", `{"body":1,"partition":1}`, nil},
		{"partition negative", `{"body":1,"partition":"-1"}`, nil},
		{"content type of body", `{"body":1,"contentType":"text/plain"}`, nil},
		{"content type malformed", `{"text":"","contentType":"a b/c"}`, nil},
		{"text that is not the JSON it says", `{"text":"{","contentType":"application/json"}`, nil},
		{"properties no object", `{"body":1,"properties":[]}`, nil},
		{"property twice", `{"body":1,"properties":{"a":1,"a":2}}`, nil},
		{"property null", `{"body":1,"properties":{"a":null}}`, nil},
		{"property object", `{"body":1,"properties":{"a":{}}}`, nil},
		{"property beyond any number", `{"body":1,"properties":{"a":1e999}}`, nil},
		{"property of an event", `{"body":1,"properties":{"cloudEvents:id":"1"}}`, nil},
		{"property without name", `{"body":1,"properties":{"":1}}`, nil},
		{"property name too long", `{"body":1,"properties":{"` + long + `":1}}`, nil},
		{"too many properties", `{"body":1,"properties":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}}`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &target{}
			g := start(t, s, func(o *gateway.Options) { o.Limits.PropertiesMax = 5 })
			a := serve(t, g, request(":batch", ` { "items" : [ `+row.item+` ] } `, asJSON))
			if row.want == nil {
				if a.status != 422 || !slices.Equal(a.items(), []int{422}) || len(s.messages()) > 0 {
					t.Fatalf("got %d %s", a.status, a.body)
				}
				return
			}
			if a.status != 201 || len(s.messages()) != 1 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			got := s.messages()[0]
			if row.want.ID == "" {
				got.ID = ""
			}
			if !reflect.DeepEqual(got, *row.want) {
				t.Errorf("got  %+v\nwant %+v", got, *row.want)
			}
		})
	}
}

// TestBatchInPart wants one result an item, in order, whatever befell the others.
func TestBatchInPart(t *testing.T) {
	t.Parallel()
	fates := map[string]notify.Reason{`"large"`: notify.TooLarge, `"busy"`: notify.Busy, `"lost"`: notify.Unknown}
	s := &target{say: func(m *notify.Message) notify.Result {
		if reason, ok := fates[string(m.Body)]; ok {
			return failing(reason, "text")(m)
		}
		return notify.Result{Placed: true, Partition: "0", Sequence: 5}
	}}
	g := start(t, s, func(o *gateway.Options) { o.Limits.BodyBytesMax = 50 })
	for _, row := range []struct {
		name   string
		bodies []string
		status int
		items  []int
		worst  string // problem, if nothing was stored
		waits  bool
	}{
		{"all stored", []string{`1`, `2`}, 201, []int{201, 201}, "", false},
		{"one of each", []string{`1`, `"large"`, `"busy"`, `"lost"`, `2`}, 207, []int{201, 413, 503, 504, 201}, "", true},
		{"one refused by us", []string{`1`, `"` + strings.Repeat("x", 60) + `"`}, 207, []int{201, 413}, "", false},
		{"none, one kind", []string{`"busy"`, `"busy"`}, 503, []int{503, 503}, "busy", true},
		{"none, a lost one before all", []string{`"large"`, `"lost"`, `"busy"`}, 504, []int{413, 504, 503}, "outcome-unknown", true},
		{"none, the service before the sender", []string{`"large"`, `"busy"`}, 503, []int{413, 503}, "busy", true},
		{"none, too large before invalid", []string{`"large"`, ``}, 413, []int{413, 422}, "too-large", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var items []string
			for i, body := range row.bodies {
				if body != "" {
					body = `"body":` + body + `,`
				}
				items = append(items, fmt.Sprintf(`{%s"id":"id-%d"}`, body, i))
			}
			a := keep(t, g, request(":batch", `{"items":[`+strings.Join(items, ",")+`]}`, asJSON))
			if a.status != row.status || !slices.Equal(a.items(), row.items) || a.problem() != row.worst {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			if waits := a.header.Get("Retry-After") != ""; waits != row.waits {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
			list := a.json["items"].([]any)
			for i := range list {
				item := list[i].(map[string]any)
				if item["id"] != fmt.Sprintf("id-%d", i) {
					t.Errorf("item %d is called %v", i, item["id"])
				}
				if row.items[i] == 504 && (item["outcome"] != "unknown" || item["retryable"] != true) {
					t.Errorf("item %d: %v", i, item)
				}
			}
			if row.status < 300 {
				stored, failed := a.json["stored"].(float64), a.json["failed"].(float64)
				if int(stored+failed) != len(row.items) || (failed == 0) != (row.status == http.StatusCreated) {
					t.Errorf("stored %v, failed %v", stored, failed)
				}
			}
		})
	}
}

// TestBatchOfEvents keeps order, data and keys.
func TestBatchOfEvents(t *testing.T) {
	t.Parallel()
	s := &target{}
	a := keep(t, start(t, s, nil), request(":batch", `[
		{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1},"partitionkey":"k"},
		{"specversion":"1.0","id":"2","source":"/s","type":"t","datacontenttype":"text/plain","data":"two"}]`, asEvents))
	if a.status != 201 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	got := s.messages()
	if len(got) != 2 || string(got[0].Body) != `{"n":1}` || got[0].Key != "k" || string(got[1].Body) != "two" || got[1].Properties["cloudEvents:id"] != "2" {
		t.Errorf("got %+v", got)
	}
}
