package jwt

import (
	"strings"
	"testing"
)

func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   *Error
		realm string
		want  string
	}{
		{"no token", &Error{Status: 401, Text: "x"}, "evhub", `Bearer realm="evhub"`},
		{"token", &Error{Status: 401, Code: "invalid_token", Text: "expired"}, "evhub", `Bearer realm="evhub", error="invalid_token", error_description="expired"`},
		{"request", &Error{Status: 400, Code: "invalid_request", Text: "two"}, "", `Bearer realm="", error="invalid_request", error_description="two"`},
		{"right", &Error{Status: 403, Code: "insufficient_scope", Text: "no"}, "r", `Bearer realm="r", error="insufficient_scope", error_description="no"`},
		{"quotes", &Error{Status: 401, Code: "invalid_token", Text: "a \"b\" \\c"}, `x" y="`, `Bearer realm="x' y='", error="invalid_token", error_description="a 'b' 'c"`},
		{"beyond ASCII", &Error{Status: 401, Code: "invalid_token", Text: "ä\r\nX: y\x7f"}, "é", `Bearer realm="?", error="invalid_token", error_description="???X: y?"`},
		{"not the token's fault", &Error{Status: 503}, "evhub", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.err.Challenge(tt.realm); got != tt.want {
				t.Errorf("%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestReasonsHaveNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for r := Reason(1); r < reasonCount; r++ {
		name := r.String()
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" || seen[name] {
			t.Errorf("reason %d is called %q", uint8(r), name)
		}
		seen[name] = true
	}
	if got := Reason(200).String(); got != "reason(200)" {
		t.Error(got)
	}
}
