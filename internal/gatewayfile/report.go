package gatewayfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/evhub-dev/evhub/internal/config"
)

const problemsMax = 100

// report collects problems. What goes beyond problemsMax is only counted.
type report struct {
	found []finding
	more  int
}

type finding struct {
	at         place
	path, text string
}

func (r *report) none() bool { return len(r.found) == 0 }
func (r *report) full() bool { return len(r.found) == problemsMax }

// about tells whether there is something about a value or a part of it already, so that a second complaint would be noise.
func (r *report) about(path string) bool {
	return slices.ContainsFunc(r.found, func(f finding) bool {
		rest, below := strings.CutPrefix(f.path, path)
		return below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (r *report) add(at place, path, text string) {
	if r.full() {
		r.more++
		return
	}
	r.found = append(r.found, finding{at, path, text})
}

// problems are in the order of the file; nil if there are none.
func (r *report) problems(file string) []config.Problem {
	slices.SortStableFunc(r.found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	var list []config.Problem
	for _, f := range r.found {
		list = append(list, config.Problem{File: file, Line: f.at.line, Column: f.at.column, Path: f.path, Text: f.text})
	}
	if r.more > 0 {
		list = append(list, config.Problem{File: file, Text: fmt.Sprintf("%d more like these", r.more)})
	}
	return list
}
