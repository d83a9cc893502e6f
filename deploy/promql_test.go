package deploy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readQuery finds the series that a PromQL query selects, and the labels that it groups by. It is no parser of PromQL: it knows what tells a
// series from a function, a keyword and a label, and sees brackets that do not match.
func readQuery(query string) (found []series, grouped []string, err error) {
	r := queryReader{words: queryWord.FindAllString(query, -1)}
	if joined := strings.Join(r.words, ""); joined != strings.Join(strings.Fields(query), "") && !strings.Contains(query, `"`) {
		return nil, nil, fmt.Errorf("characters that no query has: %s", query)
	}
	for len(r.words) > 0 && r.err == nil {
		r.step()
	}
	if r.err == nil && len(r.open) > 0 {
		r.err = fmt.Errorf("%s is not closed", r.open)
	}
	return r.found, r.grouped, r.err
}

type series struct {
	name     string
	matchers []matcher
}

type matcher struct{ label, operator, value string }

type queryReader struct {
	words   []string // what is left
	open    []string // brackets
	found   []series
	grouped []string
	err     error
}

var (
	queryWord = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-z.]*|=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],:]`)
	queryName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

	queryOperators = []string{"and", "or", "unless", "bool", "offset", "ignoring", "sum", "max", "min", "avg", "count", "topk", "quantile"}
	queryGroupings = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	queryPairs     = map[string]string{")": "(", "]": "["}
)

func (r *queryReader) next() string {
	if len(r.words) == 0 {
		return ""
	}
	word := r.words[0]
	r.words = r.words[1:]
	return word
}

func (r *queryReader) peek() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

func (r *queryReader) step() {
	switch word := r.next(); {
	case word == "(" || word == "[":
		r.open = append(r.open, word)
	case word == ")" || word == "]":
		if len(r.open) == 0 || r.open[len(r.open)-1] != queryPairs[word] {
			r.err = fmt.Errorf("%s closes nothing", word)
			return
		}
		r.open = r.open[:len(r.open)-1]
	case slices.Contains(queryGroupings, word):
		if r.next() != "(" {
			r.err = fmt.Errorf("%s without (", word)
			return
		}
		for label := r.next(); label != ")" && r.err == nil; label = r.next() {
			if label == "" {
				r.err = fmt.Errorf("%s( is not closed", word)
			} else if label != "," {
				r.grouped = append(r.grouped, label)
			}
		}
	case queryName.MatchString(word) && r.peek() != "(" && !slices.Contains(queryOperators, word):
		r.found = append(r.found, series{word, r.matchers()})
	}
}

// matchers reads what stands in braces behind a name, if anything does.
func (r *queryReader) matchers() (list []matcher) {
	if r.peek() != "{" {
		return nil
	}
	for r.next(); r.err == nil; {
		m := matcher{r.next(), r.next(), strings.Trim(r.next(), `"`)}
		if !queryName.MatchString(m.label) || !slices.Contains([]string{"=", "!=", "=~", "!~"}, m.operator) {
			r.err = fmt.Errorf("%v is no matcher", m)
		}
		list = append(list, m)
		if end := r.next(); end == "}" {
			return list
		} else if end != "," {
			r.err = fmt.Errorf("%q behind %v", end, m)
		}
	}
	return list
}

func TestReadQuery(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, query, found, grouped string
		wrong                       bool
	}{
		{"a series", `up`, "[{up []}]", "[]", false},
		{"a function", `rate(a_total{x="1",y!~"2|3"}[5m]) > 0.05`, "[{a_total [{x = 1} {y !~ 2|3}]}]", "[]", false},
		{"grouped", `sum by (hub, le) (rate(a[5m])) / on (hub) group_left (x) b`, "[{a []} {b []}]", "[hub le hub x]", false},
		{"operators", `a and b unless max(c) offset 5m`, "[{a []} {b []} {c []}]", "[]", false},
		{"open", `sum(a`, "", "", true},
		{"closed twice", `sum(a))`, "", "", true},
		{"crossed", `sum(a[5m)]`, "", "", true},
		{"no value", `a{x=}`, "", "", true},
		{"no operator", `a{x "1"}`, "", "", true},
		{"open matcher", `a{x="1"`, "", "", true},
		{"open grouping", `sum by (a`, "", "", true},
		{"odd characters", `a ; b`, "", "", true},
	} {
		found, grouped, err := readQuery(row.query)
		if (err != nil) != row.wrong || err == nil && (fmt.Sprint(found) != row.found || fmt.Sprint(grouped) != row.grouped) {
			t.Errorf("%s: %v, grouped by %v, %v", row.name, found, grouped, err)
		}
	}
}
