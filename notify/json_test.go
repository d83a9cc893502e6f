package notify

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// Types of an application.
type (
	date   struct{ year, month, day int }
	clock  struct{ time.Duration }
	uuid   [16]byte
	colour string
	level  int
	point  struct {
		X int `json:"x"`
		Y int `json:"y"`
	}
	order struct {
		ID       int           `json:"id"`
		Customer *string       `json:"customer"`
		Lines    []string      `json:"lines"`
		Took     time.Duration `json:"took"`
	}
)

func (d date) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%04d-%02d-%02d", d.year, d.month, d.day), nil
}

func (c clock) MarshalText() ([]byte, error) {
	at := time.Time{}.Add(c.Duration)
	if c.Duration%time.Second == 0 {
		return at.AppendFormat(nil, time.TimeOnly), nil
	}
	return at.AppendFormat(nil, "15:04:05.000000"), nil
}

func (u uuid) MarshalText() ([]byte, error) {
	s := hex.EncodeToString(u[:])
	return []byte(strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")), nil
}

// golden is a row of testdata/golden.json: what pydantic makes of {"v": <the expression>}.
type golden struct{ Name, Python, JSON, Error string }

// twin is the Go value that stands for a row's Python value.
type twin struct {
	v       any
	differs string // why Go's bytes are not pydantic's; "": they are
}

const (
	zoned     = "a time.Time always has a zone; a type of one's own with MarshalText can leave it out"
	trimmed   = "time.Time shows as many digits as it has, as encoding/json does; readers take both"
	noForm    = "pydantic writes null, and so hides what went wrong; here it is an error"
	shortest  = "a float64 may be a whole number that came in as JSON: Go reads all numbers as float64, and 3.0 is no integer to many readers"
	base64ed  = "[]byte is base64 in Go, which takes any bytes; text is a string"
	separator = "encoding/json escapes what ends a line in old JavaScript; the text is the same"
	sorted    = "a Go map has no order of its own, so keys are sorted; a struct keeps its order"
)

func twins() map[string]twin {
	huge := new(big.Int).Lsh(big.NewInt(1), 70)
	decimal := func(s string) *big.Float {
		f, _, err := big.ParseFloat(s, 10, 64, big.ToNearestEven)
		if err != nil {
			panic(err)
		}
		return f
	}
	at := func(nanoseconds int, zone *time.Location) time.Time {
		return time.Date(2026, 11, 22, 13, 4, 5, nanoseconds, zone)
	}
	loop := []any{nil}
	loop[0] = loop
	const day = 24 * time.Hour
	return map[string]twin{
		"text":                    {v: "plain"},
		"text empty":              {v: ""},
		"text for html":           {v: "<&>é"},
		"text quotes":             {v: `"\/`},
		"text control":            {v: "\x00\x01\b\t\n\f\r\x1f\x7f"},
		"text emoji":              {v: "😀"},
		"text lone surrogate":     {v: "\xed\xa0\x80"},
		"text line separators":    {v: "\u2028\u2029", differs: separator},
		"int":                     {v: 1},
		"int negative":            {v: int8(-7)},
		"int largest":             {v: int64(math.MaxInt64)},
		"int least":               {v: int64(math.MinInt64)},
		"int unsigned":            {v: uint64(math.MaxUint64)},
		"int huge":                {v: huge},
		"int huge negative":       {v: json.Number("-1180591620717411303424")},
		"float":                   {v: 0.1},
		"float whole":             {v: 1.0, differs: shortest},
		"float large":             {v: 1e16, differs: shortest},
		"float larger":            {v: 1e21},
		"float small":             {v: 1e-7},
		"float less small":        {v: 1e-5},
		"float largest":           {v: math.MaxFloat64},
		"float negative zero":     {v: math.Copysign(0, -1), differs: shortest},
		"float nan":               {v: math.NaN(), differs: noForm},
		"float infinity":          {v: math.Inf(1), differs: noForm},
		"float negative infinity": {v: math.Inf(-1), differs: noForm},
		"true":                    {v: true},
		"false":                   {v: false},
		"none":                    {v: nil},
		"dict empty":              {v: map[string]any{}},
		"dict nested":             {v: map[string]any{"a": map[string]any{"b": map[string]any{"c": []any{1, map[string]any{"d": nil}}}}}},
		"dict order":              {v: map[string]int{"b": 1, "a": 2}, differs: sorted},
		"dict int keys":           {v: map[int]string{1: "a", 2: "b", 10: "c"}, differs: sorted + " as text"},
		"dict bool key":           {v: map[bool]int{true: 1}, differs: "encoding/json has no rule for such keys; a key is text or a whole number"},
		"dict duration key":       {v: map[time.Duration]int{day: 1}},
		"dict html key":           {v: map[string]int{"<é>": 1}},
		"list empty":              {v: []int{}},
		"list nested":             {v: [][]any{{}, {1, []int{2}}, {nil, "a", true}}},
		"list of itself":          {v: loop},
		"tuple":                   {v: [2]any{1, "a"}},
		"set":                     {v: map[int]struct{}{3: {}}},
		"set empty":               {v: map[string]struct{}{}},
		"frozenset":               {v: map[string]struct{}{"a": {}}},
		"date":                    {v: date{2026, 11, 22}},
		"time":                    {v: clock{13*time.Hour + 4*time.Minute + 5*time.Second}},
		"time microseconds":       {v: clock{13*time.Hour + 4*time.Minute + 5*time.Second + 60*time.Microsecond}},
		"datetime naive":          {v: at(0, time.UTC), differs: zoned},
		"datetime utc":            {v: at(0, time.UTC)},
		"datetime offset":         {v: at(0, time.FixedZone("", -(5*3600+30*60)))},
		"datetime microseconds":   {v: at(123456000, time.UTC)},
		"datetime milliseconds":   {v: at(120000000, time.UTC), differs: trimmed},
		"timedelta zero":          {v: time.Duration(0)},
		"timedelta seconds":       {v: time.Second},
		"timedelta minutes":       {v: 90 * time.Minute},
		"timedelta days":          {v: day + time.Hour + 2*time.Minute + 3500*time.Millisecond},
		"timedelta week":          {v: 7 * day},
		"timedelta year":          {v: 365 * day},
		"timedelta years":         {v: 800*day + time.Second},
		"timedelta microsecond":   {v: time.Microsecond},
		"timedelta negative":      {v: -time.Second},
		"timedelta negative days": {v: -400*day - 7*time.Microsecond},
		"decimal":                 {v: decimal("1.10"), differs: "a big.Float does not keep the digits it was read from; a string, or a decimal type with MarshalText, does"},
		"decimal exponent":        {v: decimal("1E+3"), differs: "a big.Float is written without exponent up to 21 digits"},
		"decimal nan":             {v: json.Number("NaN"), differs: "no number type of Go's standard library has a NaN and a form in JSON; here it is an error"},
		"uuid":                    {v: uuid{0x0e, 0x3a, 0x20, 0x49, 0x21, 0x69, 0x4a, 0x40, 0x58, 0x07, 0x2f, 0xb1, 0x7f, 0x25, 0xeb, 0x17}},
		"bytes":                   {v: []byte("hé"), differs: base64ed},
		"bytes empty":             {v: []byte{}},
		"bytes not utf-8":         {v: []byte{0xff}, differs: base64ed},
		"enum text":               {v: colour("red")},
		"enum int":                {v: level(3)},
		"dataclass":               {v: point{1, 2}},
		"model":                   {v: &order{ID: 1, Lines: []string{"a"}, Took: time.Hour}},
		"complex":                 {v: 1 + 2i, differs: "a complex number has no form in JSON; here it is an error"},
		"object":                  {v: make(chan int)},
		"function":                {v: os.Exit},
	}
}

// TestGolden compares with pydantic, row by row: bytes are the same, or the row says why not, and says so only as long as they are not.
func TestGolden(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []golden
	if err := json.Unmarshal(file, &rows); err != nil {
		t.Fatal(err)
	}
	left := twins()
	for _, row := range rows {
		twin, ok := left[row.Name]
		if !ok {
			t.Errorf("%s: no Go value stands for %s", row.Name, row.Python)
			continue
		}
		delete(left, row.Name)
		m, err := JSON(map[string]any{"v": twin.v})
		switch same := string(m.Body) == row.JSON && (err == nil) == (row.Error == ""); {
		case !same && twin.differs == "":
			t.Errorf("%s: got %s (%v), pydantic has %s%s", row.Name, m.Body, err, row.JSON, row.Error)
		case same && twin.differs != "":
			t.Errorf("%s: is as pydantic has it, %s, though it is listed to differ: %s", row.Name, m.Body, twin.differs)
		case err == nil && !json.Valid(m.Body):
			t.Errorf("%s: not JSON: %s", row.Name, m.Body)
		}
	}
	for name := range left {
		t.Errorf("%s: not in golden.json", name)
	}
}

// Types for struct rules.
type (
	base struct {
		ID     int
		Shared string `json:"shared"`
		secret int
	}
	other struct {
		Shared string `json:"shared"`
		Other  bool
	}
	hidden struct{ Inner int }
	node   struct {
		Name string
		*node
	}
	own    struct{ n int }
	byAddr struct{ n int }
	never  struct{}
	zeroes struct{ N int }
)

func (o own) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, ` { "<own>" : %d } `, o.n), nil
}
func (b *byAddr) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "addr %d", b.n), nil }
func (never) MarshalJSON() ([]byte, error)     { return nil, errors.New("boom") }
func (z zeroes) IsZero() bool                  { return z.N == 7 }

// TestStructs: where there is no rule of our own, encoding/json says what is right.
func TestStructs(t *testing.T) {
	t.Parallel()
	seven, text := 7, "t"
	rows := []struct {
		name string
		v    any
	}{
		{"tags", struct {
			A int    `json:"a"`
			B string `json:"-"`
			C string `json:"-,"`
			D int    `json:",omitempty"`
			E int    `json:"in valid\","`
			F int    `json:"a.b-c/é"`
			G int    `xml:"g"`
			h int
		}{1, "x", "y", 0, 5, 6, 7, 8}},
		{"omitempty", struct {
			A []int           `json:",omitempty"`
			B map[string]int  `json:",omitempty"`
			C *int            `json:",omitempty"`
			D any             `json:",omitempty"`
			E [0]int          `json:",omitempty"`
			F struct{}        `json:",omitempty"`
			G float64         `json:",omitempty"`
			H bool            `json:",omitempty"`
			I time.Time       `json:",omitempty"`
			J uint8           `json:"j,omitempty"`
			K json.RawMessage `json:",omitempty"`
		}{A: []int{}}},
		{"omitzero", struct {
			A []int     `json:",omitzero"`
			B []int     `json:",omitzero"`
			C time.Time `json:",omitzero"`
			D zeroes    `json:",omitzero"`
			E zeroes    `json:",omitzero"`
			F *zeroes   `json:",omitzero"`
			G *zeroes   `json:",omitzero"`
			H struct{}  `json:",omitzero"`
			I any       `json:",omitzero"`
		}{A: []int{}, D: zeroes{7}, G: &zeroes{7}}},
		{"string", struct {
			A int         `json:",string"`
			B string      `json:",string"`
			C *bool       `json:",string"`
			D float64     `json:",string"`
			E []int       `json:",string"`
			F *int        `json:",string"`
			G json.Number `json:",string"`
			H *string     `json:",string,omitempty"`
		}{1, `a"<`, nil, 2.5, []int{3}, &seven, "12", &text}},
		{"embedded", struct {
			base
			*other
			Own int
		}{base{1, "b", 2}, &other{"o", true}, 3}},
		{"embedded nil", struct{ *other }{}},
		{"embedded, shadowed", struct {
			base
			Shared int `json:"shared"`
		}{base{1, "b", 2}, 5}},
		{"embedded, the tag wins", struct {
			base
			hidden
			ID2 int `json:"ID"`
		}{base{ID: 1}, hidden{2}, 3}},
		{"embedded, named", struct {
			base `json:"base"`
			date
		}{base{ID: 1}, date{2026, 1, 2}}},
		{"embedded in itself", node{"a", &node{"b", nil}}},
		{"embedded interface", struct{ fmt.Stringer }{time.UTC}},
		{"marshalers", []any{own{1}, &own{2}, (*own)(nil), byAddr{3}, &byAddr{4}, []byAddr{{5}}, []own{{6}}, map[string]own{"a": {7}}}},
		{"marshalers in a struct", &struct {
			A byAddr
			B *byAddr
			C own
			D json.Marshaler
		}{B: &byAddr{1}, D: own{2}}},
		{"raw", struct{ A, B json.RawMessage }{A: json.RawMessage(` {"a" : "<" } `)}},
		{"keys", []any{map[date]int{{2026, 1, 2}: 1, {2025, 1, 2}: 2}, map[colour]int{"<": 1}, map[int8]int{-1: 1, 10: 2, 9: 3}, map[uint]bool{1: true}}},
		{"nothing", []any{[]int(nil), map[string]int(nil), (*int)(nil), error(nil), []byte(nil), struct{}{}, [0]int{}}},
		{"arrays", []any{[3]byte{1, 2, 3}, [][]byte{{1}}, []colour{"a"}, [2][1]int{{1}, {2}}}},
		{"numbers", []any{float32(0.1), 1e20, 1e21, 1e-6, 1e-7, uintptr(3), int16(-3), json.Number("1.50")}},
	}
	for _, row := range rows {
		var want bytes.Buffer
		std := json.NewEncoder(&want)
		std.SetEscapeHTML(false)
		if err := std.Encode(row.v); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		got, err := JSON(row.v)
		if err != nil || string(got.Body)+"\n" != want.String() {
			t.Errorf("%s: got  %s (%v)\nwant %s", row.name, got.Body, err, want.String())
		}
		if got.ContentType != "application/json" {
			t.Errorf("%s: content type %q", row.name, got.ContentType)
		}
	}
}

func TestOwnRules(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		v    any
		want string
	}{
		{"duration in a struct", struct {
			D time.Duration
			P *time.Duration
			O time.Duration `json:",omitempty"`
			S time.Duration `json:",string"`
		}{D: time.Minute, S: 1}, `{"D":"PT1M","P":null,"S":"PT0.000000001S"}`},
		{"longest durations", []time.Duration{math.MaxInt64, math.MinInt64},
			`["P292Y171DT23H47M16.854775807S","-P292Y171DT23H47M16.854775808S"]`},
		{"durations apart", []time.Duration{24 * time.Hour, 24*time.Hour + 1, 61 * time.Second, time.Hour + time.Second},
			`["P1D","P1DT0.000000001S","PT1M1S","PT1H1S"]`},
		{"set of numbers", map[int]struct{}{10: {}, 9: {}, -1: {}, -10: {}}, `[-10,-1,9,10]`},
		{"set of unsigned numbers", map[uint8]struct{}{10: {}, 9: {}}, `[9,10]`},
		{"set of floats", map[float64]struct{}{10: {}, 9.5: {}}, `[9.5,10]`},
		{"set of text", map[string]struct{}{"b": {}, "a": {}, "<": {}}, `["<","a","b"]`},
		{"set of durations", map[time.Duration]struct{}{time.Hour: {}, time.Minute: {}}, `["PT1M","PT1H"]`},
		{"set of any", map[any]struct{}{"a": {}, 1: {}, true: {}}, `["a",1,true]`},
		{"no set", map[string]struct{}(nil), `null`},
		{"raw", json.RawMessage(" {\"a\": \"\\u003c\"}\n"), " {\"a\": \"\\u003c\"}\n"},
		{"raw nil", json.RawMessage(nil), `null`},
		{"nothing", nil, `null`},
	}
	for _, row := range rows {
		got, err := JSON(row.v)
		if err != nil || string(got.Body) != row.want {
			t.Errorf("%s: got %s (%v), want %s", row.name, got.Body, err, row.want)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	t.Parallel()
	type line struct {
		Done any `json:"done"`
	}
	type chain struct {
		Next *chain `json:"next"`
	}
	ring := &chain{}
	ring.Next = ring
	self := map[string]any{}
	self["self"] = self
	deep := any(1)
	for range jsonDepthMax + 1 {
		deep = []any{deep}
	}
	var pointer any
	pointer = &pointer
	rows := []struct {
		name string
		v    any
		want string
	}{
		{"channel", make(chan int), "a channel cannot be encoded"},
		{"nil channel", chan int(nil), "a channel cannot be encoded"},
		{"path", map[string]any{"orders": []line{{1}, {2}, {make(chan int)}}}, "orders[2].done: a channel cannot be encoded"},
		{"path through pointers", &struct{ A *line }{&line{func() {}}}, "A.done: a function cannot be encoded"},
		{"path from a list", [][]any{{}, {1, 1i}}, "[1][1]: a value of type complex128 cannot be encoded"},
		{"path with a key", map[string]any{"a b": map[int]any{7: math.NaN()}}, `["a b"].7: NaN has no form in JSON`},
		{"empty key", map[string]any{"": math.Inf(-1)}, `[""]: -Inf has no form in JSON`},
		{"path behind others", map[string]any{"a": []any{map[string]int{"x": 1}, "b"}, "c": make(chan int)}, "c: a channel cannot be encoded"},
		{"text", []string{"a", "\xff"}, "[1]: the text is not UTF-8"},
		{"key", map[string]int{"\xff": 1}, `["\xff"]: the text is not UTF-8`},
		{"kind of key", map[string]any{"a": map[float64]int{1: 1}}, "a: a map with keys of type float64 cannot be encoded"},
		{"set", map[string]any{"a": map[any]struct{}{func() any { return make(chan int) }(): {}}}, "a[]: a channel cannot be encoded"},
		{"marshaler", []any{never{}}, "[0]: a value of type notify.never cannot be encoded: json: error calling MarshalJSON for type notify.never: boom"},
		{"raw within", []any{json.RawMessage("{")}, "[0]: a value of type json.RawMessage cannot be encoded"},
		{"raw", json.RawMessage("{"), "the json.RawMessage is not JSON"},
		{"raw empty", json.RawMessage{}, "the json.RawMessage is not JSON"},
		{"number", json.Number("1x"), "a value of type json.Number cannot be encoded"},
		{"year", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "a value of type time.Time cannot be encoded"},
		{"ring", ring, "next.next.next"},
		{"map of itself", self, "self.self.self"},
		{"pointer to itself", pointer, "nested more than 1000 deep; does the value contain itself?"},
		{"too deep", deep, "nested more than 1000 deep"},
	}
	for _, row := range rows {
		m, err := JSON(row.v)
		var e *Error
		if !errors.As(err, &e) || e.Reason != Invalid || !strings.Contains(err.Error(), row.want) || m.Body != nil {
			t.Errorf("%s: %s, %v, want %q", row.name, m.Body, err, row.want)
			continue
		}
		if len(e.Text) > jsonPathMax+100 {
			t.Errorf("%s: %d bytes of text", row.name, len(e.Text))
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	customer := "contoso"
	v := map[string]any{"order": order{ID: 1, Customer: &customer, Lines: []string{"a", "b", "c"}, Took: time.Second}, "at": time.Unix(0, 0), "total": 12.5}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := JSON(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
