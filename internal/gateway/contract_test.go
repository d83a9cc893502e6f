package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// contract is openapi.json, loaded once.
var contract = sync.OnceValues(func() (routers.Router, error) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

func TestDescription(t *testing.T) {
	t.Parallel()
	if _, err := contract(); err != nil {
		t.Fatal(err)
	}
}

// keep serves a request and holds its answer to the contract, and the request too if it was taken. Paths that the contract does not have
// are answered with 404, methods with 405.
func keep(t testing.TB, g http.Handler, r *http.Request) reply {
	t.Helper()
	router, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		body = string(b)
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	a := read(t, w.Result())
	route, params, err := router.FindRoute(r)
	if err != nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed && a.status != http.StatusNoContent {
			t.Errorf("status %d on %s %s, which the contract does not have: %v", a.status, r.Method, r.URL.Path, err)
		}
		return a
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
	}}
	if r.Body = io.NopCloser(strings.NewReader(body)); a.status < http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("the request was taken, and the contract does not have it: %v", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes([]byte(a.body))); err != nil {
		t.Errorf("the answer %d is not in the contract: %v\n%s", a.status, err, a.body)
	}
	return a
}

// allows tells whether the contract has a request.
func allows(t *testing.T, r *http.Request) bool {
	t.Helper()
	router, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	route, params, err := router.FindRoute(r)
	if err != nil {
		t.Fatal(err)
	}
	return openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}) == nil
}

// TestContractIsExact wants the contract to allow what is taken and nothing else, at the edges of its rules.
func TestContractIsExact(t *testing.T) {
	t.Parallel()
	long := strings.Repeat
	header := func(name string, values ...string) (rows [][]string) {
		for _, value := range values {
			rows = append(rows, []string{"", "x", name + ": " + value})
		}
		return rows
	}
	event := func(name string, values ...string) (rows [][]string) {
		required := map[string]string{"specversion": `"1.0"`, "id": `"7"`, "source": `"/s"`, "type": `"t"`}
		for _, value := range values {
			text := ""
			for other, preset := range required {
				if other != name {
					text += `"` + other + `":` + preset + ","
				}
			}
			rows = append(rows, []string{"", "{" + text + `"` + name + `":` + value + "}", asEvent})
		}
		return rows
	}
	binary := func(name string, values ...string) (rows [][]string) {
		required := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "7", "Ce-Source": "/s", "Ce-Type": "t"}
		for _, value := range values {
			row := []string{"", "x", name + ": " + value}
			for other, preset := range required {
				if other != name {
					row = append(row, other+": "+preset)
				}
			}
			rows = append(rows, row)
		}
		return rows
	}
	item := func(texts ...string) (rows [][]string) {
		for _, text := range texts {
			rows = append(rows, []string{":batch", `{"items":[{` + text + `}]}`, asJSON})
		}
		return rows
	}
	times := []string{
		"2026-11-23T10:00:00Z", "2026-11-23t10:00:00.123456789012z", "2026-11-23T23:59:60+23:59", "2024-02-29T00:00:00-00:00", "2000-02-29T00:00:00Z",
		"2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z",
		"2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z", "2026-11-23T10:00:61Z", "2026-11-23T10:00:00", "2026-11-23T10:00:00.Z", "2026-11-23T10:00:00,5Z",
		"2026-11-23 10:00:00Z", "2026-11-23T10:00:00+24:00", "2026-11-23T10:00:00+0100", "2026-11-23T10:00Z", "2026-11-23", "26-11-23T10:00:00Z", "yesterday",
		"2026-11-23T10:00:00+01:60", "2026-11-23T1:00:00.000Z", "2026-11-23T10:00:00Zx",
	}
	var quoted []string
	for _, text := range times {
		quoted = append(quoted, `"`+text+`"`)
	}
	rows := slices.Concat(
		header("Idempotency-Key", "k", `"k"`, `"a\"b\\"`, `"a\b"`, `a"b`, `"a`, `""`, `"a";b`, "ä", long("k", 255), long("k", 256), `"`+long("k", 255)+`"`,
			`"`+long("k", 256)+`"`, `"`+long(`\"`, 255)+`"`, "a b", `a\b`),
		header("Partition-Key", "k", "Zürich 7", long("ü", 128), long("ü", 129), "\u0085", "\ue000"),
		header("Partition-Id", "0", "9", "65535", "65536", "99999", "01", "-1", "x"),
		binary("Ce-Time", times...),
		binary("Ce-Id", "7", "a%20%E2%82%AC", "é", "100%", "%ff", "%C2%80", "%00", "%7F", "%7f", "%ED%A0%80", "%F4%90%80%80", "%F0%9F%98%80", `"a"`, `"a\"b"`, `"a"b"`, `a"b`, `"a`),
		binary("Ce-Source", "/s", "urn:a", "a b", "/a%2541", "/a%25", "/a%25zz", "%25"),
		binary("Ce-Dataschema", "urn:s", "/relative", "1a:b", "a-b+c.d:", ":", "a:%2520", "a:%25"),
		event("time", append(quoted, "null", "1")...),
		event("id", `"7"`, `""`, `"\u0001"`, `"\u0085"`, "null", "7"),
		event("source", `"/s"`, `"a b"`, `"a%20"`, `"a%2"`, `"%zz"`, `""`, `"http://[::1"`),
		event("dataschema", `"urn:s"`, `"/s"`, `"1:"`, `"a:"`, "null", `"a:%2"`),
		event("datacontenttype", `"text/plain"`, `"json"`, `"a/b;c=é"`, `"a/b ;c"`, `"`+long("a", 200)+"/"+long("b", 55)+`"`, `"`+long("a", 200)+"/"+long("b", 56)+`"`, "null", `"a/b/c"`),
		event("partitionkey", `"k"`, `""`, `"`+long("😀", 128)+`"`, `"`+long("😀", 129)+`"`, "null", "1"),
		event("subject", `"s"`, `""`, "null", "true"),
		event("ext", `""`, "true", "-2147483648", "2147483648", "1.5", "1.0", "{}", "[]", "null", `"\u0007"`),
		event("myExt", `""`), event("my-ext", `""`), event(long("n", 64), `""`), event(long("n", 65), `""`),
		event("data_base64", `""`, `"AA=="`, `"AB=="`, `"AAA="`, `"AAB="`, `"AA"`, `"AP\n8="`, `"AA==AA=="`, `"-_8="`, "1"),
		event("data", `1`, `{}`, `"a"`, `1,"datacontenttype":"text/plain"`, `"a","datacontenttype":"text/plain"`, `1,"datacontenttype":"a/b+JSON; c"`,
			`1,"datacontenttype":"TEXT/json"`, `1,"data_base64":""`, `1,"datacontenttype":null`, `1,"datacontenttype":"a/json"`),
		item(`"body":1`, `"text":""`, `"base64":""`, `"base64":"AB=="`, `"base64":"AA"`, `"body":1,"text":""`, `"body":1,"base64":"","contentType":"a/b"`, `"body":1,"contentType":"a/b"`,
			`"body":1,"contentType":"a/b+json"`, `"text":"","contentType":"a b/c"`, `"body":1,"id":""`, `"body":1,"id":"`+long("é", 128)+`"`, `"body":1,"id":"`+long("é", 129)+`"`,
			`"body":1,"key":"a","partition":"1"`, `"body":1,"partition":"65536"`, `"body":1,"x":1`, `"body":1,"key":null`, `"body":1,"key":"\u0001"`),
		item(`"body":1,"properties":{"a":1,"b":"\u0001","c":true}`, `"body":1,"properties":{"":1}`, `"body":1,"properties":{"a":null}`, `"body":1,"properties":{"a":{}}`,
			`"body":1,"properties":{"cloudEvents:id":"1"}`, `"body":1,"properties":{"a\u0001":1}`, `"body":1,"properties":{"`+long("é", 128)+`":1}`, `"body":1,"properties":{"`+long("é", 129)+`":1}`),
	)
	for _, row := range rows {
		a := serve(t, start(t, &target{}, nil), request(row[0], row[1], row[2:]...))
		if taken, allowed := a.status < 400, allows(t, request(row[0], row[1], row[2:]...)); taken != allowed {
			t.Errorf("%.300q: taken %t, in the contract %t: %d %s", row, taken, allowed, a.status, a.body)
		}
	}
}
