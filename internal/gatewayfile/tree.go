package gatewayfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/evhub-dev/evhub/internal/setting"
)

// The parser recurses into what is nested, and takes time that grows with the square of the number of keys.
const (
	tokensMax = 50_000 // a route takes a dozen
	flowMax   = 32     // brackets within brackets
	columnMax = 400    // blocks nest at most as deep as they are indented; a hub's name has 256 characters
)

// place is a position in the file, both from 1. Columns are characters.
type place struct{ line, column int }

// node is a value of the file and the way to it.
type node struct {
	path string
	at   place
	ast  ast.Node
}

// tree gives the root of the file.
func (d *decoder) tree(data []byte) (root node, ok bool) {
	err := setting.CheckLength(data, fileBytesMax)
	var src []byte
	if err == nil {
		src, err = setting.Text(data)
	}
	if err != nil {
		d.errors.add(place{}, "", err.Error())
		return node{}, false
	}
	var tokens token.Tokens
	var file *ast.File
	calm := guarded(func() { tokens = lexer.Tokenize(flattened(src)) })
	if d.structure(tokens); !d.errors.none() {
		return node{}, false
	}
	calm = calm && guarded(func() {
		file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // we tell duplicates ourselves, all of them
	})
	switch {
	case !calm:
		d.errors.add(place{}, "", "the YAML parser cannot make sense of this file; write it plainer, or as JSON")
		return node{}, false
	case err != nil:
		d.syntax(err)
		return node{}, false
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		d.errors.add(place{}, "", "is empty; it needs targets, routes, issuers and rules")
		return node{}, false
	}
	body := file.Docs[0].Body
	return node{at: start(body), ast: body}, true
}

// guarded keeps a mistake of the YAML library from being ours.
func guarded(f func()) (calm bool) {
	defer func() { calm = recover() == nil }()
	f()
	return
}

// flattened makes spaces of the tabs of a JSON file, where they are fine, while in YAML they may not indent. A tab in a JSON string is
// written \t, so no string is changed.
func flattened(src []byte) string {
	if trimmed := bytes.TrimSpace(src); len(trimmed) > 0 && trimmed[0] == '{' {
		return strings.ReplaceAll(string(src), "\t", " ")
	}
	return string(src)
}

// refused are the parts of YAML that this file does without.
var refused = map[token.Type]string{
	token.AnchorType:     `"&" would begin a YAML anchor, which this file may not have; write the text in quotes if it is one`,
	token.AliasType:      `"*" would begin a YAML alias, which this file may not have; write it in quotes: "*"`,
	token.MergeKeyType:   `"<<" would merge a mapping into another, which this file may not do`,
	token.TagType:        `"!" would begin a YAML tag, which this file may not have; write the text in quotes if it is one`,
	token.DirectiveType:  `"%" would begin a YAML directive, which this file may not have`,
	token.MappingKeyType: `"?" would begin a complex key, which this file may not have`,
}

// structure refuses what the parser should not see.
func (d *decoder) structure(tokens token.Tokens) {
	if len(tokens) > tokensMax {
		d.errors.add(placeOf(tokens[tokensMax]), "", fmt.Sprintf("more than %d words and signs", tokensMax))
		return
	}
	flow, begun, ended := 0, false, false
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if text, ok := refused[t.Type]; ok {
			d.errors.add(placeOf(t), "", text)
		}
		if t.Type == token.DirectiveType {
			return // its words would look like a document
		}
		if ended || begun && t.Type == token.DocumentHeaderType {
			d.errors.add(placeOf(t), "", "a second document begins here; this file holds one")
			return
		}
		begun, ended = true, t.Type == token.DocumentEndType
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		indented := t.Type == token.SequenceEntryType || t.Type == token.MappingValueType
		if flow > flowMax || flow <= 0 && indented && t.Position.Column > columnMax {
			d.errors.add(placeOf(t), "", "this is nested deeper than anything in this file needs to be")
			return
		}
	}
}

func (d *decoder) syntax(err error) {
	var at place
	text := "cannot be read"
	if e, ok := errors.AsType[interface {
		error
		GetToken() *token.Token
		GetMessage() string
	}](err); ok {
		text = e.GetMessage()
		if t := e.GetToken(); t != nil {
			at = placeOf(t)
			if t.Type == token.MappingStartType && t.Prev != nil && t.Prev.Value == "$" {
				text = `within brackets, put "${...}" in quotes`
			}
		}
	}
	d.errors.add(at, "", "this is not YAML: "+text)
}

func placeOf(t *token.Token) place { return place{t.Position.Line, max(t.Position.Column, 1)} }

// start is where a value begins. The token of a block mapping is its first colon.
func start(n ast.Node) place {
	for {
		switch m := n.(type) {
		case *ast.MappingNode:
			if m.IsFlowStyle || len(m.Values) == 0 {
				return placeOf(m.Start)
			}
			n = m.Values[0].Key
		case *ast.MappingValueNode:
			n = m.Key
		default:
			return placeOf(n.GetToken())
		}
	}
}

// kind says what a value is.
func (n node) kind() string {
	switch n.ast.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

// members gives the entries of a mapping.
func (n node) members() ([]*ast.MappingValueNode, bool) {
	switch m := n.ast.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// text gives a string's value.
func (n node) text() (string, bool) {
	switch s := n.ast.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	}
	return "", false
}

// number gives a number as it is written.
func (n node) number() (string, bool) {
	switch n.ast.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.ast.GetToken().Value, true
	}
	return "", false
}

// member is the way to a key of n.
func (n node) member(name string) string { return join(n.path, name) }

func join(path, name string) string {
	switch {
	case len(name) > 80 || strings.ContainsFunc(name, notOfPath):
		return fmt.Sprintf("%s[%.80q]", path, name)
	case path == "":
		return name
	}
	return path + "." + name
}

// notOfPath is true of dots as well, so that no two values have one path.
func notOfPath(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' || r == '$')
}
