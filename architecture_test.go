package evhub_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/evhub-dev/evhub/"

// rooms says which rooms of the house each room may import, tests aside. Imports point the way an event flows; doors never import each
// other and meet in the hall, in engine and in broker.
var rooms = map[string][]string{
	"cmd/evhub": {
		"internal/auth", "internal/broker", "internal/config", "internal/gatewayfile", "internal/issuer", "internal/obs", "internal/service",
		"internal/setting",
	},
	"internal/broker": {
		"internal/admin", "internal/amqp", "internal/auth", "internal/auth/jwt", "internal/clock", "internal/config", "internal/engine",
		"internal/gateway", "internal/hub", "internal/issuer", "internal/kit", "internal/obs", "notify/local",
	},
	"internal/service": {
		"internal/auth/jwt", "internal/clock", "internal/gateway", "internal/gatewayfile", "internal/outbound", "notify", "notify/eventhubs",
	},
	"internal/engine": {"internal/amqpserver", "internal/auth", "internal/clock", "internal/eventhubs", "internal/eventlog", "internal/eventlog/memlog", "internal/hub"},

	// doors
	"internal/amqpserver": {"internal/amqp", "internal/clock"},
	"internal/eventhubs":  {"internal/amqp", "internal/amqpserver", "internal/auth", "internal/clock", "internal/event", "internal/eventlog", "internal/hub"},
	"internal/admin":      {"internal/auth", "internal/clock", "internal/eventlog", "internal/hub", "internal/kit", "internal/webpage"},
	"internal/gateway":    {"internal/auth/jwt", "internal/clock", "notify"},
	"internal/issuer":     {"internal/auth/jwt", "internal/clock", "internal/webpage"},
	"internal/webpage":    {},

	// the test kit
	"evhubtest":          {"internal/auth", "internal/engine", "internal/eventlog", "internal/eventlog/memlog", "internal/hub", "internal/kit"},
	"evhubtest/azclient": {"evhubtest"},
	"internal/kit":       {"internal/amqp", "internal/auth", "internal/clock", "internal/event", "internal/eventlog", "internal/hub", "internal/setting"},

	// the port of the notification service, and its adapters
	"internal/outbound": {
		"internal/auth", "internal/clock", "internal/gatewayfile", "notify", "notify/eventhubs", "notify/kafka",
	},
	"notify":           {},
	"notify/eventhubs": {"notify"},
	"notify/kafka":     {"notify"},
	"notify/local":     {"internal/clock", "internal/event", "internal/eventlog", "internal/hub", "notify"},

	// hall
	"internal/hub": {"internal/clock", "internal/eventlog"},

	// cellar
	"internal/eventlog":         {"internal/clock", "internal/prefetch"},
	"internal/eventlog/logtest": {"internal/clock", "internal/eventlog"},
	"internal/eventlog/memlog":  {"internal/clock", "internal/eventlog"},

	// wires
	"internal/amqp":  {},
	"internal/event": {"internal/amqp"},

	// pantry
	"internal/auth":        {},
	"internal/auth/jwt":    {"internal/clock"},
	"internal/gatewayfile": {"internal/auth", "internal/auth/jwt", "internal/config", "internal/setting"},
	"internal/clock":       {},
	"internal/config":      {"internal/auth", "internal/setting"},
	"internal/setting":     {},
	"internal/obs":         {},
	"internal/prefetch":    {},
	"internal/pipes":       {}, // for tests only
}

// pure rooms are functions on bytes: no I/O, no clock. Of package time they may use what does not tell it.
var pure = []string{"internal/amqp", "internal/event"}

// core rooms are what a test kit starts inside a test: the standard library and nothing else.
var core = []string{
	"internal/amqp", "internal/amqpserver", "internal/auth", "internal/clock", "internal/engine", "internal/event", "internal/eventhubs",
	"internal/eventlog", "internal/eventlog/memlog", "internal/hub", "internal/kit", "internal/prefetch", "evhubtest",
}

// telling matches what of package time depends on the clock.
var telling = regexp.MustCompile(`\btime\.(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTimer|NewTicker)\b`)

func TestPureRoomsHaveNoClock(t *testing.T) {
	t.Parallel()
	for file := range goFiles(t) {
		if !slices.Contains(pure, path.Dir(file)) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := telling.Find(text); found != nil {
			t.Errorf("%s uses %s: this room has no clock", file, found)
		}
	}
}

func TestWhoMayImportWhom(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for file, imports := range goFiles(t) {
		room := path.Dir(file)
		allowed, known := rooms[room]
		if !known {
			if !strings.HasPrefix(room, "bench") && !strings.HasPrefix(room, "examples") {
				t.Errorf("%s: the room %s is not in the table", file, room)
			}
			continue
		}
		seen[room] = true
		for _, imported := range imports {
			inside, ours := strings.CutPrefix(imported, module)
			switch {
			case ours && !slices.Contains(allowed, inside):
				t.Errorf("%s imports %s, which the table does not allow", file, inside)
			case slices.Contains(pure, room) && slices.Contains([]string{"net", "os", "io", "reflect", "sync"}, imported):
				t.Errorf("%s imports %s: this room is pure", file, imported)
			case !ours && slices.Contains(core, room) && strings.Contains(strings.Split(imported, "/")[0], "."):
				t.Errorf("%s imports %s: this room belongs to the core and uses the standard library only", file, imported)
			}
		}
	}
	for room := range rooms {
		if !seen[room] {
			t.Errorf("the table names the room %s, which has no code", room)
		}
	}
}

// goFiles gives the imports of every Go file that is not a test.
func goFiles(t *testing.T) map[string][]string {
	files := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		imports := []string{}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, imported)
		}
		files[filepath.ToSlash(name)] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
