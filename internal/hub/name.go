package hub

import (
	"slices"
	"strings"
)

// The service's limits for names.
const (
	nameBytesMax      = 256 // hubs; ours for namespaces, whose names are policy names as well
	groupNameBytesMax = 50
)

// fold gives the form names are compared in. Names are ASCII, so nothing else may fold: a lookup of 'K' (Kelvin) must not find "k".
func fold(name string) string {
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' {
			return foldFrom(name, i)
		}
	}
	return name
}

func foldFrom(name string, i int) string {
	folded := []byte(name)
	for ; i < len(folded); i++ {
		if c := folded[i]; 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}

// checkName says whether a new namespace, hub or group may be called so: the service's rule, and '/' inside a name as the official
// emulator's files may have it.
func checkName(what, name string, bytesMax int) error {
	if name == "" {
		return errorf(Invalid, "A %s needs a name.", what)
	}
	if len(name) > bytesMax {
		return errorf(Invalid, "The name of a %s may have at most %d characters; '%.40s...' has %d.", what, bytesMax, name, len(name))
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		inner := (c == '.' || c == '-' || c == '_' || c == '/') && i > 0 && i < len(name)-1
		if !letter && !inner {
			return errorf(Invalid, "The %s name '%s' must consist of letters, digits, '.', '-', '_' and '/', and begin and end with a letter or digit.",
				what, name)
		}
	}
	return nil
}

// suggest helps who asked for a name that is not there: with the one that looks like a slip of the pen, else with what there is.
func suggest(what, name string, have []string) string {
	const listMax = 10
	if len(have) == 0 {
		return "there are no " + what + " here"
	}
	name = fold(name)
	near, least := "", 3
	for _, h := range have {
		if len(h)-len(name) >= least || len(name)-len(h) >= least {
			continue // what a peer sends may be long; this bounds the work
		}
		if d := distance(fold(h), name); d < least && d < len(h) {
			near, least = h, d
		}
	}
	if near != "" {
		return "did you mean '" + near + "'?"
	}
	if len(have) > listMax {
		have = append(slices.Clone(have[:listMax]), "...")
	}
	return what + " here: " + strings.Join(have, ", ")
}

// distance is how many bytes must be added, dropped or changed to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
