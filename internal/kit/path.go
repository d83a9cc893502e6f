package kit

import (
	"fmt"
	"strconv"
	"strings"
)

// jsonPath leads into a JSON value: names of members and indexes of elements.
//
//	path    = [ "$" ] [ name ] { "." name | "[" index "]" | "[" quoted "]" }
//	name    = anything but . [ ] and quotes, at least one character
//	index   = decimal digits; a negative one counts from the end
//	quoted  = a name in " or ', in which \ stands before a quote or another \
//
// A name made of digits also finds the element of an array: items.0.sku is items[0].sku.
type jsonPath []pathStep

type pathStep struct {
	name    string
	index   int
	indexed bool // by index, not by name
}

const (
	pathBytesMax = 4 << 10
	indexMax     = 1 << 30
)

func parsePath(text string) (jsonPath, error) {
	if len(text) > pathBytesMax {
		return nil, fmt.Errorf("the path %.40q... has %d bytes; a path may have %d", text, len(text), pathBytesMax)
	}
	p := pathParser{text: text}
	path, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("the path %q is wrong at byte %d: %w", text, p.at, err)
	}
	return path, nil
}

type pathParser struct {
	text string
	at   int
}

func (p *pathParser) parse() (jsonPath, error) {
	var path jsonPath
	if strings.HasPrefix(p.text, "$") && (len(p.text) == 1 || p.text[1] == '.' || p.text[1] == '[') {
		p.at = 1
	} else if p.at < len(p.text) && p.text[0] != '[' {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		path = append(path, pathStep{name: name})
	}
	for p.at < len(p.text) {
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		path = append(path, step)
	}
	return path, nil
}

func (p *pathParser) step() (pathStep, error) {
	switch p.text[p.at] {
	case '.':
		p.at++
		name, err := p.name()
		return pathStep{name: name}, err
	case '[':
		p.at++
		return p.bracket()
	}
	return pathStep{}, fmt.Errorf("%q stands where '.' or '[' must follow", p.text[p.at])
}

func (p *pathParser) name() (string, error) {
	rest := p.text[p.at:]
	n := strings.IndexAny(rest, `.[]"'`)
	if n < 0 {
		n = len(rest)
	}
	if n == 0 {
		return "", fmt.Errorf(`a name is missing; a name with special characters is written ["like.this"]`)
	}
	p.at += n
	return rest[:n], nil
}

func (p *pathParser) bracket() (step pathStep, err error) {
	if p.at < len(p.text) && (p.text[p.at] == '"' || p.text[p.at] == '\'') {
		step.name, err = p.quoted(p.text[p.at])
	} else {
		step.indexed = true
		step.index, err = p.number()
	}
	if err != nil {
		return step, err
	}
	if p.at >= len(p.text) || p.text[p.at] != ']' {
		return step, fmt.Errorf("the bracket is not closed by ']'")
	}
	p.at++
	return step, nil
}

func (p *pathParser) quoted(quote byte) (string, error) {
	var name strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == quote:
			p.at = i + 1
			return name.String(), nil
		case c == '\\' && i+1 < len(p.text) && strings.IndexByte(`\"'`, p.text[i+1]) >= 0:
			i++
			name.WriteByte(p.text[i])
		default:
			name.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the quote is not closed")
}

func (p *pathParser) number() (int, error) {
	rest := p.text[p.at:]
	n := strings.IndexByte(rest, ']')
	if n < 0 {
		return 0, fmt.Errorf("the bracket is not closed by ']'")
	}
	i, err := strconv.Atoi(rest[:n])
	if err != nil || i > indexMax || i < -indexMax || rest[0] == '+' {
		return 0, fmt.Errorf(`%.40q is neither an index nor a name in quotes`, rest[:n])
	}
	p.at += n
	return i, nil
}

// String writes the path so that it reads back as the same.
func (p jsonPath) String() string {
	text := ""
	for _, s := range p {
		if s.indexed {
			text += "[" + strconv.Itoa(s.index) + "]"
		} else {
			text = under(text, s.name)
		}
	}
	return text
}

// under appends a member's name to a path, in quotes where it has to be.
func under(path, name string) string {
	switch {
	case name == "" || strings.ContainsAny(name, `.[]"'\`) || path == "" && name[0] == '$':
		return path + `["` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"]`
	case path == "":
		return name
	}
	return path + "." + name
}

// find walks into a decoded JSON value.
func (p jsonPath) find(v any) (found any, ok bool) {
	for _, s := range p {
		switch in := v.(type) {
		case map[string]any:
			if v, ok = in[s.name]; !ok || s.indexed {
				return nil, false
			}
		case []any:
			i, isIndex := s.index, s.indexed
			if !isIndex {
				n, err := strconv.Atoi(s.name)
				i, isIndex = n, err == nil && n >= 0
			} else if i < 0 {
				i += len(in)
			}
			if !isIndex || i < 0 || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}
