package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is read. Real tokens have some thirty claims, three deep.
const (
	depthMax   = 16
	membersMax = 256 // of one object
)

// object is a JSON object read strictly: what two readers could take for two different things is refused. Names are unique at every depth,
// and at the top also if case is ignored, as some readers do; no name holds a control character; text is UTF-8 with paired surrogates.
type object []member

type member struct {
	name string
	raw  []byte // the value as it stands in the input
}

// parseObject reads one object with nothing but white space around it. Errors do not quote the input.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errors.New("is not JSON, or more than one value")
	}
	s := scanner{data: data}
	if s.space(); s.data[s.at] != '{' {
		return nil, errors.New("is not a JSON object")
	}
	return s.object(1)
}

// find gives the value of a name, nil if there is none.
func (o object) find(name string) []byte {
	for i := range o {
		if o[i].name == name {
			return o[i].raw
		}
	}
	return nil
}

// path gives the value of a name; else of a name before a dot, and in that object the value of the path behind the dot, for the first dot
// where that finds something. nil: nothing there.
func (o object) path(path string) []byte {
	if raw := o.find(path); raw != nil {
		return raw
	}
	for at := range len(path) {
		if path[at] != '.' {
			continue
		}
		if raw := o.find(path[:at]); raw != nil && raw[0] == '{' {
			s := scanner{data: raw}
			inner, err := s.object(2)
			if err != nil {
				panic("BUG: an object that was read cannot be read again: it " + err.Error())
			}
			if found := inner.path(path[at+1:]); found != nil {
				return found
			}
		}
	}
	return nil
}

// text reads a string value.
func text(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

// number reads a number that a float64 can hold.
func number(raw []byte) (float64, bool) {
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil
}

// texts reads a string or an array of nothing but strings.
func texts(raw []byte) ([]string, bool) {
	if s, ok := text(raw); ok {
		return []string{s}, true
	}
	values, ok := elements(raw)
	if !ok {
		return nil, false
	}
	list := make([]string, len(values))
	for i := range values {
		if list[i], ok = text(values[i]); !ok {
			return nil, false
		}
	}
	return list, true
}

// elements takes an array apart.
func elements(raw []byte) ([][]byte, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var values [][]byte
	s := scanner{data: raw}
	err := s.array(1, func(value []byte) { values = append(values, value) })
	return values, err == nil
}

// fields reads members of known kinds, and remembers the first that is of another. A member that is absent reads as zero; null is not absent.
type fields struct {
	object
	wrong string // name of the first member that is not what it should be
}

func (f *fields) text(name string) string {
	raw := f.find(name)
	if raw == nil {
		return ""
	}
	s, ok := text(raw)
	f.expect(ok, name)
	return s
}

func (f *fields) expect(ok bool, name string) {
	if !ok && f.wrong == "" {
		f.wrong = name
	}
}

// scanner walks over text that is known to be JSON, so it looks for no end that must be there.
type scanner struct {
	data []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.data) && strings.IndexByte(" \t\r\n", s.data[s.at]) >= 0 {
		s.at++
	}
}

func (s *scanner) object(depth int) (object, error) {
	if depth > depthMax {
		return nil, errors.New("is nested too deeply")
	}
	var members object
	seen := make(map[string]bool)
	s.at++
	for s.space(); s.data[s.at] != '}'; s.space() {
		name, err := s.name()
		if err != nil {
			return nil, err
		}
		same := name
		if depth == 1 {
			same = fold(name)
		}
		if seen[same] {
			return nil, errors.New("has two members whose names are the same, or differ in case only")
		}
		if seen[same] = true; len(seen) > membersMax {
			return nil, errors.New("has an object with too many members")
		}
		value, err := s.value(depth)
		if err != nil {
			return nil, err
		}
		members = append(members, member{name, value})
	}
	s.at++
	return members, nil
}

// name reads a member's name and the colon.
func (s *scanner) name() (string, error) {
	raw, err := s.quoted()
	if err != nil {
		return "", err
	}
	name, _ := text(raw)
	if strings.ContainsFunc(name, unicode.IsControl) {
		return "", errors.New("has a member whose name holds a control character")
	}
	s.space()
	s.at++
	return name, nil
}

func (s *scanner) array(depth int, each func(value []byte)) error {
	if depth > depthMax {
		return errors.New("is nested too deeply")
	}
	s.at++
	for s.space(); s.data[s.at] != ']'; s.space() {
		value, err := s.value(depth)
		if err != nil {
			return err
		}
		each(value)
	}
	s.at++
	return nil
}

// value walks over a value in an object or array of the given depth, and over the comma behind it.
func (s *scanner) value(depth int) ([]byte, error) {
	s.space()
	start := s.at
	var err error
	switch s.data[s.at] {
	case '{':
		_, err = s.object(depth + 1)
	case '[':
		err = s.array(depth+1, func([]byte) {})
	case '"':
		_, err = s.quoted()
	default:
		for strings.IndexByte(",]} \t\r\n", s.data[s.at]) < 0 {
			s.at++
		}
	}
	value := s.data[start:s.at]
	if s.space(); s.at < len(s.data) && s.data[s.at] == ',' {
		s.at++
	}
	return value, err
}

// quoted walks over a string.
func (s *scanner) quoted() ([]byte, error) {
	start := s.at
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] != '\\' {
			continue
		}
		s.at++
		if s.data[s.at] != 'u' {
			continue
		}
		r := s.unit(s.at)
		s.at += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		if s.data[s.at+1] != '\\' || s.data[s.at+2] != 'u' || utf16.DecodeRune(r, s.unit(s.at+2)) == unicode.ReplacementChar {
			return nil, errors.New("has half of a surrogate pair")
		}
		s.at += 6
	}
	s.at++
	return s.data[start:s.at], nil
}

// unit is the code unit whose four digits stand behind the u at the given position.
func (s *scanner) unit(at int) rune {
	unit, err := strconv.ParseUint(string(s.data[at+1:at+5]), 16, 16)
	if err != nil {
		panic("BUG: valid JSON with an invalid escape")
	}
	return rune(unit)
}

// fold gives one form to all names that differ in case only, by Unicode's simple folding: 'ſ' and 'K' (Kelvin) are an s and a k to some.
// Names in small ASCII letters, which is nearly all, stay as they are.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, name)
}
