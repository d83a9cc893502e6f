package gateway_test

import (
	"strings"
	"testing"
)

// TestHalfOfPair wants a string that cannot be stored as it was written to be refused, with its place, and no other.
func TestHalfOfPair(t *testing.T) {
	t.Parallel()
	const event = `"specversion":"1.0","id":"7","source":"/s","type":"t"`
	item := func(text string) string { return `{"items":[{"body":1},` + text + `]}` }
	for _, row := range []struct {
		name, path, body, contentType string
		pointer                       string // "": stored
		stored                        string
	}{
		{"high half as text", ":batch", item(`{"text":"a\ud800"}`), asJSON, "/items/1/text", ""},
		{"low half as text", ":batch", item(`{"text":"\uDC00b"}`), asJSON, "/items/1/text", ""},
		{"halves in wrong order", ":batch", item(`{"text":"\udc00\ud800"}`), asJSON, "/items/1/text", ""},
		{"high half twice", ":batch", item(`{"text":"\ud83d\ud83d\ude00"}`), asJSON, "/items/1/text", ""},
		{"halves apart", ":batch", item(`{"text":"\ud83d \ude00"}`), asJSON, "/items/1/text", ""},
		{"half before another escape", ":batch", item(`{"text":"\ud83d\n"}`), asJSON, "/items/1/text", ""},
		{"id", ":batch", item(`{"body":1,"id":"\ud800"}`), asJSON, "/items/1/id", ""},
		{"key", ":batch", item(`{"body":1,"key":"\ud800"}`), asJSON, "/items/1/key", ""},
		{"property", ":batch", item(`{"body":1,"properties":{"a~/b":"\ud800"}}`), asJSON, "/items/1/properties/a~0~1b", ""},
		{"name of a property", ":batch", item(`{"body":1,"properties":{"\ud800":1}}`), asJSON, "/items/1/properties", ""},
		{"name of a member", ":batch", `{"items":[{"body":1,"\ud800":1}]}`, asJSON, "/items/0", ""},
		{"attribute", ":batch", `[{` + event + `,"subject":"\ud800"}]`, asEvents, "/0/subject", ""},
		{"attribute, structured", "", `{` + event + `,"subject":"\ud800"}`, asEvent, "/subject", ""},
		{"data as text", "", `{` + event + `,"datacontenttype":"text/plain","data":"\ud800"}`, asEvent, "/data", ""},

		{"pair", ":batch", item(`{"text":"\ud83d\ude00\uD83D\uDE00"}`), asJSON, "", `😀😀`},
		{"escaped backslash", ":batch", item(`{"text":"\\ud800"}`), asJSON, "", `\ud800`},
		{"escaped backslashes and a pair", ":batch", item(`{"text":"\\\\\ud83d\ude00\\"}`), asJSON, "", `\\😀\`},
		{"neighbours of surrogates", ":batch", item(`{"text":"\ud7ff\ue000"}`), asJSON, "", "\ud7ff\ue000"},
		{"body", ":batch", item(`{"body":"\ud800"}`), asJSON, "", `"\ud800"`},
		{"data as JSON", "", `{` + event + `,"data":"\ud800"}`, asEvent, "", `"\ud800"`},
		{"JSON as it is", "", `"\ud800"`, asJSON, "", `"\ud800"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &target{}
			a := keep(t, start(t, s, nil), request(row.path, row.body, row.contentType))
			if row.pointer == "" {
				got := s.messages()
				if body := string(got[len(got)-1].Body); a.status != 201 || body != row.stored {
					t.Errorf("got %d %s, stored %q", a.status, a.body, body)
				}
				return
			}
			refusal := a.json
			if items, ok := a.json["items"].([]any); ok {
				refusal, _ = items[len(items)-1].(map[string]any)
			}
			if refusal["status"] != 422.0 || refusal["type"] != "https://evhub.dev/problems/invalid-message" || refusal["pointer"] != row.pointer {
				t.Errorf("got %d %s, want 422 at %s", a.status, a.body, row.pointer)
			}
			for _, m := range s.messages() {
				if strings.Contains(string(m.Body), "\ufffd") {
					t.Errorf("stored %q", m.Body)
				}
			}
		})
	}
}
