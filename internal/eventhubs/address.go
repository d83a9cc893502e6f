package eventhubs

import (
	"strings"

	"github.com/evhub-dev/evhub/internal/auth"
)

const (
	nodeCBS        = "$cbs"
	nodeManagement = "$management"
)

// address is what a link's source or target names. Clients write it bare, with a leading slash, or as a whole URL.
type address struct {
	path      string // normalised
	node      string // nodeCBS or nodeManagement, else the address is of an entity
	hub       string
	partition string // "" if the address names none
	group     string
	publisher string
	blank     bool // it leaves the partition's id blank
}

// parseAddress splits an address. Names of hubs and groups may hold slashes, so the known parts are taken off the end.
func parseAddress(text string) address {
	a := address{path: auth.NormalizePath(text)}
	rest := a.path
	if rest == nodeCBS || rest == nodeManagement {
		a.node = rest
		return a
	}
	if hub, ok := strings.CutSuffix(rest, "/"+nodeManagement); ok {
		a.hub, a.node = hub, nodeManagement
		return a
	}
	rest, a.blank = strings.CutSuffix(rest, "/partitions")
	rest, a.partition = cutLast(rest, "/partitions/")
	rest, a.group = cutLast(rest, "/consumergroups/")
	if a.group == "" {
		rest, a.publisher = cutLast(rest, "/publishers/")
	}
	a.hub = rest
	return a
}

// cutLast cuts off what follows the last marker.
func cutLast(path, marker string) (before, after string) {
	i := strings.LastIndex(path, marker)
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+len(marker):]
}
