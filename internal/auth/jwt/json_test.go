package jwt

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     string // in the error; "": none
	}{
		{"empty", `{}`, ""},
		{"space everywhere", " { \"a\" : [ 1 , { } , [ ] ] , \"b\" : \"\" }\r\n\t", ""},
		{"all kinds", `{"a":1.5e-3,"b":"x","c":true,"d":false,"e":null,"f":[],"g":{}}`, ""},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9"}`, ""},
		{"brackets in strings", `{"a":"}],{[","b":"\"}"}`, ""},
		{"surrogate pair in a name", `{"\ud83d\ude00":1}`, ""},
		{"nothing", ``, "not JSON"},
		{"only space", ` `, "not JSON"},
		{"text", `"a"`, "not a JSON object"},
		{"open", `{"a":1`, "not JSON"},
		{"leading zero", `{"a":01}`, "not JSON"},
		{"control character", "{\"a\":\"\x01\"}", "not JSON"},
		{"name without quotes", `{a:1}`, "not JSON"},
		{"single quotes", `{'a':1}`, "not JSON"},
		{"same name, by escape", `{"a":1,"\u0061":1}`, "two members"},
		{"same name deeper, in an array", `{"a":[[{"b":1,"b":2}]]}`, "two members"},
		{"same name deeper, in other objects", `{"a":{"b":1},"c":{"b":1},"b":1}`, ""},
		{"empty name twice", `{"":1,"":2}`, "two members"},
		{"Greek sigma in three forms", `{"σ":1,"ς":2}`, "two members"},
		{"accents are no case", `{"e":1,"é":2}`, ""},
		{"half a pair in a name", `{"\udc00":1}`, "surrogate"},
		{"half a pair at the end", `{"a":"\ud83d"}`, "surrogate"},
		{"half a pair before an escape", `{"a":"\ud83d\n"}`, "surrogate"},
		{"control in a name", `{"a\u009f":1}`, "control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseObject([]byte(tt.in))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzParseObject holds the reader against encoding/json: what it takes, both read as the same.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[true,null,"x\u0041\ud83d\ude00"],"c":{"d":{}}}`, ` {"":""} `, `{"a":[[[]]]}`, `{"a":"\ud800"}`, `{"K":1,"k":2}`, `[`, "{\"a\":\xff}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		o, err := parseObject(in)
		var values map[string]json.RawMessage
		reference := json.Unmarshal(in, &values)
		if err != nil {
			return
		}
		if reference != nil || len(values) != len(o) {
			t.Fatalf("%d members of %d: %v", len(o), len(values), reference)
		}
		for _, m := range o {
			if got, want := string(m.raw), string(values[m.name]); got != want {
				t.Errorf("%q is %q, want %q", m.name, got, want)
			}
			if s, ok := text(m.raw); ok {
				var want string
				if err := json.Unmarshal(m.raw, &want); err != nil || s != want {
					t.Errorf("%q is read as %q, want %q, %v", m.raw, s, want, err)
				}
			}
			if list, ok := elements(m.raw); ok {
				var want []json.RawMessage
				if err := json.Unmarshal(m.raw, &want); err != nil || len(list) != len(want) {
					t.Errorf("%q has %d elements, want %d, %v", m.raw, len(list), len(want), err)
				}
			}
			o.path("a.b.c." + m.name)
		}
	})
}
