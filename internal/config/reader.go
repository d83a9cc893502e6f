package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"

	"github.com/evhub-dev/evhub/internal/setting"
)

// depthMax bounds nesting, since the parser recurses; a good file has 7 levels.
const depthMax = 50

// node is a value of the file and the way to it.
type node struct {
	path   string
	offset int
	value  hujson.ValueTrimmed
}

func (n node) kind() string {
	switch n.value.Kind() {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 'n':
		return "null"
	}
	return "true or false"
}

func (n node) child(name string) string {
	if n.path == "" {
		return name
	}
	return n.path + "." + name
}

// reader walks a file. A method that finds something wrong reports it and returns nothing; the walk goes on, so that one run tells all.
type reader struct {
	secrets  secrets
	errors   report
	warnings report
}

func (r *reader) fail(n node, format string, args ...any) {
	r.errors.add(n.offset, n.path, fmt.Sprintf(format, args...))
}

// parseTree gives the root of the file.
func (r *reader) parseTree(src []byte) (root node, ok bool) {
	if at, deep := tooDeep(src); deep {
		r.errors.add(at, "", fmt.Sprintf("more than %d levels of brackets", depthMax))
		return node{}, false
	}
	// The parser wants a line end after a comment, even where the file ends.
	ended := append(bytes.Clone(src), '\n')
	value, err := hujson.Parse(ended)
	if err == nil {
		return node{offset: value.StartOffset, value: value.Value}, true
	}
	var line, column, at int
	if _, scanErr := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &column); scanErr == nil {
		at = min(offsetOf(ended, line, column), len(src))
	}
	text := fmt.Sprint(errors.Unwrap(err))
	if strings.HasPrefix(text, "invalid literal") { // goes on with the literal in full, which may be a key
		text = "there is no such string, number or word"
	}
	r.errors.add(at, "", "this is not JSON: "+text)
	return node{}, false
}

func offsetOf(src []byte, line, column int) int {
	start := 0
	for ; line > 1; line-- {
		start += bytes.IndexByte(src[start:], '\n') + 1
	}
	return start + column - 1
}

// tooDeep gives the offset of the first bracket beyond depthMax. What is in strings and comments does not count.
func tooDeep(src []byte) (offset int, deep bool) {
	depth := 0
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '{', '[':
			if depth++; depth > depthMax {
				return i, true
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(src) && src[i] != '"'; i++ {
				if src[i] == '\\' {
					i++
				}
			}
		case '/':
			i += commentBytes(src[i:])
		}
	}
	return 0, false
}

// commentBytes is how far the last byte of the comment that src begins with lies from its first, 0 if there is none.
func commentBytes(src []byte) int {
	end := ""
	switch {
	case bytes.HasPrefix(src, []byte("//")):
		end = "\n"
	case bytes.HasPrefix(src, []byte("/*")):
		end = "*/"
	default:
		return 0
	}
	if i := bytes.Index(src[2:], []byte(end)); i >= 0 {
		return i + 1 + len(end)
	}
	return len(src)
}

// object holds the members of an object that are known, not null, under their proper names.
type object struct {
	node
	members map[string]node
}

// object reads an object with known members. Names match in any case, as in the official emulator. An unknown name is put into unknown.
func (r *reader) object(n node, unknown *report, known ...string) (object, bool) {
	obj, ok := n.value.(*hujson.Object)
	if !ok {
		r.fail(n, "is %s, not an object", n.kind())
		return object{}, false
	}
	members := make(map[string]node)
	seen := make(map[string]bool)
	for i := range obj.Members {
		m := &obj.Members[i]
		name, at := literalString(m.Name.Value), m.Name.StartOffset
		folded, proper := strings.ToLower(name), properName(name, known)
		switch {
		case seen[folded]:
			r.errors.add(at, n.child(shown(name)), "is given twice")
		case proper == "":
			addUnknown(unknown, at, n, name, known)
		case m.Value.Value.Kind() != 'n':
			members[proper] = node{n.child(proper), m.Value.StartOffset, m.Value.Value}
		}
		seen[folded] = true
	}
	return object{n, members}, true
}

func properName(name string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return ""
}

func addUnknown(unknown *report, at int, n node, name string, known []string) {
	text := "is not a known key"
	if unknown.full() { // no time for guesses that nobody will read
		unknown.add(at, "", text)
		return
	}
	if guess := setting.Nearest(name, known); guess != "" {
		text += fmt.Sprintf("; did you mean %s?", guess)
	}
	unknown.add(at, n.child(shown(name)), text)
}

// shown is a key of the file as a step of a path.
func shown(name string) string {
	if len(name) <= 80 && namePattern.MatchString(name) {
		return name
	}
	return fmt.Sprintf("%.80q", name)
}

// need gives a member that must be there.
func (r *reader) need(o object, name, why string) (node, bool) {
	m, ok := o.members[name]
	if !ok {
		r.errors.add(o.offset, o.child(name), "is missing; "+why)
	}
	return m, ok
}

// list gives the elements, each of which item makes a node of.
func (r *reader) list(n node) (elements []hujson.Value, ok bool) {
	arr, ok := n.value.(*hujson.Array)
	if !ok {
		r.fail(n, "is %s, not a list", n.kind())
		return nil, false
	}
	return arr.Elements, true
}

func (n node) item(elements []hujson.Value, i int) node {
	return node{fmt.Sprintf("%s[%d]", n.path, i), elements[i].StartOffset, elements[i].Value}
}

// strings reads a list of strings, or one string for a list of one.
func (r *reader) strings(n node, each func(node, string)) {
	if s, ok := n.value.(hujson.Literal); ok && s.Kind() == '"' {
		each(n, literalString(s))
		return
	}
	elements, ok := r.list(n)
	if ok && len(elements) == 0 {
		r.fail(n, "is empty; name one or more")
	}
	for i := range elements {
		item := n.item(elements, i)
		if s, ok := r.str(item); ok {
			each(item, s)
		}
	}
}

func (r *reader) str(n node) (string, bool) {
	if n.value.Kind() != '"' {
		r.fail(n, "is %s, not a string", n.kind())
		return "", false
	}
	return literalString(n.value), true
}

// scalar gives a string, or a number as it is written.
func (r *reader) scalar(n node) (string, bool) {
	if k := n.value.Kind(); k != '"' && k != '0' {
		r.fail(n, "is %s, not a number", n.kind())
		return "", false
	}
	return literalString(n.value), true
}

func literalString(v hujson.ValueTrimmed) string {
	lit := v.(hujson.Literal)
	if lit.Kind() != '"' {
		return string(lit)
	}
	var s string
	if err := json.Unmarshal(lit, &s); err != nil {
		panic("BUG: a string the parser accepted cannot be read: " + err.Error())
	}
	return s
}
