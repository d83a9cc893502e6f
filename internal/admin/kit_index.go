package admin

import (
	"fmt"
	"net/http"
	"strings"
)

// callJSON is a call in the index.
type callJSON struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Does    string `json:"does"`
	Example string `json:"example"` // for a shell
}

// The names that examples have in place of {space} and its like.
var exampleNames = strings.NewReplacer("{space}", defaultSpace, "{hub}", "eh1", "{group}", "audit", "{fault}", "f1")

// listCalls is text unless JSON is asked for: whoever looks here is a person.
func (v *visit) listCalls() (*answer, error) {
	if strings.Contains(v.r.Header.Get("Accept"), "application/json") {
		return &answer{body: map[string]any{"calls": v.shownCalls()}}, nil
	}
	var b strings.Builder
	b.WriteString("The test kit: what is stored, waited for and made to fail. With Accept: text/plain all answers are text, errors as well.\n")
	b.WriteString("The space \"default\" is the broker's own namespace.\n")
	for _, c := range v.shownCalls() {
		fmt.Fprintf(&b, "\n%s %s\n    %s\n    %s\n", c.Method, c.Path, c.Does, c.Example)
	}
	return &answer{text: strings.TrimSuffix(b.String(), "\n")}, nil
}

func (v *visit) shownCalls() (list []callJSON) {
	for _, c := range calls() {
		list = append(list, callJSON{c.method, kitRoot + c.path, c.does, c.example(v.r.Host)})
	}
	return list
}

// example is a command line that does the call.
func (c *call) example(host string) string {
	if !isEndpoint(host) {
		host = "localhost:5300"
	}
	line := "curl"
	if c.method != http.MethodGet && (c.method != http.MethodPost || c.body == "") {
		line += " -X " + c.method
	}
	if c.body != "" {
		line += " -H 'Content-Type: application/json' -d '" + c.body + "'"
	}
	url := "http://" + host + kitRoot + exampleNames.Replace(c.path)
	if c.query != "" {
		url += "?" + c.query
	}
	return line + " '" + url + "'"
}
