package admin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/kit"
)

const (
	timeoutDefault = 5 * time.Second
	timeoutMax     = time.Minute
	countMax       = 1_000_000

	anyParams = "*"
)

// query is the parameters of a request. Errors are *kit.FormError, as of other requests, with /name for where.
type query url.Values

// check refuses parameters that are given twice, and those that are not among the known ones, unless that is for the call to say.
func (q query) check(known string) error {
	names := strings.Fields(known)
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case known == anyParams && len(q[name]) == 1:
		case len(names) == 0:
			return wrong(name, "this call has no parameters")
		case known != anyParams && !slices.Contains(names, name):
			return wrong(name, "there is no such parameter; this call has %s", strings.Join(names, ", "))
		case len(q[name]) > 1:
			return wrong(name, "it is given %d times; once is enough", len(q[name]))
		}
	}
	return nil
}

func wrong(name, format string, args ...any) error {
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return &kit.FormError{Pointer: "/" + escaped, Text: fmt.Sprintf(format, args...)}
}

func (q query) text(name string) string { return url.Values(q).Get(name) }

func (q query) has(name string) bool { return url.Values(q).Has(name) }

func (q query) count(name string, otherwise int) (int, error) {
	if !q.has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(q.text(name))
	if err != nil || n < 0 || n > countMax {
		return 0, wrong(name, "it must be a whole number from 0 to %d, not %.40q", countMax, q.text(name))
	}
	return n, nil
}

func (q query) timeout(otherwise time.Duration) (time.Duration, error) {
	const name = "timeout"
	if !q.has(name) {
		return otherwise, nil
	}
	d, err := time.ParseDuration(q.text(name))
	if err != nil || d < 0 || d > timeoutMax {
		return 0, wrong(name, `it must be a time like "500ms" or "5s", from 0 to %gs, not %.40q`, timeoutMax.Seconds(), q.text(name))
	}
	return d, nil
}

func (q query) flag(name string) (bool, error) {
	if !q.has(name) {
		return false, nil
	}
	on, err := strconv.ParseBool(q.text(name))
	if err != nil {
		return false, wrong(name, "it must be 1 or 0, not %.40q", q.text(name))
	}
	return on, nil
}
