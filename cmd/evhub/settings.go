package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

// settings are the flags of serve that say what runs. They count before the file, and the file before the defaults.
type settings struct {
	file      string
	hubs      []string
	amqp      []string
	api       []string
	admin     []string
	memory    string
	retention string
}

// addFlags has the help put rather before the doors' usual places, for a command that takes others first.
func (s *settings) addFlags(cmd *cobra.Command, rather string) {
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration `FILE`: the official emulator's Config.json (default: EVHUB_CONFIG, then "+config.OfficialPath+")")
	f.StringArrayVar(&s.hubs, "hub", nil, "add a hub, or give the default hub eh1 another form: `name:partitions:group,group`; may be repeated")
	f.StringArrayVar(&s.amqp, "listen-amqp", nil, "`host:port` for AMQP (default "+rather+"localhost:5672); may be repeated; port 0 lets the system choose")
	f.StringArrayVar(&s.api, "listen-api", nil, "`host:port` for the notification service (default "+rather+"localhost:8080, or a free port if that is taken); may be repeated")
	f.StringArrayVar(&s.admin, "listen-admin", nil, "`host:port` for health and metrics (default "+rather+"localhost:5300); may be repeated")
	f.StringVar(&s.memory, "memory", "", "`BYTES` for events of all hubs, like 512MiB (default 1GiB); over budget the oldest go first")
	f.StringVar(&s.retention, "retention", "", "`TIME` that events stay, like 90m, 24h or 7d (default 24h)")
}

// load gives the configuration, and the path of its file or "".
func (s *settings) load(getenv func(string) string) (*config.Config, string, error) {
	path := config.FindFile(s.file, getenv, exists)
	c := config.Default()
	if path != "" {
		var err error
		if c, err = config.Load(path); err != nil && looksLike(path, gatewayfile.Looks) {
			err = &failure{text: path + ": this is a configuration of evhub gateway, and a broker needs a Config.json", hint: "evhub gateway --config " + path}
		}
		if err != nil {
			return nil, path, err
		}
	}
	if err := s.addHubs(c, path); err != nil {
		return nil, path, err
	}
	return c, path, s.overlay(c)
}

// addHubs adds the hubs of --hub to those of the file at path.
func (s *settings) addHubs(c *config.Config, path string) error {
	given := make(map[string]string) // by hub: the flag that gave it
	for _, text := range s.hubs {
		h, err := config.ParseHubFlag(text)
		if err != nil {
			return badUsage("", "--hub %s: %s", text, err)
		}
		if err := c.AddHub(h); err != nil {
			return badUsage("", "--hub %s: %s, from %s", text, err, cmp.Or(given[h.Name], path))
		}
		given[h.Name] = "--hub " + text
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// overlay has the flags that are keys of Evhub in the file read by the file's own reader, so that both take and say the same.
func (s *settings) overlay(c *config.Config) error {
	type listeners struct {
		AMQP  []string `json:",omitempty"`
		API   []string `json:",omitempty"`
		Admin []string `json:",omitempty"`
	}
	type evhub struct {
		Memory    string `json:",omitempty"`
		Retention string `json:",omitempty"`
		Listeners listeners
	}
	file, err := json.Marshal(struct{ Evhub evhub }{evhub{s.memory, s.retention, listeners{s.amqp, s.api, s.admin}}})
	if err != nil {
		return err
	}
	flags, err := config.Parse("", file)
	if err != nil {
		return flagError(err)
	}
	ours := &c.Evhub
	if s.memory != "" {
		ours.Memory = flags.Evhub.Memory
	}
	if s.retention != "" {
		ours.Retention = flags.Evhub.Retention
	}
	if s.amqp != nil {
		ours.Listeners.AMQP = flags.Evhub.Listeners.AMQP
	}
	if s.api != nil {
		ours.Listeners.API = flags.Evhub.Listeners.API
	}
	if s.admin != nil {
		ours.Listeners.Admin = flags.Evhub.Listeners.Admin
	}
	return nil
}

// flagError names the flag in place of the key, "Evhub.Listeners.AMQP[1]".
func flagError(err error) error {
	p, ok := errors.AsType[config.Problem](err)
	if !ok {
		return err
	}
	flag := "--"
	switch key, _, _ := strings.Cut(strings.TrimPrefix(p.Path, "Evhub."), "["); key {
	case "Memory", "Retention":
		flag += strings.ToLower(key)
	case "Listeners.AMQP", "Listeners.API", "Listeners.Admin":
		flag += "listen-" + strings.ToLower(strings.TrimPrefix(key, "Listeners."))
	}
	return badUsage("", "%s: %s", flag, p.Text)
}

// isSet reads a variable that is a switch: 1 or true.
func isSet(value string) bool {
	on, err := strconv.ParseBool(value)
	return err == nil && on
}
