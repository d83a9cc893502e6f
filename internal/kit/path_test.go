package kit

import (
	"slices"
	"strings"
	"testing"
)

func TestPathFinds(t *testing.T) {
	t.Parallel()
	body, err := parseJSON([]byte(`{"State":"paid","lines":[{"sku":"a"},{"sku":"b"}],"odd.name":{"x\"y":1},"":2,"$":3,"0":"zero","null":null,"q'":4,"b\\":5}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"State", "paid"},
		{"$.State", "paid"},
		{"lines[1].sku", "b"},
		{"lines.1.sku", "b"},
		{"lines[-1].sku", "b"},
		{"lines[-2]['sku']", "a"},
		{`["odd.name"]["x\"y"]`, "1"},
		{`$['odd.name']`, `{"x\"y":1}`},
		{`[""]`, "2"},
		{`["$"]`, "3"},
		{`["q'"]`, "4"},
		{`['q\'']`, "4"},
		{`["b\\"]`, "5"},
		{"0", "zero"},
		{"null", "null"},
		{"lines[2]", "nothing"},
		{"lines[-3]", "nothing"},
		{"lines.sku", "nothing"},
		{"[0]", "nothing"},
		{"State.x", "nothing"},
		{"none", "nothing"},
	} {
		path, err := parsePath(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		got := "nothing"
		if v, ok := path.find(body); ok {
			got = shown(v)
		}
		if got != c.want {
			t.Errorf("%s finds %s, want %s", c.path, got, c.want)
		}
	}
	for _, whole := range []string{"", "$"} {
		if path, err := parsePath(whole); err != nil || len(path) != 0 {
			t.Errorf("%q: %v, %v; want the whole value", whole, path, err)
		}
	}
}

func TestPathErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, want string }{
		{".", "at byte 0: a name is missing"},
		{"a.", "at byte 2: a name is missing"},
		{"a..b", "at byte 2: a name is missing"},
		{"a]", `at byte 1: ']' stands where '.' or '[' must follow`},
		{"a[", "not closed by ']'"},
		{"a[]", `"" is neither an index nor a name in quotes`},
		{"a[x]", `"x" is neither an index nor a name in quotes`},
		{"a[+1]", `"+1" is neither an index`},
		{"a[99999999999]", "is neither an index"},
		{`a["b]`, "the quote is not closed"},
		{`a["b"`, "the bracket is not closed"},
		{`a["b"x]`, "the bracket is not closed"},
		{"a[0]b", `at byte 4: 'b' stands where`},
		{strings.Repeat("a", pathBytesMax+1), "a path may have 4096"},
	} {
		if _, err := parsePath(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: error %v, want one with %q", c.path, err, c.want)
		}
	}
}

// FuzzPath: no text harms the parser, and what it reads it writes so that it reads the same again.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"State", "$.lines[0].sku", `["odd.name"]['x\'y']`, "$", "$a", "a[-1]", "a.0", `["\\"]`, `a\b`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := parsePath(text)
		if err != nil {
			return
		}
		again, err := parsePath(path.String())
		if len(path.String()) <= pathBytesMax && (err != nil || !slices.Equal(path, again)) {
			t.Errorf("%q reads as %v, is written %q and reads as %v, %v", text, path, path.String(), again, err)
		}
		path.find(map[string]any{"State": []any{"a"}, "a": map[string]any{"": 1}})
	})
}
