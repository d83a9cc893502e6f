// Package config reads the official emulator's Config.json, as it is, and our own settings beside it.
//
//	{
//	  "UserConfig": {                                  // the official part; a missing one is allowed beside Evhub
//	    "NamespaceConfig": [{
//	      "Type": "EventHub",
//	      "Name": "emulatorNs1",
//	      "Entities": [{
//	        "Name": "eh1",
//	        "PartitionCount": "2",                     // or 2
//	        "ConsumerGroups": [{"Name": "cg1"}],       // $Default is always there
//	        "Retention": "24h"                         // ours; also "7d"
//	      }]
//	    }],
//	    "LoggingConfig": {"Type": "File"}              // File, Console or "File,Console"; ours: Console if missing
//	  },
//	  "Evhub": {                                       // ours, all optional
//	    "Policies": [{"Name": "app", "Key": "${env:APP_KEY}", "Rights": ["Send"], "Hub": "eh1", "Namespace": "emulatorNs1"}],
//	    "Listeners": {"AMQP": "0.0.0.0:5672", "API": "127.0.0.1:8080", "Admin": ["127.0.0.1:5300"]},
//	    "Retention": "24h",
//	    "Memory": "1GiB",
//	    "Limits": {"EventBytesMax": "1MiB", "ReadersMax": 5, "IdleTimeout": "120s"}
//	  }
//	}
//
// Comments, trailing commas and a byte order mark are fine. Keys match in any case. The official limits (one namespace of a given name, 10
// hubs, 20 groups, 32 partitions) are not kept. What a user needs is to see at once, with line and path, everything that is wrong with a
// file, and never to have a misspelt key passed over: in the official part it is a warning, since newer emulators may know it, and in ours
// an error.
package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/setting"
)

const (
	// DefaultNamespace is the only namespace the official emulator knows.
	DefaultNamespace = "emulatorNs1"
	// OfficialPath is where the official container expects its file to be mounted.
	OfficialPath = "/Eventhubs_Emulator/ConfigFiles/Config.json"

	defaultPartitions = 2
	partitionsMax     = 2000
	nameBytesMax      = 256
	keyCharsMin       = 8
	fileBytesMax      = 1 << 20 // the parser needs up to a hundred times as much
	secretBytesMax    = 64 << 10
)

// Config is a checked configuration: every name in it is valid, and all but a namespace's are in lower case.
type Config struct {
	Namespaces []Namespace // at least one
	LogFile    bool
	LogConsole bool
	Evhub      Evhub
	Warnings   []Problem // in the order of the file
}

// Namespace is a set of hubs under one roof.
type Namespace struct {
	Name string // as written; no two differ in case only
	Hubs []Hub
}

// Hub is an event hub to be made.
type Hub struct {
	Name       string
	Partitions int           // 1 to 2000
	Groups     []string      // without $Default, which every hub has
	Retention  time.Duration // 0: Evhub.Retention

	byDefault bool // nobody asked for it
}

// Evhub is what the official emulator does not have.
type Evhub struct {
	Policies  []auth.Policy // nil: none given; Namespace is set, spelt as in Namespaces; auth.NewPolicies takes them
	Listeners Listeners
	Retention time.Duration // 0: the broker's default
	Memory    int64         // bytes for events of the whole process, 0: the broker's default
	Limits    Limits
}

// Listeners are host:port pairs by door; nil: the door's default.
type Listeners struct{ AMQP, API, Admin []string }

// Limits are 0 where the broker's default holds.
type Limits struct {
	EventBytesMax int64 // an event or a batch as sent
	ReadersMax    int   // readers without epoch on one partition and group

	// IdleTimeout is what AMQP clients are told; one that is silent for twice as long is closed.
	IdleTimeout time.Duration
}

// Default is the configuration without a file, which is the official one: hub eh1 with two partitions and group cg1.
func Default() *Config {
	eh1 := Hub{Name: "eh1", Partitions: defaultPartitions, Groups: []string{"cg1"}, byDefault: true}
	return &Config{Namespaces: []Namespace{{Name: DefaultNamespace, Hubs: []Hub{eh1}}}, LogConsole: true}
}

// FindFile gives the path of the file to load: the flag's, or that in EVHUB_CONFIG, or the official mount path if there is a file, or "".
func FindFile(flag string, getenv func(string) string, exists func(string) bool) string {
	if flag != "" {
		return flag
	}
	if path := getenv("EVHUB_CONFIG"); path != "" {
		return path
	}
	if exists(OfficialPath) {
		return OfficialPath
	}
	return ""
}

// Load reads and checks a file of at most 1 MiB. The error is Errors.
func Load(path string) (*Config, error) {
	data, err := setting.ReadFile(path, fileBytesMax)
	if err == setting.ErrDirectory {
		err = fmt.Errorf("%w; docker makes one when the file on the left side of a volume is missing", err)
	}
	if err != nil {
		return nil, Errors{{File: path, Text: err.Error()}}
	}
	return Parse(path, data)
}

// ourKey is what every Config.json has at its top.
var ourKey = regexp.MustCompile(`(?i)"(?:UserConfig|Evhub)"\s*:`)

// Looks tells a Config.json from other files, also one that is broken.
func Looks(data []byte) bool {
	if text, err := setting.Text(data); err == nil {
		data = text
	}
	return ourKey.Match(data)
}

// AddHub adds a hub to the first namespace. Its names may be in any case, and $Default may be among its groups. A hub of the same name is
// an error, unless it is Default's, whose place it takes.
func (c *Config) AddHub(h Hub) error {
	h, err := h.checked()
	if err != nil {
		return err
	}
	if len(c.Namespaces) == 0 {
		c.Namespaces = []Namespace{{Name: DefaultNamespace}}
	}
	ns := &c.Namespaces[0]
	at := slices.IndexFunc(ns.Hubs, func(other Hub) bool { return other.Name == h.Name })
	switch {
	case at < 0:
		ns.Hubs = append(ns.Hubs, h)
	case ns.Hubs[at].byDefault:
		ns.Hubs[at] = h
	default:
		return fmt.Errorf("there is a hub %q already", h.Name)
	}
	return nil
}

// ParseHubFlag reads name[:partitions[:group,group...]], "orders:4:audit,billing". Without a number the hub has two partitions.
func ParseHubFlag(s string) (Hub, error) {
	parts := strings.Split(s, ":")
	h := Hub{Name: parts[0], Partitions: defaultPartitions}
	var err error
	if len(parts) > 1 && parts[1] != "" {
		var n int64
		n, err = parseWhole(parts[1], 1, partitionsMax)
		h.Partitions = int(n)
	}
	if len(parts) > 2 && parts[2] != "" {
		h.Groups = strings.Split(parts[2], ",")
	}
	if len(parts) > 3 {
		err = fmt.Errorf("%d parts are more than 3", len(parts))
	}
	if err == nil {
		h, err = h.checked()
	}
	if err != nil {
		return Hub{}, fmt.Errorf("hub %.80q: %w; write name:partitions:group,group", s, err)
	}
	return h, nil
}

// checked folds the names, and is the rule for hubs that do not come from a file.
func (h Hub) checked() (Hub, error) {
	name, err := checkName("hub", h.Name)
	if err != nil {
		return Hub{}, err
	}
	if err := inRange(int64(h.Partitions), 1, partitionsMax); err != nil {
		return Hub{}, fmt.Errorf("partitions: %w", err)
	}
	if h.Retention < 0 {
		return Hub{}, fmt.Errorf("retention: %s is negative", h.Retention)
	}
	seen := make(map[string]bool)
	var groups []string
	for _, g := range h.Groups {
		if isDefaultGroup(g) {
			continue
		}
		group, err := checkName("group", g)
		if err != nil {
			return Hub{}, err
		}
		if seen[group] {
			return Hub{}, fmt.Errorf("there are two groups %q", group)
		}
		seen[group] = true
		groups = append(groups, group)
	}
	h.Name, h.Groups = name, groups
	return h, nil
}
