package replay

import (
	"regexp"
	"strings"
	"sync"
	"testing"
)

const differencesFile = "testdata/differences.txt"

// differences is the list of what we do otherwise than the service.
type differences struct {
	list []*knownDifference

	mu sync.Mutex // guards occurred of each
}

// knownDifference is one entry. In each of its texts * stands for anything.
type knownDifference struct {
	line                int
	where, azure, evhub *regexp.Regexp // where: exchange: frame: field
	text, why           string
	occurred            bool
}

// loadDifferences reads the list: for each difference exchange, frame and field on a line, and below it what Azure does, what evhub does,
// and why.
func loadDifferences(t *testing.T) *differences {
	t.Helper()
	b, err := testdata.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	d := &differences{}
	for i, s := range strings.Split(string(b), "\n") {
		name, rest, _ := strings.Cut(strings.TrimSpace(s), ": ")
		switch {
		case strings.TrimSpace(s) == "" || s[0] == '#': // says nothing
		case s[0] != ' ':
			d.list = append(d.list, &knownDifference{line: i + 1, text: s, where: glob(s)})
		case len(d.list) == 0:
			t.Fatalf("%s:%d: no difference begins here", differencesFile, i+1)
		case name == "azure":
			d.last().azure = glob(rest)
		case name == "evhub":
			d.last().evhub = glob(rest)
		case name == "why":
			d.last().why = rest
		default:
			t.Fatalf("%s:%d: want azure, evhub or why: %q", differencesFile, i+1, s)
		}
	}
	for _, k := range d.list {
		if k.azure == nil || k.evhub == nil || k.why == "" {
			t.Fatalf("%s:%d: want azure, evhub and why below it", differencesFile, k.line)
		}
	}
	return d
}

func (d *differences) last() *knownDifference { return d.list[len(d.list)-1] }

func glob(s string) *regexp.Regexp {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `.*`) + "$")
}

// allow says whether a difference is on the list.
func (d *differences) allow(found difference) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	where := found.file + ": " + found.frame + ": " + found.field
	for _, k := range d.list {
		if k.where.MatchString(where) && k.azure.MatchString(found.azure) && k.evhub.MatchString(found.evhub) {
			k.occurred = true
			return true
		}
	}
	return false
}

// checkAllOccurred sees that no entry is out of date. It needs all exchanges to have been played.
func (d *differences) checkAllOccurred(t *testing.T) {
	t.Helper()
	for _, k := range d.list {
		if !k.occurred {
			t.Errorf("%s:%d: this difference does not occur: %s", differencesFile, k.line, k.text)
		}
	}
}
