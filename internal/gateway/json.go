package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// checkJSON says where a body stops being JSON. RFC 8259 wants UTF-8, which encoding/json does not insist on.
func checkJSON(k *kind, what string, body []byte) *problem {
	if !json.Valid(body) {
		var ignored json.RawMessage
		syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &ignored))
		if !ok {
			panic("BUG: a body is not valid JSON and has no syntax error")
		}
		return problemOf(k, what+" is not JSON: byte "+strconv.FormatInt(syntax.Offset, 10)+": "+syntax.Error())
	}
	if !utf8.Valid(body) {
		return problemOf(k, what+" is not JSON: byte "+strconv.Itoa(firstInvalid(body)+1)+" is not UTF-8")
	}
	return nil
}

// firstInvalid is the index of the first byte that is not part of a character.
func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// The functions below walk through text that checkJSON has passed; what they give are parts of it, byte for byte. They are here because
// encoding/json keeps the last of two members with one name without a word, and copies.

// eachMember calls f for each member of an object, and stops at a problem. It tells whether the text is an object. at is the way to it.
func eachMember(text []byte, at string, f func(name string, value []byte) *problem) (bool, *problem) {
	if kindOf(text) != '{' {
		return false, nil
	}
	rest := skipSpace(skipSpace(text)[1:])
	for rest[0] != '}' {
		n := valueEnd(rest)
		name, ok := stringOf(rest[:n])
		if !ok {
			return true, halfOfPair(at)
		}
		rest = skipSpace(skipSpace(rest[n:])[1:]) // past the colon
		n = valueEnd(rest)
		if p := f(name, rest[:n]); p != nil {
			return true, p
		}
		rest = afterComma(rest[n:])
	}
	return true, nil
}

// eachElement calls f for each element of an array, until it says no. It tells whether the text is an array.
func eachElement(text []byte, f func(value []byte) bool) bool {
	if kindOf(text) != '[' {
		return false
	}
	rest := skipSpace(skipSpace(text)[1:])
	for rest[0] != ']' {
		n := valueEnd(rest)
		if !f(rest[:n]) {
			return true
		}
		rest = afterComma(rest[n:])
	}
	return true
}

func afterComma(rest []byte) []byte {
	rest = skipSpace(rest)
	if rest[0] == ',' {
		rest = skipSpace(rest[1:])
	}
	return rest
}

func skipSpace(b []byte) []byte {
	for i := range b {
		if c := b[i]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return b[i:]
		}
	}
	return nil
}

// kindOf is the first byte of a value: one of {["tfn-0123456789.
func kindOf(text []byte) byte { return skipSpace(text)[0] }

// valueEnd is the length of the value at the start of b.
func valueEnd(b []byte) int {
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		depth := 0
		for i := 0; ; i++ {
			switch b[i] {
			case '"':
				i += stringEnd(b[i:]) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	if n := bytes.IndexAny(b, ",]} \t\r\n"); n >= 0 {
		return n
	}
	return len(b)
}

func stringEnd(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// stringOf decodes a JSON string, unless that would lose something: half of a surrogate pair stands for no character, and encoding/json
// makes U+FFFD of it.
func stringOf(quoted []byte) (string, bool) {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	if hasHalfOfPair(inner) {
		return "", false
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("BUG: a string of checked JSON cannot be decoded: " + err.Error())
	}
	return s, true
}

// hasHalfOfPair looks for a \u escape of a surrogate without its other half right behind or before it.
func hasHalfOfPair(inner []byte) bool {
	for i := bytes.IndexByte(inner, '\\'); i >= 0 && i < len(inner); {
		switch {
		case inner[i] != '\\':
			i++
		case !isSurrogate(inner[i:], '8', 'f'): // of any kind
			i += 2 // an escaped backslash is not looked at again
		case isSurrogate(inner[i:], '8', 'b') && isSurrogate(inner[i+6:], 'c', 'f'):
			i += 12
		default:
			return true
		}
	}
	return false
}

// isSurrogate tells whether b begins with \uDX.., where X is from low to high.
func isSurrogate(b []byte, low, high byte) bool {
	const lower = 'a' - 'A' // a bit that digits have as well
	return len(b) >= 6 && b[0] == '\\' && b[1] == 'u' && b[2]|lower == 'd' && low <= b[3]|lower && b[3]|lower <= high
}

// halfOfPair is the problem of a string that cannot be decoded, at a JSON pointer.
func halfOfPair(at string) *problem {
	return &problem{kind: invalidMessage, pointer: at, detail: `the string at pointer, or a name in the object there, has a \u escape that is half of ` +
		"a surrogate pair and stands for no character: send both halves, or bytes as base64"}
}
