package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/notify"
)

// checkMessage is what must be true of every message that is sent, whatever came in.
func checkMessage(t *testing.T, m *notify.Message) {
	t.Helper()
	if m.ID == "" || len(m.ID) > 128 || len(m.Key) > 128 || m.Key != "" && m.Partition != "" || len(m.Properties) > 64+3 {
		t.Errorf("%+v", m)
	}
	if isJSON := m.ContentType == "application/json" || strings.HasSuffix(m.ContentType, "+json"); isJSON && !json.Valid(m.Body) {
		t.Errorf("%s is not %s", m.Body, m.ContentType)
	}
	for name, value := range m.Properties {
		switch v := value.(type) {
		case bool, int32, int64, float64:
		case string:
			if !utf8.ValidString(v) {
				t.Errorf("property %q is %q", name, v)
			}
		default:
			t.Errorf("property %q is a %T", name, v)
		}
	}
	if id, isEvent := m.Properties["cloudEvents:id"]; isEvent {
		for _, name := range []string{"specversion", "source", "type"} {
			if s, _ := m.Properties["cloudEvents:"+name].(string); s == "" {
				t.Errorf("event %v without %s", id, name)
			}
		}
	}
}

// FuzzBatch wants every batch to be answered with as many results as it has items, and the stored ones to be sound.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{
		`{"items":[{"body":{"a":[1,2]},"key":"k"},{"text":"x","properties":{"a":1}},{"base64":"AA==","partition":"0","id":"i"}]}`,
		`{"items":[{"body":1,"body":2},null,7,"",{"\u0062ody":"\ud800"}]}`,
		`[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}},{"specversion":"1.0","id":"2","source":"a","type":"t","data_base64":"AA==","x":true}]`,
		`[]`, `{"items":[]}`, ` [ { } ] `, `{"items":[{"body":"]}\"\\"}]}`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, body string, events bool) {
		s := &target{}
		contentType := asJSON
		if events {
			contentType = asEvents
		}
		a := serve(t, start(t, s, nil), request(":batch", body, contentType))
		var list []json.RawMessage
		if envelope := (struct{ Items *[]json.RawMessage }{&list}); events {
			json.Unmarshal([]byte(body), &list)
		} else {
			json.Unmarshal([]byte(body), &envelope)
		}
		stored := 0
		for _, status := range a.items() {
			if status == http.StatusCreated {
				stored++
			}
		}
		got := s.messages()
		if stored != len(got) || (a.status < 300) != (stored > 0) {
			t.Errorf("%d messages sent, answer %d %s", len(got), a.status, a.body)
		}
		if n := len(a.items()); n > 0 && n != len(list) {
			t.Errorf("%d results for %d items: %s", n, len(list), a.body)
		}
		for i := range got {
			checkMessage(t, &got[i])
		}
	})
}

// FuzzEvent wants binary and structured events to be stored whole or refused.
func FuzzEvent(f *testing.F) {
	f.Add("Specversion: 1.0\nId: 1\nSource: /s\nType: t\nTime: 2026-01-01T00:00:00Z", "data", "text/plain")
	f.Add("Specversion: 1.0\nId: %41\nSource: \"/s\"\nType: t\nPartitionkey: k\nX: %zz", `{"a":1}`, "application/json")
	f.Add("", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"x","datacontenttype":"text/plain"}`, "application/cloudevents+json")
	f.Add("", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"eyJh","ext":5,"f":false}`, "application/cloudevents+json; charset=utf-8")
	f.Fuzz(func(t *testing.T, headers, body, contentType string) {
		s := &target{}
		r := request("", body)
		r.Header["Content-Type"] = []string{contentType}
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			r.Header["Ce-"+name] = append(r.Header["Ce-"+name], value)
		}
		a := serve(t, start(t, s, nil), r)
		got := s.messages()
		if (a.status == http.StatusCreated) != (len(got) == 1) || len(got) > 1 || a.status >= 500 {
			t.Errorf("%d messages sent, answer %d %s", len(got), a.status, a.body)
		}
		for i := range got {
			checkMessage(t, &got[i])
		}
	})
}
