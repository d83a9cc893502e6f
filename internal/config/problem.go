package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// problemsMax bounds what one file can make us say.
const problemsMax = 100

// Problem is one thing that is wrong with a file, or worth a warning.
type Problem struct {
	File         string
	Line, Column int    // from 1, columns in bytes; 0: the file as a whole
	Path         string // "UserConfig.NamespaceConfig[0].Name"; "" where the text is not JSON
	Text         string
}

// Error gives "Config.json:12:27: UserConfig.NamespaceConfig[0].Name: what is wrong".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Text)
	return b.String()
}

// Errors is everything that is wrong with a file, in the order of the file, at most 100 problems and a last one that counts the rest.
type Errors []Problem

// Error has a line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each problem to errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, p := range e {
		list[i] = p
	}
	return list
}

// report collects problems under their offset in the file.
type report struct {
	found []finding
	more  int // found beyond problemsMax
}

type finding struct {
	offset     int
	path, text string
}

// full tells that a further problem will only be counted.
func (r *report) full() bool { return len(r.found) == problemsMax }

func (r *report) add(offset int, path, text string) {
	if r.full() {
		r.more++
		return
	}
	r.found = append(r.found, finding{offset, path, text})
}

// problems gives nil if there are none.
func (r *report) problems(file string, src []byte) []Problem {
	var list []Problem
	slices.SortStableFunc(r.found, func(a, b finding) int { return cmp.Compare(a.offset, b.offset) })
	for _, f := range r.found {
		line, column := lineColumn(src, f.offset)
		list = append(list, Problem{file, line, column, f.path, f.text})
	}
	if r.more > 0 {
		list = append(list, Problem{File: file, Text: fmt.Sprintf("%d more like these", r.more)})
	}
	return list
}

func lineColumn(src []byte, offset int) (line, column int) {
	before := src[:offset]
	return 1 + bytes.Count(before, []byte("\n")), offset - bytes.LastIndexByte(before, '\n')
}
